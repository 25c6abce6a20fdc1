/* The one-time ledger, branch by branch: what a first use, a repeat, another key, a re-arm and an
 * acknowledgement come to, with the event that each leaves. */
#include "tests/unit/store_fixture.h"

static int begin(void **state)
{
	return scene_begin_with_secrets(state);
}

static int end(void **state)
{
	return scene_end(state, true);
}

static void expect_event(struct store *store, const char *event, const char *outcome, const char *reason)
{
	json_t *newest = newest_event(store);

	assert_string_equal(said(newest, "event"), event);
	assert_string_equal(said(newest, "outcome"), outcome);
	assert_string_equal(said(newest, "reason"), reason);
	json_decref(newest);
}

static void show(struct store *store, unsigned instance, struct ledger_row *row)
{
	char id[INSTANCE_ID_SIZE];
	struct reason reason;

	snprintf(id, sizeof(id), "i-%017x", instance);
	assert_int_equal(ledger_show(store, ACCOUNT, REGION, id, row, &reason), OK);
}

static enum outcome rearm(struct store *store, unsigned instance, long long now_us, const unsigned char *key)
{
	char id[INSTANCE_ID_SIZE];
	struct reason reason;
	struct rearm rearm = { .account_id = ACCOUNT,
		.region = REGION,
		.instance_id = id,
		.reason = "disk swapped",
		.actor = "operator:alice",
		.now_us = now_us,
		.until_us = now_us + 10 * MINUTE,
		.recipient_sha256 = key };

	snprintf(id, sizeof(id), "i-%017x", instance);
	return ledger_rearm(store, &rearm, &reason);
}

static void first_use_is_granted(void **state)
{
	struct store *store = ((struct scene *)*state)->store;
	struct asked asked;
	struct ledger_row row;
	json_t *event;

	ask(&asked, 1, 1);
	assert_int_equal(record_asked(store, &asked), OK);
	assert_non_null(asked.record.grant);
	assert_string_equal(grant_release_id(asked.record.grant), asked.record.release_id);
	assert_string_equal(grant_instance_id(asked.record.grant), asked.assertion.instance_id);
	assert_memory_equal(grant_recipient(asked.record.grant), &asked.recipient, sizeof(asked.recipient));
	assert_false(grant_repeated(asked.record.grant));
	assert_string_equal(grant_envelope(asked.record.grant, 0)->name, "pin");
	assert_string_equal(grant_envelope(asked.record.grant, 1)->name, "key");
	assert_int_equal(grant_envelope(asked.record.grant, 1)->n_wraps, 1);
	assert_int_equal(grant_envelope(asked.record.grant, 1)->text_length, 40);
	assert_null(grant_envelope(asked.record.grant, 2));
	/* UUIDv7 begins with T0 in milliseconds */
	assert_memory_equal(asked.record.release_id, "019b76da-a800-7", 15);
	assert_non_null(strchr("89ab", asked.record.release_id[19]));
	event = newest_event(store);
	assert_string_equal(said(event, "event"), "release.granted");
	assert_string_equal(said(event, "release_id"), asked.record.release_id);
	assert_string_equal(said(event, "time"), "2026-01-01T00:00:00.000000Z");
	assert_int_equal(json_array_size(json_object_get(event, "secrets")), 2);
	json_decref(event);
	show(store, 1, &row);
	assert_string_equal(row.release_id, asked.record.release_id);
	assert_memory_equal(row.recipient_sha256, asked.recipient.sha256, 32);
	assert_string_equal(row.secrets, "pin:1,key:1");
	assert_string_equal(row.rule, "web");
	assert_int_equal(row.granted_us, T0);
	assert_int_equal(row.retry_until_us, T0 + 15 * MINUTE);
	assert_int_equal(row.acknowledged_us, 0);
	assert_int_equal(row.collected, 1);
	assert_int_equal(row.armed_us, 0);
	asked_clear(&asked);
}

