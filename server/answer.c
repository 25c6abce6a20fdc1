/* One table turns outcomes into HTTP. What a caller gets to read never repeats what it sent, and never tells
 * one denial from another. */
#include "server/answer.h"

#include "server/metrics.h"
#include "server/server.h"
#include "vault/log.h"
#include "verifier/challenge.h"
#include "verifier/reasons.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct shape {
	const char *reason;
	int status;
	const char *code;
	int retry_after; /* seconds, at least; 0: final */
	int spread; /* and so many more at most: who was refused in one moment must not come back in one */
	const char *title;
} shapes[] = {
	{ REASON_MALFORMED, 400, "malformed", 0, 0, "The request is not well-formed." },
	{ REASON_TOO_LARGE, 413, "too-large", 0, 0, "The request is larger than 65536 bytes." },
	{ REASON_UNSUPPORTED_TYPE, 415, "unsupported-type", 0, 0, "Send application/json." },
	{ REASON_NOT_FOUND, 404, "not-found", 0, 0, "There is nothing here." },
	{ REASON_METHOD, 405, "method-not-allowed", 0, 0, "That method is not for this." },
	{ REASON_UNAUTHORIZED, 401, "unauthorized", 0, 0,
		"Send a token, or show a client certificate, that audit_access knows." },
	{ REASON_CHALLENGE, 401, "challenge-expired", 0, 0, "Fetch a new challenge and try again." },
	{ REASON_RULE_HELD, 503, "overloaded", 60, 60, "Too much is under way." },
	{ REASON_ALREADY_RELEASED, 409, "already-released", 0, 0, "This instance has had its release." },
	{ REASON_ALREADY_COLLECTED, 409, "already-released", 0, 0, "This instance has had its release." },
	{ REASON_NOT_VISIBLE_YET, 503, "not-visible-yet", 3, 3,
		"AWS does not show this instance whole yet." },
	{ REASON_UPSTREAM, 503, "upstream-unavailable", 2, 4, "AWS could not be asked." },
	{ REASON_STORE, 503, "store-unavailable", 2, 4, "The store is not available." },
	{ REASON_VAULT, 503, "vault-unavailable", 2, 4, "The vault is not available." },
	{ REASON_SECRET_MISSING, 503, "vault-unavailable", 15, 15, "The vault is not available." },
	{ REASON_OVERLOADED, 503, "overloaded", 2, 8, "Too much is under way." },
	{ REASON_DRAINING, 503, "draining", 1, 2, "This node is going away." },
};
static const struct shape denied = { NULL, 403, "denied", 0, 0, "Denied." };
static const struct shape internal = { NULL, 500, "internal", 5, 5, "An error of ours." };
static const struct shape unavailable_otherwise = { NULL, 503, "overloaded", 2, 8, "Not available now." };

static const struct shape *shape_find(enum outcome outcome, const char *code)
{
	size_t i;

	if (outcome == FAULT)
		return &internal;
	for (i = 0; code && i < sizeof(shapes) / sizeof(shapes[0]); i++)
		if (strcmp(shapes[i].reason, code) == 0)
			return &shapes[i];
	return outcome == REFUSED ? &denied : &unavailable_otherwise;
}

void answer_text(struct request *request, int status, const char *content_type, char *body, size_t length)
{
	free(request->answer.body);
	request->answer = (struct answer){
		.status = status, .content_type = content_type, .body = body, .length = length
	};
}

/* When not even a problem can be formed the bare status has to do. */
static void answer_dump(struct request *request, int status, const char *content_type, json_t *body)
{
	char *text = json_dumps(body, JSON_COMPACT);

	json_decref(body);
	answer_text(request, text ? status : 500, content_type, text, text ? strlen(text) : 0);
}

void answer_json(struct request *request, int status, json_t *body)
{
	answer_dump(request, status, "application/json", body);
}

static int retry_after(const struct request *request, const struct shape *shape)
{
	/* nanoseconds of the request's own: as good as a die */
	return shape->retry_after ? shape->retry_after + (int)(request->began % (shape->spread + 1)) : 0;
}

void answer_problem(struct request *request, enum outcome outcome, const struct reason *reason)
{
	const struct shape *shape = shape_find(outcome, reason->code);
	bool malformed = strcmp(shape->code, REASON_MALFORMED) == 0;
	json_t *body = json_pack("{s:s, s:s, s:i, s:s, s:s, s:b, s:s*}", "type", "about:blank", "title",
		shape->title, "status", shape->status, "code", shape->code, "request_id", request->id,
		"retryable", shape->retry_after > 0, "detail", malformed ? reason->text : NULL);

	answer_dump(request, shape->status, "application/problem+json", body);
	request->answer.retry_after = retry_after(request, shape);
}

void answer_refusal(struct request *request, const char *code)
{
	struct reason reason = { .code = code };

	answer_problem(request, REFUSED, &reason);
}

static void request_log(const struct request *request)
{
	const struct work *work = &request->work;
	const struct assertion *assertion = request->record.assertion;
	bool ours = work->outcome == FAULT || work->outcome == UNAVAILABLE;
	char status[16];
	char took[32];

	snprintf(status, sizeof(status), "%d", request->answer.status);
	snprintf(took, sizeof(took), "%lld", (pipeline_now() - request->began) / 1000000);
	log_line(ours ? LOG_WARNING : LOG_INFO, "answered", "status", status, "outcome",
		outcome_name(work->outcome), "reason", work->outcome == OK ? NULL : work->reason.code, "text",
		work->outcome == OK ? NULL : work->reason.text, "request_id", request->id, "release_id",
		request->record.release_id[0] ? request->record.release_id : NULL, "instance-id",
		assertion ? assertion->instance_id : NULL, "source", request->source, "ms", took, NULL);
}

void answer_send(struct work *const batch[], size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		struct request *request = (struct request *)batch[i];

		request_log(request);
		metrics_decided(request->server->metrics, batch[i]->outcome, batch[i]->reason.code);
	}
	for (i = 0; i < n; i++) {
		struct request *request = (struct request *)batch[i];

		request->resume(request);
	}
}
