/* The node's own events while it serves: the committer is the store's only writer, so they go down a line
 * too. */
#include "server/note.h"

#include "server/record.h"
#include "server/request.h"
#include "server/server.h"
#include "vault/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct note {
	struct request request; /* first */
	char policy_sha256[HEX_SIZE(32)];
};

static bool owe(struct request *request, struct record *record)
{
	record->kind = RECORD_EVENT;
	record->event = "policy.loaded";
	record->request_id = NULL;
	record->source = NULL;
	record->policy_sha256 = ((struct note *)request)->policy_sha256;
	return true;
}

static void end(struct work *const batch[], size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		if (batch[i]->outcome != OK)
			log_line(LOG_ERROR, "event-lost", "name", "policy.loaded", "text",
				batch[i]->reason.text, NULL);
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

bool note_policy_loaded(struct server *server, const char *policy_sha256)
{
	struct note *note = calloc(1, sizeof(*note));
	struct timespec now;

	if (!note || !pipeline_reserve(server->pipeline)) {
		free(note);
		return false;
	}
	clock_gettime(CLOCK_REALTIME, &now);
	note->request.server = server;
	note->request.owe = owe;
	note->request.now_us = (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000;
	note->request.work.deadline = pipeline_now() + server->config->deadline_ms * 1000000;
	snprintf(note->policy_sha256, sizeof(note->policy_sha256), "%s", policy_sha256);
	pipeline_enter(server->pipeline, &note->request.work, note_line);
	return true;
}
