#ifndef STORE_RESTORE_H
#define STORE_RESTORE_H
/* A database that is made from a copy (copy.h). From its first moment to restore_finish it bears a mark that
 * every version of this program takes for a reason not to open it: half a ledger would let instances have
 * theirs twice. */
#include "store/store.h"

/* Makes the tables of that version in an empty database. NULL: the complaint names the mend (something is in
 * it, a newer version). The settings are store_open's but for their use. The handle is for copy_target_open.
 */
struct store *restore_begin(const struct store_settings *, unsigned schema, struct complaint *);

struct restored {
	const char *backup_id, *actor;
	long long made_us; /* when the backup was begun */
	long long now_us;
};

/* All rows are there: brings the tables up to this program's version, verifies the whole chain, and then
 * takes the mark away with a `store.restored` event in one transaction. REFUSED (REASON_CHAIN_BROKEN), and
 * the mark stays. *events: those of the backup. */
MUST_USE enum outcome restore_finish(
	struct store *, const struct restored *, long long *events, struct reason *);

#endif
