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

static struct migrating migrating_of(const struct store *store)
{
	return (struct migrating){ .dialect = store->path ? DIALECT_SQLITE : DIALECT_POSTGRES,
		.may = true,
		.told = store->settings.told,
		.context = store->settings.context };
}

struct store *restore_begin(
	const struct store_settings *settings, unsigned schema, struct complaint *complaint)
{
	struct store_settings restoring = *settings;
	struct migrating migrating;
	struct store *store;

	restoring.use = STORE_RESTORE;
	store = store_open(&restoring, complaint);
	if (!store)
		return NULL;
	migrating = migrating_of(store);
	if (migrations_restore(store->sql, &migrating, schema, complaint))
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

	if (!trail_head(store, head))
		return store_failed(store, reason);
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
	struct migrating migrating = migrating_of(store);
	struct complaint complaint;
	enum outcome outcome;

	if (!migrations_restored(store->sql, &migrating, &complaint))
		return unavailable(reason, REASON_STORE, "%s", complaint.text);
	outcome = audit_verify(store, events, reason);
	if (outcome != OK)
		return outcome;
	return store_transaction(store, SQL_WRITE, finish_body, (void *)restored, reason);
}
