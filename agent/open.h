#ifndef AGENT_OPEN_H
#define AGENT_OPEN_H
/* Opens what the server has sealed to our key, and checks that it was meant for us. Our public key is no
 * secret, so anybody could have sealed something to it: nothing is used before every check has passed. */
#include "agent/exits.h"
#include "agent/request.h"

#include <openssl/evp.h>

enum { RELEASE_SECRETS_MAX = 64, ACKNOWLEDGEMENT_MAX = 128 };

struct secret {
	char name[NAME_SIZE];
	unsigned char *data; /* in the secure heap; owned */
	size_t length;
};

struct release {
	char acknowledgement[ACKNOWLEDGEMENT_MAX + 1];
	size_t n_secrets;
	struct secret secrets[RELEASE_SECRETS_MAX];
};
/* Wipes; the first the secrets alone, for the acknowledgement may be under way for minutes. */
void release_forget_secrets(struct release *);
void release_clear(struct release *);

/* What the envelope has to say inside. */
struct expected {
	const char *release_id; /* of the answer that it came in */
	const struct assertion *assertion;
};

/* `sealed`: CMS AuthEnvelopedData (RFC 5083) in DER and nothing behind it, AES-256-GCM with a whole tag (RFC
 * 5084), one recipient, named by key identifier. AGENT_DONE; AGENT_PROTOCOL: it is not for us, or not what a
 * server of this version seals, and the complaint says which check failed; AGENT_FAULT. Where it is not
 * AGENT_DONE *release is clear. */
MUST_USE enum agent_exit release_open(
	struct bytes sealed, EVP_PKEY *, const struct expected *, struct release *, struct complaint *);

#endif
