/* Columns of text. Must never pass on a byte that a terminal would take for a command. */
#include "cli/table.h"

#include <stdlib.h>
#include <string.h>

struct table {
	const char *const *headings;
	size_t columns;
	size_t width[TABLE_COLUMNS_MAX];
	bool heading_owed;
	char **cells; /* escaped, owned; row by row */
	size_t n_cells, room;
};

struct table *table_new(const char *const headings[])
{
	struct table *table = calloc(1, sizeof(*table));

	if (!table)
		return NULL;
	table->headings = headings;
	table->heading_owed = true;
	for (; headings[table->columns] && table->columns < TABLE_COLUMNS_MAX; table->columns++)
		table->width[table->columns] = strlen(headings[table->columns]);
	return table;
}

static void rows_forget(struct table *table)
{
	while (table->n_cells)
		free(table->cells[--table->n_cells]);
}

void table_free(struct table *table)
{
	if (!table)
		return;
	rows_forget(table);
	free(table->cells);
	free(table);
}

void table_bare(struct table *table)
{
	table->heading_owed = false;
}

static char *escape(const char *text)
{
	char *escaped = malloc(4 * strlen(text) + 2);
	char *at = escaped;

	if (!escaped)
		return NULL;
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c == '\\')
			at += sprintf(at, "\\\\");
		else if (c < ' ' || c > '~')
			at += sprintf(at, "\\x%02x", c);
		else
			*at++ = (char)c;
	}
	if (at == escaped)
		*at++ = '-';
	*at = '\0';
	return escaped;
}

static bool cells_reserve(struct table *table)
{
	size_t room = table->room ? 2 * table->room : 64 * table->columns;
	char **cells;

	if (table->n_cells + table->columns <= table->room)
		return true;
	cells = reallocarray(table->cells, room, sizeof(*cells));
	if (!cells)
		return false;
	table->cells = cells;
	table->room = room;
	return true;
}

bool table_add(struct table *table, const char *const cells[])
{
	size_t before = table->n_cells;
	size_t i;

	if (!cells_reserve(table))
		return false;
	for (i = 0; i < table->columns; i++) {
		char *cell = escape(cells[i] ? cells[i] : "");

		if (!cell)
			goto fail;
		table->cells[table->n_cells++] = cell;
		if (strlen(cell) > table->width[i])
			table->width[i] = strlen(cell);
	}
	return true;
fail:
	while (table->n_cells > before)
		free(table->cells[--table->n_cells]);
	return false;
}

/* The last column is not filled up. */
static void row_print(const struct table *table, const char *const cells[], FILE *stream)
{
	size_t i;

	for (i = 0; i + 1 < table->columns; i++)
		fprintf(stream, "%-*s  ", (int)table->width[i], cells[i]);
	fprintf(stream, "%s\n", cells[i]);
}

void table_print(struct table *table, FILE *stream)
{
	size_t i;

	if (table->heading_owed)
		row_print(table, table->headings, stream);
	table->heading_owed = false;
	for (i = 0; i < table->n_cells; i += table->columns)
		row_print(table, (const char *const *)table->cells + i, stream);
	rows_forget(table);
}
