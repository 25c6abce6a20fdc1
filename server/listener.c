/* HTTP. libmicrohttpd is lenient where request smuggling begins, so the first call of each request walks its
 * headers and refuses what has two readings. Bodies are collected whole before anyone parses them. */
#include "server/listener.h"

#include "server/answer.h"
#include "server/door.h"
#include "server/metrics.h"
#include "server/server.h"
#include "verifier/reasons.h"
#include "verifier/request.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
	CONNECTION_MEMORY = 8 * 1024,
	CONNECTIONS_MOST = 60000,
	BEHIND_DOOR_MOST = 40000, /* with a door: beyond that limit libmicrohttpd would hang for ever */
	DESCRIPTORS_KEPT =
		256, /* for AWS, the vault, the store: what an accepted request needs to be answered */
	DISCARD_MAX = 1 << 20, /* bytes of a refused body */
	IDLE_SECONDS = 30
};

struct listener {
	struct server *server;
	const struct route *routes;
	const struct forwarding *forwarding;
	struct MHD_Daemon *daemon;
	struct door *door; /* NULL: libmicrohttpd accepts by itself */
	unsigned short port;
	size_t busy; /* atomic */
};

/* The HTTP side of one request. */
struct call {
	struct listener *listener;
	struct MHD_Connection *connection;
	char target[TARGET_MAX]; /* raw, as it stood in the request line */
	bool target_too_long;
	bool seen; /* the first handler call is over */
	bool close; /* nothing behind this request may be interpreted */
	bool suspended; /* on its way */
	bool refused; /* the answer is there, and waits for the end of the body */
	unsigned long long announced; /* Content-Length */
	const struct route *route;
	struct request *request;
	unsigned char *body;
	size_t body_length, body_size;
};

/* ---- a call's life */

/* libmicrohttpd's first sight of the request line. What is returned is the call's context from then on. */
static void *call_begin(void *cls, const char *target, struct MHD_Connection *connection)
{
	struct listener *listener = cls;
	struct call *call = calloc(1, sizeof(*call));

	if (!call)
		return NULL;
	call->listener = listener;
	call->connection = connection;
	call->target_too_long = strlen(target) >= sizeof(call->target);
	snprintf(call->target, sizeof(call->target), "%s", target);
	__atomic_add_fetch(&listener->busy, 1, __ATOMIC_RELAXED);
	return call;
}

static void call_end(
	void *cls, struct MHD_Connection *connection, void **context, enum MHD_RequestTerminationCode code)
{
	struct call *call = *context;

	(void)cls;
	(void)connection;
	(void)code;
	*context = NULL;
	if (!call)
		return;
	if (call->request) {
		free(call->request->answer.body);
		call->request->free(call->request);
	}
	__atomic_sub_fetch(&call->listener->busy, 1, __ATOMIC_RELEASE);
	free(call->body);
	free(call);
}

/* ---- the header guard (RFC 9110, RFC 9112) */

struct guard {
	unsigned lengths, hosts;
	unsigned long long length;
	bool refused, json;
	struct forwarded forwarded;
	struct request *request;
};

static bool token_valid(const char *name, size_t length)
{
	static const char marks[] = "!#$%&'*+-.^_`|~";
	size_t i;

	for (i = 0; i < length; i++) {
		char c = name[i];
		bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');

		if (!letter && (c == '\0' || !strchr(marks, c)))
			return false;
	}
	return length > 0;
}

static bool digits_decode(const char *text, unsigned long long *number)
{
	size_t length = strspn(text, "0123456789");

	if (length == 0 || length > 12 || text[length])
		return false;
	*number = strtoull(text, NULL, 10);
	return true;
}

static bool media_type_json(const char *value)
{
	static const char type[] = "application/json";

	if (strncasecmp(value, type, sizeof(type) - 1) != 0)
		return false;
	value += sizeof(type) - 1;
	value += strspn(value, " \t");
	return *value == '\0' || *value == ';';
}

