/* Log lines: whole lines in one write, escaped. Never holds a lock while it formats. */
#include "server/log.h"

#include "verifier/encoding.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 4096 };

struct line {
	char text[LINE_MAX_BYTES];
	size_t used;
};

/* What does not fit is left out; the line's end always fits. */
static void line_add(struct line *line, const char *text)
{
	size_t length = strlen(text);

	if (line->used + length + 4 > sizeof(line->text))
		return;
	memcpy(line->text + line->used, text, length + 1);
	line->used += length;
}

/* In quotes; control characters, quotes, backslash and everything beyond ASCII as \uXXXX or \xXX: one line
 * whatever the bytes were. JSON has no \x, so bytes beyond ASCII become the code point of the same number. */
static void line_add_quoted(struct line *line, const char *text)
{
	line_add(line, "\"");
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;
		char piece[8];

		if (c == '"' || c == '\\')
			snprintf(piece, sizeof(piece), "\\%c", c);
		else if (c < 0x20 || c > 0x7e)
			snprintf(piece, sizeof(piece), "\\u%04x", c);
		else
			snprintf(piece, sizeof(piece), "%c", c);
		line_add(line, piece);
	}
	line_add(line, "\"");
}

static void line_begin(
	struct line *line, bool terminal, const char *time, const char *level, const char *event)
{
	if (terminal) {
		line_add(line, time + 11); /* the time of day */
		line->used -= 8; /* without fraction and zone */
		line_add(line, " ");
		line_add(line, level);
		line_add(line, " ");
		line_add(line, event);
		return;
	}
	line_add(line, "{\"time\":\"");
	line_add(line, time);
	line_add(line, "\",\"level\":\"");
	line_add(line, level);
	line_add(line, "\",\"event\":");
	line_add_quoted(line, event);
}

void log_line(enum level level, const char *event, ...)
{
	static const char *const levels[] = { "info", "warning", "error" };
	bool terminal = isatty(STDERR_FILENO);
	struct line line = { .used = 0 };
	char time[TIMESTAMP_SIZE];
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
		line_add(&line, terminal ? " " : ",\"");
		line_add(&line, name);
		line_add(&line, terminal ? "=" : "\":");
		line_add_quoted(&line, value);
	}
	va_end(pairs);
	line.text[line.used++] = terminal ? '\n' : '}';
	if (!terminal)
		line.text[line.used++] = '\n';
	if (write(STDERR_FILENO, line.text, line.used) < 0)
		return; /* nobody is left to tell */
}
