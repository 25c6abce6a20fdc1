#ifndef STORE_LEDGER_ROW_H
#define STORE_LEDGER_ROW_H
/* What ledger.c and fleet.c share: rows as operators see them, and re-arms as they are written. Private to
 * store/. */
#include "store/inside.h"
#include "store/ledger.h"

/* The columns that ledger_row_read reads, from column 0. */
#define LEDGER_ROW_COLUMNS                                                                                   \
	"account, region, instance, role, release, one_time_hash, recipient, rule, secrets, launch_time,"    \
	" granted_us, retry_until_us, sealed_us, acknowledged_us, conflict_us, collected, conflicts"
enum { LEDGER_ROW_LAUNCH = 9 }; /* launch_time, as it stands there; in the row it is a time or 0 */

/* Of the query's present row. What does not fit comes out where the query ends. */
void ledger_row_read(struct query *, struct ledger_row *);

/* Are reason, actor and end as a re-arm must have them? */
MUST_USE enum outcome rearm_check(const struct rearm *, struct reason *);
/* The row and its event, within a writing transaction. */
MUST_USE bool rearm_write(
	struct store *, struct head *, const struct rearm *, const unsigned char one_time_hash[32]);

#endif
