#ifndef AWS_LOCAL_HTTP_H
#define AWS_LOCAL_HTTP_H
/* One unsigned call of a service that hands out keys on the machine or beside it: a container's endpoint, the
 * instance metadata service. */
#include "aws/http.h"

enum { LOCAL_URL_SIZE = 1024, LOCAL_HEADER_SIZE = 8400 };

struct local_call {
	struct http_request request; /* its answer is there inside `done` */
	char url[LOCAL_URL_SIZE];
	char header[LOCAL_HEADER_SIZE]; /* one line; "": none. May be a secret: the caller wipes */
	const char *headers[2];
};

/* Starts it: `method`, url and header are set. Two seconds for a try, and not beyond the deadline. */
void local_call_start(struct local_call *, struct http *, const char *method, long long deadline,
	void (*done)(struct http_request *), void *context);

/* "http[s]://host[:port]" in front of a path or the end: no user, no blanks, the host of [a-z0-9.-] or an
 * IPv6 address in brackets. Copies the host without brackets. *rest is what follows. False: it is none. */
MUST_USE bool local_url_parse(const char *url, bool *tls, char *host, size_t host_size, const char **rest);

/* A path with a query, perhaps: it begins with '/' and is visible ASCII without '#'. */
bool local_path_valid(const char *);

#endif
