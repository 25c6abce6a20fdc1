#ifndef VAULT_ANSWER_H
#define VAULT_ANSWER_H
/* What a member process answers, as those read it who ask: strictly, and believed no further than its form.
 * False: the answer is of another type than the one that is asked for, or not of its form; what was to be
 * filled in is zeros then, or empty. Bytes are borrowed from the frame. */
#include "vault/frame.h"

enum { ANSWER_TEXT_SIZE = 600 };

/* An error's sentence is printable ASCII. */
MUST_USE bool answer_error(const struct frame *, enum frame_error *, char text[ANSWER_TEXT_SIZE]);
/* Nothing is said but that it is done, or that the input is read. */
MUST_USE bool answer_plain(const struct frame *, enum frame_type);
/* DATA_KEY_BYTES bytes. */
MUST_USE bool answer_node_key(const struct frame *, struct bytes *key);
/* Of that release, and no other; 1 or more bytes of DER. */
MUST_USE bool answer_sealed(const struct frame *, const char *release_id, struct bytes *der);

/* How often it has sealed, and its signature of what it was asked to sign. */
MUST_USE bool answer_signed(const struct frame *, long long *seals, unsigned char signature[SIGNATURE_BYTES]);
/* It has signed a newer head already, or another one of the same seq. */
MUST_USE bool answer_behind(const struct frame *, struct signed_head *last);
/* The head is zeros but for LAST_SIGNED. */
MUST_USE bool answer_last(const struct frame *, enum last *, struct signed_head *);

/* ---- to set-up */

MUST_USE bool answer_token(const struct frame *, char serial[SERIAL_SIZE], bool *initialised);
MUST_USE bool answer_key(const struct frame *, char key_id[KEY_ID_SIZE], bool *generated);
MUST_USE bool answer_iv(const struct frame *, enum iv_mode *);

MUST_USE bool answer_signer(const struct frame *, struct signer *, bool *generated);

struct answer_envelope {
	unsigned char nonce[NONCE_BYTES];
	struct bytes text, wrap; /* a ciphertext with its tag, 1..WRAP_MAX bytes */
};
MUST_USE bool answer_envelope(const struct frame *, struct answer_envelope *);

#endif
