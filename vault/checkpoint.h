#ifndef VAULT_CHECKPOINT_H
#define VAULT_CHECKPOINT_H
/* A checkpoint as it is signed: a plain text in the manner of C2SP's tlog-checkpoint, with the trail's last
 * hash where that has a tree's root, signed with ECDSA on P-256 over SHA-256 (FIPS 186-5). Its lines, each
 * ended by a line feed:
 *
 *	vouchsafe/VAULT/MEMBER
 *	SEQ
 *	base64 of the hash of the event SEQ
 *	time 2026-01-02T03:04:05.678901Z
 *	seals COUNT
 */
#include "verifier/signed_head.h"

enum { CHECKPOINT_TEXT_MAX = 320 };

/* The length of what is written, without its NUL. `vault`: the vault's UUID. The signature is no part of it.
 */
size_t checkpoint_text(const char *vault, const struct checkpoint *, char text[CHECKPOINT_TEXT_MAX]);
/* SHA-256 of that text: what is signed. False: memory is out. */
MUST_USE bool checkpoint_digest(const char *vault, const struct checkpoint *, unsigned char digest[32]);
/* Is the signature that of this key, over this checkpoint of this vault? */
MUST_USE bool checkpoint_verify(
	const char *vault, const struct checkpoint *, const unsigned char public_key[SIGNER_KEY_BYTES]);

#endif
