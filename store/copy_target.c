/* Writes the rows of a copy. They come from whoever could encrypt to the operator's key, so each byte of
 * their form is looked at: the tables in their order, each column of its kind, nothing behind the end. */
#include "store/copy.h"

#include "store/copy_tables.h"
#include "verifier/reasons.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct copy_target {
	struct store *store;
	unsigned schema;
	const struct copy_table *table; /* that is being written, or is next */
	bool begun;
	unsigned long long rows, all_rows;
	struct bytes text; /* what is still to be read */
};

/* A connection knows a kept statement by the address of its text, so these are for ever: one copy at a time
 * in a program. */
static char inserts[COPY_TABLES_MAX][COPY_SQL_SIZE];

struct copy_target *copy_target_open(struct store *store, unsigned schema)
{
	struct copy_target *target = calloc(1, sizeof(*target));

	if (!target)
		return NULL;
	target->store = store;
	target->schema = schema;
	target->table = copy_next(NULL, schema);
	for (unsigned i = 0; i < COPY_TABLES_MAX && copy_tables[i].name; i++)
		copy_insert(&copy_tables[i], schema, inserts[i]);
	return target;
}

void copy_target_close(struct copy_target *target)
{
	free(target);
}

unsigned long long copy_target_rows(const struct copy_target *target)
{
	return target->all_rows;
}

/* ---- bytes */

/* NULL: there are not so many. */
static const unsigned char *take(struct copy_target *target, size_t length)
{
	const unsigned char *data = target->text.data;

	if (length > target->text.length)
		return NULL;
	target->text.data += length;
	target->text.length -= length;
	return data;
}

static bool take_number(struct copy_target *target, unsigned bytes, unsigned long long *number)
{
	const unsigned char *data = take(target, bytes);

	*number = 0;
	for (unsigned i = 0; data && i < bytes; i++)
		*number = *number << 8 | data[i];
	return data != NULL;
}

/* ---- rows */

static bool cell_bind(struct copy_target *target, struct query *query, int parameter, char kind)
{
	const unsigned char *found = take(target, 1), *data;
	unsigned long long number;

	if (!found || (*found != kind && *found != 'n'))
		return false;
	if (*found == 'n') {
		query_text(query, parameter, NULL);
		return true;
	}
	if (!take_number(target, kind == 'i' ? 8 : 4, &number))
		return false;
	if (kind == 'i') {
		query_integer(query, parameter, (long long)number);
		return true;
	}
	data = take(target, number + (kind == 't'));
	if (!data)
		return false;
	if (kind == 'b') {
		query_bytes(query, parameter, data, number);
		return true;
	}
	query_text(query, parameter, (const char *)data);
	return memchr(data, '\0', number + 1) == data + number;
}

/* *formed: it is a row. */
static bool row_write(struct copy_target *target, bool *formed)
{
	const struct copy_column *columns[COPY_COLUMNS_MAX];
	unsigned n = copy_columns(target->table, target->schema, columns);
	struct query *query = sql_query(target->store->sql, inserts[target->table - copy_tables]);

	*formed = true;
	for (unsigned i = 0; i < n && *formed; i++)
		*formed = cell_bind(target, query, (int)i + 1, columns[i]->kind);
	if (!*formed)
		return query_end(query);
	target->rows++;
	target->all_rows++;
	return query_later(query, NULL);
}

/* A migration may have put something into it. */
static bool table_empty(struct copy_target *target)
{
	char text[COPY_SQL_SIZE];

	snprintf(text, sizeof(text), "DELETE FROM %s", target->table->name);
	return query_run(sql_query_once(target->store->sql, text), NULL);
}

static bool table_begin(struct copy_target *target)
{
	const char *name = target->table->name;
	const unsigned char *found = name && !target->begun ? take(target, strlen(name) + 1) : NULL;

	if (!found || memcmp(found, name, strlen(name) + 1) != 0)
		return false;
	target->begun = true;
	target->rows = 0;
	return true;
}

static bool table_end(struct copy_target *target)
{
	unsigned long long rows;

	if (!target->begun || !take_number(target, 8, &rows) || rows != target->rows)
		return false;
	target->begun = false;
	target->table = copy_next(target->table, target->schema);
	return true;
}

/* One record. */
static bool record_write(struct copy_target *target, bool *formed)
{
	const unsigned char *what = take(target, 1);

	*formed = false;
	if (*what == 'T') {
		*formed = table_begin(target);
		return !*formed || table_empty(target);
	}
	if (*what == 'E')
		*formed = table_end(target);
	else if (*what == 'R' && target->begun)
		return row_write(target, formed);
	return true;
}

static enum outcome records_write(struct copy_target *target, struct reason *reason)
{
	bool formed = true;

	while (target->text.length > 0 && formed)
		if (!record_write(target, &formed))
			return store_failed(target->store, reason);
	if (!formed)
		return refused(reason, REASON_MALFORMED, "row %llu of the table %s is not of that form",
			target->rows + 1, target->table->name ? target->table->name : "behind the last");
	return OK;
}

/* A transaction of the engine's own: those of the store look at tables that an older version does not have
 * yet. Nothing is tried again: what is not known to be committed ends the restore. */
enum outcome copy_write(struct copy_target *target, struct bytes text, struct reason *reason)
{
	struct sql *sql = target->store->sql;
	enum outcome outcome;

	target->text = text;
	if (!sql_begin(sql, SQL_WRITE)) {
		sql_rollback(sql);
		return store_failed(target->store, reason);
	}
	outcome = records_write(target, reason);
	if (outcome == OK && sql_commit(sql) == COMMITTED)
		return OK;
	if (outcome == OK)
		outcome = store_failed(target->store, reason);
	sql_rollback(sql);
	return outcome;
}

enum outcome copy_complete(const struct copy_target *target, struct reason *reason)
{
	if (target->table->name)
		return refused(reason, REASON_MALFORMED, "the table %s is missing", target->table->name);
	return OK;
}
