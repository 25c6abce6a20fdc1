/* Durable commits: the store's own, and beside them the same three rows of each release (ledger, event, find)
 * written by SQLite alone, its statements prepared once. Both in turn, round by round, in one folder, so that
 * the disk's moods meet both. */
#include "bench/parts.h"
#include "tests/unit/store_fixture.h"

enum { SIZES = 3, CHECKS = 24 };
static const struct {
	unsigned batch, batches; /* of a round */
} sizes[SIZES] = { { 1, 40 }, { 64, 8 }, { 512, 2 } };

static unsigned serial;

/* What a round came to. */
struct speed {
	double per_second, cpu_us; /* rows, and CPU of one */
};

static void speed_take(struct speed *speed, double wall, double cpu, unsigned rows)
{
	speed->per_second = rows / (wall_now() - wall);
	speed->cpu_us = (cpu_now() - cpu) / rows * 1e6;
}

/* ---- the store */

/* As many checks as a release under a rule with all its bounds has. */
static void release_ask(struct asked *asked)
{
	static char names[CHECKS][24];

	ask(asked, ++serial, 1);
	for (int i = 0; i < CHECKS; i++) {
		snprintf(names[i], sizeof names[i], "attribute-%d", i);
		check_add(
			asked->claims, names[i], "ec2", true, "sg-0123456789abcdef0", "sg-0123456789abcdef0");
	}
}

static bool store_round(struct store *store, unsigned size, unsigned batches, struct speed *speed)
{
	struct asked *asked = calloc((size_t)size * batches, sizeof *asked);
	struct record **records = calloc((size_t)size * batches, sizeof *records);
	unsigned rows = size * batches;
	bool good = asked && records;
	double wall, cpu;

	for (unsigned i = 0; good && i < rows; i++) {
		release_ask(&asked[i]);
		records[i] = asked_record(&asked[i]);
	}
	wall = wall_now();
	cpu = cpu_now();
	for (unsigned i = 0; good && i < batches; i++)
		store_record(store, records + (size_t)i * size, size);
	speed_take(speed, wall, cpu, rows);
	for (unsigned i = 0; good && i < rows; i++)
		good = records[i]->outcome == OK;
	for (unsigned i = 0; asked && i < rows; i++)
		asked_clear(&asked[i]);
	free(asked);
	free(records);
	return good;
}

/* ---- SQLite alone, into the tables that the store has made, with the store's settings */

struct bare {
	sqlite3 *db;
	sqlite3_stmt *ledger, *event, *find;
	long long seq;
	char text[8192];
	int length; /* of an event */
};

static sqlite3_stmt *prepared(sqlite3 *db, const char *text)
{
	sqlite3_stmt *statement = NULL;

	return sqlite3_prepare_v2(db, text, -1, &statement, NULL) == SQLITE_OK ? statement : NULL;
}

static bool bare_open(struct bare *bare, const char *path, int event_length)
{
	memset(bare->text, 'x', sizeof bare->text);
	bare->length = event_length < (int)sizeof bare->text ? event_length : (int)sizeof bare->text;
	bare->seq = 1000;
	if (sqlite3_open(path, &bare->db) != SQLITE_OK ||
		sqlite3_exec(bare->db,
			"PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA secure_delete = ON;"
			"PRAGMA cache_size = -16000; PRAGMA journal_size_limit = 67108864",
			NULL, NULL, NULL) != SQLITE_OK)
		return false;
	bare->ledger = prepared(bare->db,
		"INSERT INTO ledger VALUES (?1, '123456789012', 'us-east-1', ?2, 'web-tier', 'web', ?3, ?1,"
		" 'pin:1,key:1', 0, 1767225570, 1767225600000000, 1767226500000000, NULL, 1)"
		" ON CONFLICT (one_time_hash) DO NOTHING");
	bare->event = prepared(bare->db, "INSERT INTO event (seq, bytes, hash) VALUES (?1, ?2, ?3)");
	bare->find = prepared(bare->db,
		"INSERT INTO find VALUES (?1, 1767225600000000, 1, 2, ?2, ?3, 'req-1', '10.0.1.225', 3, NULL,"
		" 4, 5, 6)");
	return bare->ledger && bare->event && bare->find;
}

static void bare_close(struct bare *bare)
{
	sqlite3_finalize(bare->ledger);
	sqlite3_finalize(bare->event);
	sqlite3_finalize(bare->find);
	sqlite3_close(bare->db);
}

static bool stepped(sqlite3_stmt *statement)
{
	bool done = sqlite3_step(statement) == SQLITE_DONE;

	return sqlite3_reset(statement) == SQLITE_OK && done;
}

