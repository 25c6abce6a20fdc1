/* The three texts that bring keys: what is taken has the form of keys and nothing else, and of what is
 * refused nothing stays. The first byte chooses which. */
#include "aws/assume.h"
#include "aws/shared_file.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

static const struct role role = { "arn:aws:iam::123456789012:role/p/vouchsafe", "", "vouchsafe-rp-1" };

static void must_be_keys(const struct keys *keys)
{
	MUST_HOLD(key_id_valid(keys->id) && secret_key_valid(keys->secret));
	MUST_HOLD(keys->token[0] == '\0' || session_token_valid(keys->token));
	MUST_HOLD(keys->expires >= 0);
}

static void must_be_nothing(const struct keys *keys, const char *why)
{
	static const struct keys none;

	MUST_HOLD(why[0] != '\0' && memcmp(keys, &none, sizeof(none)) == 0);
}

static bool file_read(const uint8_t *data, size_t size, struct keys *keys, char why[KEYS_WHY_SIZE])
{
	char *text = malloc(size + 1);
	bool read;

	MUST_HOLD(text != NULL);
	if (size > 0)
		memcpy(text, data, size);
	text[size] = '\0';
	read = shared_file_parse(text, "default", keys, why);
	free(text);
	MUST_HOLD(!read || keys->expires == 0);
	return read;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct keys keys;
	char why[KEYS_WHY_SIZE] = "";
	struct bytes rest;
	bool read;

	if (size == 0)
		return 0;
	rest = (struct bytes){ data + 1, size - 1 };
	switch (data[0]) {
	case 'j':
		read = keys_parse(rest, &keys, why);
		break;
	case 'f':
		read = file_read(data + 1, size - 1, &keys, why);
		break;
	default:
		read = assume_parse(rest, &role, data[0] == 'w', &keys, why);
	}
	MUST_HOLD(!read || data[0] == 'f' || (keys.token[0] != '\0' && keys.expires > 0));
	if (read)
		must_be_keys(&keys);
	else
		must_be_nothing(&keys, why);
	return 0;
}
