/* The trail: the form of an event, the chain and what breaks it, queries with their pages, and hostile text
 * in every field. */
#include "tests/unit/store_fixture.h"

static int begin(void **state)
{
	return scene_begin_with_secrets(state);
}

/* Some tests break the chain. */
static int end(void **state)
{
	return scene_end(state, false);
}

/* ---- form */

static void members_stand_in_their_order(void **state)
{
	static const char *const order[] = { "seq", "time", "event", "outcome", "actor", "request_id",
		"release_id", "node", "instance-id", "account-id", "region", "role", "source",
		"one_time_hash", "assertion_sha256", "recipient", "policy", "checks", "secrets", "previous" };
	struct store *store = ((struct scene *)*state)->store;
	const char *name;
	json_t *event, *value;
	struct asked asked;
	size_t i = 0;

	ask(&asked, 1, 1);
	asked.record.actor = "agent";
	asked.record.unbound_key = true;
	assert_int_equal(record_asked(store, &asked), OK);
	event = newest_event(store);
	json_object_foreach(event, name, value)
	{
		assert_true(i < sizeof(order) / sizeof(order[0]));
		assert_string_equal(name, order[i++]);
	}
	assert_int_equal(i, sizeof(order) / sizeof(order[0]));
	assert_int_equal(json_integer_value(json_object_get(event, "seq")), 3);
	assert_string_equal(said(event, "node"), "rp-1");
	assert_int_equal(strlen(said(event, "one_time_hash")), 64);
	assert_int_equal(strlen(said(event, "assertion_sha256")), 64);
	assert_int_equal(strlen(said(event, "recipient")), 64);
	value = json_object_get(event, "policy");
	assert_string_equal(said(value, "hash"), "aa");
	assert_string_equal(said(value, "rule"), "web");
	assert_true(json_is_true(json_object_get(value, "unbound_key")));
	value = json_array_get(json_object_get(event, "secrets"), 1);
	assert_string_equal(said(value, "name"), "key");
	assert_int_equal(json_integer_value(json_object_get(value, "version")), 1);
	value = json_array_get(json_object_get(event, "checks"), 0);
	assert_string_equal(said(value, "name"), CHECK_STATE);
	assert_string_equal(said(value, "expected"), "running");
	assert_string_equal(said(value, "observed"), "running");
	assert_string_equal(said(value, "by"), "ec2");
	json_decref(event);
	asked_clear(&asked);
}

/* Every byte that could end a line, a string or a statement (ATTACKS 39, 41). */
static const char hostile[] =
	"'; DROP TABLE event; -- \"\\\r\n\t\b\x1b[2J\x7f \xc2\x85 \xe2\x80\xa8 \xe2\x80\xa9 "
	"\xef\xbb\xbf \xe2\x80\xae \xf0\x9f\x94\x91 <script>%s%n</script> $1 ?1 :a @b";

/* `size` bytes of it at most, not cut inside a character. */
static void hostile_fill(char *to, size_t size)
{
	size_t length = sizeof(hostile) - 1 < size - 1 ? sizeof(hostile) - 1 : size - 1;

	while (length < sizeof(hostile) - 1 && ((unsigned char)hostile[length] & 0xc0) == 0x80)
		length--;
	memcpy(to, hostile, length);
	to[length] = '\0';
}

