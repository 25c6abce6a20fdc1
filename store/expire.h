#ifndef STORE_EXPIRE_H
#define STORE_EXPIRE_H
/* Ledger rows of once-per-launch that nothing depends on any more. A row goes when its launch is older than
 * the longest launch window that any policy may state, and a margin: then no policy allows that launch a
 * first use, with the row or without it. A later launch was never held back by it, unless the policy has
 * become once-per-instance, and then the check of the original boot does. Rows of once-per-instance stay for
 * ever.
 *
 * How old a launch is, is measured against the newest launch of the ledger that EC2 has told, and against the
 * clock, whichever is less: a clock that runs ahead forgets nothing. */
#include "store/store.h"

enum {
	EXPIRE_MARGIN_DAYS = 30,
	EXPIRE_BATCH = 500 /* rows at most, in one transaction */
};

/* One batch, the oldest launches first, with a `ledger.expired` event if there was any. *gone: how many. */
MUST_USE enum outcome store_expire(struct store *, long long now_us, unsigned *gone, struct reason *);

#endif
