/* Signed calls to AWS: where to, and what an answer amounts to. Must never send anything to a host that is
 * not in the compiled table (or, in development, in the configuration). */
#include "aws/call.h"

#include "aws/ec2.h"
#include "aws/iam.h"
#include "aws/sts.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#define MILLISECOND 1000000LL

enum {
	PATIENCE_MS = 4000, /* for one try: a call that hangs must leave time for another */
	FORWARD_BYTES_MAX = 64 * 1024, /* of an answer about one caller */
	PAUSE_FIRST_MS = 100,
	PAUSE_DOUBLINGS = 5
};

/* ---- where */

static bool endpoint_valid(const char *endpoint)
{
	size_t scheme = strncmp(endpoint, "https://", 8) == 0  ? 8
			: strncmp(endpoint, "http://", 7) == 0 ? 7
							       : 0;
	size_t host = strspn(endpoint + scheme, "abcdefghijklmnopqrstuvwxyz0123456789.-:[]");
	const char *rest = endpoint + scheme + host;

	return scheme > 0 && host > 0 && (strcmp(rest, "") == 0 || strcmp(rest, "/") == 0);
}

/* One slash: libcurl signs "//" wrong. */
static bool endpoint_use(struct service *service, const char *endpoint)
{
	size_t length = strlen(endpoint);

	if (!endpoint_valid(endpoint) || length + 2 > sizeof(service->url))
		return false;
	snprintf(
		service->url, sizeof(service->url), "%s%s", endpoint, endpoint[length - 1] == '/' ? "" : "/");
	return true;
}

bool service_ec2(struct service *service, const struct aws_region *region, const char *endpoint)
{
	service->name = "ec2";
	service->region = region->name;
	service->namespace = EC2_NAMESPACE;
	if (endpoint[0] != '\0')
		return endpoint_use(service, endpoint);
	snprintf(service->url, sizeof(service->url), "https://ec2.%s.%s/", region->name, region->dns_suffix);
	return true;
}

bool service_iam(struct service *service, const struct aws_region *region, const char *endpoint)
{
	service->name = "iam";
	service->region = region->iam_region;
	service->namespace = IAM_NAMESPACE;
	if (endpoint[0] != '\0')
		return endpoint_use(service, endpoint);
	snprintf(service->url, sizeof(service->url), "https://%s/", region->iam_host);
	return true;
}

/* The host is part of what a caller has signed: the region's own, never the global one. */
bool service_sts(struct service *service, const struct aws_region *region, const char *endpoint)
{
	service->name = "sts";
	service->region = region->name;
	service->namespace = STS_NAMESPACE;
	if (endpoint[0] != '\0')
		return endpoint_use(service, endpoint);
	snprintf(service->url, sizeof(service->url), "https://sts.%s.%s/", region->name, region->dns_suffix);
	return true;
}

/* ---- one call */

static enum call_result call_tell(struct call *call, enum call_result result, const char *what)
{
	snprintf(call->told, sizeof(call->told), "%s", what);
	return result;
}

/* The answer is an error: which, and does it pass? */
static enum call_result error_read(struct call *call)
{
	int status = call->request.status;

	aws_error_read(call->request.answer, call->service->namespace, call->code);
	snprintf(call->told, sizeof(call->told), "it answered %d %s", status, call->code);
	return status >= 500 || status == 429 || aws_error_passes(call->code) ? CALL_PASSING : CALL_REFUSED;
}

static enum call_result answer_read(struct call *call)
{
	switch (call->request.result) {
	case HTTP_ANSWERED:
		return call->request.status == 200 ? CALL_ANSWERED : error_read(call);
	case HTTP_NO_CONNECT:
		return call_tell(call, CALL_PASSING, "it could not be reached");
	case HTTP_CUT:
		return call_tell(call, CALL_PASSING, "the connection was cut");
	case HTTP_TIMED_OUT:
		return call_tell(call, CALL_PASSING, "no answer came in time");
	case HTTP_TOO_LARGE:
		return call_tell(call, CALL_NONSENSE, "the answer is too large");
	default:
		return call_tell(call, CALL_FAULT, "the call could not be made");
	}
}