static void attack_39_hostile_text_comes_back(void **state)
{
	struct scene *scene = *state;
	struct asked asked;
	json_t *event, *check;
	bool more;
	json_t *found;

	ask(&asked, 1, 1);
	hostile_fill(asked.assertion.instance_id, sizeof(asked.assertion.instance_id));
	hostile_fill(asked.assertion.account_id, sizeof(asked.assertion.account_id));
	hostile_fill(asked.assertion.region, sizeof(asked.assertion.region));
	hostile_fill(asked.assertion.role, sizeof(asked.assertion.role));
	asked.record.outcome = REFUSED;
	asked.record.reason.code = hostile;
	hostile_fill(asked.record.reason.text, sizeof(asked.record.reason.text));
	asked.record.actor = asked.record.request_id = asked.record.source = asked.record.rule = hostile;
	asked.record.policy_sha256 = hostile;
	check_add(asked.claims, CHECK_TAG, "ec2", false, hostile, hostile);
	assert_int_equal(record_asked(scene->store, &asked), REFUSED);
	event = newest_event(scene->store); /* take_event: printable ASCII, so one line */
	assert_string_equal(said(event, "instance-id"), asked.assertion.instance_id);
	assert_string_equal(said(event, "account-id"), asked.assertion.account_id);
	assert_string_equal(said(event, "region"), asked.assertion.region);
	assert_string_equal(said(event, "role"), asked.assertion.role);
	assert_string_equal(said(event, "reason"), hostile);
	assert_string_equal(said(event, "comment"), asked.record.reason.text);
	assert_string_equal(said(event, "actor"), hostile);
	assert_string_equal(said(event, "request_id"), hostile);
	assert_string_equal(said(event, "source"), hostile);
	assert_string_equal(said(json_object_get(event, "policy"), "rule"), hostile);
	assert_string_equal(said(json_object_get(event, "policy"), "hash"), hostile);
	check = json_array_get(json_object_get(event, "checks"), 3);
	assert_string_equal(said(check, "expected"), hostile);
	assert_string_equal(said(check, "observed"), hostile);
	json_decref(event);
	found = events_like(scene->store,
		&(struct audit_filter){ .limit = 10,
			.instance_id = asked.assertion.instance_id,
			.role = asked.assertion.role },
		&more);
	assert_int_equal(json_array_size(found), 1);
	json_decref(found);
	found = events_like(scene->store,
		&(struct audit_filter){ .limit = 10, .event = hostile, .outcome = hostile, .role = hostile },
		&more);
	assert_int_equal(json_array_size(found), 0);
	json_decref(found);
	assert_int_equal(chain_whole(scene->store), 3);
	asked_clear(&asked);
}

static void attack_39_an_event_takes_hostile_text_too(void **state)
{
	struct scene *scene = *state;
	struct record record = {
		.kind = RECORD_EVENT, .now_us = T0, .outcome = OK, .event = hostile, .comment = hostile
	};
	json_t *event;

	assert_int_equal(record_one(scene->store, &record), OK);
	event = newest_event(scene->store);
	assert_string_equal(said(event, "event"), hostile);
	assert_string_equal(said(event, "comment"), hostile);
	json_decref(event);
}

/* What is no UTF-8 or too long cannot stop an owed event. */
static void broken_and_endless_text_is_tamed(void **state)
{
	static const char *const broken[] = { "\xff", "\xc3", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80",
		"\x80", "\xe2\x80" };
	struct scene *scene = *state;
	struct record record = { .kind = RECORD_EVENT, .now_us = T0, .outcome = OK, .event = "x" };
	char *endless = malloc(100001);
	json_t *event;

	for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
		record.comment = broken[i];
		assert_int_equal(record_one(scene->store, &record), OK);
		event = newest_event(scene->store);
		assert_memory_equal(said(event, "comment"), "\xef\xbf\xbd", 3);
		json_decref(event);
	}
	for (size_t i = 0; i < 100000; i++)
		endless[i] = "\xe2\x82\xac"[i % 3];
	endless[100000] = '\0';
	record.comment = endless;
	assert_int_equal(record_one(scene->store, &record), OK);
	event = newest_event(scene->store);
	assert_int_equal(strlen(said(event, "comment")), 2046 + 3);
	assert_string_equal(said(event, "comment") + 2043, "\xe2\x82\xac...");
	json_decref(event);
	free(endless);
	chain_whole(scene->store);
}

/* The largest event that a request can come to. */
static void the_largest_event_fits(void **state)
{
	struct scene *scene = *state;
	struct asked asked;
	char worst[4001];

	memset(worst, 1, sizeof(worst) - 1);
	worst[sizeof(worst) - 1] = '\0';
	ask(&asked, 1, 1);
	while (asked.claims->n_checks < CHECKS_MAX && !asked.claims->overflowed)
		check_add(asked.claims, CHECK_TAG, "ec2", false, worst, worst);
	asked.record.actor = asked.record.request_id = asked.record.source = asked.record.rule = worst;
	asked.record.policy_sha256 = asked.record.comment = worst;
	assert_int_equal(record_asked(scene->store, &asked), OK);
	chain_whole(scene->store);
	asked_clear(&asked);
}

/* ---- chain */

