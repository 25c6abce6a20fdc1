/* Rows of once-per-launch expire, and nothing comes of it: neither a change of policy, nor a clock that
 * steps, lets an instance have a second release of one launch (ATTACKS 26, 33). */
#include "store/expire.h"
#include "tests/unit/store_fixture.h"

#define DAY (24 * 3600LL)
static const long long S0 = 1767225600; /* T0 in seconds */
static const long long AGE = DAY + EXPIRE_MARGIN_DAYS * DAY;

static int begin(void **state)
{
	return scene_begin_with_secrets(state);
}

static int end(void **state)
{
	return scene_end(state, true);
}

/* A grant at the launch's own second. */
static enum outcome launched(
	struct store *store, unsigned instance, unsigned key, long long launch_time, bool per_launch)
{
	struct asked asked;
	enum outcome outcome;

	ask(&asked, instance, key);
	asked.claims->facts.launch_time = (time_t)launch_time;
	asked.decision.once_per_launch = per_launch;
	asked.record.now_us = launch_time * 1000000;
	outcome = record_asked(store, &asked);
	asked_clear(&asked);
	return outcome;
}

static unsigned expire(struct store *store, long long now_us)
{
	struct reason reason = { 0 };
	unsigned gone = 99999;

	assert_int_equal(store_expire(store, now_us, &gone, &reason), OK);
	return gone;
}

static bool there(struct store *store, unsigned instance)
{
	struct ledger_row row;
	struct reason reason;
	char id[INSTANCE_ID_SIZE];

	snprintf(id, sizeof(id), "i-%017x", instance);
	return ledger_show(store, ACCOUNT, REGION, id, &row, &reason) == OK;
}

static void what_is_moot_goes(void **state)
{
	struct store *store = ((struct scene *)*state)->store;
	long long now = (S0 + AGE + 100) * 1000000;
	json_t *event;

	assert_int_equal(expire(store, now), 0); /* an empty ledger */
	assert_int_equal(launched(store, 1, 1, S0, true), OK);
	assert_int_equal(launched(store, 2, 1, S0 + 99, true), OK);
	assert_int_equal(launched(store, 3, 1, S0 + 100, true), OK);
	assert_int_equal(launched(store, 4, 1, S0, false), OK); /* once-per-instance: for ever */
	assert_int_equal(launched(store, 5, 1, S0 + AGE + 100, true), OK);
	assert_int_equal(expire(store, now), 2);
	event = newest_event(store);
	assert_string_equal(said(event, "event"), "ledger.expired");
	assert_non_null(strstr(said(event, "comment"), "2 rows"));
	assert_non_null(strstr(said(event, "comment"), "before 2026-01-01T00:01:40"));
	json_decref(event);
	assert_false(there(store, 1));
	assert_false(there(store, 2));
	assert_true(there(store, 3));
	assert_true(there(store, 4));
	assert_true(there(store, 5));
	assert_int_equal(expire(store, now), 0); /* and no event */
	event = newest_event(store);
	assert_non_null(strstr(said(event, "comment"), "2 rows"));
	json_decref(event);
}

static void in_bounded_batches(void **state)
{
	struct store *store = ((struct scene *)*state)->store;
	long long now = (S0 + 2 * AGE) * 1000000;

	for (unsigned i = 1; i <= EXPIRE_BATCH + 3; i++)
		assert_int_equal(launched(store, i, 1, S0 + i, true), OK);
	assert_int_equal(launched(store, 100000, 1, S0 + 2 * AGE, true), OK);
	assert_int_equal(expire(store, now), EXPIRE_BATCH);
	assert_false(there(store, 1)); /* the oldest first */
	assert_true(there(store, EXPIRE_BATCH + 3));
	assert_int_equal(expire(store, now), 3);
	assert_true(there(store, 100000));
}

static void not_within_its_retry_window(void **state)
{
	struct scene *scene = *state;
	long long now = (S0 + 2 * AGE) * 1000000;
	char sql[120];

	assert_int_equal(launched(scene->store, 1, 1, S0, true), OK);
	assert_int_equal(launched(scene->store, 2, 1, S0 + 2 * AGE, true), OK);
	snprintf(sql, sizeof(sql), "UPDATE ledger SET retry_until_us = %lld", now);
	tamper(&scene->place, sql);
	assert_int_equal(expire(scene->store, now), 0);
	assert_int_equal(expire(scene->store, now + 1), 1);
}

