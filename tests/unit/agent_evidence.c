/* The agent's reading of its evidence, against a listener that plays the metadata service. */
#include "agent/evidence.h"
#include "aws/http.h"
#include "aws/sigv4.h"
#include "tests/unit/unit.h"
#include "verifier/json.h"
#include "verifier/protect.h"

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "tests/unit/agent_listener.h"

#define ROLES "/latest/meta-data/iam/security-credentials/"
#define PARTS                                                                                                \
	"\"AccessKeyId\": \"ASIA0123456789ABCDEF\", \"SecretAccessKey\": \"secret\", \"Token\": "            \
	"\"to+ken/==\""
#define GOOD "{\"Code\": \"Success\", " PARTS ", \"Expiration\": \"2026-01-02T03:04:06Z\"}"

static const time_t now = 1767323045; /* 2026-01-02T03:04:05Z */

static const struct assertion asserted = { .instance_id = "i-0123456789abcdef0",
	.role = "web-tier",
	.account_id = "123456789012",
	.region = "us-east-1" };
static const struct recipient recipient = { .sha256 = { 9, 8, 7 } };

struct page {
	const char *text;
	int status; /* 0: no answer */
};

static struct page token, document, roles, credentials;
static struct listener listener;
static struct http *http;

static void play(struct listener *self, const char *request, char *text, size_t size)
{
	static const char credentials_line[] = "GET " ROLES "web-tier HTTP";
	const struct page *page = NULL;

	(void)self;
	if (strncmp(request, "PUT /latest/api/token ", 22) == 0)
		page = &token;
	else if (!strcasestr(request, "\r\nX-aws-ec2-metadata-token: token\r\n"))
		listener_say(text, size, 401, "", "");
	else if (strncmp(request, "GET /latest/dynamic/instance-identity/rsa2048 ", 46) == 0)
		page = &document;
	else if (strncmp(request, "GET " ROLES " ", 4 + sizeof(ROLES)) == 0)
		page = &roles;
	else if (strncmp(request, credentials_line, strlen(credentials_line)) == 0)
		page = &credentials;
	if (page && page->status)
		listener_say(text, size, page->status, "", page->text);
}

static const struct pace unused_pace = { 0 };

static bool patient;

static enum agent_exit read_for(
	const struct assertion *assertion, json_t **evidence, struct complaint *complaint)
{
	const struct imds imds = { .http = http, .base = listener.base, .pace = &unused_pace };
	const struct evidence_question question = { .imds = &imds,
		.assertion = assertion,
		.recipient = &recipient,
		.challenge = "abc",
		.now = now,
		.patient = patient };

	memset(complaint, 0, sizeof(*complaint));
	return evidence_read(&question, evidence, complaint);
}

static void pages_set_good(void)
{
	token = (struct page){ "token", 200 };
	document = (struct page){ "MIIB\nAgMEBQ==", 200 };
	roles = (struct page){ "web-tier", 200 };
	credentials = (struct page){ GOOD, 200 };
}

