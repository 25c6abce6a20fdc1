/* HTTP. libmicrohttpd is lenient where request smuggling begins, so the first call of each request holds its
 * head against what it must have been (server/head.h), and refuses what has two readings. Bodies are
 * collected whole before anyone parses them. */
#include "server/listener.h"

#include "server/access.h"
#include "server/addresses.h"
#include "server/answer.h"
#include "server/client_trust.h"
#include "server/door.h"
#include "server/head.h"
#include "server/metrics.h"
#include "server/server.h"
#include "server/tls.h"
#include "verifier/reasons.h"
#include "verifier/request.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
	CONNECTION_MEMORY = 8 * 1024,
	CONNECTIONS_UNREACHED =
		1 << 20, /* at its own limit libmicrohttpd would hang for ever: ours are far below */
	DISCARD_MAX = 1 << 20 /* bytes of a refused body */
};

struct listener {
	struct server *server;
	const struct route *routes;
	const struct forwarding *forwarding;
	struct connections *connections;
	struct MHD_Daemon *daemon;
	struct door *door;
	struct tls *tls; /* NULL: plain HTTP */
	const struct tls_files *files;
	struct client_trust *trust; /* NULL: no client shows a certificate */
	unsigned roles_of_all;
	struct addresses *forwarded; /* requests under way of those who come by a trusted proxy's header */
	pthread_mutex_t lock; /* of trust and forwarded */
	unsigned short port;
	size_t busy; /* atomic */
};

/* The HTTP side of one request. */
struct call {
	struct listener *listener;
	struct MHD_Connection *connection;
	int fd;
	const char *raw; /* where libmicrohttpd has the target, until the first handler call is over */
	char *target; /* as it stood there at first; "" where it is longer than TARGET_MAX */
	bool seen; /* the first handler call is over */
	bool close; /* nothing behind this request may be interpreted */
	bool shared; /* one agent's of many that come by a proxy's connections */
	bool counted; /* in listener->forwarded */
	bool suspended; /* on its way */
	bool refused; /* the answer is there, and waits for the end of the body */
	unsigned long long announced; /* Content-Length */
	const struct route *route;
	struct request *request;
	unsigned char *body;
	size_t body_length, body_size;
};

/* ---- a call's life */

static int descriptor(struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(
		connection, MHD_CONNECTION_INFO_CONNECTION_FD);

	return info ? info->connect_fd : -1;
}

/* libmicrohttpd's first sight of the request line. What is returned is the call's context from then on. */
static void *call_begin(void *cls, const char *target, struct MHD_Connection *connection)
{
	struct listener *listener = cls;
	struct call *call = calloc(1, sizeof(*call));

	if (!call)
		return NULL;
	call->listener = listener;
	call->connection = connection;
	call->fd = descriptor(connection);
	call->raw = target;
	call->close = listener->tls != NULL; /* poll's cost grows with those who only stay */
	call->target = strdup(strlen(target) < TARGET_MAX ? target : "");
	if (!call->target) {
		free(call);
		return NULL;
	}
	__atomic_add_fetch(&listener->busy, 1, __ATOMIC_RELAXED);
	return call;
}

/* Requests of one forwarded address at once: its connections are the proxy's. */
static bool call_count(struct call *call)
{
	struct listener *listener = call->listener;

	pthread_mutex_lock(&listener->lock);
	call->counted = addresses_take(listener->forwarded, call->request->peer);
	pthread_mutex_unlock(&listener->lock);
	return call->counted;
}

static void call_uncount(struct call *call)
{
	struct listener *listener = call->listener;

	if (!call->counted)
		return;
	pthread_mutex_lock(&listener->lock);
	addresses_give(listener->forwarded, call->request->peer);
	pthread_mutex_unlock(&listener->lock);
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
	connections_phase(call->listener->connections, call->fd, CONNECTION_HEAD);
	call_uncount(call);
	if (call->request) {
		free(call->request->answer.body);
		call->request->free(call->request);
	}
	__atomic_sub_fetch(&call->listener->busy, 1, __ATOMIC_RELEASE);
	free(call->target);
	free(call->body);
	free(call);
}

