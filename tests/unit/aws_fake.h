#ifndef TESTS_UNIT_AWS_FAKE_H
#define TESTS_UNIT_AWS_FAKE_H
/* A small HTTP server in a thread of the test's own: each whole request goes to the test's function, whose
 * reply may also be cut, withheld or reset. Listens on a free port of 127.0.0.1. */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FAKE_CONNECTIONS = 64, FAKE_REQUEST_MAX = 65536, FAKE_BODY_MAX = 12 * 1024 * 1024 };

struct fake_request {
	unsigned connection; /* 1: the first that was accepted */
	struct in_addr peer;
	char *head; /* request line and headers, NUL-terminated */
	char *body; /* NUL-terminated */
};

struct fake_reply {
	int status; /* 0: 200 */
	const char *headers; /* more of them, each with CR LF; NULL: none */
	const char *body; /* NULL: empty */
	bool owned; /* the body is freed after */
	size_t body_length; /* 0: strlen */
	long cut; /* close after so many bytes of the body; -1 or 0: not */
	bool chunked; /* without Content-Length */
	bool hold; /* never answer */
	bool drop; /* close without a byte */
	bool reset; /* the same with RST */
	bool close; /* after the whole answer */
	bool slow; /* a byte every 50 ms, until the other side has had enough */
};

struct fake {
	unsigned short port;
	char url[64];
	atomic_uint connections, requests;
	void (*answer)(struct fake *, const struct fake_request *, struct fake_reply *);
	void *context;
	/* the thread's own */
	int listener, stop;
	pthread_t thread;
	struct fake_connection {
		int socket;
		unsigned number;
		struct in_addr peer;
		size_t length;
		char data[FAKE_REQUEST_MAX];
	} * open[FAKE_CONNECTIONS];
};

