/* The batch: up to 512 requests' ends, and one transaction of two round trips for them. Each record first
 * finds its ledger key and its secrets; then what burns the one uses is sent, sorted by key; then, once that
 * is answered, the events are sent, in the batch's order, and with them COMMIT. (Acknowledgements cost one
 * more for some dozens of them, what is no first use one or two for itself.) What a caller sees, the outcome
 * and the grant, is set behind the COMMIT and nowhere else: if anything before it failed, or its own answer
 * is not a yes, every record of the batch is UNAVAILABLE and nobody has a grant. */
#include "store/burn.h"
#include "store/item.h"
#include "verifier/encoding.h"
#include "verifier/reasons.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How many first uses a rule may still have within this hour. */
struct pace {
	const char *rule;
	long long room, tried;
};
enum { PACE_WAVES = 8 };

struct batch {
	size_t n;
	struct item *items; /* in the batch's order */
	struct item **sorted; /* by ledger key */
	size_t n_paces;
	struct pace *paces; /* of the batch's rules; room for n */
	bool stale; /* what it knew of the secrets did not hold: to be done again */
};

/* ---- acknowledgements */

struct acknowledging {
	struct item *items[LEDGER_RELEASES_MAX];
	size_t n;
};

static void entry_found(void *context, const struct ledger_entry *entry)
{
	struct acknowledging *some = context;

	for (size_t i = 0; i < some->n; i++) {
		struct item *item = some->items[i];

		if (strcmp(item->record->release_id, entry->release_id) != 0)
			continue;
		*item->entry = *entry;
		memcpy(item->one_time_hash, entry->one_time_hash, 32);
		item->hashed = true;
	}
}

static bool acknowledging_read(struct store *store, struct acknowledging *some)
{
	const char *ids[LEDGER_RELEASES_MAX];
	bool read;

	for (size_t i = 0; i < some->n; i++)
		ids[i] = some->items[i]->record->release_id;
	read = some->n == 0 || ledger_of_releases(store, ids, some->n, entry_found, some);
	some->n = 0;
	return read;
}

/* The rows that the batch's acknowledgements are about. */
static bool acknowledging_prepare(struct store *store, struct batch *batch)
{
	struct acknowledging some = { .n = 0 };

	for (size_t i = 0; i < batch->n; i++) {
		struct item *item = &batch->items[i];

		if (item->record->kind != RECORD_ACKNOWLEDGE)
			continue;
		if (!item->entry)
			item->entry = malloc(sizeof(*item->entry));
		if (!item->entry)
			return false;
		some.items[some.n++] = item;
		if (some.n == LEDGER_RELEASES_MAX && !acknowledging_read(store, &some))
			return false;
	}
	return acknowledging_read(store, &some);
}

static bool acknowledge_conclude(struct store *store, struct item *item)
{
	if (!item->hashed) {
		item->outcome = refused(&item->reason, REASON_NOT_FOUND, "no such release");
		return true;
	}
	item->outcome = OK;
	item->event = item->acknowledged == 1 ? "release.acknowledged" : NULL;
	return item->event || ledger_touch(store, item->record->release_id);
}

/* ---- the steps of a batch */

/* Is the record whole, and something that is recorded at all? */
static bool record_fits(struct record *record)
{
	bool release = record->kind == RECORD_RELEASE && record->outcome == OK;

	if (record->outcome != OK && record->outcome != REFUSED)
		return false;
	if ((record->kind == RECORD_ACKNOWLEDGE || record->kind == RECORD_SEALED) &&
		record->outcome == REFUSED)
		return false;
	if ((release && (!record->decision || !record->assertion || !record->recipient ||
				record->decision->n_secrets > SECRETS_MAX)) ||
		(record->kind == RECORD_EVENT && (!record->event || !record->event[0]))) {
		record->outcome = fault(
			&record->reason, REASON_INTERNAL, "a record that lacks what its kind needs");
		return false;
	}
	return true;
}

