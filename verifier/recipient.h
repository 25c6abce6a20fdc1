#ifndef VERIFIER_RECIPIENT_H
#define VERIFIER_RECIPIENT_H
/* The public key that a release is sealed to. Of the PKCS#10 request (RFC 2986) that brings it only this key
 * is believed; the request's own signature proves that its sender holds the private half. */
#include "verifier/outcome.h"

enum {
	CSR_PEM_MAX = 8192,
	SPKI_MAX = 128 /* P-256: 91 bytes */
};

struct recipient {
	unsigned char spki[SPKI_MAX]; /* SubjectPublicKeyInfo, DER, re-encoded by us */
	size_t spki_length;
	unsigned char sha256[32]; /* of spki: the recipient's name in the ledger */
};

/* One PEM block "CERTIFICATE REQUEST", nothing after it but white space; EC P-256 on the curve, self-signed
 * with ECDSA. REFUSED otherwise; FAULT where memory was out (memory.h). */
MUST_USE enum outcome recipient_parse(const char *pem, size_t length, struct recipient *, struct reason *);

/* Lets OpenSSL load what recipient_parse uses, with a request of our own. OpenSSL 3.0 that runs out of memory
 * just then does without that algorithm for as long as the process lives, so this belongs into a program's
 * start, where it fails as a whole. False: memory was out. */
MUST_USE bool recipient_ready(void);

#endif
