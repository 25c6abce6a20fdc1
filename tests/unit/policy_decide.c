/* The decision: one good set of facts, and each single change of it failing exactly its own check. */
#include "policy/policy.h"
#include "tests/unit/unit.h"
#include "verifier/checks.h"
#include "verifier/reasons.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LAUNCH = 1767323045, NOW = LAUNCH + 120 };

static const char rule_text[] =
	"{\"rules\":[{\"name\":\"web\",\"role\":\"web-tier\",\"accounts\":[\"123456789012\"],"
	"\"regions\":[\"us-east-1\"],\"evidence\":[],\"unbound_key\":true,\"launch_window\":\"10m\","
	"\"images\":[\"ami-0123456789abcdef0\",\"ami-0123456789abcdef1\"],\"launch_templates\":[\"lt-"
	"0123456789abcdef0\"],"
	"\"auto_scaling_groups\":[\"web\"],\"vpcs\":[\"vpc-0123456789abcdef0\"],"
	"\"subnets\":[\"subnet-0123456789abcdef0\"],\"security_groups\":[\"sg-0123456789abcdef0\"],"
	"\"instance_types\":[\"m5.large\"],\"tags\":{\"env\":\"prod\"}%s,"
	"\"secrets\":[\"pin\",\"key\"]}]}";

struct world {
	struct policy *policy;
	struct claims *claims;
	struct decision decision;
	struct reason reason;
};

static struct policy *policy_with(const char *more)
{
	struct complaint complaint = { "" };
	struct policy *policy;
	char text[2000];

	snprintf(text, sizeof(text), rule_text, more);
	policy = policy_load("p", (struct bytes){ (const unsigned char *)text, strlen(text) }, &complaint);
	if (!policy)
		fail_msg("%s", complaint.text);
	return policy;
}

static struct world world_new(const char *more)
{
	struct world w = { .policy = policy_with(more), .claims = claims_new() };
	struct facts *f = &w.claims->facts;

	strcpy(f->image_id, "ami-0123456789abcdef1");
	strcpy(f->vpc_id, "vpc-0123456789abcdef0");
	strcpy(f->subnet_id, "subnet-0123456789abcdef0");
	strcpy(f->instance_type, "m5.large");
	strcpy(f->groups[0], "sg-0fffffffffffffff0");
	strcpy(f->groups[1], "sg-0123456789abcdef0");
	f->n_groups = 2;
	strcpy(f->http_tokens, "required");
	f->http_hop_limit = 1;
	f->launch_time = LAUNCH;
	f->interface_attach_time = LAUNCH;
	f->root_volume_said = true;
	f->root_attach_time = LAUNCH + 1;
	assert_true(facts_add_tag(f, "aws:ec2launchtemplate:id", "lt-0123456789abcdef0"));
	assert_true(facts_add_tag(f, "aws:autoscaling:groupName", "web"));
	assert_true(facts_add_tag(f, "env", "prod"));
	return w;
}

static enum outcome decide(struct world *w, time_t now)
{
	return policy_decide(policy_rule(w->policy, 0), w->claims, now, &w->decision, &w->reason);
}

static void world_free(struct world *w)
{
	claims_free(w->claims);
	policy_free(w->policy);
}

static unsigned count(const struct claims *claims, enum check_result result)
{
	unsigned n = 0;
	unsigned i;

	for (i = 0; i < claims->n_checks; i++)
		n += claims->checks[i].result == result;
	return n;
}

static void good_one(void **state)
{
	struct world w = world_new("");

	(void)state;
	assert_int_equal(decide(&w, NOW), OK);
	assert_true(w.decision.first_use_allowed);
	assert_false(w.decision.once_per_launch);
	assert_int_equal(w.decision.retry_window, 15 * 60 * 1000);
	assert_int_equal(w.decision.n_secrets, 2);
	assert_string_equal(w.decision.secrets[1], "key");
	assert_int_equal(count(w.claims, CHECK_FAILED), 0);
	assert_int_equal(w.claims->n_checks, 12);
	world_free(&w);
}

struct change {
	const char *check;
	void (*make)(struct facts *);
};

static void tag_set(struct facts *f, const char *key, const char *value)
{
	unsigned i;

	for (i = 0; i < f->n_tags; i++)
		if (strcmp(f->tags[i].key, key) == 0)
			strcpy(f->tags[i].value, value); /* never longer than before */
}

