/* When the ledger's old rows go. One batch is under way at most, and none while anybody waits for an answer.
 */
#include "server/expiry.h"

#include "server/pipeline.h"
#include "server/server.h"
#include "store/expire.h"
#include "vault/log.h"

#include <limits.h>
#include <stdlib.h>
#include <time.h>

#define PAUSE_NS (5 * 60 * 1000000000LL)
#define PATIENCE_NS (3600 * 1000000000LL) /* a server that is never idle does it all the same, then */

struct expiry {
	long long due; /* atomic; pipeline_now(); LLONG_MAX: a batch is under way */
};

struct batch {
	struct work work; /* first */
	struct server *server;
	long long now_us;
};

struct expiry *expiry_new(void)
{
	struct expiry *expiry = calloc(1, sizeof(*expiry));

	if (expiry)
		expiry->due = pipeline_now();
	return expiry;
}

void expiry_free(struct expiry *expiry)
{
	free(expiry);
}

static void expire(struct work *const works[], size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct batch *batch = (struct batch *)works[i];
		long long pause = PAUSE_NS;
		unsigned gone;

		works[i]->outcome = store_expire(
			batch->server->store, batch->now_us, &gone, &works[i]->reason);
		if (gone == EXPIRE_BATCH)
			pause = 0;
		__atomic_store_n(&batch->server->expiry->due, pipeline_now() + pause, __ATOMIC_RELAXED);
	}
}

static void end(struct work *const works[], size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (works[i]->outcome != OK)
			log_line(LOG_WARNING, "ledger-not-expired", "text", works[i]->reason.text, NULL);
		free(works[i]);
	}
}

static const struct step expiry_line[] = {
	/* clang-format off */
	{ "expire", COMMITTER, .batch = expire, .even_if_refused = true },
	{ "end",    LISTENER,  .batch = end, .even_if_refused = true },
	{ 0 }
	/* clang-format on */
};

void expiry_look(struct server *server)
{
	long long due = __atomic_load_n(&server->expiry->due, __ATOMIC_RELAXED);
	struct batch *batch;
	struct timespec now;

	if (pipeline_now() < due ||
		(pipeline_under_way(server->pipeline) > 0 && pipeline_now() - due < PATIENCE_NS))
		return;
	batch = calloc(1, sizeof(*batch));
	if (!batch || !pipeline_reserve(server->pipeline)) {
		free(batch);
		return;
	}
	clock_gettime(CLOCK_REALTIME, &now);
	batch->server = server;
	batch->now_us = (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000;
	__atomic_store_n(&server->expiry->due, LLONG_MAX, __ATOMIC_RELAXED);
	pipeline_enter(server->pipeline, &batch->work, expiry_line);
}
