/* The agent's requests: what each answer means, when it asks again and when it does not, and what each try
 * brings of its own. */
#include "agent/imds.h"
#include "agent/request.h"
#include "aws/http.h"
#include "aws/sigv4.h"
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
static const struct reply *script; /* of all but challenges and metadata */
static size_t script_length;
static atomic_uint scripted, challenges;
static int challenge_status; /* 0: a new challenge each time */
static const char *challenge_body;
static const char *role_held, *document; /* by the metadata service; NULL: 404 */
static int credentials_status;
static char last_request[8192];
static char last_line[700];
static struct http *http;

/* Each with an access key of its own, as if they were rotated all the time. */
static void play_credentials(char *text, size_t size)
{
	char body[400];

	snprintf(body, sizeof(body),
		"{\"Code\": \"Success\", \"LastUpdated\": \"2026-01-02T00:00:00Z\", \"Type\": "
		"\"AWS-HMAC\", \"AccessKeyId\": \"ASIA00000000000000%02u\", \"SecretAccessKey\": "
		"\"s/e+cret\", \"Token\": \"to/k+en%02u==\", \"Expiration\": \"2026-01-02T06:00:00Z\"}",
		atomic_load(&challenges), atomic_load(&challenges));
	listener_say(text, size, credentials_status, "", body);
}

static void play_metadata(const char *request, char *text, size_t size)
{
	static const char roles[] = "/latest/meta-data/iam/security-credentials/ ";

	if (strncmp(request, "PUT", 3) == 0)
		listener_say(text, size, 200, "", "token");
	else if (strstr(request, "/instance-identity/rsa2048 "))
		listener_say(text, size, document ? 200 : 404, "", document ? document : "");
	else if (strstr(request, roles))
		listener_say(text, size, role_held ? 200 : 404, "", role_held ? role_held : "");
	else
		play_credentials(text, size);
}

static void play_challenge(char *text, size_t size)
{
	unsigned n = atomic_fetch_add(&challenges, 1) + 1;
	char body[100];

	snprintf(body, sizeof(body), "{\"challenge\": \"challenge-%u\", \"expires_in\": 120}", n);
	if (challenge_status)
		listener_say(text, size, challenge_status, "", challenge_body);
	else
		listener_say(text, size, 201, "", body);
}

static void play_script(const char *request, char *text, size_t size)
{
	unsigned n = atomic_fetch_add(&scripted, 1);
	const struct reply *reply = &script[n < script_length ? n : script_length - 1];

	snprintf(last_request, sizeof(last_request), "%s", request);
	if (reply->status)
		listener_say(text, size, reply->status, reply->headers, reply->body);
}

