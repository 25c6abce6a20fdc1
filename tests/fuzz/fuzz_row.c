/* Rows as they come from a database that somebody else has written to: one cell holds the input instead. The
 * first byte of the input picks the cell, the second its type. What is read is refused, or of the form that
 * it was written in; and no change of an event is ever taken for the trail. */
#include "store/audit.h"
#include "store/envelopes.h"
#include "store/event.h"
#include "store/ledger.h"
#include "tests/fuzz/fuzz.h"
#include "verifier/reasons.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sqlite3.h>
#include <string.h>
#include <unistd.h>

#define ACCOUNT "123456789012"
#define REGION "us-east-1"
#define INSTANCE "i-0123456789abcdef0"

static const struct cell {
	const char *table, *column;
} cells[] = { { "event", "bytes" }, { "event", "hash" }, { "envelope", "version" }, { "envelope", "kind" },
	{ "envelope", "nonce" }, { "envelope", "text" }, { "envelope", "stored_us" }, { "wrap", "member" },
	{ "wrap", "generation" }, { "wrap", "bytes" }, { "member", "vault" }, { "member", "token_serial" },
	{ "member", "generation" }, { "member", "key_id" }, { "member", "iv_mode" }, { "rearm", "armed_us" },
	{ "rearm", "until_us" }, { "rearm", "actor" }, { "rearm", "reason" }, { "rearm", "spent_us" },
	{ "find", "time" }, { "find", "kind" }, { "find", "instance" }, { "word", "text" },
	{ "secret", "last_version" } };

static char folder[] = "/tmp/vouchsafe-fuzz-row-XXXXXX";
static struct store *store;
static sqlite3 *database;

/* ---- a store with something of everything */

static void folder_end(void)
{
	static const char *const names[] = { "t.db", "t.db-wal", "t.db-shm", "t.db.lock" };
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	store_close(store);
	sqlite3_close(database);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		unlinkat(fd, names[i], 0);
	close(fd);
	rmdir(folder);
}

static void secret_put(struct store *writer)
{
	unsigned char text[40] = { 1, 2, 3 };
	struct envelope envelope = { .name = "pin",
		.kind = "pin",
		.version = 1,
		.text = text,
		.text_length = sizeof(text),
		.n_wraps = 1,
		.wraps = { { .member = "hsm-a", .generation = 1, .length = 60 } } };
	struct reason reason;

	MUST_HOLD(store_envelope_put(writer, &envelope, "operator:fuzz", "for the target", &reason) == OK);
}

static void store_fill(const char *uri)
{
	static const struct member_pin pin = { "5b0c7f0e-0000-4000-8000-000000000001", "hsm-a",
		"0123456789abcdef", 1, "00112233445566778899aabbccddeeff", IV_HOST };
	const struct rearm rearm = { ACCOUNT, REGION, INSTANCE, "a reason", "operator:fuzz", 1767225600000000,
		1767229200000000, NULL };
	struct complaint complaint = { "" };
	struct store *writer = store_open(
		&(struct store_settings){ .uri = uri, .use = STORE_SERVE, .node = "rp-1" }, &complaint);
	struct reason reason;

	MUST_HOLD(writer);
	secret_put(writer);
	MUST_HOLD(store_member_put(writer, &pin, "operator:fuzz", &reason) == OK);
	MUST_HOLD(ledger_rearm(writer, &rearm, &reason) == OK);
	store_close(writer);
}

