#ifndef AWS_STS_H
#define AWS_STS_H
/* GetCallerIdentity as the server sends it on the caller's behalf, and AWS's answer to it. */
#include "verifier/caller.h"
#include "verifier/claims.h"

/* Who AWS says the caller is. */
struct sts_caller {
	char account[ACCOUNT_ID_SIZE];
	char role[ROLE_SIZE]; /* of "arn:<partition>:sts::<account>:assumed-role/<role>/<session>" */
	char session[72]; /* of the same: an instance's credentials carry its instance id */
	char partition[16];
	char arn[FACT_ARN_SIZE];
};

/* Reads an answer: root GetCallerIdentityResponse of the namespace https://sts.amazonaws.com/doc/2011-06-15/,
 * each element exactly once, the ARN's account equal to the Account element, an assumed role and nothing
 * else. False: the answer is not one (why says in which way; it repeats nothing of the answer). */
MUST_USE bool sts_parse(struct bytes answer, struct sts_caller *, char *why, size_t why_size);

/* Adds the checks caller-account, caller-role, caller-session (by "sts"): asserted account, partition of the
 * asserted region, role, and the session name equal to the instance id. */
void sts_check(struct claims *, const struct assertion *, const struct sts_caller *);

#endif
