/* Copies: each table and column of the schema is in them, a database that is made from one has the very rows,
 * none of it can be used before it is whole, and bytes of another form are refused. */
#include "store/copy.h"
#include "store/copy_tables.h"
#include "store/heads.h"
#include "store/restore.h"
#include "tests/unit/store_fixture.h"

enum { PIECE = 4096, ALL = 1 << 20 };

struct scenes {
	struct scene *from;
	struct place to;
	unsigned char *copy, piece[PIECE];
	size_t length, pieces;
	bool writes;
	unsigned schema;
	unsigned long long rows;
};

static void something_of_everything(struct store *store)
{
	static const struct member_pin pin = { "5b0c7f0e-0000-4000-8000-000000000001", "hsm-a",
		"0123456789abcdef", 1, "00112233445566778899aabbccddeeff", IV_HOST };
	const struct rearm rearm = { ACCOUNT, REGION, "i-00000000000000001", "a reason", "operator:x", T0,
		T0 + MINUTE, NULL };
	static const struct signer signer = { .member = "hsm-a",
		.key_id = "00112233445566778899aabbccddeeff" };
	static const struct checkpoint checkpoint = { .member = "hsm-a",
		.head = { 3, { 7 }, 1767225600000000LL } };
	static const struct lost_head lost = { "hsm-a", { 99, { 8 }, 1767225600000000LL } };
	const struct restore accepted = { "operator:x", "a test", &lost, 1, T0 };
	char id[RELEASE_ID_SIZE];
	struct signed_head head;
	struct reason reason;
	bool again;

	assert_int_equal(store_signer_put(store, &signer, "operator:x", &reason), OK);
	assert_int_equal(store_checkpoint_put(store, &checkpoint, &reason), OK);
	assert_int_equal(store_restore(store, &accepted, &head, &again, &reason), OK);
	assert_int_equal(store_member_put(store, &pin, "operator:x", &reason), OK);
	for (unsigned i = 1; i < 50; i++)
		assert_int_equal(release_at(store, i, 1, T0, id), OK);
	assert_int_equal(acknowledge_at(store, id, T0), OK);
	assert_int_equal(ledger_rearm(store, &rearm, &reason), OK);
	assert_int_equal(release_at(store, 1, 2, T0, NULL), OK);
	assert_int_equal(release_at(store, 2, 2, T0, NULL), REFUSED);
}

/* Behind the first piece somebody writes: that is not in the snapshot. */
static bool piece_keep(void *context, const struct copy_piece *piece, struct reason *reason)
{
	struct scenes *scenes = context;

	(void)reason;
	assert_true(scenes->length + piece->used <= ALL);
	memcpy(scenes->copy + scenes->length, scenes->piece, piece->used);
	if (scenes->length == 0 && scenes->writes)
		assert_int_equal(release_at(scenes->from->store, 999, 1, T0, NULL), OK);
	scenes->length += piece->used;
	scenes->schema = piece->schema;
	scenes->rows = piece->rows;
	scenes->pieces++;
	return true;
}

static void copy_all(struct scenes *scenes, struct store *store)
{
	const struct copy_sink sink = { scenes->piece, PIECE, piece_keep, scenes };
	struct reason reason = { 0 };
	enum outcome outcome;

	scenes->length = scenes->pieces = 0;
	outcome = copy_read(store, &sink, &reason);
	if (outcome != OK)
		print_error("%s\n", reason.text);
	assert_int_equal(outcome, OK);
	assert_true(scenes->pieces > 5);
}

static int begin(void **state)
{
	struct scenes *scenes = calloc(1, sizeof(*scenes));
	void *scene = NULL;
	struct store *reader;

	scene_begin_with_secrets(&scene);
	scenes->from = scene;
	scenes->copy = malloc(ALL);
	assert_non_null(scenes->copy);
	place_make(&scenes->to);
	something_of_everything(scenes->from->store);
	scenes->writes = true;
	reader = place_open(&scenes->from->place, STORE_READ);
	copy_all(scenes, reader);
	store_close(reader);
	*state = scenes;
	return 0;
}

static int end(void **state)
{
	struct scenes *scenes = *state;
	void *scene = scenes->from;

	scene_end(&scene, false);
	place_remove(&scenes->to);
	free(scenes->copy);
	free(scenes);
	return 0;
}

/* ---- the list of tables */

static const char *type_of(const struct scenes *scenes, char kind)
{
	bool postgres = scenes->to.database[0];

	if (kind == 'i')
		return postgres ? "bigint" : "INTEGER";
	if (kind == 't')
		return postgres ? "text" : "TEXT";
	return postgres ? "bytea" : "BLOB";
}

