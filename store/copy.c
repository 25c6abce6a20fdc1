/* Reads a database to its last row within one snapshot, table after table, in pages by key, so that neither
 * side keeps more than a page in memory. It must never leave a row out, or end well where one could not be
 * read. */
#include "store/copy.h"

#include "store/copy_tables.h"
#include "store/migrations.h"
#include "verifier/reasons.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COPY_PAGE = 1000 };

/* ---- bytes */

struct out {
	unsigned char *data;
	size_t room, used;
	bool full;
};

static void put(struct out *out, const void *data, size_t length)
{
	out->full = out->full || length > out->room - out->used;
	if (out->full)
		return;
	if (length > 0)
		memcpy(out->data + out->used, data, length);
	out->used += length;
}

static void put_number(struct out *out, unsigned long long number, unsigned bytes)
{
	unsigned char text[8];

	for (unsigned i = 0; i < bytes; i++)
		text[i] = (unsigned char)(number >> (8 * (bytes - 1 - i)));
	put(out, text, bytes);
}

/* ---- reading */

/* The last row's key: where the next page begins. */
struct key {
	char kind;
	long long number;
	size_t length;
	unsigned char bytes[COPY_KEY_SIZE];
};

struct source {
	struct store *store;
	unsigned schema;
	const struct copy_table *table;
	bool begun; /* its 'T' has been written */
	unsigned long long rows, all_rows;
	struct key keys[COPY_KEYS_MAX];
};

static void key_bind(struct query *query, int parameter, const struct key *key)
{
	if (key->kind == 'i')
		query_integer(query, parameter, key->number);
	else if (key->kind == 't')
		query_text(query, parameter, (const char *)key->bytes);
	else
		query_bytes(query, parameter, key->bytes, key->length);
}

static bool key_take(struct query *query, int column, char kind, struct key *key)
{
	struct bytes bytes;

	key->kind = kind;
	if (kind == 'i') {
		key->number = column_integer(query, column);
		return true;
	}
	bytes = column_bytes(query, column);
	if (bytes.length >= sizeof(key->bytes))
		return false;
	key->length = bytes.length;
	if (bytes.length > 0)
		memcpy(key->bytes, bytes.data, bytes.length);
	key->bytes[bytes.length] = '\0';
	return true;
}

/* What no query of ours could have written is no row of ours: a text with a NUL. */
static bool cell_put(struct out *out, struct query *query, int column, char kind)
{
	struct bytes bytes;

	if (column_null(query, column)) {
		put(out, "n", 1);
		return true;
	}
	put(out, &kind, 1);
	if (kind == 'i') {
		put_number(out, (unsigned long long)column_integer(query, column), 8);
		return true;
	}
	bytes = column_bytes(query, column);
	put_number(out, bytes.length, 4);
	put(out, bytes.data, bytes.length);
	if (kind == 't')
		put(out, "", 1);
	return kind == 'b' || bytes.length == 0 || !memchr(bytes.data, '\0', bytes.length);
}

/* *fits: else nothing of it stays in `out`. */
static bool row_put(struct source *source, struct query *query, struct out *out, bool *fits)
{
	const struct copy_column *columns[COPY_COLUMNS_MAX];
	unsigned n = copy_columns(source->table, source->schema, columns);
	size_t before = out->used;
	bool good = true;

	put(out, "R", 1);
	for (unsigned i = 0; i < n && good; i++)
		good = cell_put(out, query, (int)i, columns[i]->kind);
	*fits = !out->full;
	if (out->full) {
		out->used = before;
		out->full = false;
		return good;
	}
	for (unsigned i = 0; i < source->table->keys && good; i++)
		good = key_take(query, (int)i, columns[i]->kind, &source->keys[i]);
	source->rows++;
	source->all_rows++;
	return good;
}

/* The next rows of the table; *more: there are some that are not in `out`. */
static bool page_put(struct source *source, struct out *out, bool *more)
{
	char text[COPY_SQL_SIZE];
	struct query *query;
	unsigned n = 0, keys = source->rows > 0 ? source->table->keys : 0;
	bool good = true, fits = true;

	copy_select(source->table, source->schema, source->rows == 0, text);
	query = sql_query_once(source->store->sql, text);
	for (unsigned i = 0; i < keys; i++)
		key_bind(query, (int)i + 1, &source->keys[i]);
	query_integer(query, (int)keys + 1, COPY_PAGE);
	while (good && fits && n < COPY_PAGE && query_step(query) == STEP_ROW) {
		good = row_put(source, query, out, &fits);
		n += fits;
	}
	*more = !fits || n == COPY_PAGE;
	if (!query_end(query))
		return false;
	return good ||
	       sql_complain(source->store->sql, "a stored value is not of the form that it was written in");
}

/* As much of the table as fits. *whole: all of it has been written. */
static bool table_put(struct source *source, struct out *out, bool *whole)
{
	bool more = true;
	size_t before;

	*whole = false;
	if (out->room - out->used < 64) /* for its beginning or its end */
		return true;
	if (!source->begun) {
		put(out, "T", 1);
		put(out, source->table->name, strlen(source->table->name) + 1);
		source->begun = true;
		source->rows = 0;
	}
	do {
		before = out->used;
		if (!page_put(source, out, &more))
			return false;
	} while (more && out->used > before);
	if (more || out->room - out->used < 9)
		return true;
	put(out, "E", 1);
	put_number(out, source->rows, 8);
	*whole = true;
	return true;
}

/* As many whole records as there is room for; false also where there is none for the next. */
static bool piece_fill(struct source *source, const struct copy_sink *sink, struct copy_piece *piece)
{
	struct out out = { .data = sink->buffer, .room = sink->room };
	bool whole = true;

	while (source->table->name && whole) {
		if (!table_put(source, &out, &whole))
			return false;
		if (whole) {
			source->table = copy_next(source->table, source->schema);
			source->begun = false;
		}
	}
	piece->used = out.used;
	piece->last = !source->table->name;
	piece->rows = source->all_rows;
	return piece->last || out.used > 0 ||
	       sql_complain(source->store->sql, "a row is longer than a piece");
}

struct reading {
	const struct copy_sink *sink;
	bool begun;
};

/* What has been handed on cannot be taken back, so it is never begun again. */
static enum outcome read_body(struct store *store, struct head *head, void *context, struct reason *reason)
{
	struct reading *reading = context;
	struct source source = { .store = store };
	struct copy_piece piece = { 0 };

	(void)head;
	if (reading->begun)
		return unavailable(reason, REASON_STORE, "the connection was lost");
	reading->begun = true;
	if (!migrations_version(store->sql, &source.schema))
		return store_failed(store, reason);
	piece.schema = source.schema;
	source.table = copy_next(NULL, source.schema);
	while (!piece.last) {
		if (!piece_fill(&source, reading->sink, &piece))
			return store_failed(store, reason);
		if (!reading->sink->put(reading->sink->context, &piece, reason))
			return UNAVAILABLE;
	}
	return OK;
}

enum outcome copy_read(struct store *store, const struct copy_sink *sink, struct reason *reason)
{
	struct reading reading = { .sink = sink };

	return store_transaction(store, SQL_SNAPSHOT, read_body, &reading, reason);
}
