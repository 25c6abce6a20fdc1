#ifndef CLI_TABLE_H
#define CLI_TABLE_H
/* Text in columns, as wide as what is in them. Whatever comes from outside is made harmless for a terminal.
 */
#include "verifier/outcome.h"

#include <stdio.h>

struct table;

enum { TABLE_COLUMNS_MAX = 12 };

/* `headings`: NULL-terminated, at most TABLE_COLUMNS_MAX; borrowed. NULL when memory is out. */
struct table *table_new(const char *const headings[]);
void table_free(struct table *);
/* Without a line of headings, whatever they are. */
void table_bare(struct table *);

/* One row, copied: as many cells as there are columns; NULL and "" become "-". Bytes outside printable ASCII
 * become \xNN, the backslash \\. False: memory is out. */
MUST_USE bool table_add(struct table *, const char *const cells[]);
/* Prints the rows and forgets them, the headings before the first ones. Columns never become narrower. */
void table_print(struct table *, FILE *);

#endif