static void fake_drop(struct fake *fake, unsigned i, bool reset)
{
	struct linger linger = { 1, 0 };

	if (reset)
		setsockopt(fake->open[i]->socket, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	close(fake->open[i]->socket);
	free(fake->open[i]);
	fake->open[i] = NULL;
}

static void fake_accept(struct fake *fake)
{
	struct sockaddr_in from;
	socklen_t length = sizeof(from);
	int socket = accept4(fake->listener, (struct sockaddr *)&from, &length, SOCK_CLOEXEC);
	int yes = 1;

	if (socket < 0)
		return;
	setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
	for (unsigned i = 0; i < FAKE_CONNECTIONS; i++) {
		if (fake->open[i])
			continue;
		fake->open[i] = calloc(1, sizeof(*fake->open[i]));
		fake->open[i]->socket = socket;
		fake->open[i]->number = ++fake->connections;
		fake->open[i]->peer = from.sin_addr;
		return;
	}
	close(socket);
}

/* False: the other side has gone. */
static bool fake_send(int socket, const char *data, size_t length)
{
	while (length > 0) {
		ssize_t sent = send(socket, data, length, MSG_NOSIGNAL);

		if (sent <= 0)
			return false;
		data += sent;
		length -= (size_t)sent;
	}
	return true;
}

static void fake_send_slowly(const struct fake *fake, int socket, const char *data, size_t length)
{
	struct pollfd ends[2] = { { fake->stop, POLLIN, 0 }, { socket, POLLIN | POLLRDHUP, 0 } };

	while (length-- > 0 && poll(ends, 2, 50) == 0 && fake_send(socket, data++, 1))
		;
}

static void fake_reply(struct fake *fake, unsigned i, struct fake_reply *reply)
{
	int socket = fake->open[i]->socket;
	size_t length = reply->body_length ? reply->body_length : reply->body ? strlen(reply->body) : 0;
	size_t sent = reply->cut > 0 ? (size_t)reply->cut : length;
	char head[2048], framing[64];

	if (reply->chunked)
		snprintf(framing, sizeof(framing), "Transfer-Encoding: chunked");
	else
		snprintf(framing, sizeof(framing), "Content-Length: %zu", length);
	snprintf(head, sizeof(head), "HTTP/1.1 %d X\r\n%s\r\n%s\r\n", reply->status ? reply->status : 200,
		framing, reply->headers ? reply->headers : "");
	fake_send(socket, head, strlen(head));
	if (reply->chunked) {
		snprintf(framing, sizeof(framing), "%zx\r\n", length);
		fake_send(socket, framing, strlen(framing));
	}
	if (reply->slow)
		fake_send_slowly(fake, socket, reply->body, sent);
	else
		fake_send(socket, reply->body, sent);
	if (reply->chunked && sent == length)
		fake_send(socket, "\r\n0\r\n\r\n", 7);
	if (reply->close || sent < length)
		fake_drop(fake, i, false);
}

static void fake_handle(struct fake *fake, unsigned i, char *head_end, size_t body_length)
{
	struct fake_connection *connection = fake->open[i];
	struct fake_reply reply = { 0 };
	struct fake_request request = { connection->number, connection->peer, connection->data, NULL };

	request.body = calloc(1, body_length + 1);
	memcpy(request.body, head_end + 4, body_length);
	head_end[2] = '\0';
	fake->requests++;
	fake->answer(fake, &request, &reply);
	free(request.body);
	connection->length = 0;
	memset(connection->data, 0, sizeof(connection->data));
	if (reply.reset || reply.drop)
		fake_drop(fake, i, reply.reset);
	else if (!reply.hold)
		fake_reply(fake, i, &reply);
	if (reply.owned)
		free((char *)reply.body);
}

static void fake_read(struct fake *fake, unsigned i)
{
	struct fake_connection *connection = fake->open[i];
	size_t room = sizeof(connection->data) - 1 - connection->length;
	ssize_t got = recv(connection->socket, connection->data + connection->length, room, 0);
	char *head_end, *length;
	size_t body = 0;

	/* 22: the first byte of a TLS handshake, which nobody here speaks */
	if (got <= 0 || connection->data[0] == 22) {
		fake_drop(fake, i, false);
		return;
	}
	connection->length += (size_t)got;
	head_end = strstr(connection->data, "\r\n\r\n");
	if (!head_end)
		return;
	length = strcasestr(connection->data, "\r\nContent-Length:");
	if (length && length < head_end)
		body = strtoul(length + 17, NULL, 10);
	if (connection->length >= (size_t)(head_end + 4 - connection->data) + body)
		fake_handle(fake, i, head_end, body);
}

static void *fake_run(void *context)
{
	struct fake *fake = context;

	for (;;) {
		struct pollfd polled[FAKE_CONNECTIONS + 2] = { { fake->stop, POLLIN, 0 },
			{ fake->listener, POLLIN, 0 } };

		for (unsigned i = 0; i < FAKE_CONNECTIONS; i++)
			polled[i + 2] =
				(struct pollfd){ fake->open[i] ? fake->open[i]->socket : -1, POLLIN, 0 };
		poll(polled, FAKE_CONNECTIONS + 2, -1);
		if (polled[0].revents)
			return NULL;
		for (unsigned i = 0; i < FAKE_CONNECTIONS; i++)
			if (polled[i + 2].revents)
				fake_read(fake, i);
		if (polled[1].revents)
			fake_accept(fake);
	}
}

static void fake_open(struct fake *fake,
	void (*answer)(struct fake *, const struct fake_request *, struct fake_reply *), void *context)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t length = sizeof(address);

	memset(fake, 0, sizeof(*fake));
	fake->answer = answer;
	fake->context = context;
	fake->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(fake->listener, (struct sockaddr *)&address, sizeof(address)) != 0 ||
		listen(fake->listener, 64) != 0 ||
		getsockname(fake->listener, (struct sockaddr *)&address, &length) != 0)
		abort();
	fake->port = ntohs(address.sin_port);
	snprintf(fake->url, sizeof(fake->url), "http://127.0.0.1:%u", fake->port);
	fake->stop = eventfd(0, EFD_CLOEXEC);
	if (pthread_create(&fake->thread, NULL, fake_run, fake) != 0)
		abort();
}

static void fake_close(struct fake *fake)
{
	uint64_t one = 1;

	if (write(fake->stop, &one, sizeof(one)) != sizeof(one))
		abort();
	pthread_join(fake->thread, NULL);
	for (unsigned i = 0; i < FAKE_CONNECTIONS; i++)
		if (fake->open[i])
			fake_drop(fake, i, false);
	close(fake->listener);
	close(fake->stop);
}

#endif