enum call_result call_reread(struct call *call, const char *why)
{
	if (aws_error_read(call->request.answer, call->service->namespace, call->code))
		return error_read(call);
	return call_tell(call, CALL_NONSENSE, why);
}

static bool call_again(struct call *call, enum call_result result);

static void call_done(struct http_request *request)
{
	struct call *call = request->context;
	enum call_result result = answer_read(call);

	if (!call_again(call, result))
		call->done(call, result);
}

static void call_begin(
	struct call *call, const struct caller *caller, const struct service *service, long long deadline)
{
	call->caller = caller;
	call->service = service;
	call->deadline = deadline;
	call->again = false;
	call->code[0] = call->told[0] = '\0';
}

/* Until when one try, or one wait for keys, may take. */
static long long call_patience(const struct call *call)
{
	long long patience = monotonic_now() + PATIENCE_MS * MILLISECOND;

	return call->deadline < patience ? call->deadline : patience;
}

static void call_start(struct call *call, struct http_request request)
{
	request.method = "POST";
	/* a form for which memory ran out must not go out half */
	request.url = call->form.failed ? "" : call->service->url;
	request.deadline = call_patience(call);
	request.done = call_done;
	request.context = call;
	call->request = request;
	http_start(call->caller->http, &call->request);
}

/* ---- with credentials of ours */

static void call_sign(struct call *call)
{
	call->keys = credentials_lend(call->service->credentials, &call->signature);
	call->signature.region = call->service->region;
	call->signature.service = call->service->name;
	call_start(call, (struct http_request){
				 .body = { (const unsigned char *)call->form.text, call->form.length },
				 .sign = &call->signature,
				 .answer_max = XML_BYTES_MAX,
			 });
}

static void keys_awaited(struct awaiting *awaiting, bool ready)
{
	struct call *call = (struct call *)((char *)awaiting - offsetof(struct call, awaiting));
	const char *why = credentials_why(call->service->credentials);

	if (ready) {
		call_sign(call);
		return;
	}
	call_tell(call, CALL_PASSING, why[0] ? why : "no credentials in time");
	call->done(call, CALL_PASSING);
}

static void call_await(struct call *call)
{
	call->awaiting.deadline = call_patience(call);
	call->awaiting.done = keys_awaited;
	credentials_await(call->service->credentials, &call->awaiting);
}

/* Refused because of the keys, and there will be others? Then it is made once more. */
static bool call_again(struct call *call, enum call_result result)
{
	struct credentials *credentials = call->service->credentials;

	if (result != CALL_REFUSED || call->again || !call->request.sign || !aws_error_of_keys(call->code) ||
		!credentials_doubt(credentials, call->keys))
		return false;
	call->again = true;
	call->code[0] = call->told[0] = '\0';
	call_await(call);
	return true;
}

void call_send(
	struct call *call, const struct caller *caller, const struct service *service, long long deadline)
{
	call_begin(call, caller, service, deadline);
	if (credentials_ready(service->credentials))
		call_sign(call);
	else
		call_await(call);
}

void call_forward(struct call *call, const struct caller *caller, const struct service *service,
	struct bytes body, const char *const *headers, long long deadline)
{
	call_begin(call, caller, service, deadline);
	call_start(call, (struct http_request){
				 .headers = headers,
				 .body = body,
				 .answer_max = FORWARD_BYTES_MAX,
			 });
}

void call_clear(struct call *call)
{
	form_clear(&call->form);
}

unsigned call_random(void)
{
	unsigned random = 0;

	/* without randomness a pause is still a pause */
	if (getrandom(&random, sizeof(random), GRND_NONBLOCK) != sizeof(random))
		random = 0;
	return random;
}

long long call_jitter(long long whole)
{
	return whole / 2 + whole / 2 * (call_random() % 1024) / 1024;
}

long long call_pause(unsigned failures)
{
	unsigned doublings = failures > PAUSE_DOUBLINGS ? PAUSE_DOUBLINGS : failures - 1;

	return call_jitter(PAUSE_FIRST_MS * MILLISECOND << doublings);
}
