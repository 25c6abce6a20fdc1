/* SQLite behind store/sql.h: the only file that knows sqlite3.h. It opens in WAL mode with synchronous=FULL,
 * so that a COMMIT which answered yes has been synced, and takes the write lock at BEGIN, so that no
 * transaction can fail half-way for want of it. It must never report success where SQLite reported anything
 * else, never wait without bound, and never write to a file that has been moved away or replaced under it. */
#include "store/engine.h"
#include "store/engines.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
	QUERIES_MAX = 64,
	BUSY_MS = 1000,
	STEPS_OF_A_TICK = 500000,
	APPLICATION_ID = 0x564f5543 /* "VOUC" */
};

struct sqlite_query {
	struct query base; /* first */
	sqlite3_stmt *statement;
	int places[SQL_PARAMETERS_MAX + 1]; /* $n stands at SQLite's parameter places[n] */
};

struct sqlite {
	struct sql base; /* first */
	sqlite3 *connection;
	char *path, *wal;
	struct stat file, wal_file;
	unsigned n_queries;
	struct sqlite_query queries[QUERIES_MAX];
};

static struct sqlite *sqlite_of(struct sql *sql)
{
	return (struct sqlite *)sql;
}

static struct sqlite *sqlite_of_query(const struct query *query)
{
	return (struct sqlite *)query->sql;
}

static sqlite3_stmt *statement_of(const struct query *query)
{
	return ((const struct sqlite_query *)query)->statement;
}

/* Errors after which the same connection goes on working. */
static bool error_is_passing(int code)
{
	switch (code & 0xff) {
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
	case SQLITE_CONSTRAINT:
	case SQLITE_TOOBIG:
	case SQLITE_RANGE:
		return true;
	default:
		return false;
	}
}

static bool engine_failed(struct sql *sql, int code)
{
	return sql_failed(sql, error_is_passing(code), sqlite3_errmsg(sqlite_of(sql)->connection));
}

/* Some hundred thousand of SQLite's own steps later. */
static int still_running(void *context)
{
	const struct sql *sql = context;

	sql->tick(sql->context);
	return 0;
}

static bool sqlite_run(struct sql *sql, const char *script)
{
	sqlite3 *connection = sqlite_of(sql)->connection;
	int code;

	if (sql->tick)
		sqlite3_progress_handler(connection, STEPS_OF_A_TICK, still_running, sql);
	code = sqlite3_exec(connection, script, NULL, NULL, NULL);
	sqlite3_progress_handler(connection, 0, NULL, NULL);
	return code == SQLITE_OK || engine_failed(sql, code);
}

static bool sqlite_claim(struct sql *sql)
{
	char text[64];

	snprintf(text, sizeof(text), "PRAGMA application_id = %d", APPLICATION_ID);
	return sql_run(sql, text, NULL, NULL);
}

/* ---- opening */

static bool number_ask(struct sql *sql, const char *text, long long *value)
{
	struct query *query = sql_query_once(sql, text);

	if (query_step(query) == STEP_ROW)
		*value = column_integer(query, 0);
	return query_end(query);
}

static bool wal_on(struct sql *sql)
{
	struct query *query = sql_query_once(sql, "PRAGMA journal_mode = WAL");
	char mode[16] = "";

	if (query_step(query) == STEP_ROW)
		column_text(query, 0, mode, sizeof(mode));
	if (!query_end(query))
		return false;
	return strcmp(mode, "wal") == 0 || sql_failed(sql, false, "write-ahead logging does not work here");
}

/* The last question opens the log, if nothing before did. */
static bool settings_write(struct sql *sql)
{
	long long things;

	return sql_run(sql, "PRAGMA page_size = 8192", NULL, NULL) && wal_on(sql) &&
	       sql_run(sql,
		       "PRAGMA synchronous = FULL; PRAGMA foreign_keys = OFF; PRAGMA secure_delete = ON;"
		       "PRAGMA cache_size = -16000; PRAGMA journal_size_limit = 67108864",
		       NULL, NULL) &&
	       number_ask(sql, "SELECT COUNT(*) FROM sqlite_schema", &things);
}

