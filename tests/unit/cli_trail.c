/* Pages of the trail as they come from the ops listener, where a token may go, and its file. */
#include "cli/trail.h"
#include "tests/unit/unit.h"

#include <string.h>

#include "tests/unit/agent_listener.h"

static bool parse(const char *text, struct trail_page *page)
{
	struct complaint complaint = { 0 };
	bool parsed = trail_page_parse(
		(struct bytes){ (const unsigned char *)text, strlen(text) }, page, &complaint);

	assert_true(parsed || complaint.text[0]);
	return parsed;
}

static void assert_event(const struct trail_page *page, size_t i, const char *expected)
{
	assert_int_equal(page->events[i].length, strlen(expected));
	assert_memory_equal(page->events[i].data, expected, strlen(expected));
}

/* The events' very bytes, whatever stands in their strings. */
static void test_pages(void **state)
{
	static const char first[] = "{\"a\":\"}]\\\"{\",\"b\":[{\"c\":\"\\\\\"},[]]}";
	char text[300];
	struct trail_page page;

	(void)state;
	snprintf(text, sizeof(text), "{\"events\":[%s,{\"n\":1.0e1}],\"next_cursor\":\"abc\"}", first);
	assert_true(parse(text, &page));
	assert_int_equal(page.n_events, 2);
	assert_event(&page, 0, first);
	assert_event(&page, 1, "{\"n\":1.0e1}");
	assert_string_equal(page.cursor, "abc");
	trail_page_clear(&page);
	assert_true(parse("{\"events\":[]}", &page));
	assert_int_equal(page.n_events, 0);
	assert_string_equal(page.cursor, "");
	trail_page_clear(&page);
}

static void test_bad_pages(void **state)
{
	static const char *const texts[] = { "", "{}", "[]", "{\"events\":{}}", "{\"events\":[1]}",
		"{\"events\":[[]]}", "{\"events\":[{}]", "{\"events\":[{}]}x",
		"{\"events\":[{\"a\":1,\"a\":2}]}", "{\"events\":[{}],\"more\":1}", "{ \"events\":[{}]}",
		"{\"events\":[ {}]}", "{\"events\":[{} ,{}]}", "{\"next_cursor\":\"a\",\"events\":[{}]}",
		"{\"events\":[{\"a\":\"\xc3\xa4\"}]}", "{\"events\":[{}],\n\"next_cursor\":\"a\"}" };
	struct trail_page page;
	char longest[400];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		if (parse(texts[i], &page))
			fail_msg("taken: %s", texts[i]);
		assert_null(page.text);
		assert_null(page.events);
	}
	snprintf(longest, sizeof(longest), "{\"events\":[],\"next_cursor\":\"%0300d\"}", 0);
	assert_false(parse(longest, &page));
}

static void test_urls(void **state)
{
	static const char *const good[] = { "https://rp.example.com", "https://rp.example.com:8444",
		"http://127.0.0.1:8444", "http://127.9.9.9", "http://localhost:1", "http://[::1]:8444" };
	static const char *const bad[] = { "", "https://", "ftp://a", "https://a/", "https://a/b",
		"https://u@a", "https://a?b", "https://a#b", "https://a b", "https://a\r\nb",
		"http://10.0.0.1", "http://127.0.0.1.example.com", "http://localhost.example.com",
		"http://127.1", "http://[::2]", "http://[::1", "http://[::1]x" };
	struct complaint complaint;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		if (!trail_url_valid(good[i], &complaint))
			fail_msg("%s: %s", good[i], complaint.text);
	}
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (trail_url_valid(bad[i], &complaint))
			fail_msg("taken: %s", bad[i]);
	}
}

static bool token_of(const char *text, size_t length, char token[TOKEN_MAX + 1])
{
	char path[] = "/tmp/cli-trail-XXXXXX";
	struct complaint complaint;
	int fd = mkstemp(path);
	bool taken;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, length), length);
	close(fd);
	taken = trail_token_read(path, token, &complaint);
	assert_int_equal(unlink(path), 0);
	return taken;
}

static void test_tokens(void **state)
{
	char token[TOKEN_MAX + 1], longest[TOKEN_MAX + 1];
	struct complaint complaint;

	(void)state;
	assert_true(token_of("abc", 3, token));
	assert_string_equal(token, "abc");
	assert_true(token_of("abc\n", 4, token));
	assert_string_equal(token, "abc");
	assert_false(token_of("", 0, token));
	assert_false(token_of("\n", 1, token));
	assert_false(token_of("a b\n", 4, token));
	assert_false(token_of("abc\n\n", 5, token));
	assert_false(token_of("abc\r\n", 5, token));
	assert_false(token_of("abc\ndef", 7, token));
	assert_false(token_of("ab\0c", 4, token));
	memset(longest, 'a', sizeof(longest));
	assert_true(token_of(longest, TOKEN_MAX - 1, token));
	assert_false(token_of(longest, sizeof(longest), token));
	assert_false(trail_token_read("/nonexistent", token, &complaint));
}

