#ifndef SERVER_HEADS_H
#define SERVER_HEADS_H
/* Is this the database that the vault's members have signed? What they remember is held against the store,
 * with a reading handle of its own. Where the store does not hold it, somebody has put an older copy in its
 * place: an alarm, and while there is one this node releases nothing. Safe from any thread. */
#include "server/config.h"
#include "store/heads.h"
#include "vault/file.h"

struct heads;

/* Reads the members' keys and the newest checkpoint of each, whose signature and event must be right. NULL:
 * the complaint says what is not, with the mend. `vault` is borrowed. */
struct heads *heads_open(const struct config *, const struct vault_file *vault, struct complaint *);
void heads_close(struct heads *);

/* Does the store hold what that member last signed (seq 0: it says it has signed nothing)? Sets or takes back
 * the alarm. For vault_watcher.judge: `heads` is a struct heads. */
bool heads_judge(
	void *heads, const char *member, const struct signed_head *last, struct complaint *complaint);
/* The same for member i, as an outcome: OK, REFUSED (alarm), UNAVAILABLE (the store does not answer). */
MUST_USE enum outcome heads_look(struct heads *, size_t i, const struct signed_head *last, struct reason *);

/* Is there an alarm? *complaint, where given: what it is, with the mend. */
bool heads_alarmed(struct heads *, struct complaint *);

/* ---- checkpoints */

const struct signer *heads_signer(const struct heads *, size_t i);
/* Member i has signed everything up to that event, at that time (or, asked for it, something newer). */
void heads_signed(struct heads *, size_t i, long long seq, long long now_us);
/* The last such event; 0: none since this process started. *time_us: when. */
long long heads_last_signed(struct heads *, size_t i, long long *time_us);
/* One checkpoint at a time: true for who may take one, until heads_leave. */
MUST_USE bool heads_enter(struct heads *);
void heads_leave(struct heads *);

#endif
