#ifndef STORE_SHELF_H
#define STORE_SHELF_H
/* Envelopes as they were read, each once, and kept from one batch to the next: they hold as long as the
 * store's count of changes stands where it stood. Private to store/. */
#include "store/inside.h"

enum { SHELF_MAX = 32 };

/* All zeros: empty. */
struct shelf {
	long long changes; /* the count when the first of them was read */
	bool kept; /* some of them were read by a batch before */
	unsigned n;
	struct {
		struct envelope envelope;
		bool newest;
	} slots[SHELF_MAX];
};

/* The newest version (version 0) or that one, borrowed until the next call; NULL where there is none that may
 * be released: what the vault keeps for itself never may. False: the store failed. */
MUST_USE bool shelf_find(struct store *, const char *name, unsigned version, const struct envelope **);
void shelf_clear(struct shelf *);
/* Asks for the count as it is; nothing waits yet. */
struct query *shelf_ask(struct store *);
/* Takes the answer. *stale: what was kept does not hold; it is gone then, and nothing may rest on it. */
MUST_USE bool shelf_check(struct store *, struct query *asked, bool *stale);
/* What can be released has changed: within the transaction that changes it. */
MUST_USE bool shelf_change(struct store *);

/* ---- grant.c */

/* A grant without envelopes; NULL when memory is out. Only handed out once its transaction has committed. */
struct grant *grant_new(const char *release_id, const struct assertion *,
	const unsigned char assertion_sha256[32], const struct recipient *, bool repeated);
MUST_USE bool grant_add(struct grant *, const struct envelope *);

#endif
