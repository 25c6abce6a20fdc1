/* aws/confirm.c: each wrong attribute fails exactly its own check, and what EC2 or IAM may not show yet is no
 * denial. */
#include "aws/confirm.h"
#include "aws/iam.h"
#include "tests/unit/unit.h"
#include "verifier/checks.h"
#include "verifier/reasons.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#define WEB_ARN "arn:aws:iam::123456789012:instance-profile/web"
enum { LAUNCH = 1767323045 };

/* All that a comparison needs, true in every word. */
struct scene {
	struct assertion assertion;
	struct demand demand;
	struct facts facts;
	struct iam_listing listing;
	struct confirmation asked;
};

static void scene_set(struct scene *scene)
{
	memset(scene, 0, sizeof(*scene));
	scene->assertion = (struct assertion){ "i-0123456789abcdef0",
		"ec2-203-0-113-25.compute-1.amazonaws.com", "ip-10-0-1-225.ec2.internal",
		"r-0123456789abcdef0", "m5.large", "web-tier", "10.0.1.225", "123456789012", "us-east-1" };
	strcpy(scene->facts.instance_id, "i-0123456789abcdef0");
	strcpy(scene->facts.reservation_id, "r-0123456789abcdef0");
	strcpy(scene->facts.owner_id, "123456789012");
	strcpy(scene->facts.state, "running");
	strcpy(scene->facts.instance_type, "m5.large");
	strcpy(scene->facts.private_dns, "ip-10-0-1-225.ec2.internal");
	strcpy(scene->facts.public_dns, "ec2-203-0-113-25.compute-1.amazonaws.com");
	scene->facts.public_dns_said = true;
	strcpy(scene->facts.availability_zone, "us-east-1a");
	strcpy(scene->facts.primary_interface, "eni-1");
	strcpy(scene->facts.primary_address, "10.0.1.225");
	strcpy(scene->facts.public_address, "203.0.113.25");
	strcpy(scene->facts.profile_arn, WEB_ARN);
	scene->facts.launch_time = LAUNCH;
	scene->listing = (struct iam_listing){ .role = "web-tier", .profile_arn = WEB_ARN, .held = true };
	strcpy(scene->listing.listed, WEB_ARN);
	scene->asked.assertion = &scene->assertion;
	scene->asked.demand = &scene->demand;
	scene->asked.peer.s_addr = inet_addr("10.0.1.225");
	scene->asked.now = LAUNCH + 3600;
}

static void compare(struct scene *scene, bool has_profile)
{
	scene->asked.claims = claims_new();
	assert_non_null(scene->asked.claims);
	assert_true(facts_copy(&scene->asked.claims->facts, &scene->facts));
	confirm_compare(&scene->asked, has_profile ? &scene->listing : NULL);
}

/* All eleven were made, and those that failed are `name` alone (NULL: none). */
static void only_fails(struct scene *scene, const char *name)
{
	const struct claims *claims = scene->asked.claims;

	assert_int_equal(claims->n_checks, 11);
	assert_false(claims->overflowed);
	for (unsigned i = 0; i < claims->n_checks; i++) {
		bool passed = claims->checks[i].result == CHECK_PASSED;

		if (passed != (!name || strcmp(claims->checks[i].name, name) != 0))
			fail_msg("%s %s where %s is wrong", claims->checks[i].name,
				passed ? "passed" : "failed", name ? name : "nothing");
	}
	claims_free(scene->asked.claims);
	scene->asked.claims = NULL;
}

static void all_true(void **state)
{
	struct scene scene;

	(void)state;
	scene_set(&scene);
	compare(&scene, true);
	only_fails(&scene, NULL);
}

/* A wrong word of the assertion, or another word of EC2's, or none: the same check fails, with both values in
 * it. */
