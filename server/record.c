/* The committer's step: from requests to the store's records and back. */
#include "server/record.h"

#include "server/metrics.h"
#include "server/request.h"
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

void record_batch(struct work *const batch[], size_t n)
{
	struct record *records[PIPELINE_BATCH_MAX];
	struct request *owing[PIPELINE_BATCH_MAX];
	size_t owed = 0;
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
	if (owed)
		store_record(owing[0]->server->store, records, owed);
	for (i = 0; i < owed; i++) {
		done = done && !store_failed(records[i]);
		record_end(owing[i]);
	}
	if (owed)
		metrics_committed(owing[0]->server->metrics, owed, done);
}