static bool hashes_make(struct item *item)
{
	const struct assertion *assertion = item->record->assertion;

	if (!assertion)
		return true;
	item->hashed = assertion_sha256(assertion, item->assertion_sha256) &&
		       one_time_hash(assertion->account_id, assertion->region, assertion->instance_id,
			       item->one_time_hash);
	return item->hashed;
}

/* As if no transaction had been tried. */
static void item_reset(struct item *item)
{
	release_undo(item);
	grant_free(item->grant);
	item->grant = NULL;
	item->outcome = item->record->outcome;
	item->reason = item->record->reason;
	item->event = NULL;
	item->alarm = item->after_restore = false;
	item->comment[0] = item->release_id[0] = '\0';
	item->n_secrets = 0;
	item->hashed = false;
	item->burned = item->spent = item->acknowledged = 0;
	item->tried = false;
	item->pace = NULL;
}

static bool item_prepare(struct store *store, struct item *item)
{
	const struct record *record = item->record;

	item_reset(item);
	if (record->kind == RECORD_ACKNOWLEDGE || record->kind == RECORD_SEALED)
		return true;
	item->event = record->kind == RECORD_EVENT ? record->event : "release.denied";
	if (!hashes_make(item))
		return false;
	if (record->kind == RECORD_EVENT || record->outcome != OK)
		return true;
	return release_prepare(store, item);
}

static bool is_release(const struct item *item)
{
	return item->record->kind == RECORD_RELEASE && item->outcome == OK;
}

static bool item_burn(struct store *store, struct item *item)
{
	const struct record *record = item->record;

	if (record->kind == RECORD_SEALED)
		return ledger_sealed(store, record->release_id, record->now_us);
	if (record->kind == RECORD_ACKNOWLEDGE)
		return !item->hashed ||
		       ledger_acknowledge(store, record->release_id, record->now_us, &item->acknowledged);
	return true;
}

/* An open re-arm is rare: only where there is one does it cost a round trip of its own. */
static bool rearms_spend(struct store *store, struct batch *batch, struct query *asked)
{
	bool open = false, good = rearm_any_open(asked, &open);

	for (size_t i = 0; i < batch->n && good && open; i++)
		if (is_release(batch->sorted[i]))
			good = release_spend(store, batch->sorted[i]);
	return good && (!open || sql_settle(store->sql));
}

static bool item_conclude(struct store *store, struct item *item)
{
	if (item->record->kind == RECORD_ACKNOWLEDGE)
		return acknowledge_conclude(store, item);
	return !is_release(item) || release_conclude(store, item);
}

static void event_assertion(struct event *event, const struct item *item)
{
	const struct assertion *assertion = item->record->assertion;

	if (!assertion)
		return;
	event->instance_id = assertion->instance_id;
	event->account_id = assertion->account_id;
	event->region = assertion->region;
	event->role = assertion->role;
	event->one_time_hash = item->one_time_hash;
	event->assertion_sha256 = item->assertion_sha256;
}

static void event_entry(struct event *event, const struct ledger_entry *entry)
{
	event->instance_id = entry->instance;
	event->account_id = entry->account;
	event->region = entry->region;
	event->role = entry->role;
	event->rule = entry->rule;
	event->release_id = entry->release_id;
	event->one_time_hash = entry->one_time_hash;
	event->recipient_sha256 = entry->recipient_sha256;
}

static const char *item_comment(const struct item *item)
{
	if (item->record->kind != RECORD_RELEASE)
		return item->record->comment;
	if (item->comment[0])
		return item->comment;
	return item->outcome != OK ? item->reason.text : item->record->comment;
}

