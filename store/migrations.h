#ifndef STORE_MIGRATIONS_H
#define STORE_MIGRATIONS_H
/* The schema's numbered versions, embedded. */
#include "store/sql.h"

/* Brings the database up to this program's version; each migration is a transaction. `may_write` false: it
 * must be there already. False: the complaint names the mend, among others for a schema newer than this
 * program. */
MUST_USE bool migrations_run(struct sql *, bool may_write, struct complaint *);

#endif
