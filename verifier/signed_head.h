#ifndef VERIFIER_SIGNED_HEAD_H
#define VERIFIER_SIGNED_HEAD_H
/* The trail's head as a member of the vault signs it: the words that store/, vault/ and server/ share. */
#include "verifier/assertion.h"

/* A key of a token by its CKA_ID, in hexadecimal, and NUL. */
enum { KEY_ID_SIZE = 33 };
enum { SIGNER_KEY_BYTES = 91, SIGNATURE_BYTES = 64 }; /* P-256 */

/* The key pair that a member signs checkpoints with: ECDSA on P-256. */
struct signer {
	char member[NAME_SIZE];
	char key_id[KEY_ID_SIZE]; /* CKA_ID, hexadecimal */
	unsigned char public_key[SIGNER_KEY_BYTES]; /* SubjectPublicKeyInfo, DER */
};

/* An event of the trail, and when it was newest; seq 0 and zeros before the first. */
struct signed_head {
	long long seq;
	unsigned char hash[32];
	long long time_us; /* microseconds since 1970 */
};

/* What a head may have at most: years up to 9999. */
#define HEAD_SEQ_MAX 9223372036854775807LL
#define HEAD_TIME_MAX 253402300799999999LL

/* A head with a member's signature. */
struct checkpoint {
	char member[NAME_SIZE];
	struct signed_head head;
	long long seals; /* how often that member has sealed, by its own count */
	unsigned char signature[SIGNATURE_BYTES]; /* r and s */
};

#endif
