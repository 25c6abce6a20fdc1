#ifndef VERIFIER_REQUEST_H
#define VERIFIER_REQUEST_H
/* The body of POST /v1/releases (DESIGN.md section 4). */
#include "verifier/assertion.h"
#include "verifier/recipient.h"

enum { REQUEST_BODY_MAX = 64 * 1024 };

/* What was sent besides the assertion, as text: believed by nobody, and looked at only where the rule demands
 * it. Owned; NULL where it was not sent. */
struct evidence {
	char *challenge;
	char *document; /* base64 of the rsa2048 PKCS7 */
	char *authorization, *amz_date, *security_token;
};
void evidence_clear(struct evidence *);

/* Strict JSON with the members "assertion", "csr", "challenge" and "evidence" and no others; the latter two
 * may be absent, as may "identity-document" and "caller-identity" in the evidence, but caller-identity has
 * all its three members. REFUSED (REASON_MALFORMED) names the field and never repeats the input. */
MUST_USE enum outcome release_request_parse(
	struct bytes body, struct assertion *, struct recipient *, struct evidence *, struct reason *);

/* The body of POST /v1/releases/{id}/ack: {"ack": "..."}. `ack` holds at least size bytes, NUL included. */
MUST_USE enum outcome acknowledgement_parse(struct bytes body, char *ack, size_t size, struct reason *);

#endif
