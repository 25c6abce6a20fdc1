#ifndef VAULT_VAULT_H
#define VAULT_VAULT_H
/* The server's side of the vault: knows the member processes by their sockets, loads no module, sees no
 * secret but the node key. Safe from many threads. */
#include "store/envelopes.h"
#include "store/grant.h"
#include "vault/file.h"

struct vault;

enum member_state { MEMBER_DOWN, MEMBER_UP };

/* Who wants to know. Both are called from the monitors' threads, one for each member. */
struct vault_watcher {
	/* the first state of a member, and each change of it, with a sentence for the log */
	void (*said)(void *context, const char *member, enum member_state, const char *why);
	/* A member whose canary opens says what it last signed (seq 0: nothing); may it be used? False: it
	 * stays down, with that complaint, and is asked again a moment later. NULL: all may. */
	bool (*judge)(void *context, const char *member, const struct signed_head *last, struct complaint *);
	void *context;
};

/* Starts the monitor thread that keeps each member's state: connects, proves the canary, notices a closed
 * socket at once, tries a member that is down again every quarter of a second. `canary` and the pins (one for
 * each member of the file, in its order) are copied, as is the watcher. */
struct vault *vault_open(const struct vault_file *, const struct member_pin *pins,
	const struct envelope *canary, const struct vault_watcher *, struct complaint *);
void vault_close(struct vault *);

/* Is a member up, as far as is known now? Never blocks. */
bool vault_ready(struct vault *);
/* The name of member i of the file; NULL after the last. */
const char *vault_member_name(const struct vault *, size_t i);
enum member_state vault_member_state(struct vault *, const char *member);

/* Fetches the node key, once, at start, and derives from it (HKDF-SHA-256, RFC 5869) the keys for
 * acknowledgements and cursors. UNAVAILABLE while no member is up. */
MUST_USE enum outcome vault_take_node_key(
	struct vault *, const struct envelope *node_key, long long deadline, struct reason *);

struct sealed {
	unsigned char *data; /* CMS AuthEnvelopedData, DER; owned */
	size_t length;
};
void sealed_clear(struct sealed *);

enum { VAULT_SEALS_MAX = 8 };

/* A release to be sealed. The caller owns it and keeps it, and the grant, until `done` was called. */
struct seal {
	/* in */
	const struct grant *grant;
	long long deadline; /* monotonic ns */
	void (*done)(struct seal *);
	/* out */
	enum outcome outcome; /* OK, or UNAVAILABLE (REASON_VAULT) */
	struct sealed sealed; /* taken by the caller; there with OK alone */
	struct reason reason;
};

/* For each of 1..VAULT_SEALS_MAX: unseals what the grant names and seals it to the grant's own key. They go
 * to a member one behind the other on one connection; whom one does not serve tries the next. Calls `done`
 * once for each, from the caller's thread, as soon as its answer is there or its deadline has passed,
 * whatever becomes of the others; and returns when all are done. A member that gives no answer for the vault
 * file's deadline counts as down. */
void vault_seal(struct vault *, struct seal *const seals[], size_t n);

/* Which head member i of the file has signed last; zeros: none. Blocks, at most for the vault file's own
 * deadline. OK, or UNAVAILABLE (REASON_VAULT). */
MUST_USE enum outcome vault_last_head(struct vault *, size_t i, struct signed_head *last, struct reason *);
/* Has member i of the file sign that head. A newer one than its last is signed without a question: ask for
 * that first, and whether the store holds it. Blocks, at most for the vault file's own deadline. OK: signed,
 * and verified with the signer's key. REFUSED: it has signed another head of that seq, or a newer one, which
 * is in *last. UNAVAILABLE (REASON_VAULT). */
MUST_USE enum outcome vault_checkpoint(struct vault *, size_t i, const struct signer *,
	const struct signed_head *, struct checkpoint *, struct signed_head *last, struct reason *);

enum { ACKNOWLEDGEMENT_SIZE = 44 }; /* base64url of 32 bytes and NUL */

/* The MAC that an agent returns for a release; constant-time comparison. */
bool vault_acknowledgement_valid(const struct vault *, const char *release_id, const char *acknowledgement);
/* The key of challenges, 32 bytes; borrowed until vault_close. NULL before vault_take_node_key. */
const unsigned char *vault_challenge_key(const struct vault *);
/* A MAC for the audit cursor. */
void vault_cursor_mac(const struct vault *, struct bytes cursor, unsigned char mac[32]);

#endif
