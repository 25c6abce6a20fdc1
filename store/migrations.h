#ifndef STORE_MIGRATIONS_H
#define STORE_MIGRATIONS_H
/* The schema's numbered versions, embedded. */
#include "store/sql.h"

/* Brings the database up to this program's version; each migration is a transaction. `may_write` false: it
 * must be there already. False: the complaint names the mend, among others for a schema newer than this
 * program. */
MUST_USE bool migrations_run(struct sql *, bool may_write, struct complaint *);

/* ---- for restore.c: a database of an older version, that nobody can open before it is finished */

/* Makes an empty database one of that version, marked as not finished; in one transaction. */
MUST_USE bool migrations_restore(struct sql *, unsigned schema, struct complaint *);
/* From that version to this program's; the mark stays. */
MUST_USE bool migrations_restored(struct sql *, unsigned schema, struct complaint *);
/* Takes the mark away, within a transaction. */
MUST_USE bool migrations_unmark(struct sql *);

#endif
