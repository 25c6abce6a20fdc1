/* The ledger of a rule's instances: every page of it, every state, and re-arming them all: each once for one
 * reason, however often it is run and wherever it was cut short. */
#include "store/fleet.h"
#include "tests/unit/store_fixture.h"

enum { MANY = 2 * FLEET_BATCH + 7 };

static int begin(void **state)
{
	return scene_begin_with_secrets(state);
}

static int end(void **state)
{
	return scene_end(state, true);
}

static const long long S0 = 1767225600; /* T0 in seconds */

static enum outcome launched_at(
	struct store *store, unsigned instance, unsigned key, long long launch_time, const char *rule)
{
	struct asked asked;
	enum outcome outcome;

	ask(&asked, instance, key);
	asked.claims->facts.launch_time = (time_t)launch_time;
	asked.record.rule = rule;
	outcome = record_asked(store, &asked);
	asked_clear(&asked);
	return outcome;
}

/* `n` instances, three to a second of launch. */
static void fleet_make(struct store *store, unsigned n)
{
	enum { ROOM = 256 };
	static struct asked asked[ROOM];
	struct record *batch[ROOM];

	for (unsigned i = 0; i < n; i += ROOM) {
		unsigned count = n - i < ROOM ? n - i : ROOM;

		for (unsigned j = 0; j < count; j++) {
			ask(&asked[j], i + j + 1, 1);
			asked[j].claims->facts.launch_time = S0 - 600 + (i + j) / 3;
			batch[j] = asked_record(&asked[j]);
		}
		store_record(store, batch, count);
		for (unsigned j = 0; j < count; j++) {
			assert_int_equal(asked[j].record.outcome, OK);
			asked_clear(&asked[j]);
		}
	}
}

struct seen {
	unsigned n, most;
	struct ledger_row last;
	bool sorted;
};

static bool see(void *context, const struct ledger_row *row)
{
	struct seen *seen = context;

	seen->sorted = seen->sorted &&
		       (seen->n == 0 || row->launch_time > seen->last.launch_time ||
			       (row->launch_time == seen->last.launch_time &&
				       memcmp(row->one_time_hash, seen->last.one_time_hash, 32) > 0));
	seen->last = *row;
	return ++seen->n != seen->most;
}

static struct seen list(struct store *store, long long launched_after, enum ledger_state state, unsigned most)
{
	const struct fleet fleet = { "web", launched_after };
	struct seen seen = { .sorted = true, .most = most };
	struct fleet_place place = { 0 };
	struct reason reason;

	while (!place.ended)
		assert_int_equal(fleet_list(store, &fleet, state, &place, see, &seen, &reason), OK);
	assert_true(seen.sorted);
	return seen;
}

static bool count_row(void *context, const struct ledger_row *row)
{
	(void)row;
	return ++*(unsigned *)context <= 2 * FLEET_PAGE;
}

/* Up to twice a page, in whatever order. */
static unsigned list_any(struct store *store)
{
	const struct fleet fleet = { "web", 0 };
	struct fleet_place place = { 0 };
	struct reason reason;
	unsigned n = 0;

	while (!place.ended)
		assert_int_equal(fleet_list(store, &fleet, LEDGER_NONE, &place, count_row, &n, &reason), OK);
	return n;
}

static void every_instance_is_listed_once(void **state)
{
	struct store *store = ((struct scene *)*state)->store;

	assert_int_equal(list(store, 0, LEDGER_NONE, 0).n, 0);
	fleet_make(store, 2 * FLEET_PAGE + 4);
	assert_int_equal(launched_at(store, 9000, 1, S0, "other"), OK);
	assert_int_equal(list(store, 0, LEDGER_NONE, 0).n, 2 * FLEET_PAGE + 4);
	assert_int_equal(list(store, S0 - 600, LEDGER_NONE, 0).n, 2 * FLEET_PAGE + 4);
	assert_int_equal(list(store, S0 - 599, LEDGER_NONE, 0).n, 2 * FLEET_PAGE + 1);
	assert_int_equal(list(store, S0 + 3600, LEDGER_NONE, 0).n, 0);
	assert_int_equal(list(store, 0, LEDGER_NONE, 5).n, 5); /* who has seen enough says so */
}

/* Whoever can write to the database cannot keep a walk from ending. */
static void a_launch_that_is_no_time_holds_no_walk(void **state)
{
	struct scene *scene = *state;

	fleet_make(scene->store, FLEET_PAGE + 1);
	tamper(&scene->place, "UPDATE ledger SET launch_time = 9000000000000000000 WHERE launch_time >= "
			      "(SELECT MAX(launch_time) - 1 FROM ledger)");
	assert_int_equal(list_any(scene->store), FLEET_PAGE + 1);
}

/* ---- re-arming */

static const struct rearm why = { .reason = "disks lost",
	.actor = "operator:alice",
	.now_us = 1767225600000000LL,
	.until_us = 1767225600000000LL + 3600 * 1000000LL };

static struct fleet_count arm(struct store *store, const struct rearm *rearm, bool dry, unsigned batches)
{
	const struct fleet fleet = { "web", S0 - 600 };
	struct fleet_count count = { 0 };
	struct fleet_place place = { 0 };
	struct reason reason;

	while (!place.ended && batches-- > 0)
		assert_int_equal(fleet_rearm(store, &fleet, rearm, dry, &place, &count, &reason), OK);
	return count;
}

