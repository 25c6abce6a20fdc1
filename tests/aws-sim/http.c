/* The listener over libmicrohttpd: collects a request, calls the route, delivers the answer whole or
 * spoilt. It never listens beyond 127.0.0.1 and knows nothing of what is asked. */
#include "tests/aws-sim/http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>

enum { CONNECTIONS_MAX = 8192, BACKLOG = 4096, STACK_SIZE = 512 * 1024 };

struct listener {
	struct MHD_Daemon *daemon;
	http_route *route;
	void *context;
	pthread_mutex_t lock; /* guards `ending` */
	pthread_cond_t ended;
	bool ending;
};

/* A request on its way in. */
struct incoming {
	struct buffer target, body;
	bool begun, too_large;
};

/* A body on its way out through a callback. */
struct outgoing {
	struct listener *listener;
	char *body;
	size_t length;
	enum delivery delivery;
	unsigned delay_ms;
	int fd;
};

const char *request_header(const struct request *request, const char *name)
{
	for (unsigned i = 0; i < request->n_headers; i++)
		if (!strcasecmp(request->headers[i].name, name))
			return request->headers[i].value;
	return NULL;
}

void answer_header(struct answer *answer, const char *name, const char *value)
{
	if (answer->n_headers == ANSWER_HEADERS_MAX)
		return;
	snprintf(answer->headers[answer->n_headers].name, sizeof answer->headers->name, "%s", name);
	snprintf(answer->headers[answer->n_headers].value, sizeof answer->headers->value, "%s", value);
	answer->n_headers++;
}

/* Waits, unless the listener ends. */
static void listener_pause(struct listener *listener, unsigned delay_ms)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += delay_ms / 1000;
	until.tv_nsec += (long)(delay_ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	pthread_mutex_lock(&listener->lock);
	while (!listener->ending)
		if (pthread_cond_timedwait(&listener->ended, &listener->lock, &until))
			break;
	pthread_mutex_unlock(&listener->lock);
}

/* To connect a socket to nobody makes Linux send a reset at once. */
static void connection_reset(int fd)
{
	const struct sockaddr nobody = { .sa_family = AF_UNSPEC };

	if (connect(fd, &nobody, sizeof nobody))
		shutdown(fd, SHUT_RDWR);
}

static ssize_t outgoing_read(void *context, uint64_t position, char *to, size_t max)
{
	struct outgoing *outgoing = context;
	size_t end = outgoing->delivery == DELIVER_TRICKLE ? outgoing->length : outgoing->length / 2;
	size_t length;

	if (position >= end) {
		if (outgoing->delivery == DELIVER_RESET_MIDWAY)
			connection_reset(outgoing->fd);
		return MHD_CONTENT_READER_END_WITH_ERROR;
	}
	length = end - position;
	if (outgoing->delivery == DELIVER_TRICKLE) {
		listener_pause(outgoing->listener, outgoing->delay_ms);
		length = 1;
	}
	if (length > max)
		length = max;
	memcpy(to, outgoing->body + position, length);
	return (ssize_t)length;
}

static void outgoing_free(void *context)
{
	struct outgoing *outgoing = context;

	free(outgoing->body);
	free(outgoing);
}

/* Takes the body over, whatever comes out. */
static struct MHD_Response *response_spoilt(const struct outgoing *with)
{
	struct outgoing *outgoing = malloc(sizeof *outgoing);
	struct MHD_Response *response;

	if (!outgoing) {
		free(with->body);
		return NULL;
	}
	*outgoing = *with;
	response = MHD_create_response_from_callback(
		outgoing->length, 16384, outgoing_read, outgoing, outgoing_free);
	if (!response)
		outgoing_free(outgoing);
	return response;
}

static struct MHD_Response *response_new(struct listener *listener, struct answer *answer, int fd)
{
	struct outgoing outgoing = {
		.listener = listener, .delivery = answer->delivery, .fd = fd, .delay_ms = answer->delay_ms
	};
	struct MHD_Response *response;

	outgoing.body = buffer_take(&answer->body, &outgoing.length);
	if (!outgoing.body)
		return NULL;
	if (answer->delivery != DELIVER_WHOLE)
		return response_spoilt(&outgoing);
	response = MHD_create_response_from_buffer(outgoing.length, outgoing.body, MHD_RESPMEM_MUST_FREE);
	if (!response)
		free(outgoing.body);
	return response;
}

static enum MHD_Result answer_send(
	struct listener *listener, struct MHD_Connection *connection, struct answer *answer)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(
		connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	int fd = info ? info->connect_fd : -1;
	struct MHD_Response *response;
	enum MHD_Result result = MHD_YES;

	if (answer->delay_ms && answer->delivery != DELIVER_TRICKLE)
		listener_pause(listener, answer->delay_ms);
	if (answer->delivery == DELIVER_RESET) {
		connection_reset(fd);
		return MHD_NO;
	}
	response = response_new(listener, answer, fd);
	if (!response)
		return MHD_NO;
	if (answer->content_type)
		result &= MHD_add_response_header(response, "Content-Type", answer->content_type);
	for (unsigned i = 0; i < answer->n_headers; i++)
		result &= MHD_add_response_header(
			response, answer->headers[i].name, answer->headers[i].value);
	if (result == MHD_YES)
		result = MHD_queue_response(connection, (unsigned)answer->status, response);
	MHD_destroy_response(response);
	return result;
}