/* So many columns has the table; of that name and kind at that place, where one is given. */
static long long schema_columns(const struct scenes *scenes, const struct copy_table *table,
	const struct copy_column *column, unsigned place)
{
	char sql[400], more[200] = "";

	if (scenes->to.database[0]) {
		if (column)
			snprintf(more, sizeof(more),
				" AND ordinal_position = %u AND column_name = '%s' AND data_type = '%s'",
				place + 1, column->name, type_of(scenes, column->kind));
		snprintf(sql, sizeof(sql),
			"SELECT COUNT(*) FROM information_schema.columns WHERE table_schema = 'vouchsafe' "
			"AND "
			"table_name = '%s'%s",
			table->name, more);
	} else {
		if (column)
			snprintf(more, sizeof(more), " WHERE cid = %u AND name = '%s' AND type = '%s'", place,
				column->name, type_of(scenes, column->kind));
		snprintf(sql, sizeof(sql), "SELECT COUNT(*) FROM pragma_table_info('%s')%s", table->name,
			more);
	}
	return ask_number(&scenes->from->place, sql);
}

static void table_is_the_schemas(const struct scenes *scenes, const struct copy_table *table)
{
	const struct copy_column *columns[COPY_COLUMNS_MAX];
	unsigned n = copy_columns(table, scenes->schema, columns);
	char sql[100];

	if (schema_columns(scenes, table, NULL, 0) != n)
		fail_msg("%s has another number of columns", table->name);
	for (unsigned i = 0; i < n; i++)
		if (schema_columns(scenes, table, columns[i], i) != 1)
			fail_msg("%s.%s is not as the schema has it", table->name, columns[i]->name);
	snprintf(sql, sizeof(sql), "SELECT COUNT(*) FROM %s", table->name);
	if (ask_number(&scenes->from->place, sql) == 0)
		fail_msg("the test has no row of %s", table->name);
}

static void every_table_and_column_is_in_it(void **state)
{
	const struct scenes *scenes = *state;
	const char *sql = scenes->to.database[0]
				  ? "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = "
				    "'vouchsafe' AND table_name <> 'migration'"
				  : "SELECT COUNT(*) FROM sqlite_schema WHERE type = 'table' AND name NOT "
				    "LIKE 'sqlite_%' AND name <> 'migration'";
	long long tables = 0;

	for (const struct copy_table *table = copy_tables; table->name; table++, tables++)
		table_is_the_schemas(scenes, table);
	assert_int_equal(ask_number(&scenes->from->place, sql), tables);
}

/* ---- there and back */

static enum outcome write_copy(
	struct scenes *scenes, struct store *store, struct bytes copy, struct reason *reason)
{
	struct copy_target *target = copy_target_open(store, scenes->schema);
	enum outcome outcome;

	assert_non_null(target);
	outcome = copy_write(target, copy, reason);
	if (outcome == OK)
		outcome = copy_complete(target, reason);
	if (outcome == OK)
		assert_int_equal(copy_target_rows(target), scenes->rows);
	copy_target_close(target);
	return outcome;
}

static enum outcome write_all(struct scenes *scenes, struct store *store, struct reason *reason)
{
	return write_copy(scenes, store, (struct bytes){ scenes->copy, scenes->length }, reason);
}

static const struct restored told = { "0194d000-0000-7000-8000-000000000001", "operator:bob",
	1767225600000000LL, 1767225700000000LL };

/* A copy of what was made from a copy is that copy. */
static void assert_same(const struct scenes *scenes, struct store *made)
{
	struct scenes again = { .copy = malloc(ALL) };

	assert_non_null(again.copy);
	copy_all(&again, made);
	assert_int_equal(again.rows, scenes->rows);
	assert_int_equal(again.length, scenes->length);
	assert_memory_equal(again.copy, scenes->copy, scenes->length);
	free(again.copy);
}

static struct store *open_to(const struct scenes *scenes, enum store_use use, struct complaint *complaint)
{
	const struct store_settings settings = { .uri = scenes->to.uri, .use = use, .node = "rp-2" };

	return store_open(&settings, complaint);
}

static struct store *restore_as(const char *uri, unsigned schema, struct complaint *complaint)
{
	const struct store_settings settings = { .uri = uri, .node = "rp-2" };

	complaint->text[0] = '\0';
	return restore_begin(&settings, schema, complaint);
}

static struct store *restore_open(struct scenes *scenes)
{
	struct complaint complaint = { "" };
	struct store *store = restore_as(scenes->to.uri, scenes->schema, &complaint);

