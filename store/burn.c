/* Who has had the one use: the statements that everything else is there for. Whether an instance's release is
 * granted is decided by the number of rows that an INSERT or UPDATE changed, under the write lock, never by
 * what was read before. A policy that changed cannot re-arm a row: only one that was itself granted once per
 * launch gives way to a later launch. */
#include "store/burn.h"

#include <stdio.h>

#define HOUR_US (3600LL * 1000000)

#define COLUMNS_LEDGER                                                                                       \
	"INSERT INTO ledger (one_time_hash, account, region, instance, role, rule, release, recipient, "     \
	"secrets,"                                                                                           \
	" once_per_launch, launch_time, granted_us, retry_until_us, acknowledged_us, collected)"
#define VALUES_LEDGER " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, NULL, 1)"
#define OR_NOTHING " ON CONFLICT (one_time_hash) DO NOTHING"
#define OR_REPLACE                                                                                           \
	" ON CONFLICT (one_time_hash) DO UPDATE SET role = excluded.role, rule = excluded.rule,"             \
	" release = excluded.release, recipient = excluded.recipient, secrets = excluded.secrets,"           \
	" once_per_launch = excluded.once_per_launch, launch_time = excluded.launch_time,"                   \
	" granted_us = excluded.granted_us, retry_until_us = excluded.retry_until_us,"                       \
	" acknowledged_us = NULL, collected = 1, sealed_us = NULL, conflicts = 0, conflict_us = NULL"
#define OR_LATER_LAUNCH                                                                                      \
	OR_REPLACE " WHERE ledger.once_per_launch = 1 AND excluded.launch_time > ledger.launch_time"

static const char *const burn_texts[] = {
	[BURN_ONCE] = COLUMNS_LEDGER VALUES_LEDGER OR_NOTHING,
	[BURN_PER_LAUNCH] = COLUMNS_LEDGER VALUES_LEDGER OR_LATER_LAUNCH,
	[BURN_REARMED] = COLUMNS_LEDGER VALUES_LEDGER OR_REPLACE,
};

/* *one: it changed exactly one row. */
static bool run_counted(struct query *query, bool *one)
{
	long long affected = 0;

	*one = false;
	if (!query_run(query, &affected))
		return false;
	*one = affected == 1;
	return true;
}

bool ledger_burn(struct store *store, const struct burn *burn, enum burn_how how, long long *affected)
{
	struct query *query = sql_query(store->sql, burn_texts[how]);
	char rule[NAME_SIZE];

	*affected = 0;
	snprintf(rule, sizeof(rule), "%s", burn->rule ? burn->rule : "");
	query_bytes(query, 1, burn->one_time_hash, 32);
	query_text(query, 2, burn->assertion->account_id);
	query_text(query, 3, burn->assertion->region);
	query_text(query, 4, burn->assertion->instance_id);
	query_text(query, 5, burn->assertion->role);
	query_text(query, 6, rule);
	query_text(query, 7, burn->release_id);
	query_bytes(query, 8, burn->recipient_sha256, 32);
	query_text(query, 9, burn->secrets);
	query_integer(query, 10, burn->once_per_launch);
	query_integer(query, 11, burn->launch_time);
	query_integer(query, 12, burn->now_us);
	query_integer(query, 13, burn->retry_until_us);
	return query_later(query, affected);
}

bool ledger_rule_count(struct store *store, const char *rule, unsigned most, long long now_us, long long *n)
{
	struct query *query = sql_query(store->sql, "SELECT COUNT(*) FROM (SELECT 1 FROM ledger WHERE rule = "
						    "$1 AND granted_us > $2 LIMIT $3) AS recent");

	*n = 0;
	query_text(query, 1, rule);
	query_integer(query, 2, now_us - HOUR_US);
	query_integer(query, 3, most);
	if (query_step(query) == STEP_ROW)
		*n = column_integer(query, 0);
	return query_end(query);
}

/* ---- reading a row */

#define SELECT_LEDGER                                                                                        \
	"SELECT release, rule, secrets, account, region, instance, role, one_time_hash, recipient, "         \
	"granted_us,"                                                                                        \
	" retry_until_us, acknowledged_us, collected, once_per_launch, launch_time FROM ledger WHERE "

