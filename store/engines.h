#ifndef STORE_ENGINES_H
#define STORE_ENGINES_H
/* The databases that there are. Each opens one that is there (an empty one counts) and reads or writes it
 * through store/sql.h. NULL: the complaint names the mend. Private to store/. */
#include "store/sql.h"

struct sql *sqlite_open(const char *path, enum sql_use, struct complaint *);

/* Where a PostgreSQL is, and what it must be like. The struct lives as long as whoever opens by it, since it
 * remembers between one connection and the next. */
struct postgres {
	const char *uri; /* as libpq reads it, several hosts too */
	const char *node; /* stands in application_name */
	/* How many synchronous standbys there must be at each connection; below 0: as many as there were at
	 * the first. */
	int standbys;
	bool standbys_known; /* `standbys` is settled */
	unsigned host; /* the one to begin with, modulo their number: that which was good last */
};
struct sql *postgres_open(struct postgres *, enum sql_use, struct complaint *);

#endif