	if (!store)
		print_error("%s\n", complaint.text);
	assert_non_null(store);
	return store;
}

static void assert_not_to_be_opened(const struct scenes *scenes)
{
	static const enum store_use uses[] = { STORE_SERVE, STORE_TOOL, STORE_READ, STORE_RESTORE };
	struct complaint complaint;

	for (size_t i = 0; i < sizeof(uses) / sizeof(uses[0]); i++)
		assert_null(open_to(scenes, uses[i], &complaint));
}

static void the_rows_are_the_same(void **state)
{
	struct scenes *scenes = *state;
	struct store *store = restore_open(scenes);
	struct reason reason = { 0 };
	long long events;
	json_t *event;

	assert_int_equal(write_all(scenes, store, &reason), OK);
	assert_same(scenes, store);
	assert_int_equal(restore_finish(store, &told, &events, &reason), OK);
	store_close(store);
	store = place_open(&scenes->to, STORE_SERVE);
	assert_int_equal(chain_whole(store), events + 1);
	event = newest_event(store);
	assert_string_equal(said(event, "event"), "store.restored");
	assert_string_equal(said(event, "actor"), "operator:bob");
	assert_string_equal(said(event, "node"), "rp-2");
	assert_non_null(strstr(said(event, "comment"), told.backup_id));
	assert_non_null(strstr(said(event, "comment"), "2026-01-01T00:00:00"));
	json_decref(event);
	/* and it is a store: whoever had something has it still, numbers go on, nobody else gets it */
	assert_int_equal(release_at(store, 5, 2, T0, NULL), REFUSED);
	assert_int_equal(release_at(store, 5, 1, T0, NULL), OK);
	assert_int_equal(release_at(store, 999, 3, T0, NULL), OK); /* what the backup does not know */
	secret_put(store, "pin", 2);
	store_close(store);
}

/* A next re-arm has a number of its own. */
static void numbers_go_on(void **state)
{
	struct scenes *scenes = *state;
	struct store *store = restore_open(scenes);
	const struct rearm rearm = { ACCOUNT, REGION, "i-00000000000000007", "another", "operator:x", T0,
		T0 + MINUTE, NULL };
	struct reason reason = { 0 };
	long long events;

	assert_int_equal(write_all(scenes, store, &reason), OK);
	assert_int_equal(restore_finish(store, &told, &events, &reason), OK);
	assert_int_equal(ledger_rearm(store, &rearm, &reason), OK);
	assert_int_equal(ask_number(&scenes->to, "SELECT COUNT(DISTINCT id) FROM rearm"), 2);
	store_close(store);
}

/* ---- what must not be */

static void nothing_is_usable_before_its_end(void **state)
{
	struct scenes *scenes = *state;
	struct store *store = restore_open(scenes);
	struct reason reason = { 0 };

	store_close(store);
	assert_not_to_be_opened(scenes); /* made, and nothing in it */
	place_remove(&scenes->to);
	place_make(&scenes->to);
	store = restore_open(scenes);
	assert_int_equal(write_all(scenes, store, &reason), OK);
	store_close(store);
	assert_not_to_be_opened(scenes); /* killed before its end */
}

static void a_broken_chain_is_not_restored(void **state)
{
	struct scenes *scenes = *state;
	struct store *store = restore_open(scenes);
	struct reason reason = { 0 };
	long long events;

	assert_int_equal(write_all(scenes, store, &reason), OK);
	tamper(&scenes->to, "UPDATE event SET hash = (SELECT hash FROM event WHERE seq = 8) WHERE seq = 9");
	assert_int_equal(restore_finish(store, &told, &events, &reason), REFUSED);
	assert_string_equal(reason.code, REASON_CHAIN_BROKEN);
	store_close(store);
	assert_not_to_be_opened(scenes);
}

static void only_into_an_empty_database(void **state)
{
	struct scenes *scenes = *state;
	struct complaint complaint = { "" };

	store_close(place_open(&scenes->to, STORE_SERVE));
	assert_null(restore_as(scenes->to.uri, scenes->schema, &complaint));
	assert_non_null(strstr(complaint.text, "empty"));
	store_close(place_open(&scenes->to, STORE_SERVE)); /* untouched */
	assert_null(restore_as(scenes->from->place.uri, scenes->schema, &complaint));
	assert_non_null(strstr(complaint.text, scenes->to.database[0] ? "empty" : "another node"));
	place_remove(&scenes->to);
	place_make(&scenes->to);
	assert_null(restore_as(scenes->to.uri, scenes->schema + 1, &complaint));
	assert_non_null(strstr(complaint.text, "newer"));
	assert_null(restore_as(scenes->to.uri, 0, &complaint));
}

