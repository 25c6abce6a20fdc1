/* The ledger as operators see it: what an instance has had, and the one way to let it have a release again. A
 * re-arm is a row of its own, kept for ever, written with its event in one transaction; it never touches the
 * grant that is there, so that a re-arm which nobody spends changes nothing. */
#include "store/ledger.h"

#include "store/burn.h"
#include "store/ledger_row.h"
#include "verifier/reasons.h"

#include <stdio.h>
#include <string.h>

#define SECONDS_OF_YEAR_10000 253402300800LL

const char *ledger_state_name(enum ledger_state state)
{
	static const char *const names[LEDGER_STATES] = { "none", "granted", "sealed", "acknowledged",
		"conflicting" };

	return names[state];
}

/* 0 for what is no time of RFC 3339's. */
static long long column_seconds(struct query *query, int column)
{
	long long seconds = column_integer(query, column);

	return seconds >= 0 && seconds < SECONDS_OF_YEAR_10000 ? seconds : 0;
}

static enum ledger_state state_of(const struct ledger_row *row)
{
	if (row->conflicts > 0)
		return LEDGER_CONFLICTING;
	if (row->acknowledged_us > 0)
		return LEDGER_ACKNOWLEDGED;
	return row->sealed_us > 0 ? LEDGER_SEALED : LEDGER_GRANTED;
}

void ledger_row_read(struct query *query, struct ledger_row *row)
{
	*row = (struct ledger_row){ 0 };
	column_text(query, 0, row->account, sizeof(row->account));
	column_text(query, 1, row->region, sizeof(row->region));
	column_text(query, 2, row->instance, sizeof(row->instance));
	column_text(query, 3, row->role, sizeof(row->role));
	column_text(query, 4, row->release_id, sizeof(row->release_id));
	column_exactly(query, 5, row->one_time_hash, sizeof(row->one_time_hash));
	column_exactly(query, 6, row->recipient_sha256, sizeof(row->recipient_sha256));
	column_text(query, 7, row->rule, sizeof(row->rule));
	column_text(query, 8, row->secrets, sizeof(row->secrets));
	row->launch_time = column_seconds(query, LEDGER_ROW_LAUNCH);
	row->granted_us = column_integer(query, 10);
	row->retry_until_us = column_integer(query, 11);
	row->sealed_us = column_integer(query, 12);
	row->acknowledged_us = column_integer(query, 13);
	row->conflict_us = column_integer(query, 14);
	row->collected = column_count(query, 15);
	row->conflicts = column_count(query, 16);
	row->state = state_of(row);
}

struct show {
	const unsigned char *one_time_hash;
	struct ledger_row *row;
};

static bool rearm_read(struct store *store, const unsigned char hash[32], struct ledger_row *row, bool *found)
{
	struct query *query = sql_query(store->sql,
		"SELECT armed_us, until_us, spent_us, actor, reason FROM rearm WHERE one_time_hash = $1"
		" ORDER BY id DESC LIMIT 1");

	query_bytes(query, 1, hash, 32);
	*found = query_step(query) == STEP_ROW;
	if (*found) {
		row->armed_us = column_integer(query, 0);
		row->armed_until_us = column_integer(query, 1);
		row->spent_us = column_integer(query, 2);
		column_text(query, 3, row->armed_by, sizeof(row->armed_by));
		column_text(query, 4, row->armed_reason, sizeof(row->armed_reason));
	}
	return query_end(query);
}

static bool row_find(struct store *store, const unsigned char hash[32], struct ledger_row *row, bool *found)
{
	struct query *query = sql_query(
		store->sql, "SELECT " LEDGER_ROW_COLUMNS " FROM ledger WHERE one_time_hash = $1");

	query_bytes(query, 1, hash, 32);
	*found = query_step(query) == STEP_ROW;
	if (*found)
		ledger_row_read(query, row);
	return query_end(query);
}

static enum outcome show_body(struct store *store, struct head *head, void *context, struct reason *reason)
{
	const struct show *show = context;
	bool granted, armed;

	(void)head;
	if (!row_find(store, show->one_time_hash, show->row, &granted) ||
		!rearm_read(store, show->one_time_hash, show->row, &armed))
		return store_failed(store, reason);
	if (!granted && !armed)
		return refused(reason, REASON_NOT_FOUND, "this instance has had no release and no re-arm");
	return OK;
}

