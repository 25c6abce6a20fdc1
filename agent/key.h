#ifndef AGENT_KEY_H
#define AGENT_KEY_H
/* The key that a release is sealed to: EC P-256, made once, kept until the release is acknowledged. The
 * server gives one instance's release to one key, so a key that is lost is a release that is lost. */
#include "agent/exits.h"
#include "agent/files.h"
#include "verifier/recipient.h"

#include <openssl/evp.h>

struct key {
	EVP_PKEY *pair;
	bool kept; /* it was there already, from an earlier run */
	char csr[CSR_PEM_MAX]; /* PKCS#10, PEM: empty subject, signed by itself with SHA-256 */
	struct recipient recipient; /* what the server will see of it */
};

/* The name of its file in the state folder: PKCS#8, PEM, mode 0400. */
#define KEY_FILE "agent-key.pem"

/* Takes the key from the state folder, or makes one and has it durable there before it returns.
 * AGENT_CONFIGURATION: what lies there is no key of ours; AGENT_GAVE_UP: it could not be written;
 * AGENT_FAULT. Where it is not AGENT_DONE the complaint names the mend and *key is clear. */
MUST_USE enum agent_exit key_keep(struct folder *state, struct key *, struct complaint *);
/* Removes it from the folder: the release is acknowledged. */
MUST_USE bool key_forget(struct folder *state, struct complaint *);
void key_clear(struct key *);

#endif
