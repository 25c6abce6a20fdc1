/* At most once: many keys for one instance, in one batch, from two handles in two threads, over a killed
 * process. However they arrive, one key is granted, every other is told so, and the trail stays whole. */
#include "tests/unit/store_fixture.h"

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

enum { KEYS = 64 };

static int begin(void **state)
{
	struct place *place = calloc(1, sizeof(*place));
	struct store *store;

	place_make(place);
	store = place_open(place, STORE_SERVE);
	secret_put(store, "pin", 1);
	secret_put(store, "key", 1);
	store_close(store);
	*state = place;
	return 0;
}

static int end(void **state)
{
	place_remove(*state);
	free(*state);
	return 0;
}

static void a_batch_of_keys_for_one_instance(void **state)
{
	struct store *store = place_open(*state, STORE_SERVE);
	struct asked *asked = calloc(KEYS, sizeof(*asked));
	struct record *batch[KEYS];

	for (unsigned i = 0; i < KEYS; i++) {
		ask(&asked[i], 1, i);
		batch[i] = asked_record(&asked[i]);
	}
	store_record(store, batch, KEYS);
	assert_int_equal(batch[0]->outcome, OK); /* the earlier one wins */
	for (unsigned i = 1; i < KEYS; i++) {
		assert_int_equal(batch[i]->outcome, REFUSED);
		assert_string_equal(batch[i]->reason.code, REASON_ALREADY_RELEASED);
		assert_null(batch[i]->grant);
	}
	assert_int_equal(chain_whole(store), 2 + KEYS);
	for (unsigned i = 0; i < KEYS; i++)
		asked_clear(&asked[i]);
	free(asked);
	store_close(store);
}

/* One key for several instances, mixed with acknowledgements, events and refusals: each gets its own answer.
 */
static void a_mixed_batch(void **state)
{
	struct store *store = place_open(*state, STORE_SERVE);
	struct asked asked[3];
	struct record acknowledge = { .kind = RECORD_ACKNOWLEDGE, .now_us = T0, .outcome = OK };
	struct record event = { .kind = RECORD_EVENT, .now_us = T0, .outcome = OK, .event = "policy.loaded" };
	struct record nameless = { .kind = RECORD_EVENT, .now_us = T0, .outcome = OK };
	json_t *newest;

	assert_int_equal(release_at(store, 9, 9, T0, acknowledge.release_id), OK);
	ask(&asked[0], 2, 1);
	ask(&asked[1], 1, 1);
	ask(&asked[2], 2, 1);
	asked[1].record.outcome = refused(&asked[1].record.reason, CHECK_STATE, "no");
	store_record(store,
		(struct record *[]){ asked_record(&asked[0]), &acknowledge, asked_record(&asked[1]),
			&nameless, asked_record(&asked[2]), &event },
		6);
	assert_int_equal(asked[0].record.outcome, OK);
	assert_int_equal(acknowledge.outcome, OK);
	assert_int_equal(asked[1].record.outcome, REFUSED);
	assert_int_equal(nameless.outcome, FAULT);
	assert_int_equal(asked[2].record.outcome, OK);
	assert_true(grant_repeated(asked[2].record.grant));
	assert_string_equal(asked[2].record.release_id, asked[0].record.release_id);
	assert_int_equal(event.outcome, OK);
	newest = newest_event(store);
	assert_string_equal(said(newest, "event"), "policy.loaded"); /* events stand in the batch's order */
	json_decref(newest);
	assert_int_equal(chain_whole(store), 2 + 1 + 5);
	for (int i = 0; i < 3; i++)
		asked_clear(&asked[i]);
	store_close(store);
}

static void a_batch_has_a_limit(void **state)
{
	struct store *store = place_open(*state, STORE_SERVE);
	struct record *batch[STORE_BATCH_MAX + 1];
	struct record *records = calloc(STORE_BATCH_MAX + 1, sizeof(*records));

	for (size_t i = 0; i <= STORE_BATCH_MAX; i++) {
		records[i] = (struct record){
			.kind = RECORD_EVENT, .now_us = T0, .outcome = OK, .event = "node.started"
		};
		batch[i] = &records[i];
	}
	store_record(store, batch, STORE_BATCH_MAX + 1);
	for (size_t i = 0; i <= STORE_BATCH_MAX; i++) {
		assert_int_equal(records[i].outcome, UNAVAILABLE);
		records[i].outcome = OK;
	}
	store_record(store, batch, STORE_BATCH_MAX);
	for (size_t i = 0; i < STORE_BATCH_MAX; i++)
		assert_int_equal(records[i].outcome, OK);
	assert_int_equal(chain_whole(store), 2 + STORE_BATCH_MAX);
	store_record(store, batch, 0);
	free(records);
	store_close(store);
}

