/* The agent's reading of the metadata service, against a listener that plays one. */
#include "agent/metadata.h"
#include "aws/http.h"
#include "tests/unit/unit.h"

#include <string.h>

#include "tests/unit/agent_listener.h"

struct page {
	const char *path, *text;
	int status;
};

static const struct page good_pages[] = { { "/latest/meta-data/instance-id", "i-0123456789abcdef0", 200 },
	{ "/latest/meta-data/public-hostname", "ec2-203-0-113-25.compute-1.amazonaws.com", 200 },
	{ "/latest/meta-data/local-hostname", "ip-10-0-1-225.ec2.internal", 200 },
	{ "/latest/meta-data/reservation-id", "r-0123456789abcdef0", 200 },
	{ "/latest/meta-data/instance-type", "m5.large", 200 },
	{ "/latest/meta-data/local-ipv4", "10.0.1.225", 200 },
	{ "/latest/dynamic/instance-identity/document",
		"{\n  \"accountId\" : \"123456789012\",\n  \"imageId\" : \"ami-1\",\n  \"instanceId\" : "
		"\"i-0123456789abcdef0\",\n  \"region\" : \"us-east-1\",\n  \"ramdiskId\" : null\n}",
		200 } };

enum { PAGES = sizeof(good_pages) / sizeof(good_pages[0]), TOKEN_PAGE = PAGES };

/* What the service says, and how it behaves. */
struct service {
	struct page pages[PAGES];
	int token_status;
	const char *token;
	unsigned silent; /* so many requests get no answer */
	unsigned expired; /* so many requests get 401 */
};

static struct listener listener;
static struct service service;
static struct http *http;

static bool starts(const char *request, const char *method, const char *path)
{
	char line[200];

	snprintf(line, sizeof(line), "%s %s HTTP/1.1\r\n", method, path);
	return strncmp(request, line, strlen(line)) == 0;
}

static void play(struct listener *self, const char *request, char *text, size_t size)
{
	size_t i;

	(void)self;
	if (service.silent && service.silent--)
		return;
	if (starts(request, "PUT", "/latest/api/token") &&
		strcasestr(request, "\r\nX-aws-ec2-metadata-token-ttl-seconds: 300\r\n")) {
		listener_say(text, size, service.token_status, "", service.token);
		return;
	}
	if (!strcasestr(request, "\r\nX-aws-ec2-metadata-token: AQAE-token==\r\n") ||
		(service.expired && service.expired--)) {
		listener_say(text, size, 401, "", "Unauthorized");
		return;
	}
	for (i = 0; i < PAGES; i++) {
		if (starts(request, "GET", service.pages[i].path)) {
			listener_say(text, size, service.pages[i].status, "", service.pages[i].text);
			return;
		}
	}
	listener_say(text, size, 404, "", "Not Found");
}

/* ---- a clock that moves when someone waits */

static long long clock_now;
static unsigned waits;

static long long fixed_now(void *context)
{
	(void)context;
	return clock_now;
}

static void fixed_wait(void *context, long long nanoseconds)
{
	(void)context;
	waits++;
	clock_now += nanoseconds;
}

static uint32_t fixed_random(void *context)
{
	(void)context;
	return UINT32_MAX;
}

static const struct pace pace = { fixed_now, fixed_wait, fixed_random, NULL };

static bool read_all(const char *source, struct assertion *assertion, struct complaint *complaint)
{
	const struct imds imds = { .http = http,
		.base = listener.base,
		.source = source,
		.pace = &pace,
		.deadline = 300LL * 1000000000 };

	memset(assertion, 0, sizeof(*assertion));
	memset(complaint, 0, sizeof(*complaint));
	return metadata_read(&imds, "web-tier", assertion, complaint);
}

static int set_up(void **state)
{
	const struct http_options options = { .user_agent = "test", .connections = 1 };

	(void)state;
	memcpy(service.pages, good_pages, sizeof(good_pages));
	service.token = "AQAE-token==";
	service.token_status = 200;
	service.silent = service.expired = 0;
	clock_now = waits = 0;
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
	struct assertion assertion;
	struct complaint complaint;

	(void)state;
	if (!read_all("127.0.0.7", &assertion, &complaint))
		fail_msg("%s", complaint.text);
	assert_string_equal(assertion.instance_id, "i-0123456789abcdef0");
	assert_string_equal(assertion.public_hostname, "ec2-203-0-113-25.compute-1.amazonaws.com");
	assert_string_equal(assertion.local_hostname, "ip-10-0-1-225.ec2.internal");
	assert_string_equal(assertion.reservation_id, "r-0123456789abcdef0");
	assert_string_equal(assertion.instance_type, "m5.large");
	assert_string_equal(assertion.role, "web-tier");
	assert_string_equal(assertion.source_ip, "10.0.1.225");
	assert_string_equal(assertion.account_id, "123456789012");
	assert_string_equal(assertion.region, "us-east-1");
	assert_string_equal(listener.peer, "127.0.0.7");
	assert_int_equal(waits, 0);
}

