/* STS's answers: what is taken is an ARN of a known form, and only the very one of the assertion passes. */
#include "aws/sts.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INSTANCE "i-0123456789abcdef0"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
	if (!holds)
		abort();
}

static void role_same(const struct sts_caller *caller)
{
	char arn[FACT_ARN_SIZE];

	snprintf(arn, sizeof(arn), "arn:%s:sts::%s:assumed-role/%s/%s", caller->partition, caller->account,
		caller->role, caller->session);
	must(strcmp(arn, caller->arn) == 0 && role_valid(caller->role) && caller->session[0] != '\0');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct assertion assertion = { INSTANCE, "", "ip-10-0-0-1.ec2.internal", "r-01234567",
		"m5.large", "web-tier", "10.0.0.1", "123456789012", "us-east-1" };
	struct sts_caller caller;
	struct claims *claims;
	char why[120] = "";

	if (!sts_parse((struct bytes){ data, size }, &caller, why, sizeof(why))) {
		must(why[0] != '\0' && caller.arn[0] == '\0');
		return 0;
	}
	must(account_id_valid(caller.account) && strncmp(caller.arn, "arn:", 4) == 0);
	if (caller.role[0] != '\0')
		role_same(&caller);
	else
		must(caller.session[0] == '\0');
	claims = claims_new();
	must(claims != NULL);
	sts_check(claims, &assertion, &caller);
	must(claims->n_checks == 4 && !claims->overflowed);
	if (!claims_first_failed(claims))
		must(strcmp(caller.arn, "arn:aws:sts::123456789012:assumed-role/web-tier/" INSTANCE) == 0);
	claims_free(claims);
	return 0;
}
