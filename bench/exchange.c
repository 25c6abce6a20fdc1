/* The way of one request, as a small machine that an event moves on. */
#include "bench/exchange.h"

#include <errno.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PIECE = 8192 };

void exchange_end(struct exchange *exchange)
{
	SSL_free(exchange->ssl);
	if (exchange->fd >= 0)
		close(exchange->fd);
	free(exchange->answer);
	*exchange = (struct exchange){ .fd = -1 };
}

static bool connection_open(
	struct exchange *exchange, const struct exchange_server *server, struct in_addr source, void *context)
{
	const struct sockaddr_in from = { .sin_family = AF_INET, .sin_addr = source };
	struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = context };
	int yes = 1;

	exchange->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (exchange->fd < 0)
		return false;
	(void)setsockopt(exchange->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &yes, sizeof yes);
	if (bind(exchange->fd, (const struct sockaddr *)&from, sizeof from) ||
		epoll_ctl(server->epoll, EPOLL_CTL_ADD, exchange->fd, &event))
		return false;
	exchange->state = EXCHANGE_CONNECTING;
	if (connect(exchange->fd, (const struct sockaddr *)&server->address, sizeof server->address) &&
		errno != EINPROGRESS)
		return false;
	if (!server->tls)
		return true;
	exchange->ssl = SSL_new(server->tls);
	if (!exchange->ssl || SSL_set_fd(exchange->ssl, exchange->fd) != 1)
		return false;
	SSL_set_connect_state(exchange->ssl);
	return true;
}

bool exchange_begin(struct exchange *exchange, const struct exchange_server *server, struct in_addr source,
	const char *request, size_t length, void *context)
{
	exchange->request = request;
	exchange->length = length;
	exchange->sent = exchange->received = 0;
	exchange->status = 0;
	exchange->state = EXCHANGE_SENDING;
	if (exchange->fd >= 0 || connection_open(exchange, server, source, context))
		return true;
	exchange_end(exchange);
	return false;
}

/* ---- bytes; a count, 0 where the call would block, -1 where the connection is of no use any more */

static ssize_t tls_result(const struct exchange *exchange, int n)
{
	int error = n > 0 ? SSL_ERROR_NONE : SSL_get_error(exchange->ssl, n);

	if (n > 0)
		return n;
	ERR_clear_error();
	return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? 0 : -1;
}

static ssize_t plain_result(ssize_t n)
{
	if (n > 0)
		return n;
	return n < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
}

static ssize_t bytes_send(struct exchange *exchange)
{
	const char *from = exchange->request + exchange->sent;
	size_t length = exchange->length - exchange->sent;

	if (exchange->ssl)
		return tls_result(exchange, SSL_write(exchange->ssl, from, (int)length));
	return plain_result(send(exchange->fd, from, length, MSG_NOSIGNAL));
}

static ssize_t bytes_receive(struct exchange *exchange)
{
	if (exchange->size - exchange->received < PIECE) {
		char *larger = exchange->size < ANSWER_MAX
				       ? realloc(exchange->answer, exchange->size + 2 * PIECE + 1)
				       : NULL;

		if (!larger)
			return -1;
		exchange->answer = larger;
		exchange->size += 2 * PIECE;
	}
	if (exchange->ssl)
		return tls_result(
			exchange, SSL_read(exchange->ssl, exchange->answer + exchange->received, PIECE));
	return plain_result(recv(exchange->fd, exchange->answer + exchange->received, PIECE, 0));
}

/* ---- the answer */

/* The value of a header of the answer's head, which is a string; NULL where there is none. */
static const char *header(const char *head, const char *name)
{
	const char *found = strcasestr(head, name);

	return found && found[-1] == '\n' ? found + strlen(name) : NULL;
}

/* Has all of it come? Then its head is read. */
static bool answer_whole(struct exchange *exchange)
{
	const char *length, *retry, *connection;
	char *end;

	exchange->answer[exchange->received] = '\0';
	end = strstr(exchange->answer, "\r\n\r\n");
	if (!end)
		return false;
	*end = '\0';
	length = header(exchange->answer, "Content-Length: ");
	if (exchange->received - (size_t)(end + 4 - exchange->answer) <
		(length ? strtoul(length, NULL, 10) : 0)) {
		*end = '\r';
		return false;
	}
	retry = header(exchange->answer, "Retry-After: ");
	connection = header(exchange->answer, "Connection: ");
	exchange->status = atoi(exchange->answer + strcspn(exchange->answer, " "));
	exchange->retry_after = retry ? strtol(retry, NULL, 10) : -1;
	exchange->close = connection && !strncasecmp(connection, "close", 5);
	return true;
}

static enum exchange_end answer_take(struct exchange *exchange)
{
	ssize_t n;

	while ((n = bytes_receive(exchange)) > 0) {
		exchange->received += (size_t)n;
		if (answer_whole(exchange)) {
			exchange->state = EXCHANGE_NONE;
			return EXCHANGE_ANSWERED;
		}
	}
	return n < 0 ? EXCHANGE_FAILED : EXCHANGE_GOES_ON;
}

/* ---- the machine; a step answers EXCHANGE_GOES_ON also where it only waits */

static enum exchange_end connected(struct exchange *exchange)
{
	struct sockaddr_in peer;
	socklen_t length = sizeof peer;
	int error = 0;

	if (!getpeername(exchange->fd, (struct sockaddr *)&peer, &length)) {
		exchange->state = exchange->ssl ? EXCHANGE_GREETING : EXCHANGE_SENDING;
		return EXCHANGE_GOES_ON;
	}
	length = sizeof error;
	if (getsockopt(exchange->fd, SOL_SOCKET, SO_ERROR, &error, &length) || error)
		return EXCHANGE_FAILED;
	return EXCHANGE_GOES_ON;
}

static enum exchange_end greeted(struct exchange *exchange)
{
	ssize_t n = tls_result(exchange, SSL_do_handshake(exchange->ssl));

	if (n > 0)
		exchange->state = EXCHANGE_SENDING;
	return n < 0 ? EXCHANGE_FAILED : EXCHANGE_GOES_ON;
}

static enum exchange_end request_send(struct exchange *exchange)
{
	ssize_t n;

	while (exchange->sent < exchange->length && (n = bytes_send(exchange)) != 0) {
		if (n < 0)
			return EXCHANGE_FAILED;
		exchange->sent += (size_t)n;
	}
	if (exchange->sent == exchange->length)
		exchange->state = EXCHANGE_RECEIVING;
	return EXCHANGE_GOES_ON;
}

static enum exchange_end state_step(struct exchange *exchange)
{
	switch (exchange->state) {
	case EXCHANGE_CONNECTING:
		return connected(exchange);
	case EXCHANGE_GREETING:
		return greeted(exchange);
	case EXCHANGE_SENDING:
		return request_send(exchange);
	case EXCHANGE_RECEIVING:
		return answer_take(exchange);
	default:
		return EXCHANGE_FAILED; /* the server closed what we had kept */
	}
}

enum exchange_end exchange_step(struct exchange *exchange)
{
	enum exchange_state before;
	enum exchange_end end;

	do {
		before = exchange->state;
		end = state_step(exchange);
	} while (end == EXCHANGE_GOES_ON && exchange->state != before);
	if (end == EXCHANGE_FAILED || (end == EXCHANGE_ANSWERED && exchange->close)) {
		struct exchange kept = *exchange;

		exchange_end(exchange);
		exchange->status = end == EXCHANGE_ANSWERED ? kept.status : 0;
		exchange->retry_after = end == EXCHANGE_ANSWERED ? kept.retry_after : -1;
	}
	return end;
}
