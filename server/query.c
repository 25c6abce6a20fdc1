/* The auditor's line. A query is itself an event, committed before its first row is read. */
#include "server/query.h"

#include "server/answer.h"
#include "server/record.h"
#include "server/server.h"
#include "store/audit.h"
#include "verifier/reasons.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { VALUE_MAX = 256, CURSOR_MAC = 16, CURSOR_BYTES = 8 + CURSOR_MAC };

/* What a query may say, each at most once. The cursor is good for one set of the others but the limit. */
enum parameter {
	INSTANCE_ID,
	ROLE,
	EVENT,
	OUTCOME,
	REQUEST_ID,
	RELEASE_ID,
	SINCE,
	UNTIL,
	ORDER,
	LIMIT,
	CURSOR,
	PARAMETERS
};

static const char *const parameter_names[PARAMETERS] = { "instance-id", "role", "event", "outcome",
	"request-id", "release-id", "since", "until", "order", "limit", "cursor" };

struct query {
	struct request request; /* first */
	char actor[NAME_SIZE + 16];
	char values[PARAMETERS][VALUE_MAX]; /* as they were given, decoded; "": not given */
	struct audit_filter filter;
	/* the answer, as it grows */
	FILE *out;
	char *text;
	size_t length;
	unsigned rows;
	long long last_seq;
	bool more;
};

/* ---- what is asked */

static int hex_value(char c)
{
	static const char digits[] = "0123456789abcdef";
	const char *found = c ? strchr(digits, c | 0x20) : NULL;

	return found ? (int)(found - digits) : -1;
}

/* Percent-decoding (RFC 3986) of one value; a raw '+' stays one. No control characters come out. */
static bool value_decode(const char *text, size_t length, char value[VALUE_MAX])
{
	size_t n = 0;
	size_t i;

	for (i = 0; i < length && n + 1 < VALUE_MAX; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c == '%') {
			if (i + 2 >= length || hex_value(text[i + 1]) < 0 || hex_value(text[i + 2]) < 0)
				return false;
			c = (unsigned char)(hex_value(text[i + 1]) << 4 | hex_value(text[i + 2]));
			i += 2;
		}
		if (c < 0x20 || c > 0x7e)
			return false;
		value[n++] = (char)c;
	}
	value[n] = '\0';
	return i == length;
}

/* Ties a cursor to its reader, and to the query that it goes on with: everything but the limit. No value
 * holds a line feed. */
static bool cursor_mac(struct query *q, long long seq, unsigned char mac[32])
{
	char text[32 + sizeof(q->actor) + LIMIT * (VALUE_MAX + 1)];
	int used = snprintf(text, sizeof(text), "%lld\n%s", seq, q->actor);
	unsigned i;

	for (i = 0; i < LIMIT; i++)
		used += snprintf(text + used, sizeof(text) - (size_t)used, "\n%s", q->values[i]);
	if (used < 0 || (size_t)used >= sizeof(text))
		return false;
	vault_cursor_mac(
		q->request.server->vault, (struct bytes){ (const unsigned char *)text, (size_t)used }, mac);
	return true;
}

static bool cursor_encode(struct query *q, long long seq, char text[BASE64_SIZE(CURSOR_BYTES)])
{
	unsigned char bytes[8 + 32];
	unsigned i;

	for (i = 0; i < 8; i++)
		bytes[i] = (unsigned char)(seq >> (56 - 8 * i));
	if (!cursor_mac(q, seq, bytes + 8))
		return false;
	base64url_encode((struct bytes){ bytes, CURSOR_BYTES }, text);
	return true;
}

static bool cursor_decode(struct query *q, const char *text)
{
	unsigned char bytes[CURSOR_BYTES];
	unsigned char mac[32];
	size_t length = sizeof(bytes);
	unsigned long long seq = 0;
	unsigned i;

	if (!base64url_decode(text, strlen(text), bytes, &length) || length != sizeof(bytes))
		return false;
	for (i = 0; i < 8; i++)
		seq = seq << 8 | bytes[i];
	if (!cursor_mac(q, (long long)seq, mac) || CRYPTO_memcmp(mac, bytes + 8, CURSOR_MAC) != 0)
		return false;
	q->filter.after_seq = (long long)seq;
	return true;
}

static bool limit_decode(const char *text, unsigned *limit)
{
	size_t digits = strspn(text, "0123456789");

	if (digits == 0 || digits > 6 || text[digits])
		return false;
	*limit = (unsigned)strtoul(text, NULL, 10);
	return *limit >= 1 && *limit <= AUDIT_LIMIT_MAX;
}

static bool parameter_take(struct query *q, const char *name, const char *value)
{
	unsigned i;

	for (i = 0; i < PARAMETERS; i++) {
		if (strcmp(parameter_names[i], name) != 0)
			continue;
		if (q->values[i][0] || !value[0])
			return false;
		strcpy(q->values[i], value);
		return true;
	}
	return false;
}

static const char *or_null(const char *text)
{
	return text[0] ? text : NULL;
}

/* From what was given to what is asked; the cursor last, since it fits one query alone. */
static enum outcome filter_fill(struct query *q, struct reason *reason)
{
	struct audit_filter *filter = &q->filter;
	const char *const *names = parameter_names;