static void entry_take(struct query *query, struct ledger_entry *entry)
{
	*entry = (struct ledger_entry){ 0 };
	column_text(query, 0, entry->release_id, sizeof(entry->release_id));
	column_text(query, 1, entry->rule, sizeof(entry->rule));
	column_text(query, 2, entry->secrets, sizeof(entry->secrets));
	column_text(query, 3, entry->account, sizeof(entry->account));
	column_text(query, 4, entry->region, sizeof(entry->region));
	column_text(query, 5, entry->instance, sizeof(entry->instance));
	column_text(query, 6, entry->role, sizeof(entry->role));
	column_exactly(query, 7, entry->one_time_hash, sizeof(entry->one_time_hash));
	column_exactly(query, 8, entry->recipient_sha256, sizeof(entry->recipient_sha256));
	entry->granted_us = column_integer(query, 9);
	entry->retry_until_us = column_integer(query, 10);
	entry->acknowledged = !column_null(query, 11);
	entry->acknowledged_us = column_integer(query, 11);
	entry->collected = (unsigned)column_integer(query, 12);
	entry->once_per_launch = column_integer(query, 13) == 1;
	entry->launch_time = column_integer(query, 14);
}

static bool entry_read(struct query *query, struct ledger_entry *entry, bool *found)
{
	*found = query_step(query) == STEP_ROW;
	if (*found)
		entry_take(query, entry);
	return query_end(query);
}

bool ledger_of_instance(
	struct store *store, const unsigned char one_time_hash[32], struct ledger_entry *entry, bool *found)
{
	struct query *query = sql_query(store->sql, SELECT_LEDGER "one_time_hash = $1");

	query_bytes(query, 1, one_time_hash, 32);
	return entry_read(query, entry, found);
}

#define EIGHT(a, b, c, d, e, f, g, h) "$" #a ",$" #b ",$" #c ",$" #d ",$" #e ",$" #f ",$" #g ",$" #h

bool ledger_of_releases(struct store *store, const char *const release_ids[], size_t n,
	void (*row)(void *context, const struct ledger_entry *), void *context)
{
	/* clang-format off */
	struct query *query = sql_query(store->sql, SELECT_LEDGER "release IN ("
		EIGHT(1, 2, 3, 4, 5, 6, 7, 8) "," EIGHT(9, 10, 11, 12, 13, 14, 15, 16) ","
		EIGHT(17, 18, 19, 20, 21, 22, 23, 24) "," EIGHT(25, 26, 27, 28, 29, 30, 31, 32) ")");
	/* clang-format on */
	struct ledger_entry entry;

	for (size_t i = 0; i < LEDGER_RELEASES_MAX; i++)
		query_text(query, (int)i + 1, i < n ? release_ids[i] : NULL);
	while (query_step(query) == STEP_ROW) {
		entry_take(query, &entry);
		row(context, &entry);
	}
	return query_end(query);
}

/* ---- collecting, acknowledging */

bool ledger_collect(struct store *store, const char *release_id, bool *counted)
{
	struct query *query = sql_query(
		store->sql, "UPDATE ledger SET collected = collected + 1 WHERE release = $1");

	query_text(query, 1, release_id);
	return run_counted(query, counted);
}

bool ledger_acknowledge(struct store *store, const char *release_id, long long now_us, long long *affected)
{
	struct query *query = sql_query(store->sql,
		"UPDATE ledger SET acknowledged_us = $2 WHERE release = $1 AND acknowledged_us IS NULL");

	*affected = 0;
	query_text(query, 1, release_id);
	query_integer(query, 2, now_us);
	return query_later(query, affected);
}

bool ledger_sealed(struct store *store, const char *release_id, long long now_us)
{
	struct query *query = sql_query(
		store->sql, "UPDATE ledger SET sealed_us = $2 WHERE release = $1 AND sealed_us IS NULL");

	query_text(query, 1, release_id);
	query_integer(query, 2, now_us);
	return query_later(query, NULL);
}

