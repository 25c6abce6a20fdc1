/* Keys from the environment, by a strict form. Must never say a value of theirs in a complaint. */
#include "aws/source.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

struct environment {
	struct source source;
	struct keys keys;
};

static bool variable_missing(const char *name)
{
	const char *value = getenv(name);

	return value == NULL || value[0] == '\0';
}

/* Copies a variable that is there and of its form; false otherwise. */
static bool variable_take(const char *name, bool (*valid)(const char *), char *to)
{
	const char *value = getenv(name);

	if (value == NULL || !valid(value))
		return false;
	strcpy(to, value);
	return true;
}

static bool keys_read(struct keys *keys, struct complaint *complaint)
{
	if (variable_missing("AWS_ACCESS_KEY_ID"))
		return complain(complaint,
			"AWS_ACCESS_KEY_ID is not set: set it beside AWS_SECRET_ACCESS_KEY and (for "
			"temporary credentials) AWS_SESSION_TOKEN, or unset all of them");
	if (!variable_take("AWS_ACCESS_KEY_ID", key_id_valid, keys->id))
		return complain(complaint,
			"AWS_ACCESS_KEY_ID is no access key id: it must be 16 to 128 letters and "
			"digits, as in AKIA...");
	if (variable_missing("AWS_SECRET_ACCESS_KEY"))
		return complain(complaint,
			"AWS_SECRET_ACCESS_KEY is not set: set it to the secret of AWS_ACCESS_KEY_ID");
	if (!variable_take("AWS_SECRET_ACCESS_KEY", secret_key_valid, keys->secret))
		return complain(complaint,
			"AWS_SECRET_ACCESS_KEY is no secret access key: it must be 16 to 256 "
			"visible characters without blanks or line breaks");
	if (!variable_missing("AWS_SESSION_TOKEN") &&
		!variable_take("AWS_SESSION_TOKEN", session_token_valid, keys->token))
		return complain(complaint,
			"AWS_SESSION_TOKEN is no session token: it must be at most 8192 visible "
			"characters without blanks or line breaks; unset it for long-term keys");
	return true;
}

static void environment_fetch(struct source *source, long long deadline)
{
	struct environment *environment = (struct environment *)source;

	(void)deadline;
	source->keys = environment->keys;
	source_give(source);
}

static void environment_free(struct source *source)
{
	OPENSSL_cleanse(source, sizeof(struct environment));
	free(source);
}

struct source *source_environment(struct complaint *complaint)
{
	struct environment *environment = calloc(1, sizeof(*environment));

	if (!environment) {
		complain(complaint, "out of memory");
		return NULL;
	}
	environment->source.name = "the environment";
	environment->source.fetch = environment_fetch;
	environment->source.free = environment_free;
	if (!keys_read(&environment->keys, complaint)) {
		source_free(&environment->source);
		return NULL;
	}
	return &environment->source;
}
