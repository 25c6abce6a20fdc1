#ifndef STORE_MIGRATIONS_H
#define STORE_MIGRATIONS_H
/* The schema's numbered versions, embedded. */
#include "store/sql.h"

/* How an engine spells the types of a table's columns. */
enum dialect { DIALECT_SQLITE, DIALECT_POSTGRES };

struct migrating {
	enum dialect dialect;
	bool may; /* otherwise the schema must be there already */
	/* Told before each step on a database that holds something, and every ten seconds of it. May be NULL.
	 */
	void (*told)(void *context, const char *text);
	void *context;
};

/* Brings the database up to this program's version; each migration is a transaction behind the write lock, so
 * of several programs that start at once one does it. False: the complaint names the mend, among others for a
 * schema newer than this program. */
MUST_USE bool migrations_run(struct sql *, const struct migrating *, struct complaint *);

#endif
