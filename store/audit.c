/* Reads the trail: pages by key, each a short read, so that no reader holds the write-ahead log back; and
 * walks the chain. It must never answer with bytes other than those that were hashed. */
#include "store/audit.h"

#include "store/inside.h"
#include "verifier/encoding.h"
#include "verifier/reasons.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

enum { QUERY_TEXT_MAX = 640, WALK_PAGE = 1000, WINDOW_SMALL = 5000 };

/* ---- queries */

struct page {
	const struct audit_filter *filter;
	bool (*row)(void *context, const struct audit_event *);
	void *context;
	bool *more;
	long long role, kind, outcome; /* ids of the filter's words */
	bool nothing; /* one of the words is nowhere in the trail */
};

static bool filter_word(struct store *store, struct page *page, const char *text, long long *id)
{
	if (!text)
		return true;
	if (!word_id(store, text, false, id))
		return false;
	page->nothing = page->nothing || *id == 0;
	return true;
}

/* Time and seq run nearly together, but a clock may step: so both are asked. A narrow window is found by its
 * index and sorted, a wide one by walking along seq; the `+ 0` tells either engine which. */
static bool window_is_narrow(struct store *store, const struct audit_filter *filter, bool *narrow)
{
	struct query *query;

	*narrow = false;
	if (filter->instance_id || (filter->since_us == 0 && filter->until_us == 0))
		return true;
	query = sql_query(store->sql,
		"SELECT COUNT(*) FROM (SELECT 1 FROM find WHERE time >= $1 AND time < $2 LIMIT $3) AS few");
	query_integer(query, 1, filter->since_us);
	query_integer(query, 2, filter->until_us > 0 ? filter->until_us : LLONG_MAX);
	query_integer(query, 3, WINDOW_SMALL);
	if (query_step(query) == STEP_ROW)
		*narrow = column_integer(query, 0) < WINDOW_SMALL;
	return query_end(query);
}

/* The filter's equalities: a parameter has a number where its condition is there. */
struct condition {
	const char *column, *text; /* text NULL: the word's id */
	long long word;
	bool wanted;
};

enum { CONDITIONS = 6, FIRST_CONDITION = 5 };

static void conditions_fill(const struct page *page, struct condition conditions[CONDITIONS])
{
	const struct audit_filter *filter = page->filter;
	const struct condition all[CONDITIONS] = {
		{ "instance", filter->instance_id, 0, filter->instance_id },
		{ "request", filter->request_id, 0, filter->request_id },
		{ "release", filter->release_id, 0, filter->release_id },
		{ "role", NULL, page->role, filter->role },
		{ "kind", NULL, page->kind, filter->event },
		{ "outcome", NULL, page->outcome, filter->outcome },
	};

	memcpy(conditions, all, sizeof(all));
}

static void page_text(const struct page *page, bool narrow, char text[QUERY_TEXT_MAX])
{
	const struct audit_filter *filter = page->filter;
	const char *time = narrow ? "find.time" : "find.time + 0";
	struct condition conditions[CONDITIONS];
	int parameter = FIRST_CONDITION;
	size_t used;

	conditions_fill(page, conditions);
	used = (size_t)snprintf(text, QUERY_TEXT_MAX,
		"SELECT find.seq, event.bytes, event.hash FROM find JOIN event ON event.seq = find.seq"
		" WHERE find.seq %s $1 AND %s >= $2 AND %s < $3",
		filter->ascending ? ">" : "<", time, time);
	for (int i = 0; i < CONDITIONS; i++)
		if (conditions[i].wanted)
			used += (size_t)snprintf(text + used, QUERY_TEXT_MAX - used, " AND find.%s = $%d",
				conditions[i].column, parameter++);
	snprintf(text + used, QUERY_TEXT_MAX - used, " ORDER BY find.seq%s %s LIMIT $4", narrow ? " + 0" : "",
		filter->ascending ? "ASC" : "DESC");
}

static void page_bind(struct query *query, const struct page *page)
{
	const struct audit_filter *filter = page->filter;
	struct condition conditions[CONDITIONS];
	long long start = filter->after_seq;
	int parameter = FIRST_CONDITION;

	if (start <= 0)
		start = filter->ascending ? 0 : LLONG_MAX;
	query_integer(query, 1, start);
	query_integer(query, 2, filter->since_us);
	query_integer(query, 3, filter->until_us > 0 ? filter->until_us : LLONG_MAX);
	query_integer(query, 4, (long long)filter->limit + 1);
	conditions_fill(page, conditions);
	for (int i = 0; i < CONDITIONS; i++) {
		if (!conditions[i].wanted)
			continue;
		if (conditions[i].text)
			query_text(query, parameter++, conditions[i].text);
		else
			query_integer(query, parameter++, conditions[i].word);
	}
}

static bool event_whole(const struct audit_event *event)
{
	unsigned char hash[32];

	return event_hash(event->text, hash) && memcmp(hash, event->hash, sizeof(hash)) == 0;
}

/* One row more than asked for tells whether others follow. A row whose bytes are not those that were hashed
 * ends it all: which one, and since when, `vouchsafe audit verify` says. */
static bool page_rows(struct store *store, struct query *query, struct page *page)
{
	struct audit_event event;
	bool whole = true;
	unsigned n = 0;

	while (whole && query_step(query) == STEP_ROW) {
		if (n++ == page->filter->limit) {
			*page->more = true;
			break;
		}
		event.seq = column_integer(query, 0);
		event.text = column_bytes(query, 1);
		column_exactly(query, 2, event.hash, sizeof(event.hash));
		whole = event_whole(&event);
		if (!whole || !page->row(page->context, &event))
			break;
	}
	return query_end(query) &&
	       (whole || sql_complain(store->sql,
				 "an event is not what was hashed: run `vouchsafe audit verify`"));
}

