/* Asks the server, and asks again. Must never take a refusal for a reason to ask again, nor an outage for a
 * refusal, nor show bytes of an answer to a terminal unchecked. */
#include "agent/request.h"

#include "agent/evidence.h"
#include "aws/http.h"
#include "verifier/challenge.h"
#include "verifier/json.h"

#include <limits.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

#define WORD_CHARACTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"

enum {
	PROBLEM_MAX = 64 * 1024,
	WORD_SIZE = 64,
	TRY_SECONDS = 30,
	AT_ONCE_MAX = 3 /* fresh challenges without a wait between */
};

/* One request of ours. */
struct exchange {
	const char *what; /* for people: "the release" */
	char url[512];
	int expected; /* the status of success */
	size_t answer_max;
	bool (*take)(struct bytes text, void *answer); /* NULL: the answer has no body */
	void *answer;
};

/* One try, and what it has come to. */
struct attempt {
	struct complaint *complaint;
	int status; /* of the last answer; 0: none */
	long retry_after; /* seconds, what the server asks for; -1: nothing */
	bool challenge_expired;
};

/* What is done until it is answered for good. */
struct errand {
	enum agent_exit (*try)(const struct service *, const struct errand *, struct attempt *);
	const struct petition *petition; /* of a release */
	struct answer *answer;
	const char *release_id, *acknowledgement; /* of an acknowledgement */
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
	size_t length = text ? strspn(text, WORD_CHARACTERS ".") : 0;

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
static bool answer_parse(struct bytes text, void *into)
{
	struct answer *answer = into;
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

/* One that fits into a binding. */
static bool challenge_parse(struct bytes text, void *into)
{
	json_t *object = json_strict(text, NULL, NULL, NULL, 0);
	const char *challenge = json_text(object, "challenge");
	size_t length = challenge ? strspn(challenge, WORD_CHARACTERS) : 0;
	bool parsed = length > 0 && length < CHALLENGE_SIZE && challenge[length] == '\0';

	if (parsed)
		memcpy(into, challenge, length + 1);
	json_decref(object);
	return parsed;
}

static enum agent_exit status_judge(
	const struct exchange *exchange, const struct http_request *request, struct attempt *attempt)
{
	struct complaint *complaint = attempt->complaint;
	struct problem problem;
	const char *text;
	enum agent_exit meaning;

	if (request->status == exchange->expected) {
		if (!exchange->take || exchange->take(request->answer, exchange->answer))
			return AGENT_DONE;
		complain(complaint, "%s: the answer is none that a vouchsafe server gives", exchange->what);
		return AGENT_PROTOCOL;
	}
	problem = problem_parse(request->answer);
	meaning = request_meaning(request->status, problem.code, &text);
	attempt->challenge_expired = request->status == 401 && meaning == AGENT_GAVE_UP;
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
	const struct exchange *exchange, struct http_request *request, struct attempt *attempt)
{
	struct complaint *complaint = attempt->complaint;

	printable(request->error);
	switch (request->result) {
	case HTTP_ANSWERED:
		return status_judge(exchange, request, attempt);
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

/* Sends it once, with a body or without. */
static enum agent_exit exchange_try(const struct service *service, const struct exchange *exchange,
	struct bytes body, struct attempt *attempt)
{
	static const char *const headers[] = { "Content-Type: application/json", NULL };
	struct http_request request = { .method = "POST",
		.url = exchange->url,
		.headers = headers,
		.body = body,
		.source = service->source,
		.answer_max = exchange->answer_max,
		.retry_after = -1 };
	long long left = service->deadline - service->pace->now(service->pace->context);
	enum agent_exit status;

	if (left > TRY_SECONDS * 1000000000LL)
		left = TRY_SECONDS * 1000000000LL;
	request.deadline = monotonic_now() + left;
	request.result = http_fetch(service->http, &request);
	status = result_judge(exchange, &request, attempt);
	attempt->status = request.result == HTTP_ANSWERED ? request.status : 0;
	attempt->retry_after = request.result == HTTP_ANSWERED ? request.retry_after : -1;
	http_forget(&request);
	return status;
}

/* The text of an object, to be freed with OPENSSL_clear_free; NULL when memory is out. Takes the object. */
static char *body_take(json_t *object, size_t *length)
{
	char *text = NULL;

	*length = object ? json_dumpb(object, NULL, 0, JSON_COMPACT) : 0;
	if (*length)
		text = OPENSSL_malloc(*length);
	if (text && json_dumpb(object, text, *length, JSON_COMPACT) != *length) {
		OPENSSL_clear_free(text, *length);
		text = NULL;
	}
	json_decref(object);
	return text;
}

/* The same with an object, which is taken. */
static enum agent_exit exchange_send(const struct service *service, const struct exchange *exchange,
	json_t *object, struct attempt *attempt)
{
	size_t length;
	char *body = body_take(object, &length);
	enum agent_exit status;

	if (!body) {
		complain(attempt->complaint, "out of memory");
		return AGENT_FAULT;
	}
	status = exchange_try(
		service, exchange, (struct bytes){ (const unsigned char *)body, length }, attempt);
	OPENSSL_clear_free(body, length);
	return status;
}

/* ---- again and again */

static void said_waiting(const struct service *service, const struct complaint *complaint, long long delay)
{
	char line[sizeof(complaint->text) + 40];

	snprintf(line, sizeof(line), "%s; again in %.1f s", complaint->text, (double)delay / 1e9);
	service->said(service->context, line);
}

/* Until it is answered for good, or the deadline is there. */
static enum agent_exit errand_run(
	const struct service *service, const struct errand *errand, struct complaint *complaint)
{
	const struct pace *pace = service->pace;
	unsigned failed = 0, at_once = 0;

	for (;;) {
		struct attempt attempt = { .complaint = complaint, .retry_after = -1 };
		enum agent_exit status = errand->try(service, errand, &attempt);
		long long delay = 0;

		if (status != AGENT_GAVE_UP)
			return status;
		if (!attempt.challenge_expired || at_once++ >= AT_ONCE_MAX)
			delay = pace_delay(++failed, attempt.retry_after, pace->random(pace->context));
		if (!pace_allows(pace, delay, service->deadline))
			return AGENT_GAVE_UP;
		said_waiting(service, complaint, delay);
		pace->wait(pace->context, delay);
	}
}

/* ---- the release */

/* "": the server is older than challenges. */
static enum agent_exit challenge_fetch(
	const struct service *service, char challenge[CHALLENGE_SIZE], struct attempt *attempt)
{
	struct exchange exchange = { .what = "the challenge",
		.expected = 201,
		.answer_max = PROBLEM_MAX,
		.take = challenge_parse,
		.answer = challenge };
	enum agent_exit status;

	challenge[0] = '\0';
	snprintf(exchange.url, sizeof(exchange.url), "%s/v1/challenges", service->base);
	status = exchange_try(service, &exchange, (struct bytes){ NULL, 0 }, attempt);
	return attempt->status == 404 || attempt->status == 405 ? AGENT_DONE : status;
}

/* *evidence: a new reference; NULL for a server that is older than it. */
static enum agent_exit proof_gather(const struct service *service, const struct errand *errand,
	char challenge[CHALLENGE_SIZE], json_t **evidence, struct attempt *attempt)
{
	const struct petition *petition = errand->petition;
	const struct pace *pace = service->pace;
	enum agent_exit status = challenge_fetch(service, challenge, attempt);

	*evidence = NULL;
	if (status != AGENT_DONE || !challenge[0])
		return status;
	return evidence_read(&(struct evidence_question){ .imds = petition->imds,
				     .assertion = petition->assertion,
				     .recipient = petition->recipient,
				     .challenge = challenge,
				     .now = pace->clock(pace->context),
				     .patient = pace->now(pace->context) < petition->patient_until },
		evidence, attempt->complaint);
}

static enum agent_exit release_try(
	const struct service *service, const struct errand *errand, struct attempt *attempt)
{
	const struct petition *petition = errand->petition;
	struct exchange exchange = { .what = "the release",
		.expected = 200,
		.answer_max = SEALED_MAX,
		.take = answer_parse,
		.answer = errand->answer };
	char challenge[CHALLENGE_SIZE];
	json_t *evidence;
	enum agent_exit status = proof_gather(service, errand, challenge, &evidence, attempt);

	if (status != AGENT_DONE)
		return status;
	snprintf(exchange.url, sizeof(exchange.url), "%s/v1/releases", service->base);
	return exchange_send(service, &exchange,
		json_pack("{s:o, s:s, s:s*, s:o*}", "assertion", assertion_json(petition->assertion), "csr",
			petition->csr, "challenge", evidence ? challenge : NULL, "evidence", evidence),
		attempt);
}

enum agent_exit request_release(const struct service *service, const struct petition *petition,
	struct answer *answer, struct complaint *complaint)
{
	const struct errand errand = { .try = release_try, .petition = petition, .answer = answer };

	*answer = (struct answer){ 0 };
	return errand_run(service, &errand, complaint);
}

/* ---- the acknowledgement */

static enum agent_exit acknowledgement_try(
	const struct service *service, const struct errand *errand, struct attempt *attempt)
{
	struct exchange exchange = {
		.what = "the acknowledgement", .expected = 204, .answer_max = PROBLEM_MAX
	};

	snprintf(exchange.url, sizeof(exchange.url), "%s/v1/releases/%s/ack", service->base,
		errand->release_id);
	return exchange_send(service, &exchange, json_pack("{s:s}", "ack", errand->acknowledgement), attempt);
}

enum agent_exit request_acknowledge(const struct service *service, const char *release_id,
	const char *acknowledgement, struct complaint *complaint)
{
	const struct errand errand = {
		.try = acknowledgement_try, .release_id = release_id, .acknowledgement = acknowledgement
	};

	return errand_run(service, &errand, complaint);
}
