#ifndef AGENT_IMDS_H
#define AGENT_IMDS_H
/* The instance metadata service, version 2 only: never without a session token. */
#include "agent/pace.h"

struct http;

/* Whom to ask, how, and until when. All borrowed. */
struct imds {
	struct http *http;
	const char *base; /* "http://169.254.169.254" */
	const char *source; /* local address to call from; NULL: any */
	const struct pace *pace;
	long long deadline; /* of pace->now */
};

enum { IMDS_VALUE_MAX = 16 * 1024, IMDS_TOKEN_SIZE = 1024 };

/* One token, and what was read last with it: for a while that may be a credential. */
struct imds_session {
	const struct imds *imds;
	struct complaint *complaint;
	int status; /* of the last answer; 0: none */
	char token_header[IMDS_TOKEN_SIZE + 32];
	char value[IMDS_VALUE_MAX + 1]; /* of the last answer, whatever its status; a text */
};

/* Fetches a token. The complaint is the session's until it is closed. False: no usable answer; the complaint
 * and `status` say why. Close it in any case. */
MUST_USE bool imds_open(const struct imds *, struct imds_session *, struct complaint *);
/* Reads one page ("/latest/..."). True: status 200, and the page is in `value`. */
MUST_USE bool imds_get(struct imds_session *, const char *path);
/* Wipes. */
void imds_close(struct imds_session *);

#endif
