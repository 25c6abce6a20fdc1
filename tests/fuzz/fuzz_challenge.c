/* Challenges: whatever text comes, only one that this key has made is taken, and in its one spelling. The
 * input is tried as it is, and laid over a good challenge. */
#include "verifier/challenge.h"
#include "verifier/encoding.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { NOW = 1767323045, TEXT_MAX = 256 };

static const unsigned char key[CHALLENGE_KEY_SIZE] = "a key that no input can know";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Taken means: made again from its own time and random bytes it is the same text. */
static void challenge_try(const char *text)
{
	unsigned char bytes[CHALLENGE_SIZE];
	char again[CHALLENGE_SIZE];
	size_t length = sizeof(bytes);
	struct reason reason;
	time_t made = 0;
	enum outcome outcome = challenge_verify(key, NOW, text, &reason);

	if (outcome == REFUSED && strcmp(reason.code, REASON_CHALLENGE) == 0)
		return;
	if (outcome != OK || !base64url_decode(text, strlen(text), bytes, &length))
		abort();
	for (int i = 1; i < 9; i++)
		made = (time_t)((unsigned long long)made << 8 | bytes[i]);
	if (!challenge_make(key, made, bytes + 9, again) || strcmp(again, text) != 0)
		abort();
	if (made > NOW + CHALLENGE_AHEAD || made + CHALLENGE_SECONDS <= NOW)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const unsigned char random[CHALLENGE_RANDOM] = "random bytes";
	char text[TEXT_MAX + 1], good[CHALLENGE_SIZE];

	if (size > TEXT_MAX)
		size = TEXT_MAX;
	memcpy(text, data, size);
	text[size] = '\0';
	challenge_try(text);
	if (!challenge_make(key, NOW, random, good))
		abort();
	memcpy(text, good, sizeof(good));
	for (size_t i = 0; i < size && i < CHALLENGE_SIZE - 1; i++)
		text[i] = (char)(text[i] ^ data[i]);
	challenge_try(text);
	return 0;
}