static enum MHD_Result header_collect(
	void *context, enum MHD_ValueKind kind, const char *name, const char *value)
{
	struct request *request = context;

	if (kind == MHD_GET_ARGUMENT_KIND) {
		request->has_query = true;
		return MHD_YES;
	}
	/* One too many shows as a count beyond the array; the caller refuses. */
	if (request->n_headers < REQUEST_HEADERS_MAX) {
		request->headers[request->n_headers].name = name;
		request->headers[request->n_headers].value = value ? value : "";
	}
	request->n_headers++;
	return MHD_YES;
}

static void request_source(struct request *request, struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(
		connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
	struct sockaddr_in address;

	if (!info || info->client_addr->sa_family != AF_INET)
		return;
	memcpy(&address, info->client_addr, sizeof address);
	inet_ntop(AF_INET, &address.sin_addr, request->source, sizeof request->source);
}

static enum MHD_Result request_answer(struct listener *listener, struct MHD_Connection *connection,
	struct request *request, const struct incoming *incoming)
{
	struct answer answer = { .status = MHD_HTTP_INTERNAL_SERVER_ERROR };
	enum MHD_Result result;

	MHD_get_connection_values(connection, MHD_HEADER_KIND, header_collect, request);
	MHD_get_connection_values(connection, MHD_GET_ARGUMENT_KIND, header_collect, request);
	request_source(request, connection);
	request->body = incoming->body.data ? incoming->body.data : "";
	request->length = incoming->body.length;
	if (incoming->too_large)
		answer.status = MHD_HTTP_CONTENT_TOO_LARGE;
	else if (request->n_headers > REQUEST_HEADERS_MAX)
		answer.status = MHD_HTTP_REQUEST_HEADER_FIELDS_TOO_LARGE;
	else if (!incoming->body.failed)
		listener->route(listener->context, request, &answer);
	result = answer_send(listener, connection, &answer);
	buffer_clear(&answer.body);
	return result;
}

/* Called with the target before anything is done with it; what it returns is the request's state. */
static void *request_begin(void *context, const char *target, struct MHD_Connection *connection)
{
	struct incoming *incoming = calloc(1, sizeof *incoming);

	(void)context;
	(void)connection;
	if (incoming)
		buffer_add(&incoming->target, target, strlen(target) + 1);
	return incoming;
}

static enum MHD_Result request_step(void *context, struct MHD_Connection *connection, const char *path,
	const char *method, const char *version, const char *data, size_t *length, void **state)
{
	struct incoming *incoming = *state;
	struct request request = { .method = method, .path = path };

	(void)version;
	if (!incoming || incoming->target.failed)
		return MHD_NO;
	if (!incoming->begun) {
		incoming->begun = true;
		return MHD_YES;
	}
	request.target = incoming->target.data;
	if (!*length)
		return request_answer(context, connection, &request, incoming);
	if (incoming->body.length + *length > REQUEST_BODY_MAX)
		incoming->too_large = true;
	else
		buffer_add(&incoming->body, data, *length);
	*length = 0;
	return MHD_YES;
}

static void request_end(
	void *context, struct MHD_Connection *connection, void **state, enum MHD_RequestTerminationCode code)
{
	struct incoming *incoming = *state;

	(void)context;
	(void)connection;
	(void)code;
	if (incoming) {
		buffer_clear(&incoming->target);
		buffer_clear(&incoming->body);
	}
	free(incoming);
	*state = NULL;
}

static struct listener *listener_new(http_route *route, void *context)
{
	struct listener *listener = calloc(1, sizeof *listener);
	pthread_condattr_t attributes;

	if (!listener)
		return NULL;
	listener->route = route;
	listener->context = context;
	pthread_mutex_init(&listener->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&listener->ended, &attributes);
	pthread_condattr_destroy(&attributes);
	return listener;
}

struct listener *listener_open(uint16_t port, http_route *route, void *context)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)
	};
	struct listener *listener = listener_new(route, context);
	int saved;

	if (!listener)
		return NULL;
	errno = 0;
	listener->daemon = MHD_start_daemon(
		MHD_USE_POLL_INTERNAL_THREAD | MHD_USE_THREAD_PER_CONNECTION | MHD_USE_ITC, port, NULL, NULL,
		request_step, listener, MHD_OPTION_SOCK_ADDR, &address, MHD_OPTION_NOTIFY_COMPLETED,
		request_end, NULL, MHD_OPTION_URI_LOG_CALLBACK, request_begin, NULL,
		MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX, MHD_OPTION_LISTEN_BACKLOG_SIZE,
		(unsigned)BACKLOG, MHD_OPTION_THREAD_STACK_SIZE, (size_t)STACK_SIZE, MHD_OPTION_END);
	if (!listener->daemon) {
		saved = errno ? errno : EIO;
		listener_close(listener);
		errno = saved;
		return NULL;
	}
	return listener;
}

uint16_t listener_port(const struct listener *listener)
{
	const union MHD_DaemonInfo *info = MHD_get_daemon_info(listener->daemon, MHD_DAEMON_INFO_BIND_PORT);

	return info ? info->port : 0;
}

void listener_close(struct listener *listener)
{
	if (!listener)
		return;
	pthread_mutex_lock(&listener->lock);
	listener->ending = true;
	pthread_cond_broadcast(&listener->ended);
	pthread_mutex_unlock(&listener->lock);
	if (listener->daemon)
		MHD_stop_daemon(listener->daemon);
	pthread_cond_destroy(&listener->ended);
	pthread_mutex_destroy(&listener->lock);
	free(listener);
}
