#ifndef STORE_ITEM_H
#define STORE_ITEM_H
/* A record on its way through a batch: what it will come to if the transaction commits. Private to store/. */
#include "store/burn.h"
#include "store/shelf.h"

struct item {
	struct record *record;
	size_t place; /* in the batch */
	unsigned char one_time_hash[32], assertion_sha256[32];
	bool hashed;
	enum outcome outcome; /* what it comes to, if the transaction commits */
	struct reason reason;
	const char *event; /* its name; NULL: none is owed */
	char comment[REARM_COMMENT_SIZE];
	char release_id[RELEASE_ID_SIZE];
	size_t n_secrets;
	struct secret_version secrets[SECRETS_MAX];
	struct grant *grant;
	bool alarm; /* the event is an alarm: owed once an hour for its role, account and region */
	bool after_restore;
	bool waived[2]; /* of first_use_checks: changed in the claims */
	struct ledger_entry *entry; /* RECORD_ACKNOWLEDGE */
	bool tried; /* what burns was sent: a first use was allowed, and the rule's pace left room */
	struct pace *pace; /* of its rule, until what was tried is settled; NULL: none */
	long long burned, spent, acknowledged; /* rows that were changed, once they are settled */
};

/* ---- release.c: what a release comes to; within the batch's transaction. Each answers false where the store
 * failed and with it the transaction; a refusal is no failure. */

/* Which versions it would hold. A secret that is not stored makes the record UNAVAILABLE, alone. */
MUST_USE bool release_prepare(struct store *, struct item *);
/* Sends what burns the one use; only where a first use is allowed. */
MUST_USE bool release_burn(struct store *, struct item *);
/* Once that is settled, and where any re-arm is open: sends what spends one for a release that has burned. */
MUST_USE bool release_spend(struct store *, struct item *);
/* Once that is settled: grants, or repeats, or spends a re-arm, or refuses. */
MUST_USE bool release_conclude(struct store *, struct item *);
/* Takes back what it changed in the record's claims. */
void release_undo(struct item *);

#endif