static void same_key_repeats(void **state)
{
	struct store *store = ((struct scene *)*state)->store;
	char first[RELEASE_ID_SIZE];
	struct asked asked;
	struct ledger_row row;
	json_t *event;

	assert_int_equal(release_at(store, 1, 1, T0, first), OK);
	secret_put(store, "pin", 2);
	ask(&asked, 1, 1);
	first_use_closed(&asked, CHECK_LAUNCH_WINDOW);
	asked.record.now_us = T0 + 60 * MINUTE; /* not acknowledged: for ever */
	assert_int_equal(record_asked(store, &asked), OK);
	assert_string_equal(asked.record.release_id, first);
	assert_true(grant_repeated(asked.record.grant));
	assert_int_equal(grant_envelope(asked.record.grant, 0)->version, 1); /* as granted */
	assert_int_equal(claims_check(asked.claims, CHECK_LAUNCH_WINDOW)->result, CHECK_WAIVED);
	assert_int_equal(claims_check(asked.claims, CHECK_ORIGINAL_BOOT)->result, CHECK_PASSED);
	event = newest_event(store);
	assert_string_equal(said(event, "event"), "release.repeated");
	assert_string_equal(check_said(event, CHECK_LAUNCH_WINDOW), check_result_name(CHECK_WAIVED));
	assert_string_equal(check_said(event, CHECK_ORIGINAL_BOOT), check_result_name(CHECK_PASSED));
	json_decref(event);
	show(store, 1, &row);
	assert_int_equal(row.collected, 2);
	asked_clear(&asked);
}

static void repeat_with_a_removed_version_gets_the_newest(void **state)
{
	struct store *store = ((struct scene *)*state)->store;
	struct asked asked;
	struct reason reason;

	assert_int_equal(release_at(store, 1, 1, T0, NULL), OK);
	secret_put(store, "pin", 2);
	secret_put(store, "pin", 3);
	assert_int_equal(store_envelope_remove(store, "pin", 1, "operator:a", NULL, &reason), OK);
	ask(&asked, 1, 1);
	assert_int_equal(record_asked(store, &asked), OK);
	assert_int_equal(grant_envelope(asked.record.grant, 0)->version, 3);
	assert_int_equal(grant_envelope(asked.record.grant, 1)->version, 1);
	asked_clear(&asked);
}

static void acknowledged_and_the_windows_edges(void **state)
{
	struct store *store = ((struct scene *)*state)->store;
	const long long edge = T0 + 15 * MINUTE;
	char first[RELEASE_ID_SIZE], again[RELEASE_ID_SIZE];
	struct asked asked;

	assert_int_equal(release_at(store, 1, 1, T0, first), OK);
	assert_int_equal(acknowledge_at(store, first, T0 + MINUTE), OK);
	assert_int_equal(release_at(store, 1, 1, edge - 1, again), OK);
	assert_string_equal(again, first);
	ask(&asked, 1, 1);
	asked.record.now_us = edge;
	assert_int_equal(record_asked(store, &asked), REFUSED);
	assert_string_equal(asked.record.reason.code, REASON_ALREADY_COLLECTED);
	assert_null(asked.record.grant);
	assert_string_equal(asked.record.release_id, "");
	expect_event(store, "release.denied", "refused", REASON_ALREADY_COLLECTED);
	asked_clear(&asked);
}

static void attack_26_another_key_is_a_conflict(void **state)
{
	struct store *store = ((struct scene *)*state)->store;
	struct asked asked;
	struct ledger_row row;

	assert_int_equal(release_at(store, 1, 1, T0, NULL), OK);
	for (int closed = 0; closed < 2; closed++) {
		ask(&asked, 1, 2);
		if (closed)
			first_use_closed(&asked, CHECK_ORIGINAL_BOOT);
		assert_int_equal(record_asked(store, &asked), REFUSED);
		assert_string_equal(asked.record.reason.code, REASON_ALREADY_RELEASED);
		assert_null(asked.record.grant);
		expect_event(store, "release.conflict", "refused", REASON_ALREADY_RELEASED);
		asked_clear(&asked);
	}
	show(store, 1, &row);
	assert_int_equal(row.collected, 1);
}

static void first_use_not_allowed(void **state)
{
	static const char *const checks[] = { CHECK_LAUNCH_WINDOW, CHECK_ORIGINAL_BOOT };
	struct store *store = ((struct scene *)*state)->store;
	struct asked asked;
	json_t *event;

	for (int i = 0; i < 2; i++) {
		ask(&asked, 1, 1);
		first_use_closed(&asked, checks[i]);
		assert_int_equal(record_asked(store, &asked), REFUSED);
		assert_string_equal(asked.record.reason.code, checks[i]);
		assert_int_equal(claims_check(asked.claims, checks[i])->result, CHECK_FAILED);
		expect_event(store, "release.denied", "refused", checks[i]);
		event = newest_event(store);
		assert_string_equal(check_said(event, checks[i]), check_result_name(CHECK_FAILED));
		assert_string_equal(said(event, "instance-id"), asked.assertion.instance_id);
		json_decref(event);
		asked_clear(&asked);
	}
	assert_int_equal(release_at(store, 1, 2, T0, NULL), OK); /* nothing was burned */
}

