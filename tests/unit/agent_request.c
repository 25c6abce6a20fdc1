/* The agent's two requests: what each answer means, when it asks again and when it does not. */
#include "agent/request.h"
#include "aws/http.h"
#include "tests/unit/unit.h"
#include "verifier/json.h"

#include <string.h>

#include "tests/unit/agent_listener.h"

#define RELEASE_ID "01890a5d-ac96-774b-bcce-b302099a8057"
#define GOOD_ANSWER "{\"release_id\": \"" RELEASE_ID "\", \"sealed\": \"AAECAw==\", \"secrets\": []}"

static const struct assertion assertion = { .instance_id = "i-0123456789abcdef0",
	.local_hostname = "ip-10-0-1-225.ec2.internal",
	.reservation_id = "r-0123456789abcdef0",
	.instance_type = "m5.large",
	.role = "web-tier",
	.source_ip = "10.0.1.225",
	.account_id = "123456789012",
	.region = "us-east-1" };

/* The answers, in their order; the last one again and again. */
struct reply {
	int status; /* 0: none at all */
	const char *headers, *body;
};

static struct listener listener;
static const struct reply *script;
static size_t script_length;
static char last_request[8192];
static char last_line[700];
static struct http *http;

static void play(struct listener *self, const char *request, char *text, size_t size)
{
	unsigned n = atomic_load(&self->requests) - 1;
	const struct reply *reply = &script[n < script_length ? n : script_length - 1];

	snprintf(last_request, sizeof(last_request), "%s", request);
	if (reply->status)
		listener_say(text, size, reply->status, reply->headers, reply->body);
}

/* ---- a clock that moves when someone waits, and chance that is always the greatest */

static long long clock_now;
static long long waited[64];
static unsigned waits;

static long long fixed_now(void *context)
{
	(void)context;
	return clock_now;
}

static void fixed_wait(void *context, long long nanoseconds)
{
	(void)context;
	waited[waits++ % 64] = nanoseconds;
	clock_now += nanoseconds;
}

static uint32_t fixed_random(void *context)
{
	(void)context;
	return UINT32_MAX;
}

static const struct pace pace = { fixed_now, fixed_wait, fixed_random, NULL };

static void said(void *context, const char *line)
{
	(void)context;
	snprintf(last_line, sizeof(last_line), "%s", line);
}

static int set_up(void **state)
{
	const struct http_options options = { .user_agent = "test", .connections = 1 };

	(void)state;
	clock_now = waits = 0;
	last_line[0] = last_request[0] = '\0';
	listener.answer = play;
	http = http_open(&options);
	return http ? listener_start(&listener) : -1;
}

static int tear_down(void **state)
{
	(void)state;
	http_close(http);
	listener_stop(&listener);
	return 0;
}

static struct service service_of(long long deadline_s)
{
	return (struct service){ .http = http,
		.base = listener.base,
		.pace = &pace,
		.deadline = deadline_s * 1000000000,
		.said = said };
}

static enum agent_exit ask(
	const struct reply *replies, size_t n, struct answer *answer, struct complaint *complaint)
{
	const struct service service = service_of(60);

	script = replies;
	script_length = n;
	waits = 0;
	clock_now = 0;
	atomic_store(&listener.requests, 0);
	memset(complaint, 0, sizeof(*complaint));
	return request_release(&service, &assertion, "CSR", answer, complaint);
}

static void test_granted(void **state)
{
	static const struct reply replies[] = { { 200, "Content-Type: application/json\r\n", GOOD_ANSWER } };
	struct complaint complaint;
	struct answer answer;

	(void)state;
	assert_int_equal(ask(replies, 1, &answer, &complaint), AGENT_DONE);
	assert_string_equal(answer.release_id, RELEASE_ID);
	assert_int_equal(answer.sealed_length, 4);
	assert_memory_equal(answer.sealed, "\0\1\2\3", 4);
	assert_int_equal(waits, 0);
	answer_clear(&answer);
	assert_null(answer.sealed);
}

static void test_request_sent(void **state)
{
	static const struct reply replies[] = { { 200, "", GOOD_ANSWER } };
	static const char line[] = "POST /v1/releases HTTP/1.1\r\n";
	struct complaint complaint;
	struct answer answer;
	struct assertion sent;
	struct reason reason;
	const char *body;
	json_t *object;

	(void)state;
	assert_int_equal(ask(replies, 1, &answer, &complaint), AGENT_DONE);
	answer_clear(&answer);
	assert_memory_equal(last_request, line, strlen(line));
	assert_non_null(strcasestr(last_request, "\r\nContent-Type: application/json\r\n"));
	body = strstr(last_request, "\r\n\r\n");
	assert_non_null(body);
	object = json_strict(
		(struct bytes){ (const unsigned char *)body + 4, strlen(body + 4) }, NULL, NULL, NULL, 0);
	assert_non_null(object);
	assert_int_equal(json_object_size(object), 2);
	assert_string_equal(json_text(object, "csr"), "CSR");
	assert_int_equal(assertion_parse(json_object_get(object, "assertion"), &sent, &reason), OK);
	assert_memory_equal(&sent, &assertion, sizeof(sent));
	json_decref(object);
}

