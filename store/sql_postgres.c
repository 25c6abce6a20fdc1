/* PostgreSQL behind store/sql.h: the only file that knows libpq. One connection to one host at a time, always
 * the primary, in libpq's pipeline mode: what needs no answer at once is sent, and one round trip takes all
 * answers. No wait is without a deadline of our own, but for libpq's looking up of a host's name. It must
 * never report a commit that the primary has not confirmed without a warning: a COMMIT whose answer is lost,
 * late or qualified is COMMIT_UNKNOWN.
 *
 * The write lock is an advisory one, taken at the start of each writing transaction and held to its end, so
 * that nobody who holds it can have an unfinished COMMIT of another before him. A row would bloat instead. */
#include "store/engine.h"
#include "store/engines.h"

#include <endian.h>
#include <libpq-fe.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
	QUERIES_MAX = 96,
	EXPECTED_MAX = 4096,
	HOSTS_MAX = 16,
	KEYWORDS_MAX = 64,
	CONNECT_MS = 500, /* for each of several hosts */
	CONNECT_ALONE_MS = 3000,
	ANSWER_MS = 5000, /* for a round trip; the server gives up before (settings) */
	TICK_MS = 1000,
	IDLE_MS = 2000, /* who holds the write lock and does nothing is evicted */
	ROWS_MS = 30000, /* the same for readers, who may ask for much */
	MIGRATION_MS = 24 * 3600 * 1000,
	VERSION_LEAST = 130000
};

/* OIDs of pg_type.dat, which never change. */
enum { TYPE_BYTEA = 17, TYPE_INT8 = 20, TYPE_INT4 = 23, TYPE_TEXT = 25 };

#define MILLISECOND 1000000LL

/* Whoever waits for the write lock gives up before ANSWER_MS; whoever holds it and stalls is evicted long
 * before (session_start). */
static const char settings[] =
	"SET synchronous_commit = on; SET search_path = vouchsafe; SET client_encoding = 'UTF8';"
	"SET default_transaction_isolation = 'read committed';"
	"SET lock_timeout = 4000;"
	"SET enable_seqscan = off; SET jit = off; SET client_min_messages = warning;";

struct pg_query {
	struct query base; /* first */
	bool prepared, preparing, asked, answered;
	int n, place; /* how many parameters; in the list of queries */
	PGresult *result; /* once it is answered */
	int row;
	const char *values[SQL_PARAMETERS_MAX];
	int lengths[SQL_PARAMETERS_MAX];
	uint64_t integers[SQL_PARAMETERS_MAX];
};

/* An answer that is still to come, in the order in which things were sent. */
struct expected {
	enum { ANSWER_ANY, ANSWER_PREPARED, ANSWER_COUNT, ANSWER_ROWS, ANSWER_COMMIT } kind;
	struct pg_query *query; /* of ANSWER_PREPARED and ANSWER_ROWS; NULL: nobody waits any more */
	long long *affected;
};

struct pg {
	struct sql base; /* first */
	PGconn *connection;
	enum sql_use use; /* of the connection */
	bool in_transaction, warned;
	enum commit commit;
	long long patience_ms;
	unsigned n_expected, n_queries;
	struct expected expected[EXPECTED_MAX];
	struct pg_query queries[QUERIES_MAX];
};

static struct pg *pg_of(struct sql *sql)
{
	return (struct pg *)sql;
}

static struct pg_query *pg_query_of(struct query *query)
{
	return (struct pg_query *)query;
}

static long long clock_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (long long)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* ---- what went wrong */

/* libpq's own sentence without its line breaks: it names hosts and users, never passwords. */
static bool connection_failed(struct pg *pg)
{
	char said[SQL_ERROR_MAX];

	snprintf(said, sizeof(said), "%s", pg->connection ? PQerrorMessage(pg->connection) : "out of memory");
	said[strcspn(said, "\n")] = '\0';
	pg->base.lost = true;
	return sql_failed(&pg->base, false, said[0] ? said : "the connection is lost");
}

static bool answer_late(struct pg *pg)
{
	pg->base.lost = true;
	return sql_failed(&pg->base, false, "no answer in time");
}

static bool state_in(const char *state, const char *const classes[], size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strncmp(state, classes[i], strlen(classes[i])) == 0)
			return true;
	return false;
}

/* Classes of SQLSTATE after which this connection goes on, since one statement's own values are at fault. */
static bool state_is_passing(const char *state)
{
	static const char *const classes[] = { "22", "23", "54" };

	return state_in(state, classes, sizeof(classes) / sizeof(classes[0]));
}

