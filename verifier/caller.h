#ifndef VERIFIER_CALLER_H
#define VERIFIER_CALLER_H
/* The caller-identity proof, offline part: three values of a SigV4-signed sts:GetCallerIdentity, each by a
 * strict grammar. The request itself is rebuilt from constants (DESIGN.md section 5); nothing else of the
 * caller's goes into it but these values and the binding, which we compose ourselves. */
#include "verifier/assertion.h"
#include "verifier/challenge.h"
#include "verifier/recipient.h"

#include <time.h>

enum {
	AUTHORIZATION_SIZE = 512,
	AMZ_DATE_SIZE = 17, /* "20260102T030405Z" and NUL */
	SECURITY_TOKEN_MAX = 4096,
	BINDING_SIZE = CHALLENGE_SIZE + 44 /* challenge, dot, base64url of 32 bytes, NUL */
};

#define REASON_CALLER "caller-identity"

/* What is constant in the Authorization header; the signer, the parser and nobody else spell it. */
#define CALLER_ALGORITHM "AWS4-HMAC-SHA256"
#define CALLER_SIGNED_HEADERS "host;x-amz-date;x-amz-security-token;x-vouchsafe-binding"
#define CALLER_SCOPE_END "/sts/aws4_request" /* behind key id, day and region */

/* Validated copies; what aws/sts.c sends. */
struct caller_proof {
	char authorization[AUTHORIZATION_SIZE];
	char amz_date[AMZ_DATE_SIZE];
	char security_token[SECURITY_TOKEN_MAX + 1];
	char binding[BINDING_SIZE];
};

/* The value of the header x-vouchsafe-binding: "<challenge>.<base64url SHA-256 of the SubjectPublicKeyInfo>".
 */
void caller_binding(const char *challenge, const struct recipient *, char text[BINDING_SIZE]);

/* Authorization is exactly
 *   AWS4-HMAC-SHA256 Credential=<key id>/<date>/<region>/sts/aws4_request, SignedHeaders=host;x-amz-date;
 *   x-amz-security-token;x-vouchsafe-binding, Signature=<64 hexadecimal digits>
 * (one line), with the key id of 16 to 128 of [A-Z0-9] beginning with ASIA (role credentials are temporary),
 * the date of amz_date, the asserted region; amz_date within 15 minutes of now; the token 1 to 4096 of
 * [A-Za-z0-9+/=]. REFUSED (REASON_CALLER) otherwise; the text names the clause and repeats nothing. Fills in
 * all but the binding. */
MUST_USE enum outcome caller_proof_parse(const char *authorization, const char *amz_date,
	const char *security_token, const char *region, time_t now, struct caller_proof *, struct reason *);

#endif