/* Asked again: once for each, then granted. */
static void test_retried(void **state)
{
	static const struct reply first[] = { { 0, "", "" }, { 401, "", "{\"code\": \"challenge-expired\"}" },
		{ 408, "", "" }, { 429, "", "{\"code\": \"slow-down\"}" },
		{ 500, "", "{\"code\": \"internal\", \"request_id\": \"abc-1\"}" }, { 502, "", "<html>" },
		{ 503, "", "{\"code\": \"not-visible-yet\"}" }, { 504, "", "" } };
	struct complaint complaint;
	struct answer answer;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(first) / sizeof(first[0]); i++) {
		const struct reply replies[] = { first[i], first[i], { 200, "", GOOD_ANSWER } };

		if (ask(replies, 3, &answer, &complaint) != AGENT_DONE)
			fail_msg("status %d: %s", first[i].status, complaint.text);
		answer_clear(&answer);
		assert_int_equal(waits, 2);
		assert_int_equal(waited[0], 1000000000);
		assert_int_equal(waited[1], 2000000000);
		assert_int_equal(atomic_load(&listener.requests), 3);
	}
}

static void test_no_listener(void **state)
{
	struct service service = service_of(4);
	struct complaint complaint;
	struct answer answer;

	(void)state;
	service.base = "http://127.0.0.1:1";
	assert_int_equal(request_release(&service, &assertion, "CSR", &answer, &complaint), AGENT_GAVE_UP);
	assert_int_equal(waits, 2);
	assert_non_null(strstr(complaint.text, "no answer"));
	assert_null(answer.sealed);
}

static void test_retry_after(void **state)
{
	static const struct reply replies[] = { { 503, "Retry-After: 5\r\n", "{\"code\": \"overloaded\"}" },
		{ 429, "Retry-After: 9\r\n", "{\"code\": \"slow-down\", \"request_id\": \"r-7\"}" },
		{ 200, "", GOOD_ANSWER } };
	struct complaint complaint;
	struct answer answer;

	(void)state;
	assert_int_equal(ask(replies, 3, &answer, &complaint), AGENT_DONE);
	answer_clear(&answer);
	assert_int_equal(waits, 2);
	assert_int_equal(waited[0], 6LL * 1000000000); /* what was asked for, and the jitter on top */
	assert_int_equal(waited[1], 11LL * 1000000000);
	assert_non_null(strstr(last_line, "slow-down"));
	assert_non_null(strstr(last_line, "r-7"));
	assert_non_null(strstr(last_line, "11.0 s"));
}

static void test_gives_up(void **state)
{
	static const struct reply busy[] = { { 503, "Retry-After: 25\r\n", "{\"code\": \"draining\"}" } };
	static const struct reply never[] = { { 503, "Retry-After: 61\r\n", "{\"code\": \"draining\"}" } };
	struct complaint complaint;
	struct answer answer;

	(void)state;
	assert_int_equal(ask(busy, 1, &answer, &complaint), AGENT_GAVE_UP);
	assert_int_equal(waits, 2);
	assert_int_equal(atomic_load(&listener.requests), 3);
	assert_true(clock_now < 60LL * 1000000000);
	assert_non_null(strstr(complaint.text, "draining"));
	assert_int_equal(ask(never, 1, &answer, &complaint), AGENT_GAVE_UP);
	assert_int_equal(waits, 0);
}

static void test_final(void **state)
{
	static const struct {
		struct reply reply;
		enum agent_exit exit;
		const char *text;
	} cases[] = { { { 403, "", "{\"code\": \"denied\", \"request_id\": \"q1\"}" }, AGENT_DENIED,
			      "denies" },
		{ { 403, "", "" }, AGENT_DENIED, "q" },
		{ { 409, "", "{\"code\": \"already-released\"}" }, AGENT_DENIED, "another key" },
		{ { 400, "", "{\"code\": \"malformed\"}" }, AGENT_PROTOCOL, "malformed" },
		{ { 401, "", "{\"code\": \"login\"}" }, AGENT_PROTOCOL, "401" },
		{ { 404, "", "" }, AGENT_PROTOCOL, "404" }, { { 413, "", "" }, AGENT_PROTOCOL, "413" },
		{ { 301, "Location: http://127.0.0.1:1/\r\n", "" }, AGENT_PROTOCOL, "301" },
		{ { 201, "", GOOD_ANSWER }, AGENT_PROTOCOL, "201" },
		{ { 204, "", "" }, AGENT_PROTOCOL, "204" } };
	struct complaint complaint;
	struct answer answer;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(ask(&cases[i].reply, 1, &answer, &complaint), cases[i].exit);
		if (!strstr(complaint.text, cases[i].text))
			fail_msg("status %d: %s", cases[i].reply.status, complaint.text);
		assert_int_equal(waits, 0);
		assert_int_equal(atomic_load(&listener.requests), 1);
		assert_null(answer.sealed);
	}
}

