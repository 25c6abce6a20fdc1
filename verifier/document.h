#ifndef VERIFIER_DOCUMENT_H
#define VERIFIER_DOCUMENT_H
/* The instance identity document in its rsa2048 PKCS7 form: AWS's signature over facts about one instance.
 * The DSA and RSA-1024 forms are never accepted: one of their keys serves many regions. */
#include "verifier/anchors.h"

enum { DOCUMENT_BASE64_MAX = 12 * 1024, DOCUMENT_CONTENT_MAX = 4096 };

/* Facts from the verified bytes and nowhere else. A document that lacks one of them is refused. */
struct document {
	char instance_id[INSTANCE_ID_SIZE], account_id[ACCOUNT_ID_SIZE], region[REGION_SIZE];
	char availability_zone[32], instance_type[INSTANCE_TYPE_SIZE], image_id[32];
	char private_ip[ADDRESS_SIZE];
	time_t pending_time;
};

#define REASON_DOCUMENT "identity-document"

/* `base64`: as the metadata service gives it at /latest/dynamic/instance-identity/rsa2048, lines and all, or
 * in one line. Checked against the certificate of `region` (the asserted one, which policy has allowed) and
 * no other. The blob (BER, indefinite lengths) holds exactly one signer, named by that certificate's issuer
 * and serial number, no certificate, no CRL, no unsigned attributes, signed attributes as AWS makes them
 * (with the content's type; where the algorithms are among them, RFC 6211, those), attached content of at
 * most DOCUMENT_CONTENT_MAX bytes, nothing behind it; SHA-256 digest, RSA PKCS #1 v1.5. The content is one
 * JSON object that names the same region.
 * REFUSED (REASON_DOCUMENT): the text says which clause was broken, and repeats none of the content. FAULT
 * (REASON_INTERNAL): there is no certificate for the region, or memory is out. *document is all zero unless
 * OK. */
MUST_USE enum outcome document_verify(const struct anchors *, const char *region, const char *base64,
	size_t length, struct document *, struct reason *);

#endif
