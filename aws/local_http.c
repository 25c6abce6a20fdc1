/* Calls of services that hand out keys nearby. */
#include "aws/local_http.h"

#include "aws/keys.h"

#include <string.h>

enum { PATIENCE_SECONDS = 2 };

void local_call_start(struct local_call *call, struct http *http, const char *method, long long deadline,
	void (*done)(struct http_request *), void *context)
{
	long long patience = monotonic_now() + PATIENCE_SECONDS * 1000000000LL;

	call->headers[0] = call->header[0] ? call->header : NULL;
	call->headers[1] = NULL;
	call->request = (struct http_request){
		.method = method,
		.url = call->url,
		.headers = call->headers,
		.deadline = deadline < patience ? deadline : patience,
		.answer_max = KEYS_BYTES_MAX,
		.done = done,
		.context = context,
	};
	http_start(http, &call->request);
}

/* The end of the host, and where it begins, without its brackets. */
static const char *host_find(const char *at, const char **begin, size_t *length)
{
	bool bracketed = *at == '[';

	*begin = at + bracketed;
	*length = strspn(*begin, bracketed ? "0123456789abcdef:." : "0123456789abcdefghijklmnopqrstuvwxyz.-");
	if (*length == 0 || (bracketed && (*begin)[*length] != ']'))
		return NULL;
	return *begin + *length + bracketed;
}

bool local_url_parse(const char *url, bool *tls, char *host, size_t host_size, const char **rest)
{
	size_t scheme = strncmp(url, "https://", 8) == 0 ? 8 : 7;
	size_t length, digits;
	const char *begin, *at;

	if (scheme == 7 && strncmp(url, "http://", 7) != 0)
		return false;
	*tls = scheme == 8;
	at = host_find(url + scheme, &begin, &length);
	if (!at || length >= host_size)
		return false;
	memcpy(host, begin, length);
	host[length] = '\0';
	if (*at == ':') {
		digits = strspn(at + 1, "0123456789");
		if (digits == 0 || digits > 5)
			return false;
		at += 1 + digits;
	}
	*rest = at;
	return *at == '\0' || local_path_valid(at);
}

bool local_path_valid(const char *path)
{
	if (*path != '/')
		return false;
	while (*path > ' ' && *path < 127 && *path != '#')
		path++;
	return *path == '\0';
}
