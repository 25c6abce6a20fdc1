/* Appends to the audit trail: one gapless chain, each event hashed with the hash of the one before, and a row
 * in `find` for what queries ask. Everything here happens inside a writing transaction; it must never change
 * an event that is there, and never append to a trail that is shorter than it was. */
#include "store/inside.h"

#include <stdio.h>
#include <string.h>

void trail_ask(struct store *store)
{
	store->asked_head = sql_query(store->sql, "SELECT seq, hash FROM event ORDER BY seq DESC LIMIT 1");
	query_ask(store->asked_head);
	store->asked_seen = NULL;
	if (store->seen.seq == 0)
		return;
	store->asked_seen = sql_query(store->sql, "SELECT hash FROM event WHERE seq = $1");
	query_integer(store->asked_seen, 1, store->seen.seq);
	query_ask(store->asked_seen);
}

static bool head_take(struct query *query, struct head *head)
{
	*head = (struct head){ 0 };
	if (query_step(query) == STEP_ROW) {
		head->seq = column_integer(query, 0);
		column_exactly(query, 1, head->hash, sizeof(head->hash));
	}
	return query_end(query);
}

/* Does the event that this handle has seen committed still stand there? */
static bool seen_take(struct store *store, bool *stands)
{
	struct query *query = store->asked_seen;

	*stands = store->seen.seq == 0;
	if (*stands)
		return true;
	if (query_step(query) == STEP_ROW) {
		unsigned char hash[32];

		column_exactly(query, 0, hash, sizeof(hash));
		*stands = memcmp(hash, store->seen.hash, 32) == 0;
	}
	return query_end(query);
}

bool trail_head(struct store *store, struct head *head)
{
	struct query *asked = store->asked_head;
	bool stands = false;

	if (head->taken)
		return true;
	store->asked_head = NULL;
	if (!asked || !head_take(asked, head) || !seen_take(store, &stands))
		return false;
	if (!stands)
		sql_complain(store->sql,
			"events that were committed are gone: an older copy was put in its place");
	head->taken = stands;
	return stands;
}

/* ---- interned words */

static unsigned word_slot(const char *text)
{
	unsigned hash = 2166136261u; /* FNV-1a */

	for (; *text; text++)
		hash = (hash ^ (unsigned char)*text) * 16777619u;
	return hash % WORDS_MAX;
}

static bool word_select(struct store *store, const char *text, long long *id)
{
	struct query *query = sql_query(store->sql, "SELECT id FROM word WHERE text = $1");

	*id = 0;
	query_text(query, 1, text);
	if (query_step(query) == STEP_ROW)
		*id = column_integer(query, 0);
	return query_end(query);
}

static bool word_insert(struct store *store, const char *text)
{
	struct query *query = sql_query(store->sql,
		"INSERT INTO word (id, text) VALUES ((SELECT COALESCE(MAX(id), 0) + 1 FROM word), $1)"
		" ON CONFLICT (text) DO NOTHING");

	query_text(query, 1, text);
	return query_run(query, NULL);
}

bool word_id(struct store *store, const char *text, bool add, long long *id)
{
	unsigned slot = word_slot(text);

	*id = store->words.slots[slot].id;
	if (*id > 0 && strcmp(store->words.slots[slot].text, text) == 0)
		return true;
	if (!word_select(store, text, id))
		return false;
	if (*id == 0 && add && (!word_insert(store, text) || !word_select(store, text, id)))
		return false;
	if (*id > 0 && strlen(text) < WORD_SIZE) {
		store->words.slots[slot].id = *id;
		strcpy(store->words.slots[slot].text, text);
	}
	return true;
}

/* ---- appending */

static bool bind_word(struct store *store, struct query *query, int parameter, const char *text)
{
	long long id;

	if (!text || !text[0]) {
		query_text(query, parameter, NULL);
		return true;
	}
	if (!word_id(store, text, true, &id))
		return false;
	query_integer(query, parameter, id);
	return true;
}

static void bind_said(struct query *query, int parameter, const char *text)
{
	query_text(query, parameter, text && text[0] ? text : NULL);
}

static bool find_insert(struct store *store, const struct event *event)
{
	struct query *query = sql_query(store->sql,
		"INSERT INTO find (seq, time, kind, node, instance, release, request, source, outcome, "
		"reason, account,"
		" region, role) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)");

	query_integer(query, 1, event->seq);
	query_integer(query, 2, event->time_us);
	bind_said(query, 5, event->instance_id);
	bind_said(query, 6, event->release_id);
	bind_said(query, 7, event->request_id);
	bind_said(query, 8, event->source);
	return bind_word(store, query, 3, event->event) && bind_word(store, query, 4, event->node) &&
	       bind_word(store, query, 9, event->outcome) && bind_word(store, query, 10, event->reason) &&
	       bind_word(store, query, 11, event->account_id) && bind_word(store, query, 12, event->region) &&
	       bind_word(store, query, 13, event->role) && query_later(query, NULL);
}

static bool event_insert(struct store *store, long long seq, struct bytes text, const unsigned char hash[32])
{
	struct query *query = sql_query(
		store->sql, "INSERT INTO event (seq, bytes, hash) VALUES ($1, $2, $3)");

	query_integer(query, 1, seq);
	query_bytes(query, 2, text.data, text.length);
	query_bytes(query, 3, hash, 32);
	return query_later(query, NULL);
}

bool trail_append(struct store *store, struct head *head, struct event *event)
{
	struct head next = { .taken = true, .moved = true };
	struct bytes text;

	if (!trail_head(store, head))
		return false;
	next.seq = head->seq + 1;
	event->seq = next.seq;
	event->node = store->settings.node;
	event->previous = head->hash;
	if (!event_write(&store->text, event))
		return sql_complain(store->sql, "an event is too long");
	text = (struct bytes){ (const unsigned char *)store->text.data, store->text.used };
	if (!event_hash(text, next.hash))
		return sql_complain(store->sql, "an event cannot be hashed");
	if (!event_insert(store, next.seq, text, next.hash) || !find_insert(store, event))
		return false;
	*head = next;
	return true;
}

bool trail_alarm_due(struct store *store, const char *event, const struct assertion *assertion,
	long long now_us, bool *due)
{
	const char *const words[] = { event, assertion->role, assertion->account_id, assertion->region };
	struct query *query;
	long long ids[4];

	*due = true;
	for (int i = 0; i < 4; i++) {
		if (!word_id(store, words[i], false, &ids[i]))
			return false;
		if (ids[i] == 0)
			return true; /* never written, so never alarmed */
	}
	query = sql_query(store->sql, "SELECT 1 FROM find WHERE kind = $1 AND role = $2 AND account = $3 AND "
				      "region = $4 AND time > $5"
				      " ORDER BY seq DESC LIMIT 1");
	for (int i = 0; i < 4; i++)
		query_integer(query, i + 1, ids[i]);
	query_integer(query, 5, now_us - 3600LL * 1000000);
	*due = query_step(query) != STEP_ROW;
	return query_end(query);
}
