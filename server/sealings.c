/* A ring of release ids under a mutex, held for a copy of one at a time. */
#include "server/sealings.h"

#include "server/record.h"
#include "server/request.h"
#include "server/server.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

struct sealings {
	pthread_mutex_t mutex;
	size_t first, n;
	struct {
		char release_id[RELEASE_ID_SIZE];
		long long us;
	} ring[SEALINGS_MAX];
};

struct sealings *sealings_new(void)
{
	struct sealings *sealings = calloc(1, sizeof(*sealings));

	if (sealings)
		pthread_mutex_init(&sealings->mutex, NULL);
	return sealings;
}

void sealings_free(struct sealings *sealings)
{
	if (!sealings)
		return;
	pthread_mutex_destroy(&sealings->mutex);
	free(sealings);
}

void sealings_put(struct sealings *sealings, const char *release_id, long long now_us)
{
	pthread_mutex_lock(&sealings->mutex);
	if (sealings->n < SEALINGS_MAX) {
		size_t at = (sealings->first + sealings->n++) % SEALINGS_MAX;

		snprintf(sealings->ring[at].release_id, RELEASE_ID_SIZE, "%s", release_id);
		sealings->ring[at].us = now_us;
	}
	pthread_mutex_unlock(&sealings->mutex);
}

size_t sealings_take(struct sealings *sealings, struct record records[], size_t room)
{
	size_t taken = 0;

	pthread_mutex_lock(&sealings->mutex);
	while (taken < room && sealings->n > 0) {
		struct record *record = &records[taken++];

		*record = (struct record){
			.kind = RECORD_SEALED, .now_us = sealings->ring[sealings->first].us, .outcome = OK
		};
		snprintf(record->release_id, RELEASE_ID_SIZE, "%s",
			sealings->ring[sealings->first].release_id);
		sealings->first = (sealings->first + 1) % SEALINGS_MAX;
		sealings->n--;
	}
	pthread_mutex_unlock(&sealings->mutex);
	return taken;
}

/* ---- the line */

static bool owe_nothing(struct request *request, struct record *record)
{
	(void)request;
	(void)record;
	return false;
}

static void end(struct work *const batch[], size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(batch[i]);
}

static const struct step flush_line[] = {
	/* clang-format off */
	{ "record", COMMITTER, .batch = record_batch, .even_if_refused = true },
	{ "end",    LISTENER,  .batch = end, .even_if_refused = true },
	{ 0 }
	/* clang-format on */
};

static bool some_wait(struct sealings *sealings)
{
	bool some;

	pthread_mutex_lock(&sealings->mutex);
	some = sealings->n > 0;
	pthread_mutex_unlock(&sealings->mutex);
	return some;
}

void sealings_flush(struct server *server)
{
	struct request *request;

	if (!some_wait(server->sealings))
		return;
	request = calloc(1, sizeof(*request));
	if (!request || !pipeline_reserve(server->pipeline)) {
		free(request);
		return;
	}
	request->server = server;
	request->owe = owe_nothing;
	request->work.deadline = pipeline_now() + server->config->deadline_ms * 1000000;
	pipeline_enter(server->pipeline, &request->work, flush_line);
}
