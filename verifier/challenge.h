#ifndef VERIFIER_CHALLENGE_H
#define VERIFIER_CHALLENGE_H
/* Challenges: a MAC over a time and random bytes under a key that all nodes share. Stateless, and not
 * single-use: the binding to the requester's key and the ledger make a replay harmless. */
#include "verifier/anchors.h"

enum {
	CHALLENGE_SECONDS = 120,
	CHALLENGE_AHEAD = 5, /* a node's clock may be that far ahead of another's */
	CHALLENGE_RANDOM = 16,
	CHALLENGE_SIZE =
		75 /* base64url of version, 8 bytes of time, random bytes, 30 bytes of MAC; and NUL */
};

#define REASON_CHALLENGE "challenge-expired"

/* False: HMAC failed (memory). */
MUST_USE bool challenge_make(const unsigned char key[CHALLENGE_KEY_SIZE], time_t now,
	const unsigned char random[CHALLENGE_RANDOM], char text[CHALLENGE_SIZE]);
/* OK from its making until CHALLENGE_SECONDS later. REFUSED (REASON_CHALLENGE) for whatever is no valid
 * challenge of ours: the remedy is the same, fetch another. Constant-time comparison. */
MUST_USE enum outcome challenge_verify(
	const unsigned char key[CHALLENGE_KEY_SIZE], time_t now, const char *text, struct reason *);

#endif
