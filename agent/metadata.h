#ifndef AGENT_METADATA_H
#define AGENT_METADATA_H
/* What the instance metadata service says this instance is. */
#include "agent/imds.h"
#include "verifier/assertion.h"

/* Fills in all nine members, each by the grammar that the server will read it by; source-ip is the instance's
 * own primary private address. A service that is not there yet is asked again for a while: until
 * imds->deadline, and no longer than 10 s. False: the complaint says what was missing. */
MUST_USE bool metadata_read(const struct imds *, const char *role, struct assertion *, struct complaint *);

#endif
