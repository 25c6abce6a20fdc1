/* The members' keys, their checkpoints, and restores. A checkpoint's row is written without an event: it
 * tells of one. A restore is an event, and a row that names what is lost, so that a restore which was cut
 * short goes on where it was, and first uses of the lost time are known for what they are. */
#include "store/heads.h"
#include "store/envelopes.h"

#include "store/inside.h"
#include "verifier/encoding.h"
#include "verifier/reasons.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

/* ---- the members' keys */

struct signing {
	struct signer *signer;
	const char *member, *actor;
	long long now_us;
};

static bool signer_read(struct store *store, const char *member, struct signer *signer, bool *found)
{
	struct query *query = sql_query(
		store->sql, "SELECT member, key_id, public_key FROM signer WHERE member = $1");

	*signer = (struct signer){ 0 };
	query_text(query, 1, member);
	*found = query_step(query) == STEP_ROW;
	if (*found) {
		column_text(query, 0, signer->member, sizeof(signer->member));
		column_text(query, 1, signer->key_id, sizeof(signer->key_id));
		column_exactly(query, 2, signer->public_key, sizeof(signer->public_key));
	}
	return query_end(query);
}

static enum outcome signer_get_body(
	struct store *store, struct head *head, void *context, struct reason *reason)
{
	const struct signing *signing = context;
	bool found;

	(void)head;
	if (!signer_read(store, signing->member, signing->signer, &found))
		return store_failed(store, reason);
	return found ? OK
		     : refused(reason, REASON_NOT_FOUND, "no key for checkpoints is pinned for %s",
			       signing->member);
}

enum outcome store_signer_get(
	struct store *store, const char *member, struct signer *signer, struct reason *reason)
{
	struct signing signing = { .signer = signer, .member = member };

	return store_transaction(store, SQL_READ, signer_get_body, &signing, reason);
}

static bool signer_insert(struct store *store, const struct signer *signer)
{
	struct query *query = sql_query(
		store->sql, "INSERT INTO signer (member, key_id, public_key) VALUES ($1, $2, $3)");

	query_text(query, 1, signer->member);
	query_text(query, 2, signer->key_id);
	query_bytes(query, 3, signer->public_key, sizeof(signer->public_key));
	return query_run(query, NULL);
}

static enum outcome signer_put_body(
	struct store *store, struct head *head, void *context, struct reason *reason)
{
	const struct signing *signing = context;
	const struct signer *signer = signing->signer;
	struct signer known;
	char comment[2 * NAME_SIZE + HEX_SIZE(SIGNER_KEY_BYTES)], key[HEX_SIZE(SIGNER_KEY_BYTES)];
	struct event event = { .event = "vault.signer-pinned",
		.outcome = outcome_name(OK),
		.time_us = signing->now_us,
		.actor = signing->actor,
		.comment = comment };
	bool found;

	if (!signer_read(store, signer->member, &known, &found))
		return store_failed(store, reason);
	if (found)
		return refused(reason, REASON_CONFLICT, "member %s signs with the key %s", signer->member,
			known.key_id);
	hex_encode((struct bytes){ signer->public_key, sizeof(signer->public_key) }, key);
	snprintf(comment, sizeof(comment), "member %s, key %s, public key %s", signer->member, signer->key_id,
		key);
	if (!signer_insert(store, signer) || !trail_append(store, head, &event))
		return store_failed(store, reason);
	return OK;
}

enum outcome store_signer_put(
	struct store *store, const struct signer *signer, const char *actor, struct reason *reason)
{
	struct signer copy = *signer;
	struct signing signing = { .signer = &copy, .actor = actor, .now_us = store_clock_us() };

	if (!name_valid(signer->member) || !signer->key_id[0])
		return refused(reason, REASON_MALFORMED, "a signer needs a member's name and a key");
	return store_transaction(store, SQL_WRITE, signer_put_body, &signing, reason);
}

/* ---- the trail's head */

void store_head_seen(const struct store *store, struct signed_head *head)
{
	*head = (struct signed_head){ .seq = store->seen.seq };
	memcpy(head->hash, store->seen.hash, sizeof(head->hash));
}

struct standing {
	const struct signed_head *head;
	bool *stands;
	struct signed_head *newest;
};

/* The bytes themselves, and not only the hash that stands beside them. */
static bool event_stands(struct store *store, const struct signed_head *head, bool *stands)
{
	struct query *query = sql_query(store->sql, "SELECT bytes FROM event WHERE seq = $1");
	unsigned char hash[32];

	query_integer(query, 1, head->seq);
	*stands = query_step(query) == STEP_ROW && event_hash(column_bytes(query, 0), hash) &&
		  memcmp(hash, head->hash, sizeof(hash)) == 0;
	return query_end(query);
}

