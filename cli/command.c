/* Command lines, moments and complaints of the command line tool. Never takes a secret from a command line:
 * that is visible to every user of the machine. */
#include "cli/command.h"

#include "verifier/encoding.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static const struct option *option_find(const struct option *option, const char *word)
{
	size_t length = strcspn(word, "=");

	for (; option->name; option++) {
		if (strlen(option->name) == length && memcmp(option->name, word, length) == 0)
			return option;
	}
	return NULL;
}

/* The option at words.word[*i]; moves *i to its last word. */
static bool option_take(const struct option *option, struct words words, int *i, struct complaint *complaint)
{
	const char *value = strchr(words.word[*i], '=');
	unsigned place = 0;

	if (option->flag) {
		if (value || *option->flag)
			return complain(complaint, "%s: give it once, without a value", option->name);
		*option->flag = true;
		return true;
	}
	while (place < option->room && option->value[place])
		place++;
	if (place == option->room && (option->room > 0 || *option->value))
		return complain(complaint, option->room > 0 ? "%s is given too often" : "%s is given twice",
			option->name);
	if (!value && *i + 1 >= words.n)
		return complain(complaint, "%s: its value is missing", option->name);
	option->value[place] = value ? value + 1 : words.word[++*i];
	return option->value[place][0] || complain(complaint, "%s: its value is empty", option->name);
}

bool command_line_take(struct words words, const struct option *options, const char *operands[],
	int n_operands, struct complaint *complaint)
{
	bool operands_only = false;
	int taken = 0;
	int i;

	for (i = 0; i < words.n; i++) {
		const char *word = words.word[i];
		const struct option *option = option_find(options, word);

		if (!operands_only && strcmp(word, "--") == 0)
			operands_only = true;
		else if (operands_only || word[0] != '-') {
			if (taken == n_operands)
				return complain(
					complaint, "one word too many: number %d behind the command", i + 1);
			operands[taken++] = word;
		} else if (!option) {
			return complain(complaint, "no such option: number %d behind the command", i + 1);
		} else if (!option_take(option, words, &i, complaint)) {
			return false;
		}
	}
	return taken == n_operands ||
	       complain(complaint, "a word is missing: %d wanted, %d given", n_operands, taken);
}

bool command_line_has(struct words words, const char *name)
{
	const struct option options[] = { { name, NULL, NULL }, { 0 } };

	for (int i = 0; i < words.n && strcmp(words.word[i], "--") != 0; i++)
		if (option_find(options, words.word[i]))
			return true;
	return false;
}

static void print_line(const char *text)
{
	fflush(stdout); /* so that both streams keep their order on a terminal */
	fprintf(stderr, "vouchsafe: %s\n", text);
}

int command_failed(const struct complaint *complaint)
{
	print_line(complaint->text);
	return COMMAND_FAILED;
}

int command_misused(const struct complaint *complaint)
{
	print_line(complaint->text);
	return COMMAND_MISUSED;
}

void command_note(const char *format, ...)
{
	char text[700];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	print_line(text);
}

int command_done(void)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return COMMAND_DONE;
	print_line("standard output could not be written");
	return COMMAND_FAILED;
}

long long command_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec * 1000000LL + now.tv_nsec / 1000;
}

bool moment_take(const char *option, const char *text, bool ahead, long long *us, struct complaint *complaint)
{
	long long milliseconds;

	if (timestamp_decode(text, us))
		return true;
	if (!duration_decode(text, &milliseconds))
		return complain(complaint,
			"%s: neither a time (2026-01-02T03:04:05Z) nor a duration (90s, 30m, 2h, 7d)",
			option);
	*us = command_now() + (ahead ? 1000 : -1000) * milliseconds;
	return true;
}

enum { WORD_MAX = 40 };

/* Levenshtein: single letters put in, left out or changed. */
static unsigned distance(const char *a, const char *b)
{
	unsigned row[WORD_MAX + 1];
	size_t length = strlen(b);
	size_t i, j;

	for (j = 0; j <= length; j++)
		row[j] = (unsigned)j;
	for (i = 0; a[i]; i++) {
		unsigned corner = row[0]++;

		for (j = 1; j <= length; j++) {
			unsigned changed = corner + (a[i] != b[j - 1]);
			unsigned least = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;

			corner = row[j];
			row[j] = changed < least ? changed : least;
		}
	}
	return row[length];
}

const char *word_nearest(const char *typed, const char *const words[])
{
	const char *best = NULL;
	unsigned least = 5; /* farther than this it is no slip */

	if (strlen(typed) > WORD_MAX)
		return NULL;
	for (; *words; words++) {
		unsigned d = distance(*words, typed);

		if (d < least) {
			least = d;
			best = *words;
		}
	}
	return best;
}
