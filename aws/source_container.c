/* Keys from a container's credentials endpoint, as Amazon ECS and EKS have it. Plain HTTP goes to the machine
 * itself and AWS's own addresses for it alone. Must never keep the authorization beyond a call. */
#include "aws/call.h"
#include "aws/local_http.h"
#include "aws/source.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ECS_ENDPOINT "http://169.254.170.2"
#define AUTHORIZATION "Authorization: "

struct container {
	struct source source;
	const struct caller *caller;
	struct local_call call;
	char token_file[PATH_MAX]; /* "": none */
	char token[SESSION_TOKEN_SIZE]; /* "": none */
};

static const char *variable(const char *name)
{
	const char *value = getenv(name);

	return value ? value : "";
}

/* As AWS's own SDKs have them, and https to anyone. */
static bool host_allowed(const char *host)
{
	static const char *const names[] = { "localhost", "169.254.170.2", "169.254.170.23", "fd00:ec2::23",
		"::1" };
	struct in_addr address;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(host, names[i]) == 0)
			return true;
	return inet_pton(AF_INET, host, &address) == 1 && ntohl(address.s_addr) >> 24 == 127;
}

static bool full_uri_take(struct container *container, const char *uri, struct complaint *complaint)
{
	const char *rest;
	char host[256];
	bool tls;

	if (strlen(uri) >= sizeof(container->call.url) ||
		!local_url_parse(uri, &tls, host, sizeof(host), &rest))
		return complain(complaint, "AWS_CONTAINER_CREDENTIALS_FULL_URI is no URI of the form "
					   "http[s]://host[:port]/path");
	if (!tls && !host_allowed(host))
		return complain(complaint,
			"AWS_CONTAINER_CREDENTIALS_FULL_URI: plain http is allowed to loopback addresses, "
			"169.254.170.2, 169.254.170.23 and [fd00:ec2::23] alone; use https");
	strcpy(container->call.url, uri);
	return true;
}

/* The relative one comes first. */
static bool uri_take(struct container *container, struct complaint *complaint)
{
	const char *path = variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
	size_t size = sizeof(container->call.url);

	if (path[0] == '\0')
		return full_uri_take(container, variable("AWS_CONTAINER_CREDENTIALS_FULL_URI"), complaint);
	if (!local_path_valid(path) ||
		(size_t)snprintf(container->call.url, size, ECS_ENDPOINT "%s", path) >= size)
		return complain(
			complaint, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI is no path: it must begin with /");
	return true;
}

/* What may stand in a header: visible characters and blanks between them. */
static bool token_valid(const char *token)
{
	if (*token == ' ' || *token == '\0')
		return false;
	while (*token >= ' ' && *token < 127)
		token++;
	return *token == '\0';
}

/* The file comes first. */
static bool token_take(struct container *container, struct complaint *complaint)
{
	const char *file = variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
	const char *token = variable("AWS_CONTAINER_AUTHORIZATION_TOKEN");

	if (strlen(file) >= sizeof(container->token_file))
		return complain(complaint, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE is too long");
	strcpy(container->token_file, file);
	if (file[0] || !token[0])
		return true;
	if (strlen(token) >= sizeof(container->token) || !token_valid(token))
		return complain(complaint,
			"AWS_CONTAINER_AUTHORIZATION_TOKEN is not what can stand in a header: at most "
			"8192 visible characters");
	strcpy(container->token, token);
	return true;
}

static void container_done(struct http_request *request)
{
	struct container *container = request->context;
	struct source *source = &container->source;
	char why[KEYS_WHY_SIZE];

	OPENSSL_cleanse(container->call.header, sizeof(container->call.header));
	if (request->result != HTTP_ANSWERED)
		source_fail(source, "no answer (%s)", request->error);
	else if (request->status != 200)
		source_fail(source, "it answers %d", request->status);
	else if (!keys_parse(request->answer, &source->keys, why))
		source_fail(source, "%s", why);
	else
		source_give(source);
}

/* False: errno. One line break at a file's end is nobody's. */
static bool token_read(const struct container *container, char *token)
{
	size_t length;

	if (!container->token_file[0]) {
		strcpy(token, container->token);
		return true;
	}
	if (!secret_file_read(container->token_file, token, SESSION_TOKEN_SIZE))
		return false;
	length = strlen(token);
	if (token[length - 1] == '\n')
		token[length - 1] = '\0';
	errno = EINVAL;
	return token_valid(token);
}

static void container_fetch(struct source *source, long long deadline)
{
	struct container *container = (struct container *)source;
	char *header = container->call.header;
	char token[SESSION_TOKEN_SIZE];

	if (!token_read(container, token)) {
		OPENSSL_cleanse(token, sizeof(token));
		source_fail(source, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: %s",
			errno == EINVAL ? "not what can stand in a header" : strerror(errno));
		return;
	}
	header[0] = '\0';
	if (token[0])
		snprintf(header, sizeof(container->call.header), AUTHORIZATION "%s", token);
	OPENSSL_cleanse(token, sizeof(token));
	local_call_start(
		&container->call, container->caller->http, "GET", deadline, container_done, container);
}

static void container_free(struct source *source)
{
	OPENSSL_cleanse(source, sizeof(struct container));
	free(source);
}

struct source *source_container(const struct caller *caller, struct complaint *complaint)
{
	struct container *container = calloc(1, sizeof(*container));

	if (!container) {
		complain(complaint, "out of memory");
		return NULL;
	}
	container->source.name = "the container's credentials endpoint";
	container->source.renews = true;
	container->source.fetch = container_fetch;
	container->source.free = container_free;
	container->caller = caller;
	if (!uri_take(container, complaint) || !token_take(container, complaint)) {
		source_free(&container->source);
		return NULL;
	}
	return &container->source;
}