static void attack_18_attributes_and_states(void **state)
{
#define ASSERTED(member) offsetof(struct scene, assertion.member)
#define OBSERVED(member) offsetof(struct scene, facts.member)
	static const struct {
		const char *name;
		size_t asserted;
		const char *wrong;
		size_t observed;
	} cases[] = {
		{ CHECK_INSTANCE_ID, ASSERTED(instance_id), "i-0123456789abcdef1", OBSERVED(instance_id) },
		{ CHECK_ACCOUNT_ID, 0, "210987654321", OBSERVED(owner_id) },
		{ CHECK_RESERVATION_ID, ASSERTED(reservation_id), "r-0123456789abcdef1",
			OBSERVED(reservation_id) },
		{ CHECK_INSTANCE_TYPE, ASSERTED(instance_type), "m5.xlarge", OBSERVED(instance_type) },
		{ CHECK_PUBLIC_HOSTNAME, ASSERTED(public_hostname),
			"ec2-203-0-113-26.compute-1.amazonaws.com", OBSERVED(public_dns) },
		{ CHECK_PUBLIC_HOSTNAME, ASSERTED(public_hostname), "", OBSERVED(public_dns) },
		{ CHECK_LOCAL_HOSTNAME, ASSERTED(local_hostname), "ip-10-0-1-226.ec2.internal",
			OBSERVED(private_dns) },
		{ CHECK_LOCAL_HOSTNAME, ASSERTED(local_hostname), "ip-10-0-1-225", OBSERVED(private_dns) },
		{ CHECK_REGION, 0, "us-west-2a", OBSERVED(availability_zone) },
		{ CHECK_REGION, 0, "us-east-1", OBSERVED(availability_zone) },
		{ CHECK_REGION, 0, "us-east-11a", OBSERVED(availability_zone) },
		{ CHECK_REGION, 0, "us-east-1A", OBSERVED(availability_zone) },
		{ CHECK_REGION, 0, "xus-east-1a", OBSERVED(availability_zone) },
		{ CHECK_SOURCE_IP, 0, "10.0.1.226", OBSERVED(primary_address) },
		{ CHECK_STATE, 0, "stopping", OBSERVED(state) },
		{ CHECK_STATE, 0, "terminated", OBSERVED(state) },
	};
	struct scene scene;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (cases[i].asserted) {
			scene_set(&scene);
			strcpy((char *)&scene + cases[i].asserted, cases[i].wrong);
			compare(&scene, true);
			assert_string_equal(check_expected(scene.asked.claims,
						    claims_check(scene.asked.claims, cases[i].name)),
				cases[i].wrong);
			only_fails(&scene, cases[i].name);
		}
		scene_set(&scene);
		strcpy((char *)&scene + cases[i].observed, cases[i].wrong);
		compare(&scene, true);
		assert_string_equal(
			check_observed(scene.asked.claims, claims_check(scene.asked.claims, cases[i].name)),
			cases[i].wrong);
		only_fails(&scene, cases[i].name);
		scene_set(&scene);
		*((char *)&scene + cases[i].observed) = '\0';
		compare(&scene, true);
		only_fails(&scene, cases[i].name);
	}
}

static void zones(void **state)
{
	static const char *const good[] = { "us-east-1a", "us-east-1f", "us-east-1-bos-1a",
		"us-east-1-wl1-atl-wlz-1" };
	struct scene scene;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		scene_set(&scene);
		strcpy(scene.facts.availability_zone, good[i]);
		compare(&scene, true);
		only_fails(&scene, NULL);
	}
}

static void no_public_name(void **state)
{
	struct scene scene;

	(void)state;
	for (int said = 0; said <= 1; said++) {
		scene_set(&scene);
		scene.assertion.public_hostname[0] = scene.facts.public_dns[0] = '\0';
		scene.facts.public_dns_said = said;
		compare(&scene, true);
		/* that there is none is something that EC2 says; saying nothing is no answer */
		only_fails(&scene, said ? NULL : CHECK_PUBLIC_HOSTNAME);
	}
}

static void first_label(void **state)
{
	static const struct {
		const char *asserted, *observed;
		bool passes;
	} cases[] = {
		{ "ip-10-0-1-225.corp.example", "ip-10-0-1-225.ec2.internal", true },
		{ "ip-10-0-1-225", "ip-10-0-1-225.ec2.internal", true },
		{ "ip-10-0-1-225", "ip-10-0-1-225", true },
		{ "ip-10-0-1-22", "ip-10-0-1-225.ec2.internal", false },
		{ "ip-10-0-1-225", "ip-10-0-1-22.5", false },
		{ "IP-10-0-1-225", "ip-10-0-1-225.ec2.internal", false },
		{ "", "", false },
		{ ".x", ".x", false },
	};
	struct scene scene;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		scene_set(&scene);
		scene.demand.first_label_hostname = true;
		strcpy(scene.assertion.local_hostname, cases[i].asserted);
		strcpy(scene.facts.private_dns, cases[i].observed);
		compare(&scene, true);
		only_fails(&scene, cases[i].passes ? NULL : CHECK_LOCAL_HOSTNAME);
	}
}