/* ---- the request */

static char last_request[8192];

static void play(struct listener *self, const char *request, char *text, size_t size)
{
	snprintf(last_request, sizeof(last_request), "%s", request);
	if (strstr(request, "role=refused"))
		listener_say(
			text, size, 401, "", "{\"code\": \"unauthorized\", \"detail\": \"no\\u001b[2J\"}");
	else
		listener_say(text, size, 200, "", self->context);
}

static void test_fetch(void **state)
{
	static char body[] = "{\"events\":[{\"seq\":1}]}";
	struct listener listener = { .answer = play, .context = body };
	struct trail trail = { .base = listener.base, .token = "t0ken" };
	struct trail_query query = {
		.instance_id = "i-0123", .event = "a&b=c d", .since_us = 1767323045000001LL
	};
	struct complaint complaint;
	struct trail_page page;

	(void)state;
	assert_int_equal(listener_start(&listener), 0);
	assert_true(trail_fetch(&trail, &query, 7, "cur/sor", &page, &complaint));
	assert_int_equal(page.n_events, 1);
	trail_page_clear(&page);
	assert_non_null(
		strstr(last_request, "GET /v1/audit/events?order=descending&limit=7&instance-id=i-0123&"
				     "event=a%26b%3Dc%20d&since=2026-01-02T03%3A04%3A05.000001Z&"
				     "cursor=cur%2Fsor HTTP/1.1\r\n"));
	assert_non_null(strstr(last_request, "\r\nAuthorization: Bearer t0ken\r\n"));
	query.role = "refused";
	assert_false(trail_fetch(&trail, &query, 7, "", &page, &complaint));
	assert_non_null(strstr(complaint.text, "audit_access"));
	assert_null(strchr(complaint.text, '\x1b'));
	listener_stop(&listener);
	assert_false(trail_fetch(&trail, &query, 7, "", &page, &complaint));
	assert_non_null(strstr(complaint.text, "no answer"));
}

/* ---- as whom */

static void assert_not_opened(struct trail_place place, const char *words)
{
	struct complaint complaint = { "" };
	struct trail trail = { 0 };

	assert_false(trail_open(&place, &trail, &complaint));
	if (!strstr(complaint.text, words))
		fail_msg("%s, expected: %s", complaint.text, words);
}

static void test_proofs(void **state)
{
	static const char here[] = "conf/policy.json"; /* a file like any other */
	struct trail_place place = { .url = "https://a.example.com", .ca = "ca", .cert = here, .key = here };
	struct complaint complaint;
	struct trail trail = { 0 };

	(void)state;
	setenv("VOUCHSAFE_TOKEN_FILE", "/nonexistent/token", 1);
	assert_true(trail_open(&place, &trail, &complaint));
	assert_string_equal(trail.certificate, here);
	assert_string_equal(trail.key, here);
	assert_string_equal(trail.ca, "ca");
	assert_string_equal(trail.token, "");
	place.key = NULL;
	assert_not_opened(place, "--cert and --key go together");
	place.cert = NULL;
	assert_not_opened(place, "cannot open the token's file /nonexistent/token");
	unsetenv("VOUCHSAFE_TOKEN_FILE");
	assert_not_opened(place, "--token-file or VOUCHSAFE_TOKEN_FILE, or show a certificate");
	place.key = here;
	assert_not_opened(place, "--cert and --key go together");
	place.cert = here;
	place.token_file = here;
	assert_not_opened(place, "exclude each other");
	place.token_file = NULL;
	place.url = "http://127.0.0.1:1";
	assert_not_opened(place, "https://HOST:PORT");
	place.url = "https://127.0.0.1:1";
	place.cert = "/nonexistent/c.pem";
	assert_not_opened(place, "--cert /nonexistent/c.pem: No such file");
	place.cert = here;
	place.key = "/nonexistent/c.key";
	assert_not_opened(place, "--key /nonexistent/c.key: No such file");
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_pages), cmocka_unit_test(test_bad_pages),
		cmocka_unit_test(test_urls), cmocka_unit_test(test_tokens), cmocka_unit_test(test_fetch),
		cmocka_unit_test(test_proofs) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
