/* Makes accounts, access keys, roles and instance profiles, with the ids and ARNs that IAM would give
 * them. It decides nothing about who may do what: a key that is known may call everything. */
#include "tests/aws-sim/account.h"

#include "tests/aws-sim/clock.h"
#include "tests/aws-sim/ids.h"

#include <stdio.h>
#include <string.h>

enum { ROLE_NAME_MAX = 64, PROFILE_NAME_MAX = 128 };

static const struct partition partitions[] = {
	{ "cn-", "aws-cn", "amazonaws.com.cn", "cn-north-1" },
	{ "us-gov-", "aws-us-gov", "amazonaws.com", "us-gov-west-1" },
	{ "eusc-", "aws-eusc", "amazonaws.eu", "eusc-de-east-1" },
	{ "", "aws", "amazonaws.com", "us-east-1" },
};

const struct partition *partition_of_region(const char *region)
{
	const struct partition *partition = partitions;

	while (strncmp(region, partition->region_prefix, strlen(partition->region_prefix)) != 0)
		partition++;
	return partition;
}

static bool partition_exists(const char *name)
{
	for (size_t i = 0; i < sizeof partitions / sizeof *partitions; i++)
		if (!strcmp(partitions[i].name, name))
			return true;
	return false;
}

bool arguments_known(const json_t *arguments, const char *const names[], struct refusal *refusal)
{
	const char *member;
	json_t *value;

	json_object_foreach((json_t *)arguments, member, value)
	{
		unsigned i = 0;

		while (names[i] && strcmp(names[i], member) != 0)
			i++;
		if (names[i])
			continue;
		refuse(refusal, 400, "unknown member '%s'", member);
		return false;
	}
	return true;
}

static bool account_id_valid(const char *id)
{
	return strlen(id) == 12 && strspn(id, "0123456789") == 12;
}

static bool iam_name_valid(const char *name, size_t max)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+=,.@_-";
	size_t length = strlen(name);

	return length && length <= max && strspn(name, letters) == length;
}

static bool path_valid(const char *path)
{
	size_t length = strlen(path);

	return length && length <= 128 && path[0] == '/' && path[length - 1] == '/';
}

/* The member's text, or the other where it is absent. */
static const char *text_or(const json_t *object, const char *member, const char *otherwise)
{
	return json_object_get(object, member) ? text_of(object, member) : otherwise;
}

static bool key_add(struct state *state, const json_t *arguments, json_t *account)
{
	const char *token = text_of(arguments, "session_token");
	char made_id[ID_SIZE], made_secret[ID_SIZE], user_id[ID_SIZE];
	const char *id, *secret;

	if (!id_capitals(made_id, *token ? "ASIA" : "AKIA", 16) || !id_capitals(user_id, "AIDA", 17) ||
		!id_capitals(made_secret, "", ID_SIZE - 1))
		return false;
	id = text_or(arguments, "access_key_id", made_id);
	secret = text_or(arguments, "secret_access_key", made_secret);
	return state_put_key(state, id,
		       json_pack("{ss ss ss ss ss ss}", "id", id, "account", text_of(account, "id"), "secret",
			       secret, "token", token, "user", text_of(arguments, "user"), "user_id",
			       user_id)) &&
	       set_text(account, "access_key_id", id) && set_text(account, "secret_access_key", secret) &&
	       set_text(account, "session_token", token);
}

json_t *account_add(struct state *state, const json_t *arguments, struct refusal *refusal)
{
	static const char *const known[] = { "id", "partition", "access_key_id", "secret_access_key",
		"session_token", "user", NULL };
	const char *id = text_of(arguments, "id"), *partition = text_or(arguments, "partition", "aws");
	json_t *account;

	if (!arguments_known(arguments, known, refusal))
		return NULL;
	if (!account_id_valid(id))
		return refuse(refusal, 400, "'id' must be 12 digits");
	if (!partition_exists(partition))
		return refuse(refusal, 400, "unknown partition");
	account = json_pack("{ss ss}", "id", id, "partition", partition);
	if (account && key_add(state, arguments, account) &&
		state_put_account(state, id, json_incref(account)))
		return account;
	json_decref(account);
	return NULL;
}

