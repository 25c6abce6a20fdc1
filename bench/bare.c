/* The three rows of each release (ledger, event, find) written by an engine alone, its statements prepared
 * once, into the tables that the store has made and with the store's settings. */
#include "bench/bare.h"
#include "bench/parts.h"

#include <libpq-fe.h>
#include <openssl/evp.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LEDGER(hash, instance, release)                                                                      \
	"INSERT INTO ledger (one_time_hash, account, region, instance, role, rule, release, recipient,"      \
	" secrets, once_per_launch, launch_time, granted_us, retry_until_us, acknowledged_us, collected)"    \
	" VALUES (" hash ", '123456789012', 'us-east-1', " instance ", 'web-tier', 'web', " release          \
	", " hash ","                                                                                        \
	" 'pin:1,key:1', 0, 1767225570, 1767225600000000, 1767226500000000, NULL, 1)"                        \
	" ON CONFLICT (one_time_hash) DO NOTHING"
#define EVENT(seq, bytes, hash) "INSERT INTO event (seq, bytes, hash) VALUES (" seq ", " bytes ", " hash ")"
#define FIND(seq, instance, release)                                                                         \
	"INSERT INTO find VALUES (" seq ", 1767225600000000, 1, 2, " instance ", " release                   \
	", 'req-1', '10.0.1.225', 3, NULL, 4, 5, 6)"

/* What a row is made of. */
struct row {
	long long seq;
	char instance[24], release[40];
	unsigned char hash[32];
};

struct bare {
	sqlite3 *db;
	sqlite3_stmt *ledger, *event, *find;
	PGconn *postgres; /* NULL: SQLite */
	unsigned sent; /* statements that are not answered yet */
	long long seq;
	unsigned serial;
	int length; /* of an event */
	char text[8192];
};

static struct bare *bare_new(int event_length)
{
	struct bare *bare = calloc(1, sizeof *bare);

	if (!bare)
		return NULL;
	memset(bare->text, 'x', sizeof bare->text);
	bare->length = event_length < (int)sizeof bare->text ? event_length : (int)sizeof bare->text;
	bare->seq = 1000;
	return bare;
}

/* Keys come in no order. */
static void row_next(struct bare *bare, struct row *row)
{
	memset(row, 0, sizeof *row);
	row->seq = ++bare->seq;
	snprintf(row->instance, sizeof row->instance, "i-%017x", ++bare->serial);
	snprintf(row->release, sizeof row->release, "019b76da-a800-7000-8000-%012x", bare->serial);
	EVP_Digest(row->instance, strlen(row->instance), row->hash, NULL, EVP_sha256(), NULL);
}

/* ---- SQLite */

static sqlite3_stmt *prepared(sqlite3 *db, const char *text)
{
	sqlite3_stmt *statement = NULL;

	return sqlite3_prepare_v2(db, text, -1, &statement, NULL) == SQLITE_OK ? statement : NULL;
}

struct bare *bare_sqlite(const char *path, int event_length)
{
	struct bare *bare = bare_new(event_length);

	if (!bare)
		return NULL;
	if (sqlite3_open(path, &bare->db) == SQLITE_OK &&
		sqlite3_exec(bare->db,
			"PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA secure_delete = ON;"
			"PRAGMA cache_size = -16000; PRAGMA journal_size_limit = 67108864",
			NULL, NULL, NULL) == SQLITE_OK) {
		bare->ledger = prepared(bare->db, LEDGER("?1", "?2", "?3"));
		bare->event = prepared(bare->db, EVENT("?1", "?2", "?3"));
		bare->find = prepared(bare->db, FIND("?1", "?2", "?3"));
	}
	if (bare->ledger && bare->event && bare->find)
		return bare;
	bare_close(bare);
	return NULL;
}

static bool stepped(sqlite3_stmt *statement)
{
	bool done = sqlite3_step(statement) == SQLITE_DONE;

	return sqlite3_reset(statement) == SQLITE_OK && done;
}

static bool sqlite_row(struct bare *bare)
{
	struct row row;

	row_next(bare, &row);
	sqlite3_bind_blob(bare->ledger, 1, row.hash, sizeof row.hash, SQLITE_STATIC);
	sqlite3_bind_text(bare->ledger, 2, row.instance, -1, SQLITE_STATIC);
	sqlite3_bind_text(bare->ledger, 3, row.release, -1, SQLITE_STATIC);
	sqlite3_bind_int64(bare->event, 1, row.seq);
	sqlite3_bind_blob(bare->event, 2, bare->text, bare->length, SQLITE_STATIC);
	sqlite3_bind_blob(bare->event, 3, row.hash, sizeof row.hash, SQLITE_STATIC);
	sqlite3_bind_int64(bare->find, 1, row.seq);
	sqlite3_bind_text(bare->find, 2, row.instance, -1, SQLITE_STATIC);
	sqlite3_bind_text(bare->find, 3, row.release, -1, SQLITE_STATIC);
	return stepped(bare->ledger) && stepped(bare->event) && stepped(bare->find);
}

