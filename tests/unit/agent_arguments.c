/* The agent's command line and its rules for URLs. */
#include "agent/arguments.h"
#include "tests/unit/unit.h"

#include <string.h>

enum { WORDS = 20 };

/* Parses words separated by blanks. */
static bool parse_with(
	const char *line, const char *endpoint, struct arguments *arguments, struct complaint *complaint)
{
	static char program[] = "vouchsafe-agent", text[1000];
	char *argv[WORDS + 1] = { program };
	char *rest = NULL;
	int argc = 1;
	char *word;

	snprintf(text, sizeof(text), "%s", line);
	for (word = strtok_r(text, " ", &rest); word && argc < WORDS; word = strtok_r(NULL, " ", &rest))
		argv[argc++] = word;
	return arguments_parse(argc, argv, endpoint, arguments, complaint);
}

static bool parse(const char *line, struct arguments *arguments, struct complaint *complaint)
{
	return parse_with(line, NULL, arguments, complaint);
}

#define GOOD "--server https://rp.example.com --role web-tier --out /run/secrets"

static void test_defaults(void **state)
{
	struct arguments arguments;
	struct complaint complaint;

	(void)state;
	assert_true(parse(GOOD, &arguments, &complaint));
	assert_string_equal(arguments.server, "https://rp.example.com");
	assert_string_equal(arguments.role, "web-tier");
	assert_string_equal(arguments.out, "/run/secrets");
	assert_string_equal(arguments.state, "/run/vouchsafe");
	assert_string_equal(arguments.metadata, "http://169.254.169.254");
	assert_null(arguments.ca);
	assert_null(arguments.source);
	assert_int_equal(arguments.deadline, 300LL * 1000000000);
}

static void test_all_given(void **state)
{
	struct arguments arguments;
	struct complaint complaint;

	(void)state;
	assert_true(parse("--role=web-tier --out=/o --server=http://127.0.0.1:8443/ --ca /ca.pem --state /s "
			  "--source 127.0.0.9 --deadline 90s",
		&arguments, &complaint));
	assert_string_equal(arguments.server, "http://127.0.0.1:8443");
	assert_string_equal(arguments.ca, "/ca.pem");
	assert_string_equal(arguments.state, "/s");
	assert_string_equal(arguments.source, "127.0.0.9");
	assert_int_equal(arguments.deadline, 90LL * 1000000000);
}

/* Each refused, and the complaint names what is wrong. */
static void test_refused(void **state)
{
	static const char *const cases[][2] = { { "", "--server" },
		{ "--role web-tier --out /o", "--server" }, { "--server https://a --out /o", "--role" },
		{ "--server https://a --role web", "--out" }, { GOOD " --server https://b", "twice" },
		{ GOOD " --role=", "twice" }, { GOOD " --deadline", "missing" },
		{ GOOD " --deadline 5", "--deadline" }, { GOOD " --deadline 999ms", "--deadline" },
		{ GOOD " --deadline 25h", "--deadline" }, { GOOD " --source 010.0.0.1", "--source" },
		{ GOOD " --source ::1", "--source" }, { GOOD " --ca=", "--ca" },
		{ GOOD " --sta /s", "no option" }, { GOOD " --stately /s", "no option" },
		{ GOOD " extra", "no option" }, { GOOD " --help", "no option" },
		{ "--server https://a --role arn:aws:iam::1:role/web --out /o", "--role" },
		{ "--server https://a/v1 --role web --out /o", "--server" } };
	struct arguments arguments;
	struct complaint complaint;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_false(parse(cases[i][0], &arguments, &complaint));
		if (!strstr(complaint.text, cases[i][1]))
			fail_msg("'%s': %s", cases[i][0], complaint.text);
	}
}

static void test_help_and_version(void **state)
{
	struct arguments arguments;
	struct complaint complaint;

	(void)state;
	assert_true(parse("--help", &arguments, &complaint));
	assert_true(arguments.help);
	assert_true(parse("--version", &arguments, &complaint));
	assert_true(arguments.version && !arguments.help);
}

static void test_endpoint(void **state)
{
	struct arguments arguments;
	struct complaint complaint;

	(void)state;
	assert_true(parse_with(GOOD, "http://127.0.0.1:1338/", &arguments, &complaint));
	assert_string_equal(arguments.metadata, "http://127.0.0.1:1338");
	assert_true(parse_with(GOOD, "http://[fd00:ec2::254]", &arguments, &complaint));
	assert_string_equal(arguments.metadata, "http://[fd00:ec2::254]");
	assert_true(parse_with(GOOD, "", &arguments, &complaint));
	assert_string_equal(arguments.metadata, "http://169.254.169.254");
	assert_false(parse_with(GOOD, "file:///etc/passwd", &arguments, &complaint));
	assert_non_null(strstr(complaint.text, "AWS_EC2_METADATA_SERVICE_ENDPOINT"));
}

static void test_urls_taken(void **state)
{
	static const char *const cases[][2] = { { "https://rp.example.com", "https://rp.example.com" },
		{ "https://rp.example.com/", "https://rp.example.com" },
		{ "HTTPS://RP.example.com:443", "https://RP.example.com:443" },
		{ "https://10.0.0.1:8443", "https://10.0.0.1:8443" },
		{ "https://[2001:db8::1]:8443/", "https://[2001:db8::1]:8443" },
		{ "http://127.0.0.1", "http://127.0.0.1" },
		{ "http://127.255.0.9:80", "http://127.255.0.9:80" },
		{ "http://[::1]:65535", "http://[::1]:65535" },
		{ "http://localhost:1", "http://localhost:1" } };
	struct complaint complaint;
	char url[URL_SIZE];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (!url_of_server(cases[i][0], url, &complaint))
			fail_msg("%s: %s", cases[i][0], complaint.text);
		assert_string_equal(url, cases[i][1]);
	}
}

static void test_urls_refused(void **state)
{
	static const char *const cases[] = { "", "rp.example.com", "https://", "https:///", "ftp://a",
		"https//a", "https://a/b", "https://a//", "https://a?b", "https://a/?b", "https://a#b",
		"https://u@a", "https://u:p@a", "https://a:", "https://a:0", "https://a:65536",
		"https://a:1234567", "https://a:1a", "https://a b", "https://a\r\nX: y", "https://a%2e",
		"https://.a", "https://-a", "https://[::1", "https://[::g]", "https://[]", "https://[::1]x",
		"https://[::1%25lo]", "https://a\\b", "https://\xc3\xa4",
		/* plain http to what only looks local */
		"http://10.0.0.1", "http://rp.example.com", "http://127.1", "http://0x7f.0.0.1",
		"http://0177.0.0.1", "http://2130706433", "http://127.0.0.1.example.com",
		"http://localhost.example.com", "http://localhost.", "http://[::]", "http://[::2]",
		"http://[::ffff:127.0.0.1]", "http://128.0.0.1", "http://169.254.169.254" };
	struct complaint complaint;
	char url[URL_SIZE];
	char longest[400] = "https://";
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (url_of_server(cases[i], url, &complaint))
			fail_msg("taken: %s", cases[i]);
		assert_non_null(strstr(complaint.text, "--server"));
	}
	memset(longest + 8, 'a', 254);
	assert_false(url_of_server(longest, url, &complaint));
	longest[8 + 253] = '\0';
	assert_true(url_of_server(longest, url, &complaint));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_defaults), cmocka_unit_test(test_all_given),
		cmocka_unit_test(test_refused), cmocka_unit_test(test_help_and_version),
		cmocka_unit_test(test_endpoint), cmocka_unit_test(test_urls_taken),
		cmocka_unit_test(test_urls_refused) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
