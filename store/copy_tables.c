/* What a copy consists of, and the statements for it. The table of migrations is none of it: a copy says
 * which version it has, and the database that takes it is made of that version first. */
#include "store/copy_tables.h"

#include <stdio.h>
#include <string.h>

const struct copy_table copy_tables[] = {
	/* clang-format off */
	{ "event", 1, 1, { { "seq", 'i' }, { "bytes", 'b' }, { "hash", 'b' } } },
	{ "word", 1, 1, { { "id", 'i' }, { "text", 't' } } },
	{ "find", 1, 1, { { "seq", 'i' }, { "time", 'i' }, { "kind", 'i' }, { "node", 'i' },
		{ "instance", 't' }, { "release", 't' }, { "request", 't' }, { "source", 't' },
		{ "outcome", 'i' }, { "reason", 'i' }, { "account", 'i' }, { "region", 'i' }, { "role", 'i' } } },
	{ "ledger", 1, 1, { { "one_time_hash", 'b' }, { "account", 't' }, { "region", 't' },
		{ "instance", 't' }, { "role", 't' }, { "rule", 't' }, { "release", 't' }, { "recipient", 'b' },
		{ "secrets", 't' }, { "once_per_launch", 'i' }, { "launch_time", 'i' }, { "granted_us", 'i' },
		{ "retry_until_us", 'i' }, { "acknowledged_us", 'i' }, { "collected", 'i' },
		{ "sealed_us", 'i', 5 }, { "conflicts", 'i', 5 }, { "conflict_us", 'i', 5 } } },
	{ "rearm", 1, 1, { { "id", 'i' }, { "one_time_hash", 'b' }, { "recipient", 'b' },
		{ "armed_us", 'i' }, { "until_us", 'i' }, { "actor", 't' }, { "reason", 't' },
		{ "spent_us", 'i' }, { "spent_release", 't' } } },
	{ "secret", 1, 1, { { "name", 't' }, { "last_version", 'i' } } },
	{ "envelope", 1, 2, { { "name", 't' }, { "version", 'i' }, { "kind", 't' }, { "nonce", 'b' },
		{ "text", 'b' }, { "stored_us", 'i' } } },
	{ "wrap", 1, 3, { { "name", 't' }, { "version", 'i' }, { "place", 'i' }, { "member", 't' },
		{ "generation", 'i' }, { "bytes", 'b' } } },
	{ "member", 1, 1, { { "member", 't' }, { "vault", 't' }, { "token_serial", 't' },
		{ "generation", 'i' }, { "key_id", 't' }, { "iv_mode", 'i' } } },
	{ "shelf", 3, 1, { { "id", 'i' }, { "changes", 'i' } } },
	{ "signer", 4, 1, { { "member", 't' }, { "key_id", 't' }, { "public_key", 'b' } } },
	{ "checkpoint", 4, 3, { { "member", 't' }, { "node", 't' }, { "seq", 'i' }, { "hash", 'b' },
		{ "time_us", 'i' }, { "seals", 'i' }, { "signature", 'b' } } },
	{ "restored", 4, 1, { { "seq", 'i' }, { "time_us", 'i' }, { "since_us", 'i' }, { "actor", 't' },
		{ "reason", 't' } } },
	{ "lost", 4, 2, { { "restored", 'i' }, { "member", 't' }, { "seq", 'i' }, { "hash", 'b' },
		{ "time_us", 'i' } } },
	{ 0 }
	/* clang-format on */
};

const struct copy_table *copy_next(const struct copy_table *table, unsigned schema)
{
	table = table ? table + 1 : copy_tables;
	while (table->name && table->since > schema)
		table++;
	return table;
}

unsigned copy_columns(
	const struct copy_table *table, unsigned schema, const struct copy_column *columns[COPY_COLUMNS_MAX])
{
	unsigned n = 0;

	for (const struct copy_column *column = table->columns; column->name; column++)
		if (column->since <= schema)
			columns[n++] = column;
	return n;
}

static void append(char text[COPY_SQL_SIZE], const char *more)
{
	size_t used = strlen(text);

	snprintf(text + used, COPY_SQL_SIZE - used, "%s", more);
}

/* "a, b, c" of the first n columns. */
static void append_names(char text[COPY_SQL_SIZE], const struct copy_column *columns[], unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		append(text, i > 0 ? ", " : "");
		append(text, columns[i]->name);
	}
}

/* "$1, $2, $3" */
static void append_places(char text[COPY_SQL_SIZE], unsigned n)
{
	char place[8];

	for (unsigned i = 1; i <= n; i++) {
		snprintf(place, sizeof(place), "%s$%u", i > 1 ? ", " : "", i);
		append(text, place);
	}
}

void copy_select(const struct copy_table *table, unsigned schema, bool first, char text[COPY_SQL_SIZE])
{
	const struct copy_column *columns[COPY_COLUMNS_MAX];
	unsigned n = copy_columns(table, schema, columns);
	char limit[16];

	snprintf(text, COPY_SQL_SIZE, "SELECT ");
	append_names(text, columns, n);
	append(text, " FROM ");
	append(text, table->name);
	if (!first) {
		append(text, " WHERE (");
		append_names(text, columns, table->keys);
		append(text, ") > (");
		append_places(text, table->keys);
		append(text, ")");
	}
	append(text, " ORDER BY ");
	append_names(text, columns, table->keys);
	snprintf(limit, sizeof(limit), " LIMIT $%u", first ? 1 : table->keys + 1);
	append(text, limit);
}

void copy_insert(const struct copy_table *table, unsigned schema, char text[COPY_SQL_SIZE])
{
	const struct copy_column *columns[COPY_COLUMNS_MAX];
	unsigned n = copy_columns(table, schema, columns);

	snprintf(text, COPY_SQL_SIZE, "INSERT INTO %s (", table->name);
	append_names(text, columns, n);
	append(text, ") VALUES (");
	append_places(text, n);
	append(text, ")");
}