static bool settings_apply(struct sql *sql, enum sql_use use)
{
	sqlite3_db_config(sqlite_of(sql)->connection, SQLITE_DBCONFIG_DEFENSIVE, 1, (int *)NULL);
	if (!sql_run(sql, "PRAGMA trusted_schema = OFF; PRAGMA temp_store = MEMORY", NULL, NULL))
		return false;
	return use == SQL_READ || settings_write(sql);
}

/* Ours, or empty. Asked before anything is written to the file. */
static bool owner_check(struct sqlite *sqlite, struct complaint *complaint)
{
	struct sql *sql = &sqlite->base;
	long long mark = 0, things = 0;

	if (!number_ask(sql, "PRAGMA application_id", &mark) ||
		!number_ask(sql, "SELECT COUNT(*) FROM sqlite_schema", &things))
		return complain(complaint,
			"store: %s: %s; is it a vouchsafe database? name another file, or put a backup back",
			sqlite->path, sql->error);
	sql->empty = mark == 0 && things == 0;
	if (mark != APPLICATION_ID && !sql->empty)
		return complain(complaint, "store: %s is another program's database: name another file",
			sqlite->path);
	return true;
}

static bool connection_open(struct sqlite *sqlite, enum sql_use use, struct complaint *complaint)
{
	int flags = use == SQL_READ ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE;
	int code = sqlite3_open_v2(
		sqlite->path, &sqlite->connection, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW, NULL);

	if (code != SQLITE_OK)
		return complain(complaint,
			"store: %s: %s; it must be there, no symbolic link, and open to this user",
			sqlite->path,
			sqlite->connection ? sqlite3_errmsg(sqlite->connection) : sqlite3_errstr(code));
	if (use == SQL_WRITE && sqlite3_db_readonly(sqlite->connection, "main") == 1)
		return complain(complaint,
			"store: %s may not be written by this user: give it and its folder to the "
			"user that runs vouchsafed, and run as that user or as root",
			sqlite->path);
	sqlite3_busy_timeout(sqlite->connection, BUSY_MS);
	sqlite3_extended_result_codes(sqlite->connection, 1);
	if (!owner_check(sqlite, complaint))
		return false;
	if (!settings_apply(&sqlite->base, use))
		return complain(complaint,
			"store: %s: %s; its folder must be on a local disk, have room and be "
			"writable for this user",
			sqlite->path, sqlite->base.error);
	return true;
}

static const struct sql_engine engine;

static struct sqlite *sqlite_new(const char *path)
{
	struct sqlite *sqlite = calloc(1, sizeof(*sqlite));

	if (!sqlite)
		return NULL;
	sqlite->base.engine = &engine;
	sqlite->path = strdup(path);
	if (!sqlite->path || asprintf(&sqlite->wal, "%s-wal", path) < 0) {
		sqlite->wal = NULL;
		sql_close(&sqlite->base);
		return NULL;
	}
	return sqlite;
}

struct sql *sqlite_open(const char *path, enum sql_use use, struct complaint *complaint)
{
	struct sqlite *sqlite = sqlite_new(path);

	if (!sqlite) {
		complain(complaint, "store: %s: out of memory", path);
		return NULL;
	}
	if (!connection_open(sqlite, use, complaint)) {
		sql_close(&sqlite->base);
		return NULL;
	}
	/* The settings have read from the file, so the WAL is open: these are the files that we write to. */
	if (stat(sqlite->path, &sqlite->file) != 0 ||
		(use == SQL_WRITE && stat(sqlite->wal, &sqlite->wal_file) != 0)) {
		complain(complaint, "store: %s went away while it was opened: start again", path);
		sql_close(&sqlite->base);
		return NULL;
	}
	sqlite->base.error[0] = '\0';
	sqlite->base.broken = false;
	return &sqlite->base;
}

static void statement_finish(struct sqlite_query *query)
{
	sqlite3_finalize(query->statement);
	query->statement = NULL;
}

static void sqlite_close_sql(struct sql *sql)
{
	struct sqlite *sqlite = sqlite_of(sql);

	for (unsigned i = 0; i < sqlite->n_queries; i++)
		statement_finish(&sqlite->queries[i]);
	sqlite3_close_v2(sqlite->connection);
	free(sqlite->path);
	free(sqlite->wal);
	free(sqlite);
}

