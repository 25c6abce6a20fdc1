/* The committer's step: from requests to the store's records and back. */
#include "server/record.h"

#include "server/metrics.h"
#include "server/request.h"
#include "server/sealings.h"
#include "server/server.h"
#include "vault/log.h"
#include "verifier/reasons.h"

#include <string.h>

static void record_begin(struct request *request)
{
	request->record = (struct record){ .now_us = request->now_us,
		.request_id = request->id,
		.source = request->source,
		.outcome = request->work.outcome,
		.reason = request->work.reason };
}

/* The trail has it already; somebody should know now. */
static void alarm_after_restore(const struct request *request)
{
	metrics_after_restore(request->server->metrics);
	log_line(LOG_WARNING, "release-after-restore", "request_id", request->id, "release_id",
		request->record.release_id, "instance-id", request->record.assertion->instance_id, "text",
		"launched before the database was restored: it may have had a release in the lost time",
		NULL);
}

static void record_end(struct request *request)
{
	if (request->record.after_restore)
		alarm_after_restore(request);
	request->work.outcome = request->record.outcome;
	request->work.reason = request->record.reason;
	if (request->recorded)
		request->recorded(request, &request->record);
}

/* A secret that is missing is no failure of the store's. */
static bool store_failed(const struct record *record)
{
	return record->outcome == UNAVAILABLE && strcmp(record->reason.code, REASON_STORE) == 0;
}

/* What was sealed goes along, as far as there is room; nobody waits for what comes of it. */
static size_t sealed_add(struct server *server, struct record *records[], size_t owed)
{
	static struct record sealed[STORE_BATCH_MAX]; /* the committer is one thread */
	size_t n = sealings_take(server->sealings, sealed, STORE_BATCH_MAX - owed);

	for (size_t i = 0; i < n; i++)
		records[owed + i] = &sealed[i];
	return n;
}

void record_batch(struct work *const batch[], size_t n)
{
	struct server *server = ((struct request *)batch[0])->server;
	struct record *records[STORE_BATCH_MAX];
	struct request *owing[PIPELINE_BATCH_MAX];
	size_t owed = 0, sealed;
	bool done = true;
	size_t i;

	_Static_assert((int)PIPELINE_BATCH_MAX <= (int)STORE_BATCH_MAX,
		"a batch of the pipeline is one of the store");
	for (i = 0; i < n; i++) {
		struct request *request = (struct request *)batch[i];

		record_begin(request);
		if (!request->owe(request, &request->record))
			continue;
		owing[owed] = request;
		records[owed++] = &request->record;
	}
	sealed = sealed_add(server, records, owed);
	if (owed + sealed)
		store_record(server->store, records, owed + sealed);
	for (i = 0; i < owed; i++) {
		done = done && !store_failed(records[i]);
		record_end(owing[i]);
	}
	if (owed)
		metrics_committed(server->metrics, owed, done);
}
