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

/* Sent, not waited for: *affected is 1, once it is settled, where this has had the one use. */
MUST_USE bool ledger_burn(struct store *, const struct burn *, enum burn_how, long long *affected);

/* How many first uses a rule has had within the hour before now_us; `most` stands for that many or more. */
MUST_USE bool ledger_rule_count(
	struct store *, const char *rule, unsigned most, long long now_us, long long *n);

/* A row as it stands. */
struct ledger_entry {
	char release_id[RELEASE_ID_SIZE], rule[NAME_SIZE], secrets[LEDGER_SECRETS_SIZE];
	char account[ACCOUNT_ID_SIZE], region[REGION_SIZE], instance[INSTANCE_ID_SIZE], role[ROLE_SIZE];
	unsigned char one_time_hash[32], recipient_sha256[32];
	long long granted_us, retry_until_us, acknowledged_us;
	bool acknowledged, once_per_launch;
	unsigned collected;
	long long launch_time;
};

MUST_USE bool ledger_of_instance(
	struct store *, const unsigned char one_time_hash[32], struct ledger_entry *, bool *found);
enum { LEDGER_RELEASES_MAX = 32 };
/* The rows of up to so many releases, in any order. */
MUST_USE bool ledger_of_releases(struct store *, const char *const release_ids[], size_t n,
	void (*row)(void *context, const struct ledger_entry *), void *context);

/* The same release is given out once more. */
MUST_USE bool ledger_collect(struct store *, const char *release_id, bool *counted);
/* Sent, not waited for: *affected is 1, once it is settled, where it was not acknowledged before. */
MUST_USE bool ledger_acknowledge(
	struct store *, const char *release_id, long long now_us, long long *affected);
/* Sent, not waited for. A member has sealed it; another key has asked for it. */
MUST_USE bool ledger_sealed(struct store *, const char *release_id, long long now_us);
MUST_USE bool ledger_conflict(struct store *, const char *release_id, long long now_us);
/* Changes nothing, by a write: for an answer that rests on the row alone, so that its COMMIT proves it. */
MUST_USE bool ledger_touch(struct store *, const char *release_id);

enum { REARM_ACTOR_SIZE = 128, REARM_REASON_SIZE = 256, REARM_COMMENT_SIZE = 512 };
/* Asks whether any re-arm is open; nothing waits yet. */
struct query *rearm_ask_open(struct store *, long long now_us);
MUST_USE bool rearm_any_open(struct query *asked, bool *open);
/* An open re-arm is spent for the release, whatever key it is meant for, once that stands in the ledger: it
 * never adds a second first use. Sent, not waited for: *affected is 1 then. */
MUST_USE bool rearm_spend_burned(struct store *, const struct burn *, long long *affected);
/* `comment` names the re-arm that was spent for that release. */
MUST_USE bool rearm_spent_by(struct store *, const unsigned char one_time_hash[32], const char *release_id,
	char comment[REARM_COMMENT_SIZE]);
/* Spends one for a release that is not there yet; `comment` names it. */
MUST_USE bool rearm_spend(struct store *, const struct burn *, bool *spent, char comment[REARM_COMMENT_SIZE]);

#endif
