/* SQLite behind store/sql.h: the only file that knows sqlite3.h. It opens in WAL mode with synchronous=FULL,
 * so that a COMMIT which answered yes has been synced, and takes the write lock at BEGIN, so that no
 * transaction can fail half-way for want of it. It must never report success where SQLite reported anything
 * else, never wait without bound, and never write to a file that has been moved away or replaced under it. */
#include "store/sql.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
	QUERIES_MAX = 64,
	PARAMETERS_MAX = 24,
	BUSY_MS = 1000,
	APPLICATION_ID = 0x564f5543, /* "VOUC" */
	ERROR_MAX = 200
};

struct query {
	struct sql *sql;
	sqlite3_stmt *statement;
	const char *text;
	bool failed, once;
	long long affected;
	int places[PARAMETERS_MAX + 1]; /* $n stands at SQLite's parameter places[n] */
};

struct sql {
	sqlite3 *connection;
	bool empty, broken;
	char *path, *wal;
	struct stat file, wal_file;
	char error[ERROR_MAX];
	unsigned n_queries;
	struct query queries[QUERIES_MAX];
};

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

static bool sql_failed(struct sql *sql, int code, const char *said)
{
	if (!sql->error[0])
		snprintf(sql->error, sizeof(sql->error), "%s", said);
	if (!error_is_passing(code))
		sql->broken = true;
	return false;
}

static bool engine_failed(struct sql *sql, int code)
{
	return sql_failed(sql, code, sqlite3_errmsg(sql->connection));
}

bool sql_complain(struct sql *sql, const char *said)
{
	return sql_failed(sql, SQLITE_CONSTRAINT, said);
}

const char *sql_error(const struct sql *sql)
{
	return sql->error;
}

bool sql_broken(const struct sql *sql)
{
	return sql->broken;
}

bool sql_empty(const struct sql *sql)
{
	return sql->empty;
}

bool sql_run(struct sql *sql, const char *script)
{
	int code = sqlite3_exec(sql->connection, script, NULL, NULL, NULL);

	return code == SQLITE_OK || engine_failed(sql, code);
}

bool sql_claim(struct sql *sql)
{
	char text[64];

	snprintf(text, sizeof(text), "PRAGMA application_id = %d", APPLICATION_ID);
	return sql_run(sql, text);
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
	return strcmp(mode, "wal") == 0 ||
	       sql_failed(sql, SQLITE_ERROR, "write-ahead logging does not work here");
}

/* The last question opens the log, if nothing before did. */
static bool settings_write(struct sql *sql)
{
	long long things;

	return sql_run(sql, "PRAGMA page_size = 8192") && wal_on(sql) &&
	       sql_run(sql, "PRAGMA synchronous = FULL; PRAGMA foreign_keys = OFF; PRAGMA secure_delete = ON;"
			    "PRAGMA cache_size = -16000; PRAGMA journal_size_limit = 67108864") &&
	       number_ask(sql, "SELECT COUNT(*) FROM sqlite_schema", &things);
}

static bool settings_apply(struct sql *sql, enum sql_use use)
{
	sqlite3_db_config(sql->connection, SQLITE_DBCONFIG_DEFENSIVE, 1, (int *)NULL);
	if (!sql_run(sql, "PRAGMA trusted_schema = OFF; PRAGMA temp_store = MEMORY"))
		return false;
	return use == SQL_READ || settings_write(sql);
}

/* Ours, or empty. Asked before anything is written to the file. */
static bool owner_check(struct sql *sql, struct complaint *complaint)
{
	long long mark = 0, things = 0;

	if (!number_ask(sql, "PRAGMA application_id", &mark) ||
		!number_ask(sql, "SELECT COUNT(*) FROM sqlite_schema", &things))
		return complain(complaint,
			"store: %s: %s; is it a vouchsafe database? name another file, or put a backup back",
			sql->path, sql->error);
	sql->empty = mark == 0 && things == 0;
	if (mark != APPLICATION_ID && !sql->empty)
		return complain(
			complaint, "store: %s is another program's database: name another file", sql->path);
	return true;
}

static bool connection_open(struct sql *sql, enum sql_use use, struct complaint *complaint)
{
	int flags = use == SQL_READ ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE;
	int code = sqlite3_open_v2(
		sql->path, &sql->connection, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW, NULL);

	if (code != SQLITE_OK)
		return complain(complaint,
			"store: %s: %s; it must be there, no symbolic link, and open to this user", sql->path,
			sql->connection ? sqlite3_errmsg(sql->connection) : sqlite3_errstr(code));
	if (use == SQL_WRITE && sqlite3_db_readonly(sql->connection, "main") == 1)
		return complain(complaint,
			"store: %s may not be written by this user: give it and its folder to the "
			"user that runs vouchsafed, and run as that user or as root",
			sql->path);
	sqlite3_busy_timeout(sql->connection, BUSY_MS);
	sqlite3_extended_result_codes(sql->connection, 1);
	if (!owner_check(sql, complaint))
		return false;
	if (!settings_apply(sql, use))
		return complain(complaint,
			"store: %s: %s; its folder must be on a local disk, have room and be "
			"writable for this user",
			sql->path, sql->error);
	return true;
}

