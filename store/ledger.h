#ifndef STORE_LEDGER_H
#define STORE_LEDGER_H
/* The one-time ledger as operators see it. */
#include "store/store.h"

struct ledger_row {
	char release_id[RELEASE_ID_SIZE];
	unsigned char recipient_sha256[32];
	char rule[NAME_SIZE];
	char secrets[2048]; /* "name:version,..." */
	long long granted_us, retry_until_us, acknowledged_us; /* 0: not acknowledged */
	unsigned collected; /* how often the release was given out: 1 and the repeats */
	/* the newest re-arm, spent or not; armed_us 0: never */
	long long armed_us, armed_until_us, spent_us;
	char armed_by[128], armed_reason[256];
};

/* REFUSED (REASON_NOT_FOUND): that instance has had no release and no re-arm. */
MUST_USE enum outcome ledger_show(struct store *, const char *account_id, const char *region,
	const char *instance_id, struct ledger_row *, struct reason *);

struct rearm {
	const char *account_id, *region, *instance_id;
	const char *reason, *actor; /* both mandatory: they stand in the trail */
	long long now_us, until_us; /* spent before until_us or never */
	const unsigned char *recipient_sha256; /* the key that is meant; NULL: any */
};

/* One more first use for that instance, standing in for the window and the original boot; `ledger.rearmed`
 * event in the same transaction. REFUSED where an unspent one is still open. */
MUST_USE enum outcome ledger_rearm(struct store *, const struct rearm *, struct reason *);

#endif