/* Might it have had its one use in the time that a restore lost? The ledger of that time is gone. */
static bool is_of_lost_time(const struct store *store, const struct item *item)
{
	const struct claims *claims = item->record->claims;
	long long launch_us = claims ? (long long)claims->facts.launch_time * 1000000 : 0;

	return item->outcome == OK && item->grant && !grant_repeated(item->grant) &&
	       store->restored_seq > 0 && launch_us < store->restored_us;
}

/* An alarm beside the grant. */
static bool lost_time_event(struct store *store, struct head *head, struct item *item)
{
	const struct record *record = item->record;
	char comment[200], when[TIMESTAMP_SIZE];
	struct event event = { .event = "release.after-restore",
		.time_us = record->now_us,
		.outcome = outcome_name(OK),
		.comment = comment,
		.request_id = record->request_id,
		.release_id = item->release_id,
		.source = record->source,
		.recipient_sha256 = record->recipient->sha256,
		.rule = record->rule };

	timestamp_encode(store->restored_us, when);
	snprintf(comment, sizeof(comment),
		"launched before the restore at %s (event %lld): it may have had a release in the time that "
		"was "
		"lost",
		when, store->restored_seq);
	event_assertion(&event, item);
	return trail_append(store, head, &event);
}

static bool item_event(struct store *store, struct head *head, struct item *item)
{
	const struct record *record = item->record;
	struct event event = { .event = item->event,
		.time_us = record->now_us,
		.outcome = outcome_name(item->outcome),
		.reason = item->outcome != OK ? item->reason.code : NULL,
		.comment = item_comment(item),
		.actor = record->actor,
		.request_id = record->request_id,
		.release_id = item->release_id,
		.source = record->source,
		.recipient_sha256 = record->recipient ? record->recipient->sha256 : NULL,
		.policy_sha256 = record->policy_sha256,
		.rule = record->rule,
		.unbound_key = record->unbound_key,
		.claims = record->claims,
		.secrets = item->secrets,
		.n_secrets = item->grant ? item->n_secrets : 0 };
	bool due = true;

	if (!item->event)
		return true;
	if (item->alarm && !trail_alarm_due(store, item->event, record->assertion, record->now_us, &due))
		return false;
	if (item->alarm && !due)
		return true;
	event_assertion(&event, item);
	if (record->kind == RECORD_ACKNOWLEDGE)
		event_entry(&event, item->entry);
	if (!trail_append(store, head, &event))
		return false;
	item->after_restore = is_of_lost_time(store, item);
	return !item->after_restore || lost_time_event(store, head, item);
}

/* By key, so that two nodes cannot wait for each other; within a key the earlier record comes first. */
static int items_compare(const void *a, const void *b)
{
	const struct item *left = *(struct item *const *)a, *right = *(struct item *const *)b;
	int order = memcmp(left->one_time_hash, right->one_time_hash, 32);

	return order != 0 ? order : (left->place > right->place) - (left->place < right->place);
}

/* ---- the pace of rules with a max_per_hour */

/* Its rule's, counted under the write lock when first asked for. False: the store failed. */
static bool pace_find(
	struct store *store, struct batch *batch, const struct record *record, struct pace **pace)
{
	const char *rule = record->rule ? record->rule : "";
	long long used;

	for (*pace = batch->paces; *pace < batch->paces + batch->n_paces; ++*pace)
		if (strcmp((*pace)->rule, rule) == 0)
			return true;
	if (!ledger_rule_count(store, rule, record->decision->max_per_hour, record->now_us, &used))
		return false;
	batch->n_paces++;
	**pace = (struct pace){ .rule = rule, .room = record->decision->max_per_hour - used };
	return true;
}

/* *room: it may be tried now. */
static bool pace_take(struct store *store, struct batch *batch, struct item *item, bool *room)
{
	*room = true;
	if (item->record->decision->max_per_hour == 0)
		return true;
	if (!pace_find(store, batch, item->record, &item->pace))
		return false;
	*room = item->pace->tried < item->pace->room;
	item->pace->tried += *room;
	return true;
}