static struct sql *sql_new(const char *path)
{
	struct sql *sql = calloc(1, sizeof(*sql));

	if (!sql)
		return NULL;
	sql->path = strdup(path);
	if (!sql->path || asprintf(&sql->wal, "%s-wal", path) < 0) {
		sql->wal = NULL;
		sql_close(sql);
		return NULL;
	}
	return sql;
}

struct sql *sql_open(const char *path, enum sql_use use, struct complaint *complaint)
{
	struct sql *sql = sql_new(path);

	if (!sql) {
		complain(complaint, "store: %s: out of memory", path);
		return NULL;
	}
	if (!connection_open(sql, use, complaint)) {
		sql_close(sql);
		return NULL;
	}
	/* The settings have read from the file, so the WAL is open: these are the files that we write to. */
	if (stat(sql->path, &sql->file) != 0 || (use == SQL_WRITE && stat(sql->wal, &sql->wal_file) != 0)) {
		complain(complaint, "store: %s went away while it was opened: start again", path);
		sql_close(sql);
		return NULL;
	}
	sql->error[0] = '\0';
	sql->broken = false;
	return sql;
}

static void query_finish(struct query *query)
{
	sqlite3_finalize(query->statement);
	query->statement = NULL;
}

void sql_close(struct sql *sql)
{
	if (!sql)
		return;
	for (unsigned i = 0; i < sql->n_queries; i++)
		query_finish(&sql->queries[i]);
	sqlite3_close_v2(sql->connection);
	free(sql->path);
	free(sql->wal);
	free(sql);
}

/* ---- transactions */

static bool file_is(const char *path, const struct stat *known)
{
	struct stat now;

	return stat(path, &now) == 0 && now.st_ino == known->st_ino && now.st_dev == known->st_dev;
}

/* A commit to a file that has no name any more would be lost with it. */
static bool files_unmoved(struct sql *sql, enum sql_use use)
{
	if (!file_is(sql->path, &sql->file) || (use == SQL_WRITE && !file_is(sql->wal, &sql->wal_file)))
		return sql_failed(sql, SQLITE_IOERR, "the database's file was moved or replaced");
	return true;
}

bool sql_begin(struct sql *sql, enum sql_use use)
{
	sql->error[0] = '\0';
	if (!files_unmoved(sql, use))
		return false;
	return query_run(sql_query(sql, use == SQL_WRITE ? "BEGIN IMMEDIATE" : "BEGIN"), NULL);
}

bool sql_commit(struct sql *sql)
{
	return query_run(sql_query(sql, "COMMIT"), NULL);
}

void sql_rollback(struct sql *sql)
{
	for (unsigned i = 0; i < sql->n_queries; i++)
		sqlite3_reset(sql->queries[i].statement);
	if (sqlite3_get_autocommit(sql->connection))
		return;
	if (!query_run(sql_query(sql, "ROLLBACK"), NULL) || !sqlite3_get_autocommit(sql->connection))
		sql->broken = true;
}

/* ---- queries */

/* SQLite numbers its parameters as they appear; ours have the numbers that they say. */
static bool places_find(struct query *query)
{
	int n = sqlite3_bind_parameter_count(query->statement);

	for (int i = 1; i <= n; i++) {
		const char *name = sqlite3_bind_parameter_name(query->statement, i);
		int number = name && name[0] == '$' ? atoi(name + 1) : 0;

		if (number < 1 || number > PARAMETERS_MAX)
			return sql_failed(
				query->sql, SQLITE_RANGE, "a statement with a parameter out of range");
		query->places[number] = i;
	}
	return true;
}

static bool query_prepare(struct query *query, struct sql *sql, const char *text, bool once)
{
	int code;

	*query = (struct query){ .sql = sql, .text = text, .once = once };
	code = sqlite3_prepare_v3(
		sql->connection, text, -1, once ? 0 : SQLITE_PREPARE_PERSISTENT, &query->statement, NULL);
	if (code != SQLITE_OK)
		return engine_failed(sql, code);
	if (!places_find(query)) {
		query_finish(query);
		return false;
	}
	return true;
}

struct query *sql_query(struct sql *sql, const char *text)
{
	struct query *query;