static void image(struct facts *f)
{
	strcpy(f->image_id, "ami-0123456789abcdef2");
}
static void image_gone(struct facts *f)
{
	f->image_id[0] = '\0';
}
static void template(struct facts *f)
{
	tag_set(f, "aws:ec2launchtemplate:id", "lt-0123456789abcdef1");
}
static void group_case(struct facts *f)
{
	tag_set(f, "aws:autoscaling:groupName", "Web");
}
static void vpc(struct facts *f)
{
	strcpy(f->vpc_id, "vpc-0123456789abcdef1");
}
static void subnet(struct facts *f)
{
	strcpy(f->subnet_id, "subnet-0123456789abcdef1");
}
static void groups(struct facts *f)
{
	f->n_groups = 1;
}
static void type(struct facts *f)
{
	strcpy(f->instance_type, "m5.largest");
}
static void tag(struct facts *f)
{
	tag_set(f, "env", "PROD");
}
static void tokens(struct facts *f)
{
	strcpy(f->http_tokens, "optional");
}
static void tokens_gone(struct facts *f)
{
	f->http_tokens[0] = '\0';
}
static void hops(struct facts *f)
{
	f->http_hop_limit = 2;
}
static void hops_gone(struct facts *f)
{
	f->http_hop_limit = 0;
}
static void launch_gone(struct facts *f)
{
	f->launch_time = 0;
}
static void future(struct facts *f)
{
	f->launch_time = f->interface_attach_time = f->root_attach_time = NOW + 61;
}

static void each_bound(void **state)
{
	static const struct change changes[] = { { CHECK_IMAGE, image }, { CHECK_IMAGE, image_gone },
		{ CHECK_LAUNCH_TEMPLATE, template }, { CHECK_AUTO_SCALING_GROUP, group_case },
		{ CHECK_VPC, vpc }, { CHECK_SUBNET, subnet }, { CHECK_SECURITY_GROUP, groups },
		{ CHECK_ALLOWED_TYPE, type }, { CHECK_TAG, tag }, { CHECK_METADATA_OPTIONS, tokens },
		{ CHECK_METADATA_OPTIONS, tokens_gone }, { CHECK_METADATA_OPTIONS, hops },
		{ CHECK_METADATA_OPTIONS, hops_gone }, { CHECK_LAUNCH_TIME, launch_gone },
		{ CHECK_LAUNCH_TIME, future } };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		struct world w = world_new("");

		changes[i].make(&w.claims->facts);
		assert_int_equal(decide(&w, NOW), REFUSED);
		assert_string_equal(w.reason.code, changes[i].check);
		assert_int_equal(claims_check(w.claims, changes[i].check)->result, CHECK_FAILED);
		assert_int_equal(w.claims->n_checks, 12); /* none was skipped */
		world_free(&w);
	}
}

/* Tags that are absent may come within a minute of the launch; anything else wrong is final at once. */
static void not_visible_yet(void **state)
{
	struct world w = world_new("");

	(void)state;
	w.claims->facts.n_tags--;
	assert_int_equal(decide(&w, LAUNCH + 59), UNAVAILABLE);
	assert_string_equal(w.reason.code, REASON_NOT_VISIBLE_YET);
	w.claims->n_checks = 0;
	assert_int_equal(decide(&w, LAUNCH + 60), REFUSED);
	assert_string_equal(w.reason.code, CHECK_TAG);
	w.claims->n_checks = 0;
	image(&w.claims->facts);
	assert_int_equal(decide(&w, LAUNCH + 59), REFUSED);
	assert_string_equal(w.reason.code, CHECK_IMAGE);
	w.claims->facts.n_tags++;
	world_free(&w);
}

/* Each of the three that a tag tells may be late; any other that is empty is final, and so is a wrong one
 * beside them. */
static void what_may_still_come(void **state)
{
	static const char *const kept[][2] = { { "aws:autoscaling:groupName", "env" },
		{ "aws:ec2launchtemplate:id", "env" },
		{ "aws:ec2launchtemplate:id", "aws:autoscaling:groupName" } };
	static const char *const late[] = { CHECK_LAUNCH_TEMPLATE, CHECK_AUTO_SCALING_GROUP, CHECK_TAG };
	size_t i;

	(void)state;
	for (i = 0; i < 3; i++) {
		struct world w = world_new("");
		struct facts *f = &w.claims->facts;
		unsigned j, n = 0;

		for (j = 0; j < f->n_tags; j++) {
			struct tag tag = f->tags[j];

			if (strcmp(tag.key, kept[i][0]) == 0 || strcmp(tag.key, kept[i][1]) == 0) {
				f->tags[j] = f->tags[n];
				f->tags[n++] = tag;
			}
		}
		for (j = n; j < f->n_tags; j++) {
			free(f->tags[j].key);
			free(f->tags[j].value);
		}
		f->n_tags = n;
		assert_int_equal(decide(&w, LAUNCH + 10), UNAVAILABLE);
		assert_int_equal(claims_check(w.claims, late[i])->result, CHECK_FAILED);
		w.claims->n_checks = 0;
		vpc(f);
		assert_int_equal(decide(&w, LAUNCH + 10), REFUSED);
		w.claims->n_checks = 0;
		f->vpc_id[0] = '\0';
		assert_int_equal(decide(&w, LAUNCH + 10), REFUSED);
		assert_string_equal(w.reason.code, i < 2 ? late[i] : CHECK_VPC);
		world_free(&w);
	}
}