static bool sqlite_batch(struct bare *bare, unsigned size)
{
	bool good = sqlite3_exec(bare->db, "BEGIN IMMEDIATE", NULL, NULL, NULL) == SQLITE_OK;

	for (unsigned row = 0; good && row < size; row++)
		good = sqlite_row(bare);
	return good && sqlite3_exec(bare->db, "COMMIT", NULL, NULL, NULL) == SQLITE_OK;
}

/* ---- PostgreSQL, pipelined: a batch is sent as a whole and then answered */

static bool run(PGconn *postgres, const char *sql)
{
	PGresult *result = PQexec(postgres, sql);
	ExecStatusType status = PQresultStatus(result);

	PQclear(result);
	return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;
}

static bool prepare(PGconn *postgres, const char *name, const char *text)
{
	PGresult *result = PQprepare(postgres, name, text, 0, NULL);
	bool good = PQresultStatus(result) == PGRES_COMMAND_OK;

	PQclear(result);
	return good;
}

struct bare *bare_postgres(const char *uri, int event_length)
{
	struct bare *bare = bare_new(event_length);

	if (!bare)
		return NULL;
	bare->postgres = PQconnectdb(uri);
	if (PQstatus(bare->postgres) == CONNECTION_OK &&
		run(bare->postgres, "SET search_path = vouchsafe; SET synchronous_commit = on; SET "
				    "enable_seqscan = off") &&
		prepare(bare->postgres, "ledger", LEDGER("$1", "$2", "$3")) &&
		prepare(bare->postgres, "event", EVENT("$1", "$2", "$3")) &&
		prepare(bare->postgres, "find", FIND("$1", "$2", "$3")) &&
		PQenterPipelineMode(bare->postgres) && PQsetnonblocking(bare->postgres, 1) == 0)
		return bare;
	bare_close(bare);
	return NULL;
}

static bool send(struct bare *bare, const char *name, const char *const values[3], const int lengths[3])
{
	static const int binary[] = { 1, 1, 1 };

	bare->sent++;
	return PQsendQueryPrepared(bare->postgres, name, 3, values, lengths, binary, 1) &&
	       PQflush(bare->postgres) >= 0;
}

static bool postgres_row(struct bare *bare)
{
	struct row row;
	unsigned char seq[8];
	const char *hash, *number = (const char *)seq;

	row_next(bare, &row);
	hash = (const char *)row.hash;
	for (int i = 0; i < 8; i++)
		seq[i] = (unsigned char)(row.seq >> (56 - 8 * i));
	return send(bare, "ledger", (const char *[]){ hash, row.instance, row.release },
		       (int[]){ 32, (int)strlen(row.instance), (int)strlen(row.release) }) &&
	       send(bare, "event", (const char *[]){ number, bare->text, hash },
		       (int[]){ 8, bare->length, 32 }) &&
	       send(bare, "find", (const char *[]){ number, row.instance, row.release },
		       (int[]){ 8, (int)strlen(row.instance), (int)strlen(row.release) });
}

static bool plain(struct bare *bare, const char *text)
{
	bare->sent++;
	return PQsendQueryParams(bare->postgres, text, 0, NULL, NULL, NULL, NULL, 1);
}

/* Every statement has one result and the end of its results; then comes the mark of the pipeline. */
static bool answered(struct bare *bare)
{
	bool good = PQpipelineSync(bare->postgres);

	for (; bare->sent > 0; bare->sent--) {
		PGresult *result = PQgetResult(bare->postgres);
		ExecStatusType status = PQresultStatus(result);

		good = good && (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK);
		PQclear(result);
		PQclear(PQgetResult(bare->postgres));
	}
	PQclear(PQgetResult(bare->postgres));
	return good;
}

static bool postgres_batch(struct bare *bare, unsigned size)
{
	bool good = plain(bare, "BEGIN");

	for (unsigned row = 0; good && row < size; row++)
		good = postgres_row(bare);
	return good && plain(bare, "COMMIT") && answered(bare);
}

/* ---- either */

bool bare_batch(struct bare *bare, unsigned size)
{
	return bare->postgres ? postgres_batch(bare, size) : sqlite_batch(bare, size);
}

void bare_close(struct bare *bare)
{
	if (!bare)
		return;
	PQfinish(bare->postgres);
	sqlite3_finalize(bare->ledger);
	sqlite3_finalize(bare->event);
	sqlite3_finalize(bare->find);
	sqlite3_close(bare->db);
	free(bare);
}