/* ---- transactions */

static bool file_is(const char *path, const struct stat *known)
{
	struct stat now;

	return stat(path, &now) == 0 && now.st_ino == known->st_ino && now.st_dev == known->st_dev;
}

/* A commit to a file that has no name any more would be lost with it. */
static bool files_unmoved(struct sqlite *sqlite, enum sql_use use)
{
	if (!file_is(sqlite->path, &sqlite->file) ||
		(use == SQL_WRITE && !file_is(sqlite->wal, &sqlite->wal_file)))
		return sql_failed(&sqlite->base, false, "the database's file was moved or replaced");
	return true;
}

static bool sqlite_begin(struct sql *sql, enum sql_use use)
{
	if (!files_unmoved(sqlite_of(sql), use))
		return false;
	return query_run(sql_query(sql, use == SQL_WRITE ? "BEGIN IMMEDIATE" : "BEGIN"), NULL);
}

/* One writer, one file: what was not answered with yes is rolled back, here or by the next who opens it. */
static enum commit sqlite_commit(struct sql *sql)
{
	return query_run(sql_query(sql, "COMMIT"), NULL) ? COMMITTED : NOT_COMMITTED;
}

static void sqlite_rollback(struct sql *sql)
{
	struct sqlite *sqlite = sqlite_of(sql);

	for (unsigned i = 0; i < sqlite->n_queries; i++)
		sqlite3_reset(sqlite->queries[i].statement);
	if (sqlite3_get_autocommit(sqlite->connection))
		return;
	if (!query_run(sql_query(sql, "ROLLBACK"), NULL) || !sqlite3_get_autocommit(sqlite->connection))
		sql->broken = true;
}

/* Everything is done when it is asked for. */
static bool sqlite_settle(struct sql *sql)
{
	return !sql->error[0];
}

/* ---- queries */

/* SQLite numbers its parameters as they appear; ours have the numbers that they say. */
static bool places_find(struct sqlite_query *query)
{
	int n = sqlite3_bind_parameter_count(query->statement);

	for (int i = 1; i <= n; i++) {
		const char *name = sqlite3_bind_parameter_name(query->statement, i);
		int number = name && name[0] == '$' ? atoi(name + 1) : 0;

		if (number < 1 || number > SQL_PARAMETERS_MAX)
			return sql_failed(query->base.sql, true, "a statement with a parameter out of range");
		query->places[number] = i;
	}
	return true;
}

static bool statement_prepare(struct sqlite_query *query, struct sql *sql, const char *text, bool once)
{
	int code;

	*query = (struct sqlite_query){ .base = { .sql = sql, .text = text, .once = once } };
	code = sqlite3_prepare_v3(sqlite_of(sql)->connection, text, -1, once ? 0 : SQLITE_PREPARE_PERSISTENT,
		&query->statement, NULL);
	if (code != SQLITE_OK)
		return engine_failed(sql, code);
	if (!places_find(query)) {
		statement_finish(query);
		return false;
	}
	return true;
}

static struct query *sqlite_query_kept(struct sql *sql, const char *text)
{
	struct sqlite *sqlite = sqlite_of(sql);
	struct sqlite_query *query;

	for (unsigned i = 0; i < sqlite->n_queries; i++) {
		query = &sqlite->queries[i];
		if (query->base.text != text)
			continue;
		sqlite3_reset(query->statement);
		sqlite3_clear_bindings(query->statement);
		query->base.failed = false;
		return &query->base;
	}
	if (sqlite->n_queries == QUERIES_MAX) {
		sql_failed(sql, true, "too many statements");
		return NULL;
	}
	query = &sqlite->queries[sqlite->n_queries];
	if (!statement_prepare(query, sql, text, false))
		return NULL;
	sqlite->n_queries++;
	return &query->base;
}

static struct query *sqlite_query_once(struct sql *sql, const char *text)
{
	struct sqlite_query *query = malloc(sizeof(*query));

