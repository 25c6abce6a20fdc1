/* Walks along the ledger by rule and launch time. Each page is a transaction of its own, and the place of the
 * last row is where the next one begins: a row that comes or goes meanwhile is seen or not, and no row twice.
 * A re-arm of many is nothing but many re-arms: it must never let one instance have two first uses for one
 * reason, however often it is run. */
#include "store/fleet.h"

#include "store/ledger_row.h"
#include "verifier/reasons.h"

#include <stdlib.h>
#include <string.h>

/* Behind every row that was launched before the fleet was. */
static void place_begin(const struct fleet *fleet, struct fleet_place *place)
{
	if (place->begun)
		return;
	place->begun = true;
	place->launch_time = fleet->launched_after - 1;
	memset(place->one_time_hash, 0xff, sizeof(place->one_time_hash));
}

static void place_bind(struct query *query, const struct fleet *fleet, const struct fleet_place *place)
{
	query_text(query, 1, fleet->rule);
	query_integer(query, 2, place->launch_time);
	query_bytes(query, 3, place->one_time_hash, sizeof(place->one_time_hash));
}

/* ---- listing */

struct list {
	const struct fleet *fleet;
	enum ledger_state state;
	struct fleet_place *place;
	bool (*row)(void *context, const struct ledger_row *);
	void *context;
};

/* The state is looked at here and not in SQL: else a page of a rare state would be a walk along all. */
static enum outcome list_body(struct store *store, struct head *head, void *context, struct reason *reason)
{
	const struct list *list = context;
	struct fleet_place next = *list->place;
	struct query *query = sql_query(store->sql,
		"SELECT " LEDGER_ROW_COLUMNS
		" FROM ledger WHERE rule = $1 AND (launch_time, one_time_hash) > "
		"($2, $3) ORDER BY launch_time, one_time_hash LIMIT $4");
	struct ledger_row row;
	bool going = true;
	unsigned n = 0;

	(void)head;
	place_bind(query, list->fleet, list->place);
	query_integer(query, 4, FLEET_PAGE);
	while (going && query_step(query) == STEP_ROW) {
		n++;
		ledger_row_read(query, &row);
		next.launch_time = column_integer(query, LEDGER_ROW_LAUNCH); /* or it would go back */
		memcpy(next.one_time_hash, row.one_time_hash, sizeof(next.one_time_hash));
		if (list->state == LEDGER_NONE || list->state == row.state)
			going = list->row(list->context, &row);
	}
	if (!query_end(query))
		return store_failed(store, reason);
	next.ended = !going || n < FLEET_PAGE;
	*list->place = next;
	return OK;
}

enum outcome fleet_list(struct store *store, const struct fleet *fleet, enum ledger_state state,
	struct fleet_place *place, bool (*row)(void *context, const struct ledger_row *), void *context,
	struct reason *reason)
{
	struct list list = { fleet, state, place, row, context };

	place_begin(fleet, place);
	return store_transaction(store, SQL_READ, list_body, &list, reason);
}

/* ---- re-arming */

struct target {
	unsigned char one_time_hash[32];
	char account[ACCOUNT_ID_SIZE], region[REGION_SIZE], instance[INSTANCE_ID_SIZE];
	long long launch_time;
	bool open, spent;
};

struct campaign {
	const struct fleet *fleet;
	const struct rearm *rearm;
	bool dry;
	struct fleet_place *place;
	struct fleet_count *count;
	unsigned n;
	struct target targets[FLEET_BATCH];
};

static void target_read(struct query *query, struct target *target)
{
	column_exactly(query, 0, target->one_time_hash, sizeof(target->one_time_hash));
	column_text(query, 1, target->account, sizeof(target->account));
	column_text(query, 2, target->region, sizeof(target->region));
	column_text(query, 3, target->instance, sizeof(target->instance));
	target->launch_time = column_integer(query, 4);
	target->open = column_integer(query, 5) > 0;
	target->spent = column_integer(query, 6) > 0;
}

static bool targets_read(struct store *store, struct campaign *campaign)
{
	struct query *query = sql_query(store->sql,
		"SELECT one_time_hash, account, region, instance, launch_time,"
		" (SELECT COUNT(*) FROM rearm WHERE rearm.one_time_hash = ledger.one_time_hash"
		" AND rearm.spent_us IS NULL AND rearm.until_us > $4),"
		" (SELECT COUNT(*) FROM rearm WHERE rearm.one_time_hash = ledger.one_time_hash"
		" AND rearm.spent_us IS NOT NULL AND rearm.reason = $5)"
		" FROM ledger WHERE rule = $1 AND (launch_time, one_time_hash) > ($2, $3)"
		" ORDER BY launch_time, one_time_hash LIMIT $6");

	campaign->n = 0;
	place_bind(query, campaign->fleet, campaign->place);
	query_integer(query, 4, campaign->rearm->now_us);
	query_text(query, 5, campaign->rearm->reason);
	query_integer(query, 6, FLEET_BATCH);
	while (campaign->n < FLEET_BATCH && query_step(query) == STEP_ROW)
		target_read(query, &campaign->targets[campaign->n++]);
	return query_end(query);
}

static bool target_arm(
	struct store *store, struct head *head, const struct campaign *campaign, const struct target *target)
{
	struct rearm rearm = *campaign->rearm;

	rearm.account_id = target->account;
	rearm.region = target->region;
	rearm.instance_id = target->instance;
	return rearm_write(store, head, &rearm, target->one_time_hash);
}

static enum outcome rearm_body(struct store *store, struct head *head, void *context, struct reason *reason)
{
	struct campaign *campaign = context;

	if (!targets_read(store, campaign))
		return store_failed(store, reason);
	for (unsigned i = 0; i < campaign->n && !campaign->dry; i++) {
		const struct target *target = &campaign->targets[i];

		if (!target->open && !target->spent && !target_arm(store, head, campaign, target))
			return store_failed(store, reason);
	}
	return OK;
}

/* Only of what has been committed. */
static void campaign_settle(struct campaign *campaign)
{
	for (unsigned i = 0; i < campaign->n; i++) {
		const struct target *target = &campaign->targets[i];

		campaign->place->launch_time = target->launch_time;
		memcpy(campaign->place->one_time_hash, target->one_time_hash, 32);
		if (target->open)
			campaign->count->open++;
		else if (target->spent)
			campaign->count->spent++;
		else
			campaign->count->armed++;
	}
	campaign->place->ended = campaign->n < FLEET_BATCH;
}

enum outcome fleet_rearm(struct store *store, const struct fleet *fleet, const struct rearm *rearm, bool dry,
	struct fleet_place *place, struct fleet_count *count, struct reason *reason)
{
	struct campaign *campaign = malloc(sizeof(*campaign));
	enum outcome outcome = rearm_check(rearm, reason);

	if (!campaign)
		return unavailable(reason, REASON_STORE, "out of memory");
	*campaign = (struct campaign){ fleet, rearm, dry, place, count };
	place_begin(fleet, place);
	if (outcome == OK)
		outcome = store_transaction(store, dry ? SQL_READ : SQL_WRITE, rearm_body, campaign, reason);
	if (outcome == OK)
		campaign_settle(campaign);
	free(campaign);
	return outcome;
}
