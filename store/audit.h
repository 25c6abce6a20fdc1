#ifndef STORE_AUDIT_H
#define STORE_AUDIT_H
/* Reading the trail. Event bytes are exactly those that were hashed. */
#include "store/store.h"

enum { AUDIT_LIMIT_MAX = 1000, AUDIT_LIMIT_DEFAULT = 100 };

struct audit_filter {
	const char *instance_id, *role, *event, *outcome; /* exact; NULL: any */
	const char *request_id, *release_id; /* the same */
	long long since_us, until_us; /* since <= time < until; 0: open */
	bool ascending; /* default: newest first */
	unsigned limit; /* 1..AUDIT_LIMIT_MAX */
	long long after_seq; /* go on behind this one, in the query's order; 0: from the start */
};

struct audit_event {
	long long seq;
	struct bytes text; /* one line of JSON */
	unsigned char hash[32];
};

/* Calls `row` for up to `limit` events; *more says whether others follow. */
MUST_USE enum outcome audit_query(struct store *, const struct audit_filter *,
	bool (*row)(void *context, const struct audit_event *), void *context, bool *more, struct reason *);

/* The trail is not what was written: REFUSED. */
#define REASON_CHAIN_BROKEN "chain-broken"

/* Walks the whole chain: every seq there, every hash and `previous` right. *events: how many; REFUSED names
 * the first that is wrong. */
MUST_USE enum outcome audit_verify(struct store *, long long *events, struct reason *);

#endif