static void assert_count(
	struct fleet_count count, unsigned long armed, unsigned long open, unsigned long spent)
{
	assert_int_equal(count.armed, armed);
	assert_int_equal(count.open, open);
	assert_int_equal(count.spent, spent);
}

static void a_fleet_is_re_armed_once(void **state)
{
	struct scene *scene = *state;
	struct store *store = scene->store;
	long long events;
	json_t *event;

	fleet_make(store, MANY);
	assert_int_equal(launched_at(store, 9000, 1, S0, "other"), OK);
	assert_int_equal(launched_at(store, 9001, 1, S0 - 601, "web"), OK);
	events = chain_whole(store);
	assert_count(arm(store, &why, true, 99), MANY, 0, 0);
	assert_int_equal(chain_whole(store), events); /* counted, nothing written */
	assert_count(arm(store, &why, false, 99), MANY, 0, 0);
	assert_int_equal(chain_whole(store), events + MANY);
	assert_int_equal(ask_number(&scene->place, "SELECT COUNT(*) FROM rearm"), MANY);
	event = newest_event(store);
	assert_string_equal(said(event, "event"), "ledger.rearmed");
	assert_string_equal(said(event, "comment"), why.reason);
	assert_string_equal(said(event, "actor"), why.actor);
	json_decref(event);
	/* each lets exactly one more key in */
	assert_int_equal(release_at(store, 1, 2, T0 + 1, NULL), OK);
	assert_int_equal(release_at(store, 1, 3, T0 + 2, NULL), REFUSED);
	assert_int_equal(release_at(store, 9000, 2, T0 + 1, NULL), REFUSED);
	assert_int_equal(release_at(store, 9001, 2, T0 + 1, NULL), REFUSED);
}

/* Cut short behind its first batch; meanwhile some have come, under the very key or another. */
static void it_goes_on_where_it_was_cut_short(void **state)
{
	struct store *store = ((struct scene *)*state)->store;
	struct rearm again = why;

	fleet_make(store, MANY);
	assert_count(arm(store, &why, false, 1), FLEET_BATCH, 0, 0);
	assert_int_equal(release_at(store, 1, 2, T0 + 1, NULL), OK);
	assert_int_equal(release_at(store, 2, 2, T0 + 1, NULL), OK);
	again.now_us = T0 + MINUTE;
	assert_count(arm(store, &again, true, 99), MANY - FLEET_BATCH, FLEET_BATCH - 2, 2);
	assert_count(arm(store, &again, false, 99), MANY - FLEET_BATCH, FLEET_BATCH - 2, 2);
	assert_count(arm(store, &again, false, 99), 0, MANY - 2, 2);
	assert_int_equal(release_at(store, 1, 3, T0 + 2 * MINUTE, NULL), REFUSED);
	/* another reason is another decision */
	again.reason = "and once more";
	assert_count(arm(store, &again, false, 99), 2, MANY - 2, 0);
	assert_int_equal(release_at(store, 1, 3, T0 + 2 * MINUTE, NULL), OK);
	/* one that ran out unspent was none */
	again.reason = why.reason;
	again.now_us = why.until_us;
	again.until_us = why.until_us + MINUTE;
	assert_count(arm(store, &again, false, 99), MANY - 2, 0, 2);
}

static void a_re_arm_of_many_is_refused(void **state)
{
	struct store *store = ((struct scene *)*state)->store;
	const struct fleet fleet = { "web", 0 };
	struct fleet_count count = { 0 };
	struct fleet_place place = { 0 };
	struct rearm bad[3] = { why, why, why };
	struct reason reason;

	fleet_make(store, 3);
	bad[0].reason = "";
	bad[1].actor = NULL;
	bad[2].until_us = bad[2].now_us;
	for (int i = 0; i < 3; i++) {
		assert_int_equal(
			fleet_rearm(store, &fleet, &bad[i], false, &place, &count, &reason), REFUSED);
		assert_false(place.ended);
	}
	assert_count(count, 0, 0, 0);
}

/* A failed batch is counted nowhere, and the walk stands where it stood. */
static void a_failed_batch_counts_nothing(void **state)
{
	struct scene *scene = *state;
	const struct fleet fleet = { "web", 0 };
	struct fleet_count count = { 0 };
	struct fleet_place place = { 0 };
	struct reason reason;

	fleet_make(scene->store, FLEET_BATCH + 1);
	assert_int_equal(fleet_rearm(scene->store, &fleet, &why, false, &place, &count, &reason), OK);
	tamper(&scene->place, "ALTER TABLE rearm RENAME TO gone");
	assert_int_equal(
		fleet_rearm(scene->store, &fleet, &why, false, &place, &count, &reason), UNAVAILABLE);
	assert_count(count, FLEET_BATCH, 0, 0);
	assert_false(place.ended);
	tamper(&scene->place, "ALTER TABLE gone RENAME TO rearm");
	assert_int_equal(fleet_rearm(scene->store, &fleet, &why, false, &place, &count, &reason), OK);
	assert_count(count, FLEET_BATCH + 1, 0, 0);
	assert_true(place.ended);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(every_instance_is_listed_once, begin, end),
		cmocka_unit_test_setup_teardown(a_launch_that_is_no_time_holds_no_walk, begin, end),
		cmocka_unit_test_setup_teardown(a_fleet_is_re_armed_once, begin, end),
		cmocka_unit_test_setup_teardown(it_goes_on_where_it_was_cut_short, begin, end),
		cmocka_unit_test_setup_teardown(a_re_arm_of_many_is_refused, begin, end),
		cmocka_unit_test_setup_teardown(a_failed_batch_counts_nothing, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
