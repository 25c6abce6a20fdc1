/* Keys of an assumed role: AssumeRole signed by our own credentials, or AssumeRoleWithWebIdentity, which
 * carries a token instead of a signature. */
#include "aws/assume.h"
#include "aws/call.h"
#include "aws/source.h"

#include <errno.h>
#include <limits.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct assumption {
	struct source source;
	const struct caller *caller;
	const struct service *sts;
	struct role role;
	char token_file[PATH_MAX]; /* "": AssumeRole */
	struct call call;
};

static bool is_web(const struct assumption *assumption)
{
	return assumption->token_file[0] != '\0';
}

static void assumption_done(struct call *call, enum call_result result)
{
	struct assumption *assumption = call->context;
	struct source *source = &assumption->source;
	char why[XML_WHY_SIZE];

	call_clear(call);
	if (result == CALL_ANSWERED && !assume_parse(call->request.answer, &assumption->role,
					       is_web(assumption), &source->keys, why))
		result = call_reread(call, why);
	if (result == CALL_ANSWERED)
		source_give(source);
	else
		source_fail(source, "%s", call->told);
}

static struct assumption *assumption_new(
	const struct caller *caller, const struct service *sts, const char *name)
{
	struct assumption *assumption = calloc(1, sizeof(*assumption));

	if (!assumption)
		return NULL;
	assumption->source.name = name;
	assumption->source.renews = true;
	assumption->caller = caller;
	assumption->sts = sts;
	assumption->call.done = assumption_done;
	assumption->call.context = assumption;
	return assumption;
}

static void assumption_free(struct source *source)
{
	struct assumption *assumption = (struct assumption *)source;

	call_clear(&assumption->call);
	OPENSSL_cleanse(assumption, sizeof(*assumption));
	free(assumption);
}

/* ---- AssumeRole */

static void role_fetch(struct source *source, long long deadline)
{
	struct assumption *assumption = (struct assumption *)source;

	assume_form(&assumption->call.form, &assumption->role);
	call_send(&assumption->call, assumption->caller, assumption->sts, deadline);
}

struct source *source_role(const struct caller *caller, const struct service *sts, const struct role *role)
{
	struct assumption *assumption = assumption_new(caller, sts, "AssumeRole");

	if (!assumption)
		return NULL;
	assumption->source.fetch = role_fetch;
	assumption->source.free = assumption_free;
	assumption->role = *role;
	return &assumption->source;
}

/* ---- AssumeRoleWithWebIdentity */

/* A token is one word; a line break at the file's end is nobody's. */
static bool token_valid(char *token)
{
	size_t length = strlen(token);

	if (token[length - 1] == '\n')
		token[--length] = '\0';
	for (size_t i = 0; i < length; i++)
		if (token[i] <= ' ' || token[i] >= 127)
			return false;
	return length >= 4;
}

static void web_fetch(struct source *source, long long deadline)
{
	static const char *const headers[] = {
		"Content-Type: application/x-www-form-urlencoded; charset=utf-8", NULL
	};
	struct assumption *assumption = (struct assumption *)source;
	struct form *form = &assumption->call.form;
	char token[WEB_TOKEN_SIZE];
	bool read = secret_file_read(assumption->token_file, token, sizeof(token));

	if (!read || !token_valid(token)) {
		OPENSSL_cleanse(token, sizeof(token));
		source_fail(source, "AWS_WEB_IDENTITY_TOKEN_FILE: %s",
			read || errno == EINVAL ? "no token of 4 to 20000 visible characters"
						: strerror(errno));
		return;
	}
	assume_web_form(form, &assumption->role, token);
	OPENSSL_cleanse(token, sizeof(token));
	call_forward(&assumption->call, assumption->caller, assumption->sts,
		(struct bytes){ (const unsigned char *)form->text, form->length }, headers, deadline);
}

static bool web_role_take(struct role *role, const char *session, struct complaint *complaint)
{
	const char *arn = getenv("AWS_ROLE_ARN");
	const char *name = getenv("AWS_ROLE_SESSION_NAME");
	char partition[16], account[ACCOUNT_ID_SIZE];

	if (!arn || !role_arn_of(arn, partition, account) || !role_arn_name(arn, partition, account))
		return complain(complaint,
			"AWS_ROLE_ARN is no role's ARN: AWS_WEB_IDENTITY_TOKEN_FILE needs it, as in "
			"arn:aws:iam::123456789012:role/vouchsafe");
	strcpy(role->arn, arn);
	if (!name || !name[0])
		name = session;
	if (!role_session_valid(name))
		return complain(complaint,
			"AWS_ROLE_SESSION_NAME is no session name: 2 to 64 letters, digits and _+=,.@-");
	strcpy(role->session, name);
	return true;
}

static bool web_take(struct assumption *assumption, const char *session, struct complaint *complaint)
{
	const char *file = getenv("AWS_WEB_IDENTITY_TOKEN_FILE");

	if (!file || (size_t)snprintf(assumption->token_file, sizeof(assumption->token_file), "%s", file) >=
			     sizeof(assumption->token_file))
		return complain(complaint, "AWS_WEB_IDENTITY_TOKEN_FILE is too long");
	return web_role_take(&assumption->role, session, complaint);
}

struct source *source_web_identity(const struct caller *caller, const struct service *sts,
	const char *session, struct complaint *complaint)
{
	struct assumption *assumption = assumption_new(caller, sts, "AssumeRoleWithWebIdentity");

	if (!assumption) {
		complain(complaint, "out of memory");
		return NULL;
	}
	assumption->source.fetch = web_fetch;
	assumption->source.free = assumption_free;
	if (!web_take(assumption, session, complaint)) {
		source_free(&assumption->source);
		return NULL;
	}
	return &assumption->source;
}