static void peer_address(void **state)
{
	struct scene scene;

	(void)state;
	scene_set(&scene);
	scene.asked.peer.s_addr = inet_addr("10.0.1.7");
	compare(&scene, true);
	only_fails(&scene, CHECK_PEER_ADDRESS);
	scene_set(&scene);
	scene.demand.public_address = true;
	compare(&scene, true);
	only_fails(&scene, CHECK_PEER_ADDRESS);
	scene_set(&scene);
	scene.demand.public_address = true;
	scene.asked.peer.s_addr = inet_addr("203.0.113.25");
	compare(&scene, true);
	only_fails(&scene, NULL);
	scene_set(&scene);
	scene.demand.public_address = true;
	scene.asked.peer.s_addr = inet_addr("203.0.113.25");
	scene.facts.public_address[0] = '\0';
	compare(&scene, true);
	only_fails(&scene, CHECK_PEER_ADDRESS);
}

static void role(void **state)
{
	static const char *const foreign[] = { "arn:aws:iam::210987654321:instance-profile/web",
		"arn:aws-cn:iam::123456789012:instance-profile/web", "arn:aws:iam::123456789012:role/web",
		"arn:aws:iam::123456789012:instance-profile/", "web" };
	struct scene scene;

	(void)state;
	scene_set(&scene);
	scene.listing.held = false;
	strcpy(scene.listing.listed, "arn:other");
	compare(&scene, true);
	assert_string_equal(
		check_expected(scene.asked.claims, claims_check(scene.asked.claims, CHECK_ROLE)), WEB_ARN);
	assert_string_equal(check_observed(scene.asked.claims, claims_check(scene.asked.claims, CHECK_ROLE)),
		"arn:other");
	only_fails(&scene, CHECK_ROLE);

	scene_set(&scene);
	scene.listing = (struct iam_listing){ .no_such_role = true };
	compare(&scene, true);
	only_fails(&scene, CHECK_ROLE);

	/* listed, but of another account, partition or kind */
	for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++) {
		scene_set(&scene);
		strcpy(scene.facts.profile_arn, foreign[i]);
		scene.listing.profile_arn = foreign[i];
		compare(&scene, true);
		only_fails(&scene, CHECK_ROLE);
	}

	scene_set(&scene);
	scene.facts.profile_arn[0] = '\0';
	compare(&scene, false);
	assert_string_equal(check_expected(scene.asked.claims, claims_check(scene.asked.claims, CHECK_ROLE)),
		"a profile of role web-tier");
	only_fails(&scene, CHECK_ROLE);
}

/* ---- not visible yet, with both edges */

static void attack_18_visible(void **state)
{
	struct reason reason;
	struct scene scene;

	(void)state;
	scene_set(&scene);
	assert_int_equal(confirm_visible(&scene.facts, LAUNCH, &reason), OK);
	assert_int_equal(confirm_visible(NULL, LAUNCH, &reason), UNAVAILABLE);
	assert_string_equal(reason.code, REASON_NOT_VISIBLE_YET);
	strcpy(scene.facts.state, "pending");
	assert_int_equal(confirm_visible(&scene.facts, LAUNCH + 3600, &reason), UNAVAILABLE);
	assert_string_equal(reason.code, REASON_NOT_VISIBLE_YET);
	strcpy(scene.facts.state, "terminated");
	assert_int_equal(confirm_visible(&scene.facts, LAUNCH, &reason), OK);
}

static void profile_visible(void **state)
{
	static const struct {
		time_t launch, now;
		enum outcome outcome;
	} cases[] = {
		{ LAUNCH, LAUNCH, UNAVAILABLE },
		{ LAUNCH, LAUNCH + 59, UNAVAILABLE },
		{ LAUNCH, LAUNCH + 60, OK },
		{ LAUNCH, LAUNCH - 60, UNAVAILABLE },
		{ LAUNCH, LAUNCH - 61, OK },
		{ 0, LAUNCH, OK },
		{ 0, 30, OK },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct reason reason = { NULL, "" };
		struct scene scene;

		scene_set(&scene);
		scene.facts.launch_time = cases[i].launch;
		scene.facts.profile_arn[0] = '\0';
		assert_int_equal(confirm_visible(&scene.facts, cases[i].now, &reason), cases[i].outcome);
		/* an instance that has ended will never show one */
		strcpy(scene.facts.state, "terminated");
		assert_int_equal(confirm_visible(&scene.facts, cases[i].now, &reason), OK);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_true),
		cmocka_unit_test(attack_18_attributes_and_states),
		cmocka_unit_test(zones),
		cmocka_unit_test(no_public_name),
		cmocka_unit_test(first_label),
		cmocka_unit_test(peer_address),
		cmocka_unit_test(role),
		cmocka_unit_test(attack_18_visible),
		cmocka_unit_test(profile_visible),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
