/* Asks the server, and asks again. Must never take a refusal for a reason to ask again, nor an outage for a
 * refusal, nor show bytes of an answer to a terminal unchecked. */
#include "agent/request.h"

#include "aws/http.h"
#include "verifier/json.h"

#include <limits.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

enum { PROBLEM_MAX = 64 * 1024, WORD_SIZE = 64, TRY_SECONDS = 30 };

/* One request of ours. */
struct exchange {
	const char *what; /* for people: "the release" */
	char url[512];
	struct bytes body;
	int expected; /* the status of success */
	size_t answer_max;
	struct answer *answer; /* filled in from it; NULL: the answer has no body */
};

/* What the server says about a request that it does not grant (RFC 9457). */
struct problem {
	char code[WORD_SIZE];
	char request_id[WORD_SIZE];
};

void answer_clear(struct answer *answer)
{
	OPENSSL_clear_free(answer->sealed, answer->sealed_length);
	*answer = (struct answer){ 0 };
}

enum agent_exit request_meaning(int status, const char *code, const char **text)
{
	static const struct meaning {
		int from, to;
		const char *code; /* NULL: whatever it is */
		enum agent_exit exit;
		const char *text;
	} meanings[] = {
		{ 401, 401, "challenge-expired", AGENT_GAVE_UP, "the challenge has expired" },
		{ 403, 403, NULL, AGENT_DENIED,
			"the server denies this instance; the reason stands in its audit trail" },
		{ 409, 409, NULL, AGENT_DENIED,
			"another key has had this instance's release: this agent's key was lost, or somebody "
			"else was "
			"first; see the audit trail, and `vouchsafe ledger rearm`" },
		{ 408, 408, NULL, AGENT_GAVE_UP, "the server did not get the request in time" },
		{ 429, 429, NULL, AGENT_GAVE_UP, "the server asks this address to slow down" },
		{ 500, 500, NULL, AGENT_GAVE_UP, "the server has an internal error" },
		{ 501, 599, NULL, AGENT_GAVE_UP, "the server cannot serve now" },
		{ 400, 499, NULL, AGENT_PROTOCOL,
			"not understood: a bug, another version, or no vouchsafe server" },
		{ INT_MIN, INT_MAX, NULL, AGENT_PROTOCOL, "no vouchsafe server of this version answers so" },
	};
	const struct meaning *meaning = meanings;

	while (status < meaning->from || status > meaning->to ||
		(meaning->code && strcmp(meaning->code, code) != 0))
		meaning++;
	*text = meaning->text;
	return meaning->exit;
}

/* Copies a word that is safe on a terminal; "" where it is not one. */
static void word_copy(const json_t *object, const char *name, char word[WORD_SIZE])
{
	const char *text = json_text(object, name);
	size_t length =
		text ? strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") : 0;

	word[0] = '\0';
	if (text && length < WORD_SIZE && text[length] == '\0')
		memcpy(word, text, length + 1);
}

static struct problem problem_parse(struct bytes text)
{
	struct problem problem = { 0 };
	json_t *object = text.length && text.length <= PROBLEM_MAX ? json_strict(text, NULL, NULL, NULL, 0)
								   : NULL;

	word_copy(object, "code", problem.code);
	word_copy(object, "request_id", problem.request_id);
	json_decref(object);
	return problem;
}

/* Every member that we need, and the others left alone: a newer server may say more. */
static bool answer_parse(struct bytes text, struct answer *answer)
{
	json_t *object = json_strict(text, NULL, NULL, NULL, 0);
	const char *release_id = json_text(object, "release_id");
	const char *sealed = json_text(object, "sealed");
	bool parsed = false;

	if (!release_id || !uuid_valid(release_id) || !sealed || !*sealed)
		goto out;
	memcpy(answer->release_id, release_id, UUID_SIZE);
	answer->sealed_length = strlen(sealed) / 4 * 3;
	answer->sealed = OPENSSL_malloc(answer->sealed_length);
	parsed = answer->sealed &&
		 base64_decode(sealed, strlen(sealed), answer->sealed, &answer->sealed_length);
	if (!parsed)
		answer_clear(answer);
out:
	json_decref(object);
	return parsed;
}

static enum agent_exit status_judge(
	const struct exchange *exchange, const struct http_request *request, struct complaint *complaint)
{
	struct problem problem;
	const char *text;
	enum agent_exit meaning;

	if (request->status == exchange->expected) {
		if (!exchange->answer || answer_parse(request->answer, exchange->answer))
			return AGENT_DONE;
		complain(complaint, "%s: the answer is none that a vouchsafe server gives", exchange->what);
		return AGENT_PROTOCOL;
	}
	problem = problem_parse(request->answer);
	meaning = request_meaning(request->status, problem.code, &text);
	complain(complaint, "%s: %s (status %d, %s; request %s)", exchange->what, text, request->status,
		problem.code[0] ? problem.code : "no code",
		problem.request_id[0] ? problem.request_id : "unknown");
	return meaning;
}

