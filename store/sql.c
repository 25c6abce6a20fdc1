/* store/sql.h on whichever engine a connection belongs to, and the little that is the same on both. */
#include "store/engine.h"

#include <stdio.h>
#include <string.h>

/* ---- errors */

bool sql_failed(struct sql *sql, bool passing, const char *said)
{
	if (!sql->error[0])
		snprintf(sql->error, sizeof(sql->error), "%s", said);
	if (!passing)
		sql->broken = true;
	return false;
}

bool sql_complain(struct sql *sql, const char *said)
{
	return sql_failed(sql, true, said);
}

const char *sql_error(const struct sql *sql)
{
	return sql->error;
}

bool sql_broken(const struct sql *sql)
{
	return sql->broken;
}

bool sql_lost(const struct sql *sql)
{
	return sql->lost;
}

bool sql_empty(const struct sql *sql)
{
	return sql->empty;
}

/* ---- the connection */

void sql_close(struct sql *sql)
{
	if (sql)
		sql->engine->close(sql);
}

bool sql_claim(struct sql *sql)
{
	return sql->engine->claim(sql);
}

bool sql_begin(struct sql *sql, enum sql_use use)
{
	sql->error[0] = '\0';
	return sql->engine->begin(sql, use);
}

enum commit sql_commit(struct sql *sql)
{
	return sql->engine->commit(sql);
}

void sql_rollback(struct sql *sql)
{
	sql->engine->rollback(sql);
}

bool sql_run(struct sql *sql, const char *script, void (*tick)(void *context), void *context)
{
	bool good;

	sql->tick = tick;
	sql->context = context;
	good = sql->engine->run(sql, script);
	sql->tick = NULL;
	return good;
}

bool sql_settle(struct sql *sql)
{
	return sql->engine->settle(sql);
}

/* ---- queries */

struct query *sql_query(struct sql *sql, const char *text)
{
	return sql->engine->query(sql, text);
}

struct query *sql_query_once(struct sql *sql, const char *text)
{
	return sql->engine->query_once(sql, text);
}

void query_integer(struct query *query, int parameter, long long value)
{
	if (query)
		query->sql->engine->integer(query, parameter, value);
}

void query_text(struct query *query, int parameter, const char *text)
{
	if (query)
		query->sql->engine->text(query, parameter, text);
}

void query_bytes(struct query *query, int parameter, const void *data, size_t length)
{
	if (query)
		query->sql->engine->bytes(query, parameter, data, length);
}

void query_ask(struct query *query)
{
	if (query && !query->failed)
		query->sql->engine->ask(query);
}

bool query_later(struct query *query, long long *affected)
{
	bool sent = query && !query->failed && query->sql->engine->later(query, affected);

	return query_end(query) && sent;
}

enum step query_step(struct query *query)
{
	if (!query || query->failed)
		return STEP_FAILED;
	return query->sql->engine->step(query);
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
	return query && query->sql->engine->end(query);
}

/* ---- columns */

void column_unfit(struct query *query)
{
	query->failed = true;
	sql_failed(query->sql, true, "a stored value is not of the form that it was written in");
}

bool column_null(struct query *query, int column)
{
	return query->sql->engine->column_null(query, column);
}

long long column_integer(struct query *query, int column)
{
	return query->sql->engine->column_integer(query, column);
}

struct bytes column_bytes(struct query *query, int column)
{
	return query->sql->engine->column_bytes(query, column);
}

/* A text with a NUL inside would be another one to whoever reads it as a string. */
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
