/* Keys of the role of the instance that we run on: one session token, the role's name, its keys. Version 2 of
 * the metadata service alone: never a page without a token. */
#include "aws/call.h"
#include "aws/local_http.h"
#include "aws/source.h"
#include "verifier/assertion.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CREDENTIALS_PATH "/latest/meta-data/iam/security-credentials/"

enum { BASE_SIZE = 320, TOKEN_MAX = 1024 };

struct instance {
	struct source source;
	const struct caller *caller;
	struct local_call call;
	char base[BASE_SIZE]; /* without '/' at its end */
	long long deadline; /* of the fetch */
};

/* No answer, or not 200: the fetch has ended. */
static bool page_came(struct instance *instance, const char *page)
{
	const struct http_request *request = &instance->call.request;

	if (request->result == HTTP_ANSWERED && request->status == 200)
		return true;
	OPENSSL_cleanse(instance->call.header, sizeof(instance->call.header));
	if (request->result != HTTP_ANSWERED)
		source_fail(&instance->source, "%s: no answer (%s)%s", page, request->error,
			strcmp(page, "token") == 0 ? "; inside a container its hop limit must be 2" : "");
	else
		source_fail(&instance->source, "%s: it answers %d", page, request->status);
	return false;
}

/* A short visible text, as the whole answer. */
static bool text_take(const struct http_request *request, char *to, size_t size)
{
	size_t length = request->answer.length;

	if (length == 0 || length >= size)
		return false;
	for (size_t i = 0; i < length; i++)
		if (request->answer.data[i] <= ' ' || request->answer.data[i] >= 127)
			return false;
	memcpy(to, request->answer.data, length);
	to[length] = '\0';
	return true;
}

static void keys_came(struct http_request *request)
{
	struct instance *instance = request->context;
	struct source *source = &instance->source;
	char why[KEYS_WHY_SIZE];

	if (!page_came(instance, "keys"))
		return;
	OPENSSL_cleanse(instance->call.header, sizeof(instance->call.header));
	if (keys_parse(request->answer, &source->keys, why))
		source_give(source);
	else
		source_fail(source, "%s", why);
}

static void role_came(struct http_request *request)
{
	struct instance *instance = request->context;
	char role[ROLE_SIZE];

	if (!page_came(instance, "role"))
		return;
	if (!text_take(request, role, sizeof(role)) || !role_valid(role)) {
		OPENSSL_cleanse(instance->call.header, sizeof(instance->call.header));
		source_fail(&instance->source, "role: not one role's name");
		return;
	}
	snprintf(instance->call.url, sizeof(instance->call.url), "%s" CREDENTIALS_PATH "%s", instance->base,
		role);
	local_call_start(
		&instance->call, instance->caller->http, "GET", instance->deadline, keys_came, instance);
}

static void token_came(struct http_request *request)
{
	struct instance *instance = request->context;
	char token[TOKEN_MAX];

	if (!page_came(instance, "token"))
		return;
	if (!text_take(request, token, sizeof(token))) {
		source_fail(&instance->source, "token: empty, too long, or not visible characters");
		return;
	}
	snprintf(instance->call.url, sizeof(instance->call.url), "%s" CREDENTIALS_PATH, instance->base);
	snprintf(instance->call.header, sizeof(instance->call.header), "X-aws-ec2-metadata-token: %s", token);
	OPENSSL_cleanse(token, sizeof(token));
	local_call_start(
		&instance->call, instance->caller->http, "GET", instance->deadline, role_came, instance);
}

static void instance_fetch(struct source *source, long long deadline)
{
	struct instance *instance = (struct instance *)source;

	instance->deadline = deadline;
	snprintf(instance->call.url, sizeof(instance->call.url), "%s/latest/api/token", instance->base);
	strcpy(instance->call.header, "X-aws-ec2-metadata-token-ttl-seconds: 60");
	local_call_start(&instance->call, instance->caller->http, "PUT", deadline, token_came, instance);
}

static void instance_free(struct source *source)
{
	OPENSSL_cleanse(source, sizeof(struct instance));
	free(source);
}

/* AWS_EC2_METADATA_SERVICE_ENDPOINT, or AWS's own address of the family that _MODE wants. */
static bool base_take(struct instance *instance, struct complaint *complaint)
{
	const char *endpoint = getenv("AWS_EC2_METADATA_SERVICE_ENDPOINT");
	const char *mode = getenv("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE");
	const char *rest;
	char host[256];
	bool tls;

	if (!endpoint || !endpoint[0])
		endpoint = mode && strcasecmp(mode, "IPv6") == 0 ? "http://[fd00:ec2::254]"
								 : "http://169.254.169.254";
	if (strlen(endpoint) >= sizeof(instance->base) ||
		!local_url_parse(endpoint, &tls, host, sizeof(host), &rest) ||
		(strcmp(rest, "") != 0 && strcmp(rest, "/") != 0))
		return complain(complaint,
			"AWS_EC2_METADATA_SERVICE_ENDPOINT is no URL of the form http[s]://host[:port]");
	snprintf(instance->base, sizeof(instance->base), "%.*s", (int)(rest - endpoint), endpoint);
	return true;
}

struct source *source_instance(const struct caller *caller, struct complaint *complaint)
{
	struct instance *instance = calloc(1, sizeof(*instance));

	if (!instance) {
		complain(complaint, "out of memory");
		return NULL;
	}
	instance->source.name = "the instance metadata service";
	instance->source.renews = true;
	instance->source.fetch = instance_fetch;
	instance->source.free = instance_free;
	instance->caller = caller;
	if (!base_take(instance, complaint)) {
		source_free(&instance->source);
		return NULL;
	}
	return &instance->source;
}