static void once_per_launch(void **state)
{
	struct store *store = ((struct scene *)*state)->store;
	const struct {
		unsigned key;
		int later; /* seconds after the first launch */
		bool per_launch;
		enum outcome outcome;
	} steps[] = {
		{ 1, 0, true, OK }, /* first */
		{ 2, 0, true, REFUSED }, /* same launch */
		{ 2, -1, true, REFUSED }, /* an earlier one */
		{ 2, 1, false, REFUSED }, /* the rule says once per instance by now */
		{ 2, 1, true, OK }, /* a later launch */
		{ 1, 1, true, REFUSED }, /* the first key has no claim any more */
		{ 2, 1, true, OK }, /* a repeat */
		{ 3, 3600, true, OK },
	};
	struct asked asked;

	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		ask(&asked, 1, steps[i].key);
		asked.decision.once_per_launch = steps[i].per_launch;
		asked.claims->facts.launch_time += steps[i].later;
		assert_int_equal(record_asked(store, &asked), steps[i].outcome);
		asked_clear(&asked);
	}
}

/* ATTACKS 26: a policy that becomes laxer, another role or rule must not re-arm what was granted once. */
static void attack_26_a_changed_policy_re_arms_nothing(void **state)
{
	struct store *store = ((struct scene *)*state)->store;
	struct asked asked;

	assert_int_equal(release_at(store, 1, 1, T0, NULL), OK); /* once per instance */
	ask(&asked, 1, 2);
	asked.decision.once_per_launch = true;
	asked.claims->facts.launch_time += 7200;
	asked.record.rule = "other";
	snprintf(asked.assertion.role, ROLE_SIZE, "other-role");
	assert_int_equal(record_asked(store, &asked), REFUSED);
	assert_string_equal(asked.record.reason.code, REASON_ALREADY_RELEASED);
	asked_clear(&asked);
	ask(&asked, 1, 1); /* a shorter or longer retry window now: the one of the grant counts */
	asked.decision.retry_window = 1;
	asked.record.now_us = T0 + 15 * MINUTE - 1;
	assert_int_equal(record_asked(store, &asked), OK);
	assert_true(grant_repeated(asked.record.grant));
	asked_clear(&asked);
}

static void rearm_lets_exactly_one_more(void **state)
{
	struct store *store = ((struct scene *)*state)->store;
	char first[RELEASE_ID_SIZE];
	struct asked asked;
	struct ledger_row row;
	json_t *event;

	assert_int_equal(release_at(store, 1, 1, T0, first), OK);
	assert_int_equal(rearm(store, 1, T0 + MINUTE, NULL), OK);
	expect_event(store, "ledger.rearmed", "ok", "");
	assert_int_equal(rearm(store, 1, T0 + MINUTE, NULL), REFUSED); /* one is open */
	show(store, 1, &row);
	assert_string_equal(row.release_id, first);
	assert_int_equal(row.armed_us, T0 + MINUTE);
	assert_int_equal(row.spent_us, 0);
	assert_string_equal(row.armed_by, "operator:alice");
	assert_string_equal(row.armed_reason, "disk swapped");
	ask(&asked, 1, 2);
	first_use_closed(&asked, CHECK_ORIGINAL_BOOT);
	asked.record.now_us = T0 + 2 * MINUTE;
	assert_int_equal(record_asked(store, &asked), OK);
	assert_false(grant_repeated(asked.record.grant));
	assert_string_not_equal(asked.record.release_id, first);
	event = newest_event(store);
	assert_string_equal(said(event, "event"), "release.granted");
	assert_string_equal(said(event, "comment"), "re-arm 1 by operator:alice: disk swapped");
	assert_string_equal(check_said(event, CHECK_ORIGINAL_BOOT), check_result_name(CHECK_WAIVED));
	json_decref(event);
	show(store, 1, &row);
	assert_string_equal(row.release_id, asked.record.release_id);
	assert_int_equal(row.spent_us, T0 + 2 * MINUTE);
	asked_clear(&asked);
	assert_int_equal(release_at(store, 1, 1, T0 + 3 * MINUTE, NULL), REFUSED);
	assert_int_equal(release_at(store, 1, 3, T0 + 3 * MINUTE, NULL), REFUSED);
	assert_int_equal(
		acknowledge_at(store, first, T0 + 3 * MINUTE), REFUSED); /* that release is no more */
	assert_int_equal(rearm(store, 1, T0 + 4 * MINUTE, NULL), OK); /* the spent one is not in the way */
}

