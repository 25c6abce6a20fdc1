/* Reads and writes times in AWS's forms; always UTC. */
#include "tests/aws-sim/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

time_t clock_now(void)
{
	return time(NULL);
}

static void time_format(time_t time, const char *end, char text[TIME_SIZE])
{
	struct tm tm = { 0 };
	size_t length;

	gmtime_r(&time, &tm);
	length = strftime(text, TIME_SIZE, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text + length, TIME_SIZE - length, "%s", end);
}

void time_write(time_t time, char text[TIME_SIZE])
{
	time_format(time, ".000Z", text);
}

void time_write_seconds(time_t time, char text[TIME_SIZE])
{
	time_format(time, "Z", text);
}

void time_write_compact(time_t time, char text[COMPACT_TIME_SIZE])
{
	struct tm tm = { 0 };

	gmtime_r(&time, &tm);
	strftime(text, COMPACT_TIME_SIZE, "%Y%m%dT%H%M%SZ", &tm);
}

/* "Z" or "+01:30", and nothing behind it. */
static bool offset_read(const char *text, long *seconds)
{
	unsigned hours, minutes;
	char sign;
	int used = 0;

	*seconds = 0;
	if (!strcmp(text, "Z"))
		return true;
	if (sscanf(text, "%c%2u:%2u%n", &sign, &hours, &minutes, &used) != 3 || text[used] || used != 6)
		return false;
	*seconds = (long)(hours * 3600 + minutes * 60) * (sign == '-' ? -1 : 1);
	return (sign == '+' || sign == '-') && hours < 24 && minutes < 60;
}

bool time_read(const char *text, time_t *time)
{
	struct tm tm = { 0 };
	const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
	long offset;

	if (!rest || rest - text != 19)
		return false;
	if (*rest == '.') {
		size_t digits = strspn(rest + 1, "0123456789");

		if (!digits)
			return false;
		rest += 1 + digits;
	}
	if (!offset_read(rest, &offset))
		return false;
	*time = timegm(&tm) - offset;
	return true;
}

bool time_read_compact(const char *text, time_t *time)
{
	struct tm tm = { 0 };
	const char *rest = strptime(text, "%Y%m%dT%H%M%SZ", &tm);

	if (!rest || *rest || strlen(text) != COMPACT_TIME_SIZE - 1)
		return false;
	*time = timegm(&tm);
	return true;
}
