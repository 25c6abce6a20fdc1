/* Policy files: what is accepted, and for each mistake the complaint's place and mend. */
#include "policy/policy.h"
#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char good[] = "{ \"rules\": [\n"
			   "  { \"name\": \"web\", \"role\": \"web-tier\",\n"
			   "    \"accounts\": [\"123456789012\"], \"regions\": [\"us-east-1\"],\n"
			   "    \"evidence\": [], \"unbound_key\": true,\n"
			   "    \"launch_window\": \"10m\",\n"
			   "    \"images\": [\"ami-0123456789abcdef0\"],\n"
			   "    \"secrets\": [\"hsm-partition-pin\"] }\n"
			   "] }\n";

/* The good policy with one text in the place of another. The caller frees. */
static char *changed(const char *from, const char *to)
{
	const char *at = strstr(good, from);
	char *text = NULL;

	assert_non_null(at);
	if (asprintf(&text, "%.*s%s%s", (int)(at - good), good, to, at + strlen(from)) < 0)
		fail();
	return text;
}

static struct policy *load(const char *text, struct complaint *complaint)
{
	return policy_load(
		"policy.json", (struct bytes){ (const unsigned char *)text, strlen(text) }, complaint);
}

static void assert_refused(const char *from, const char *to, const char *place, const char *words)
{
	struct complaint complaint = { "" };
	char *text = changed(from, to);

	assert_null(load(text, &complaint));
	if (strncmp(complaint.text, place, strlen(place)) != 0 || !strstr(complaint.text, words))
		fail_msg("complaint: %s\nexpected: %s ... %s", complaint.text, place, words);
	free(text);
}

static void good_one(void **state)
{
	struct complaint complaint;
	struct policy *policy = load(good, &complaint);
	const struct rule *rule;

	(void)state;
	assert_non_null(policy);
	assert_int_equal(policy_rules(policy), 1);
	rule = policy_rule(policy, 0);
	assert_string_equal(rule_name(rule), "web");
	assert_string_equal(rule_role(rule), "web-tier");
	assert_string_equal(rule_account(rule, 0), "123456789012");
	assert_null(rule_account(rule, 1));
	assert_string_equal(rule_secret(rule, 0), "hsm-partition-pin");
	assert_true(rule_unbound_key(rule));
	assert_int_equal(strlen(policy_sha256(policy)), 64);
	assert_ptr_equal(policy_dup(policy), policy);
	policy_free(policy);
	policy_free(policy);
}

static void places(void **state)
{
	(void)state;
	assert_refused("\"10m\"", "\"10x\"", "policy.json:5:22: rules[0].launch_window:", "such as \"10m\"");
	assert_refused("\"10m\"", "10", "policy.json:5:22: rules[0].launch_window:", "not a duration");
	assert_refused("\"10m\"", "\"0s\"", "policy.json:5:22:", "out of bounds");
	assert_refused(
		"\"launch_window\": \"10m\",\n", "", "policy.json:2:3: rules[0].launch_window:", "missing");
	assert_refused("\"name\": \"web\", ", "", "policy.json:2:3: rules[0].name:", "missing");
	assert_refused("\"role\": \"web-tier\",\n", "", "policy.json:2:3: rules[0].role:", "missing");
	assert_refused(
		"\"accounts\": [\"123456789012\"], ", "", "policy.json:2:3: rules[0].accounts:", "missing");
	assert_refused("\"secrets\": [\"hsm-partition-pin\"]", "\"tags\": {\"a\": \"b\"}",
		"policy.json:2:3: rules[0].secrets:", "missing");
	assert_refused("\"evidence\": [], ", "", "policy.json:2:3: rules[0].evidence:", "missing");
	assert_refused("\"launch_window\"", "\"launch_windwo\"",
		"policy.json:5:22: rules[0].launch_windwo:", "did you mean \"launch_window\"");
	assert_refused("\"name\"", "\"colour\": 1, \"name\"",
		"policy.json:2:15: rules[0].colour:", "no such setting");
	assert_refused(
		"\"ami-0123456789abcdef0\"", "\"ami-1\"", "policy.json:6:16: rules[0].images[0]:", "ami-");
	assert_refused(
		"[\"ami-0123456789abcdef0\"]", "[]", "policy.json:6:15: rules[0].images:", "empty list");
	assert_refused("\"images\": [\"ami-0123456789abcdef0\"],\n", "",
		"policy.json:2:3: rules[0]:", "at least one of images");
	assert_refused("[\"hsm-partition-pin\"]", "[\"node\"]", "policy.json:7:17:", "a secret's name");
	assert_refused("[\"hsm-partition-pin\"]", "[\"A\"]", "policy.json:7:17:", "a secret's name");
	assert_refused("[\"hsm-partition-pin\"]", "[\"a\", \"a\"]",
		"policy.json:7:22: rules[0].secrets[1]:", "twice");
	assert_refused("\"web-tier\"", "\"path/web-tier\"", "policy.json:2:28: rules[0].role:", "IAM role");
	assert_refused("\"us-east-1\"", "\"us-east\"", "policy.json:3:", "a region");
	assert_refused("] }\n", "] ", "policy.json:7:38:", "not valid JSON");
	assert_refused("\"rules\"", "\"rule\"", "policy.json:1:", "did you mean \"rules\"");
}

