#ifndef VERIFIER_ANCHORS_H
#define VERIFIER_ANCHORS_H
/* What signatures and challenges are checked against: AWS's certificates for instance identity documents, one
 * for each region, and the key of our own challenges. Immutable once filled; counted, so that each request
 * keeps the snapshot it began with. */
#include "verifier/assertion.h"

#include <time.h>

enum { ANCHORS_MAX = 64, ANCHOR_PEM_MAX = 16 * 1024, CHALLENGE_KEY_SIZE = 32 };

struct anchors;
struct x509_st; /* OpenSSL's X509 */

/* NULL: memory is out. */
struct anchors *anchors_new(void);
struct anchors *anchors_dup(struct anchors *);
void anchors_free(struct anchors *);

/* One PEM block CERTIFICATE with nothing around it but white space, RSA with exactly 2,048 bits. False: what
 * is wrong with it, or the region is there already. */
MUST_USE bool anchors_add(struct anchors *, const char *region, struct bytes pem, struct complaint *);
/* Borrowed, until the last reference is gone: the key stays in the one place, locked, that it was made in. */
void anchors_set_challenge_key(struct anchors *, const unsigned char key[CHALLENGE_KEY_SIZE]);
/* NULL: none was set. */
const unsigned char *anchors_challenge_key(const struct anchors *);

bool anchors_have(const struct anchors *, const char *region);
/* The certificate itself, for document.c; borrowed. NULL: none for that region. */
struct x509_st *anchors_certificate(const struct anchors *, const char *region);
/* Anchor i in the order of adding; region NULL after the last. */
struct anchor_about {
	const char *region;
	unsigned char sha256[32]; /* of the certificate's DER */
	time_t not_after;
	bool published; /* it is the certificate that AWS publishes for that region */
};
struct anchor_about anchors_about(const struct anchors *, size_t i);

/* The SHA-256 of the certificate that AWS has published for a region (the AWS user guide's page of region
 * certificates), in 64 lower-case hexadecimal digits; NULL for a region that is not in the compiled table. */
const char *published_certificate(const char *region);
/* Region i of that table; NULL after the last. */
const char *published_region(size_t i);

#endif