static enum MHD_Result guard_header(void *cls, enum MHD_ValueKind kind, const char *name, size_t name_length,
	const char *value, size_t value_length)
{
	struct guard *guard = cls;

	(void)kind;
	if (!value || !token_valid(name, name_length) || memchr(value, '\0', value_length)) {
		guard->refused = true;
	} else if (strcasecmp(name, "Transfer-Encoding") == 0) {
		guard->refused = true;
	} else if (strcasecmp(name, "Content-Length") == 0) {
		guard->lengths++;
		guard->refused = guard->refused || !digits_decode(value, &guard->length);
	} else if (strcasecmp(name, "Host") == 0) {
		guard->hosts++;
	} else if (strcasecmp(name, "Content-Type") == 0) {
		guard->json = media_type_json(value);
	} else if (strcasecmp(name, "Authorization") == 0) {
		/* a longer one is no token of ours; two are one too many */
		guard->refused = guard->refused || guard->request->authorization[0];
		if (value_length < sizeof(guard->request->authorization))
			strcpy(guard->request->authorization, value);
	} else {
		forwarded_header(&guard->forwarded, name,
			(struct bytes){ (const unsigned char *)value, value_length });
	}
	return guard->refused ? MHD_NO : MHD_YES;
}

/* Whose request it is. A proxy that adds a header shares its connections between agents: one request each,
 * so that nothing that one of them sent is read as another's. */
static bool call_attribute(struct call *call, const struct forwarded *forwarded)
{
	const struct forwarding *forwarding = call->listener->forwarding;
	struct request *request = call->request;
	struct reason *reason = &request->work.reason;
	enum speaker speaker;

	call->close = forwarding->by == FORWARDED_BY_HEADER && forwarding_trusts(forwarding, request->peer);
	speaker = forwarded_resolve(forwarding, forwarded, &request->peer, reason);
	inet_ntop(AF_INET, &request->peer, request->source, sizeof(request->source));
	if (speaker == SPEAKER_PROXY && call->route && call->route->line) {
		(void)refused(
			reason, REASON_MALFORMED, "headers: a trusted proxy forwards no agent's address");
		return false;
	}
	return speaker != SPEAKER_UNCLEAR;
}

/* NULL, or the reason code to refuse with. */
static const char *call_guard(struct call *call, const char *version)
{
	struct guard guard = { .request = call->request };

	MHD_get_connection_values_n(call->connection, MHD_HEADER_KIND, guard_header, &guard);
	if (guard.refused || guard.lengths > 1 || guard.hosts != 1 || strcmp(version, "HTTP/1.1") != 0 ||
		call->target_too_long || !call_attribute(call, &guard.forwarded))
		return REASON_MALFORMED;
	call->announced = guard.length;
	if (guard.length > REQUEST_BODY_MAX)
		return REASON_TOO_LARGE;
	if (!call->route)
		return NULL;
	if (call->route->takes_body && !guard.json)
		return REASON_UNSUPPORTED_TYPE;
	if (!call->route->takes_body && guard.length > 0)
		return REASON_MALFORMED;
	return NULL;
}

/* ---- routes */

/* Does the raw target match the pattern? Fills in the {id} and what is behind the '?'. */
static bool route_match(const char *pattern, const char *target, char part[UUID_SIZE], const char **query)
{
	static const char id[] = "{id}";
	const char *end = strchrnul(target, '?');
	const char *hole = strstr(pattern, id);
	size_t length = (size_t)(end - target);
	size_t before = hole ? (size_t)(hole - pattern) : strlen(pattern);
	const char *behind = hole ? hole + sizeof(id) - 1 : "";
	size_t hole_length = hole ? UUID_SIZE - 1 : 0;

	if (length != before + hole_length + strlen(behind) || strncmp(pattern, target, before) != 0 ||
		strncmp(behind, target + before + hole_length, strlen(behind)) != 0)
		return false;
	snprintf(part, UUID_SIZE, "%.*s", (int)hole_length, target + before);
	if (hole && !uuid_valid(part))
		return false;
	*query = *end ? end + 1 : "";
	return true;
}

/* The route, or NULL with the reason: not-found, or method-not-allowed with *allow. */
static const struct route *route_find(const struct call *call, const char *method, char part[UUID_SIZE],
	const char **query, const char **allow)
{
	const struct route *route;

	for (route = call->listener->routes; route->method; route++) {
		if (!route_match(route->path, call->target, part, query))
			continue;
		if (strcmp(route->method, method) == 0)
			return route;
		*allow = route->method;
	}
	return NULL;
}

/* ---- the request */

static void bare_free(struct request *request)
{
	free(request);
}

/* With its answer, from the pipeline's last step. Nobody but libmicrohttpd's thread touches it afterwards. */
static void request_resume(struct request *request)
{
	MHD_resume_connection(request->call->connection);
}

