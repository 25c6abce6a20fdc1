#ifndef VAULT_WRAP_H
#define VAULT_WRAP_H
/* A data key wrapped to a member's key-encryption key: AES-256-GCM (NIST SP 800-38D) in the token, in one of
 * three ways to come by an IV. IV_HOST and IV_FILLED: IV (12), ciphertext (32), tag (16). IV_APPENDED:
 * ciphertext (32), tag (16), IV (16). */
#include "store/envelopes.h"
#include "vault/token.h"

/* Wraps the 32 bytes under the session's key, and looks whether the IV is one. `wrap` holds WRAP_MAX bytes.
 */
MUST_USE bool wrap_seal(struct token_session *, enum iv_mode, struct bytes aad, const unsigned char key[32],
	unsigned char *wrap, size_t *length, struct complaint *);
/* False: not a wrap of this key and associated data, or the token is not well; its own code cannot tell
 * which. */
MUST_USE bool wrap_open(struct token_session *, enum iv_mode, struct bytes aad, struct bytes wrap,
	unsigned char key[32], struct complaint *);

/* Finds by experiment in which way this token makes an IV that can be trusted: exact lengths, no IV of
 * zeroes, two encryptions differ, another IV or other associated data is refused, and what was wrapped opens.
 */
MUST_USE bool iv_mode_find(struct token_session *, enum iv_mode *, struct complaint *);

#endif