static void tampering_is_found(void **state)
{
	/* SQLite's spelling, and PostgreSQL's where that is another */
	static const char *const acts[][2] = {
		{ "UPDATE event SET bytes = CAST(replace(CAST(bytes AS TEXT), 'granted', 'granteD') AS BLOB) "
		  "WHERE seq = 5",
			"UPDATE event SET bytes = replace(convert_from(bytes, 'UTF8'), 'granted', "
			"'granteD')::bytea WHERE seq = 5" },
		{ "UPDATE event SET hash = zeroblob(32) WHERE seq = 5",
			"UPDATE event SET hash = repeat('0', 32)::bytea WHERE seq = 5" },
		{ "UPDATE event SET bytes = (SELECT bytes FROM event WHERE seq = 4),"
		  " hash = (SELECT hash FROM event WHERE seq = 4) WHERE seq = 5" },
		{ "DELETE FROM event WHERE seq = 5" },
		{ "DELETE FROM event WHERE seq = 1" },
		{ "DELETE FROM event WHERE seq = 8" }, /* the newest */
		{ "DELETE FROM event" },
		{ "UPDATE event SET seq = 100 WHERE seq = 8" },
		{ "UPDATE event SET bytes = bytes || ' ' WHERE seq = 8" },
		{ "UPDATE event SET bytes = 'x' WHERE seq = 6" },
	};
	struct scene *scene = *state;
	struct reason reason;
	long long events;

	for (unsigned i = 0; i < 6; i++)
		assert_int_equal(release_at(scene->store, i, 1, T0 + i, NULL), OK);
	assert_int_equal(chain_whole(scene->store), 8);
	tamper(&scene->place, "CREATE TABLE kept AS SELECT * FROM event");
	for (size_t i = 0; i < sizeof(acts) / sizeof(acts[0]); i++) {
		tamper_either(&scene->place, acts[i]);
		reason = (struct reason){ 0 };
		assert_int_equal(audit_verify(scene->store, &events, &reason), REFUSED);
		assert_string_equal(reason.code, REASON_CHAIN_BROKEN);
		assert_non_null(strstr(reason.text, "event "));
		tamper(&scene->place, "DELETE FROM event; INSERT INTO event SELECT * FROM kept");
		chain_whole(scene->store);
	}
}

/* A query never answers with bytes that were not hashed, nor with what stands behind them. */
static bool count_row(void *context, const struct audit_event *event)
{
	(void)event;
	++*(unsigned *)context;
	return true;
}

static void tampered_events_are_not_shown(void **state)
{
	struct scene *scene = *state;
	const struct audit_filter all = { .ascending = true, .limit = 10 };
	struct reason reason = { 0 };
	unsigned rows = 0;
	bool more;

	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(release_at(scene->store, i, 1, T0 + i, NULL), OK);
	tamper(&scene->place, "UPDATE event SET bytes = '{\"seq\":5}' WHERE seq = 5");
	assert_int_equal(audit_query(scene->store, &all, count_row, &rows, &more, &reason), UNAVAILABLE);
	assert_non_null(strstr(reason.text, "audit verify"));
	assert_int_equal(rows, 4);
}

/* A trail that became shorter under a running node is not written on. */
static void attack_32_a_shortened_trail_is_not_written_on(void **state)
{
	struct scene *scene = *state;

	assert_int_equal(release_at(scene->store, 1, 1, T0, NULL), OK);
	tamper(&scene->place,
		"CREATE TABLE kept AS SELECT * FROM event; CREATE TABLE kept_find AS SELECT * FROM find;"
		"DELETE FROM event WHERE seq = 3; DELETE FROM find WHERE seq = 3; DELETE FROM ledger");
	assert_int_equal(release_at(scene->store, 1, 2, T0, NULL), UNAVAILABLE);
	tamper(&scene->place, "INSERT INTO event SELECT * FROM kept WHERE seq = 3;"
			      "INSERT INTO find SELECT * FROM kept_find WHERE seq = 3");
	assert_int_equal(release_at(scene->store, 2, 2, T0, NULL), OK);
	assert_int_equal(chain_whole(scene->store), 4);
}

/* A command beside the node writes on the same chain. */
static void two_writers_one_chain(void **state)
{
	struct scene *scene = *state;
	struct store *tool = place_open(&scene->place, STORE_TOOL);

	for (unsigned i = 0; i < 10; i++) {
		assert_int_equal(release_at(scene->store, i, 1, T0, NULL), OK);
		secret_put(tool, "pin", 2 + i);
	}
	assert_int_equal(chain_whole(tool), 22);
	store_close(tool);
}

