/* The auditor's line. A query is itself an event, committed before its first row is read. */
#include "server/query.h"

#include "server/answer.h"
#include "server/audit_parameters.h"
#include "server/record.h"
#include "server/server.h"
#include "verifier/reasons.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct query {
	struct request request; /* first */
	char actor[READER_SIZE];
	struct audit_parameters asked;
	/* the answer, as it grows */
	FILE *out;
	char *text;
	size_t length;
	unsigned rows;
	long long last_seq;
	bool more;
};

/* ---- what is asked */

static void cursor_sign(const void *vault, struct bytes text, unsigned char mac[32])
{
	vault_cursor_mac(vault, text, mac);
}

static enum outcome parse(struct work *work)
{
	struct query *q = (struct query *)work;
	const struct audit_access *access = q->request.access;

	if (!access)
		return refused(&work->reason, REASON_UNAUTHORIZED, "nobody of audit_access");
	snprintf(q->actor, sizeof(q->actor), "%s:%s", access->role_name, access->name);
	return audit_parameters_parse(q->request.query,
		&(struct cursor_key){ cursor_sign, q->request.server->vault, q->actor }, &q->asked,
		&work->reason);
}

static bool owe(struct request *request, struct record *record)
{
	struct query *q = (struct query *)request;

	if (record->outcome != OK)
		return false;
	record->kind = RECORD_EVENT;
	record->event = "audit.queried";
	record->actor = q->actor;
	record->comment = request->query[0] ? request->query : NULL;
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
	outcome = audit_query(q->request.server->reader, &q->asked.filter, row_add, q, &q->more, reason);
	fputs("]", q->out);
	if (outcome == OK && q->more && q->rows) {
		const struct cursor_key key = { cursor_sign, q->request.server->vault, q->actor };
		char cursor[CURSOR_SIZE];

		if (!audit_cursor_make(&q->asked, q->last_seq, &key, cursor))
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
