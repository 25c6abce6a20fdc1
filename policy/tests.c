/* Running a policy's own tests. They take the same way as a request: admit, then decide on facts; the facts
 * are made of what the test says instead of what EC2 says. */
#include "policy/tests.h"

#include "verifier/checks.h"
#include "verifier/encoding.h"

#include <stdlib.h>
#include <string.h>

/* Any moment will do, since a test says all times as durations before it. */
static const time_t moment = 1767225600;

static const char released[] = "released";

struct case_file {
	const char *name, *expected;
	struct assertion assertion;
	struct claims *claims;
};

/* ---- reading */

/* Optional text into a fact. */
static bool text_load(
	const struct member *aws, const char *name, char *fact, size_t size, struct complaint *complaint)
{
	struct member member = member_of(aws, name);
	const char *text;

	if (!member.value)
		return true;
	if (!member_string(&member, size - 1, &text, complaint))
		return false;
	strcpy(fact, text);
	return true;
}

/* "how long ago"; absent: `otherwise`. */
static bool ago_load(const struct member *aws, const char *name, time_t otherwise, time_t *when,
	struct complaint *complaint)
{
	struct member member = member_of(aws, name);
	long long ms;

	*when = otherwise;
	if (!member.value)
		return true;
	if (!member_duration(&member, 0, 366LL * 86400000, &ms, complaint))
		return false;
	*when = moment - (time_t)(ms / 1000);
	return true;
}

static bool groups_load(const struct member *aws, struct facts *facts, struct complaint *complaint)
{
	struct member groups = member_of(aws, "security_groups");
	size_t n;
	size_t i;

	if (!groups.value)
		return true;
	if (!member_array(&groups, GROUPS_MAX, &n, complaint))
		return false;
	for (i = 0; i < n; i++) {
		struct member group = member_at(&groups, i);
		const char *text;

		if (!member_string(&group, FACT_ID_SIZE - 1, &text, complaint))
			return false;
		strcpy(facts->groups[facts->n_groups++], text);
	}
	return true;
}

static bool tag_keep(const struct member *at, const char *key, const char *value, struct facts *facts,
	struct complaint *complaint)
{
	return facts_add_tag(facts, key, value) ||
	       member_complain(at, complaint, "too many tags, or out of memory");
}

static bool tags_load(const struct member *aws, struct facts *facts, struct complaint *complaint)
{
	static const char *const reserved[][2] = { { "launch_template", "aws:ec2launchtemplate:id" },
		{ "auto_scaling_group", "aws:autoscaling:groupName" } };
	struct member tags = member_of(aws, "tags");
	const char *key, *text;
	json_t *value;
	size_t i;

	for (i = 0; i < 2; i++) {
		struct member member = member_of(aws, reserved[i][0]);

		if (member.value && (!member_string(&member, 255, &text, complaint) ||
					    !tag_keep(&member, reserved[i][1], text, facts, complaint)))
			return false;
	}
	if (tags.value && !json_is_object(tags.value))
		return member_complain(&tags, complaint, "not an object");
	json_object_foreach((json_t *)tags.value, key, value)
	{
		struct member tag = member_of(&tags, key);

		if (!json_is_string(value))
			return member_complain(&tag, complaint, "not a string");
		if (!tag_keep(&tag, key, json_string_value(value), facts, complaint))
			return false;
	}
	return true;
}

static bool times_load(const struct member *aws, struct facts *facts, struct complaint *complaint)
{
	struct member hops = member_of(aws, "http_hop_limit");
	long long limit = 1;

	if (hops.value && !member_integer(&hops, 1, 64, &limit, complaint))
		return false;
	facts->http_hop_limit = limit;
	facts->root_volume_said = true;
	return ago_load(aws, "launched", moment - 120, &facts->launch_time, complaint) &&
	       ago_load(aws, "interface_attached", facts->launch_time, &facts->interface_attach_time,
		       complaint) &&
	       ago_load(aws, "root_attached", facts->launch_time, &facts->root_attach_time, complaint);
}