/* libcurl's texts hold what the other side sent, such as a certificate's names. */
static void printable(char *text)
{
	for (; *text; text++) {
		if (*text < ' ' || *text > '~')
			*text = '?';
	}
}

static enum agent_exit result_judge(
	const struct exchange *exchange, struct http_request *request, struct complaint *complaint)
{
	printable(request->error);
	switch (request->result) {
	case HTTP_ANSWERED:
		return status_judge(exchange, request, complaint);
	case HTTP_NO_CONNECT:
	case HTTP_CUT:
	case HTTP_TIMED_OUT:
		complain(complaint, "%s: no answer from the server (%s)", exchange->what, request->error);
		return AGENT_GAVE_UP;
	case HTTP_TOO_LARGE:
		complain(complaint, "%s: the answer is larger than any vouchsafe server's", exchange->what);
		return AGENT_PROTOCOL;
	default:
		complain(complaint, "%s: the request could not be made (%s)", exchange->what, request->error);
		return AGENT_FAULT;
	}
}

/* One try. *retry_after: what the server asks for, -1: nothing. */
static enum agent_exit exchange_try(const struct service *service, const struct exchange *exchange,
	long *retry_after, struct complaint *complaint)
{
	static const char *const headers[] = { "Content-Type: application/json", NULL };
	struct http_request request = { .method = "POST",
		.url = exchange->url,
		.headers = headers,
		.body = exchange->body,
		.source = service->source,
		.answer_max = exchange->answer_max,
		.retry_after = -1 };
	long long left = service->deadline - service->pace->now(service->pace->context);
	enum agent_exit status;

	if (left > TRY_SECONDS * 1000000000LL)
		left = TRY_SECONDS * 1000000000LL;
	request.deadline = monotonic_now() + left;
	request.result = http_fetch(service->http, &request);
	status = result_judge(exchange, &request, complaint);
	*retry_after = request.result == HTTP_ANSWERED ? request.retry_after : -1;
	http_forget(&request);
	return status;
}

static void said_waiting(const struct service *service, const struct complaint *complaint, long long delay)
{
	char line[sizeof(complaint->text) + 40];

	snprintf(line, sizeof(line), "%s; again in %.1f s", complaint->text, (double)delay / 1e9);
	service->said(service->context, line);
}

/* Until it is answered for good, or the deadline is there. */
static enum agent_exit exchange_run(
	const struct service *service, const struct exchange *exchange, struct complaint *complaint)
{
	const struct pace *pace = service->pace;
	unsigned failed = 0;

	for (;;) {
		long retry_after;
		long long delay;
		enum agent_exit status = exchange_try(service, exchange, &retry_after, complaint);

		if (status != AGENT_GAVE_UP)
			return status;
		delay = pace_delay(++failed, retry_after, pace->random(pace->context));
		if (!pace_allows(pace, delay, service->deadline))
			return AGENT_GAVE_UP;
		said_waiting(service, complaint, delay);
		pace->wait(pace->context, delay);
	}
}

/* The text of an object, to be freed with OPENSSL_free; NULL when memory is out. Takes the object. */
static char *body_take(json_t *object, size_t *length)
{
	char *text = NULL;

	*length = object ? json_dumpb(object, NULL, 0, JSON_COMPACT) : 0;
	if (*length)
		text = OPENSSL_malloc(*length);
	if (text && json_dumpb(object, text, *length, JSON_COMPACT) != *length) {
		OPENSSL_free(text);
		text = NULL;
	}
	json_decref(object);
	return text;
}

/* Sends `object`, which is taken. */
static enum agent_exit exchange_send(
	const struct service *service, struct exchange *exchange, json_t *object, struct complaint *complaint)
{
	enum agent_exit status = AGENT_FAULT;
	char *body = body_take(object, &exchange->body.length);

	if (!body) {
		complain(complaint, "out of memory");
		return AGENT_FAULT;
	}
	exchange->body.data = (unsigned char *)body;
	status = exchange_run(service, exchange, complaint);
	OPENSSL_free(body);
	return status;
}

enum agent_exit request_release(const struct service *service, const struct assertion *assertion,
	const char *csr, struct answer *answer, struct complaint *complaint)
{
	struct exchange exchange = {
		.what = "the release", .expected = 200, .answer_max = SEALED_MAX, .answer = answer
	};

	*answer = (struct answer){ 0 };
	snprintf(exchange.url, sizeof(exchange.url), "%s/v1/releases", service->base);
	return exchange_send(service, &exchange,
		json_pack("{s:o, s:s}", "assertion", assertion_json(assertion), "csr", csr), complaint);
}

enum agent_exit request_acknowledge(const struct service *service, const char *release_id,
	const char *acknowledgement, struct complaint *complaint)
{
	struct exchange exchange = {
		.what = "the acknowledgement", .expected = 204, .answer_max = PROBLEM_MAX
	};

	snprintf(exchange.url, sizeof(exchange.url), "%s/v1/releases/%s/ack", service->base, release_id);
	return exchange_send(service, &exchange, json_pack("{s:s}", "ack", acknowledgement), complaint);
}
