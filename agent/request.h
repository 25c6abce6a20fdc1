#ifndef AGENT_REQUEST_H
#define AGENT_REQUEST_H
/* The agent's two requests to the server, each asked again until it is answered for good or the deadline is
 * there. */
#include "agent/exits.h"
#include "agent/pace.h"
#include "verifier/assertion.h"
#include "verifier/encoding.h"
#include "verifier/recipient.h"

struct http;
struct imds;

/* Whom to ask, how, and until when. */
struct service {
	struct http *http;
	const char *base; /* url_of_server */
	const char *source; /* local address to call from; NULL: any */
	const struct pace *pace;
	long long deadline; /* of pace->now */
	void (*said)(void *context, const char *line); /* progress, for people; never a secret */
	void *context;
};

enum { SEALED_MAX = 4 << 20 };

/* A release as it came: nothing of it is believed yet. */
struct answer {
	char release_id[UUID_SIZE];
	unsigned char *sealed; /* DER; owned */
	size_t sealed_length;
};
void answer_clear(struct answer *);

/* What is asked for, by whom. All borrowed. */
struct petition {
	const struct assertion *assertion;
	const char *csr; /* PEM */
	const struct recipient *recipient; /* the key of the CSR */
	const struct imds *imds; /* where the evidence is read */
	/* of pace->now: until then an instance that shows no role is asked again, for it may have one yet */
	long long patient_until;
};

/* POST /v1/releases, each try with a challenge (POST /v1/challenges) and evidence of its own, for both grow
 * old; a challenge that was too old is replaced at once, a few times. A server without challenges is one
 * without evidence: it gets neither. AGENT_DONE; AGENT_GAVE_UP at the deadline; AGENT_DENIED (403, 409),
 * AGENT_CONFIGURATION (evidence.h), AGENT_PROTOCOL or AGENT_FAULT at once, with a complaint for people. */
MUST_USE enum agent_exit request_release(
	const struct service *, const struct petition *, struct answer *, struct complaint *);

/* POST /v1/releases/{release_id}/ack. AGENT_DONE, or as above. */
MUST_USE enum agent_exit request_acknowledge(
	const struct service *, const char *release_id, const char *acknowledgement, struct complaint *);

/* What an answer with this status and problem code ("" where there is none) means: AGENT_GAVE_UP is "not now,
 * ask again", the others are final. Only for statuses that are not the expected one. */
enum agent_exit request_meaning(int status, const char *code, const char **text);

#endif
