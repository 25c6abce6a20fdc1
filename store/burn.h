#ifndef STORE_BURN_H
#define STORE_BURN_H
/* The one-time ledger's verbs, each within a writing transaction. An affected-row count decides who has had
 * the one use, never a read. Private to store/. */
#include "store/inside.h"

enum { LEDGER_SECRETS_SIZE = 2048 };

/* A row as it is written for a grant. */
struct burn {
	const unsigned char *one_time_hash, *recipient_sha256;
	const struct assertion *assertion;
	const char *rule, *release_id, *secrets;
	bool once_per_launch;
	long long launch_time, now_us, retry_until_us;
};

enum burn_how {
	BURN_ONCE, /* insert or nothing */
	BURN_PER_LAUNCH, /* also replaces a row that was granted once-per-launch, for an earlier launch */
	BURN_REARMED /* replaces whatever is there: an operator's re-arm has been spent for it */
};

MUST_USE bool ledger_burn(struct store *, const struct burn *, enum burn_how, bool *burned);

/* A row as it stands. */
struct ledger_entry {
	char release_id[RELEASE_ID_SIZE], rule[NAME_SIZE], secrets[LEDGER_SECRETS_SIZE];
	char account[ACCOUNT_ID_SIZE], region[REGION_SIZE], instance[INSTANCE_ID_SIZE], role[ROLE_SIZE];
	unsigned char one_time_hash[32], recipient_sha256[32];
	long long granted_us, retry_until_us, acknowledged_us;
	bool acknowledged;
	unsigned collected;
};

MUST_USE bool ledger_of_instance(
	struct store *, const unsigned char one_time_hash[32], struct ledger_entry *, bool *found);
MUST_USE bool ledger_of_release(struct store *, const char *release_id, struct ledger_entry *, bool *found);

/* The same release is given out once more. */
MUST_USE bool ledger_collect(struct store *, const char *release_id, bool *counted);
/* *first false: it is acknowledged already, or not there. */
MUST_USE bool ledger_acknowledge(struct store *, const char *release_id, long long now_us, bool *first);

/* Has the rule had `most` first uses within the hour before now_us? */
MUST_USE bool ledger_rule_full(struct store *, const char *rule, unsigned most, long long now_us, bool *full);

/* Spends an open re-arm that this key may use, for that release. `comment` names it. */
enum { REARM_ACTOR_SIZE = 128, REARM_REASON_SIZE = 256, REARM_COMMENT_SIZE = 512 };
MUST_USE bool rearm_spend(struct store *, const struct burn *, bool *spent, char comment[REARM_COMMENT_SIZE]);

#endif