/* What says nothing about the statement: the server goes down or comes up, the session was evicted, the lock
 * or the answer was not to be had in time, somebody else was in the way, the disk or the memory is full. */
static bool state_is_weather(const char *state)
{
	static const char *const classes[] = { "57", "25P03", "55P03", "40", "08", "53", "58" };

	return state_in(state, classes, sizeof(classes) / sizeof(classes[0]));
}

/* The primary message alone: details may quote values. */
static bool server_failed(struct pg *pg, const PGresult *result)
{
	const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	const char *said = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);

	if (!state)
		return connection_failed(pg);
	if (state_is_weather(state))
		pg->base.lost = true;
	return sql_failed(&pg->base, state_is_passing(state), said ? said : state);
}

/* Whatever is said above a notice is no plain yes. */
static void notice_take(void *context, const PGresult *notice)
{
	const char *severity = PQresultErrorField(notice, PG_DIAG_SEVERITY_NONLOCALIZED);

	if (!severity || strcmp(severity, "WARNING") == 0)
		((struct pg *)context)->warned = true;
}

/* ---- waiting */

/* Until the connection can be read from, or written to where something waits to be sent. */
static bool connection_await(struct pg *pg, short events, long long until)
{
	struct pollfd fd = { .fd = PQsocket(pg->connection), .events = events };
	long long left = until - clock_now();

	if (fd.fd < 0)
		return connection_failed(pg);
	if (left <= 0)
		return answer_late(pg);
	if (pg->base.tick && left > TICK_MS * MILLISECOND)
		left = TICK_MS * MILLISECOND;
	if (poll(&fd, 1, (int)(left / MILLISECOND) + 1) == 0 && clock_now() >= until)
		return answer_late(pg);
	if (pg->base.tick)
		pg->base.tick(pg->base.context);
	return true;
}

/* The next result, or NULL where a command's results end. False: the connection is of no more use. */
static bool result_take(struct pg *pg, PGresult **result, long long until)
{
	for (;;) {
		int unsent = PQflush(pg->connection);

		if (unsent < 0 || PQstatus(pg->connection) != CONNECTION_OK)
			return connection_failed(pg);
		if (!PQisBusy(pg->connection))
			break;
		if (!connection_await(pg, (short)(POLLIN | (unsent ? POLLOUT : 0)), until))
			return false;
		if (!PQconsumeInput(pg->connection))
			return connection_failed(pg);
	}
	*result = PQgetResult(pg->connection);
	return true;
}

/* ---- answers */

static void commit_answered(struct pg *pg, const PGresult *result)
{
	if (PQresultStatus(result) == PGRES_PIPELINE_ABORTED)
		pg->commit = NOT_COMMITTED; /* what stood before it failed, so it was never tried */
	else if (PQresultStatus(result) == PGRES_COMMAND_OK &&
		 strcmp(PQcmdStatus((PGresult *)result), "ROLLBACK") == 0)
		pg->commit = NOT_COMMITTED;
	else if (PQresultStatus(result) == PGRES_COMMAND_OK &&
		 strcmp(PQcmdStatus((PGresult *)result), "COMMIT") == 0 && !pg->warned)
		pg->commit = COMMITTED;
}

/* Takes the result where somebody waits for it. */
static void answer_take(struct pg *pg, const struct expected *expected, PGresult *result)
{
	ExecStatusType status = PQresultStatus(result);
	bool good = status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;

	if (expected->kind == ANSWER_COMMIT)
		commit_answered(pg, result);
	if (!good && status != PGRES_PIPELINE_ABORTED)
		server_failed(pg, result);
	else if (!good)
		sql_failed(&pg->base, true, "what was asked before it failed");
	if (expected->kind == ANSWER_COUNT && good && expected->affected)
		*expected->affected = strtoll(PQcmdTuples(result), NULL, 10);
	if (expected->query && expected->kind == ANSWER_PREPARED) {
		expected->query->preparing = false;
		expected->query->prepared = good;
	}
	if (expected->query && expected->kind == ANSWER_ROWS) {
		expected->query->answered = true;
		expected->query->base.failed = expected->query->base.failed || !good;
		expected->query->base.affected = good ? strtoll(PQcmdTuples(result), NULL, 10) : 0;
		expected->query->result = result;
		return;
	}
	PQclear(result);
}

