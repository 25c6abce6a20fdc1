/* Tests in the policy file: each kind of verdict, what is not well-formed, and a failing test that keeps the
 * policy from being loaded. */
#include "policy/tests.h"
#include "tests/unit/unit.h"

#include <stdio.h>
#include <string.h>

static const char policy_text[] =
	"{ \"rules\": [ { \"name\": \"web\", \"role\": \"web-tier\", \"accounts\": [\"123456789012\"],\n"
	"  \"regions\": [\"us-east-1\"], \"evidence\": [], \"unbound_key\": true, \"launch_window\": "
	"\"10m\",\n"
	"  \"images\": [\"ami-0123456789abcdef0\"], \"auto_scaling_groups\": [\"web\"], \"tags\": {\"env\": "
	"\"prod\"},\n"
	"  \"security_groups\": [\"sg-0123456789abcdef0\"], \"secrets\": [\"pin\"] } ],\n"
	"\"tests\": [ { \"name\": \"t\", \"expect\": \"%s\",\n"
	"  \"assertion\": { \"instance-id\": \"i-0123456789abcdef0\", \"public-hostname\": \"\",\n"
	"    \"local-hostname\": \"ip-10-0-1-225.ec2.internal\", \"reservation-id\": "
	"\"r-0123456789abcdef0\",\n"
	"    \"instance-type\": \"m5.large\", \"role\": \"%s\", \"source-ip\": \"10.0.1.225\",\n"
	"    \"account-id\": \"123456789012\", \"region\": \"us-east-1\" },\n"
	"  \"aws\": { \"auto_scaling_group\": \"web\", \"tags\": {\"env\": \"prod\"},\n"
	"    \"security_groups\": [\"sg-0123456789abcdef0\"], \"image\": \"ami-0123456789abcdef0\"%s } } ] "
	"}\n";

static char text[4000];

static struct bytes policy_bytes(const char *expect, const char *role, const char *more)
{
	int length = snprintf(text, sizeof(text), policy_text, expect, role, more);

	assert_true(length > 0 && (size_t)length < sizeof(text));
	return (struct bytes){ (const unsigned char *)text, (size_t)length };
}

static void verdicts(void **state)
{
	static const struct {
		const char *expect, *role, *more;
	} cases[] = { { "released", "web-tier", "" }, { "no-rule", "web", "" },
		{ "image", "web-tier", ", \"launched\": \"2m\", \"image\": \"ami-0fffffffffffffff0\"" },
		{ "launch-window", "web-tier", ", \"launched\": \"10m\"" },
		{ "released", "web-tier", ", \"launched\": \"599s\"" },
		{ "original-boot", "web-tier", ", \"interface_attached\": \"1d\"" },
		{ "original-boot", "web-tier", ", \"root_attached\": \"1h\"" },
		{ "metadata-options", "web-tier", ", \"http_tokens\": \"optional\"" },
		{ "metadata-options", "web-tier", ", \"http_hop_limit\": 2" },
		{ "released", "web-tier",
			", \"vpc\": \"vpc-0123456789abcdef0\", \"subnet\": \"subnet-0123456789abcdef0\"" } };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct complaint complaint = { "" };
		struct bytes bytes = policy_bytes(cases[i].expect, cases[i].role, cases[i].more);
		struct policy *policy;

		if (strstr(cases[i].more, "\"image\"")) { /* in the place of the good one */
			char *good = strstr(text, ", \"image\": \"ami-0123456789abcdef0\"");
			size_t length = strlen(", \"image\": \"ami-0123456789abcdef0\"");

			assert_non_null(good);
			memmove(good, good + length, strlen(good + length) + 1);
			bytes.length -= length;
		}
		policy = policy_load("p", bytes, &complaint);
		if (!policy)
			fail_msg("%zu: %s", i, complaint.text);
		policy_free(policy);
	}
}

static void assert_refused(const char *expect, const char *more, const char *words)
{
	struct complaint complaint = { "" };

	assert_null(policy_load("p.json", policy_bytes(expect, "web-tier", more), &complaint));
	if (!strstr(complaint.text, words))
		fail_msg("%s\nexpected: %s", complaint.text, words);
}

static void failing_and_malformed(void **state)
{
	(void)state;
	assert_refused("image", "", "p.json:5:12: tests[0]: \"t\": expected image, but it is released");
	assert_refused("released", ", \"launched\": \"1h\"", "but it is launch-window");
	assert_refused("released", ", \"colour\": 1", "tests[0].aws.colour: no such setting");
	assert_refused("released", ", \"launched\": \"soon\"", "tests[0].aws.launched: not a duration");
	assert_refused("released", ", \"subnet\": 7", "tests[0].aws.subnet: not a string");
	assert_refused(
		"released", ", \"http_hop_limit\": 0", "tests[0].aws.http_hop_limit: not a whole number");
}

static void told(void *context, const struct policy_test *test)
{
	snprintf(context, 200, "%s %s %s %d", test->name, test->expected, test->verdict, test->passed);
}

static void each_is_told(void **state)
{
	struct complaint complaint = { "" };
	char said[200] = "";

	(void)state;
	assert_true(policy_test("p", policy_bytes("released", "web-tier", ""), told, said, &complaint));
	assert_string_equal(said, "t released released 1");
	assert_false(policy_test("p", policy_bytes("vpc", "web-tier", ""), told, said, &complaint));
	assert_string_equal(said, "t vpc released 0");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(verdicts),
		cmocka_unit_test(failing_and_malformed),
		cmocka_unit_test(each_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
