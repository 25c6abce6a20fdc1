/* Log lines: whole lines in one write, escaped. Never holds a lock while it formats. */
#include "vault/log.h"

#include "verifier/encoding.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 4096, CLOSING = 4 /* kept free: quote, brace, line feed */ };

struct line {
	char text[LINE_MAX_BYTES];
	size_t used;
	bool full; /* something did not fit: nothing more is added but what closes the line */
};

/* Whole or not at all. */
static void line_add(struct line *line, const char *text)
{
	size_t length = strlen(text);

	line->full = line->full || line->used + length + CLOSING > sizeof(line->text);
	if (line->full)
		return;
	memcpy(line->text + line->used, text, length);
	line->used += length;
}

static void line_close(struct line *line, char c)
{
	line->text[line->used++] = c;
}

/* One byte, escaped: control characters, quote, backslash and everything beyond ASCII, so that it is one line
 * of JSON whatever the bytes were. A byte beyond ASCII becomes the code point of that number. */
static void line_add_byte(struct line *line, unsigned char c)
{
	char piece[8];

	if (c == '"' || c == '\\')
		snprintf(piece, sizeof(piece), "\\%c", c);
	else if (c < 0x20 || c > 0x7e)
		snprintf(piece, sizeof(piece), "\\u%04x", c);
	else
		snprintf(piece, sizeof(piece), "%c", c);
	line_add(line, piece);
}

/* `before` and a quote, the value, a quote. A value that does not fit is cut; of a pair that does not even
 * begin to fit nothing is left behind. */
static void line_add_quoted(struct line *line, const char *before, const char *value)
{
	char opening[124];

	snprintf(opening, sizeof(opening), "%s\"", before);
	line_add(line, opening);
	if (line->full)
		return;
	for (; *value; value++)
		line_add_byte(line, (unsigned char)*value);
	line_close(line, '"');
}

static void line_begin(
	struct line *line, bool terminal, const char *time, const char *level, const char *event)
{
	char head[120];

	if (terminal) {
		/* the time of day, without fraction and zone */
		snprintf(head, sizeof(head), "%.8s %s %.60s", time + 11, level, event);
		line_add(line, head);
		return;
	}
	snprintf(head, sizeof(head), "{\"time\":\"%s\",\"level\":\"%s\",\"event\":", time, level);
	line_add_quoted(line, head, event);
}

void log_line(enum level level, const char *event, ...)
{
	static const char *const levels[] = { "info", "warning", "error" };
	bool terminal = isatty(STDERR_FILENO);
	struct line line = { .used = 0 };
	char time[TIMESTAMP_SIZE];
	char before[72];
	struct timeval now;
	va_list pairs;
	const char *name;

	gettimeofday(&now, NULL);
	timestamp_encode((long long)now.tv_sec * 1000000 + now.tv_usec, time);
	line_begin(&line, terminal, time, levels[level], event);
	va_start(pairs, event);
	while ((name = va_arg(pairs, const char *))) {
		const char *value = va_arg(pairs, const char *);

		if (!value)
			continue;
		snprintf(before, sizeof(before), terminal ? " %.60s=" : ",\"%.60s\":", name);
		line_add_quoted(&line, before, value);
	}
	va_end(pairs);
	if (!terminal)
		line_close(&line, '}');
	line_close(&line, '\n');
	if (write(STDERR_FILENO, line.text, line.used) < 0)
		return; /* nobody is left to tell */
}
