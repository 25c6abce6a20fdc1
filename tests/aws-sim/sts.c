/* STS, API version 2011-06-15: GetCallerIdentity, which says whose the key is that has signed (the signature
 * has been verified before); AssumeRole and AssumeRoleWithWebIdentity, which give keys of a role to whom it
 * trusts. */
#include "tests/aws-sim/clock.h"
#include "tests/aws-sim/credentials.h"
#include "tests/aws-sim/query.h"
#include "tests/aws-sim/trust.h"

#include <stdio.h>
#include <string.h>

/* A call that names no operation of the service is refused by what stands in front of it, in a namespace of
 * its own. */
static void sts_error(struct call *call, int status, const char *code, const char *message)
{
	static const char front[] = "http://webservices.amazon.com/AWSFault/2005-15-09";
	struct xml *xml = &call->xml;

	xml_open_root(xml, "ErrorResponse", strcmp(code, "InvalidAction") ? sts_service.namespace : front);
	xml_open(xml, "Error");
	xml_text(xml, "Type", status < 500 ? "Sender" : "Receiver");
	xml_text(xml, "Code", code);
	xml_text(xml, "Message", message);
	xml_close(xml);
	xml_text(xml, "RequestId", call->request_id);
	xml_close(xml);
}

struct identity {
	char arn[512], user_id[160];
};

/* A role's session, a user, or the account's root. */
static struct identity identity_of(const json_t *key, const char *partition)
{
	const char *account = text_of(key, "account"), *role = text_of(key, "role");
	const char *session = text_of(key, "session"), *user = text_of(key, "user");
	struct identity identity;

	if (*role) {
		snprintf(identity.arn, sizeof identity.arn, "arn:%s:sts::%s:assumed-role/%s/%s", partition,
			account, role, session);
		snprintf(
			identity.user_id, sizeof identity.user_id, "%s:%s", text_of(key, "role_id"), session);
	} else if (*user) {
		snprintf(identity.arn, sizeof identity.arn, "arn:%s:iam::%s:user/%s", partition, account,
			user);
		snprintf(identity.user_id, sizeof identity.user_id, "%s", text_of(key, "user_id"));
	} else {
		snprintf(identity.arn, sizeof identity.arn, "arn:%s:iam::%s:root", partition, account);
		snprintf(identity.user_id, sizeof identity.user_id, "%s", account);
	}
	return identity;
}

static void get_caller_identity(struct call *call)
{
	const json_t *account = state_account(call->sim->state, call->account);
	struct identity identity = identity_of(call->key, text_of(account, "partition"));
	struct xml *xml = &call->xml;

	xml_subject(xml, text_of(call->key, "session"));
	xml_open_root(xml, "GetCallerIdentityResponse", sts_service.namespace);
	xml_open(xml, "GetCallerIdentityResult");
	xml_anchor(xml);
	xml_text(xml, "Arn", identity.arn);
	xml_text(xml, "UserId", identity.user_id);
	xml_text(xml, "Account", call->account);
	xml_close(xml);
	xml_open(xml, "ResponseMetadata");
	xml_text(xml, "RequestId", call->request_id);
	xml_close(xml);
	xml_close(xml);
}

/* ---- roles */

static void assumed_user(struct xml *xml, const struct identity *identity)
{
	xml_open(xml, "AssumedRoleUser");
	xml_text(xml, "AssumedRoleId", identity->user_id);
	xml_text(xml, "Arn", identity->arn);
	xml_close(xml);
}

static void credentials_write(struct xml *xml, const json_t *key)
{
	char expires[TIME_SIZE];

	time_write_seconds(number_of(key, "expires"), expires);
	xml_open(xml, "Credentials");
	xml_text(xml, "AccessKeyId", text_of(key, "id"));
	xml_text(xml, "SecretAccessKey", text_of(key, "secret"));
	xml_text(xml, "SessionToken", text_of(key, "token"));
	xml_text(xml, "Expiration", expires);
	xml_close(xml);
}

static bool session_valid(const char *session)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+=,.@-";
	size_t length = session ? strlen(session) : 0;

	return length >= 2 && length <= 64 && strspn(session, letters) == length;
}

/* A new key of the role, in the two answers' common form. */
static void role_give(struct call *call, const json_t *role, const char *root, const char *result)
{
	const char *session = form_value(&call->form, "RoleSessionName");
	const json_t *key;
	struct identity identity;
	struct xml *xml = &call->xml;

	if (!session_valid(session)) {
		call_error(call, 400, "ValidationError",
			"Value at 'roleSessionName' failed to satisfy constraint");
		return;
	}
	key = credentials_make(call->sim->state, role, session);
	if (!key)
		return;
	identity = identity_of(
		key, text_of(state_account(call->sim->state, text_of(role, "account")), "partition"));
	xml_subject(xml, text_of(role, "arn"));
	xml_open_root(xml, root, sts_service.namespace);
	xml_open(xml, result);
	xml_anchor(xml);
	assumed_user(xml, &identity);
	credentials_write(xml, key);
	xml_close(xml);
	xml_open(xml, "ResponseMetadata");
	xml_text(xml, "RequestId", call->request_id);
	xml_close(xml);
	xml_close(xml);
}

static const char *value_of(const struct call *call, const char *name)
{
	const char *value = form_value(&call->form, name);

	return value ? value : "";
}

static void assume_role(struct call *call)
{
	const char *arn = value_of(call, "RoleArn");
	const json_t *role = trust_role(call->sim->state, arn);

	if (role && trust_account(role, call->account, value_of(call, "ExternalId")))
		role_give(call, role, "AssumeRoleResponse", "AssumeRoleResult");
	else
		call_error(call, 403, "AccessDenied",
			"User: %.100s is not authorized to perform: sts:AssumeRole on resource: %.200s",
			call->account, arn);
}

static void assume_role_with_web_identity(struct call *call)
{
	const json_t *role = trust_role(call->sim->state, value_of(call, "RoleArn"));

	if (!role)
		call_error(
			call, 403, "AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity");
	else if (!trust_web_token(role, value_of(call, "WebIdentityToken")))
		call_error(call, 400, "InvalidIdentityToken", "The ID Token provided is not a valid JWT");
	else
		role_give(call, role, "AssumeRoleWithWebIdentityResponse", "AssumeRoleWithWebIdentityResult");
}

static const struct action actions[] = {
	{ "GetCallerIdentity", get_caller_identity },
	{ "AssumeRole", assume_role },
	{ "AssumeRoleWithWebIdentity", assume_role_with_web_identity, .unsigned_too = true },
	{ 0 },
};

const struct service sts_service = {
	.scope = "sts",
	.version = "2011-06-15",
	.namespace = "https://sts.amazonaws.com/doc/2011-06-15/",
	.content_type = "text/xml",
	.indent = 2,
	.throttled_status = 400,
	.throttled_code = "Throttling",
	.throttled_text = "Rate exceeded",
	.bad_key_status = 403,
	.bad_key_code = "InvalidClientTokenId",
	.bad_key_text = "The security token included in the request is invalid.",
	.expired_status = 403,
	.expired_code = "SignatureDoesNotMatch",
	.token_expired_status = 403,
	.token_expired_code = "ExpiredToken",
	.token_expired_text = "The security token included in the request is expired",
	.home = "https://aws.amazon.com/iam",
	.operations_have_versions = true,
	.actions = actions,
	.error = sts_error,
};