/* Nobody gets an answer any more. */
static void expected_drop(struct pg *pg)
{
	for (unsigned i = 0; i < pg->n_expected; i++)
		if (pg->expected[i].query) {
			pg->expected[i].query->preparing = false;
			pg->expected[i].query->base.failed = true;
			pg->expected[i].query->answered = true;
		}
	pg->n_expected = 0;
}

/* One command's results: its one, and the end of them. */
static bool expected_take(struct pg *pg, const struct expected *expected, long long until)
{
	PGresult *result, *end;

	if (!result_take(pg, &result, until))
		return false;
	if (!result)
		return connection_failed(pg);
	answer_take(pg, expected, result);
	if (!result_take(pg, &end, until))
		return false;
	PQclear(end);
	return !end || connection_failed(pg);
}

/* All that was sent, and where it ends. */
static bool expected_take_all(struct pg *pg)
{
	long long until = clock_now() + pg->patience_ms * MILLISECOND;
	PGresult *result;
	bool synced;

	for (unsigned i = 0; i < pg->n_expected; i++) {
		struct expected expected = pg->expected[i];

		pg->expected[i].query = NULL; /* it is looked after from here on */
		if (!expected_take(pg, &expected, until)) {
			if (expected.query && !expected.query->answered) {
				expected.query->base.failed = true;
				expected.query->answered = true;
			}
			return false;
		}
	}
	pg->n_expected = 0;
	if (!result_take(pg, &result, until))
		return false;
	synced = PQresultStatus(result) == PGRES_PIPELINE_SYNC;
	PQclear(result);
	return synced || connection_failed(pg);
}

static bool pg_settle(struct sql *sql)
{
	struct pg *pg = pg_of(sql);

	if (pg->n_expected > 0 && !sql->broken) {
		if (!PQpipelineSync(pg->connection))
			connection_failed(pg);
		else if (expected_take_all(pg))
			return !sql->error[0];
	}
	expected_drop(pg);
	return !sql->error[0];
}

static bool expect(struct pg *pg, int kind, struct pg_query *query, long long *affected)
{
	if (pg->n_expected == EXPECTED_MAX && !pg_settle(&pg->base))
		return false;
	pg->expected[pg->n_expected].kind = kind;
	pg->expected[pg->n_expected].query = query;
	pg->expected[pg->n_expected].affected = affected;
	pg->n_expected++;
	return true;
}

/* A statement without parameters. */
static bool send_plain(struct pg *pg, const char *text, int kind)
{
	if (pg->base.broken || !expect(pg, kind, NULL, NULL))
		return false;
	if (PQsendQueryParams(pg->connection, text, 0, NULL, NULL, NULL, NULL, 1))
		return true;
	pg->n_expected--;
	return connection_failed(pg);
}

/* ---- queries */

static bool query_prepare(struct pg *pg, struct pg_query *query, const char *name)
{
	if (query->prepared || query->preparing)
		return true;
	if (!expect(pg, ANSWER_PREPARED, query, NULL))
		return false;
	query->preparing = true;
	if (PQsendPrepare(pg->connection, name, query->base.text, 0, NULL))
		return true;
	pg->n_expected--;
	return connection_failed(pg);
}

static bool query_send(struct pg *pg, struct pg_query *query, int kind, long long *affected)
{
	static const int binary[SQL_PARAMETERS_MAX] = { [0 ... SQL_PARAMETERS_MAX - 1] = 1 };
	char name[16];
	int sent;

	snprintf(name, sizeof(name), "q%d", query->place);
	if (pg->base.broken || pg->base.error[0] || (!query->base.once && !query_prepare(pg, query, name)) ||
		!expect(pg, kind, kind == ANSWER_ROWS ? query : NULL, affected))
		return false;
	if (query->base.once)
		sent = PQsendQueryParams(pg->connection, query->base.text, query->n, NULL, query->values,
			query->lengths, binary, 1);
	else
		sent = PQsendQueryPrepared(
			pg->connection, name, query->n, query->values, query->lengths, binary, 1);
	if (sent)
		return true;
	pg->n_expected--;
	return connection_failed(pg);
}

static void query_reset(struct pg_query *query)
{
	struct pg *pg = pg_of(query->base.sql);

	for (unsigned i = 0; query->asked && !query->answered && i < pg->n_expected; i++)
		if (pg->expected[i].query == query && pg->expected[i].kind == ANSWER_ROWS)
			pg->expected[i].query = NULL;
	PQclear(query->result);
	query->result = NULL;
	query->asked = query->answered = query->base.failed = false;
	query->row = -1;
	query->n = 0;
	memset(query->values, 0, sizeof(query->values));
}