static bool newest_read(struct store *store, struct signed_head *newest)
{
	struct query *query = sql_query(store->sql,
		"SELECT event.seq, event.hash, find.time FROM event LEFT JOIN find ON find.seq = event.seq"
		" ORDER BY event.seq DESC LIMIT 1");

	*newest = (struct signed_head){ 0 };
	if (query_step(query) == STEP_ROW) {
		newest->seq = column_integer(query, 0);
		column_exactly(query, 1, newest->hash, sizeof(newest->hash));
		newest->time_us = column_integer(query, 2);
	}
	return query_end(query);
}

static enum outcome stands_body(struct store *store, struct head *head, void *context, struct reason *reason)
{
	const struct standing *standing = context;

	(void)head;
	if (!event_stands(store, standing->head, standing->stands) || !newest_read(store, standing->newest))
		return store_failed(store, reason);
	return OK;
}

enum outcome store_head_stands(struct store *store, const struct signed_head *head, bool *stands,
	struct signed_head *newest, struct reason *reason)
{
	struct standing standing = { head, stands, newest };

	*stands = false;
	return store_transaction(store, SQL_READ, stands_body, &standing, reason);
}

/* ---- checkpoints */

static enum outcome checkpoint_put_body(
	struct store *store, struct head *head, void *context, struct reason *reason)
{
	const struct checkpoint *checkpoint = context;
	struct query *query = sql_query(store->sql,
		"INSERT INTO checkpoint (member, node, seq, hash, time_us, seals, signature)"
		" VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (member, node, seq) DO UPDATE SET"
		" hash = excluded.hash, time_us = excluded.time_us, seals = excluded.seals,"
		" signature = excluded.signature");

	(void)head;
	query_text(query, 1, checkpoint->member);
	query_text(query, 2, store->settings.node);
	query_integer(query, 3, checkpoint->head.seq);
	query_bytes(query, 4, checkpoint->head.hash, sizeof(checkpoint->head.hash));
	query_integer(query, 5, checkpoint->head.time_us);
	query_integer(query, 6, checkpoint->seals);
	query_bytes(query, 7, checkpoint->signature, sizeof(checkpoint->signature));
	return query_run(query, NULL) ? OK : store_failed(store, reason);
}

enum outcome store_checkpoint_put(
	struct store *store, const struct checkpoint *checkpoint, struct reason *reason)
{
	struct checkpoint copy = *checkpoint;

	return store_transaction(store, SQL_WRITE, checkpoint_put_body, &copy, reason);
}

struct newest {
	const char *member;
	struct checkpoint *checkpoint;
};

static enum outcome checkpoint_newest_body(
	struct store *store, struct head *head, void *context, struct reason *reason)
{
	const struct newest *newest = context;
	struct checkpoint *checkpoint = newest->checkpoint;
	struct query *query = sql_query(store->sql,
		"SELECT member, seq, hash, time_us, seals, signature FROM checkpoint WHERE member = $1"
		" AND node = $2 ORDER BY seq DESC LIMIT 1");
	bool found;

	(void)head;
	*checkpoint = (struct checkpoint){ 0 };
	query_text(query, 1, newest->member);
	query_text(query, 2, store->settings.node);
	found = query_step(query) == STEP_ROW;
	if (found) {
		column_text(query, 0, checkpoint->member, sizeof(checkpoint->member));
		checkpoint->head.seq = column_integer(query, 1);
		column_exactly(query, 2, checkpoint->head.hash, sizeof(checkpoint->head.hash));
		checkpoint->head.time_us = column_integer(query, 3);
		checkpoint->seals = column_integer(query, 4);
		column_exactly(query, 5, checkpoint->signature, sizeof(checkpoint->signature));
	}
	if (!query_end(query))
		return store_failed(store, reason);
	return found ? OK
		     : refused(reason, REASON_NOT_FOUND, "the store holds no checkpoint of %s for this node",
			       newest->member);
}

enum outcome store_checkpoint_newest(
	struct store *store, const char *member, struct checkpoint *checkpoint, struct reason *reason)
{
	struct newest newest = { member, checkpoint };

	return store_transaction(store, SQL_READ, checkpoint_newest_body, &newest, reason);
}

/* ---- restores */

struct restoring {
	const struct restore *restore;
	struct signed_head *head;
	bool *again;
};

static bool newest_restored(struct store *store, long long *seq)
{
	struct query *query = sql_query(store->sql, "SELECT seq FROM restored ORDER BY seq DESC LIMIT 1");

	*seq = query_step(query) == STEP_ROW ? column_integer(query, 0) : 0;
	return query_end(query);
}

/* Does the restore of that event name this head of this member? */
static bool lost_known(struct store *store, long long restored, const struct lost_head *lost, bool *known)
{
	struct query *query = sql_query(store->sql,
		"SELECT 1 FROM lost WHERE restored = $1 AND member = $2 AND seq = $3 AND hash = $4");

	query_integer(query, 1, restored);
	query_text(query, 2, lost->member);
	query_integer(query, 3, lost->head.seq);
	query_bytes(query, 4, lost->head.hash, sizeof(lost->head.hash));
	*known = query_step(query) == STEP_ROW;
	return query_end(query);
}

