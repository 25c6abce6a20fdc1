/* The beginning and the end of a restore. Must never take the mark away before the last row is there and the
 * chain has been walked. */
#include "store/restore.h"

#include "store/audit.h"
#include "store/inside.h"
#include "store/migrations.h"
#include "verifier/encoding.h"
#include "verifier/reasons.h"

#include <stdio.h>
#include <string.h>

struct store *restore_begin(const char *uri, const char *node, unsigned schema, struct complaint *complaint)
{
	struct store *store = store_open(uri, STORE_RESTORE, node, complaint);

	if (store && migrations_restore(store->sql, schema, complaint))
		return store;
	store_close(store);
	return NULL;
}

static enum outcome finish_body(struct store *store, struct head *head, void *context, struct reason *reason)
{
	const struct restored *restored = context;
	char made[TIMESTAMP_SIZE], comment[160];
	struct event event = { .event = "store.restored",
		.outcome = outcome_name(OK),
		.time_us = restored->now_us,
		.actor = restored->actor,
		.comment = comment };

	timestamp_encode(restored->made_us, made);
	snprintf(comment, sizeof(comment), "from backup %s, begun %s, up to event %lld", restored->backup_id,
		made, head->seq);
	if (!migrations_unmark(store->sql) || !trail_append(store, head, &event))
		return store_failed(store, reason);
	return OK;
}

enum outcome restore_finish(
	struct store *store, const struct restored *restored, long long *events, struct reason *reason)
{
	struct complaint complaint;
	struct query *query = sql_query(
		store->sql, "SELECT MAX(number) FROM migration WHERE number < 1000000");
	unsigned schema = 0;
	enum outcome outcome;

	if (query_step(query) == STEP_ROW)
		schema = column_count(query, 0);
	if (!query_end(query))
		return store_failed(store, reason);
	if (!migrations_restored(store->sql, schema, &complaint))
		return unavailable(reason, REASON_STORE, "%s", complaint.text);
	outcome = audit_verify(store, events, reason);
	if (outcome != OK)
		return outcome;
	return store_transaction(store, SQL_WRITE, finish_body, (void *)restored, reason);
}