/* The window counts for a first use alone: it is noted, never refused here. Both edges, to the second. */
static void attack_12_33_window_edges(void **state)
{
	static const struct {
		time_t now;
		bool open;
	} cases[] = { { LAUNCH, true }, { LAUNCH + 599, true }, { LAUNCH + 600, false },
		{ LAUNCH + 3600, false }, { LAUNCH + 86400, false }, { LAUNCH - 60, true } };
	static const time_t back[] = { LAUNCH - 61, LAUNCH - 3600 };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct world w = world_new("");

		assert_int_equal(decide(&w, cases[i].now), OK);
		assert_int_equal(w.decision.first_use_allowed, cases[i].open);
		assert_int_equal(claims_check(w.claims, CHECK_LAUNCH_WINDOW)->result,
			cases[i].open ? CHECK_PASSED : CHECK_FAILED);
		world_free(&w);
	}
	for (i = 0; i < sizeof(back) / sizeof(back[0]); i++) {
		struct world w = world_new("");

		assert_int_equal(decide(&w, back[i]), REFUSED);
		assert_string_equal(w.reason.code, CHECK_LAUNCH_TIME);
		world_free(&w);
	}
}

/* ATTACKS 21, 22: a stop and start; a root volume or an interface attached long after the launch */
static void attack_21_22_original_boot(void **state)
{
	static const struct {
		int interface, root; /* seconds from the launch; INT_MAX stands for "not said" */
		bool root_said, original;
	} cases[] = { { 0, 0, true, true }, { 300, 300, true, true }, { -300, 0, true, true },
		{ 301, 0, true, false }, { -301, 0, true, false }, { 0, 301, true, false },
		{ 0, 301, false, true }, { -LAUNCH, 0, true, false }, { 0, -LAUNCH, true, false } };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct world w = world_new("");

		w.claims->facts.interface_attach_time = LAUNCH + cases[i].interface;
		w.claims->facts.root_attach_time = LAUNCH + cases[i].root;
		w.claims->facts.root_volume_said = cases[i].root_said;
		assert_int_equal(decide(&w, NOW), OK);
		assert_int_equal(w.decision.first_use_allowed, cases[i].original);
		assert_int_equal(claims_check(w.claims, CHECK_ORIGINAL_BOOT)->result,
			cases[i].original ? CHECK_PASSED : CHECK_FAILED);
		world_free(&w);
	}
}

static void what_a_rule_lifts(void **state)
{
	struct world w = world_new(
		",\"use\":\"once-per-launch\",\"metadata_options\":\"any\",\"retry_window\":\"1m\"");

	(void)state;
	w.claims->facts.interface_attach_time = LAUNCH - 86400;
	hops(&w.claims->facts);
	assert_int_equal(decide(&w, NOW), OK);
	assert_true(w.decision.first_use_allowed);
	assert_true(w.decision.once_per_launch);
	assert_int_equal(w.decision.retry_window, 60000);
	assert_null(claims_check(w.claims, CHECK_ORIGINAL_BOOT));
	assert_null(claims_check(w.claims, CHECK_METADATA_OPTIONS));
	world_free(&w);
}

/* A check that failed before, in the confirmation, refuses here; and all others are made all the same. */
static void earlier_failure(void **state)
{
	struct world w = world_new("");

	(void)state;
	check_equal(w.claims, CHECK_INSTANCE_TYPE, "ec2", "m5.large", "c5.large");
	vpc(&w.claims->facts);
	assert_int_equal(decide(&w, NOW), REFUSED);
	assert_string_equal(w.reason.code, CHECK_INSTANCE_TYPE);
	assert_int_equal(count(w.claims, CHECK_FAILED), 2);
	assert_int_equal(w.claims->n_checks, 13);
	world_free(&w);
}