static void rearm_ends_at_its_time(void **state)
{
	struct store *store = ((struct scene *)*state)->store;

	assert_int_equal(release_at(store, 1, 1, T0, NULL), OK);
	assert_int_equal(rearm(store, 1, T0, NULL), OK);
	assert_int_equal(release_at(store, 1, 2, T0 + 10 * MINUTE, NULL), REFUSED);
	assert_int_equal(release_at(store, 1, 2, T0 + 10 * MINUTE - 1, NULL), OK);
}

static void rearm_for_one_key(void **state)
{
	struct store *store = ((struct scene *)*state)->store;
	struct recipient meant = key_number(7);

	assert_int_equal(release_at(store, 1, 1, T0, NULL), OK);
	assert_int_equal(rearm(store, 1, T0, meant.sha256), OK);
	assert_int_equal(release_at(store, 1, 2, T0, NULL), REFUSED);
	assert_int_equal(release_at(store, 1, 7, T0, NULL), OK);
}

static void rearm_without_a_row_stands_in_for_the_window(void **state)
{
	struct store *store = ((struct scene *)*state)->store;
	struct asked asked;
	struct ledger_row row;

	assert_int_equal(rearm(store, 1, T0, NULL), OK);
	show(store, 1, &row);
	assert_string_equal(row.release_id, "");
	ask(&asked, 1, 1);
	first_use_closed(&asked, CHECK_LAUNCH_WINDOW);
	assert_int_equal(record_asked(store, &asked), OK);
	assert_int_equal(claims_check(asked.claims, CHECK_LAUNCH_WINDOW)->result, CHECK_WAIVED);
	asked_clear(&asked);
	assert_int_equal(release_at(store, 1, 2, T0, NULL), REFUSED);
}

/* Armed before it had anything: the ordinary first use that comes spends it, and there is no second one. */
static void rearm_is_spent_by_an_ordinary_first_use(void **state)
{
	struct store *store = ((struct scene *)*state)->store;
	struct ledger_row row;
	json_t *event;

	assert_int_equal(rearm(store, 1, T0, NULL), OK);
	assert_int_equal(release_at(store, 1, 1, T0 + MINUTE, NULL), OK);
	event = newest_event(store);
	assert_non_null(strstr(said(event, "comment"), "re-arm"));
	json_decref(event);
	show(store, 1, &row);
	assert_int_equal(row.spent_us, T0 + MINUTE);
	assert_int_equal(release_at(store, 1, 2, T0 + 2 * MINUTE, NULL), REFUSED);
}

static void rearm_of_the_same_key_is_spent_last(void **state)
{
	struct store *store = ((struct scene *)*state)->store;
	char first[RELEASE_ID_SIZE], again[RELEASE_ID_SIZE];
	struct ledger_row row;

	assert_int_equal(release_at(store, 1, 1, T0, first), OK);
	assert_int_equal(acknowledge_at(store, first, T0), OK);
	assert_int_equal(rearm(store, 1, T0 + 14 * MINUTE, NULL), OK);
	assert_int_equal(release_at(store, 1, 1, T0 + 15 * MINUTE - 1, again), OK);
	assert_string_equal(again, first);
	show(store, 1, &row);
	assert_int_equal(row.spent_us, 0);
	assert_int_equal(release_at(store, 1, 1, T0 + 15 * MINUTE, again), OK);
	assert_string_not_equal(again, first);
	show(store, 1, &row);
	assert_int_equal(row.spent_us, T0 + 15 * MINUTE);
	assert_int_equal(row.acknowledged_us, 0);
}

static void rearm_is_refused(void **state)
{
	struct store *store = ((struct scene *)*state)->store;
	const struct rearm good = { .account_id = ACCOUNT,
		.region = REGION,
		.instance_id = "i-0123456789abcdef0",
		.reason = "r",
		.actor = "a",
		.now_us = T0,
		.until_us = T0 + 1 };
	struct rearm bad[8];
	struct reason reason;
	char long_text[300];

	memset(long_text, 'x', sizeof(long_text) - 1);
	long_text[sizeof(long_text) - 1] = '\0';
	for (size_t i = 0; i < 8; i++)
		bad[i] = good;
	bad[0].reason = "";
	bad[1].actor = "";
	bad[2].until_us = T0;
	bad[3].reason = NULL;
	bad[4].actor = NULL;
	bad[5].reason = long_text;
	bad[6].instance_id = "i-0123456789ABCDEF0";
	bad[7].account_id = "12345678901";
	for (size_t i = 0; i < 8; i++)
		assert_int_equal(ledger_rearm(store, &bad[i], &reason), REFUSED);
	assert_int_equal(chain_whole(store), 2); /* the secrets' events */
	assert_int_equal(ledger_rearm(store, &good, &reason), OK);
}