/* What was tried is settled: did it leave room for what was not? */
static bool paces_settle(struct batch *batch)
{
	bool room = false;

	for (size_t i = 0; i < batch->n; i++) {
		struct item *item = &batch->items[i];

		if (item->tried && item->pace) {
			item->pace->room -= item->burned == 1;
			item->pace = NULL;
		}
	}
	for (size_t i = 0; i < batch->n_paces; i++) {
		batch->paces[i].tried = 0;
		room = room || batch->paces[i].room > 0;
	}
	return room;
}

/* All at once, as a rule; where a rule's room is less than what comes for it, so many at a time, since who
 * has had his release already takes none. Who is left after some waves is held, and comes again. */
static bool releases_burn(struct store *store, struct batch *batch)
{
	for (int wave = 0; wave < PACE_WAVES; wave++) {
		bool left = false;

		for (size_t i = 0; i < batch->n; i++) {
			struct item *item = batch->sorted[i];
			bool room;

			if (!is_release(item) || item->tried || !item->record->decision->first_use_allowed)
				continue;
			if (!pace_take(store, batch, item, &room) || (room && !release_burn(store, item)))
				return false;
			left = left || !room;
		}
		if (!left)
			return true;
		if (!sql_settle(store->sql))
			return false;
		if (!paces_settle(batch))
			return true;
	}
	return true;
}

/* ---- round trips */

static long long earliest(const struct batch *batch)
{
	long long now_us = batch->items[0].record->now_us;

	for (size_t i = 1; i < batch->n; i++)
		if (batch->items[i].record->now_us < now_us)
			now_us = batch->items[i].record->now_us;
	return now_us;
}

/* The newest restore: who was launched before it may have had his first use in the time that is lost. */
static struct query *restored_ask(struct store *store)
{
	struct query *query = sql_query(
		store->sql, "SELECT seq, time_us FROM restored ORDER BY seq DESC LIMIT 1");

	query_ask(query);
	return query;
}

static bool restored_take(struct store *store, struct query *asked)
{
	store->restored_seq = store->restored_us = 0;
	if (query_step(asked) == STEP_ROW) {
		store->restored_seq = column_integer(asked, 0);
		store->restored_us = column_integer(asked, 1);
	}
	return query_end(asked);
}

/* The first round trip: what is known, and what burns. False: the store failed, or it was stale. */
static bool batch_burn(struct store *store, struct batch *batch)
{
	struct query *asked = shelf_ask(store);
	struct query *open = rearm_ask_open(store, earliest(batch));
	struct query *restored = restored_ask(store);
	bool good = true;

	batch->n_paces = 0;
	for (size_t i = 0; i < batch->n && good; i++)
		good = item_prepare(store, &batch->items[i]);
	good = good && acknowledging_prepare(store, batch);
	for (size_t i = 0; i < batch->n; i++)
		batch->sorted[i] = &batch->items[i];
	qsort(batch->sorted, batch->n, sizeof(struct item *), items_compare);
	for (size_t i = 0; i < batch->n && good; i++)
		good = item_burn(store, batch->sorted[i]);
	good = good && releases_burn(store, batch);
	return good && shelf_check(store, asked, &batch->stale) && !batch->stale && sql_settle(store->sql) &&
	       restored_take(store, restored) && rearms_spend(store, batch, open);
}

static enum outcome batch_body(struct store *store, struct head *head, void *context, struct reason *reason)
{
	struct batch *batch = context;
	bool good;

	batch->stale = false;
	good = batch_burn(store, batch);
	for (size_t i = 0; i < batch->n && good; i++)
		good = item_conclude(store, batch->sorted[i]);
	for (size_t i = 0; i < batch->n && good; i++)
		good = item_event(store, head, &batch->items[i]);
	return good ? OK : store_failed(store, reason);
}

/* ---- handing out */