	if (!query) {
		sql_failed(sql, false, "out of memory");
		return NULL;
	}
	if (!statement_prepare(query, sql, text, true)) {
		free(query);
		return NULL;
	}
	return &query->base;
}

static void query_failed(struct query *query, int code)
{
	query->failed = true;
	engine_failed(query->sql, code);
}

static int query_place(const struct query *query, int parameter)
{
	return parameter >= 1 && parameter <= SQL_PARAMETERS_MAX
		       ? ((const struct sqlite_query *)query)->places[parameter]
		       : 0;
}

static void query_bound(struct query *query, int code)
{
	if (code != SQLITE_OK)
		query_failed(query, code);
}

static void sqlite_integer(struct query *query, int parameter, long long value)
{
	query_bound(query, sqlite3_bind_int64(statement_of(query), query_place(query, parameter), value));
}

static void sqlite_text(struct query *query, int parameter, const char *text) /* NULL binds NULL */
{
	query_bound(query, sqlite3_bind_text(statement_of(query), query_place(query, parameter), text, -1,
				   SQLITE_STATIC));
}

static void sqlite_bytes(struct query *query, int parameter, const void *data, size_t length)
{
	query_bound(query, sqlite3_bind_blob64(statement_of(query), query_place(query, parameter), data,
				   length, SQLITE_STATIC));
}

static enum step sqlite_step(struct query *query)
{
	int code = sqlite3_step(statement_of(query));

	if (code == SQLITE_ROW)
		return STEP_ROW;
	if (code != SQLITE_DONE) {
		query_failed(query, code);
		sqlite3_reset(statement_of(query));
		return STEP_FAILED;
	}
	query->affected = sqlite3_changes64(sqlite_of_query(query)->connection);
	sqlite3_reset(statement_of(query));
	return STEP_DONE;
}

/* The rows come when they are stepped to. */
static void sqlite_ask(struct query *query)
{
	(void)query;
}

static bool sqlite_later(struct query *query, long long *affected)
{
	if (sqlite_step(query) != STEP_DONE)
		return false;
	if (affected)
		*affected = query->affected;
	return true;
}

static bool sqlite_end(struct query *query)
{
	bool good = !query->failed;

	if (query->once) {
		statement_finish((struct sqlite_query *)query);
		free(query);
	} else {
		sqlite3_reset(statement_of(query));
	}
	return good;
}

/* ---- columns */

static bool sqlite_null(struct query *query, int column)
{
	return sqlite3_column_type(statement_of(query), column) == SQLITE_NULL;
}

static long long sqlite_column_integer(struct query *query, int column)
{
	if (sqlite3_column_type(statement_of(query), column) == SQLITE_INTEGER)
		return sqlite3_column_int64(statement_of(query), column);
	if (!sqlite_null(query, column))
		column_unfit(query);
	return 0;
}

static struct bytes sqlite_column_bytes(struct query *query, int column)
{
	bool null = sqlite_null(query, column);
	struct bytes bytes = { .data = sqlite3_column_blob(statement_of(query), column) };

	bytes.length = (size_t)sqlite3_column_bytes(statement_of(query), column);
	if (!null && !bytes.data) {
		bool memory_out = sqlite3_errcode(sqlite_of_query(query)->connection) == SQLITE_NOMEM;

		if (memory_out)
			query_failed(query, SQLITE_NOMEM);
		if (memory_out || bytes.length > 0)
			column_unfit(query);
		bytes.length = 0;
	}
	return bytes;
}

static const struct sql_engine engine = {
	.close = sqlite_close_sql,
	.claim = sqlite_claim,
	.begin = sqlite_begin,
	.commit = sqlite_commit,
	.rollback = sqlite_rollback,
	.run = sqlite_run,
	.settle = sqlite_settle,
	.query = sqlite_query_kept,
	.query_once = sqlite_query_once,
	.integer = sqlite_integer,
	.text = sqlite_text,
	.bytes = sqlite_bytes,
	.ask = sqlite_ask,
	.later = sqlite_later,
	.step = sqlite_step,
	.column_null = sqlite_null,
	.column_integer = sqlite_column_integer,
	.column_bytes = sqlite_column_bytes,
	.end = sqlite_end,
};
