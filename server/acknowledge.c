/* The acknowledgement's line: whoever opened the release knows its MAC, and nobody else does. A wrong one and
 * an unknown release look alike. */
#include "server/acknowledge.h"

#include "server/answer.h"
#include "server/record.h"
#include "server/server.h"
#include "verifier/memory.h"
#include "verifier/reasons.h"
#include "verifier/request.h"

#include <stdlib.h>
#include <string.h>

static enum outcome parse(struct work *work)
{
	struct request *request = (struct request *)work;
	char ack[ACKNOWLEDGEMENT_SIZE];
	enum outcome outcome;

	outcome = acknowledgement_parse(request->body, ack, sizeof(ack), &work->reason);
	if (outcome != OK)
		return outcome;
	memory_begin();
	if (vault_acknowledgement_valid(request->server->vault, request->part, ack))
		return OK;
	if (memory_was_out())
		return fault(
			&work->reason, REASON_INTERNAL, "the acknowledgement was not checked: out of memory");
	return refused(&work->reason, REASON_NOT_FOUND, "the acknowledgement is not for this release");
}

static bool owe(struct request *request, struct record *record)
{
	if (record->outcome != OK)
		return false;
	record->kind = RECORD_ACKNOWLEDGE;
	strcpy(record->release_id, request->part);
	return true;
}

static void answer(struct work *const batch[], size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		struct request *request = (struct request *)batch[i];

		if (batch[i]->outcome == OK)
			answer_text(request, 204, NULL, NULL, 0);
		else
			answer_problem(request, batch[i]->outcome, &batch[i]->reason);
	}
	answer_send(batch, n);
}

static void acknowledge_free(struct request *request)
{
	free(request);
}

struct request *acknowledge_new(void)
{
	struct request *request = calloc(1, sizeof(*request));

	if (!request)
		return NULL;
	request->kind = "acknowledge";
	request->owe = owe;
	request->free = acknowledge_free;
	return request;
}

const struct step acknowledge_line[] = {
	/* clang-format off */
	{ "parse",  WORKERS,   .one = parse },
	{ "record", COMMITTER, .batch = record_batch, .even_if_refused = true },
	{ "answer", LISTENER,  .batch = answer, .even_if_refused = true },
	{ 0 }
	/* clang-format on */
};