/* PostgreSQL takes no text that is none in UTF-8: found out behind the first round trip, with all that was
 * sent after it. It takes nobody along. */
static void a_text_that_cannot_be_held_goes_alone(void **state)
{
	const struct place *place = *state;
	struct store *store = place_open(place, STORE_SERVE);
	struct asked asked[3];
	struct record *batch[3];

	for (unsigned i = 0; i < 3; i++) {
		ask(&asked[i], 40 + i, 1);
		batch[i] = asked_record(&asked[i]);
	}
	asked[1].record.request_id = "\xff\xfe";
	store_record(store, batch, 3);
	assert_int_equal(batch[0]->outcome, OK);
	assert_int_equal(batch[1]->outcome, place->database[0] ? UNAVAILABLE : OK);
	assert_int_equal(batch[2]->outcome, OK);
	for (unsigned i = 0; i < 3; i++)
		asked_clear(&asked[i]);
	assert_int_equal(release_at(store, 41, 1, T0, NULL), OK);
	chain_whole(store);
	store_close(store);
}

/* It is not any record's fault, so they are not tried one by one, each on a connection of its own. */
static void a_full_database_is_not_tried_for_each_record(void **state)
{
	const struct place *place = *state;
	struct store *store = place_open(place, STORE_SERVE);
	struct asked asked[8];
	struct record *batch[8];

	if (place->database[0]) { /* SQLite's faults are store_faults.c's */
		tamper(place, "CREATE SEQUENCE tried; CREATE FUNCTION no_room() RETURNS trigger AS $$ BEGIN "
			      "PERFORM nextval('tried'); RAISE 'no room' USING ERRCODE = 'disk_full'; END $$ "
			      "LANGUAGE plpgsql; CREATE TRIGGER no_room BEFORE INSERT ON event FOR EACH ROW "
			      "EXECUTE FUNCTION no_room()");
		for (unsigned i = 0; i < 8; i++) {
			ask(&asked[i], 60 + i, 1);
			batch[i] = asked_record(&asked[i]);
		}
		store_record(store, batch, 8);
		for (unsigned i = 0; i < 8; i++) {
			assert_int_equal(batch[i]->outcome, UNAVAILABLE);
			asked_clear(&asked[i]);
		}
		assert_int_equal(ask_number(place, "SELECT last_value FROM tried"), 3);
		tamper(place, "DROP TRIGGER no_room ON event");
	}
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(release_at(store, 60 + i, 1, T0, NULL), OK);
	chain_whole(store);
	store_close(store);
}

/* ---- two handles, two threads */

struct racer {
	struct place *place;
	unsigned first_key;
	unsigned granted[8];
};

static void *race(void *context)
{
	struct racer *racer = context;
	struct store *store = place_open(racer->place, STORE_TOOL);
	struct asked asked[KEYS / 2];
	struct record *batch[KEYS / 2];

	for (unsigned instance = 0; instance < 8; instance++) {
		for (unsigned i = 0; i < KEYS / 2; i++) {
			ask(&asked[i], instance, racer->first_key + i);
			batch[i] = asked_record(&asked[i]);
		}
		for (unsigned i = 0; i < KEYS / 2; i += 4) /* batches of four, so that the two interleave */
			store_record(store, batch + i, 4);
		for (unsigned i = 0; i < KEYS / 2; i++) {
			racer->granted[instance] += asked[i].record.outcome == OK;
			asked_clear(&asked[i]);
		}
	}
	store_close(store);
	return NULL;
}

static void attack_26_two_handles_race(void **state)
{
	struct racer racers[2] = { { *state, 0 }, { *state, 1000 } };
	pthread_t threads[2];
	struct store *store;

	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, race, &racers[i]), 0);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	for (int instance = 0; instance < 8; instance++)
		assert_int_equal(racers[0].granted[instance] + racers[1].granted[instance], 1);
	store = place_open(*state, STORE_READ);
	assert_int_equal(chain_whole(store), 2 + 8 * KEYS);
	store_close(store);
}

/* ---- killed */

