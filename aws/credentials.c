/* Reads the credentials for our own calls from the environment, by a strict form: what is signed with, and
 * what is put into a header, has no blanks and no control characters. Must never say a value of theirs in a
 * complaint. */
#include "aws/credentials.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

enum { KEY_ID_MIN = 16, KEY_ID_MAX = 128, SECRET_MIN = 16, SECRET_MAX = 256, TOKEN_MAX = 8192 };

struct credentials {
	char key_id[KEY_ID_MAX + 1];
	char secret[SECRET_MAX + 1];
	char token[TOKEN_MAX + 1]; /* "": none */
};

/* IAM's accessKeyIdType. */
static bool key_id_character(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
}

static bool visible_character(char c)
{
	return c > ' ' && c < 127;
}

/* Copies a variable that is there and of its form; false otherwise. */
static bool variable_take(const char *name, size_t min, size_t max, bool (*fits)(char), char *to)
{
	const char *value = getenv(name);
	size_t length = value == NULL ? 0 : strnlen(value, max + 1);

	if (value == NULL || length < min || length > max)
		return false;
	for (size_t i = 0; i < length; i++)
		if (!fits(value[i]))
			return false;
	memcpy(to, value, length);
	to[length] = '\0';
	return true;
}

static bool variable_missing(const char *name)
{
	const char *value = getenv(name);

	return value == NULL || value[0] == '\0';
}

static bool credentials_read(struct credentials *credentials, struct complaint *complaint)
{
	if (variable_missing("AWS_ACCESS_KEY_ID"))
		return complain(complaint,
			"AWS_ACCESS_KEY_ID is not set: set it, AWS_SECRET_ACCESS_KEY and (for "
			"temporary credentials) AWS_SESSION_TOKEN in the service's environment");
	if (!variable_take(
		    "AWS_ACCESS_KEY_ID", KEY_ID_MIN, KEY_ID_MAX, key_id_character, credentials->key_id))
		return complain(complaint,
			"AWS_ACCESS_KEY_ID is no access key id: it must be 16 to 128 letters and "
			"digits, as in AKIA...");
	if (variable_missing("AWS_SECRET_ACCESS_KEY"))
		return complain(complaint,
			"AWS_SECRET_ACCESS_KEY is not set: set it to the secret of AWS_ACCESS_KEY_ID");
	if (!variable_take(
		    "AWS_SECRET_ACCESS_KEY", SECRET_MIN, SECRET_MAX, visible_character, credentials->secret))
		return complain(complaint,
			"AWS_SECRET_ACCESS_KEY is no secret access key: it must be 16 to 256 "
			"visible characters without blanks or line breaks");
	if (!variable_missing("AWS_SESSION_TOKEN") &&
		!variable_take("AWS_SESSION_TOKEN", 1, TOKEN_MAX, visible_character, credentials->token))
		return complain(complaint,
			"AWS_SESSION_TOKEN is no session token: it must be at most 8192 visible "
			"characters without blanks or line breaks; unset it for long-term keys");
	return true;
}

struct credentials *credentials_from_environment(struct complaint *complaint)
{
	struct credentials *credentials = calloc(1, sizeof(*credentials));

	if (credentials == NULL) {
		complain(complaint, "out of memory");
		return NULL;
	}
	if (!credentials_read(credentials, complaint)) {
		credentials_free(credentials);
		return NULL;
	}
	return credentials;
}

void credentials_free(struct credentials *credentials)
{
	if (credentials == NULL)
		return;
	OPENSSL_cleanse(credentials, sizeof(*credentials));
	free(credentials);
}

void credentials_lend(const struct credentials *credentials, struct http_signature *signature)
{
	signature->access_key_id = credentials->key_id;
	signature->secret_access_key = credentials->secret;
	signature->session_token = credentials->token;
}