static void acknowledging(void **state)
{
	struct store *store = ((struct scene *)*state)->store;
	char id[RELEASE_ID_SIZE];
	struct ledger_row row;
	json_t *event;
	long long events;

	assert_int_equal(release_at(store, 1, 1, T0, id), OK);
	assert_int_equal(acknowledge_at(store, id, T0 + 5), OK);
	event = newest_event(store);
	assert_string_equal(said(event, "event"), "release.acknowledged");
	assert_string_equal(said(event, "release_id"), id);
	assert_string_equal(said(event, "instance-id"), "i-00000000000000001");
	assert_string_equal(said(event, "account-id"), ACCOUNT);
	assert_string_equal(said(event, "region"), REGION);
	assert_string_equal(said(event, "role"), "web-tier");
	assert_string_equal(said(json_object_get(event, "policy"), "rule"), "web");
	json_decref(event);
	events = chain_whole(store);
	assert_int_equal(acknowledge_at(store, id, T0 + 9), OK);
	assert_int_equal(acknowledge_at(store, "019b76da-a800-7000-8000-000000000000", T0), REFUSED);
	assert_int_equal(acknowledge_at(store, "' OR 1=1 --", T0), REFUSED);
	assert_int_equal(chain_whole(store), events);
	show(store, 1, &row);
	assert_int_equal(row.acknowledged_us, T0 + 5);
}

static enum outcome sealed_at(struct store *store, const char *release_id, long long now_us)
{
	struct record record = { .kind = RECORD_SEALED, .now_us = now_us, .outcome = OK };

	snprintf(record.release_id, sizeof(record.release_id), "%s", release_id);
	return record_one(store, &record);
}

static void states(void **state)
{
	struct store *store = ((struct scene *)*state)->store;
	char id[RELEASE_ID_SIZE], again[RELEASE_ID_SIZE];
	struct ledger_row row;
	struct reason reason;
	long long events;

	assert_int_equal(rearm(store, 2, T0, NULL), OK);
	show(store, 2, &row);
	assert_int_equal(row.state, LEDGER_NONE);
	assert_int_equal(release_at(store, 1, 1, T0, id), OK);
	show(store, 1, &row);
	assert_int_equal(row.state, LEDGER_GRANTED);
	assert_string_equal(row.instance, "i-00000000000000001");
	assert_int_equal(row.launch_time, T0 / 1000000 - 30);
	events = chain_whole(store);
	assert_int_equal(sealed_at(store, id, T0 + 1), OK);
	assert_int_equal(sealed_at(store, id, T0 + 2), OK); /* the first time stands */
	assert_int_equal(sealed_at(store, "019b76da-a800-7000-8000-000000000000", T0), OK); /* it expired */
	assert_int_equal(chain_whole(store), events); /* no event */
	show(store, 1, &row);
	assert_int_equal(row.state, LEDGER_SEALED);
	assert_int_equal(row.sealed_us, T0 + 1);
	assert_int_equal(acknowledge_at(store, id, T0 + 5), OK);
	show(store, 1, &row);
	assert_int_equal(row.state, LEDGER_ACKNOWLEDGED);
	/* somebody else, twice; the right key's own repeats are none */
	assert_int_equal(release_at(store, 1, 1, T0 + 6, NULL), OK);
	assert_int_equal(release_at(store, 1, 2, T0 + 7, NULL), REFUSED);
	assert_int_equal(release_at(store, 1, 3, T0 + 8, NULL), REFUSED);
	assert_int_equal(
		release_at(store, 1, 1, T0 + 16 * MINUTE, NULL), REFUSED); /* collected: no conflict */
	show(store, 1, &row);
	assert_int_equal(row.state, LEDGER_CONFLICTING);
	assert_int_equal(row.conflicts, 2);
	assert_int_equal(row.conflict_us, T0 + 8);
	assert_int_equal(row.acknowledged_us, T0 + 5);
	/* the next grant begins anew */
	assert_int_equal(rearm(store, 1, T0 + 20 * MINUTE, NULL), OK);
	assert_int_equal(release_at(store, 1, 2, T0 + 21 * MINUTE, again), OK);
	assert_string_not_equal(again, id);
	show(store, 1, &row);
	assert_int_equal(row.state, LEDGER_GRANTED);
	assert_int_equal(row.sealed_us + row.conflict_us + row.conflicts, 0);
	assert_int_equal(sealed_at(store, id, T0 + 22 * MINUTE), OK); /* of the one before */
	show(store, 1, &row);
	assert_int_equal(row.state, LEDGER_GRANTED);
	assert_int_equal(ledger_show(store, ACCOUNT, REGION, "i-00000000000000009", &row, &reason), REFUSED);
}