static void test_bad_answers(void **state)
{
	static const char *const bodies[] = { "", "{}", "[]", "null", "{", GOOD_ANSWER "x",
		"{\"release_id\": \"" RELEASE_ID "\"}", "{\"sealed\": \"AAECAw==\"}",
		"{\"release_id\": \"" RELEASE_ID "\", \"sealed\": \"\"}",
		"{\"release_id\": \"" RELEASE_ID "\", \"sealed\": 1}",
		"{\"release_id\": \"" RELEASE_ID "\", \"sealed\": \"AAECAw=\"}",
		"{\"release_id\": \"" RELEASE_ID "\", \"sealed\": \"AAE\\nCAw==\"}",
		"{\"release_id\": \"" RELEASE_ID "\", \"sealed\": \"AAECAw==\", \"sealed\": \"AAECAw==\"}",
		"{\"release_id\": \"../../admin\", \"sealed\": \"AAECAw==\"}",
		"{\"release_id\": \"01890A5D-AC96-774B-BCCE-B302099A8057\", \"sealed\": \"AAECAw==\"}" };
	struct complaint complaint;
	struct answer answer;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		const struct reply reply = { 200, "", bodies[i] };

		if (ask(&reply, 1, &answer, &complaint) != AGENT_PROTOCOL)
			fail_msg("taken: %s", bodies[i]);
		assert_null(answer.sealed);
		assert_int_equal(atomic_load(&listener.requests), 1);
	}
}

/* What a hostile answer says reaches no terminal. */
static void test_hostile_problem(void **state)
{
	static const struct reply reply = { 403, "",
		"{\"code\": \"a\\u001b[2Jb\", \"request_id\": \"x\\r\\ny\", \"title\": \"EVIL\"}" };
	struct complaint complaint;
	struct answer answer;
	size_t i;

	(void)state;
	assert_int_equal(ask(&reply, 1, &answer, &complaint), AGENT_DENIED);
	for (i = 0; complaint.text[i]; i++)
		assert_in_range(complaint.text[i], ' ', '~');
	assert_null(strstr(complaint.text, "EVIL"));
	assert_non_null(strstr(complaint.text, "no code; request unknown"));
}

static enum agent_exit acknowledge(const struct reply *replies, size_t n, struct complaint *complaint)
{
	const struct service service = service_of(60);

	script = replies;
	script_length = n;
	return request_acknowledge(&service, RELEASE_ID, "bWFj", complaint);
}

static void test_acknowledged(void **state)
{
	static const struct reply replies[] = { { 503, "", "{}" }, { 204, "", "" } };
	static const char line[] = "POST /v1/releases/" RELEASE_ID "/ack HTTP/1.1\r\n";
	struct complaint complaint;

	(void)state;
	assert_int_equal(acknowledge(replies, 2, &complaint), AGENT_DONE);
	assert_int_equal(waits, 1);
	assert_memory_equal(last_request, line, strlen(line));
	assert_non_null(strstr(last_request, "\r\n\r\n{\"ack\":\"bWFj\"}"));
}

static void test_not_acknowledged(void **state)
{
	static const struct reply reply = { 404, "", "{\"code\": \"not-found\"}" };
	struct complaint complaint;

	(void)state;
	assert_int_equal(acknowledge(&reply, 1, &complaint), AGENT_PROTOCOL);
	assert_non_null(strstr(complaint.text, "not-found"));
	assert_int_equal(waits, 0);
}

#define WITH_SERVER(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = { WITH_SERVER(test_granted), WITH_SERVER(test_request_sent),
		WITH_SERVER(test_retried), WITH_SERVER(test_no_listener), WITH_SERVER(test_retry_after),
		WITH_SERVER(test_gives_up), WITH_SERVER(test_final), WITH_SERVER(test_bad_answers),
		WITH_SERVER(test_hostile_problem), WITH_SERVER(test_acknowledged),
		WITH_SERVER(test_not_acknowledged) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