static bool bare_row(struct bare *bare)
{
	char instance[24], release[40];
	unsigned char hash[32] = { 0 };

	snprintf(instance, sizeof instance, "i-%017x", ++serial);
	snprintf(release, sizeof release, "019b76da-a800-7000-8000-%012x", serial);
	EVP_Digest(instance, strlen(instance), hash, NULL, EVP_sha256(), NULL); /* keys come in no order */
	bare->seq++;
	sqlite3_bind_blob(bare->ledger, 1, hash, sizeof hash, SQLITE_STATIC);
	sqlite3_bind_text(bare->ledger, 2, instance, -1, SQLITE_STATIC);
	sqlite3_bind_text(bare->ledger, 3, release, -1, SQLITE_STATIC);
	sqlite3_bind_int64(bare->event, 1, bare->seq);
	sqlite3_bind_blob(bare->event, 2, bare->text, bare->length, SQLITE_STATIC);
	sqlite3_bind_blob(bare->event, 3, hash, sizeof hash, SQLITE_STATIC);
	sqlite3_bind_int64(bare->find, 1, bare->seq);
	sqlite3_bind_text(bare->find, 2, instance, -1, SQLITE_STATIC);
	sqlite3_bind_text(bare->find, 3, release, -1, SQLITE_STATIC);
	return stepped(bare->ledger) && stepped(bare->event) && stepped(bare->find);
}

static bool bare_round(struct bare *bare, unsigned size, unsigned batches, struct speed *speed)
{
	double wall = wall_now(), cpu = cpu_now();
	bool good = true;

	for (unsigned i = 0; good && i < batches; i++) {
		good = sqlite3_exec(bare->db, "BEGIN IMMEDIATE", NULL, NULL, NULL) == SQLITE_OK;
		for (unsigned row = 0; good && row < size; row++)
			good = bare_row(bare);
		good = good && sqlite3_exec(bare->db, "COMMIT", NULL, NULL, NULL) == SQLITE_OK;
	}
	speed_take(speed, wall, cpu, size * batches);
	return good;
}

/* ---- the rounds */

static json_t *size_measure(struct store *store, struct bare *bare, int which)
{
	unsigned size = sizes[which].batch, batches = sizes[which].batches;
	double rates[2][ROUNDS], cpus[2][ROUNDS];
	struct speed speed;

	for (int round = -1; round < ROUNDS; round++) { /* the first only warms up */
		int at = round < 0 ? 0 : round;

		if (!store_round(store, size, batches, &speed))
			return NULL;
		rates[0][at] = speed.per_second;
		cpus[0][at] = speed.cpu_us;
		if (!bare_round(bare, size, batches, &speed))
			return NULL;
		rates[1][at] = speed.per_second;
		cpus[1][at] = speed.cpu_us;
	}
	return json_pack("{si sf sf sf sf}", "batch", (int)size, "store_per_second", median(rates[0], ROUNDS),
		"bare_per_second", median(rates[1], ROUNDS), "store_cpu_us", median(cpus[0], ROUNDS),
		"bare_cpu_us", median(cpus[1], ROUNDS));
}

/* Until both logs are as long as they will be: to lengthen a file is what makes a sync slow. */
static bool both_warm(struct store *store, struct bare *bare)
{
	struct speed speed;

	for (int i = 0; i < 6; i++)
		if (!store_round(store, STORE_BATCH_MAX, 2, &speed) ||
			!bare_round(bare, STORE_BATCH_MAX, 2, &speed))
			return false;
	return true;
}

static struct store *store_make(const char *path)
{
	struct complaint complaint = { "" };
	char uri[4200];
	struct store *store;

	snprintf(uri, sizeof uri, "sqlite:%s", path);
	store = store_open(
		&(struct store_settings){ .uri = uri, .use = STORE_SERVE, .node = "rp-1" }, &complaint);
	if (!store) {
		parts_failed(complaint.text);
		return NULL;
	}
	secret_put(store, "pin", 1);
	secret_put(store, "key", 1);
	return store;
}

bool commits_measure(const char *folder)
{
	struct place own;
	char bare_path[160];
	json_t *all = json_array(), *one = NULL;
	struct bare bare = { 0 };
	struct store *store, *made;
	struct speed speed;
	int length = 0;

	snprintf(own.path, sizeof own.path, "%.140s/store.db", folder);
	snprintf(bare_path, sizeof bare_path, "%.140s/bare.db", folder);
	made = store_make(bare_path); /* for its tables */
	store_close(made);
	store = store_make(own.path);
	if (made && store && store_round(store, 64, 1, &speed))
		length = (int)ask_number(&own, "SELECT LENGTH(bytes) FROM event ORDER BY seq DESC LIMIT 1");
	if (length && bare_open(&bare, bare_path, length) && both_warm(store, &bare))
		for (int i = 0; i < SIZES && (!i || one); i++) {
			one = size_measure(store, &bare, i);
			json_array_append_new(all, one);
		}
	bare_close(&bare);
	store_close(store);
	if (json_array_size(all) == SIZES)
		return print_json(json_pack("{so si}", "commits", all, "event_bytes", length));
	json_decref(all);
	return parts_failed("the store or SQLite failed");
}