static void item_settle(struct item *item)
{
	struct record *record = item->record;

	record->outcome = item->outcome;
	record->reason = item->reason;
	if (record->kind == RECORD_RELEASE)
		snprintf(record->release_id, sizeof(record->release_id), "%s",
			item->outcome == OK ? item->release_id : "");
	record->grant = item->grant;
	record->after_restore = item->after_restore;
	item->grant = NULL;
}

static void item_fail(struct item *item, const struct reason *reason)
{
	struct record *record = item->record;

	item_reset(item);
	record->outcome = UNAVAILABLE;
	record->reason = *reason;
	record->after_restore = false;
	if (record->kind == RECORD_RELEASE)
		record->release_id[0] = '\0';
}

/* One transaction; sets every record's outcome. */
static bool batch_commit(struct store *store, struct batch *batch)
{
	struct reason reason = { .code = REASON_STORE };
	bool committed = store_transaction(store, SQL_WRITE, batch_body, batch, &reason) == OK;

	if (!committed && batch->stale) /* now it knows */
		committed = store_transaction(store, SQL_WRITE, batch_body, batch, &reason) == OK;
	for (size_t i = 0; i < batch->n; i++) {
		if (committed)
			item_settle(&batch->items[i]);
		else
			item_fail(&batch->items[i], &reason);
	}
	if (!committed)
		shelf_clear(store->shelf);
	return committed;
}

/* A record that makes the whole batch fail takes only itself along: the others are tried one by one. Ends
 * where it is the store that fails. */
static void batch_singly(struct store *store, struct batch *whole)
{
	struct batch *one = calloc(1, sizeof(*one));
	struct item *sorted;
	struct pace pace;

	if (!one)
		return;
	one->n = 1;
	one->sorted = &sorted;
	one->paces = &pace;
	for (size_t i = 0; i < whole->n; i++) {
		one->items = &whole->items[i];
		one->items->record->outcome = one->items->outcome;
		one->items->record->reason = one->items->reason;
		if (!batch_commit(store, one) && !store->undone)
			break;
	}
	free(one);
}

static void batch_free(struct batch *batch)
{
	if (!batch)
		return;
	for (size_t i = 0; i < batch->n; i++)
		free(batch->items[i].entry);
	free(batch->items);
	free(batch->sorted);
	free(batch->paces);
	free(batch);
}

static struct batch *batch_new(struct record *const records[], size_t n)
{
	struct batch *batch = calloc(1, sizeof(*batch));

	if (!batch)
		return NULL;
	batch->items = calloc(n, sizeof(*batch->items));
	batch->sorted = calloc(n, sizeof(struct item *));
	batch->paces = calloc(n, sizeof(*batch->paces));
	if (!batch->items || !batch->sorted || !batch->paces) {
		batch_free(batch);
		return NULL;
	}
	for (size_t i = 0; i < n; i++)
		if (record_fits(records[i])) {
			batch->items[batch->n].record = records[i];
			batch->items[batch->n].place = batch->n;
			batch->n++;
		}
	return batch;
}

static void records_fail(struct record *const records[], size_t n, const char *text)
{
	for (size_t i = 0; i < n; i++)
		if (records[i]->outcome == OK || records[i]->outcome == REFUSED)
			records[i]->outcome = unavailable(&records[i]->reason, REASON_STORE, "%s", text);
}

void store_record(struct store *store, struct record *const records[], size_t n)
{
	struct batch *batch;

	for (size_t i = 0; i < n; i++)
		records[i]->grant = NULL;
	if (n == 0)
		return;
	batch = n <= STORE_BATCH_MAX ? batch_new(records, n) : NULL;
	if (!batch) {
		records_fail(records, n,
			n <= STORE_BATCH_MAX ? "out of memory" : "more records than a batch may hold");
		return;
	}
	if (batch->n > 0 && !batch_commit(store, batch) && store->undone && batch->n > 1)
		batch_singly(store, batch);
	batch_free(batch);
}