static void checks_that_do_not_fit(void **state)
{
	struct world w = world_new("");
	unsigned i;

	(void)state;
	for (i = 0; i < CHECKS_MAX; i++)
		check_add(w.claims, "x", "ec2", true, "a", "b");
	assert_int_equal(decide(&w, NOW), FAULT);
	world_free(&w);
}

static void the_longest_checks_fit(void **state)
{
	struct claims *claims = claims_new();
	char text[2 * CHECK_VALUE_MAX];
	int i;

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	for (i = 0; i < CHECKS_MAX; i++)
		check_add(claims, "tag", "ec2", true, text, text);
	assert_false(claims->overflowed);
	assert_int_equal(strlen(check_observed(claims, &claims->checks[CHECKS_MAX - 1])), CHECK_VALUE_MAX);
	claims_free(claims);
}

static void long_values_are_cut(void **state)
{
	struct claims *claims = claims_new();
	char text[2000];
	size_t length;
	size_t i;

	(void)state;
	for (i = 0; i + 2 < sizeof(text); i += 2)
		memcpy(text + i, "\xc3\xa9", 3);
	check_add(claims, "x", "ec2", false, text, "");
	length = strlen(check_expected(claims, &claims->checks[0]));
	assert_true(length <= CHECK_VALUE_MAX);
	assert_string_equal(check_expected(claims, &claims->checks[0]) + length - 3, "...");
	assert_int_equal((length - 3) % 2, 0);
	assert_string_equal(check_observed(claims, &claims->checks[0]), "");
	claims_free(claims);
}

/* No security groups are demanded, and more images than an event has room for: it decides all the same. */
static void long_lists_and_none(void **state)
{
	struct complaint complaint = { "" };
	struct decision decision;
	struct policy *policy;
	struct reason reason;
	char text[4000];
	size_t used, i;

	(void)state;
	used = (size_t)snprintf(text, sizeof(text),
		"{\"rules\":[{\"name\":\"web\",\"role\":\"web-tier\",\"accounts\":[\"123456789012\"],"
		"\"regions\":[\"us-east-1\"],\"evidence\":[],\"unbound_key\":true,\"launch_window\":\"10m\","
		"\"metadata_options\":\"any\",\"secrets\":[\"pin\"],\"images\":[");
	for (i = 0; i < 64; i++)
		used += (size_t)snprintf(
			text + used, sizeof(text) - used, "%s\"ami-%017zx\"", i ? "," : "", i);
	used += (size_t)snprintf(text + used, sizeof(text) - used, "]}]}");
	policy = policy_load("p", (struct bytes){ (const unsigned char *)text, used }, &complaint);
	if (!policy)
		fail_msg("%s", complaint.text);
	for (i = 0; i < 65; i++) {
		struct claims *claims = claims_new();

		claims->facts.launch_time = claims->facts.interface_attach_time = LAUNCH;
		snprintf(claims->facts.image_id, sizeof(claims->facts.image_id), "ami-%017zx", i);
		assert_int_equal(policy_decide(policy_rule(policy, 0), claims, NOW, &decision, &reason),
			i < 64 ? OK : REFUSED);
		assert_null(claims_check(claims, CHECK_SECURITY_GROUP));
		claims_free(claims);
	}
	policy_free(policy);
}

/* Which of the interface's groups is the one does not matter. */
static void any_group(void **state)
{
	unsigned i;

	(void)state;
	for (i = 0; i < 3; i++) {
		struct world w = world_new("");

		strcpy(w.claims->facts.groups[1], "sg-0eeeeeeeeeeeeeee0");
		strcpy(w.claims->facts.groups[2], "sg-0ddddddddddddddd0");
		w.claims->facts.n_groups = 3;
		strcpy(w.claims->facts.groups[i], "sg-0123456789abcdef0");
		assert_int_equal(decide(&w, NOW), OK);
		world_free(&w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_one),
		cmocka_unit_test(each_bound),
		cmocka_unit_test(not_visible_yet),
		cmocka_unit_test(what_may_still_come),
		cmocka_unit_test(attack_12_33_window_edges),
		cmocka_unit_test(long_lists_and_none),
		cmocka_unit_test(any_group),
		cmocka_unit_test(attack_21_22_original_boot),
		cmocka_unit_test(what_a_rule_lifts),
		cmocka_unit_test(earlier_failure),
		cmocka_unit_test(checks_that_do_not_fit),
		cmocka_unit_test(the_longest_checks_fit),
		cmocka_unit_test(long_values_are_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
