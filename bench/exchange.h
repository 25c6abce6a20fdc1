#ifndef BENCH_EXCHANGE_H
#define BENCH_EXCHANGE_H
/* One request and its answer over HTTP/1.1, without blocking: the connection is made where none is kept, from
 * an address of one's own, with TLS where that is wanted. It believes the server's framing: Content-Length,
 * and nothing else. */
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>

enum { ANSWER_MAX = 96 * 1024 };

enum exchange_state {
	EXCHANGE_NONE,
	EXCHANGE_CONNECTING,
	EXCHANGE_GREETING,
	EXCHANGE_SENDING,
	EXCHANGE_RECEIVING
};
enum exchange_end { EXCHANGE_GOES_ON, EXCHANGE_ANSWERED, EXCHANGE_FAILED };

/* Starts zeroed, with fd -1. */
struct exchange {
	int fd; /* -1: no connection */
	SSL *ssl; /* NULL: plain, or no connection */
	enum exchange_state state;
	const char *request; /* borrowed until the end */
	size_t length, sent;
	char *answer; /* owned: as much as has come */
	size_t received, size;
	/* of an answer that has come: */
	int status;
	long retry_after; /* seconds; -1: none */
	bool close; /* the server keeps the connection no longer */
};

struct exchange_server {
	struct sockaddr_in address;
	SSL_CTX *tls; /* NULL: plain HTTP */
	int epoll; /* connections are put there, edge-triggered, with their context */
};

/* Begins to send the request from the source, on the connection that is kept or on a new one. False: no
 * socket, or it could not be bound; errno says why. */
bool exchange_begin(struct exchange *, const struct exchange_server *, struct in_addr source,
	const char *request, size_t length, void *context);
/* Goes as far as it can. Behind EXCHANGE_ANSWERED the connection is kept unless `close`; behind
 * EXCHANGE_FAILED it is gone. */
enum exchange_end exchange_step(struct exchange *);
/* Closes the connection. */
void exchange_end(struct exchange *);

#endif