bool ledger_conflict(struct store *store, const char *release_id, long long now_us)
{
	struct query *query = sql_query(store->sql,
		"UPDATE ledger SET conflicts = conflicts + 1, conflict_us = $2 WHERE release = $1");

	query_text(query, 1, release_id);
	query_integer(query, 2, now_us);
	return query_later(query, NULL);
}

bool ledger_touch(struct store *store, const char *release_id)
{
	struct query *query = sql_query(
		store->sql, "UPDATE ledger SET acknowledged_us = acknowledged_us WHERE release = $1");

	query_text(query, 1, release_id);
	return query_later(query, NULL);
}

/* ---- re-arms */

static void rearm_name(struct query *query, long long *id, char comment[REARM_COMMENT_SIZE])
{
	char actor[REARM_ACTOR_SIZE], why[REARM_REASON_SIZE];

	*id = column_integer(query, 0);
	column_text(query, 1, actor, sizeof(actor));
	column_text(query, 2, why, sizeof(why));
	snprintf(comment, REARM_COMMENT_SIZE, "re-arm %lld by %s: %s", *id, actor, why);
}

static bool rearm_find(
	struct store *store, const struct burn *burn, long long *id, char comment[REARM_COMMENT_SIZE])
{
	struct query *query = sql_query(store->sql,
		"SELECT id, actor, reason FROM rearm WHERE one_time_hash = $1 AND spent_us IS NULL AND "
		"until_us > $2"
		" AND (recipient IS NULL OR recipient = $3) ORDER BY id LIMIT 1");

	*id = 0;
	query_bytes(query, 1, burn->one_time_hash, 32);
	query_integer(query, 2, burn->now_us);
	query_bytes(query, 3, burn->recipient_sha256, 32);
	if (query_step(query) == STEP_ROW)
		rearm_name(query, id, comment);
	return query_end(query);
}

struct query *rearm_ask_open(struct store *store, long long now_us)
{
	struct query *query = sql_query(
		store->sql, "SELECT 1 FROM rearm WHERE spent_us IS NULL AND until_us > $1 LIMIT 1");

	query_integer(query, 1, now_us);
	query_ask(query);
	return query;
}

bool rearm_any_open(struct query *asked, bool *open)
{
	*open = query_step(asked) == STEP_ROW;
	return query_end(asked);
}

bool rearm_spend_burned(struct store *store, const struct burn *burn, long long *affected)
{
	struct query *query = sql_query(store->sql,
		"UPDATE rearm SET spent_us = $2, spent_release = $3 WHERE id = (SELECT MIN(id) FROM rearm"
		" WHERE one_time_hash = $1 AND spent_us IS NULL AND until_us > $2)"
		" AND EXISTS (SELECT 1 FROM ledger WHERE release = $3)");

	*affected = 0;
	query_bytes(query, 1, burn->one_time_hash, 32);
	query_integer(query, 2, burn->now_us);
	query_text(query, 3, burn->release_id);
	return query_later(query, affected);
}

bool rearm_spent_by(struct store *store, const unsigned char one_time_hash[32], const char *release_id,
	char comment[REARM_COMMENT_SIZE])
{
	struct query *query = sql_query(store->sql,
		"SELECT id, actor, reason FROM rearm WHERE one_time_hash = $1 AND spent_release = $2");
	long long id;

	query_bytes(query, 1, one_time_hash, 32);
	query_text(query, 2, release_id);
	if (query_step(query) == STEP_ROW)
		rearm_name(query, &id, comment);
	return query_end(query);
}

bool rearm_spend(struct store *store, const struct burn *burn, bool *spent, char comment[REARM_COMMENT_SIZE])
{
	struct query *query;
	long long id;

	*spent = false;
	comment[0] = '\0';
	if (!rearm_find(store, burn, &id, comment))
		return false;
	if (id == 0)
		return true;
	query = sql_query(store->sql,
		"UPDATE rearm SET spent_us = $2, spent_release = $3 WHERE id = $1 AND spent_us IS NULL");
	query_integer(query, 1, id);
	query_integer(query, 2, burn->now_us);
	query_text(query, 3, burn->release_id);
	return run_counted(query, spent);
}
