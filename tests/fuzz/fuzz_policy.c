/* Policy files: refused with a complaint, or a policy that can be asked everything, and that never says yes
 * to an instance of which nothing is known. */
#include "policy/policy.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

static void count(void *context, const char *text)
{
	MUST_HOLD(text[0]);
	++*(unsigned *)context;
}

static void ask_lists(const struct rule *rule)
{
	size_t i;

	MUST_HOLD(rule_name(rule)[0] && role_valid(rule_role(rule)));
	for (i = 0; rule_account(rule, i); i++)
		MUST_HOLD(account_id_valid(rule_account(rule, i)));
	MUST_HOLD(i);
	for (i = 0; rule_region(rule, i); i++)
		MUST_HOLD(region_valid(rule_region(rule, i)));
	MUST_HOLD(i);
	for (i = 0; rule_secret(rule, i); i++)
		MUST_HOLD(secret_name_valid(rule_secret(rule, i)));
	MUST_HOLD(i && i <= SECRETS_MAX);
}

/* The rule's own role, account and region admit, and by this very rule: no other may match them. */
static void ask_rule(const struct policy *policy, const struct rule *rule)
{
	struct assertion assertion = { .role = "" };
	struct claims *claims = claims_new();
	struct reason reason = { NULL, "" };
	struct decision decision;
	const struct rule *found = NULL;
	struct demand demand;

	ask_lists(rule);
	strcpy(assertion.role, rule_role(rule));
	strcpy(assertion.account_id, rule_account(rule, 0));
	strcpy(assertion.region, rule_region(rule, 0));
	MUST_HOLD(policy_admit(policy, &assertion, &found, &demand, &reason) == OK && found == rule);
	MUST_HOLD(claims);
	MUST_HOLD(policy_decide(rule, claims, 1767323045, &decision, &reason) != OK);
	claims_free(claims);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct complaint complaint = { "" };
	struct policy *policy = policy_load("policy.json", (struct bytes){ data, size }, &complaint);
	unsigned warnings = 0;
	size_t i;

	if (!policy) {
		MUST_HOLD(strncmp(complaint.text, "policy.json", 11) == 0);
		return 0;
	}
	MUST_HOLD(strlen(policy_sha256(policy)) == 64);
	policy_warnings(policy, count, &warnings);
	for (i = 0; i < policy_rules(policy); i++)
		ask_rule(policy, policy_rule(policy, i));
	policy_free(policy);
	return 0;
}
