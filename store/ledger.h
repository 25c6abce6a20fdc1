#ifndef STORE_LEDGER_H
#define STORE_LEDGER_H
/* The one-time ledger as operators see it. */
#include "store/store.h"

/* How far an instance's release has come. That a member sealed it is written down behind the answer, and lost
 * where the server ends just then: the state stays "granted" then, though the answer may have gone out. */
enum ledger_state {
	LEDGER_NONE, /* no release: a re-arm alone */
	LEDGER_GRANTED,
	LEDGER_SEALED,
	LEDGER_ACKNOWLEDGED,
	LEDGER_CONFLICTING, /* another key has asked since the grant, however far that came */
	LEDGER_STATES
};

/* "granted", "sealed", ...; "none". */
const char *ledger_state_name(enum ledger_state);

struct ledger_row {
	enum ledger_state state;
	char account[ACCOUNT_ID_SIZE], region[REGION_SIZE], instance[INSTANCE_ID_SIZE], role[ROLE_SIZE];
	char release_id[RELEASE_ID_SIZE];
	unsigned char one_time_hash[32], recipient_sha256[32];
	char rule[NAME_SIZE];
	char secrets[2048]; /* "name:version,..." */
	long long launch_time; /* seconds since 1970, as EC2 told it for the grant */
	/* microseconds since 1970; 0: not yet */
	long long granted_us, retry_until_us, sealed_us, acknowledged_us, conflict_us;
	unsigned collected; /* how often the release was given out: 1 and the repeats */
	unsigned conflicts; /* how often another key has asked since the grant; conflict_us: the last time */
	/* the newest re-arm, spent or not; armed_us 0: never. ledger_show alone fills it in */
	long long armed_us, armed_until_us, spent_us;
	char armed_by[128], armed_reason[256];
};

/* REFUSED (REASON_NOT_FOUND): that instance has had no release and no re-arm, or it has expired. */
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