/* ---- queries */

enum { MANY = 230 };

static void fill(struct store *store)
{
	struct asked asked;

	for (unsigned i = 0; i < MANY; i++) {
		ask(&asked, i % 7, i % 3);
		asked.record.now_us = T0 + i * MINUTE;
		if (i % 5 == 0)
			asked.record.outcome = refused(&asked.record.reason, CHECK_STATE, "no");
		snprintf(asked.assertion.role, ROLE_SIZE, i % 2 ? "web-tier" : "db-tier");
		assert_true(record_asked(store, &asked) >= REFUSED);
		asked_clear(&asked);
	}
}

/* The plain way: all events, filtered here. */
static bool fits(const json_t *event, const struct audit_filter *filter)
{
	char since[40] = "", until[40] = "A";

	if (filter->since_us)
		snprintf(since, sizeof(since), "2026-01-01T%02d:00:00.000000Z",
			(int)((filter->since_us - T0) / MINUTE / 60));
	if (filter->until_us)
		snprintf(until, sizeof(until), "2026-01-01T%02d:00:00.000000Z",
			(int)((filter->until_us - T0) / MINUTE / 60));
	return (!filter->instance_id || strcmp(said(event, "instance-id"), filter->instance_id) == 0) &&
	       (!filter->role || strcmp(said(event, "role"), filter->role) == 0) &&
	       (!filter->event || strcmp(said(event, "event"), filter->event) == 0) &&
	       (!filter->outcome || strcmp(said(event, "outcome"), filter->outcome) == 0) &&
	       strcmp(said(event, "time"), since) >= 0 && strcmp(said(event, "time"), until) < 0;
}

static json_t *plain_way(const json_t *all, const struct audit_filter *filter)
{
	json_t *found = json_array(), *event;
	size_t i;

	json_array_foreach(all, i, event) if (fits(event, filter))
	{
		if (filter->ascending)
			json_array_append(found, event);
		else
			json_array_insert(found, 0, event);
	}
	return found;
}

/* Page by page until there are no more. */
static json_t *paged(struct store *store, struct audit_filter filter)
{
	json_t *found = json_array(), *page;
	bool more = true;

	while (more) {
		page = events_like(store, &filter, &more);
		assert_true(json_array_size(page) <= filter.limit);
		assert_true(!more || json_array_size(page) == filter.limit);
		json_array_extend(found, page);
		filter.after_seq = json_integer_value(
			json_object_get(json_array_get(found, json_array_size(found) - 1), "seq"));
		json_decref(page);
	}
	return found;
}

static void queries_agree_with_the_plain_way(void **state)
{
	static const char *const instances[] = { NULL, "i-00000000000000003" },
				 *const roles[] = { NULL, "web-tier" },
				 *const events[] = { NULL, "release.denied" },
				 *const outcomes[] = { NULL, "ok" };
	static const unsigned limits[] = { 1, 7, 1000 };
	struct store *store = ((struct scene *)*state)->store;
	struct audit_filter filter;
	json_t *all, *expected, *got;

	fill(store);
	all = paged(store, (struct audit_filter){ .limit = 100, .ascending = true });
	assert_int_equal(json_array_size(all), MANY + 2);
	for (unsigned bits = 0; bits < 128; bits++) {
		filter = (struct audit_filter){ .instance_id = instances[bits & 1],
			.role = roles[bits >> 1 & 1],
			.event = events[bits >> 2 & 1],
			.outcome = outcomes[bits >> 3 & 1],
			.since_us = bits >> 4 & 1 ? T0 + 60 * MINUTE : 0,
			.until_us = bits >> 5 & 1 ? T0 + 180 * MINUTE : 0,
			.ascending = bits >> 6 & 1,
			.limit = limits[bits % 3] };
		expected = plain_way(all, &filter);
		got = paged(store, filter);
		assert_true(json_equal(expected, got));
		json_decref(expected);
		json_decref(got);
	}
	json_decref(all);
}

static bool take_one(void *context, const struct audit_event *event)
{
	(void)event;
	++*(int *)context;
	return false;
}

