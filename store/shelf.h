#ifndef STORE_SHELF_H
#define STORE_SHELF_H
/* Envelopes as one transaction reads them, each once. Private to store/. */
#include "store/inside.h"

enum { SHELF_MAX = 32 };

/* All zeros: empty. */
struct shelf {
	unsigned n;
	struct {
		struct envelope envelope;
		bool newest;
	} slots[SHELF_MAX];
};

/* The newest version (version 0) or that one, borrowed until the next call; NULL where there is none that may
 * be released: what the vault keeps for itself never may. False: the store failed. */
MUST_USE bool shelf_find(
	struct store *, struct shelf *, const char *name, unsigned version, const struct envelope **);
void shelf_clear(struct shelf *);

/* ---- grant.c */

/* A grant without envelopes; NULL when memory is out. Only handed out once its transaction has committed. */
struct grant *grant_new(const char *release_id, const struct assertion *,
	const unsigned char assertion_sha256[32], const struct recipient *, bool repeated);
MUST_USE bool grant_add(struct grant *, const struct envelope *);

#endif
