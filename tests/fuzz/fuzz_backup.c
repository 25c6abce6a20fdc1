/* Backups as somebody else has made them: the first byte says whether the rest is a file, a piece behind the
 * first one, or rows. What is taken is of the form that was written: heads come back byte for byte, the
 * database holds as many rows as were counted, and nothing ends otherwise than by a refusal. */
#include "cli/backup_file.h"
#include "cli/backup_seal.h"
#include "store/copy.h"
#include "store/restore.h"
#include "tests/fuzz/file.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <string.h>

enum { SCHEMA = 5 };

static char folder[] = "/tmp/vouchsafe-fuzz-backup-XXXXXX";
static struct store *store;
static sqlite3 *database;
static struct operator_key *key;
static unsigned char plain[PIECE_MAX];

/* ---- a database that is being restored */

static void folder_end(void)
{
	static const char *const names[] = { "t.db", "t.db-wal", "t.db-shm", "t.db.lock" };
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	operator_key_free(key);
	sqlite3_close(database);
	store_close(store);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		unlinkat(fd, names[i], 0);
	close(fd);
	rmdir(folder);
}

static void set_up(void)
{
	struct complaint complaint = { "" };
	char uri[80], path[64];

	MUST_HOLD(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/t.db", folder);
	snprintf(uri, sizeof(uri), "sqlite:%s", path);
	store = restore_begin(&(struct store_settings){ .uri = uri, .node = "rp-1" }, SCHEMA, &complaint);
	MUST_HOLD(store);
	MUST_HOLD(sqlite3_open(path, &database) == SQLITE_OK);
	MUST_HOLD(sqlite3_exec(database, "PRAGMA synchronous = OFF", NULL, NULL, NULL) == SQLITE_OK);
	key = operator_key_load("tests/fuzz/open.pem", &complaint);
	MUST_HOLD(key);
	atexit(folder_end);
}

static const char *const tables[] = { "event", "word", "find", "ledger", "rearm", "secret", "envelope",
	"wrap", "member", "shelf", "signer", "checkpoint", "restored", "lost" };

/* So many rows, and then none. */
static unsigned long long rows_drop(void)
{
	unsigned long long n = 0;
	char sql[80];

	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
		snprintf(sql, sizeof(sql), "DELETE FROM %s", tables[i]);
		MUST_HOLD(sqlite3_exec(database, sql, NULL, NULL, NULL) == SQLITE_OK);
		n += (unsigned long long)sqlite3_changes64(database);
	}
	return n;
}

/* ---- the three */

static void rows(const uint8_t *data, size_t size)
{
	struct copy_target *target = copy_target_open(store, SCHEMA);
	struct reason reason;
	enum outcome outcome;
	unsigned long long there;

	MUST_HOLD(target);
	rows_drop();
	outcome = copy_write(target, (struct bytes){ data, size }, &reason);
	MUST_HOLD(outcome == OK || outcome == REFUSED || outcome == UNAVAILABLE);
	there = rows_drop();
	MUST_HOLD(outcome == OK ? there == copy_target_rows(target) : there == 0);
	outcome = copy_complete(target, &reason);
	MUST_HOLD(outcome == OK || outcome == REFUSED);
	copy_target_close(target);
}

static void piece(const uint8_t *data, size_t size)
{
	struct piece_sequence sequence = { 0 };
	struct complaint complaint;
	struct piece_head head;
	struct bytes inside;
	unsigned char again[PIECE_HEAD];

	/* the same behind itself never fits */
	for (int i = 0; i < 2; i++) {
		if (!piece_take(&sequence, (struct bytes){ data, size }, &head, &inside, &complaint))
			return;
		MUST_HOLD(i == 0 && head.number == 0 && inside.length == size - PIECE_HEAD);
		piece_head_write(&head, again);
		MUST_HOLD(memcmp(again, data, PIECE_HEAD) == 0);
	}
}

static void file(const uint8_t *data, size_t size)
{
	struct backup_reader reader;
	struct complaint complaint;
	struct bytes sealed;

	if (!backup_reader_open(file_of(data, size), &reader, &complaint))
		return;
	while (backup_reader_next(&reader, &sealed, &complaint) && sealed.length > 0) {
		size_t length = sizeof(plain);

		if (piece_open(key, sealed, plain, &length))
			piece(plain, length);
	}
	backup_reader_close(&reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const readers[])(const uint8_t *, size_t) = { file, piece, rows };

	if (!store)
		set_up();
	if (size > 0)
		readers[data[0] % 3](data + 1, size - 1);
	return 0;
}