/* ---- the head */

static enum MHD_Result header_take(void *cls, enum MHD_ValueKind kind, const char *name, size_t name_length,
	const char *value, size_t value_length)
{
	struct head *head = cls;

	(void)kind;
	head_header(head, (struct bytes){ (const unsigned char *)name, name_length },
		(struct bytes){ (const unsigned char *)value, value_length });
	return head->refused ? MHD_NO : MHD_YES;
}

static void head_take(struct call *call, const char *method, const char *version, struct head *head)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(
		call->connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);

	head_begin(head, method, call->raw, call->target, version);
	MHD_get_connection_values_n(call->connection, MHD_HEADER_KIND, header_take, head);
	head_end(head, info ? info->header_size : 0);
	call->announced = head->length;
}

/* Whose request it is. A proxy that adds a header shares its connections between agents: one request each,
 * so that nothing that one of them sent is read as another's. */
static bool call_attribute(struct call *call, const struct forwarded *forwarded)
{
	const struct forwarding *forwarding = call->listener->forwarding;
	struct request *request = call->request;
	struct reason *reason = &request->work.reason;
	bool shared = forwarding->by == FORWARDED_BY_HEADER && forwarding_trusts(forwarding, request->peer);
	enum speaker speaker;

	call->close = call->close || shared;
	speaker = forwarded_resolve(forwarding, forwarded, &request->peer, reason);
	inet_ntop(AF_INET, &request->peer, request->source, sizeof(request->source));
	if (speaker == SPEAKER_PROXY && call->route && call->route->line) {
		(void)refused(
			reason, REASON_MALFORMED, "headers: a trusted proxy forwards no agent's address");
		return false;
	}
	call->shared = shared && speaker == SPEAKER_AGENT;
	return speaker != SPEAKER_UNCLEAR;
}

/* ---- who asks, where not everybody may */

static const struct audit_access *access_of_certificate(const struct call *call)
{
	struct listener *listener = call->listener;
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(
		call->connection, MHD_CONNECTION_INFO_GNUTLS_SESSION);
	struct bytes chain[TLS_CHAIN_MAX];
	const struct audit_access *access = NULL;
	size_t n = info ? tls_peer_chain(info->tls_session, chain) : 0;

	pthread_mutex_lock(&listener->lock);
	if (n > 0 && listener->trust)
		access = access_by_certificate(
			listener->server->config, listener->trust, chain, n, time(NULL));
	pthread_mutex_unlock(&listener->lock);
	return access;
}

/* NULL, or the reason code to refuse with. A token, where one is sent, is what counts. */
static const char *call_authorize(struct call *call, const struct head *head)
{
	struct request *request = call->request;
	unsigned roles = call->route->roles;

	if (head->authorizations)
		request->access = access_by_token(call->listener->server->config, head->authorization);
	else if (call->listener->tls)
		request->access = access_of_certificate(call);
	request->roles = call->listener->roles_of_all | (request->access ? request->access->role : 0);
	if (!roles || (request->roles & roles))
		return NULL;
	return request->access ? REASON_FORBIDDEN : REASON_UNAUTHORIZED;
}