/* A first use of the rule, at most two of which are allowed within an hour. */
static enum outcome paced_at(struct store *store, unsigned instance, unsigned key, long long now_us)
{
	struct asked asked;
	enum outcome outcome;

	ask(&asked, instance, key);
	asked.decision.max_per_hour = 2;
	asked.record.now_us = now_us;
	outcome = record_asked(store, &asked);
	if (outcome != OK) {
		assert_string_equal(asked.record.reason.code, REASON_RULE_HELD);
		assert_null(asked.record.grant);
		assert_string_equal(asked.record.release_id, "");
	}
	asked_clear(&asked);
	return outcome;
}

static size_t alarms(struct store *store)
{
	bool more;
	json_t *events = events_like(
		store, &(struct audit_filter){ .event = "rule.held", .limit = 100 }, &more);
	size_t n = json_array_size(events);

	json_decref(events);
	return n;
}

static void beyond_its_pace_a_rule_holds(void **state)
{
	struct store *store = ((struct scene *)*state)->store;
	struct ledger_row row;
	struct reason reason;

	assert_int_equal(paced_at(store, 1, 1, T0), OK);
	assert_int_equal(paced_at(store, 2, 2, T0 + MINUTE), OK);
	assert_int_equal(alarms(store), 0);
	assert_int_equal(paced_at(store, 3, 3, T0 + 2 * MINUTE), UNAVAILABLE);
	expect_event(store, "rule.held", "unavailable", REASON_RULE_HELD);
	assert_int_equal(paced_at(store, 4, 4, T0 + 3 * MINUTE), UNAVAILABLE);
	assert_int_equal(alarms(store), 1); /* one an hour */
	assert_int_equal(ledger_show(store, ACCOUNT, REGION, "i-00000000000000003", &row, &reason), REFUSED);
	/* who has a release collects it all the same, and conflicts are told as ever */
	assert_int_equal(paced_at(store, 1, 1, T0 + 4 * MINUTE), OK);
	/* both edges of the hour */
	assert_int_equal(paced_at(store, 3, 3, T0 + 60 * MINUTE - 1), UNAVAILABLE);
	assert_int_equal(paced_at(store, 3, 3, T0 + 60 * MINUTE), OK);
	assert_int_equal(paced_at(store, 4, 4, T0 + 60 * MINUTE), UNAVAILABLE);
	assert_int_equal(paced_at(store, 4, 4, T0 + 62 * MINUTE), OK);
	assert_int_equal(paced_at(store, 5, 5, T0 + 63 * MINUTE), UNAVAILABLE);
	assert_int_equal(alarms(store), 2);
}

/* Nine come at once, two of them for a release that they have: four more first uses are as many as five an
 * hour allow, whatever order the keys have. */
static void a_batch_that_meets_the_pace(void **state)
{
	enum { OLD = 2, ALL = 9, MOST = 5 };
	struct store *store = ((struct scene *)*state)->store;
	struct asked asked[ALL];
	struct record *batch[ALL];
	unsigned granted = 0, repeated = 0, held = 0;

	assert_int_equal(release_at(store, 1, 1, T0, NULL), OK);
	for (unsigned i = 0; i < ALL; i++) {
		ask(&asked[i], i < OLD ? 1 : i, 1);
		asked[i].decision.max_per_hour = MOST;
		batch[i] = asked_record(&asked[i]);
	}
	store_record(store, batch, ALL);
	for (unsigned i = 0; i < ALL; i++) {
		bool good = batch[i]->outcome == OK;

		granted += good && !grant_repeated(batch[i]->grant);
		repeated += good && grant_repeated(batch[i]->grant);
		held += batch[i]->outcome == UNAVAILABLE &&
			strcmp(batch[i]->reason.code, REASON_RULE_HELD) == 0;
		asked_clear(&asked[i]);
	}
	assert_int_equal(granted, MOST - 1);
	assert_int_equal(repeated, OLD);
	assert_int_equal(held, ALL - OLD - (MOST - 1));
	assert_int_equal(alarms(store), 1);
}