static struct query *pg_query_kept(struct sql *sql, const char *text)
{
	struct pg *pg = pg_of(sql);
	struct pg_query *query;

	for (unsigned i = 0; i < pg->n_queries; i++)
		if (pg->queries[i].base.text == text) {
			query_reset(&pg->queries[i]);
			return &pg->queries[i].base;
		}
	if (pg->n_queries == QUERIES_MAX) {
		sql_failed(sql, true, "too many statements");
		return NULL;
	}
	query = &pg->queries[pg->n_queries];
	*query = (struct pg_query){
		.base = { .sql = sql, .text = text }, .place = (int)pg->n_queries++, .row = -1
	};
	return &query->base;
}

static struct query *pg_query_once(struct sql *sql, const char *text)
{
	struct pg_query *query = calloc(1, sizeof(*query));

	if (!query) {
		sql_failed(sql, false, "out of memory");
		return NULL;
	}
	query->base = (struct query){ .sql = sql, .text = text, .once = true };
	query->row = -1;
	return &query->base;
}

static void value_set(struct query *query, int parameter, const void *value, size_t length)
{
	struct pg_query *self = pg_query_of(query);

	if (parameter < 1 || parameter > SQL_PARAMETERS_MAX || length > INT32_MAX) {
		query->failed = true;
		sql_failed(query->sql, true, "a statement with a parameter out of range");
		return;
	}
	self->values[parameter - 1] = value;
	self->lengths[parameter - 1] = (int)length;
	if (self->n < parameter)
		self->n = parameter;
}

static void pg_integer(struct query *query, int parameter, long long value)
{
	struct pg_query *self = pg_query_of(query);

	if (parameter >= 1 && parameter <= SQL_PARAMETERS_MAX)
		self->integers[parameter - 1] = htobe64((uint64_t)value);
	value_set(query, parameter,
		parameter >= 1 && parameter <= SQL_PARAMETERS_MAX ? &self->integers[parameter - 1] : NULL,
		sizeof(self->integers[0]));
}

static void pg_text(struct query *query, int parameter, const char *text)
{
	value_set(query, parameter, text, text ? strlen(text) : 0);
}

static void pg_bytes(struct query *query, int parameter, const void *data, size_t length)
{
	value_set(query, parameter, data, length);
}

static void pg_ask(struct query *query)
{
	struct pg_query *self = pg_query_of(query);

	if (self->asked)
		return;
	self->asked = true;
	if (!query_send(pg_of(query->sql), self, ANSWER_ROWS, NULL))
		query->failed = true;
}

static bool pg_later(struct query *query, long long *affected)
{
	return query_send(pg_of(query->sql), pg_query_of(query), ANSWER_COUNT, affected);
}

static enum step pg_step(struct query *query)
{
	struct pg_query *self = pg_query_of(query);

	pg_ask(query);
	if (!query->failed && !self->answered)
		(void)pg_settle(query->sql); /* what failed stands in the query */
	if (query->failed || !self->answered) {
		query->failed = true;
		return STEP_FAILED;
	}
	if (PQresultStatus(self->result) == PGRES_TUPLES_OK && self->row + 1 < PQntuples(self->result)) {
		self->row++;
		return STEP_ROW;
	}
	return STEP_DONE;
}

static bool pg_end(struct query *query)
{
	bool good = !query->failed;

	query_reset(pg_query_of(query));
	if (query->once)
		free(query);
	return good;
}

/* ---- columns */

static bool pg_null(struct query *query, int column)
{
	return PQgetisnull(pg_query_of(query)->result, pg_query_of(query)->row, column);
}

static long long pg_column_integer(struct query *query, int column)
{
	const struct pg_query *self = pg_query_of(query);
	uint64_t eight;
	uint32_t four;

	if (pg_null(query, column))
		return 0;
	switch (PQftype(self->result, column)) {
	case TYPE_INT8:
		memcpy(&eight, PQgetvalue(self->result, self->row, column), sizeof(eight));
		return (long long)be64toh(eight);
	case TYPE_INT4:
		memcpy(&four, PQgetvalue(self->result, self->row, column), sizeof(four));
		return (int)be32toh(four);
	default:
		column_unfit(query);
		return 0;
	}
}

