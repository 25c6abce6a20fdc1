#ifndef AGENT_METADATA_H
#define AGENT_METADATA_H
/* What the instance metadata service (version 2: with a session token) says this instance is. */
#include "agent/pace.h"
#include "verifier/assertion.h"

struct http;

struct metadata {
	struct http *http;
	const char *base; /* "http://169.254.169.254" */
	const char *source; /* local address to call from; NULL: any */
	const struct pace *pace;
	long long deadline; /* of pace->now; this folder's own patience of 10 s may end sooner */
};

/* Fills in all nine members, each by the grammar that the server will read it by; source-ip is the instance's
 * own primary private address. A service that is not there yet is asked again for a while. False: the
 * complaint says what was missing. */
MUST_USE bool metadata_read(
	const struct metadata *, const char *role, struct assertion *, struct complaint *);

#endif
