/* The serving loop. The main thread accepts, watches and reaps; one thread for each connection reads a
 * request, serves it, answers, in turn; further requests wait in the socket's buffer. A connection of a
 * stranger is closed before a byte of it is read. */
#include "vault/member.h"
#include "vault/listener.h"
#include "vault/log.h"
#include "vault/serve.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

enum {
	CONNECTIONS = 16,
	READ_SECONDS = 5, /* for the rest of a frame that has begun, and for an answer to be taken */
	HANG_SECONDS = 30, /* a call into the module that takes longer never ends */
	DRAIN_SECONDS = 5 /* after SIGTERM, for requests under way */
};
#define SECOND 1000000000LL

struct member;

struct connection {
	struct member *member;
	pthread_t thread;
	int socket;
	bool used; /* main thread's */
	_Atomic bool done; /* the thread has nothing more to do */
	_Atomic long long busy_from; /* when the request under way began; 0: none */
};

struct member {
	struct service service;
	const struct allowed *allowed;
	int listener, signals;
	int stop; /* eventfd: readable from the moment we stop; for good */
	int event; /* eventfd: a connection ended, or began to work */
	_Atomic bool watched; /* the main thread looks again before a request that begins now has hung */
	_Atomic bool dead; /* the token cannot be revived */
	struct connection connections[CONNECTIONS];
};

static void event_set(int event)
{
	const unsigned long long one = 1;
	ssize_t n = write(event, &one, sizeof(one));

	(void)n; /* it is set, or full and so set too */
}

/* ---- one connection */

/* Waits for a request's first byte, without a deadline. False: the peer has gone, or we stop. */
static bool request_comes(const struct connection *connection)
{
	for (;;) {
		struct pollfd fds[] = { { .fd = connection->socket, .events = POLLIN },
			{ .fd = connection->member->stop, .events = POLLIN } };

		if (poll(fds, 2, -1) < 0) {
			if (errno == EINTR)
				continue;
			return false;
		}
		return fds[1].revents == 0 && fds[0].revents != 0;
	}
}

static bool request_answered(struct connection *connection, struct worker *worker)
{
	struct member *member = connection->member;
	struct frame request, answer = { .failed = true };
	bool answered = false;

	if (frame_receive(connection->socket, &request, frame_clock() + READ_SECONDS * SECOND) != FRAME_OK)
		return false;
	atomic_store(&connection->busy_from, frame_clock());
	if (!atomic_exchange(&member->watched, true))
		event_set(member->event); /* the main thread has to watch the time now */
	if (!serve(worker, &request, &answer))
		atomic_store(&member->dead, true);
	atomic_store(&connection->busy_from, 0);
	answered = frame_send(connection->socket, &answer, frame_clock() + READ_SECONDS * SECOND) == FRAME_OK;
	frame_clear(&answer);
	frame_clear(&request);
	return answered && !atomic_load(&member->dead);
}

static void *connection_run(void *argument)
{
	struct connection *connection = argument;
	struct worker worker = { .service = &connection->member->service };

	while (request_comes(connection) && request_answered(connection, &worker))
		;
	worker_clear(&worker);
	close(connection->socket);
	atomic_store(&connection->done, true);
	event_set(connection->member->event);
	return NULL;
}

/* ---- all of them */

static void reap(struct member *member)
{
	for (unsigned i = 0; i < CONNECTIONS; i++) {
		struct connection *connection = &member->connections[i];

		if (connection->used && atomic_load(&connection->done)) {
			pthread_join(connection->thread, NULL);
			connection->used = false;
		}
	}
}

static struct connection *connection_free(struct member *member)
{
	for (unsigned i = 0; i < CONNECTIONS; i++)
		if (!member->connections[i].used)
			return &member->connections[i];
	return NULL;
}

static void refuse_busy(int socket)
{
	struct frame answer;

	frame_start_error(&answer, ERROR_BUSY, "this member has as many connections as it takes");
	/* it fits the socket's buffer, or nobody waits for it */
	if (frame_send(socket, &answer, frame_clock() + 1) != FRAME_OK)
		log_line(LOG_WARNING, "too-many-connections", NULL);
	frame_clear(&answer);
}