/* NULL, or the reason code to refuse with. */
static const char *call_guard(struct call *call, const struct head *head, const struct target *target)
{
	if (head->refused || !call_attribute(call, &head->forwarded))
		return REASON_MALFORMED;
	if (head->length > REQUEST_BODY_MAX)
		return REASON_TOO_LARGE;
	if (!call->route)
		return target->allow ? REASON_METHOD : REASON_NOT_FOUND;
	/* a query where none is read would be one more spelling of the same resource */
	if (target->has_query && !call->route->takes_query)
		return REASON_NOT_FOUND;
	if (call->route->takes_body && !head->json)
		return REASON_UNSUPPORTED_TYPE;
	if (!call->route->takes_body && head->length > 0)
		return REASON_MALFORMED;
	return call_authorize(call, head);
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
	struct head head;
	struct target target;
	const char *refusal;
	struct request *request;

	call->seen = true;
	call->route = route_find(call->listener->routes, method, call->target, &target);
	request = call->route && call->route->new_request ? call->route->new_request()
							  : calloc(1, sizeof(*request));
	if (!request)
		return MHD_NO;
	if (!request->free)
		request->free = bare_free;
	call->request = request;
	if (!request_begin(call, request))
		return MHD_NO;
	strcpy(request->part, target.part);
	request->query = target.query;
	head_take(call, method, version, &head);
	connections_phase(call->listener->connections, call->fd, CONNECTION_BODY);
	refusal = call_guard(call, &head, &target);
	if (!refusal)
		return MHD_YES;
	request->work.reason.code = refusal;
	answer_problem(request, REFUSED, &request->work.reason);
	request->answer.allow = target.allow;
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
	if ((call->shared && !call_count(call)) || !pipeline_reserve(server->pipeline)) {
		struct reason reason = { .code = REASON_OVERLOADED };

		answer_problem(request, UNAVAILABLE, &reason);
		return call_answer(call);
	}
	call->suspended = true;
	connections_phase(call->listener->connections, call->fd, CONNECTION_ELSEWHERE);
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
	connections_phase(call->listener->connections, call->fd, CONNECTION_ANSWER);
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
			call->route && call->route->roles ? "Bearer" : "Vouchsafe-Challenge");
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

/* Its deadline begins here and not at the door: until libmicrohttpd knows the socket, nobody else may shut
 * it. */
static void connection_notify(void *cls, struct MHD_Connection *connection, void **context,
	enum MHD_ConnectionNotificationCode code)
{
	struct listener *listener = cls;
	int fd = descriptor(connection);

	(void)context;
	if (code == MHD_CONNECTION_NOTIFY_STARTED)
		connections_phase(listener->connections, fd, CONNECTION_HEAD);
	else
		door_leave(listener->door, fd);
}

/* epoll, but with TLS poll: there, with epoll, six bytes of a handshake keep a processor busy. */
static bool daemon_start(struct listener *listener)
{
	const unsigned flags = MHD_USE_INTERNAL_POLLING_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ITC |
			       MHD_USE_NO_LISTEN_SOCKET |
			       (listener->tls ? (unsigned)MHD_USE_POLL | MHD_USE_TLS : MHD_USE_EPOLL);
	struct MHD_OptionItem tls[] = { { MHD_OPTION_HTTPS_CERT_CALLBACK2, 0,
						listener->tls ? tls_certificate_callback(listener->tls)
							      : NULL },
		{ MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)tls_priorities }, { MHD_OPTION_END, 0, NULL } };

	listener->daemon = MHD_start_daemon(flags, 0, NULL, NULL, handle, listener, MHD_OPTION_ARRAY,
		listener->tls ? tls : tls + 2, MHD_OPTION_URI_LOG_CALLBACK, call_begin, listener,
		MHD_OPTION_NOTIFY_COMPLETED, call_end, NULL, MHD_OPTION_NOTIFY_CONNECTION, connection_notify,
		listener, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY,
		MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_UNREACHED, MHD_OPTION_STRICT_FOR_CLIENT, 1,
		MHD_OPTION_END);
	return listener->daemon != NULL;
}

/* Takes the socket where it succeeds. */
static bool listener_start(struct listener *listener, int fd)
{
	const struct door_settings settings = { .fd = fd,
		.forwarding = listener->forwarding,
		.connections = listener->connections,
		.admit = connection_add,
		.context = listener };

	listener->door = door_new(&settings);
	if (listener->door && daemon_start(listener) && door_open(listener->door))
		return true;
	if (listener->daemon)
		MHD_stop_daemon(listener->daemon);
	listener->daemon = NULL;
	return false;
}

