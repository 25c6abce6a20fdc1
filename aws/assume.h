#ifndef AWS_ASSUME_H
#define AWS_ASSUME_H
/* STS's AssumeRole and AssumeRoleWithWebIdentity, API version 2011-06-15: the names that they take, their
 * questions, and their answers, which are keys. */
#include "aws/form.h"
#include "aws/keys.h"
#include "aws/xml.h"
#include "verifier/assertion.h"

enum {
	ROLE_ARN_SIZE = 640, /* IAM: a path of at most 512, a name of at most 64 */
	EXTERNAL_ID_SIZE = 1225,
	ROLE_SESSION_SIZE = 65,
	WEB_TOKEN_SIZE = 20001
};

/* A role to be assumed. */
struct role {
	char arn[ROLE_ARN_SIZE];
	char external_id[EXTERNAL_ID_SIZE]; /* "": none */
	char session[ROLE_SESSION_SIZE]; /* the name that the role's own trail shows */
};

/* "arn:<partition>:iam::<account>:role/<path><name>": partition and account are what it must be of; a path
 * has IAM's form. Returns the name (inside `arn`), or NULL. */
const char *role_arn_name(const char *arn, const char *partition, const char *account);
/* The account and partition that the ARN names, for role_arn_name to look closer; false: it is no ARN. */
MUST_USE bool role_arn_of(const char *arn, char partition[16], char account[ACCOUNT_ID_SIZE]);
/* 2 to 1224 of [A-Za-z0-9_+=,.@:/-]. */
bool external_id_valid(const char *);
/* 2 to 64 of [A-Za-z0-9_+=,.@-]. */
bool role_session_valid(const char *);

void assume_form(struct form *, const struct role *);
/* The token is a secret: the form's owner clears it. */
void assume_web_form(struct form *, const struct role *, const char *token);

/* Reads an answer's keys: its own root and namespace, each of AccessKeyId, SecretAccessKey, SessionToken and
 * Expiration exactly once and of its form, and the assumed role's ARN exactly the one that was asked for,
 * with its account, name and session. False: `why`, in our words alone, and the keys are wiped. */
MUST_USE bool assume_parse(
	struct bytes answer, const struct role *, bool web, struct keys *, char why[XML_WHY_SIZE]);

#endif