static void accept_one(struct member *member)
{
	int socket = accept4(member->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct connection *connection;
	char uid[16];
	uid_t user;

	if (socket < 0)
		return;
	if (!allowed_peer(member->allowed, socket, &user)) {
		snprintf(uid, sizeof(uid), "%u", (unsigned)user);
		log_line(LOG_WARNING, "stranger-refused", "member", member->service.self->name, "uid", uid,
			NULL);
		close(socket);
		return;
	}
	reap(member);
	connection = connection_free(member);
	if (connection != NULL) {
		*connection = (struct connection){ .member = member, .socket = socket, .used = true };
		if (pthread_create(&connection->thread, NULL, connection_run, connection) == 0)
			return;
		connection->used = false;
	}
	refuse_busy(socket);
	close(socket);
}

/* Nanoseconds until the oldest request under way has hung for too long; -1 with none under way: whoever
 * begins then, and was not seen here, finds that nobody watches. */
static long long until_hung(struct member *member)
{
	long long oldest = 0;

	atomic_store(&member->watched, false);
	for (unsigned i = 0; i < CONNECTIONS; i++) {
		long long from = member->connections[i].used ? atomic_load(&member->connections[i].busy_from)
							     : 0;

		if (from != 0 && (oldest == 0 || from < oldest))
			oldest = from;
	}
	if (oldest == 0)
		return -1;
	atomic_store(&member->watched, true);
	oldest += HANG_SECONDS * SECOND - frame_clock();
	return oldest > 0 ? oldest : 0;
}

static void event_clear(int event)
{
	unsigned long long count;
	ssize_t n = read(event, &count, sizeof(count));

	(void)n;
}

/* Until a signal (0) or the token's end (75). */
static int loop(struct member *member)
{
	for (;;) {
		struct pollfd fds[] = { { .fd = member->listener, .events = POLLIN },
			{ .fd = member->signals, .events = POLLIN },
			{ .fd = member->event, .events = POLLIN } };
		long long left = until_hung(member);

		if (left == 0) {
			log_line(LOG_ERROR, "token-hangs", "member", member->service.self->name, "text",
				"ending, to be started anew", NULL);
			return EX_TEMPFAIL;
		}
		if (poll(fds, 3, left < 0 ? -1 : (int)(left / 1000000 + 1)) < 0 && errno != EINTR)
			return EX_TEMPFAIL;
		if (fds[2].revents != 0)
			event_clear(member->event);
		reap(member);
		if (atomic_load(&member->dead)) {
			log_line(LOG_ERROR, "token-dead", "member", member->service.self->name, "text",
				"ending, to be started anew", NULL);
			return member->service.pin_refused ? EX_CONFIG : EX_TEMPFAIL;
		}
		if (fds[1].revents != 0)
			return EX_OK;
		if (fds[0].revents != 0)
			accept_one(member);
	}
}

/* Lets every request that is under way end. False: one does not, in good time. */
static bool drain(struct member *member)
{
	long long until = frame_clock() + DRAIN_SECONDS * SECOND;

	event_set(member->stop);
	for (;;) {
		struct pollfd ended = { .fd = member->event, .events = POLLIN };
		long long left = until - frame_clock();
		bool any = false;

		reap(member);
		for (unsigned i = 0; i < CONNECTIONS; i++)
			any = any || member->connections[i].used;
		if (!any)
			return true;
		if (left <= 0)
			return false;
		if (poll(&ended, 1, (int)(left / 1000000 + 1)) > 0)
			event_clear(member->event);
	}
}

/* Signals come by file descriptor, to the main thread alone. */
static bool descriptors_open(struct member *member, struct complaint *complaint)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	if (pthread_sigmask(SIG_BLOCK, &set, NULL) != 0 || signal(SIGPIPE, SIG_IGN) == SIG_ERR)
		return complain(complaint, "signals cannot be set up");
	member->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	member->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	member->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (member->signals < 0 || member->stop < 0 || member->event < 0)
		return complain(complaint, "no file descriptors: %s", strerror(errno));
	return true;
}

static void descriptors_close(const struct member *member)
{
	if (member->signals >= 0)
		close(member->signals);
	if (member->stop >= 0)
		close(member->stop);
	if (member->event >= 0)
		close(member->event);
}

int member_serve(
	const struct vault_file *file, const struct vault_file_member *self, const struct allowed *allowed)
{
	static struct member member; /* threads that hang at the end still look at it */
	struct complaint complaint = { "" };
	int status = EX_CONFIG;

	member =
		(struct member){ .allowed = allowed, .signals = -1, .stop = -1, .event = -1, .listener = -1 };
	if (!descriptors_open(&member, &complaint))
		goto out;
	member.listener = listener_open(self->socket, allowed, &complaint);
	if (member.listener < 0)
		goto out;
	if (!service_start(&member.service, file, self, &complaint)) {
		status = member.service.pin_refused || member.service.state_refused ? EX_CONFIG : EX_TEMPFAIL;
		listener_close(member.listener, self->socket);
		service_stop(&member.service);
		goto out;
	}
	notify_ready();
	log_line(LOG_INFO, "serving", "member", self->name, "token", self->token, "serial",
		token_serial(member.service.token), "socket", self->socket, NULL);
	status = loop(&member);
	notify_stopping();
	listener_close(member.listener, self->socket);
	if (!drain(&member)) {
		log_line(LOG_ERROR, "request-left", "member", self->name, NULL);
		_exit(status);
	}
	service_stop(&member.service);
out:
	if (complaint.text[0] != '\0')
		log_line(LOG_ERROR, "not-serving", "member", self->name, "text", complaint.text, NULL);
	descriptors_close(&member);
	return status;
}
