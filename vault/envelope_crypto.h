#ifndef VAULT_ENVELOPE_CRYPTO_H
#define VAULT_ENVELOPE_CRYPTO_H
/* An envelope's own encryption: AES-256-GCM (NIST SP 800-38D) under a random data key, and the associated
 * data that tie a row to its place, so that none can be passed off as another. */
#include "vault/frame.h"

/* What an envelope is, beside its bytes. */
struct envelope_label {
	const char *vault; /* UUID */
	const char *name, *kind;
	unsigned version;
};

enum { AAD_MAX = 320 };
struct aad {
	unsigned char data[AAD_MAX];
	size_t length;
};

/* Each field behind its length (4 bytes, big-endian), the first being a name for the use. */
void envelope_aad(const struct envelope_label *, struct aad *);
/* The same for a wrap: adds the member, and the generation of its key. */
void wrap_aad(const struct envelope_label *, const char *member, unsigned generation, struct aad *);

/* `text` has room for the plaintext and TAG_BYTES; a fresh random nonce. */
MUST_USE bool envelope_seal(const struct envelope_label *, const unsigned char key[DATA_KEY_BYTES],
	struct bytes plain, unsigned char nonce[NONCE_BYTES], unsigned char *text);
/* `plain` has room for the text without TAG_BYTES; it is wiped when the tag is wrong. */
MUST_USE bool envelope_open(const struct envelope_label *, const unsigned char key[DATA_KEY_BYTES],
	const unsigned char nonce[NONCE_BYTES], struct bytes text, unsigned char *plain);

#endif