static bool facts_load(const struct member *test, struct facts *facts, struct complaint *complaint)
{
	static const char *const known[] = { "image", "launch_template", "auto_scaling_group", "vpc",
		"subnet", "security_groups", "tags", "http_tokens", "http_hop_limit", "launched",
		"interface_attached", "root_attached", NULL };
	struct member aws = member_of(test, "aws");

	strcpy(facts->http_tokens, "required");
	return member_object(&aws, known, complaint) &&
	       text_load(&aws, "image", facts->image_id, sizeof(facts->image_id), complaint) &&
	       text_load(&aws, "vpc", facts->vpc_id, sizeof(facts->vpc_id), complaint) &&
	       text_load(&aws, "subnet", facts->subnet_id, sizeof(facts->subnet_id), complaint) &&
	       text_load(&aws, "http_tokens", facts->http_tokens, sizeof(facts->http_tokens), complaint) &&
	       groups_load(&aws, facts, complaint) && tags_load(&aws, facts, complaint) &&
	       times_load(&aws, facts, complaint);
}

static bool case_load(const struct member *test, struct case_file *c, struct complaint *complaint)
{
	static const char *const known[] = { "name", "assertion", "aws", "expect", NULL };
	struct member name = member_of(test, "name");
	struct member assertion = member_of(test, "assertion");
	struct member expect = member_of(test, "expect");
	struct reason reason;

	if (!member_object(test, known, complaint) || !member_string(&name, 200, &c->name, complaint) ||
		!member_string(&expect, 64, &c->expected, complaint))
		return false;
	if (assertion_parse(assertion.value, &c->assertion, &reason) != OK)
		return member_complain(&assertion, complaint, "%s", reason.text);
	strcpy(c->claims->facts.instance_type, c->assertion.instance_type);
	return facts_load(test, &c->claims->facts, complaint);
}

/* ---- deciding */

/* The verdict: "released", or the reason why not. */
static const char *case_decide(const struct policy *policy, struct case_file *c, struct reason *reason)
{
	const struct rule *rule;
	const struct check *failed;
	struct decision decision;
	struct demand demand;

	reason->text[0] = '\0';
	if (policy_admit(policy, &c->assertion, &rule, &demand, reason) != OK ||
		policy_decide(rule, c->claims, moment, &decision, reason) != OK)
		return reason->code;
	if (decision.first_use_allowed)
		return released;
	failed = claims_first_failed(c->claims);
	(void)refused(reason, failed->name, "expected %s, observed %s", check_expected(c->claims, failed),
		check_observed(c->claims, failed));
	return failed->name;
}

static bool case_run(const struct policy *policy, const struct member *member, struct policy_test *test,
	struct reason *reason, struct complaint *complaint)
{
	struct case_file c = { .claims = claims_new() };
	bool loaded;

	if (!c.claims)
		return complain(complaint, "out of memory");
	loaded = case_load(member, &c, complaint);
	if (loaded) {
		test->name = c.name;
		test->expected = c.expected;
		test->verdict = case_decide(policy, &c, reason);
		test->why = reason->text;
		test->passed = strcmp(test->verdict, test->expected) == 0;
	}
	claims_free(c.claims);
	return loaded;
}

bool policy_tests_run(const struct policy *policy, const struct member *root,
	void (*told)(void *context, const struct policy_test *), void *context, struct complaint *complaint)
{
	struct member tests = member_of(root, "tests");
	bool passed = true;
	size_t n;
	size_t i;

	if (!tests.value)
		return true;
	if (!member_array(&tests, POLICY_TESTS_MAX, &n, complaint))
		return false;
	for (i = 0; i < n; i++) {
		struct member member = member_at(&tests, i);
		struct policy_test test;
		struct reason reason;

		if (!case_run(policy, &member, &test, &reason, complaint))
			return false;
		if (told)
			told(context, &test);
		if (passed && !test.passed)
			passed = member_complain(&member, complaint, "\"%s\": expected %s, but it is %s%s%s",
				test.name, test.expected, test.verdict, test.why[0] ? ": " : "", test.why);
	}
	return passed;
}
