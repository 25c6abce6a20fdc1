#ifndef AWS_STS_H
#define AWS_STS_H
/* GetCallerIdentity as the server sends it on the caller's behalf, and AWS's answer to it. */
#include "aws/regions.h"
#include "verifier/caller.h"
#include "verifier/claims.h"

#define STS_NAMESPACE "https://sts.amazonaws.com/doc/2011-06-15/"

/* The request that the caller has signed, from constants, the region's compiled host name and the validated
 * values of the proof: what struct http_request takes as body and headers, to be sent by POST to the root of
 * that host. Self-contained, but must not move. */
struct sts_request {
	struct bytes body; /* static */
	const char *headers[7]; /* lines; NULL-terminated */
	char host[128];
	char authorization[AUTHORIZATION_SIZE + 16];
	char amz_date[AMZ_DATE_SIZE + 16];
	char security_token[SECURITY_TOKEN_MAX + 32];
	char binding[BINDING_SIZE + 32];
};

/* Copies the proof's values. */
void sts_request_form(struct sts_request *, const struct aws_region *, const struct caller_proof *);

/* Who AWS says the caller is. */
struct sts_caller {
	char account[ACCOUNT_ID_SIZE];
	char role[ROLE_SIZE]; /* of "arn:<partition>:sts::<account>:assumed-role/<role>/<session>" */
	char session[72]; /* of the same: an instance's credentials carry its instance id */
	char partition[16];
	char arn[FACT_ARN_SIZE];
};

/* Reads an answer: root GetCallerIdentityResponse of the namespace STS_NAMESPACE, Arn, UserId and Account
 * exactly once each, the ARN's account equal to the Account element. A user, the root user or a federated
 * user is an answer too, since the caller and not AWS is wrong then: its role and session are "", which match
 * nothing. False: the answer is not one (why says in which way; it repeats nothing of the answer). */
MUST_USE bool sts_parse(struct bytes answer, struct sts_caller *, char *why, size_t why_size);

/* Adds the checks caller-identity (STS confirms the proof), caller-account, caller-role, caller-session (by
 * "sts"): asserted account, partition of the asserted region, role, and the session name equal to the
 * instance id. */
void sts_check(struct claims *, const struct assertion *, const struct sts_caller *);
/* Adds the same four, all failed: STS did not say who the caller is, for this reason ("403 ExpiredToken"). */
void sts_check_failed(struct claims *, const struct assertion *, const char *observed);

#endif
