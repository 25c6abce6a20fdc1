/* GetCallerIdentity: composes the caller's request again and reads who he is. Whatever is odd in the answer
 * is refused, because a caller would like to have it misread. Must never take anything of the caller's into
 * the request but the values that verifier/caller.c has let pass. */
#include "aws/sts.h"

#include "aws/sigv4.h"
#include "aws/xml.h"
#include "verifier/checks.h"

#include <stdio.h>
#include <string.h>

#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define DIGITS "0123456789"
#define NAME_CHARACTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZ" LOWER DIGITS "_+=,.@-"

/* ---- the request */

void sts_request_form(
	struct sts_request *request, const struct aws_region *region, const struct caller_proof *proof)
{
	request->body =
		(struct bytes){ (const unsigned char *)CALLER_IDENTITY_BODY, strlen(CALLER_IDENTITY_BODY) };
	/* as it was signed, also where a development endpoint stands in for AWS */
	snprintf(request->host, sizeof(request->host), "Host: sts.%s.%s", region->name, region->dns_suffix);
	snprintf(request->authorization, sizeof(request->authorization), "Authorization: %s",
		proof->authorization);
	snprintf(request->amz_date, sizeof(request->amz_date), "X-Amz-Date: %s", proof->amz_date);
	snprintf(request->security_token, sizeof(request->security_token), "X-Amz-Security-Token: %s",
		proof->security_token);
	snprintf(request->binding, sizeof(request->binding), "x-vouchsafe-binding: %s", proof->binding);
	request->headers[0] = request->host;
	request->headers[1] = request->authorization;
	request->headers[2] = request->amz_date;
	request->headers[3] = request->security_token;
	request->headers[4] = request->binding;
	/* unsigned: the Query API reads no action without it, and a constant of ours can do no harm */
	request->headers[5] = "Content-Type: application/x-www-form-urlencoded";
	request->headers[6] = NULL;
}

/* ---- the answer */

struct identity {
	char arn[FACT_ARN_SIZE], user_id[256], account[ACCOUNT_ID_SIZE];
};

static const struct xml_rule rules[] = {
	{ 1, "GetCallerIdentityResult" },
	{ 2, "Arn", XML_STORE(struct identity, arn) },
	{ 2, "UserId", XML_STORE(struct identity, user_id) },
	{ 2, "Account", XML_STORE(struct identity, account) },
	{ 1, "ResponseMetadata" },
	{ 2, "RequestId" },
};

static const struct xml_outline outline = { "GetCallerIdentityResponse", rules,
	sizeof(rules) / sizeof(rules[0]) };

/* A part of these characters alone, up to `end`, behind which *at is then. */
static bool part_take(const char **at, const char *characters, char end, char *to, size_t size)
{
	size_t length = strspn(*at, characters);

	if (length == 0 || length >= size || (*at)[length] != end)
		return false;
	memcpy(to, *at, length);
	to[length] = '\0';
	*at += length + (end != '\0');
	return true;
}

static bool visible(const char *text)
{
	while (*text > ' ' && *text < 127)
		text++;
	return *text == '\0';
}

/* Who else may call than somebody in a role. */
static bool resource_is_other(const char *service, const char *resource)
{
	if (strcmp(service, "sts") == 0)
		return strncmp(resource, "federated-user/", 15) == 0;
	return strcmp(resource, "root") == 0 || strncmp(resource, "user/", 5) == 0;
}

/* "arn:<partition>:<sts or iam>::<account>:<resource>" */
static bool arn_read(struct sts_caller *caller)
{
	static const char role[] = "assumed-role/";
	const char *at = caller->arn;
	char service[4];

	if (!visible(at) || strncmp(at, "arn:", 4) != 0)
		return false;
	at += 4;
	if (!part_take(&at, LOWER "-", ':', caller->partition, sizeof(caller->partition)) ||
		!part_take(&at, LOWER, ':', service, sizeof(service)) || *at++ != ':' ||
		!part_take(&at, DIGITS, ':', caller->account, sizeof(caller->account)))
		return false;
	if (!account_id_valid(caller->account) ||
		(strcmp(service, "sts") != 0 && strcmp(service, "iam") != 0))
		return false;
	if (strcmp(service, "sts") != 0 || strncmp(at, role, strlen(role)) != 0)
		return resource_is_other(service, at);
	at += strlen(role);
	return part_take(&at, NAME_CHARACTERS, '/', caller->role, sizeof(caller->role)) &&
	       part_take(&at, NAME_CHARACTERS, '\0', caller->session, sizeof(caller->session));
}

static bool wrong(char *why, size_t why_size, const char *what)
{
	snprintf(why, why_size, "%s", what);
	return false;
}

bool sts_parse(struct bytes answer, struct sts_caller *caller, char *why, size_t why_size)
{
	struct identity identity = { "", "", "" };
	struct sts_caller read = { "" };
	char told[XML_WHY_SIZE];

	*caller = read;
	if (!xml_read(&outline, STS_NAMESPACE, answer, &identity, told))
		return wrong(why, why_size, told);
	if (!identity.arn[0] || !identity.user_id[0] || !identity.account[0])
		return wrong(why, why_size, "Arn, UserId or Account is not there");
	strcpy(read.arn, identity.arn);
	if (!arn_read(&read))
		return wrong(why, why_size, "Arn: is not of its form");
	if (strcmp(read.account, identity.account) != 0)
		return wrong(why, why_size, "Account: is not the one of the Arn");
	*caller = read;
	return true;
}

/* ---- the comparison */

static void check_account(
	struct claims *claims, const struct assertion *assertion, const struct sts_caller *caller)
{
	const struct aws_region *region = aws_region_find(assertion->region);
	char expected[sizeof(caller->partition) + ACCOUNT_ID_SIZE];
	char observed[sizeof(caller->partition) + ACCOUNT_ID_SIZE] = "";

	/* a region that is not in the table has no partition, and equals no answer */
	snprintf(expected, sizeof(expected), "%s:%s", region ? region->partition : "", assertion->account_id);
	if (caller->account[0] != '\0')
		snprintf(observed, sizeof(observed), "%s:%s", caller->partition, caller->account);
	check_equal(claims, CHECK_CALLER_ACCOUNT, "sts", expected, observed);
}

/* For one who is in no role the whole name is shown; no role's name is like it. */
static void check_role(
	struct claims *claims, const struct assertion *assertion, const struct sts_caller *caller)
{
	bool in_role = caller->role[0] != '\0';

	check_add(claims, CHECK_CALLER_ROLE, "sts", in_role && strcmp(caller->role, assertion->role) == 0,
		assertion->role, in_role ? caller->role : caller->arn);
}

static void caller_check(
	struct claims *claims, const struct assertion *assertion, const struct sts_caller *caller)
{
	check_account(claims, assertion, caller);
	check_role(claims, assertion, caller);
	check_equal(claims, CHECK_CALLER_SESSION, "sts", assertion->instance_id, caller->session);
}

#define CONFIRMED "a caller whom STS confirms"

void sts_check(struct claims *claims, const struct assertion *assertion, const struct sts_caller *caller)
{
	check_add(claims, CHECK_CALLER_IDENTITY, "sts", caller->arn[0] != '\0', CONFIRMED, caller->arn);
	caller_check(claims, assertion, caller);
}

void sts_check_failed(struct claims *claims, const struct assertion *assertion, const char *observed)
{
	static const struct sts_caller nobody;

	check_add(claims, CHECK_CALLER_IDENTITY, "sts", false, CONFIRMED, observed);
	caller_check(claims, assertion, &nobody);
}
