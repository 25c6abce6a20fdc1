#ifndef AWS_SIM_HTTP_H
#define AWS_SIM_HTTP_H
/* An HTTP listener on 127.0.0.1, a thread for each connection: an answer may take its time, or be
 * spoilt on the way, without holding up any other. Everything about libmicrohttpd stays behind this
 * header. */
#include "tests/aws-sim/buffer.h"

#include <netinet/in.h>
#include <stdint.h>

enum { REQUEST_HEADERS_MAX = 64, REQUEST_BODY_MAX = 1 << 20, ANSWER_HEADERS_MAX = 4 };

/* Borrowed, valid during the call of the route. */
struct request {
	const char *method, *path; /* the path is unescaped */
	const char *target; /* as it came, with its query */
	bool has_query;
	unsigned n_headers;
	struct {
		const char *name, *value;
	} headers[REQUEST_HEADERS_MAX];
	const char *body;
	size_t length;
	char source[INET_ADDRSTRLEN];
};

/* The first header of that name, in any case; NULL where there is none. */
const char *request_header(const struct request *, const char *name);

enum delivery {
	DELIVER_WHOLE,
	DELIVER_RESET, /* no answer: the connection is reset */
	DELIVER_SHORT, /* half of the announced body, then the end of the connection */
	DELIVER_RESET_MIDWAY, /* half of it, then a reset */
	DELIVER_TRICKLE /* byte by byte, with the delay before each */
};

struct answer {
	int status;
	const char *content_type;
	unsigned n_headers;
	struct {
		char name[40], value[80];
	} headers[ANSWER_HEADERS_MAX];
	struct buffer body; /* taken over by the listener */
	enum delivery delivery;
	unsigned delay_ms; /* before the answer */
};

void answer_header(struct answer *, const char *name, const char *value);

/* Called on the connection's thread, many at a time; makes the answer (which comes with status 500). */
typedef void http_route(void *context, const struct request *, struct answer *);

struct listener;

/* Port 0: any. NULL: errno says why. */
struct listener *listener_open(uint16_t port, http_route *, void *context);
uint16_t listener_port(const struct listener *);
/* Ends all connections, delayed answers included. NULL is fine. */
void listener_close(struct listener *);

#endif
