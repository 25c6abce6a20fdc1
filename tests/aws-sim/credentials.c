/* Makes temporary credentials in the form that AWS gives them, lets them rotate and expire. Who may have them
 * is not decided here: an instance by its address (imds.c), a test by the control API. */
#include "tests/aws-sim/credentials.h"

#include "tests/aws-sim/account.h"
#include "tests/aws-sim/clock.h"
#include "tests/aws-sim/ids.h"

#include <string.h>

enum { LIFETIME = 6 * 3600, RENEWED_BEFORE_END = 3600, ASSUMED_LIFETIME = 3600, SESSION_MAX = 64 };

/* "arn:<partition>:iam::<account>:instance-profile/<path><name>" */
static const json_t *profile_at(const struct state *state, const char *arn)
{
	const char *after = strstr(arn, ":iam::"), *name = strrchr(arn, '/');
	const json_t *profile;
	char account[13];

	if (!after || !name || strlen(after) < 6 + 12)
		return NULL;
	memcpy(account, after + 6, 12);
	account[12] = '\0';
	profile = state_profile(state, account, name + 1);
	return strcmp(text_of(profile, "arn"), arn) ? NULL : profile;
}

const json_t *credentials_role(const struct state *state, const json_t *instance)
{
	const json_t *profile = profile_at(state, text_of(instance, "profile_arn"));

	return profile ? state_role(state, text_of(profile, "account"), text_of(profile, "role")) : NULL;
}

/* A new key of the role for a session; borrowed from the state, NULL: no memory. */
static const json_t *key_make(struct state *state, const json_t *role, const char *session, long seconds)
{
	char id[ID_SIZE], secret[SECRET_SIZE], token[SESSION_TOKEN_SIZE];
	json_int_t now = clock_now();

	if (!id_capitals(id, "ASIA", 16) || !secret_make(secret) || !session_token_make(token) ||
		!state_put_key(state, id,
			json_pack("{ss ss ss ss ss ss ss sI sI}", "id", id, "account",
				text_of(role, "account"), "secret", secret, "token", token, "role",
				text_of(role, "name"), "role_id", text_of(role, "id"), "session", session,
				"since", now, "expires", now + seconds)))
		return NULL;
	state_mark_changed(state);
	return state_key(state, id);
}

/* What the role's trust says, or else this. */
static long ttl_or(const json_t *role, long seconds)
{
	long ttl = number_of(role, "ttl");

	return ttl ? ttl : seconds;
}

const json_t *credentials_make(struct state *state, const json_t *role, const char *session)
{
	return key_make(state, role, session, ttl_or(role, ASSUMED_LIFETIME));
}

static const json_t *instance_renew(struct state *state, const json_t *instance, const json_t *role)
{
	const char *id = text_of(instance, "id");
	const json_t *key = key_make(state, role, id, ttl_or(role, LIFETIME));

	return key && state_put_current_key(state, id, text_of(key, "id")) ? key : NULL;
}

static bool key_is_of_role(const json_t *key, const json_t *role)
{
	return !strcmp(text_of(key, "account"), text_of(role, "account")) &&
	       !strcmp(text_of(key, "role"), text_of(role, "name"));
}

/* The age counts and not the expiry, or a key that a test has let expire would be replaced at once. */
const json_t *credentials_current(struct state *state, const json_t *instance)
{
	const json_t *role = credentials_role(state, instance);
	const json_t *key = state_key(state, state_current_key(state, text_of(instance, "id")));
	long life = ttl_or(role, LIFETIME), age = life == LIFETIME ? LIFETIME - RENEWED_BEFORE_END : life / 2;

	if (!role)
		return NULL;
	if (key && key_is_of_role(key, role) && number_of(key, "since") + age > clock_now())
		return key;
	return instance_renew(state, instance, role);
}

/* ---- control */

static json_t *key_answer(const json_t *key)
{
	char expiration[TIME_SIZE];

	if (!key)
		return NULL;
	time_write_seconds(number_of(key, "expires"), expiration);
	return json_pack("{ss ss ss ss ss ss}", "access_key_id", text_of(key, "id"), "secret_access_key",
		text_of(key, "secret"), "session_token", text_of(key, "token"), "role", text_of(key, "role"),
		"session", text_of(key, "session"), "expiration", expiration);
}

/* The instance that the arguments name, which has a role. */
static const json_t *instance_named(
	const struct state *state, const json_t *arguments, struct refusal *refusal)
{
	static const char *const known[] = { "instance", NULL };
	const json_t *instance = state_instance(state, text_of(arguments, "instance"));

	if (!arguments_known(arguments, known, refusal))
		return NULL;
	if (!instance)
		return refuse(refusal, 404, "no such instance");
	return credentials_role(state, instance) ? instance
						 : refuse(refusal, 404, "the instance has no role");
}

json_t *credentials_show(struct state *state, const json_t *arguments, struct refusal *refusal)
{
	const json_t *instance = instance_named(state, arguments, refusal);

	return instance ? key_answer(credentials_current(state, instance)) : NULL;
}

/* The ones before stay good until they expire, as AWS's do. */
json_t *credentials_rotate(struct state *state, const json_t *arguments, struct refusal *refusal)
{
	const json_t *instance = instance_named(state, arguments, refusal);

	return instance ? key_answer(instance_renew(state, instance, credentials_role(state, instance)))
			: NULL;
}

/* The instance goes on giving them out until they are rotated. */
json_t *credentials_expire(struct state *state, const json_t *arguments, struct refusal *refusal)
{
	static const char *const known[] = { "instance", "access_key_id", NULL };
	const char *id = text_of(arguments, "access_key_id");
	json_t *key;

	if (!arguments_known(arguments, known, refusal))
		return NULL;
	key = state_key(state, *id ? id : state_current_key(state, text_of(arguments, "instance")));
	if (!key || !*text_of(key, "token"))
		return refuse(refusal, 404, "no such temporary key");
	return set_member(key, "expires", json_integer(clock_now())) ? key_answer(key) : NULL;
}

json_t *credentials_assume(struct state *state, const json_t *arguments, struct refusal *refusal)
{
	static const char *const known[] = { "account", "role", "session", NULL };
	const char *session = text_of(arguments, "session");
	const json_t *role = state_role(state, text_of(arguments, "account"), text_of(arguments, "role"));

	if (!arguments_known(arguments, known, refusal))
		return NULL;
	if (!role)
		return refuse(refusal, 404, "no such role in the account");
	if (!*session || strlen(session) > SESSION_MAX)
		return refuse(refusal, 400, "'session' must have 1 to 64 characters");
	return key_answer(credentials_make(state, role, session));
}