static void set_up(void)
{
	struct complaint complaint = { "" };
	char uri[80], path[64];

	MUST_HOLD(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/t.db", folder);
	snprintf(uri, sizeof(uri), "sqlite:%s", path);
	store_fill(uri);
	MUST_HOLD(sqlite3_open(path, &database) == SQLITE_OK);
	MUST_HOLD(sqlite3_exec(database, "PRAGMA synchronous = OFF", NULL, NULL, NULL) == SQLITE_OK);
	store = store_open(
		&(struct store_settings){ .uri = uri, .use = STORE_READ, .node = "rp-1" }, &complaint);
	MUST_HOLD(store);
	atexit(folder_end);
}

/* ---- what is read */

static bool form_hash_right(void *context, const struct audit_event *event)
{
	unsigned char hash[32];

	(void)context;
	MUST_HOLD(event_hash(event->text, hash) && memcmp(hash, event->hash, sizeof(hash)) == 0);
	return true;
}

static void trail_read(bool changed)
{
	static const struct audit_filter all = { .limit = 10 }, one = { .instance_id = INSTANCE, .limit = 1 };
	struct reason reason;
	long long events;
	bool more;
	enum outcome outcome = audit_verify(store, &events, &reason);

	MUST_HOLD(changed ? outcome != OK : outcome == OK && events == 3);
	outcome = audit_query(store, &all, form_hash_right, NULL, &more, &reason);
	MUST_HOLD(outcome == OK || outcome == UNAVAILABLE);
	outcome = audit_query(store, &one, form_hash_right, NULL, &more, &reason);
	MUST_HOLD(outcome == OK || outcome == UNAVAILABLE);
}

static bool row_fits(void *context, const struct envelope_row *row)
{
	(void)context;
	MUST_HOLD(memchr(row->kind, '\0', KIND_SIZE) && memchr(row->name, '\0', NAME_SIZE));
	return true;
}

static void envelope_read(void)
{
	struct envelope envelope;
	struct reason reason;
	enum outcome outcome = store_envelope_get(store, "pin", 0, &envelope, &reason);

	MUST_HOLD(outcome == OK || outcome == UNAVAILABLE);
	if (outcome == OK) {
		MUST_HOLD(envelope.version >= 1 && envelope.version <= INT_MAX && envelope.kind[0]);
		MUST_HOLD(envelope.text_length >= 16 && envelope.text_length <= SECRET_BYTES_MAX + 16);
		MUST_HOLD(envelope.n_wraps <= 1);
		MUST_HOLD(!envelope.n_wraps ||
			  (name_valid(envelope.wraps[0].member) && envelope.wraps[0].generation >= 1 &&
				  envelope.wraps[0].length >= 1));
	}
	envelope_clear(&envelope);
	outcome = store_envelope_list(store, row_fits, NULL, &reason);
	MUST_HOLD(outcome == OK || outcome == UNAVAILABLE);
}

static void others_read(void)
{
	struct member_pin pin;
	struct ledger_row row;
	struct reason reason;
	unsigned version;
	enum outcome outcome = store_member_get(store, "hsm-a", &pin, &reason);

	MUST_HOLD(outcome == OK || outcome == UNAVAILABLE);
	MUST_HOLD(
		outcome != OK || (pin.generation >= 1 && pin.iv_mode >= IV_HOST && pin.iv_mode <= IV_FILLED));
	outcome = ledger_show(store, ACCOUNT, REGION, INSTANCE, &row, &reason);
	MUST_HOLD(outcome == OK || outcome == UNAVAILABLE);
	outcome = store_next_version(store, "pin", &version, &reason);
	MUST_HOLD(outcome != OK || version >= 1);
}

/* ---- the cell */

static void statement_bind(sqlite3_stmt *statement, uint8_t type, const uint8_t *data, size_t size)
{
	char number[24];

	switch (type % 4) {
	case 0:
		sqlite3_bind_blob(statement, 1, data, (int)size, SQLITE_TRANSIENT);
		break;
	case 1:
		sqlite3_bind_text(statement, 1, (const char *)data, (int)size, SQLITE_TRANSIENT);
		break;
	case 2:
		snprintf(number, sizeof(number), "%.*s", (int)size, (const char *)data);
		sqlite3_bind_int64(statement, 1, strtoll(number, NULL, 10));
		break;
	default:
		sqlite3_bind_double(statement, 1, (double)size / 3);
	}
}

static sqlite3_stmt *update_of(const struct cell *cell)
{
	sqlite3_stmt *statement;
	char sql[200];

	snprintf(sql, sizeof(sql), "UPDATE %s SET %s = ?1 WHERE rowid = (SELECT MAX(rowid) FROM %s)",
		cell->table, cell->column, cell->table);
	MUST_HOLD(sqlite3_prepare_v2(database, sql, -1, &statement, NULL) == SQLITE_OK);
	return statement;
}

/* The cell of the newest row; the caller frees. */
static sqlite3_value *cell_get(const struct cell *cell)
{
	sqlite3_stmt *statement;
	sqlite3_value *value;
	char sql[120];

	snprintf(
		sql, sizeof(sql), "SELECT %s FROM %s ORDER BY rowid DESC LIMIT 1", cell->column, cell->table);
	MUST_HOLD(sqlite3_prepare_v2(database, sql, -1, &statement, NULL) == SQLITE_OK);
	MUST_HOLD(sqlite3_step(statement) == SQLITE_ROW);
	value = sqlite3_value_dup(sqlite3_column_value(statement, 0));
	sqlite3_finalize(statement);
	return value;
}

/* The same bytes, whether as text or as a blob. */
static bool same(sqlite3_value *one, sqlite3_value *other)
{
	int length = sqlite3_value_bytes(one);

	return sqlite3_value_bytes(other) == length &&
	       (length == 0 ||
		       memcmp(sqlite3_value_blob(one), sqlite3_value_blob(other), (size_t)length) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct cell *cell;
	sqlite3_value *before, *now;
	sqlite3_stmt *update;

	if (!store)
		set_up();
	if (size < 2)
		return 0;
	cell = &cells[data[0] % (sizeof(cells) / sizeof(cells[0]))];
	before = cell_get(cell);
	update = update_of(cell);
	statement_bind(update, data[1], data + 2, size - 2);
	if (sqlite3_step(update) == SQLITE_DONE) {
		sqlite3_reset(update);
		now = cell_get(cell);
		trail_read(strcmp(cell->table, "event") == 0 && !same(before, now));
		envelope_read();
		others_read();
		sqlite3_value_free(now);
	}
	sqlite3_reset(update);
	sqlite3_bind_value(update, 1, before);
	MUST_HOLD(sqlite3_step(update) == SQLITE_DONE);
	sqlite3_finalize(update);
	sqlite3_value_free(before);
	return 0;
}