static bool request_begin(struct call *call, struct request *request)
{
	struct server *server = call->listener->server;
	const union MHD_ConnectionInfo *info;
	const struct sockaddr_in *peer;
	unsigned char random[10];
	struct timespec now;

	info = MHD_get_connection_info(call->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
	peer = info ? (const struct sockaddr_in *)info->client_addr : NULL;
	if (!peer || peer->sin_family != AF_INET || RAND_bytes(random, sizeof(random)) != 1)
		return false;
	clock_gettime(CLOCK_REALTIME, &now);
	request->server = server;
	request->call = call;
	request->resume = request_resume;
	request->now_us = (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000;
	request->began = pipeline_now();
	request->work.deadline = request->began + server->config->deadline_ms * 1000000;
	request->peer = peer->sin_addr;
	inet_ntop(AF_INET, &peer->sin_addr, request->source, sizeof(request->source));
	uuid7_encode(request->now_us / 1000, random, request->id);
	return true;
}

static enum MHD_Result call_answer(struct call *call);

/* Where the framing is sound the body is read and thrown away first: whoever is still sending when we close
 * would see a reset instead of the answer. */
static bool refusal_waits(const struct call *call, const char *refusal)
{
	return strcmp(refusal, REASON_MALFORMED) != 0 && call->announced > 0 &&
	       call->announced <= DISCARD_MAX;
}

/* The first call: headers are there, the body is not. */
static enum MHD_Result call_open(struct call *call, const char *method, const char *version)
{
	char part[UUID_SIZE] = "";
	const char *query = "";
	const char *allow = NULL;
	const char *refusal;
	struct request *request;

	call->seen = true;
	call->route = route_find(call, method, part, &query, &allow);
	request = call->route && call->route->new_request ? call->route->new_request()
							  : calloc(1, sizeof(*request));
	if (!request)
		return MHD_NO;
	if (!request->free)
		request->free = bare_free;
	call->request = request;
	if (!request_begin(call, request))
		return MHD_NO;
	strcpy(request->part, part);
	snprintf(request->query, sizeof(request->query), "%s", query);
	refusal = call_guard(call, version);
	if (!refusal && !call->route)
		refusal = allow ? REASON_METHOD : REASON_NOT_FOUND;
	/* a query where none is read would be one more spelling of the same resource */
	if (!refusal && !call->route->takes_query && strchr(call->target, '?'))
		refusal = REASON_NOT_FOUND;
	if (!refusal && call->route->takes_query)
		request->access = access_by_token(request->server->config, request->authorization);
	if (!refusal)
		return MHD_YES;
	request->work.reason.code = refusal;
	answer_problem(request, REFUSED, &request->work.reason);
	request->answer.allow = allow;
	call->close = true;
	call->refused = refusal_waits(call, refusal);
	return call->refused ? MHD_YES : call_answer(call);
}

/* A piece of the body; its size was bounded by Content-Length in the first call, and is bounded here again.
 */
static enum MHD_Result call_collect(struct call *call, const char *data, size_t *size)
{
	if (call->refused) {
		*size = 0;
		return MHD_YES;
	}
	if (call->body_length + *size > REQUEST_BODY_MAX)
		return MHD_NO;
	if (call->body_length + *size > call->body_size) {
		size_t larger = call->body_length + *size + 2048;
		unsigned char *body = realloc(call->body, larger);

		if (!body)
			return MHD_NO;
		call->body = body;
		call->body_size = larger;
	}
	memcpy(call->body + call->body_length, data, *size);
	call->body_length += *size;
	*size = 0;
	return MHD_YES;
}

/* The request is whole: an answer at once, or down its line. */
static enum MHD_Result call_dispatch(struct call *call)
{
	struct request *request = call->request;
	struct server *server = request->server;

	request->body = (struct bytes){ call->body, call->body_length };
	if (call->route->at_once) {
		call->route->at_once(request);
		return call_answer(call);
	}
	if (__atomic_load_n(&server->stage, __ATOMIC_ACQUIRE) == STAGE_DRAINING) {
		struct reason reason = { .code = REASON_DRAINING };

		answer_problem(request, UNAVAILABLE, &reason);
		call->close = true;
		return call_answer(call);
	}
	if (!pipeline_reserve(server->pipeline)) {
		struct reason reason = { .code = REASON_OVERLOADED };

		answer_problem(request, UNAVAILABLE, &reason);
		return call_answer(call);
	}
	call->suspended = true;
	MHD_suspend_connection(call->connection);
	pipeline_enter(server->pipeline, &request->work, call->route->line);
	return MHD_YES;
}

static void header_number(struct MHD_Response *response, const char *name, int number)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", number);
	MHD_add_response_header(response, name, text);
}

static enum MHD_Result call_answer(struct call *call)
{
	struct answer *answer = &call->request->answer;
	enum stage stage = __atomic_load_n(&call->request->server->stage, __ATOMIC_ACQUIRE);
	struct MHD_Response *response;
	enum MHD_Result queued;

	metrics_answered(call->listener->server->metrics, call->request);
	/* an empty body is given as static text; any other moves to libmicrohttpd */
	response = answer->body ? MHD_create_response_from_buffer(
					  answer->length, answer->body, MHD_RESPMEM_MUST_FREE)
				: MHD_create_response_from_buffer(0, (void *)"", MHD_RESPMEM_PERSISTENT);
	if (!response)
		return MHD_NO;
	answer->body = NULL;
	if (answer->content_type)
		MHD_add_response_header(response, "Content-Type", answer->content_type);
	MHD_add_response_header(response, "Cache-Control", "no-store");
	MHD_add_response_header(response, "X-Request-Id", call->request->id);
	if (answer->retry_after)
		header_number(response, "Retry-After", answer->retry_after);
	if (answer->allow)
		MHD_add_response_header(response, "Allow", answer->allow);
	if (answer->status == 401)
		MHD_add_response_header(response, "WWW-Authenticate",
			call->route && call->route->takes_query ? "Bearer" : "Vouchsafe-Challenge");
	/* who keeps a connection to a node that leaves would lose the request that meets its end */
	if (call->close || stage != STAGE_SERVING)
		MHD_add_response_header(response, "Connection", "close");
	queued = MHD_queue_response(
		call->connection, answer->status ? (unsigned)answer->status : 500U, response);
	MHD_destroy_response(response);
	return queued;
}

/* libmicrohttpd calls in this order: headers, pieces of the body, then once with no size: the whole; and once
 * more like that after the resume. */
static enum MHD_Result handle(void *cls, struct MHD_Connection *connection, const char *url,
	const char *method, const char *version, const char *data, size_t *size, void **context)
{
	struct call *call = *context;

	(void)cls;
	(void)connection;
	(void)url;
	if (!call)
		return MHD_NO;
	if (!call->seen)
		return call_open(call, method, version);
	if (*size > 0)
		return call_collect(call, data, size);
	if (call->suspended || call->refused)
		return call_answer(call);
	return call_dispatch(call);
}

/* ---- the listener */

static int socket_listen(const struct sockaddr_in *address, unsigned short *port)
{
	struct sockaddr_in bound;
	socklen_t length = sizeof(bound);
	int yes = 1;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -1;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) != 0 ||
		bind(fd, (const struct sockaddr *)address, sizeof(*address)) != 0 ||
		listen(fd, SOMAXCONN) != 0 || getsockname(fd, (struct sockaddr *)&bound, &length) != 0) {
		int error = errno;

		close(fd);
		errno = error;
		return -1;
	}
	*port = ntohs(bound.sin_port);
	return fd;
}