/* A clock that is a year ahead forgets nothing that EC2's own launches do not confirm. */
static void attack_33_a_clock_that_runs_ahead_forgets_nothing(void **state)
{
	struct store *store = ((struct scene *)*state)->store;

	assert_int_equal(launched(store, 1, 1, S0, true), OK);
	assert_int_equal(launched(store, 2, 1, S0 + 60, true), OK);
	assert_int_equal(expire(store, (S0 + 365 * DAY) * 1000000), 0);
	assert_int_equal(expire(store, -1), 0);
	assert_int_equal(launched(store, 1, 2, S0, true), REFUSED);
	/* nor does a launch ahead of the clock */
	assert_int_equal(launched(store, 3, 1, S0 + 365 * DAY, true), OK);
	assert_int_equal(expire(store, (S0 + AGE) * 1000000), 0);
	assert_int_equal(expire(store, (S0 + AGE + 1) * 1000000), 1);
}

static struct policy *policy_of(const char *use, int window_ms, struct complaint *complaint)
{
	char text[800];

	snprintf(text, sizeof(text),
		"{\"rules\":[{\"name\":\"web\",\"role\":\"web-tier\",\"accounts\":[\"" ACCOUNT
		"\"],\"regions\":[\"" REGION "\"],\"evidence\":[],\"unbound_key\":true,"
		"\"launch_window\":\"%dms\",\"retry_window\":\"15m\",\"use\":\"%s\","
		"\"images\":[\"ami-0123456789abcdef0\"],\"secrets\":[\"pin\",\"key\"]}]}",
		window_ms, use);
	return policy_load("p.json", (struct bytes){ (unsigned char *)text, strlen(text) }, complaint);
}

/* Instance 1, of that launch, under another key, as the longest window that can be stated decides about it.
 */
static enum outcome asks_again(struct store *store, const char *use, long long launch_time, long long now)
{
	struct complaint complaint = { "" };
	struct policy *policy = policy_of(use, LAUNCH_WINDOW_MAX, &complaint);
	struct decision decision = { 0 };
	struct reason reason;
	struct asked asked;
	enum outcome outcome;

	if (!policy)
		fail_msg("%s", complaint.text);
	ask(&asked, 1, 2);
	claims_free(asked.claims);
	asked.claims = claims_new();
	asked.claims->facts.launch_time = (time_t)launch_time;
	asked.claims->facts.interface_attach_time = (time_t)S0;
	/* the claims are no whole ones: what counts is whether it may be a first use */
	(void)!policy_decide(policy_rule(policy, 0), asked.claims, (time_t)now, &decision, &reason);
	asked.decision.first_use_allowed = decision.first_use_allowed;
	asked.decision.once_per_launch = decision.once_per_launch;
	asked.record.now_us = now * 1000000;
	outcome = record_asked(store, &asked);
	asked_clear(&asked);
	policy_free(policy);
	return outcome;
}

/* The row is gone at the earliest moment that there is. The same launch asks again, under whatever policy,
 * and the same instance after a stop and a start, where the policy has become once-per-instance. */
static void attack_26_no_policy_brings_a_second_release_of_a_launch(void **state)
{
	struct store *store = ((struct scene *)*state)->store;
	struct complaint complaint = { "" };
	long long gone_at = S0 + AGE + 1;

	assert_int_equal(launched(store, 1, 1, S0, true), OK);
	assert_int_equal(launched(store, 2, 1, gone_at, true), OK);
	assert_int_equal(expire(store, (gone_at - 1) * 1000000), 0);
	assert_int_equal(asks_again(store, "once-per-launch", S0, S0 + 60), REFUSED); /* there is the row */
	assert_int_equal(expire(store, gone_at * 1000000), 1);
	assert_int_equal(asks_again(store, "once-per-launch", S0, gone_at), REFUSED);
	assert_int_equal(asks_again(store, "once-per-instance", S0, gone_at), REFUSED);
	assert_int_equal(asks_again(store, "once-per-instance", gone_at - 10, gone_at), REFUSED);
	/* the margin: a clock that is then set back by so much changes nothing */
	assert_int_equal(
		asks_again(store, "once-per-launch", S0, gone_at - EXPIRE_MARGIN_DAYS * DAY), REFUSED);
	/* what was its right all along */
	assert_int_equal(asks_again(store, "once-per-launch", gone_at - 10, gone_at), OK);
	/* and a longer window cannot be stated */
	assert_null(policy_of("once-per-launch", LAUNCH_WINDOW_MAX + 1, &complaint));
	assert_non_null(strstr(complaint.text, "launch_window"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_is_moot_goes, begin, end),
		cmocka_unit_test_setup_teardown(in_bounded_batches, begin, end),
		cmocka_unit_test_setup_teardown(not_within_its_retry_window, begin, end),
		cmocka_unit_test_setup_teardown(
			attack_33_a_clock_that_runs_ahead_forgets_nothing, begin, end),
		cmocka_unit_test_setup_teardown(
			attack_26_no_policy_brings_a_second_release_of_a_launch, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