/* Releases until it is killed; says which ones were acknowledged to it by the store. */
static void release_for_ever(const struct place *place, int to)
{
	struct store *store = place_open(place, STORE_SERVE);

	for (unsigned i = 1;; i++) {
		struct asked asked;

		ask(&asked, i, 1);
		if (record_asked(store, &asked) != OK || write(to, &i, sizeof(i)) != sizeof(i))
			_exit(1);
		asked_clear(&asked);
	}
}

static void attack_30_31_a_killed_process_loses_nothing(void **state)
{
	unsigned last = 0, said_last = 0;
	int ends[2], status;
	struct store *store;
	pid_t child;

	assert_int_equal(pipe(ends), 0);
	child = fork();
	if (child == 0) {
		close(ends[0]);
		release_for_ever(*state, ends[1]);
	}
	close(ends[1]);
	while (last < 40 && read(ends[0], &last, sizeof(last)) == sizeof(last))
		;
	assert_int_equal(kill(child, SIGKILL), 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status));
	while (read(ends[0], &said_last, sizeof(said_last)) == sizeof(said_last))
		last = said_last;
	close(ends[0]);
	store = place_open(*state, STORE_SERVE); /* the lock died with its holder */
	assert_true(chain_whole(store) >= 2 + last);
	for (unsigned i = 1; i <= last; i++) {
		assert_int_equal(release_at(store, i, 2, T0, NULL), REFUSED);
		assert_int_equal(release_at(store, i, 1, T0, NULL),
			OK); /* granted, not acknowledged: collected again */
	}
	store_close(store);
}

/* ---- the key of the ledger */

static void attack_29_every_field_is_framed(void **state)
{
	static const char *const fields[][3] = { { "123456789012", "us-east-1", "i-0123456789abcdef0" },
		{ "12345678901", "2us-east-1", "i-0123456789abcdef0" },
		{ "123456789012", "us-east-", "1i-0123456789abcdef0" },
		{ "123456789012us-east-1", "", "i-0123456789abcdef0" },
		{ "", "123456789012us-east-1", "i-0123456789abcdef0" },
		{ "123456789012", "us-east-1i-0123456789abcdef0", "" },
		{ "123456789013", "us-east-1", "i-0123456789abcdef0" },
		{ "123456789012", "us-east-2", "i-0123456789abcdef0" },
		{ "123456789012", "us-east-1", "i-0123456789abcdef1" } };
	enum { N = sizeof(fields) / sizeof(fields[0]) };
	unsigned char hashes[N][32];

	(void)state;
	for (int i = 0; i < N; i++) {
		assert_true(one_time_hash(fields[i][0], fields[i][1], fields[i][2], hashes[i]));
		for (int j = 0; j < i; j++)
			assert_memory_not_equal(hashes[i], hashes[j], 32);
	}
	print_message("# came: %d x another hash\n", N);
}

/* The role is no part of it, account and region are. */
static void attack_26_another_role_is_the_same_instance(void **state)
{
	struct store *store = place_open(*state, STORE_SERVE);
	struct asked asked;

	assert_int_equal(release_at(store, 1, 1, T0, NULL), OK);
	ask(&asked, 1, 2);
	snprintf(asked.assertion.role, ROLE_SIZE, "db-tier");
	assert_int_equal(record_asked(store, &asked), REFUSED);
	asked_clear(&asked);
	ask(&asked, 1, 2);
	snprintf(asked.assertion.region, REGION_SIZE, "eu-west-1");
	assert_int_equal(record_asked(store, &asked), OK);
	asked_clear(&asked);
	ask(&asked, 1, 2);
	snprintf(asked.assertion.account_id, ACCOUNT_ID_SIZE, "123456789013");
	assert_int_equal(record_asked(store, &asked), OK);
	asked_clear(&asked);
	store_close(store);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_batch_of_keys_for_one_instance, begin, end),
		cmocka_unit_test_setup_teardown(a_mixed_batch, begin, end),
		cmocka_unit_test_setup_teardown(a_batch_has_a_limit, begin, end),
		cmocka_unit_test_setup_teardown(a_text_that_cannot_be_held_goes_alone, begin, end),
		cmocka_unit_test_setup_teardown(a_full_database_is_not_tried_for_each_record, begin, end),
		cmocka_unit_test_setup_teardown(attack_26_two_handles_race, begin, end),
		cmocka_unit_test_setup_teardown(attack_30_31_a_killed_process_loses_nothing, begin, end),
		cmocka_unit_test(attack_29_every_field_is_framed),
		cmocka_unit_test_setup_teardown(attack_26_another_role_is_the_same_instance, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