/* From the door: a connection with its true address. libmicrohttpd closes the socket where it fails. */
static bool connection_add(void *context, int fd, const struct sockaddr_in *client)
{
	struct listener *listener = context;

	return MHD_add_connection(listener->daemon, fd, (const struct sockaddr *)client, sizeof(*client)) ==
	       MHD_YES;
}

static void connection_notify(void *cls, struct MHD_Connection *connection, void **context,
	enum MHD_ConnectionNotificationCode code)
{
	struct listener *listener = cls;

	(void)connection;
	(void)context;
	if (code == MHD_CONNECTION_NOTIFY_CLOSED && listener->door)
		door_leave(listener->door);
}

/* So many that those who are let in can be served as well. */
static unsigned connections_allowed(unsigned most)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= most + DESCRIPTORS_KEPT)
		return most;
	return (unsigned)(limit.rlim_cur > 2 * DESCRIPTORS_KEPT ? limit.rlim_cur - DESCRIPTORS_KEPT
								: limit.rlim_cur / 2);
}

/* An inactive connection is closed no later than a request would be given up. */
static unsigned idle_seconds(const struct server *server)
{
	long long deadline = (server->config->deadline_ms + 999) / 1000;

	return (unsigned)(deadline < IDLE_SECONDS ? deadline : IDLE_SECONDS);
}

