/* Encodings, strict in what they take: each value has one spelling. */
#include "verifier/encoding.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

static const char standard[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char url_safe[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* Returns the number of characters written; no padding, no NUL. */
static size_t encode(const char alphabet[], struct bytes data, char *text)
{
	size_t n = 0;
	size_t i;

	for (i = 0; i < data.length; i += 3) {
		size_t left = data.length - i;
		unsigned group = (unsigned)data.data[i] << 16;

		group |= left > 1 ? (unsigned)data.data[i + 1] << 8 : 0;
		group |= left > 2 ? data.data[i + 2] : 0;
		text[n++] = alphabet[group >> 18];
		text[n++] = alphabet[group >> 12 & 63];
		if (left > 1)
			text[n++] = alphabet[group >> 6 & 63];
		if (left > 2)
			text[n++] = alphabet[group & 63];
	}
	return n;
}

static int digit_value(const char alphabet[], char c)
{
	const char *found = c ? strchr(alphabet, c) : NULL;

	return found ? (int)(found - alphabet) : -1;
}

/* `text_length` without padding. Refuses a last group of one character and unused bits that are not zero. */
static bool decode(
	const char alphabet[], const char *text, size_t text_length, unsigned char *data, size_t *length)
{
	size_t bytes = text_length / 4 * 3 + (text_length % 4 ? text_length % 4 - 1 : 0);
	unsigned group = 0;
	unsigned bits = 0;
	size_t n = 0;
	size_t i;

	if (text_length % 4 == 1 || bytes > *length)
		return false;
	for (i = 0; i < text_length; i++) {
		int value = digit_value(alphabet, text[i]);

		if (value < 0)
			return false;
		group = group << 6 | (unsigned)value;
		bits += 6;
		if (bits >= 8) {
			bits -= 8;
			data[n++] = (unsigned char)(group >> bits);
			group &= (1U << bits) - 1;
		}
	}
	if (group)
		return false;
	*length = n;
	return true;
}

void base64_encode(struct bytes data, char *text)
{
	size_t n = encode(standard, data, text);

	while (n % 4)
		text[n++] = '=';
	text[n] = '\0';
}

bool base64_decode(const char *text, size_t text_length, unsigned char *data, size_t *length)
{
	size_t padding = 0;

	if (text_length % 4)
		return false;
	while (padding < 2 && padding < text_length && text[text_length - 1 - padding] == '=')
		padding++;
	return decode(standard, text, text_length - padding, data, length);
}

void base64url_encode(struct bytes data, char *text)
{
	text[encode(url_safe, data, text)] = '\0';
}

bool base64url_decode(const char *text, size_t text_length, unsigned char *data, size_t *length)
{
	return decode(url_safe, text, text_length, data, length);
}

void hex_encode(struct bytes data, char *text)
{
	static const char digits[] = "0123456789abcdef";
	size_t i;

	for (i = 0; i < data.length; i++) {
		text[2 * i] = digits[data.data[i] >> 4];
		text[2 * i + 1] = digits[data.data[i] & 15];
	}
	text[2 * data.length] = '\0';
}

bool hex_decode(const char *text, unsigned char *data, size_t length)
{
	static const char digits[] = "0123456789abcdef";
	size_t i;

	if (strlen(text) != 2 * length)
		return false;
	for (i = 0; i < length; i++) {
		int high = digit_value(digits, text[2 * i]);
		int low = digit_value(digits, text[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		data[i] = (unsigned char)(high << 4 | low);
	}
	return true;
}

#define LAST_MICROSECOND 253402300799999999LL /* of the year 9999 */

void timestamp_encode(long long microseconds, char text[TIMESTAMP_SIZE])
{
	struct tm tm;
	char whole[20];
	unsigned fraction;
	time_t seconds;

	if (microseconds < 0)
		microseconds = 0;
	if (microseconds > LAST_MICROSECOND)
		microseconds = LAST_MICROSECOND;
	seconds = microseconds / 1000000;
	fraction = (unsigned)(microseconds % 1000000);
	gmtime_r(&seconds, &tm);
	strftime(whole, sizeof(whole), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text, TIMESTAMP_SIZE, "%s.%06uZ", whole, fraction % 1000000);
}

/* Exactly `count` decimal digits at *text; moves behind them. */
static bool take_digits(const char **text, unsigned count, int *value)
{
	*value = 0;
	for (; count; count--, (*text)++) {
		if (**text < '0' || **text > '9')
			return false;
		*value = *value * 10 + (**text - '0');
	}
	return true;
}

static bool take_character(const char **text, char c)
{
	if (**text != c)
		return false;
	(*text)++;
	return true;
}

static bool take_fraction(const char **text, long long *microseconds)
{
	long long weight = 100000;
	unsigned digits;

	*microseconds = 0;
	if (**text != '.')
		return true;
	(*text)++;
	for (digits = 0; **text >= '0' && **text <= '9'; digits++, (*text)++) {
		*microseconds += (**text - '0') * weight;
		weight /= 10;
	}
	return digits >= 1 && digits <= 9;
}

bool timestamp_decode(const char *text, long long *microseconds)
{
	struct tm tm = { 0 };
	struct tm again;
	long long fraction;
	time_t seconds;
	bool formed;

	formed = take_digits(&text, 4, &tm.tm_year) && take_character(&text, '-') &&
		 take_digits(&text, 2, &tm.tm_mon) && take_character(&text, '-') &&
		 take_digits(&text, 2, &tm.tm_mday) && take_character(&text, 'T') &&
		 take_digits(&text, 2, &tm.tm_hour) && take_character(&text, ':') &&
		 take_digits(&text, 2, &tm.tm_min) && take_character(&text, ':') &&
		 take_digits(&text, 2, &tm.tm_sec) && take_fraction(&text, &fraction) &&
		 take_character(&text, 'Z') && *text == '\0';
	if (!formed || tm.tm_year < 1970)
		return false;
	tm.tm_year -= 1900;
	tm.tm_mon -= 1;
	again = tm;
	seconds = timegm(&again);
	/* timegm turns 31 February into 3 March and 24:00 into the next day: such times do not exist */
	if (again.tm_mon != tm.tm_mon || again.tm_mday != tm.tm_mday || again.tm_hour != tm.tm_hour ||
		again.tm_min != tm.tm_min || again.tm_sec != tm.tm_sec)
		return false;
	*microseconds = (long long)seconds * 1000000 + fraction;
	return true;
}

bool duration_decode(const char *text, long long *milliseconds)
{
	static const struct {
		const char *unit;
		long long milliseconds;
	} units[] = { { "ms", 1 }, { "s", 1000 }, { "m", 60000 }, { "h", 3600000 }, { "d", 86400000 } };
	const long long most = 366LL * 86400000;
	long long number = 0;
	size_t digits = strspn(text, "0123456789");
	size_t i;

	if (digits == 0 || digits > 12)
		return false;
	for (i = 0; i < digits; i++)
		number = number * 10 + (text[i] - '0');
	for (i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (strcmp(text + digits, units[i].unit) != 0)
			continue;
		if (number > most / units[i].milliseconds)
			return false;
		*milliseconds = number * units[i].milliseconds;
		return true;
	}
	return false;
}

bool address_decode(const char *text, struct in_addr *address)
{
	char canonical[INET_ADDRSTRLEN];

	if (inet_pton(AF_INET, text, address) != 1)
		return false;
	return inet_ntop(AF_INET, address, canonical, sizeof(canonical)) && strcmp(canonical, text) == 0;
}

void utf8_trim(char *text)
{
	size_t length = strlen(text);
	size_t lead = length;
	unsigned char c;
	size_t wanted;

	while (lead && length - lead < 3 && ((unsigned char)text[lead - 1] & 0xc0) == 0x80)
		lead--;
	if (lead == 0)
		return;
	c = (unsigned char)text[lead - 1];
	wanted = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc0 ? 2 : 1;
	if (length - (lead - 1) < wanted)
		text[lead - 1] = '\0';
}

void uuid7_encode(long long milliseconds, const unsigned char random[10], char text[UUID_SIZE])
{
	unsigned char id[16];
	char hex[HEX_SIZE(sizeof(id))];
	unsigned i;

	for (i = 0; i < 6; i++)
		id[i] = (unsigned char)(milliseconds >> (40 - 8 * i));
	memcpy(id + 6, random, 10);
	id[6] = (unsigned char)(0x70 | (id[6] & 0x0f));
	id[8] = (unsigned char)(0x80 | (id[8] & 0x3f));
	hex_encode((struct bytes){ id, sizeof(id) }, hex);
	snprintf(text, UUID_SIZE, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16, hex + 20);
}

bool uuid_valid(const char *text)
{
	size_t i;

	for (i = 0; i < UUID_SIZE && text[i]; i++) {
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;

		if (dash ? text[i] != '-' : digit_value("0123456789abcdef", text[i]) < 0)
			return false;
	}
	return i == UUID_SIZE - 1;
}
