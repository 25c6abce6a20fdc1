#ifndef STORE_COPY_TABLES_H
#define STORE_COPY_TABLES_H
/* The tables that a copy consists of. A migration that adds a table or a column adds it here too; a test
 * holds this list against the schema. Private to store/. */
#include "store/inside.h"

enum {
	COPY_TABLES_MAX = 16,
	COPY_COLUMNS_MAX = 24,
	COPY_KEYS_MAX = 3,
	COPY_KEY_SIZE = 128,
	COPY_SQL_SIZE = 1024
};

struct copy_column {
	const char *name;
	char kind; /* 'i', 't' or 'b' */
	unsigned since; /* the schema's version that has brought it, where that is not the table's */
};

struct copy_table {
	const char *name;
	unsigned since; /* the schema's version that has brought it */
	unsigned keys; /* so many of the first columns are the primary key */
	struct copy_column columns[COPY_COLUMNS_MAX]; /* a zeroed one behind the last */
};

/* In the order of the copy; a nameless one behind the last. */
extern const struct copy_table copy_tables[];

/* The one behind it that this version of the schema has; behind NULL, the first. */
const struct copy_table *copy_next(const struct copy_table *, unsigned schema);
/* The columns that this version of the schema has. */
unsigned copy_columns(
	const struct copy_table *, unsigned schema, const struct copy_column *columns[COPY_COLUMNS_MAX]);
/* "SELECT seq, bytes FROM event WHERE (seq) > ($1) ORDER BY seq LIMIT $2"; without its WHERE where `first`.
 */
void copy_select(const struct copy_table *, unsigned schema, bool first, char text[COPY_SQL_SIZE]);
/* "INSERT INTO event (seq, bytes) VALUES ($1, $2)" */
void copy_insert(const struct copy_table *, unsigned schema, char text[COPY_SQL_SIZE]);

#endif
