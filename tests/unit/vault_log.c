/* Log lines: one line of JSON whatever the bytes were, and however long. */
#include "tests/unit/unit.h"
#include "vault/log.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int kept_stderr;
static FILE *caught;

static int set_up(void **state)
{
	(void)state;
	kept_stderr = dup(STDERR_FILENO);
	caught = tmpfile();
	return kept_stderr < 0 || !caught || dup2(fileno(caught), STDERR_FILENO) < 0;
}

static int tear_down(void **state)
{
	(void)state;
	dup2(kept_stderr, STDERR_FILENO);
	close(kept_stderr);
	return fclose(caught);
}

/* The one line that was written since the last call, parsed. */
static json_t *line_read(void)
{
	static char text[8192];
	json_error_t error;
	size_t length;
	json_t *line;

	rewind(caught);
	length = fread(text, 1, sizeof(text), caught);
	assert_true(length > 0 && length < sizeof(text));
	assert_int_equal(ftruncate(fileno(caught), 0), 0);
	assert_int_equal(lseek(STDERR_FILENO, 0, SEEK_SET), 0);
	assert_ptr_equal(memchr(text, '\n', length), text + length - 1);
	line = json_loadb(text, length, JSON_REJECT_DUPLICATES, &error);
	if (!line)
		fail_msg("%s: %.*s", error.text, (int)length, text);
	return line;
}

static const char *value(const json_t *line, const char *name)
{
	return json_string_value(json_object_get(line, name));
}

static void pairs(void **state)
{
	json_t *line;

	(void)state;
	log_line(LOG_WARNING, "listening", "address", "127.0.0.1:1", "left-out", NULL, "other", "", NULL);
	line = line_read();
	assert_string_equal(value(line, "level"), "warning");
	assert_string_equal(value(line, "event"), "listening");
	assert_string_equal(value(line, "address"), "127.0.0.1:1");
	assert_string_equal(value(line, "other"), "");
	assert_null(json_object_get(line, "left-out"));
	assert_int_equal(strlen(value(line, "time")), 27);
	json_decref(line);
}

/* ATTACKS 39 */
static void attack_39_hostile_bytes(void **state)
{
	char every[256];
	json_t *line;
	int i;

	(void)state;
	for (i = 1; i < 128; i++)
		every[i - 1] = (char)i;
	every[127] = '\0';
	log_line(LOG_INFO, "x", "value", every, NULL);
	line = line_read();
	assert_string_equal(value(line, "value"), every);
	json_decref(line);
	log_line(LOG_INFO, "x", "value", "\xff\xc3\xa9\xe2\x80\xa8", NULL);
	line = line_read();
	assert_non_null(value(line, "value"));
	json_decref(line);
}

static void too_long(void **state)
{
	static char text[6000];
	size_t length;

	(void)state;
	for (length = 3800; length < sizeof(text); length++) {
		json_t *line;

		memset(text, length % 3 ? 'a' : '\n', length);
		text[length] = '\0';
		log_line(LOG_ERROR, "x", "first", "kept", "long", text, "last", text, NULL);
		line = line_read();
		assert_string_equal(value(line, "first"), "kept");
		json_decref(line);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(pairs, set_up, tear_down),
		cmocka_unit_test_setup_teardown(attack_39_hostile_bytes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(too_long, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
