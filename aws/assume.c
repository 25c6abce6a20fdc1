/* Assumes roles: what is asked, and the keys that are answered. Must never take keys of another role, account
 * or session than the one that was asked for. */
#include "aws/assume.h"

#include "aws/sts.h"
#include "verifier/encoding.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

#define LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
#define DIGITS "0123456789"
#define NAME_CHARACTERS LETTERS DIGITS "_+=,.@-"
#define STS_VERSION "2011-06-15"

enum { PATH_MAX_LENGTH = 512, NAME_MAX_LENGTH = 64 };

/* ---- names */

static bool text_fits(const char *text, const char *characters, size_t min, size_t max)
{
	size_t length = strspn(text, characters);

	return length >= min && length <= max && text[length] == '\0';
}

bool external_id_valid(const char *text)
{
	return text_fits(text, NAME_CHARACTERS ":/", 2, EXTERNAL_ID_SIZE - 1);
}

bool role_session_valid(const char *text)
{
	return text_fits(text, NAME_CHARACTERS, 2, ROLE_SESSION_SIZE - 1);
}

/* "/" or "/.../" of visible characters. */
static bool path_valid(const char *path, size_t length)
{
	if (length > PATH_MAX_LENGTH || path[0] != '/' || path[length - 1] != '/')
		return false;
	for (size_t i = 0; i < length; i++)
		if (path[i] <= ' ' || path[i] >= 127)
			return false;
	return true;
}

static bool part_take(const char **at, const char *characters, char *to, size_t size)
{
	size_t length = strspn(*at, characters);

	if (length == 0 || length >= size || (*at)[length] != ':')
		return false;
	memcpy(to, *at, length);
	to[length] = '\0';
	*at += length + 1;
	return true;
}

bool role_arn_of(const char *arn, char partition[16], char account[ACCOUNT_ID_SIZE])
{
	const char *at = arn + 4;

	if (strlen(arn) >= ROLE_ARN_SIZE || strncmp(arn, "arn:", 4) != 0 ||
		!part_take(&at, "abcdefghijklmnopqrstuvwxyz-", partition, 16) || strncmp(at, "iam::", 5) != 0)
		return false;
	at += 5;
	return part_take(&at, DIGITS, account, ACCOUNT_ID_SIZE) && account_id_valid(account) &&
	       strncmp(at, "role/", 5) == 0;
}

const char *role_arn_name(const char *arn, const char *partition, const char *account)
{
	char front[64];
	const char *path, *name;

	snprintf(front, sizeof(front), "arn:%s:iam::%s:role", partition, account);
	if (strlen(arn) >= ROLE_ARN_SIZE || strncmp(arn, front, strlen(front)) != 0)
		return NULL;
	path = arn + strlen(front);
	name = strrchr(path, '/');
	if (!name || !path_valid(path, (size_t)(name - path) + 1) ||
		!text_fits(name + 1, NAME_CHARACTERS, 1, NAME_MAX_LENGTH))
		return NULL;
	return name + 1;
}

/* ---- the questions */

void assume_form(struct form *form, const struct role *role)
{
	form_add(form, "Action", "AssumeRole");
	if (role->external_id[0])
		form_add(form, "ExternalId", role->external_id);
	form_add(form, "RoleArn", role->arn);
	form_add(form, "RoleSessionName", role->session);
	form_add(form, "Version", STS_VERSION);
}

void assume_web_form(struct form *form, const struct role *role, const char *token)
{
	form_add(form, "Action", "AssumeRoleWithWebIdentity");
	form_add(form, "RoleArn", role->arn);
	form_add(form, "RoleSessionName", role->session);
	form_add(form, "Version", STS_VERSION);
	form_add(form, "WebIdentityToken", token);
}

/* ---- the answers */

struct assumed {
	struct keys keys;
	char expiration[TIMESTAMP_SIZE + 8];
	char arn[ROLE_ARN_SIZE + ROLE_SESSION_SIZE];
};

#define KEEP(member) XML_STORE(struct assumed, member)
#define RULES(result)                                                                                        \
	{                                                                                                    \
		{ 1, result }, { 2, "Credentials" }, { 3, "AccessKeyId", KEEP(keys.id) },                    \
			{ 3, "SecretAccessKey", KEEP(keys.secret) },                                         \
			{ 3, "SessionToken", KEEP(keys.token) }, { 3, "Expiration", KEEP(expiration) },      \
			{ 2, "AssumedRoleUser" }, { 3, "Arn", KEEP(arn) },                                   \
	}

static const struct xml_rule rules[] = RULES("AssumeRoleResult");
static const struct xml_rule web_rules[] = RULES("AssumeRoleWithWebIdentityResult");
static const struct xml_outline outlines[2] = {
	{ "AssumeRoleResponse", rules, sizeof(rules) / sizeof(rules[0]) },
	{ "AssumeRoleWithWebIdentityResponse", web_rules, sizeof(web_rules) / sizeof(web_rules[0]) },
};

static bool wrong(char why[XML_WHY_SIZE], const char *what)
{
	snprintf(why, XML_WHY_SIZE, "%s: is not there or not of its form", what);
	return false;
}

/* "arn:<partition>:sts::<account>:assumed-role/<name>/<session>" */
static bool arn_is(const char *arn, const struct role *role)
{
	char partition[16], account[ACCOUNT_ID_SIZE], expected[sizeof(((struct assumed *)0)->arn)];
	const char *name;

	if (!role_arn_of(role->arn, partition, account))
		return false;
	name = role_arn_name(role->arn, partition, account);
	if (!name)
		return false;
	snprintf(expected, sizeof(expected), "arn:%s:sts::%s:assumed-role/%s/%s", partition, account, name,
		role->session);
	return strcmp(arn, expected) == 0;
}

static bool assumed_check(struct assumed *assumed, const struct role *role, char why[XML_WHY_SIZE])
{
	long long microseconds;

	if (!key_id_valid(assumed->keys.id))
		return wrong(why, "AccessKeyId");
	if (!secret_key_valid(assumed->keys.secret))
		return wrong(why, "SecretAccessKey");
	if (!session_token_valid(assumed->keys.token))
		return wrong(why, "SessionToken");
	if (!timestamp_decode(assumed->expiration, &microseconds) || microseconds < 1000000)
		return wrong(why, "Expiration");
	assumed->keys.expires = microseconds / 1000000;
	if (arn_is(assumed->arn, role))
		return true;
	snprintf(why, XML_WHY_SIZE, "Arn: is not the role and session that were asked for");
	return false;
}

bool assume_parse(
	struct bytes answer, const struct role *role, bool web, struct keys *keys, char why[XML_WHY_SIZE])
{
	struct assumed assumed;
	bool parsed = false;

	memset(&assumed, 0, sizeof(assumed));
	memset(keys, 0, sizeof(*keys));
	if (answer.length > KEYS_BYTES_MAX)
		snprintf(why, XML_WHY_SIZE, "the answer is too large");
	else if (xml_read(&outlines[web], STS_NAMESPACE, answer, &assumed, why))
		parsed = assumed_check(&assumed, role, why);
	if (parsed)
		*keys = assumed.keys;
	OPENSSL_cleanse(&assumed, sizeof(assumed));
	return parsed;
}