static void evidence_and_choices(void **state)
{
	(void)state;
	assert_refused("\"evidence\": []", "\"evidence\": [\"caller-identity\"]",
		"policy.json:4:53: rules[0].unbound_key:", "take this out");
	assert_refused("\"evidence\": []", "\"evidence\": [\"nitro-tpm\"]",
		"policy.json:4:18: rules[0].evidence[0]:", "no such word");
	assert_refused("\"evidence\": []", "\"evidence\": [\"identity-document\", \"identity-document\"]",
		"policy.json:4:39: rules[0].evidence[1]:", "twice");
	assert_refused(", \"unbound_key\": true", "", "policy.json:2:3:", "unbound_key");
	assert_refused("\"unbound_key\": true", "\"unbound_key\": false", "policy.json:4:36:", "unbound_key");
	assert_refused("\"name\"", "\"max_per_hour\": 0, \"name\"",
		"policy.json:2:21: rules[0].max_per_hour:", "from 1 to");
	assert_refused("\"name\"", "\"use\": \"twice\", \"name\"",
		"policy.json:2:12: rules[0].use:", "once-per-instance");
	assert_refused("\"name\"", "\"tags\": {\"aws:x\": \"y\"}, \"name\"", "policy.json:2:", "reserved");
	assert_refused(
		"\"name\"", "\"tags\": {}, \"name\"", "policy.json:2:13: rules[0].tags:", "at least one");
}

/* A dot in a tag's name is no step of a path: the place is the nearest one that is there, and the search ends
 * with the text. */
static void names_with_dots(void **state)
{
	(void)state;
	assert_refused("\"name\"", "\"tags\": {\"a\": \"{\", \"a.b\": []}, \"name\"",
		"policy.json:2:", "not a string");
	assert_refused("\"secrets\": [\"hsm-partition-pin\"] }\n] }\n",
		"\"secrets\": [\"a\"], \"tags\":{\"a\":\"{\",\"a.b\":[]}}]}",
		"policy.json:7:", "not a string");
}

static void conflicting_rules(void **state)
{
	static const char rule[] =
		"{\"name\":\"%s\",\"role\":\"web-tier\",\"accounts\":[\"%s\"],\"regions\":[\"%s\"],"
		"\"evidence\":[],\"unbound_key\":true,\"launch_window\":\"10m\","
		"\"auto_scaling_groups\":[\"web\"],\"secrets\":[\"pin\"]}";
	static const struct {
		const char *name, *account, *region;
		bool conflict;
	} others[] = { { "b", "123456789012", "us-east-1", true },
		{ "b", "123456789013", "us-east-1", false }, { "b", "123456789012", "us-east-2", false },
		{ "a", "123456789013", "us-east-1", true } };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		struct complaint complaint;
		struct policy *policy;
		char first[600], second[600], text[1400];

		snprintf(first, sizeof(first), rule, "a", "123456789012", "us-east-1");
		snprintf(second, sizeof(second), rule, others[i].name, others[i].account, others[i].region);
		snprintf(text, sizeof(text), "{\"rules\":[%s,%s]}", first, second);
		policy = load(text, &complaint);
		assert_int_equal(policy == NULL, others[i].conflict);
		policy_free(policy);
	}
}

static void admit(void **state)
{
	struct assertion assertion = {
		.role = "web-tier", .account_id = "123456789012", .region = "us-east-1"
	};
	/* ATTACKS 8: names that differ by case, path or a suffix */
	static const char *const strangers[] = { "WEB-TIER", "web-tier-evil", "web", "web-tie", "web-tier.",
		"*" };
	struct complaint complaint;
	struct policy *policy = load(good, &complaint);
	const struct rule *rule;
	struct demand demand;
	struct reason reason;
	size_t i;

	(void)state;
	assert_int_equal(policy_admit(policy, &assertion, &rule, &demand, &reason), OK);
	assert_string_equal(rule_name(rule), "web");
	assert_false(demand.public_address);
	for (i = 0; i < sizeof(strangers) / sizeof(strangers[0]); i++) {
		strcpy(assertion.role, strangers[i]);
		assert_int_equal(policy_admit(policy, &assertion, &rule, &demand, &reason), REFUSED);
		assert_string_equal(reason.code, "no-rule");
	}
	strcpy(assertion.role, "web-tier");
	strcpy(assertion.account_id, "123456789013");
	assert_int_equal(policy_admit(policy, &assertion, &rule, &demand, &reason), REFUSED);
	strcpy(assertion.account_id, "123456789012");
	strcpy(assertion.region, "us-east-2");
	assert_int_equal(policy_admit(policy, &assertion, &rule, &demand, &reason), REFUSED);
	policy_free(policy);
}

static void warned(void *context, const char *text)
{
	strcat(context, text);
	strcat(context, "\n");
}

static void warnings(void **state)
{
	struct complaint complaint;
	char *text = changed(
		"\"name\"", "\"tags\": {\"env\": \"prod\"}, \"metadata_options\": \"any\", \"name\"");
	struct policy *policy = load(text, &complaint);
	char said[2000] = "";

	(void)state;
	assert_non_null(policy);
	policy_warnings(policy, warned, said);
	assert_non_null(strstr(said, "unbound_key"));
	assert_non_null(strstr(said, "tags"));
	assert_non_null(strstr(said, "metadata_options"));
	policy_free(policy);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_one),
		cmocka_unit_test(places),
		cmocka_unit_test(evidence_and_choices),
		cmocka_unit_test(names_with_dots),
		cmocka_unit_test(conflicting_rules),
		cmocka_unit_test(admit),
		cmocka_unit_test(warnings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