/* From a version that knew fewer columns: it gets the rest as a migration gives them. */
static void an_older_schema_is_brought_up(void **state)
{
	struct scenes *scenes = *state;
	struct store *store;
	struct complaint complaint = { "" };
	struct reason reason = { 0 };
	struct copy_target *target;
	static const char *const names[] = { "event", "word", "find", "ledger", "rearm", "secret", "envelope",
		"wrap", "member", "shelf" };
	long long events;

	store = restore_as(scenes->to.uri, 3, &complaint);
	assert_non_null(store);
	target = copy_target_open(store, 3);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		unsigned char text[32] = "T";
		size_t length = strlen(names[i]) + 2;

		memcpy(text + 1, names[i], length - 1);
		text[length] = 'E'; /* and zeros: no rows */
		assert_int_equal(copy_write(target, (struct bytes){ text, length + 9 }, &reason), OK);
	}
	assert_int_equal(copy_complete(target, &reason), OK);
	copy_target_close(target);
	assert_int_equal(restore_finish(store, &told, &events, &reason), OK);
	store_close(store);
	store = place_open(&scenes->to, STORE_SERVE);
	assert_int_equal(chain_whole(store), 1);
	store_close(store);
}

static void emptied(const struct scenes *scenes)
{
	tamper(&scenes->to, "DELETE FROM event; DELETE FROM word; DELETE FROM find; DELETE FROM ledger;"
			    "DELETE FROM rearm; DELETE FROM secret; DELETE FROM envelope; DELETE FROM wrap;"
			    "DELETE FROM member; DELETE FROM shelf; DELETE FROM signer;"
			    "DELETE FROM checkpoint; DELETE FROM restored; DELETE FROM lost");
}

/* Bytes of the form changed, ends cut: refused, or another value in a column; never a crash. */
static void other_forms_are_refused(void **state)
{
	struct scenes *scenes = *state;
	unsigned char *copy = malloc(scenes->length + 1);
	unsigned refusals = 0;
	struct reason reason = { 0 };
	struct store *store = restore_open(scenes);

	assert_non_null(copy);
	memcpy(copy, scenes->copy, scenes->length);
	for (size_t i = 0; i < scenes->length; i += scenes->length / 60) {
		struct copy_target *target = copy_target_open(store, scenes->schema);
		enum outcome outcome;

		/* cut: what was written before stays, so all of it is refused where it is tried again */
		outcome = copy_write(target, (struct bytes){ scenes->copy, i }, &reason);
		if (outcome == OK)
			outcome = copy_complete(target, &reason);
		assert_int_not_equal(outcome, OK);
		refusals += outcome == REFUSED;
		copy_target_close(target);
		emptied(scenes);
	}
	assert_true(refusals > 40);
	for (size_t i = 0; i < 2000; i += 41) {
		copy[i] ^= 0x81;
		if (write_copy(scenes, store, (struct bytes){ copy, scenes->length }, &reason) == OK)
			tamper(&scenes->to,
				"DELETE FROM event; DELETE FROM word; DELETE FROM find; DELETE FROM ledger;"
				"DELETE FROM rearm; DELETE FROM secret; DELETE FROM envelope; DELETE FROM "
				"wrap;"
				"DELETE FROM member; DELETE FROM shelf; DELETE FROM signer;"
				"DELETE FROM checkpoint; DELETE FROM restored; DELETE FROM lost");
		copy[i] ^= 0x81;
	}
	copy[scenes->length] = 'T';
	memcpy(copy, scenes->copy, scenes->length);
	assert_int_equal(
		write_copy(scenes, store, (struct bytes){ copy, scenes->length + 1 }, &reason), REFUSED);
	free(copy);
	store_close(store);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(every_table_and_column_is_in_it, begin, end),
		cmocka_unit_test_setup_teardown(the_rows_are_the_same, begin, end),
		cmocka_unit_test_setup_teardown(numbers_go_on, begin, end),
		cmocka_unit_test_setup_teardown(nothing_is_usable_before_its_end, begin, end),
		cmocka_unit_test_setup_teardown(a_broken_chain_is_not_restored, begin, end),
		cmocka_unit_test_setup_teardown(only_into_an_empty_database, begin, end),
		cmocka_unit_test_setup_teardown(an_older_schema_is_brought_up, begin, end),
		cmocka_unit_test_setup_teardown(other_forms_are_refused, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