/* What it is made of besides threads. */
static bool listener_fill(
	struct listener *listener, const struct listener_settings *settings, struct complaint *complaint)
{
	static const struct forwarding nobody;
	const struct config *config = listener->server->config;

	listener->routes = settings->routes;
	listener->connections = settings->connections;
	listener->roles_of_all = settings->roles_of_all;
	listener->forwarding = settings->forwarding ? settings->forwarding : &nobody;
	listener->files = settings->tls;
	pthread_mutex_init(&listener->lock, NULL);
	listener->forwarded = addresses_new(config->waiting, config->per_address);
	if (!listener->forwarded)
		return complain(complaint, "%s: out of memory", settings->name);
	if (!settings->tls->certificate[0])
		return true;
	listener->tls = tls_open(settings->tls, complaint);
	if (!listener->tls || !settings->tls->client_ca[0])
		return listener->tls != NULL;
	listener->trust = client_trust_load(settings->tls, complaint);
	return listener->trust != NULL;
}

static void listener_free(struct listener *listener)
{
	door_free(listener->door);
	client_trust_free(listener->trust);
	tls_close(listener->tls);
	addresses_free(listener->forwarded);
	pthread_mutex_destroy(&listener->lock);
	free(listener);
}

static bool listener_listen(
	struct listener *listener, const struct listener_settings *settings, struct complaint *complaint)
{
	char host[ADDRESS_SIZE] = "";
	int fd = socket_listen(&settings->address, &listener->port);

	inet_ntop(AF_INET, &settings->address.sin_addr, host, sizeof(host));
	if (fd < 0)
		return complain(complaint, "%s: cannot listen on %s:%u: %s", settings->name, host,
			ntohs(settings->address.sin_port), strerror(errno));
	if (listener_start(listener, fd))
		return true;
	close(fd);
	return complain(complaint, "%s: HTTP could not start (threads, descriptors or memory are out)",
		settings->name);
}

struct listener *listener_open(
	struct server *server, const struct listener_settings *settings, struct complaint *complaint)
{
	struct listener *listener = calloc(1, sizeof(*listener));

	if (!listener) {
		complain(complaint, "%s: out of memory", settings->name);
		return NULL;
	}
	listener->server = server;
	if (listener_fill(listener, settings, complaint) && listener_listen(listener, settings, complaint))
		return listener;
	listener_free(listener);
	return NULL;
}

unsigned short listener_port(const struct listener *listener)
{
	return listener->port;
}

bool listener_reload(struct listener *listener, struct complaint *complaint)
{
	struct client_trust *trust = NULL;

	if (!listener->tls)
		return true;
	if (listener->files->client_ca[0]) {
		trust = client_trust_load(listener->files, complaint);
		if (!trust)
			return false;
	}
	if (!tls_reload(listener->tls, complaint)) {
		client_trust_free(trust);
		return false;
	}
	pthread_mutex_lock(&listener->lock);
	client_trust_free(listener->trust);
	listener->trust = trust;
	pthread_mutex_unlock(&listener->lock);
	return true;
}

long long listener_not_after(const struct listener *listener)
{
	return listener->tls ? tls_not_after(listener->tls) : 0;
}

long long listener_trust_ends(struct listener *listener)
{
	long long ends;

	pthread_mutex_lock(&listener->lock);
	ends = listener->trust ? client_trust_ends(listener->trust) : 0;
	pthread_mutex_unlock(&listener->lock);
	return ends;
}

void listener_quiesce(struct listener *listener)
{
	door_shut(listener->door);
}

size_t listener_busy(struct listener *listener)
{
	return __atomic_load_n(&listener->busy, __ATOMIC_ACQUIRE);
}

void listener_close(struct listener *listener)
{
	if (!listener)
		return;
	door_shut(listener->door);
	MHD_stop_daemon(listener->daemon);
	listener_free(listener);
}
