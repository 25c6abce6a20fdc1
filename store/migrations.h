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

/* Which version it has, also while a restore is under way. */
MUST_USE bool migrations_version(struct sql *, unsigned *version);

/* ---- for restore.c: a database of an older version, that nobody can open before it is finished */

/* Makes an empty database one of that version, marked as not finished; in one transaction. */
MUST_USE bool migrations_restore(struct sql *, const struct migrating *, unsigned schema, struct complaint *);
/* Brings it up to this program's version; the mark stays. */
MUST_USE bool migrations_restored(struct sql *, const struct migrating *, struct complaint *);
/* Takes the mark away, within a transaction. */
MUST_USE bool migrations_unmark(struct sql *);

#endif