/* A later launch is a first use, too: beyond the pace it is held, and no conflict. */
static void a_later_launch_has_to_wait(void **state)
{
	struct store *store = ((struct scene *)*state)->store;
	struct asked asked;

	for (unsigned i = 0; i < 3; i++) {
		ask(&asked, i == 1 ? 2 : 1, i);
		asked.decision.once_per_launch = true;
		asked.decision.max_per_hour = 2;
		asked.claims->facts.launch_time += i;
		assert_int_equal(record_asked(store, &asked), i < 2 ? OK : UNAVAILABLE);
		if (i == 2)
			assert_string_equal(asked.record.reason.code, REASON_RULE_HELD);
		asked_clear(&asked);
	}
}

/* Whoever is first spends it: it never adds a second release to that of another key. */
static void a_rearm_for_one_key_is_spent_by_another(void **state)
{
	struct store *store = ((struct scene *)*state)->store;
	const struct recipient meant = key_number(1);

	assert_int_equal(rearm(store, 1, T0, meant.sha256), OK);
	assert_int_equal(release_at(store, 1, 2, T0 + MINUTE, NULL), OK);
	assert_int_equal(release_at(store, 1, 1, T0 + 2 * MINUTE, NULL), REFUSED);
	assert_int_equal(rearm(store, 1, T0 + 3 * MINUTE, meant.sha256), OK);
	assert_int_equal(release_at(store, 1, 3, T0 + 4 * MINUTE, NULL), REFUSED);
	assert_int_equal(release_at(store, 1, 1, T0 + 5 * MINUTE, NULL), OK);
}

static void missing_secret_burns_nothing(void **state)
{
	struct store *store = ((struct scene *)*state)->store;
	struct asked asked, good;
	struct ledger_row row;
	struct reason reason;
	long long events = chain_whole(store);

	ask(&asked, 1, 1);
	asked.decision.secrets[1] = "nobody-stored-it";
	ask(&good, 2, 1);
	store_record(store, (struct record *[]){ asked_record(&asked), asked_record(&good) }, 2);
	assert_int_equal(asked.record.outcome, UNAVAILABLE);
	assert_string_equal(asked.record.reason.code, REASON_SECRET_MISSING);
	assert_null(asked.record.grant);
	assert_int_equal(good.record.outcome, OK); /* for that record alone */
	assert_int_equal(chain_whole(store), events + 1);
	assert_int_equal(ledger_show(store, ACCOUNT, REGION, "i-00000000000000001", &row, &reason), REFUSED);
	assert_string_equal(reason.code, REASON_NOT_FOUND);
	asked_clear(&asked);
	asked_clear(&good);
}

/* What the vault keeps for itself is no secret of a rule, whatever the policy says. */
static void the_node_key_is_never_released(void **state)
{
	struct store *store = ((struct scene *)*state)->store;
	unsigned char text[48] = { 0 };
	struct envelope node = {
		.name = "node-key", .kind = "node", .version = 1, .text = text, .text_length = 48
	};
	struct asked asked;
	struct reason reason;

	assert_int_equal(store_envelope_put(store, &node, "operator:a", NULL, &reason), OK);
	ask(&asked, 1, 1);
	asked.decision.secrets[1] = "node-key";
	assert_int_equal(record_asked(store, &asked), UNAVAILABLE);
	assert_string_equal(asked.record.reason.code, REASON_SECRET_MISSING);
	asked_clear(&asked);
}

static void refusals_are_recorded_and_stay(void **state)
{
	struct store *store = ((struct scene *)*state)->store;
	struct asked asked;
	json_t *event;

	ask(&asked, 1, 1);
	asked.record.outcome = refused(&asked.record.reason, CHECK_STATE, "stopped is not running");
	claims_check(asked.claims, CHECK_STATE)->result = CHECK_FAILED;
	assert_int_equal(record_asked(store, &asked), REFUSED);
	assert_string_equal(asked.record.reason.code, CHECK_STATE);
	event = newest_event(store);
	assert_string_equal(said(event, "event"), "release.denied");
	assert_string_equal(said(event, "reason"), CHECK_STATE);
	assert_string_equal(said(event, "comment"), "stopped is not running");
	assert_int_equal(json_array_size(json_object_get(event, "checks")), 3);
	assert_null(json_object_get(event, "secrets"));
	assert_null(json_object_get(event, "release_id"));
	json_decref(event);
	asked_clear(&asked);
	assert_int_equal(release_at(store, 1, 1, T0, NULL), OK);
}

