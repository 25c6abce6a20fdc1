/* Calls of the instance metadata service: one token, then pages. Must never follow it anywhere else, repeat a
 * page's text in a complaint, or leave one behind: a role's credentials come this way. */
#include "agent/imds.h"

#include "aws/http.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

enum { CALL_SECONDS = 2 };

static bool value_take(struct imds_session *session, const struct http_request *request)
{
	struct bytes answer = request->answer;

	if (answer.length > IMDS_VALUE_MAX ||
		memchr(answer.data ? answer.data : (void *)"", '\0', answer.length))
		return false;
	if (answer.length)
		memcpy(session->value, answer.data, answer.length);
	session->value[answer.length] = '\0';
	return true;
}

/* One call. False: no answer. Whatever the status, the answer is in session->value. */
static bool call(struct imds_session *session, const char *method, const char *path, const char *header)
{
	const char *const headers[] = { header, NULL };
	struct http_request request = { .method = method,
		.headers = headers,
		.source = session->imds->source,
		.answer_max = IMDS_VALUE_MAX };
	char url[512];
	bool answered;

	snprintf(url, sizeof(url), "%s%s", session->imds->base, path);
	request.url = url;
	request.deadline = monotonic_now() + CALL_SECONDS * 1000000000LL;
	answered = http_fetch(session->imds->http, &request) == HTTP_ANSWERED &&
		   value_take(session, &request);
	session->status = answered ? request.status : 0;
	if (!answered)
		complain(session->complaint, "no instance metadata service at %s (%s)", session->imds->base,
			request.error[0] ? request.error : "no usable answer");
	http_forget(&request);
	return answered;
}

static bool status_complain(const struct imds_session *session, const char *path)
{
	return complain(
		session->complaint, "the instance metadata service answers %d to %s", session->status, path);
}

bool imds_open(const struct imds *imds, struct imds_session *session, struct complaint *complaint)
{
	static const char path[] = "/latest/api/token";

	session->imds = imds;
	session->complaint = complaint;
	if (!call(session, "PUT", path, "X-aws-ec2-metadata-token-ttl-seconds: 300"))
		return false;
	if (session->status != 200)
		return status_complain(session, path);
	if (strlen(session->value) == 0 || strlen(session->value) >= IMDS_TOKEN_SIZE)
		return complain(complaint, "the instance metadata service's token is empty or too long");
	snprintf(session->token_header, sizeof(session->token_header), "X-aws-ec2-metadata-token: %.*s",
		IMDS_TOKEN_SIZE - 1, session->value);
	return true;
}

bool imds_get(struct imds_session *session, const char *path)
{
	if (!call(session, "GET", path, session->token_header))
		return false;
	return session->status == 200 || status_complain(session, path);
}

void imds_close(struct imds_session *session)
{
	OPENSSL_cleanse(session, sizeof(*session));
}