	*filter = (struct audit_filter){ .instance_id = or_null(q->values[INSTANCE_ID]),
		.role = or_null(q->values[ROLE]),
		.event = or_null(q->values[EVENT]),
		.outcome = or_null(q->values[OUTCOME]),
		.request_id = or_null(q->values[REQUEST_ID]),
		.release_id = or_null(q->values[RELEASE_ID]),
		.ascending = strcmp(q->values[ORDER], "ascending") == 0,
		.limit = AUDIT_LIMIT_DEFAULT };
	if (q->values[SINCE][0] && !timestamp_decode(q->values[SINCE], &filter->since_us))
		return refused(
			reason, REASON_MALFORMED, "query: %s is no time in UTC (RFC 3339)", names[SINCE]);
	if (q->values[UNTIL][0] && !timestamp_decode(q->values[UNTIL], &filter->until_us))
		return refused(
			reason, REASON_MALFORMED, "query: %s is no time in UTC (RFC 3339)", names[UNTIL]);
	if (q->values[ORDER][0] && !filter->ascending && strcmp(q->values[ORDER], "descending") != 0)
		return refused(reason, REASON_MALFORMED, "query: order is ascending or descending");
	if (q->values[LIMIT][0] && !limit_decode(q->values[LIMIT], &filter->limit))
		return refused(reason, REASON_MALFORMED, "query: limit is 1 to %d", AUDIT_LIMIT_MAX);
	if (q->values[CURSOR][0] && !cursor_decode(q, q->values[CURSOR]))
		return refused(reason, REASON_MALFORMED, "query: the cursor does not belong to this query");
	return OK;
}

/* What is wrong with the query is told by the parameter's place or its own name, never by its text. */
static enum outcome parameters_parse(struct query *q, struct reason *reason)
{
	const char *at = q->request.query;
	unsigned place = 0;

	while (*at) {
		size_t length = strcspn(at, "&");
		const char *equals = memchr(at, '=', length);
		char name[VALUE_MAX], value[VALUE_MAX];

		place++;
		if (!equals || !value_decode(at, (size_t)(equals - at), name) ||
			!value_decode(equals + 1, length - (size_t)(equals + 1 - at), value) ||
			!parameter_take(q, name, value))
			return refused(reason, REASON_MALFORMED,
				"query: parameter %u is unknown, empty, given twice, or not of its form",
				place);
		at += length;
		at += *at == '&';
	}
	return filter_fill(q, reason);
}

static enum outcome parse(struct work *work)
{
	struct query *q = (struct query *)work;
	const struct audit_access *access = q->request.access;

	if (!access)
		return refused(&work->reason, REASON_UNAUTHORIZED, "nobody of audit_access");
	snprintf(q->actor, sizeof(q->actor), "%s:%s", access->role_name, access->name);
	return parameters_parse(q, &work->reason);
}

static bool owe(struct request *request, struct record *record)
{
	struct query *q = (struct query *)request;

	if (record->outcome != OK)
		return false;
	record->kind = RECORD_EVENT;
	record->event = "audit.queried";
	record->actor = q->actor;
	record->comment = or_null(request->query);
	return true;
}

/* ---- the rows */

static bool row_add(void *context, const struct audit_event *event)
{
	struct query *q = context;

	fputs(q->rows++ ? "," : "", q->out);
	fwrite(event->text.data, 1, event->text.length, q->out);
	q->last_seq = event->seq;
	return !ferror(q->out);
}

static enum outcome rows_read(struct query *q, struct reason *reason)
{
	enum outcome outcome;

	fputs("{\"events\":[", q->out);
	outcome = audit_query(q->request.server->reader, &q->filter, row_add, q, &q->more, reason);
	fputs("]", q->out);
	if (outcome == OK && q->more && q->rows) {
		char cursor[BASE64_SIZE(CURSOR_BYTES)];

		if (!cursor_encode(q, q->last_seq, cursor))
			return fault(reason, REASON_INTERNAL, "the cursor could not be made");
		fprintf(q->out, ",\"next_cursor\":\"%s\"", cursor);
	}
	fputs("}", q->out);
	return outcome;
}

static enum outcome query(struct work *work)
{
	struct query *q = (struct query *)work;
	enum outcome outcome;
	bool whole;

	q->out = open_memstream(&q->text, &q->length);
	if (!q->out)
		return fault(&work->reason, REASON_INTERNAL, "out of memory");
	outcome = rows_read(q, &work->reason);
	whole = !ferror(q->out);
	whole = fclose(q->out) == 0 && whole;
	if (outcome == OK && !whole)
		return fault(&work->reason, REASON_INTERNAL, "out of memory");
	return outcome;
}

static void answer(struct work *const batch[], size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		struct query *q = (struct query *)batch[i];

		if (batch[i]->outcome == OK) {
			answer_text(&q->request, 200, "application/json", q->text, q->length);
			q->text = NULL;
		} else {
			answer_problem(&q->request, batch[i]->outcome, &batch[i]->reason);
		}
	}
	answer_send(batch, n);
}

static void query_free(struct request *request)
{
	struct query *q = (struct query *)request;

	free(q->text);
	free(q);
}

struct request *query_new(void)
{
	struct query *q = calloc(1, sizeof(*q));

	if (!q)
		return NULL;
	q->request.kind = "query";
	q->request.owe = owe;
	q->request.free = query_free;
	return &q->request;
}

const struct step query_line[] = {
	/* clang-format off */
	{ "parse",  WORKERS,   .one = parse },
	{ "record", COMMITTER, .batch = record_batch, .even_if_refused = true },
	{ "query",  READERS,   .one = query },
	{ "answer", LISTENER,  .batch = answer, .even_if_refused = true },
	{ 0 }
	/* clang-format on */
};