static void limits_and_ends(void **state)
{
	struct store *store = ((struct scene *)*state)->store;
	struct reason reason;
	bool more;
	int rows = 0;

	for (unsigned limit = 0; limit < 2; limit++) {
		assert_int_equal(audit_query(store, &(struct audit_filter){ .limit = limit * 1000000000 },
					 take_one, &rows, &more, &reason),
			REFUSED);
		assert_string_equal(reason.code, REASON_MALFORMED);
	}
	assert_int_equal(rows, 0);
	assert_int_equal(
		audit_query(store, &(struct audit_filter){ .limit = 2 }, take_one, &rows, &more, &reason),
		OK);
	assert_int_equal(rows, 1); /* the callback said enough */
}

/* Clocks step: order is by seq, the window by time. */
static void attack_33_a_stepping_clock_loses_no_event(void **state)
{
	struct store *store = ((struct scene *)*state)->store;
	static const int minutes[] = { 50, 10, 40, 20, 30, 60 };
	struct record record = { .kind = RECORD_EVENT, .event = "x" };
	json_t *found;
	bool more;

	for (int i = 0; i < 6; i++) {
		record.now_us = T0 + minutes[i] * MINUTE;
		record.outcome = OK;
		assert_int_equal(record_one(store, &record), OK);
	}
	found = events_like(store,
		&(struct audit_filter){ .limit = 10,
			.ascending = true,
			.since_us = T0 + 20 * MINUTE,
			.until_us = T0 + 50 * MINUTE },
		&more);
	assert_int_equal(json_array_size(found), 3);
	assert_int_equal(json_integer_value(json_object_get(json_array_get(found, 0), "seq")), 5);
	assert_int_equal(json_integer_value(json_object_get(json_array_get(found, 1), "seq")), 6);
	assert_int_equal(json_integer_value(json_object_get(json_array_get(found, 2), "seq")), 7);
	json_decref(found);
}

/* A wide window is walked, a narrow one sorted: both answer alike. */
static void a_wide_window(void **state)
{
	enum { BATCHES = 11 };
	struct store *store = ((struct scene *)*state)->store;
	struct record *batch[STORE_BATCH_MAX], *records = calloc(STORE_BATCH_MAX, sizeof(*records));
	json_t *found;
	bool more;

	for (int i = 0; i < BATCHES; i++) {
		for (int j = 0; j < STORE_BATCH_MAX; j++) {
			records[j] = (struct record){ .kind = RECORD_EVENT,
				.event = "x",
				.outcome = OK,
				.now_us = T0 + (i * STORE_BATCH_MAX + j) * MINUTE };
			batch[j] = &records[j];
		}
		store_record(store, batch, STORE_BATCH_MAX);
	}
	found = events_like(store,
		&(struct audit_filter){ .limit = 3, .since_us = T0, .until_us = T0 + 5500 * MINUTE }, &more);
	assert_int_equal(json_array_size(found), 3);
	assert_true(more);
	assert_int_equal(json_integer_value(json_object_get(json_array_get(found, 0), "seq")), 2 + 5500);
	json_decref(found);
	assert_int_equal(chain_whole(store), 2 + BATCHES * STORE_BATCH_MAX);
	free(records);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(members_stand_in_their_order, begin, end),
		cmocka_unit_test_setup_teardown(attack_39_hostile_text_comes_back, begin, end),
		cmocka_unit_test_setup_teardown(attack_39_an_event_takes_hostile_text_too, begin, end),
		cmocka_unit_test_setup_teardown(broken_and_endless_text_is_tamed, begin, end),
		cmocka_unit_test_setup_teardown(the_largest_event_fits, begin, end),
		cmocka_unit_test_setup_teardown(tampering_is_found, begin, end),
		cmocka_unit_test_setup_teardown(tampered_events_are_not_shown, begin, end),
		cmocka_unit_test_setup_teardown(attack_32_a_shortened_trail_is_not_written_on, begin, end),
		cmocka_unit_test_setup_teardown(two_writers_one_chain, begin, end),
		cmocka_unit_test_setup_teardown(queries_agree_with_the_plain_way, begin, end),
		cmocka_unit_test_setup_teardown(limits_and_ends, begin, end),
		cmocka_unit_test_setup_teardown(attack_33_a_stepping_clock_loses_no_event, begin, end),
		cmocka_unit_test_setup_teardown(a_wide_window, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