/* An earlier run has written all of it, and was cut short before the members had accepted. */
static bool restore_known(struct store *store, const struct restore *restore, bool *known)
{
	long long restored;

	*known = false;
	if (!newest_restored(store, &restored))
		return false;
	*known = restored > 0;
	for (size_t i = 0; *known && i < restore->n_lost; i++)
		if (!lost_known(store, restored, &restore->lost[i], known))
			return false;
	return true;
}

static bool restored_insert(
	struct store *store, const struct restore *restore, long long seq, long long since_us)
{
	struct query *query = sql_query(store->sql,
		"INSERT INTO restored (seq, time_us, since_us, actor, reason) VALUES ($1, $2, $3, $4, $5)");

	query_integer(query, 1, seq);
	query_integer(query, 2, restore->now_us);
	query_integer(query, 3, since_us);
	query_text(query, 4, restore->actor);
	query_text(query, 5, restore->reason);
	return query_run(query, NULL);
}

static bool lost_insert(struct store *store, long long restored, const struct lost_head *lost)
{
	struct query *query = sql_query(store->sql,
		"INSERT INTO lost (restored, member, seq, hash, time_us) VALUES ($1, $2, $3, $4, $5)");

	query_integer(query, 1, restored);
	query_text(query, 2, lost->member);
	query_integer(query, 3, lost->head.seq);
	query_bytes(query, 4, lost->head.hash, sizeof(lost->head.hash));
	query_integer(query, 5, lost->head.time_us);
	return query_run(query, NULL);
}

enum { LOST_TEXT = MEMBERS_MAX * (NAME_SIZE + 80) + 64, COMMENT_MAX = 512 + LOST_TEXT };

/* "disk lost; lost are events 81 to 120, 2026-… to 2026-… (hsm-a)". */
static void restore_comment(
	const struct restore *restore, const struct signed_head *newest, char text[COMMENT_MAX])
{
	char since[TIMESTAMP_SIZE], until[TIMESTAMP_SIZE];
	int used = snprintf(text, COMMENT_MAX, "%.500s", restore->reason);

	timestamp_encode(newest->time_us, since);
	for (size_t i = 0; i < restore->n_lost && used < COMMENT_MAX; i++) {
		const struct lost_head *lost = &restore->lost[i];

		timestamp_encode(lost->head.time_us, until);
		if (lost->head.seq == 0)
			used += snprintf(text + used, COMMENT_MAX - (size_t)used,
				"; %s: does not know what it signed", lost->member);
		else if (lost->head.seq <= newest->seq)
			used += snprintf(text + used, COMMENT_MAX - (size_t)used,
				"; %s: event %lld was another one, signed %s", lost->member, lost->head.seq,
				until);
		else
			used += snprintf(text + used, COMMENT_MAX - (size_t)used,
				"; %s: events %lld to %lld are lost, from %s to %s", lost->member,
				newest->seq + 1, lost->head.seq, since, until);
	}
}

static bool restore_write(struct store *store, struct head *head, const struct restore *restore)
{
	char comment[COMMENT_MAX];
	struct signed_head newest;
	struct event event = { .event = "store.restored",
		.outcome = outcome_name(OK),
		.time_us = restore->now_us,
		.actor = restore->actor,
		.comment = comment };

	if (!newest_read(store, &newest))
		return false;
	restore_comment(restore, &newest, comment);
	if (!trail_append(store, head, &event) || !restored_insert(store, restore, head->seq, newest.time_us))
		return false;
	for (size_t i = 0; i < restore->n_lost; i++)
		if (!lost_insert(store, head->seq, &restore->lost[i]))
			return false;
	return true;
}

static enum outcome restore_body(struct store *store, struct head *head, void *context, struct reason *reason)
{
	const struct restoring *restoring = context;

	if (!trail_head(store, head) || !restore_known(store, restoring->restore, restoring->again) ||
		(!*restoring->again && !restore_write(store, head, restoring->restore)))
		return store_failed(store, reason);
	*restoring->head = (struct signed_head){ .seq = head->seq, .time_us = restoring->restore->now_us };
	memcpy(restoring->head->hash, head->hash, sizeof(head->hash));
	return OK;
}

enum outcome store_restore(struct store *store, const struct restore *restore, struct signed_head *head,
	bool *again, struct reason *reason)
{
	struct restoring restoring = { restore, head, again };

	if (!restore->actor || !restore->reason || restore->n_lost < 1 || restore->n_lost > MEMBERS_MAX)
		return refused(
			reason, REASON_MALFORMED, "a restore needs an actor, a reason and what is lost");
	return store_transaction(store, SQL_WRITE, restore_body, &restoring, reason);
}
