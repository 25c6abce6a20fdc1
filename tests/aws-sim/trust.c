/* Roles' trust, as far as tests need it. */
#include "tests/aws-sim/trust.h"

#include "tests/aws-sim/account.h"

#include <string.h>

json_t *trust_set(struct state *state, const json_t *arguments, struct refusal *refusal)
{
	static const char *const known[] = { "account", "role", "accounts", "external_id", "web_token",
		"container_token", "ttl", NULL };
	static const char *const texts[] = { "external_id", "web_token", "container_token" };
	json_t *role = state_role(state, text_of(arguments, "account"), text_of(arguments, "role"));
	json_t *accounts = json_object_get(arguments, "accounts");

	if (!arguments_known(arguments, known, refusal))
		return NULL;
	if (!role)
		return refuse(refusal, 404, "no such role in the account");
	if (accounts && !json_is_array(accounts))
		return refuse(refusal, 400, "'accounts' must be a list");
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		if (!set_text(role, texts[i], text_of(arguments, texts[i])))
			return NULL;
	if (!set_member(role, "trusts", accounts ? json_incref(accounts) : json_array()) ||
		!set_member(role, "ttl", json_integer(number_of(arguments, "ttl"))))
		return NULL;
	return json_incref(role);
}

const json_t *trust_role(const struct state *state, const char *arn)
{
	const char *after = strstr(arn, ":iam::"), *name = strrchr(arn, '/');
	const json_t *role;
	char account[13];

	if (!after || !name || strlen(after) < 6 + 12)
		return NULL;
	memcpy(account, after + 6, 12);
	account[12] = '\0';
	role = state_role(state, account, name + 1);
	return strcmp(text_of(role, "arn"), arn) ? NULL : role;
}

static bool list_has(const json_t *list, const char *text)
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *one = json_string_value(json_array_get(list, i));

		if (one && !strcmp(one, text))
			return true;
	}
	return false;
}

bool trust_account(const json_t *role, const char *account, const char *external_id)
{
	const char *wanted = text_of(role, "external_id");

	return list_has(json_object_get(role, "trusts"), account) &&
	       (!*wanted || !strcmp(wanted, external_id));
}

/* One that is there, and the same. */
static bool text_is(const json_t *role, const char *member, const char *given)
{
	return *text_of(role, member) && !strcmp(text_of(role, member), given);
}

bool trust_web_token(const json_t *role, const char *token)
{
	return text_is(role, "web_token", token);
}

bool trust_container(const json_t *role, const char *token)
{
	return text_is(role, "container_token", token);
}