/* `fd`: the listening socket, or -1 where a door has it: the door counts then, and libmicrohttpd's own limit,
 * beyond which it would hang for ever, stays far above. */
static bool daemon_start(struct listener *listener, int fd)
{
	const unsigned flags = MHD_USE_EPOLL | MHD_USE_INTERNAL_POLLING_THREAD | MHD_ALLOW_SUSPEND_RESUME |
			       MHD_USE_ITC | (fd < 0 ? MHD_USE_NO_LISTEN_SOCKET : 0);
	struct MHD_OptionItem socket[] = { { MHD_OPTION_LISTEN_SOCKET, fd, NULL },
		{ MHD_OPTION_END, 0, NULL } };

	listener->daemon = MHD_start_daemon(flags, 0, NULL, NULL, handle, listener, MHD_OPTION_ARRAY,
		fd < 0 ? socket + 1 : socket, MHD_OPTION_URI_LOG_CALLBACK, call_begin, listener,
		MHD_OPTION_NOTIFY_COMPLETED, call_end, NULL, MHD_OPTION_NOTIFY_CONNECTION, connection_notify,
		listener, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY,
		MHD_OPTION_CONNECTION_LIMIT,
		fd < 0 ? CONNECTIONS_MOST : connections_allowed(CONNECTIONS_MOST),
		MHD_OPTION_CONNECTION_TIMEOUT, idle_seconds(listener->server), MHD_OPTION_STRICT_FOR_CLIENT,
		1, MHD_OPTION_END);
	return listener->daemon != NULL;
}

/* Takes the socket where it succeeds. */
static bool listener_start(struct listener *listener, int fd)
{
	const struct door_settings settings = { .fd = fd,
		.forwarding = listener->forwarding,
		.most = connections_allowed(BEHIND_DOOR_MOST),
		.admit = connection_add,
		.context = listener };

	if (listener->forwarding->by != FORWARDED_BY_PROXY_PROTOCOL)
		return daemon_start(listener, fd);
	if (!daemon_start(listener, -1))
		return false;
	listener->door = door_new(&settings);
	if (listener->door && door_open(listener->door))
		return true;
	MHD_stop_daemon(listener->daemon);
	door_free(listener->door);
	return false;
}

struct listener *listener_open(
	struct server *server, const struct listener_settings *settings, struct complaint *complaint)
{
	static const struct forwarding nobody;
	struct listener *listener = calloc(1, sizeof(*listener));
	char host[ADDRESS_SIZE] = "";
	int fd;

	inet_ntop(AF_INET, &settings->address.sin_addr, host, sizeof(host));
	if (!listener) {
		complain(complaint, "%s: out of memory", settings->name);
		return NULL;
	}
	listener->server = server;
	listener->routes = settings->routes;
	listener->forwarding = settings->forwarding ? settings->forwarding : &nobody;
	fd = socket_listen(&settings->address, &listener->port);
	if (fd < 0) {
		complain(complaint, "%s: cannot listen on %s:%u: %s", settings->name, host,
			ntohs(settings->address.sin_port), strerror(errno));
	} else if (!listener_start(listener, fd)) {
		complain(complaint, "%s: HTTP could not start (threads, descriptors or memory are out)",
			settings->name);
		close(fd);
	} else {
		return listener;
	}
	free(listener);
	return NULL;
}

unsigned short listener_port(const struct listener *listener)
{
	return listener->port;
}

void listener_quiesce(struct listener *listener)
{
	MHD_socket fd;

	if (listener->door) {
		door_shut(listener->door);
		return;
	}
	fd = MHD_quiesce_daemon(listener->daemon);
	if (fd != MHD_INVALID_SOCKET)
		close(fd);
}

size_t listener_busy(struct listener *listener)
{
	return __atomic_load_n(&listener->busy, __ATOMIC_ACQUIRE);
}

void listener_close(struct listener *listener)
{
	if (!listener)
		return;
	if (listener->door)
		door_shut(listener->door);
	MHD_stop_daemon(listener->daemon);
	door_free(listener->door);
	free(listener);
}
