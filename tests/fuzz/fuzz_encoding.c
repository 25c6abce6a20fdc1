/* base64, base64url, hexadecimal, times, durations, addresses, UUIDs: what is read, written again, is the
 * very same text, for each value has one spelling; and no reading needs more room than it was given. */
#include "tests/fuzz/fuzz.h"
#include "verifier/encoding.h"

#include <arpa/inet.h>
#include <string.h>

static void base64_try(const char *text, size_t length)
{
	unsigned char *data = malloc(length + 1);
	char *again = malloc(BASE64_SIZE(length) + 4);
	size_t n = length;

	MUST_HOLD(data && again);
	if (base64_decode(text, length, data, &n)) {
		base64_encode((struct bytes){ data, n }, again);
		MUST_HOLD(strlen(again) == length && memcmp(again, text, length) == 0);
	}
	n = length;
	if (base64url_decode(text, length, data, &n)) {
		base64url_encode((struct bytes){ data, n }, again);
		MUST_HOLD(strlen(again) == length && memcmp(again, text, length) == 0);
	}
	free(data);
	free(again);
}

static void hex_try(const char *text, size_t length)
{
	unsigned char data[64];
	char again[HEX_SIZE(64)];

	if (length / 2 > sizeof(data) || !hex_decode(text, data, length / 2))
		return;
	hex_encode((struct bytes){ data, length / 2 }, again);
	MUST_HOLD(strcmp(again, text) == 0);
}

static void time_try(const char *text)
{
	char again[TIMESTAMP_SIZE];
	long long microseconds, same;

	if (!timestamp_decode(text, &microseconds))
		return;
	MUST_HOLD(microseconds >= 0 && microseconds < 253402300800LL * 1000000);
	timestamp_encode(microseconds, again);
	MUST_HOLD(strncmp(again, text, 19) == 0);
	MUST_HOLD(timestamp_decode(again, &same) && same == microseconds);
}

static void others_try(const char *text)
{
	char again[INET_ADDRSTRLEN];
	struct in_addr address;
	long long milliseconds;

	if (duration_decode(text, &milliseconds))
		MUST_HOLD(milliseconds >= 0 && milliseconds <= 366LL * 86400000);
	if (address_decode(text, &address))
		MUST_HOLD(inet_ntop(AF_INET, &address, again, sizeof(again)) && strcmp(again, text) == 0);
	if (uuid_valid(text))
		MUST_HOLD(
			strlen(text) == UUID_SIZE - 1 && strspn(text, "0123456789abcdef-") == UUID_SIZE - 1);
}

/* Only a sequence that was cut is taken off. */
static void trim_try(char *text)
{
	char *before = strdup(text);
	size_t length = strlen(text), trimmed;

	MUST_HOLD(before);
	utf8_trim(text);
	trimmed = strlen(text);
	MUST_HOLD(length - trimmed <= 3 && memcmp(before, text, trimmed) == 0);
	for (size_t i = trimmed; i < length; i++)
		MUST_HOLD((unsigned char)before[i] >= 0x80);
	free(before);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	MUST_HOLD(text);
	memcpy(text, data, size);
	text[size] = '\0';
	base64_try(text, size);
	hex_try(text, strlen(text));
	time_try(text);
	others_try(text);
	trim_try(text);
	free(text);
	return 0;
}