static int set_up(void **state)
{
	const struct http_options options = { .user_agent = "test", .connections = 1 };

	(void)state;
	pages_set_good();
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

static void test_whole(void **state)
{
	static const struct role_credentials known = { "ASIA0123456789ABCDEF", "secret", "to+ken/==" };
	struct caller_proof proof;
	struct complaint complaint;
	json_t *evidence, *caller;

	(void)state;
	if (read_for(&asserted, &evidence, &complaint) != AGENT_DONE)
		fail_msg("%s", complaint.text);
	assert_int_equal(json_object_size(evidence), 2);
	assert_string_equal(json_text(evidence, "identity-document"), "MIIBAgMEBQ==");
	caller_binding("abc", &recipient, proof.binding);
	assert_true(sigv4_sign_caller(&known, "us-east-1", "sts.us-east-1.amazonaws.com", now, &proof));
	caller = json_object_get(evidence, "caller-identity");
	assert_int_equal(json_object_size(caller), 3);
	assert_string_equal(json_text(caller, "authorization"), proof.authorization);
	assert_string_equal(json_text(caller, "x-amz-date"), proof.amz_date);
	assert_string_equal(json_text(caller, "x-amz-security-token"), proof.security_token);
	json_decref(evidence);
}

/* What the instance has not got is not sent, and the rest is. */
static void test_parts_missing(void **state)
{
	struct assertion elsewhere = asserted;
	struct complaint complaint;
	json_t *evidence;

	(void)state;
	document.status = 404;
	assert_int_equal(read_for(&asserted, &evidence, &complaint), AGENT_DONE);
	assert_int_equal(json_object_size(evidence), 1);
	assert_non_null(json_object_get(evidence, "caller-identity"));
	json_decref(evidence);

	pages_set_good();
	roles.status = 404;
	patient = true; /* just booted: the role may be on its way */
	assert_int_equal(read_for(&asserted, &evidence, &complaint), AGENT_GAVE_UP);
	assert_non_null(strstr(complaint.text, "no role yet"));
	patient = false;
	assert_int_equal(read_for(&asserted, &evidence, &complaint), AGENT_DONE);
	assert_int_equal(json_object_size(evidence), 1);
	assert_non_null(json_object_get(evidence, "identity-document"));
	json_decref(evidence);

	/* a region that the table has not got: its STS is never guessed */
	pages_set_good();
	strcpy(elsewhere.region, "xx-west-9");
	assert_int_equal(read_for(&elsewhere, &evidence, &complaint), AGENT_DONE);
	assert_null(json_object_get(evidence, "caller-identity"));
	json_decref(evidence);
}

static void test_another_role(void **state)
{
	struct complaint complaint;
	json_t *evidence;

	(void)state;
	roles.text = "Web-tier";
	assert_int_equal(read_for(&asserted, &evidence, &complaint), AGENT_CONFIGURATION);
	assert_null(evidence);
	assert_non_null(strstr(complaint.text, "--role web-tier"));
	assert_non_null(strstr(complaint.text, "role is Web-tier"));
}

/* A single changed page: not now, and nothing of its text repeated. */
static void test_not_now(void **state)
{
	static const struct {
		struct page *page;
		struct page is;
	} cases[] = { { &token, { "", 500 } }, { &token, { "", 200 } }, { &token, { "", 0 } },
		{ &document, { "", 500 } }, { &document, { "", 401 } }, { &document, { "", 0 } },
		{ &document, { "", 200 } }, { &document, { "MIIB\r\nAAAA", 200 } },
		{ &document, { "EVIL<html>", 200 } }, { &roles, { "", 503 } }, { &roles, { "", 0 } },
		{ &roles, { "EVIL \x1b[2J", 200 } }, { &credentials, { "", 404 } },
		{ &credentials, { "", 500 } }, { &credentials, { "", 0 } }, { &credentials, { "", 200 } },
		{ &credentials, { "[]", 200 } }, { &credentials, { GOOD "EVIL", 200 } },
		{ &credentials, { "{\"Code\": \"Success\", \"Code\": \"Success\"}", 200 } },
		{ &credentials, { "{" PARTS ", \"Expiration\": \"2026-01-02T03:04:06Z\"}", 200 } },
		{ &credentials, { "{\"Code\": \"EVIL\", " PARTS ", \"Expiration\": \"2026-01-02T03:04:06Z\"}",
					200 } },
		{ &credentials, { "{\"Code\": \"Success\", " PARTS "}", 200 } },
		{ &credentials, { "{\"Code\": \"Success\", " PARTS ", \"Expiration\": \"EVIL\"}", 200 } },
		{ &credentials,
			{ "{\"Code\": \"Success\", " PARTS ", \"Expiration\": \"2026-01-02T03:04:05Z\"}",
				200 } },
		{ &credentials, { "{\"Code\": \"Success\", \"AccessKeyId\": \"ASIA0123456789ABCDEF\", "
				  "\"SecretAccessKey\": \"EVIL\", \"Expiration\": \"2026-01-02T03:04:06Z\"}",
					200 } },
		{ &credentials, { "{\"Code\": \"Success\", \"AccessKeyId\": \"AKIA0123456789ABCDEF\", "
				  "\"SecretAccessKey\": \"EVIL\", \"Token\": \"EVIL\", \"Expiration\": "
				  "\"2026-01-02T03:04:06Z\"}",
					200 } },
		{ &credentials,
			{ "{\"Code\": \"Success\", \"AccessKeyId\": \"ASIA0123456789ABCDEF\", "
			  "\"SecretAccessKey\": \"EVIL\", \"Token\": \"EVIL\\r\\nX: y\", \"Expiration\": "
			  "\"2026-01-02T03:04:06Z\"}",
				200 } } };
	struct complaint complaint;
	json_t *evidence;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		pages_set_good();
		*cases[i].page = cases[i].is;
		if (read_for(&asserted, &evidence, &complaint) != AGENT_GAVE_UP)
			fail_msg("taken: %zu, '%s'", i, cases[i].is.text);
		assert_null(evidence);
		assert_true(strlen(complaint.text) > 0);
		assert_null(strstr(complaint.text, "EVIL"));
	}
}