static struct bytes pg_column_bytes(struct query *query, int column)
{
	const struct pg_query *self = pg_query_of(query);
	Oid type = PQftype(self->result, column);

	if (pg_null(query, column))
		return (struct bytes){ NULL, 0 };
	if (type != TYPE_BYTEA && type != TYPE_TEXT) {
		column_unfit(query);
		return (struct bytes){ NULL, 0 };
	}
	return (struct bytes){ (const unsigned char *)PQgetvalue(self->result, self->row, column),
		(size_t)PQgetlength(self->result, self->row, column) };
}

/* ---- transactions */

/* A reader's connection may have been forgotten on the way: it is asked, since what a reader has handed on
 * cannot be begun again. A writer's transaction can. */
static bool pg_begin(struct sql *sql, enum sql_use use)
{
	struct pg *pg = pg_of(sql);

	pg->warned = false;
	pg->commit = COMMIT_UNKNOWN;
	pg->in_transaction = true;
	if (use == SQL_SNAPSHOT)
		return send_plain(pg, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", ANSWER_ANY) &&
		       send_plain(
			       pg, "SET LOCAL idle_in_transaction_session_timeout = '10min'", ANSWER_ANY) &&
		       pg_settle(sql);
	if (use == SQL_READ)
		return send_plain(pg, "BEGIN READ ONLY", ANSWER_ANY) && pg_settle(sql);
	return send_plain(pg, "BEGIN", ANSWER_ANY) &&
	       send_plain(pg, "SELECT pg_advisory_xact_lock(8533926201877853797)", ANSWER_ANY);
}

static enum commit pg_commit(struct sql *sql)
{
	struct pg *pg = pg_of(sql);

	pg->commit = COMMIT_UNKNOWN;
	if (sql->error[0])
		return NOT_COMMITTED; /* it is not even sent */
	if (send_plain(pg, "COMMIT", ANSWER_COMMIT))
		(void)pg_settle(sql); /* the answer stands in pg->commit */
	pg->in_transaction = pg->commit != COMMITTED;
	if (pg->commit == COMMIT_UNKNOWN) {
		sql_failed(sql, false, "COMMIT was not answered with a plain yes");
		sql->broken = true;
	}
	return pg->commit;
}

static void pg_rollback(struct sql *sql)
{
	struct pg *pg = pg_of(sql);
	bool passing = !sql->broken;
	char error[SQL_ERROR_MAX];

	for (unsigned i = 0; i < pg->n_queries; i++)
		query_reset(&pg->queries[i]);
	if (!pg->in_transaction)
		return;
	(void)pg_settle(sql);
	memcpy(error, sql->error, sizeof(error));
	sql->error[0] = '\0';
	if (passing && !sql->broken && (!send_plain(pg, "ROLLBACK", ANSWER_ANY) || !pg_settle(sql)))
		sql->broken = true;
	memcpy(sql->error, error, sizeof(error));
	pg->in_transaction = false;
}

/* ---- scripts, by the simple protocol */

/* All results of what was sent; the last with rows is kept for the caller where he asks for it. */
static bool script_take(struct pg *pg, PGresult **rows, long long until)
{
	bool good = true;

	for (;;) {
		PGresult *result;

		if (!result_take(pg, &result, until))
			return false;
		if (!result)
			return good;
		if (PQresultStatus(result) == PGRES_FATAL_ERROR)
			good = server_failed(pg, result);
		if (rows && PQresultStatus(result) == PGRES_TUPLES_OK) {
			PQclear(*rows);
			*rows = result;
		} else {
			PQclear(result);
		}
	}
}

static bool script_run(struct pg *pg, const char *script, PGresult **rows, long long ms)
{
	bool good;

	if (!PQsendQuery(pg->connection, script))
		return connection_failed(pg);
	good = script_take(pg, rows, clock_now() + ms * MILLISECOND);
	if (!good && rows) {
		PQclear(*rows);
		*rows = NULL;
	}
	return good;
}

static bool pg_run(struct sql *sql, const char *script)
{
	struct pg *pg = pg_of(sql);
	bool good;

	if (!pg_settle(sql) || sql->broken)
		return false;
	if (!PQexitPipelineMode(pg->connection))
		return connection_failed(pg);
	good = script_run(pg, "SET LOCAL statement_timeout = 0", NULL, ANSWER_MS) &&
	       script_run(pg, script, NULL, MIGRATION_MS);
	if (!PQenterPipelineMode(pg->connection))
		return connection_failed(pg);
	return good;
}

static bool pg_claim(struct sql *sql)
{
	return sql_run(sql, "CREATE SCHEMA IF NOT EXISTS vouchsafe", NULL, NULL);
}

static void pg_close(struct sql *sql)
{
	struct pg *pg = pg_of(sql);

	for (unsigned i = 0; i < pg->n_queries; i++)
		PQclear(pg->queries[i].result);
	PQfinish(pg->connection);
	free(pg);
}

static const struct sql_engine engine = {
	.close = pg_close,
	.claim = pg_claim,
	.begin = pg_begin,
	.commit = pg_commit,
	.rollback = pg_rollback,
	.run = pg_run,
	.settle = pg_settle,
	.query = pg_query_kept,
	.query_once = pg_query_once,
	.integer = pg_integer,
	.text = pg_text,
	.bytes = pg_bytes,
	.ask = pg_ask,
	.later = pg_later,
	.step = pg_step,
	.column_null = pg_null,
	.column_integer = pg_column_integer,
	.column_bytes = pg_column_bytes,
	.end = pg_end,
};

/* ---- connecting: what libpq is told */

struct keywords {
	const char *names[KEYWORDS_MAX + 1], *values[KEYWORDS_MAX + 1];
	unsigned n;
};

static void keyword_add(struct keywords *keywords, const char *name, const char *value)
{
	if (keywords->n < KEYWORDS_MAX) {
		keywords->names[keywords->n] = name;
		keywords->values[keywords->n++] = value;
	}
}

static const char *option_of(const PQconninfoOption *options, const char *name)
{
	for (; options->keyword; options++)
		if (strcmp(options->keyword, name) == 0)
			return options->val && options->val[0] ? options->val : NULL;
	return NULL;
}

/* Entry `i` of a list with commas; a list of one is meant for all. False: it has no such entry. */
static bool entry_of(const char *list, unsigned i, char *to, size_t size)
{
	to[0] = '\0';
	if (!list)
		return true;
	if (strchr(list, ','))
		for (; i > 0; i--) {
			list = strchr(list, ',');
			if (!list)
				return false;
			list++;
		}
	return snprintf(to, size, "%.*s", (int)strcspn(list, ","), list) < (int)size;
}

static unsigned entries(const char *list)
{
	unsigned n = 1;

	for (; list && *list; list++)
		n += *list == ',';
	return n;
}

static unsigned hosts_count(const PQconninfoOption *options)
{
	unsigned by_name = entries(option_of(options, "host")),
		 by_address = entries(option_of(options, "hostaddr"));
	unsigned n = by_name > by_address ? by_name : by_address;

	return n < HOSTS_MAX ? n : HOSTS_MAX;
}

struct host {
	char name[256], address[64], port[8], said[64 + 256];
	char node[80];
};

/* The user's own words first, ours where he said nothing; host and port are one of his list. A connection
 * that a firewall has forgotten is noticed within seconds. */
static bool keywords_make(
	struct keywords *keywords, const PQconninfoOption *options, struct host *host, unsigned i)
{
	static const struct {
		const char *name, *value;
	} ours[] = { { "keepalives_idle", "10" }, { "keepalives_interval", "3" }, { "keepalives_count", "3" },
		{ "tcp_user_timeout", "5000" } };

	if (!entry_of(option_of(options, "host"), i, host->name, sizeof(host->name)) ||
		!entry_of(option_of(options, "hostaddr"), i, host->address, sizeof(host->address)) ||
		!entry_of(option_of(options, "port"), i, host->port, sizeof(host->port)))
		return false;
	snprintf(host->said, sizeof(host->said), "%s%s%s",
		host->name[0]      ? host->name
		: host->address[0] ? host->address
				   : "PostgreSQL",
		host->port[0] ? ":" : "", host->port);
	for (const PQconninfoOption *option = options; option->keyword; option++)
		if (option->val && option->val[0] && strcmp(option->keyword, "host") != 0 &&
			strcmp(option->keyword, "hostaddr") != 0 && strcmp(option->keyword, "port") != 0 &&
			strcmp(option->keyword, "target_session_attrs") != 0)
			keyword_add(keywords, option->keyword, option->val);
	keyword_add(keywords, "host", host->name);
	keyword_add(keywords, "hostaddr", host->address);
	keyword_add(keywords, "port", host->port);
	for (size_t k = 0; k < sizeof(ours) / sizeof(ours[0]); k++)
		if (!option_of(options, ours[k].name))
			keyword_add(keywords, ours[k].name, ours[k].value);
	if (!option_of(options, "application_name"))
		keyword_add(keywords, "application_name", host->node);
	return true;
}

/* ---- connecting: one host */

static bool handshake(struct pg *pg, long long until)
{
	for (;;) {
		switch (PQconnectPoll(pg->connection)) {
		case PGRES_POLLING_OK:
			return true;
		case PGRES_POLLING_READING:
			if (!connection_await(pg, POLLIN, until))
				return false;
			break;
		case PGRES_POLLING_WRITING:
			if (!connection_await(pg, POLLOUT, until))
				return false;
			break;
		default:
			return connection_failed(pg);
		}
	}
}

/* How many standbys the setting itself waits for: "FIRST 2 (a, b)", "ANY 1 (a, b)", "2 (a, b)", "a, b". */
static long standbys_awaited(const char *names)
{
	char *end;
	long n;

	if (!names[0])
		return 0;
	if (strncasecmp(names, "FIRST ", 6) == 0)
		names += 6;
	else if (strncasecmp(names, "ANY ", 4) == 0)
		names += 4;
	n = strtol(names, &end, 10);
	return end != names && n > 0 && strchr(end, '(') ? n : 1;
}

static bool standbys_check(struct postgres *postgres, long synchronous, long attached, long seen,
	const char *names, struct complaint *complaint)
{
	long awaited = standbys_awaited(names);

	if (attached > 0 && seen == 0)
		return complain(complaint,
			"it does not tell this user about its standbys: GRANT pg_read_all_stats TO the user");
	if (postgres->standbys < 0 && !postgres->standbys_known) {
		if (attached > 0 && !names[0])
			return complain(complaint, "standbys are attached and synchronous_standby_names is "
						   "empty: a fail-over would "
						   "lose releases that were given out, and they could be "
						   "given out again; set it, or "
						   "say \"min_sync_standbys\": 0");
		postgres->standbys = (int)(synchronous < awaited ? synchronous : awaited);
		postgres->standbys_known = true;
	}
	return synchronous >= postgres->standbys ||
	       complain(complaint,
		       "%ld synchronous standbys are attached, and min_sync_standbys is %d: attach them, or "
		       "set it lower",
		       synchronous, postgres->standbys);
}

static const char looks[] =
	"SELECT pg_is_in_recovery()::text, current_setting('transaction_read_only'),"
	" current_setting('server_version_num'), current_setting('server_encoding'),"
	" current_setting('synchronous_standby_names'),"
	" (SELECT count(*) FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = "
	"c.relnamespace"
	"  WHERE n.nspname = 'vouchsafe' AND c.relkind IN ('r', 'p')),"
	" (SELECT count(*) FROM pg_catalog.pg_stat_replication WHERE sync_state IN ('sync', 'quorum')),"
	" (SELECT count(*) FROM pg_catalog.pg_stat_replication),"
	" (SELECT count(sync_state) FROM pg_catalog.pg_stat_replication)";

/* Is it a primary that can be written to, new enough, and safe enough? */
static bool look_around(
	struct pg *pg, struct postgres *postgres, const PGresult *row, struct complaint *complaint)
{
	const char *at[9];

	for (int i = 0; i < 9; i++)
		at[i] = PQgetvalue(row, 0, i);
	if (strcmp(at[0], "false") != 0)
		return complain(complaint, "it is a standby; it will be used once it is promoted");
	if (pg->use == SQL_WRITE && strcmp(at[1], "off") != 0)
		return complain(complaint, "it is read-only (default_transaction_read_only): set it off");
	if (atol(at[2]) < VERSION_LEAST)
		return complain(complaint, "PostgreSQL %s is too old: 13 or newer is needed", at[2]);
	if (strcmp(at[3], "UTF8") != 0)
		return complain(
			complaint, "its encoding is %s: make the database with ENCODING 'UTF8'", at[3]);
	pg->base.empty = strcmp(at[5], "0") == 0;
	return pg->use == SQL_READ ||
	       standbys_check(postgres, atol(at[6]), atol(at[7]), atol(at[8]), at[4], complaint);
}

static bool session_start(
	struct pg *pg, struct postgres *postgres, long long until, struct complaint *complaint)
{
	char script[sizeof(settings) + sizeof(looks) + 128];
	PGresult *row = NULL;
	bool good;

	snprintf(script, sizeof(script),
		"%sSET statement_timeout = %lld; SET idle_in_transaction_session_timeout = %d;%s", settings,
		pg->patience_ms - 500, pg->use == SQL_READ ? ROWS_MS : IDLE_MS, looks);
	if (!script_run(pg, script, &row, (until - clock_now()) / MILLISECOND) || !row || PQntuples(row) != 1)
		good = complain(complaint, "%s", pg->base.error);
	else
		good = look_around(pg, postgres, row, complaint);
	PQclear(row);
	return good;
}

static bool host_connect(struct pg *pg, struct postgres *postgres, const struct keywords *keywords,
	long long until, struct complaint *complaint)
{
	pg->connection = PQconnectStartParams(keywords->names, keywords->values, 0);
	if (!pg->connection || PQstatus(pg->connection) == CONNECTION_BAD)
		connection_failed(pg);
	if (pg->base.broken || !handshake(pg, until))
		return complain(complaint,
			"%s; does PostgreSQL run there, and are user, password and database those of "
			"\"store\"?",
			pg->base.error);
	PQsetNoticeReceiver(pg->connection, notice_take, pg);
	if (PQsetnonblocking(pg->connection, 1) != 0 || !session_start(pg, postgres, until, complaint))
		return complaint->text[0] ? false : complain(complaint, "out of memory");
	if (!PQenterPipelineMode(pg->connection))
		return complain(complaint, "out of memory");
	pg->base.error[0] = '\0';
	pg->base.broken = pg->base.lost = false;
	return true;
}

/* ---- connecting: all of them in turn */

static struct pg *pg_new(enum sql_use use)
{
	struct pg *pg = calloc(1, sizeof(*pg));

	if (!pg)
		return NULL;
	pg->base.engine = &engine;
	pg->use = use;
	pg->patience_ms = use == SQL_READ ? ROWS_MS : ANSWER_MS;
	return pg;
}

/* What each host said: the last one alone may be a standby, that has nothing to do with it. */
static void complaint_add(struct complaint *complaint, const char *host, const char *why)
{
	size_t used = strlen(complaint->text);

	snprintf(complaint->text + used, sizeof(complaint->text) - used, "%s%s: %s",
		used ? "; " : "store: ", host, why);
}

static struct sql *host_try(struct postgres *postgres, const PQconninfoOption *options, unsigned i,
	bool alone, enum sql_use use, struct complaint *complaint)
{
	long long until = clock_now() + (alone ? CONNECT_ALONE_MS : CONNECT_MS) * MILLISECOND;
	struct keywords keywords = { .n = 0 };
	struct complaint why = { "" };
	struct host host;
	struct pg *pg = pg_new(use);

	snprintf(host.node, sizeof(host.node), "vouchsafe %s", postgres->node);
	if (!pg)
		complain(&why, "out of memory");
	else if (!keywords_make(&keywords, options, &host, i))
		complain(&why, "its list of hosts and that of their ports are not of one length");
	else if (host_connect(pg, postgres, &keywords, until, &why))
		return &pg->base;
	if (pg)
		pg_close(&pg->base);
	complaint_add(complaint, host.said, why.text);
	return NULL;
}

/* libpq ends its sentence with what it is about, which may be the password, or all of the URI. */
static void uri_refuse(const char *wrong, struct complaint *complaint)
{
	const char *quoted = wrong ? strstr(wrong, ": \"") : NULL;

	if (quoted)
		complain(complaint,
			"store: %.*s: write it as libpq's connection URIs are, with %%XX for what is special "
			"in a password",
			(int)(quoted - wrong), wrong);
	else
		complain(complaint, "store: %s", wrong ? wrong : "out of memory");
}

struct sql *postgres_open(struct postgres *postgres, enum sql_use use, struct complaint *complaint)
{
	char *wrong = NULL;
	PQconninfoOption *options = PQconninfoParse(postgres->uri, &wrong);
	struct sql *sql = NULL;
	unsigned n;

	if (!options) {
		uri_refuse(wrong, complaint);
		PQfreemem(wrong);
		return NULL;
	}
	n = hosts_count(options);
	complaint->text[0] = '\0';
	for (unsigned tried = 0; !sql && tried < n; tried++) {
		unsigned i = (postgres->host + tried) % n;

		sql = host_try(postgres, options, i, n == 1, use, complaint);
		if (sql)
			postgres->host = i;
	}
	PQconninfoFree(options);
	return sql;
}
