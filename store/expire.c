/* Forgets rows of the ledger, in small batches. Must never forget one whose launch could be allowed a first
 * use again by whatever policy comes, nor one whose key may still collect within its retry window. */
#include "store/expire.h"

#include "store/inside.h"
#include "verifier/encoding.h"

#include <stdio.h>

#define AGE_SECONDS (LAUNCH_WINDOW_MAX / 1000 + EXPIRE_MARGIN_DAYS * 24 * 3600LL)

struct expiry {
	long long now_us;
	long long gone;
};

/* By EC2's own time, as far as launches have told it. */
static bool newest_launch(struct store *store, long long *seconds)
{
	struct query *query = sql_query(store->sql,
		"SELECT launch_time FROM ledger WHERE once_per_launch = 1 ORDER BY launch_time DESC LIMIT 1");

	*seconds = 0;
	if (query_step(query) == STEP_ROW)
		*seconds = column_integer(query, 0);
	return query_end(query);
}

static bool rows_delete(struct store *store, long long before, struct expiry *expiry)
{
	struct query *query = sql_query(store->sql,
		"DELETE FROM ledger WHERE one_time_hash IN (SELECT one_time_hash FROM ledger"
		" WHERE once_per_launch = 1 AND launch_time < $1 AND retry_until_us < $2"
		" ORDER BY launch_time LIMIT $3)");

	query_integer(query, 1, before);
	query_integer(query, 2, expiry->now_us);
	query_integer(query, 3, EXPIRE_BATCH);
	return query_run(query, &expiry->gone);
}

static bool event_append(
	struct store *store, struct head *head, const struct expiry *expiry, long long before)
{
	char comment[160], until[TIMESTAMP_SIZE];
	struct event event = { .event = "ledger.expired",
		.outcome = outcome_name(OK),
		.time_us = expiry->now_us,
		.comment = comment };

	timestamp_encode(before * 1000000, until);
	snprintf(comment, sizeof(comment), "%lld rows of once-per-launch, of launches before %s",
		expiry->gone, until);
	return trail_append(store, head, &event);
}

static enum outcome expire_body(struct store *store, struct head *head, void *context, struct reason *reason)
{
	struct expiry *expiry = context;
	long long newest, before;

	expiry->gone = 0;
	if (!newest_launch(store, &newest))
		return store_failed(store, reason);
	before = expiry->now_us / 1000000;
	if (newest < before)
		before = newest;
	before -= AGE_SECONDS;
	if (before <= 0)
		return OK;
	if (!rows_delete(store, before, expiry) ||
		(expiry->gone > 0 && !event_append(store, head, expiry, before)))
		return store_failed(store, reason);
	return OK;
}

enum outcome store_expire(struct store *store, long long now_us, unsigned *gone, struct reason *reason)
{
	struct expiry expiry = { .now_us = now_us };
	enum outcome outcome = store_transaction(store, SQL_WRITE, expire_body, &expiry, reason);

	*gone = outcome == OK ? (unsigned)expiry.gone : 0;
	return outcome;
}