/* ---- what is left of the credentials in the process's memory: nothing */

enum { SECRET_LENGTH = 40 };

/* The secret is never spelled in this program: it is made where it is sent, and wiped there. */
static void secret_make(char secret[SECRET_LENGTH + 1])
{
	for (int i = 0; i < SECRET_LENGTH; i++)
		secret[i] = (char)('A' + (i * 7 + 3) % 26);
	secret[SECRET_LENGTH] = '\0';
}

static char credentials_text[400];

static void play_secret(struct listener *self, const char *request, char *text, size_t size)
{
	char secret[SECRET_LENGTH + 1];

	secret_make(secret);
	snprintf(credentials_text, sizeof(credentials_text),
		"{\"Code\": \"Success\", \"AccessKeyId\": \"ASIA0123456789ABCDEF\", \"SecretAccessKey\": "
		"\"%s\", \"Token\": \"t\", \"Expiration\": \"2026-01-02T03:04:06Z\"}",
		secret);
	credentials.text = credentials_text;
	play(self, request, text, size);
	explicit_bzero(credentials_text, sizeof(credentials_text));
	explicit_bzero(secret, sizeof(secret));
}

/* Byte by byte, against what secret_make would give: no copy of it is needed. */
__attribute__((no_sanitize("address"))) static unsigned secrets_within(const char *from, const char *to)
{
	unsigned found = 0;

	for (; from + SECRET_LENGTH <= to; from++) {
		int i = 0;

		while (i < SECRET_LENGTH && from[i] == (char)('A' + (i * 7 + 3) % 26))
			i++;
		found += i == SECRET_LENGTH;
	}
	return found;
}

/* In all that can be read and written; not what a sanitizer has set aside, which is of no end. */
static unsigned secrets_in_memory(void)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	unsigned long from, to;
	char line[512], mode[8];
	unsigned found = 0;

	while (maps && fgets(line, sizeof(line), maps)) {
		if (sscanf(line, "%lx-%lx %7s", &from, &to, mode) == 3 && strncmp(mode, "rw", 2) == 0 &&
			to - from < 1UL << 28 && !strstr(line, "[v"))
			found += secrets_within((const char *)from, (const char *)to);
	}
	if (maps)
		fclose(maps);
	return maps ? found : 1000;
}

static int credentials_forgotten(void)
{
	const struct http_options options = { .user_agent = "test", .connections = 1 };
	static const struct protection protection = { 8 << 20, MEMORY_JSON_LOCKED };
	char *known = malloc(SECRET_LENGTH + 1);
	struct complaint complaint;
	json_t *evidence;

	if (protect_process(&protection, &complaint) == FAULT || !known)
		return 1;
	secret_make(known);
	if (secrets_in_memory() != 1) /* or else this finds nothing at all */
		return 2;
	explicit_bzero(known, SECRET_LENGTH);
	free(known);
	pages_set_good();
	listener.answer = play_secret;
	http = http_open(&options);
	if (!http || listener_start(&listener) != 0 ||
		read_for(&asserted, &evidence, &complaint) != AGENT_DONE)
		return 3;
	listener_stop(&listener);
	if (!json_object_get(evidence, "caller-identity"))
		return 4;
	return secrets_in_memory() == 0 ? 0 : 5;
}

/* In a child, for the hardening must come before anything else. */
static void test_credentials_are_wiped(void **state)
{
	pid_t child = fork();
	int status;

	(void)state;
	assert_true(child >= 0);
	if (child == 0)
		_exit(credentials_forgotten());
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

#define WITH_SERVICE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_credentials_are_wiped),
		WITH_SERVICE(test_whole), WITH_SERVICE(test_parts_missing), WITH_SERVICE(test_another_role),
		WITH_SERVICE(test_not_now) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