	for (unsigned i = 0; i < sql->n_queries; i++) {
		query = &sql->queries[i];
		if (query->text != text)
			continue;
		sqlite3_reset(query->statement);
		sqlite3_clear_bindings(query->statement);
		query->failed = false;
		return query;
	}
	if (sql->n_queries == QUERIES_MAX) {
		sql_failed(sql, SQLITE_RANGE, "too many statements");
		return NULL;
	}
	query = &sql->queries[sql->n_queries];
	if (!query_prepare(query, sql, text, false))
		return NULL;
	sql->n_queries++;
	return query;
}

struct query *sql_query_once(struct sql *sql, const char *text)
{
	struct query *query = malloc(sizeof(*query));

	if (!query) {
		sql_failed(sql, SQLITE_NOMEM, "out of memory");
		return NULL;
	}
	if (!query_prepare(query, sql, text, true)) {
		free(query);
		return NULL;
	}
	return query;
}

static void query_failed(struct query *query, int code)
{
	query->failed = true;
	engine_failed(query->sql, code);
}

static int query_place(struct query *query, int parameter)
{
	return parameter >= 1 && parameter <= PARAMETERS_MAX ? query->places[parameter] : 0;
}

static void query_bound(struct query *query, int code)
{
	if (code != SQLITE_OK)
		query_failed(query, code);
}

void query_integer(struct query *query, int parameter, long long value)
{
	if (query)
		query_bound(
			query, sqlite3_bind_int64(query->statement, query_place(query, parameter), value));
}

void query_text(struct query *query, int parameter, const char *text)
{
	if (query) /* NULL binds NULL */
		query_bound(query, sqlite3_bind_text(query->statement, query_place(query, parameter), text,
					   -1, SQLITE_STATIC));
}

void query_bytes(struct query *query, int parameter, const void *data, size_t length)
{
	if (query)
		query_bound(query, sqlite3_bind_blob64(query->statement, query_place(query, parameter), data,
					   length, SQLITE_STATIC));
}

enum step query_step(struct query *query)
{
	int code;

	if (!query || query->failed)
		return STEP_FAILED;
	code = sqlite3_step(query->statement);
	if (code == SQLITE_ROW)
		return STEP_ROW;
	if (code != SQLITE_DONE) {
		query_failed(query, code);
		sqlite3_reset(query->statement);
		return STEP_FAILED;
	}
	query->affected = sqlite3_changes64(query->sql->connection);
	sqlite3_reset(query->statement);
	return STEP_DONE;
}

bool query_run(struct query *query, long long *affected)
{
	enum step step = query_step(query);

	if (step == STEP_DONE && affected)
		*affected = query->affected;
	return query_end(query) && step == STEP_DONE;
}

bool query_end(struct query *query)
{
	bool good;

	if (!query)
		return false;
	good = !query->failed;
	if (query->once) {
		query_finish(query);
		free(query);
	} else {
		sqlite3_reset(query->statement);
	}
	return good;
}

/* ---- columns */

static void column_unfit(struct query *query)
{
	if (sqlite3_errcode(query->sql->connection) == SQLITE_NOMEM)
		query_failed(query, SQLITE_NOMEM);
	query->failed = true;
	sql_failed(query->sql, SQLITE_CONSTRAINT, "a stored value is not of the form that it was written in");
}

bool column_null(struct query *query, int column)
{
	return sqlite3_column_type(query->statement, column) == SQLITE_NULL;
}

long long column_integer(struct query *query, int column)
{
	if (sqlite3_column_type(query->statement, column) == SQLITE_INTEGER)
		return sqlite3_column_int64(query->statement, column);
	if (!column_null(query, column))
		column_unfit(query);
	return 0;
}

struct bytes column_bytes(struct query *query, int column)
{
	bool null = column_null(query, column);
	struct bytes bytes = { .data = sqlite3_column_blob(query->statement, column) };

	bytes.length = (size_t)sqlite3_column_bytes(query->statement, column);
	if (!null && !bytes.data &&
		(bytes.length > 0 || sqlite3_errcode(query->sql->connection) == SQLITE_NOMEM)) {
		column_unfit(query);
		bytes.length = 0;
	}
	return bytes;
}

void column_text(struct query *query, int column, char *to, size_t size)
{
	struct bytes bytes = column_bytes(query, column);

	to[0] = '\0';
	if (bytes.length >= size || (bytes.length > 0 && memchr(bytes.data, '\0', bytes.length))) {
		column_unfit(query);
		return;
	}
	if (bytes.length > 0)
		memcpy(to, bytes.data, bytes.length);
	to[bytes.length] = '\0';
}

void column_exactly(struct query *query, int column, void *to, size_t length)
{
	struct bytes bytes = column_bytes(query, column);

	memset(to, 0, length);
	if (bytes.length != length)
		column_unfit(query);
	else
		memcpy(to, bytes.data, length);
}
