#ifndef STORE_SQL_H
#define STORE_SQL_H
/* The little of SQL that the store's verbs need, so that each is written once, in SQL that both engines
 * speak: parameters are $1, $2, ..., upserts are ON CONFLICT. An engine is one .c file behind store/engine.h.
 * Mistakes on the way (preparing, binding, reading) are kept by the query and come out where it is stepped or
 * ended, so a verb reads straight down. A connection belongs to one thread at a time.
 *
 * A database may be a network away. So what needs no answer at once is only sent (query_ask, query_later),
 * and the answers are taken together where one of them is needed: that is one round trip. */
#include "verifier/outcome.h"

struct sql; /* a connection */
struct query; /* a statement of a connection; NULL stands for one that could not be prepared */

enum sql_use {
	SQL_READ,
	SQL_WRITE,
	SQL_SNAPSHOT /* of a transaction alone: reads one moment of the database, for as long as it takes */
};

void sql_close(struct sql *);
/* Is there nothing in it yet? */
bool sql_empty(const struct sql *);
/* Marks an empty database as ours, within the transaction that makes its first tables. */
MUST_USE bool sql_claim(struct sql *);
/* After such an error only a new connection is sure to work. */
bool sql_broken(const struct sql *);
/* It broke because the other side is gone, which says nothing about what was asked of it. */
bool sql_lost(const struct sql *);
/* The first thing that went wrong since the last sql_begin; "" if nothing has. */
const char *sql_error(const struct sql *);
/* Keeps it as that first thing, for what the caller found wrong; returns false. */
bool sql_complain(struct sql *, const char *said);

/* SQL_WRITE waits for the one write lock, up to a bounded time: whoever holds it sees what all before him
 * have committed, and nobody else writes until he ends. */
MUST_USE bool sql_begin(struct sql *, enum sql_use);
enum commit {
	COMMITTED,
	NOT_COMMITTED, /* nothing of it will ever be there */
	COMMIT_UNKNOWN /* the answer was lost, or was no plain yes: it may be there, or come to be */
};
MUST_USE enum commit sql_commit(struct sql *);
/* Safe at any time; ends all queries. */
void sql_rollback(struct sql *);
/* Statements without parameters and rows; they may last. `tick`, where given, is called about every second
 * meanwhile. */
MUST_USE bool sql_run(struct sql *, const char *script, void (*tick)(void *context), void *context);
/* Waits for all that was sent. False: something of it failed. */
MUST_USE bool sql_settle(struct sql *);

/* `text` is a literal: the statement is prepared once and kept as long as the connection. */
struct query *sql_query(struct sql *, const char *text);
/* For a text that was put together; query_end frees it. */
struct query *sql_query_once(struct sql *, const char *text);

enum { SQL_PARAMETERS_MAX = 64 };
/* Parameters count from 1. Bytes and text stay the caller's and must last until the query ends; NULL is
 * SQL's. */
void query_integer(struct query *, int parameter, long long);
void query_text(struct query *, int parameter, const char *);
void query_bytes(struct query *, int parameter, const void *, size_t);

/* Sends it without waiting; query_step then takes its rows. */
void query_ask(struct query *);
/* Sends a statement that has no rows, and ends the query. *affected, where asked for, is set by the next
 * sql_settle that answers true, and has to last until then. */
MUST_USE bool query_later(struct query *, long long *affected);

enum step { STEP_FAILED, STEP_ROW, STEP_DONE };
enum step query_step(struct query *);
/* Runs a statement that has no rows to its end. *affected, where asked for: how many rows it changed. */
MUST_USE bool query_run(struct query *, long long *affected);

/* Columns count from 0 and are read after STEP_ROW. What does not fit (no such type, too long, another length
 * than expected, memory out) leaves zeros and makes query_end answer false. */
long long column_integer(struct query *, int column);
bool column_null(struct query *, int column);
void column_text(struct query *, int column, char *to, size_t size);
void column_exactly(struct query *, int column, void *to, size_t length);
/* Borrowed until the next step. */
struct bytes column_bytes(struct query *, int column);

/* Ends it, also half-way. False: something went wrong since it was begun. */
MUST_USE bool query_end(struct query *);

#endif
