/* Command lines, moments, and the word that was meant. */
#include "cli/command.h"
#include "tests/unit/unit.h"

#include <stdio.h>
#include <string.h>

struct line {
	const char *config, *file;
	bool json;
	const char *operands[2];
	struct complaint complaint;
};

/* Words separated by blanks; takes n_operands of them. */
static bool take(const char *text, int n_operands, struct line *line)
{
	static char copy[500];
	struct option options[] = { { "--config", &line->config, NULL }, { "--file", &line->file, NULL },
		{ "--json", NULL, &line->json }, { 0 } };
	char *word[20], *rest = NULL;
	struct words words = { 0, word };
	char *next;

	memset(line, 0, sizeof(*line));
	snprintf(copy, sizeof(copy), "%s", text);
	for (next = strtok_r(copy, " ", &rest); next && words.n < 20; next = strtok_r(NULL, " ", &rest))
		word[words.n++] = next;
	return command_line_take(words, options, line->operands, n_operands, &line->complaint);
}

static void test_taken(void **state)
{
	struct line line;

	(void)state;
	assert_true(take("", 0, &line));
	assert_true(take("a --config c b --json --file=f", 2, &line));
	assert_string_equal(line.config, "c");
	assert_string_equal(line.file, "f");
	assert_true(line.json);
	assert_string_equal(line.operands[0], "a");
	assert_string_equal(line.operands[1], "b");
	assert_true(take("--config=a=b -- --json", 1, &line));
	assert_string_equal(line.config, "a=b");
	assert_string_equal(line.operands[0], "--json");
	assert_false(line.json);
}

static void test_refused(void **state)
{
	static const struct {
		const char *text;
		int n_operands;
		const char *why;
	} cases[] = { { "a", 0, "too many" }, { "", 1, "missing" }, { "a b c", 2, "too many" },
		{ "--config", 0, "--config" }, { "--config=", 0, "--config" },
		{ "--config a --config b", 0, "twice" }, { "--json --json", 0, "--json" },
		{ "--json=1", 0, "--json" }, { "--jso", 0, "option" }, { "--jsonx", 0, "option" },
		{ "-j", 0, "option" } };
	struct line line;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (take(cases[i].text, cases[i].n_operands, &line))
			fail_msg("taken: %s", cases[i].text);
		if (!strstr(line.complaint.text, cases[i].why))
			fail_msg("%s: %s", cases[i].text, line.complaint.text);
	}
}

static void test_moments(void **state)
{
	struct complaint complaint;
	long long us, now;

	(void)state;
	assert_true(moment_take("--since", "2026-01-02T03:04:05Z", false, &us, &complaint));
	assert_int_equal(us, 1767323045000000LL);
	now = command_now();
	assert_true(moment_take("--since", "30m", false, &us, &complaint));
	assert_in_range(us, now - 1800000000LL, command_now() - 1800000000LL);
	now = command_now();
	assert_true(moment_take("--until", "1h", true, &us, &complaint));
	assert_in_range(us, now + 3600000000LL, command_now() + 3600000000LL);
	assert_false(moment_take("--until", "tomorrow", true, &us, &complaint));
	assert_non_null(strstr(complaint.text, "--until"));
	assert_false(moment_take("--until", "", true, &us, &complaint));
}

static void test_nearest(void **state)
{
	static const char *const words[] = { "help", "vault apply", "vault status", "secret put", NULL };
	char longest[300];

	(void)state;
	assert_string_equal(word_nearest("vault aply", words), "vault apply");
	assert_string_equal(word_nearest("sekret put", words), "secret put");
	assert_string_equal(word_nearest("halp", words), "help");
	assert_null(word_nearest("something else", words));
	memset(longest, 'a', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	assert_null(word_nearest(longest, words));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_taken), cmocka_unit_test(test_refused),
		cmocka_unit_test(test_moments), cmocka_unit_test(test_nearest) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
