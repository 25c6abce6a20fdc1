#ifndef STORE_HEADS_H
#define STORE_HEADS_H
/* The trail's head as the vault's members have signed it, so that an older database is noticed when it is put
 * in the newer one's place: their checkpoints, and what was lost when an operator accepted
 * an older one. Nothing here believes a signature: whoever reads verifies (vault/checkpoint.h). */
#include "verifier/signed_head.h"

struct store;

/* Each blocks, but for store_head_seen; OK, REFUSED (REASON_NOT_FOUND, REASON_CONFLICT) or UNAVAILABLE
 * (REASON_STORE). */

/* The newest event that this handle knows to be committed, without asking the database: what was written,
 * acknowledged and replicated, and not merely seen. */
void store_head_seen(const struct store *, struct signed_head *);
/* Is exactly this event in the trail? *newest: the trail's last event, which is its time too. */
MUST_USE enum outcome store_head_stands(struct store *, const struct signed_head *, bool *stands,
	struct signed_head *newest, struct reason *);

/* Puts it for the handle's node, or replaces the one of the same member and seq. No event: the head must not
 * move by being signed. */
MUST_USE enum outcome store_checkpoint_put(struct store *, const struct checkpoint *, struct reason *);
/* The one of the highest seq that this node has had signed: another one's member process, on another machine,
 * has a memory of its own. REFUSED where there is none. */
MUST_USE enum outcome store_checkpoint_newest(
	struct store *, const char *member, struct checkpoint *, struct reason *);

/* What a member has signed and the trail does not hold. */
struct lost_head {
	char member[NAME_SIZE];
	struct signed_head head; /* seq 0: the member does not know any more what it signed */
};

/* An operator says that an older database is the true one from now on. */
struct restore {
	const char *actor, *reason; /* both mandatory: they stand in the trail */
	const struct lost_head *lost;
	size_t n_lost; /* 1..MEMBERS_MAX */
	long long now_us;
};

/* `store.restored` event, and the row that it goes with, in one transaction. *head: that event. Where the
 * newest such row names the same heads already, nothing is written: *head is the trail's newest event, and
 * *again is true. */
MUST_USE enum outcome store_restore(
	struct store *, const struct restore *, struct signed_head *head, bool *again, struct reason *);

#endif