enum outcome ledger_show(struct store *store, const char *account_id, const char *region,
	const char *instance_id, struct ledger_row *row, struct reason *reason)
{
	unsigned char hash[32];
	struct show show = { hash, row };

	*row = (struct ledger_row){ 0 };
	if (!one_time_hash(account_id, region, instance_id, hash))
		return unavailable(reason, REASON_STORE, "the one-time hash cannot be computed");
	return store_transaction(store, SQL_READ, show_body, &show, reason);
}

/* ---- re-arming */

struct arming {
	const struct rearm *rearm;
	unsigned char one_time_hash[32];
};

static bool rearm_is_open(struct store *store, const struct arming *arming, bool *open)
{
	struct query *query = sql_query(store->sql, "SELECT 1 FROM rearm WHERE one_time_hash = $1 AND "
						    "spent_us IS NULL AND until_us > $2 LIMIT 1");

	query_bytes(query, 1, arming->one_time_hash, 32);
	query_integer(query, 2, arming->rearm->now_us);
	*open = query_step(query) == STEP_ROW;
	return query_end(query);
}

static bool rearm_insert(
	struct store *store, const struct rearm *rearm, const unsigned char one_time_hash[32])
{
	struct query *query = sql_query(store->sql,
		"INSERT INTO rearm (id, one_time_hash, recipient, armed_us, until_us, actor, reason)"
		" VALUES ((SELECT COALESCE(MAX(id), 0) + 1 FROM rearm), $1, $2, $3, $4, $5, $6)");

	query_bytes(query, 1, one_time_hash, 32);
	query_bytes(query, 2, rearm->recipient_sha256, rearm->recipient_sha256 ? 32 : 0);
	query_integer(query, 3, rearm->now_us);
	query_integer(query, 4, rearm->until_us);
	query_text(query, 5, rearm->actor);
	query_text(query, 6, rearm->reason);
	return query_run(query, NULL);
}

bool rearm_write(struct store *store, struct head *head, const struct rearm *rearm,
	const unsigned char one_time_hash[32])
{
	struct event event = { .event = "ledger.rearmed",
		.outcome = outcome_name(OK),
		.time_us = rearm->now_us,
		.comment = rearm->reason,
		.actor = rearm->actor,
		.instance_id = rearm->instance_id,
		.account_id = rearm->account_id,
		.region = rearm->region,
		.one_time_hash = one_time_hash,
		.recipient_sha256 = rearm->recipient_sha256 };

	return rearm_insert(store, rearm, one_time_hash) && trail_append(store, head, &event);
}

static enum outcome rearm_body(struct store *store, struct head *head, void *context, struct reason *reason)
{
	const struct arming *arming = context;
	bool open;

	if (!rearm_is_open(store, arming, &open))
		return store_failed(store, reason);
	if (open)
		return refused(reason, REASON_CONFLICT, "a re-arm of this instance is open and not spent");
	if (!rearm_write(store, head, arming->rearm, arming->one_time_hash))
		return store_failed(store, reason);
	return OK;
}

static bool text_fits(const char *text, size_t size)
{
	return text && text[0] && strlen(text) < size;
}

enum outcome rearm_check(const struct rearm *rearm, struct reason *reason)
{
	if (!text_fits(rearm->reason, REARM_REASON_SIZE) || !text_fits(rearm->actor, REARM_ACTOR_SIZE))
		return refused(reason, REASON_MALFORMED,
			"reason (up to %d bytes) and actor (up to %d) are mandatory", REARM_REASON_SIZE - 1,
			REARM_ACTOR_SIZE - 1);
	if (rearm->until_us <= rearm->now_us)
		return refused(reason, REASON_MALFORMED, "until: is over already");
	return OK;
}

enum outcome ledger_rearm(struct store *store, const struct rearm *rearm, struct reason *reason)
{
	struct arming arming = { .rearm = rearm };
	enum outcome outcome = rearm_check(rearm, reason);

	if (outcome != OK)
		return outcome;
	if (!account_id_valid(rearm->account_id) || !region_valid(rearm->region) ||
		!instance_id_valid(rearm->instance_id))
		return refused(
			reason, REASON_MALFORMED, "account-id, region or instance-id: not of that form");
	if (!one_time_hash(rearm->account_id, rearm->region, rearm->instance_id, arming.one_time_hash))
		return unavailable(reason, REASON_STORE, "the one-time hash cannot be computed");
	return store_transaction(store, SQL_WRITE, rearm_body, &arming, reason);
}
