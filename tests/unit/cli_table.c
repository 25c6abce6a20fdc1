/* Tables: as wide as their content, and harmless for a terminal. */
#include "cli/table.h"
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

static const char *const headings[] = { "NAME", "V", "NOTE", NULL };

static void add(struct table *table, const char *name, const char *v, const char *note)
{
	const char *const cells[] = { name, v, note };

	assert_true(table_add(table, cells));
}

static void assert_prints(struct table *table, const char *expected)
{
	char *text = NULL;
	size_t length;
	FILE *stream = open_memstream(&text, &length);

	assert_non_null(stream);
	table_print(table, stream);
	fclose(stream);
	assert_string_equal(text, expected);
	free(text);
}

static void test_widths(void **state)
{
	struct table *table = table_new(headings);

	(void)state;
	add(table, "a", "1", "x");
	add(table, "longer-name", "22", "");
	add(table, NULL, "3", NULL);
	assert_prints(
		table, "NAME         V   NOTE\na            1   x\nlonger-name  22  -\n-            3   -\n");
	/* the next page: no headings again, and never narrower */
	add(table, "b", "4", "y");
	assert_prints(table, "b            4   y\n");
	assert_prints(table, "");
	table_free(table);
	table_free(NULL);
}

static void test_empty(void **state)
{
	struct table *table = table_new(headings);

	(void)state;
	assert_prints(table, "NAME  V  NOTE\n");
	table_free(table);
}

static void test_bare(void **state)
{
	static const char *const none[] = { "", "", "", NULL };
	struct table *table = table_new(none);

	(void)state;
	add(table, "release", "x", "y");
	add(table, "a", "x", "y");
	table_bare(table);
	assert_prints(table, "release  x  y\na        x  y\n");
	table_free(table);
}

static void attack_39_hostile_cells(void **state)
{
	struct table *table = table_new(headings);

	(void)state;
	add(table, "\x1b[2J", "a\r\nb\t", "\xe2\x80\xa8 \x7f \xff \\x41 \"'");
	assert_prints(table, "NAME     V               NOTE\n"
			     "\\x1b[2J  a\\x0d\\x0ab\\x09  \\xe2\\x80\\xa8 \\x7f \\xff \\\\x41 \"'\n");
	table_free(table);
}

static void test_many(void **state)
{
	struct table *table = table_new(headings);
	unsigned i;

	(void)state;
	for (i = 0; i < 1000; i++)
		add(table, "n", "v", "x");
	table_free(table);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_widths), cmocka_unit_test(test_empty),
		cmocka_unit_test(test_bare), cmocka_unit_test(attack_39_hostile_cells),
		cmocka_unit_test(test_many) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