static enum outcome page_body(struct store *store, struct head *head, void *context, struct reason *reason)
{
	struct page *page = context;
	const struct audit_filter *filter = page->filter;
	char text[QUERY_TEXT_MAX];
	struct query *query;
	bool narrow;

	(void)head;
	if (!filter_word(store, page, filter->role, &page->role) ||
		!filter_word(store, page, filter->event, &page->kind) ||
		!filter_word(store, page, filter->outcome, &page->outcome) ||
		!window_is_narrow(store, filter, &narrow))
		return store_failed(store, reason);
	if (page->nothing)
		return OK;
	page_text(page, narrow, text);
	query = sql_query_once(store->sql, text);
	if (query)
		page_bind(query, page);
	return page_rows(store, query, page) ? OK : store_failed(store, reason);
}

enum outcome audit_query(struct store *store, const struct audit_filter *filter,
	bool (*row)(void *context, const struct audit_event *), void *context, bool *more,
	struct reason *reason)
{
	struct page page = { .filter = filter, .row = row, .context = context, .more = more };

	*more = false;
	if (filter->limit < 1 || filter->limit > AUDIT_LIMIT_MAX)
		return refused(reason, REASON_MALFORMED, "limit: 1 to %d", AUDIT_LIMIT_MAX);
	return store_transaction(store, SQL_READ, page_body, &page, reason);
}

/* ---- the whole chain */

static bool ends_with(struct bytes text, const char *end)
{
	size_t length = strlen(end);

	return text.length >= length && memcmp(text.data + text.length - length, end, length) == 0;
}

static bool begins_with(struct bytes text, const char *start)
{
	size_t length = strlen(start);

	return text.length >= length && memcmp(text.data, start, length) == 0;
}

/* `previous` is the last member and `seq` the first, both as event.c writes them. */
static enum outcome link_verify(
	const struct audit_event *event, const struct head *before, struct reason *reason)
{
	unsigned char hash[32];
	char hex[HEX_SIZE(32)], start[40], end[100];

	if (event->seq != before->seq + 1)
		return refused(reason, REASON_CHAIN_BROKEN, "event %lld is gone", before->seq + 1);
	if (!event_hash(event->text, hash))
		return unavailable(reason, REASON_STORE, "an event cannot be hashed");
	if (memcmp(hash, event->hash, sizeof(hash)) != 0)
		return refused(reason, REASON_CHAIN_BROKEN, "event %lld is not what was hashed", event->seq);
	hex_encode((struct bytes){ before->hash, 32 }, hex);
	snprintf(start, sizeof(start), "{\"seq\":%lld,", event->seq);
	snprintf(end, sizeof(end), ",\"previous\":\"%s\"}", hex);
	if (!begins_with(event->text, start) || !ends_with(event->text, end))
		return refused(reason, REASON_CHAIN_BROKEN, "event %lld does not follow the one before it",
			event->seq);
	return OK;
}

struct walk {
	struct head at;
	bool ended;
};

static enum outcome walk_rows(struct query *query, struct walk *walk, struct reason *reason)
{
	enum outcome outcome = OK;
	struct audit_event event;
	unsigned n = 0;

	while (outcome == OK && query_step(query) == STEP_ROW) {
		n++;
		event.seq = column_integer(query, 0);
		event.text = column_bytes(query, 1);
		column_exactly(query, 2, event.hash, sizeof(event.hash));
		outcome = link_verify(&event, &walk->at, reason);
		walk->at.seq = event.seq;
		memcpy(walk->at.hash, event.hash, sizeof(event.hash));
	}
	walk->ended = n < WALK_PAGE;
	return outcome;
}

/* The newest event cannot be missed by the one behind it; its row in `find` misses it. */
static enum outcome tail_verify(struct store *store, const struct head *last, struct reason *reason)
{
	struct query *query = sql_query(store->sql, "SELECT MAX(seq) FROM find");
	long long newest = 0;

	if (query_step(query) == STEP_ROW)
		newest = column_integer(query, 0);
	if (!query_end(query))
		return store_failed(store, reason);
	if (newest > last->seq)
		return refused(reason, REASON_CHAIN_BROKEN, "event %lld is gone", last->seq + 1);
	return OK;
}

static enum outcome walk_body(struct store *store, struct head *head, void *context, struct reason *reason)
{
	struct walk *walk = context;
	struct query *query = sql_query(
		store->sql, "SELECT seq, bytes, hash FROM event WHERE seq > $1 ORDER BY seq LIMIT $2");
	enum outcome outcome;

	(void)head;
	query_integer(query, 1, walk->at.seq);
	query_integer(query, 2, WALK_PAGE);
	outcome = walk_rows(query, walk, reason);
	if (!query_end(query))
		return store_failed(store, reason);
	return outcome == OK && walk->ended ? tail_verify(store, &walk->at, reason) : outcome;
}

enum outcome audit_verify(struct store *store, long long *events, struct reason *reason)
{
	struct walk walk = { 0 };
	enum outcome outcome;

	do
		outcome = store_transaction(store, SQL_READ, walk_body, &walk, reason);
	while (outcome == OK && !walk.ended);
	*events = walk.at.seq;
	return outcome;
}