static void what_is_not_known_is_not_recorded(void **state)
{
	struct store *store = ((struct scene *)*state)->store;
	long long events = chain_whole(store);
	struct asked asked;

	ask(&asked, 1, 1);
	asked.record.outcome = unavailable(&asked.record.reason, REASON_UPSTREAM, "x");
	assert_int_equal(record_asked(store, &asked), UNAVAILABLE);
	assert_string_equal(asked.record.reason.code, REASON_UPSTREAM);
	asked.record.outcome = fault(&asked.record.reason, REASON_INTERNAL, "x");
	assert_int_equal(record_asked(store, &asked), FAULT);
	asked.record.outcome = OK; /* OK so far, and no decision */
	asked_record(&asked)->decision = NULL;
	assert_int_equal(record_one(store, &asked.record), FAULT);
	assert_null(asked.record.grant);
	assert_int_equal(chain_whole(store), events);
	asked_clear(&asked);
}

/* What somebody else has written into a row's list of secrets is not what was granted. */
static void secrets_out_of_form(void **state)
{
	static const char *const lists[] = { "", "pin", "pin:", "pin:0", "pin:+1", "pin: 1", "pin:-1",
		"pin:1,", "pin:1x", ",pin:1", "pin:4294967297", "PIN:1", "node:1", "canary:1", "../pin:1",
		":1" };
	struct scene *scene = *state;
	char sql[80];

	assert_int_equal(release_at(scene->store, 1, 1, T0, NULL), OK);
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		snprintf(sql, sizeof(sql), "UPDATE ledger SET secrets = '%s'", lists[i]);
		tamper(&scene->place, sql);
		if (release_at(scene->store, 1, 1, T0, NULL) != UNAVAILABLE)
			fail_msg("%s", lists[i]);
	}
	tamper(&scene->place, "UPDATE ledger SET secrets = 'pin:1,key:1'");
	assert_int_equal(release_at(scene->store, 1, 1, T0, NULL), OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(first_use_is_granted, begin, end),
		cmocka_unit_test_setup_teardown(same_key_repeats, begin, end),
		cmocka_unit_test_setup_teardown(repeat_with_a_removed_version_gets_the_newest, begin, end),
		cmocka_unit_test_setup_teardown(acknowledged_and_the_windows_edges, begin, end),
		cmocka_unit_test_setup_teardown(attack_26_another_key_is_a_conflict, begin, end),
		cmocka_unit_test_setup_teardown(first_use_not_allowed, begin, end),
		cmocka_unit_test_setup_teardown(once_per_launch, begin, end),
		cmocka_unit_test_setup_teardown(attack_26_a_changed_policy_re_arms_nothing, begin, end),
		cmocka_unit_test_setup_teardown(rearm_lets_exactly_one_more, begin, end),
		cmocka_unit_test_setup_teardown(rearm_ends_at_its_time, begin, end),
		cmocka_unit_test_setup_teardown(rearm_for_one_key, begin, end),
		cmocka_unit_test_setup_teardown(rearm_without_a_row_stands_in_for_the_window, begin, end),
		cmocka_unit_test_setup_teardown(rearm_is_spent_by_an_ordinary_first_use, begin, end),
		cmocka_unit_test_setup_teardown(rearm_of_the_same_key_is_spent_last, begin, end),
		cmocka_unit_test_setup_teardown(rearm_is_refused, begin, end),
		cmocka_unit_test_setup_teardown(acknowledging, begin, end),
		cmocka_unit_test_setup_teardown(states, begin, end),
		cmocka_unit_test_setup_teardown(beyond_its_pace_a_rule_holds, begin, end),
		cmocka_unit_test_setup_teardown(a_batch_that_meets_the_pace, begin, end),
		cmocka_unit_test_setup_teardown(a_later_launch_has_to_wait, begin, end),
		cmocka_unit_test_setup_teardown(a_rearm_for_one_key_is_spent_by_another, begin, end),
		cmocka_unit_test_setup_teardown(missing_secret_burns_nothing, begin, end),
		cmocka_unit_test_setup_teardown(the_node_key_is_never_released, begin, end),
		cmocka_unit_test_setup_teardown(refusals_are_recorded_and_stay, begin, end),
		cmocka_unit_test_setup_teardown(what_is_not_known_is_not_recorded, begin, end),
		cmocka_unit_test_setup_teardown(secrets_out_of_form, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
