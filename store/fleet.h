#ifndef STORE_FLEET_H
#define STORE_FLEET_H
/* The ledger of many instances: those that had their release by one rule and were launched since a moment. It
 * is walked in pages by key, each a short transaction of its own, so that no walk holds up a node that
 * serves.
 */
#include "store/ledger.h"

struct fleet {
	const char *rule;
	long long launched_after; /* seconds since 1970: launched then or later; 0: ever */
};

/* Where a walk stands; all zeros: at its start. */
struct fleet_place {
	bool begun, ended;
	long long launch_time;
	unsigned char one_time_hash[32];
};

enum { FLEET_PAGE = 1000, FLEET_BATCH = 200 };

/* The next FLEET_PAGE instances, by launch time, those in `state` alone (LEDGER_NONE: in any). False from the
 * callback ends the walk. */
MUST_USE enum outcome fleet_list(struct store *, const struct fleet *, enum ledger_state,
	struct fleet_place *, bool (*row)(void *context, const struct ledger_row *), void *context,
	struct reason *);

/* What has come of a walk of fleet_rearm, or would. */
struct fleet_count {
	unsigned long armed, open, spent;
};

/* Re-arms the next FLEET_BATCH instances in one transaction, each by a row and an event of its own, with the
 * reason, actor, key and times of `rearm`. An instance with an open re-arm is counted and left; so is one
 * that has spent a re-arm of the very same reason, so that a run which was cut short can be run again. `dry`:
 * counts and writes nothing. */
MUST_USE enum outcome fleet_rearm(struct store *, const struct fleet *, const struct rearm *, bool dry,
	struct fleet_place *, struct fleet_count *, struct reason *);

#endif