static void play(struct listener *self, const char *request, char *text, size_t size)
{
	(void)self;
	if (strstr(request, " /latest/"))
		play_metadata(request, text, size);
	else if (strncmp(request, "POST /v1/challenges ", 20) == 0)
		play_challenge(text, size);
	else
		play_script(request, text, size);
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

/* 2026-01-02T03:04:05Z */
static time_t fixed_clock(void *context)
{
	(void)context;
	return 1767323045;
}

static const struct pace pace = { fixed_now, fixed_wait, fixed_random, NULL, fixed_clock };

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
	challenge_status = 0;
	role_held = document = NULL;
	credentials_status = 200;
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

static const struct recipient recipient = { .sha256 = { 1, 2, 3 } };

/* The listener is the metadata service, too. */
static enum agent_exit petition_send(
	const struct service *service, struct answer *answer, struct complaint *complaint)
{
	const struct imds imds = {
		.http = http, .base = listener.base, .pace = &pace, .deadline = service->deadline
	};
	const struct petition petition = {
		.assertion = &assertion, .csr = "CSR", .recipient = &recipient, .imds = &imds
	};

	return request_release(service, &petition, answer, complaint);
}

static enum agent_exit ask(
	const struct reply *replies, size_t n, struct answer *answer, struct complaint *complaint)
{
	const struct service service = service_of(60);

	script = replies;
	script_length = n;
	waits = 0;
	clock_now = 0;
	atomic_store(&scripted, 0);
	atomic_store(&challenges, 0);
	memset(complaint, 0, sizeof(*complaint));
	return petition_send(&service, answer, complaint);
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

/* The body of the last request; a new reference. */
static json_t *body_sent(void)
{
	const char *body = strstr(last_request, "\r\n\r\n");
	json_t *object;

	assert_non_null(body);
	object = json_strict(
		(struct bytes){ (const unsigned char *)body + 4, strlen(body + 4) }, NULL, NULL, NULL, 0);
	assert_non_null(object);
	return object;
}

static json_t *granted_body(void)
{
	static const struct reply replies[] = { { 200, "", GOOD_ANSWER } };
	struct complaint complaint;
	struct answer answer;

	if (ask(replies, 1, &answer, &complaint) != AGENT_DONE)
		fail_msg("%s", complaint.text);
	answer_clear(&answer);
	return body_sent();
}

static void test_request_sent(void **state)
{
	static const char line[] = "POST /v1/releases HTTP/1.1\r\n";
	struct assertion sent;
	struct reason reason;
	json_t *object = granted_body();

	(void)state;
	assert_memory_equal(last_request, line, strlen(line));
	assert_non_null(strcasestr(last_request, "\r\nContent-Type: application/json\r\n"));
	assert_int_equal(json_object_size(object), 4);
	assert_string_equal(json_text(object, "csr"), "CSR");
	assert_string_equal(json_text(object, "challenge"), "challenge-1");
	/* an instance without document and role */
	assert_true(json_is_object(json_object_get(object, "evidence")));
	assert_int_equal(json_object_size(json_object_get(object, "evidence")), 0);
	assert_int_equal(assertion_parse(json_object_get(object, "assertion"), &sent, &reason), OK);
	assert_memory_equal(&sent, &assertion, sizeof(sent));
	json_decref(object);
}

/* The proof is the signer's own of this challenge, this key, these credentials and this time. */
static void check_caller(const json_t *evidence, const char *challenge, const char *n)
{
	const json_t *caller = json_object_get(evidence, "caller-identity");
	struct role_credentials credentials = { .secret_access_key = "s/e+cret" };
	struct caller_proof proof;

	snprintf(credentials.access_key_id, sizeof(credentials.access_key_id), "ASIA00000000000000%s", n);
	snprintf(credentials.session_token, sizeof(credentials.session_token), "to/k+en%s==", n);
	caller_binding(challenge, &recipient, proof.binding);
	assert_true(sigv4_sign_caller(
		&credentials, "us-east-1", "sts.us-east-1.amazonaws.com", fixed_clock(NULL), &proof));
	assert_int_equal(json_object_size(caller), 3);
	assert_string_equal(json_text(caller, "authorization"), proof.authorization);
	assert_string_equal(json_text(caller, "x-amz-date"), "20260102T030405Z");
	assert_string_equal(json_text(caller, "x-amz-security-token"), credentials.session_token);
}

static void test_evidence_sent(void **state)
{
	const json_t *evidence;
	json_t *object;

	(void)state;
	role_held = "web-tier";
	document = "MIIB\nAgMEBQ==\n";
	object = granted_body();
	evidence = json_object_get(object, "evidence");
	assert_int_equal(json_object_size(evidence), 2);
	assert_string_equal(json_text(evidence, "identity-document"), "MIIBAgMEBQ==");
	check_caller(evidence, "challenge-1", "01");
	json_decref(object);
}

/* Whatever happens to a try, the next brings a challenge and a proof of its own. */
static void test_each_try_is_made_anew(void **state)
{
	static const struct reply replies[] = { { 503, "", "{}" }, { 0, "", "" },
		{ 401, "", "{\"code\": \"challenge-expired\"}" }, { 200, "", GOOD_ANSWER } };
	struct complaint complaint;
	struct answer answer;
	json_t *object;

	(void)state;
	role_held = "web-tier";
	assert_int_equal(ask(replies, 4, &answer, &complaint), AGENT_DONE);
	answer_clear(&answer);
	assert_int_equal(atomic_load(&challenges), 4);
	object = body_sent();
	assert_string_equal(json_text(object, "challenge"), "challenge-4");
	check_caller(json_object_get(object, "evidence"), "challenge-4", "04");
	json_decref(object);
}

/* One that was too old is replaced at once; but not for ever. */
static void test_challenge_expired(void **state)
{
	static const struct reply expired = { 401, "", "{\"code\": \"challenge-expired\"}" };
	const struct reply once[] = { expired, { 200, "", GOOD_ANSWER } };
	struct complaint complaint;
	struct answer answer;

	(void)state;
	assert_int_equal(ask(once, 2, &answer, &complaint), AGENT_DONE);
	answer_clear(&answer);
	assert_int_equal(clock_now, 0);
	assert_int_equal(atomic_load(&challenges), 2);
	assert_int_equal(ask(&expired, 1, &answer, &complaint), AGENT_GAVE_UP);
	assert_int_equal(waited[0], 0);
	assert_int_equal(waited[2], 0);
	assert_int_equal(waited[3], 1000000000);
	assert_int_equal(waited[4], 2000000000);
	assert_non_null(strstr(complaint.text, "expired"));
}

/* A server that is older than challenges refuses evidence as well: it gets what it knows. */
static void test_older_server(void **state)
{
	static const int statuses[] = { 404, 405 };
	json_t *object;
	size_t i;

	(void)state;
	role_held = "web-tier";
	document = "MIIB";
	challenge_body = "{\"code\": \"not-found\"}";
	for (i = 0; i < 2; i++) {
		challenge_status = statuses[i];
		object = granted_body();
		assert_int_equal(json_object_size(object), 2);
		assert_non_null(json_object_get(object, "csr"));
		assert_non_null(json_object_get(object, "assertion"));
		json_decref(object);
	}
}

/* What else a server can say to the request for a challenge; no release is asked for then. */
static void test_no_challenge(void **state)
{
	static const struct {
		int status;
		const char *body;
		enum agent_exit exit;
	} cases[] = { { 503, "{\"code\": \"draining\"}", AGENT_GAVE_UP },
		{ 403, "{\"code\": \"denied\"}", AGENT_DENIED }, { 400, "", AGENT_PROTOCOL },
		{ 200, "{\"challenge\": \"abc\"}", AGENT_PROTOCOL }, { 201, "", AGENT_PROTOCOL },
		{ 201, "{}", AGENT_PROTOCOL }, { 201, "{\"challenge\": 1}", AGENT_PROTOCOL },
		{ 201, "{\"challenge\": \"\"}", AGENT_PROTOCOL },
		{ 201, "{\"challenge\": \"a.b\"}", AGENT_PROTOCOL },
		{ 201, "{\"challenge\": \"a\\r\\nb\"}", AGENT_PROTOCOL },
		{ 201,
			"{\"challenge\": "
			"\"01234567890123456789012345678901234567890123456789012345678901234567"
			"8901234\"}",
			AGENT_PROTOCOL } };
	static const struct reply never = { 200, "", GOOD_ANSWER };
	struct complaint complaint;
	struct answer answer;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		challenge_status = cases[i].status;
		challenge_body = cases[i].body;
		if (ask(&never, 1, &answer, &complaint) != cases[i].exit)
			fail_msg("status %d, %s: %s", cases[i].status, cases[i].body, complaint.text);
		assert_int_equal(atomic_load(&scripted), 0);
		assert_non_null(strstr(complaint.text, "challenge"));
	}
}

static void test_another_role(void **state)
{
	static const struct reply never = { 200, "", GOOD_ANSWER };
	struct complaint complaint;
	struct answer answer;

	(void)state;
	role_held = "db-tier";
	assert_int_equal(ask(&never, 1, &answer, &complaint), AGENT_CONFIGURATION);
	assert_non_null(strstr(complaint.text, "db-tier"));
	assert_int_equal(atomic_load(&scripted), 0);
	assert_int_equal(waits, 0);
}

/* Credentials that are not there now may be there later. */
static void test_waits_for_credentials(void **state)
{
	static const struct reply never = { 200, "", GOOD_ANSWER };
	struct complaint complaint;
	struct answer answer;

	(void)state;
	role_held = "web-tier";
	credentials_status = 500;
	assert_int_equal(ask(&never, 1, &answer, &complaint), AGENT_GAVE_UP);
	assert_true(waits > 2);
	assert_int_equal(atomic_load(&scripted), 0);
}

/* Asked again: once for each, then granted. */
static void test_retried(void **state)
{
	static const struct reply first[] = { { 0, "", "" }, { 408, "", "" },
		{ 429, "", "{\"code\": \"slow-down\"}" },
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
		assert_int_equal(atomic_load(&scripted), 3);
	}
}

static void test_no_listener(void **state)
{
	struct service service = service_of(4);
	struct complaint complaint;
	struct answer answer;

	(void)state;
	service.base = "http://127.0.0.1:1";
	assert_int_equal(petition_send(&service, &answer, &complaint), AGENT_GAVE_UP);
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
	assert_int_equal(atomic_load(&scripted), 3);
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
		assert_int_equal(atomic_load(&scripted), 1);
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
		assert_int_equal(atomic_load(&scripted), 1);
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
	atomic_store(&scripted, 0);
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
		WITH_SERVER(test_evidence_sent), WITH_SERVER(test_each_try_is_made_anew),
		WITH_SERVER(test_challenge_expired), WITH_SERVER(test_older_server),
		WITH_SERVER(test_no_challenge), WITH_SERVER(test_another_role),
		WITH_SERVER(test_waits_for_credentials), WITH_SERVER(test_retried),
		WITH_SERVER(test_no_listener), WITH_SERVER(test_retry_after), WITH_SERVER(test_gives_up),
		WITH_SERVER(test_final), WITH_SERVER(test_bad_answers), WITH_SERVER(test_hostile_problem),
		WITH_SERVER(test_acknowledged), WITH_SERVER(test_not_acknowledged) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
