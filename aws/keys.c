/* The form and the time of keys. Must never say a value of theirs in a complaint. */
#include "aws/keys.h"

#include "verifier/encoding.h"
#include "verifier/json.h"
#include "verifier/memory.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

enum { KEY_LENGTH_MIN = 16, MARGIN_SECONDS = 15 * 60 };

static bool all_visible(const char *text)
{
	while (*text > ' ' && *text < 127)
		text++;
	return *text == '\0';
}

bool key_id_valid(const char *text)
{
	size_t length = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_");

	return length >= KEY_LENGTH_MIN && length < ACCESS_KEY_ID_SIZE && text[length] == '\0';
}

bool secret_key_valid(const char *text)
{
	size_t length = strnlen(text, SECRET_KEY_SIZE);

	return length >= KEY_LENGTH_MIN && length < SECRET_KEY_SIZE && all_visible(text);
}

bool session_token_valid(const char *text)
{
	size_t length = strnlen(text, SESSION_TOKEN_SIZE);

	return length > 0 && length < SESSION_TOKEN_SIZE && all_visible(text);
}

bool keys_hold(const struct keys *keys, long long now)
{
	return keys->expires == 0 || now < keys->expires;
}

void keys_wipe(struct keys *keys)
{
	OPENSSL_cleanse(keys, sizeof(*keys));
}

long long keys_renew_after(long long seconds, unsigned random)
{
	long long life = seconds * 1000;
	long long margin = life / 2 < MARGIN_SECONDS * 1000 ? life / 2 : MARGIN_SECONDS * 1000;

	return life - margin + margin / 4 * (random % 1024) / 1024;
}

/* ---- as JSON */

static bool wrong(char why[KEYS_WHY_SIZE], const char *what)
{
	snprintf(why, KEYS_WHY_SIZE, "%s", what);
	return false;
}

static bool member_take(const json_t *answer, const char *name, bool (*valid)(const char *), char *to)
{
	const char *text = json_text(answer, name);

	if (!text || !valid(text))
		return false;
	strcpy(to, text);
	return true;
}

static bool expiration_take(const json_t *answer, long long *seconds)
{
	const char *text = json_text(answer, "Expiration");
	long long microseconds;

	if (!text || !timestamp_decode(text, &microseconds))
		return false;
	*seconds = microseconds / 1000000;
	return *seconds > 0;
}

static bool object_read(const json_t *answer, struct keys *keys, char why[KEYS_WHY_SIZE])
{
	const json_t *code = json_object_get(answer, "Code");

	if (!json_is_object(answer))
		return wrong(why, "the answer is no object");
	if (code && (!json_is_string(code) || strcmp(json_string_value(code), "Success") != 0))
		return wrong(why, "its Code is not Success");
	if (!member_take(answer, "AccessKeyId", key_id_valid, keys->id))
		return wrong(why, "AccessKeyId is not there or not of its form");
	if (!member_take(answer, "SecretAccessKey", secret_key_valid, keys->secret))
		return wrong(why, "SecretAccessKey is not there or not of its form");
	if (!member_take(answer, "Token", session_token_valid, keys->token))
		return wrong(why, "Token is not there or not of its form");
	if (!expiration_take(answer, &keys->expires))
		return wrong(why, "Expiration is not there or not of its form");
	return true;
}

bool keys_parse(struct bytes answer, struct keys *keys, char why[KEYS_WHY_SIZE])
{
	json_t *value = NULL;
	bool read = false;

	memset(keys, 0, sizeof(*keys));
	if (answer.length > KEYS_BYTES_MAX)
		return wrong(why, "the answer is too large");
	/* jansson's own words would repeat what it read */
	value = json_strict(answer, NULL, NULL, NULL, 0);
	if (value)
		read = object_read(value, keys, why);
	else
		wrong(why, memory_was_out() ? "out of memory" : "the answer is not JSON");
	json_decref(value);
	if (!read)
		keys_wipe(keys);
	return read;
}