/* Keeps the id of one that is there under this name. */
static json_t *iam_object(const json_t *old, const char *account, const char *partition, const char *kind,
	const char *prefix, const char *name, const char *path)
{
	char id[ID_SIZE], now[TIME_SIZE], arn[512];

	if (!id_capitals(id, prefix, 17))
		return NULL;
	time_write(clock_now(), now);
	snprintf(arn, sizeof arn, "arn:%s:iam::%s:%s%s%s", partition, account, kind, path, name);
	return json_pack("{ss ss ss ss ss ss}", "account", account, "name", name, "path", path, "arn", arn,
		"id", old ? text_of(old, "id") : id, "create_date", old ? text_of(old, "create_date") : now);
}

static bool profile_add(struct state *state, json_t *role, const char *partition, const json_t *arguments,
	struct refusal *refusal)
{
	static const char *const known[] = { "name", "path", NULL };
	const char *account = text_of(role, "account"), *name = text_of(arguments, "name");
	const char *path = text_or(arguments, "path", "/");
	const json_t *old = state_profile(state, account, name);
	json_t *profile;

	if (!arguments_known(arguments, known, refusal))
		return false;
	if (!iam_name_valid(name, PROFILE_NAME_MAX) || !path_valid(path)) {
		refuse(refusal, 400, "a profile's name or path is not valid");
		return false;
	}
	if (old && strcmp(text_of(old, "role"), text_of(role, "name")) != 0) {
		refuse(refusal, 409, "the profile '%s' holds another role", name);
		return false;
	}
	profile = iam_object(old, account, partition, "instance-profile", "AIPA", name, path);
	if (profile && set_text(profile, "role", text_of(role, "name")) &&
		state_put_profile(state, account, name, json_incref(profile)) &&
		!json_array_append(json_object_get(role, "profiles"), profile)) {
		json_decref(profile);
		return true;
	}
	json_decref(profile);
	return false;
}

static bool profile_listed(const json_t *role, const char *name)
{
	const json_t *profile;
	size_t i;

	json_array_foreach(json_object_get(role, "profiles"), i,
		profile) if (!strcmp(text_of(profile, "name"), name)) return true;
	return false;
}

/* Those that the role held before and holds no longer. */
static void profiles_remove(struct state *state, const json_t *old, const json_t *role)
{
	const json_t *profile;
	size_t i;

	json_array_foreach(json_object_get(old, "profiles"), i,
		profile) if (!profile_listed(role, text_of(profile, "name")))
		state_remove_profile(state, text_of(profile, "account"), text_of(profile, "name"));
}

static bool profiles_add(struct state *state, json_t *role, const char *partition, const json_t *profiles,
	struct refusal *refusal)
{
	const json_t *profile;
	size_t i;

	json_array_foreach(profiles, i,
		profile) if (!profile_add(state, role, partition, profile, refusal)) return false;
	return true;
}

static json_t *role_make(struct state *state, const json_t *account, const json_t *arguments,
	const json_t *old, struct refusal *refusal)
{
	const char *id = text_of(account, "id"), *partition = text_of(account, "partition");
	const char *name = text_of(arguments, "name"), *path = text_or(arguments, "path", "/");
	json_t *profiles = json_incref(json_object_get(arguments, "profiles"));
	json_t *role = iam_object(old, id, partition, "role", "AROA", name, path), *made = NULL;

	if (!profiles)
		profiles = json_pack("[{ss ss}]", "name", name, "path", path);
	if (role && profiles && set_member(role, "profiles", json_array()) &&
		profiles_add(state, role, partition, profiles, refusal))
		made = json_incref(role);
	json_decref(role);
	json_decref(profiles);
	return made;
}

json_t *role_add(struct state *state, const json_t *arguments, struct refusal *refusal)
{
	static const char *const known[] = { "account", "name", "path", "profiles", NULL };
	const char *id = text_of(arguments, "account"), *name = text_of(arguments, "name");
	const json_t *account = state_account(state, id), *profiles = json_object_get(arguments, "profiles");
	json_t *role, *old;

	if (!arguments_known(arguments, known, refusal))
		return NULL;
	if (!account)
		return refuse(refusal, 404, "no such account");
	if (!iam_name_valid(name, ROLE_NAME_MAX) || !path_valid(text_or(arguments, "path", "/")))
		return refuse(refusal, 400, "the role's name or path is not valid");
	if (profiles && !json_is_array(profiles))
		return refuse(refusal, 400, "'profiles' must be a list");
	old = state_role(state, id, name);
	role = role_make(state, account, arguments, old, refusal);
	if (!role)
		return NULL;
	profiles_remove(state, old, role);
	if (state_put_role(state, id, name, json_incref(role)))
		return role;
	json_decref(role);
	return NULL;
}
