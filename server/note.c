/* What the node writes down by itself while it serves: the committer is the store's only writer, so that goes
 * down a line too. */
#include "server/note.h"

#include "server/record.h"
#include "server/request.h"
#include "server/server.h"
#include "vault/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct note {
	struct request request; /* first */
	const char *what; /* for the log, where it is lost; NULL: it may be */
	char policy_sha256[HEX_SIZE(32)];
};

static bool owe_policy(struct request *request, struct record *record)
{
	record->kind = RECORD_EVENT;
	record->event = "policy.loaded";
	record->request_id = NULL;
	record->source = NULL;
	record->policy_sha256 = ((struct note *)request)->policy_sha256;
	return true;
}

static bool owe_sealed(struct request *request, struct record *record)
{
	record->kind = RECORD_SEALED;
	strcpy(record->release_id, request->part);
	return true;
}

static void end(struct work *const batch[], size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		const struct note *note = (struct note *)batch[i];

		if (batch[i]->outcome != OK && note->what)
			log_line(LOG_ERROR, "event-lost", "name", note->what, "text", batch[i]->reason.text,
				NULL);
		free(batch[i]);
	}
}

static const struct step note_line[] = {
	/* clang-format off */
	{ "record", COMMITTER, .batch = record_batch, .even_if_refused = true },
	{ "end",    LISTENER,  .batch = end, .even_if_refused = true },
	{ 0 }
	/* clang-format on */
};

/* With a place in the pipeline; NULL: no memory, or it is full. */
static struct note *note_new(struct server *server, bool (*owe)(struct request *, struct record *))
{
	struct note *note = calloc(1, sizeof(*note));
	struct timespec now;

	if (!note || !pipeline_reserve(server->pipeline)) {
		free(note);
		return NULL;
	}
	clock_gettime(CLOCK_REALTIME, &now);
	note->request.server = server;
	note->request.owe = owe;
	note->request.now_us = (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000;
	note->request.work.deadline = pipeline_now() + server->config->deadline_ms * 1000000;
	return note;
}

bool note_policy_loaded(struct server *server, const char *policy_sha256)
{
	struct note *note = note_new(server, owe_policy);

	if (!note)
		return false;
	note->what = "policy.loaded";
	snprintf(note->policy_sha256, sizeof(note->policy_sha256), "%s", policy_sha256);
	pipeline_enter(server->pipeline, &note->request.work, note_line);
	return true;
}

void note_sealed(struct server *server, const char *release_id)
{
	struct note *note = note_new(server, owe_sealed);

	if (!note)
		return;
	snprintf(note->request.part, sizeof(note->request.part), "%s", release_id);
	pipeline_enter(server->pipeline, &note->request.work, note_line);
}