static void test_no_public_name(void **state)
{
	struct assertion assertion;
	struct complaint complaint;

	(void)state;
	service.pages[1].status = 404;
	service.pages[1].text = "<html>Not Found</html>";
	assert_true(read_all(NULL, &assertion, &complaint));
	assert_string_equal(assertion.public_hostname, "");
	/* an empty page is the same */
	service.pages[1].status = 200;
	service.pages[1].text = "";
	assert_true(read_all(NULL, &assertion, &complaint));
	assert_string_equal(assertion.public_hostname, "");
	/* but only for that one */
	service.pages[2].status = 404;
	assert_false(read_all(NULL, &assertion, &complaint));
	assert_non_null(strstr(complaint.text, "local-hostname"));
}

/* A single changed page: refused at once, and nothing of its text repeated. */
static void test_unusable_values(void **state)
{
	static const struct {
		unsigned page;
		const char *text;
	} cases[] = { { 0, "i-0123" }, { 0, "" }, { 0, "i-0123456789abcdef0\n" }, { 0, "\xff\xfe" },
		{ 1, "a\r\nb" }, { 2, "" }, { 2, "a b" }, { 3, "x" }, { 4, "m5" }, { 5, "010.0.1.225" },
		{ 5, "::1" }, { 6, "" }, { 6, "{}" }, { 6, "[]" }, { 6, "{" },
		{ 6, "{\"accountId\": 123456789012, \"instanceId\": \"i-0123456789abcdef0\", \"region\": "
		     "\"us-east-1\"}" },
		{ 6, "{\"accountId\": \"123456789012\", \"instanceId\": \"i-0123456789abcdef1\", \"region\": "
		     "\"us-east-1\"}" },
		{ 6, "{\"accountId\": \"123456789012\", \"instanceId\": \"i-0123456789abcdef0\", \"region\": "
		     "\"us-east-1\", \"region\": \"us-east-2\"}" },
		{ 6, "{\"accountId\": \"123456789012\", \"instanceId\": \"i-0123456789abcdef0\", \"region\": "
		     "\"EVIL\"}" } };
	struct assertion assertion;
	struct complaint complaint;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		memcpy(service.pages, good_pages, sizeof(good_pages));
		service.pages[cases[i].page].text = cases[i].text;
		if (read_all(NULL, &assertion, &complaint))
			fail_msg("taken: page %u '%s'", cases[i].page, cases[i].text);
		assert_true(strlen(complaint.text) > 0);
		assert_null(strstr(complaint.text, "EVIL"));
	}
	assert_int_equal(waits, 0);
}

static void test_disabled(void **state)
{
	struct assertion assertion;
	struct complaint complaint;

	(void)state;
	service.token_status = 403;
	assert_false(read_all(NULL, &assertion, &complaint));
	assert_non_null(strstr(complaint.text, "403"));
	service.token_status = 200;
	service.token = "";
	assert_false(read_all(NULL, &assertion, &complaint));
	service.token = "a\r\nX-Evil: b";
	assert_false(read_all(NULL, &assertion, &complaint));
}

static void test_comes_late(void **state)
{
	struct assertion assertion;
	struct complaint complaint;

	(void)state;
	service.silent = 2;
	service.expired = 1;
	if (!read_all(NULL, &assertion, &complaint))
		fail_msg("%s", complaint.text);
	assert_int_equal(waits, 3); /* 1 + 2 + 4 s, within its patience */
	assert_int_equal(clock_now, 7LL * 1000000000);
}

static void test_never_comes(void **state)
{
	struct assertion assertion;
	struct complaint complaint;

	(void)state;
	service.silent = UINT32_MAX;
	assert_false(read_all(NULL, &assertion, &complaint));
	assert_non_null(strstr(complaint.text, listener.base));
	assert_int_equal(waits, 3); /* the fourth wait would pass its patience of 10 s */
}

#define WITH_SERVICE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = { WITH_SERVICE(test_whole), WITH_SERVICE(test_no_public_name),
		WITH_SERVICE(test_unusable_values), WITH_SERVICE(test_disabled),
		WITH_SERVICE(test_comes_late), WITH_SERVICE(test_never_comes) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
