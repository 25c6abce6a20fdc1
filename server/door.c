/* The door. One thread with an epoll of its own; it reads exactly the bytes that belong to a header, so that
 * HTTP finds its first byte in the socket. Nobody can hold it up: headers have a deadline and a number, and a
 * socket is never waited for. It never looks at HTTP and never invents an address: without a whole header a
 * proxy's connection ends here.
 *
 * It is the door's thread alone that lets people in; so after it has seen the house full, the next one who
 * leaves finds it full too, and wakes it. */
#include "server/door.h"

#include "server/pipeline.h"
#include "server/proxy_header.h"
#include "vault/log.h"
#include "verifier/request.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	EVENTS = 64, /* at once, before the others have their turn */
	ACCEPTS = 64,
	SWEEP_MS =
		250 /* while somebody is there: how much later than its deadline a connection ends at most */
};

#define MILLISECOND 1000000LL
#define REST (100 * MILLISECOND) /* when descriptors or memory are out */
#define LOG_EVERY (1000 * MILLISECOND)

/* A trusted proxy's connection whose header is not whole yet. */
struct visitor {
	int fd; /* -1: a free place */
	struct sockaddr_in peer;
	long long deadline;
	struct proxy_header header;
	size_t length;
	unsigned char data[PROXY_HEADER_MAX];
};

struct door {
	struct door_settings settings;
	int epoll;
	int wake; /* an eventfd: the house is no longer full, or the door is to be shut */
	pthread_t thread;
	bool running;
	bool stopping; /* atomic */
	bool accepting; /* the listening socket is watched */
	long long rest_until;
	long long log_next;
	unsigned unlogged;
	struct visitor visitors[DOOR_PENDING_MAX];
};

/* ---- visitors */

static void refusal_log(struct door *door, const struct visitor *visitor, const char *why)
{
	char peer[ADDRESS_SIZE] = "";
	char more[16];

	if (pipeline_now() < door->log_next) {
		door->unlogged++;
		return;
	}
	inet_ntop(AF_INET, &visitor->peer.sin_addr, peer, sizeof(peer));
	snprintf(more, sizeof(more), "%u", door->unlogged);
	log_line(LOG_WARNING, "proxy-header-refused", "proxy", peer, "text", why, "unlogged", more, NULL);
	door->unlogged = 0;
	door->log_next = pipeline_now() + LOG_EVERY;
}

/* `why` NULL: it came and went without a word, as some health checks do. */
static void visitor_drop(struct door *door, struct visitor *visitor, const char *why)
{
	if (why)
		refusal_log(door, visitor, why);
	door_leave(door, visitor->fd);
	close(visitor->fd);
	visitor->fd = -1;
}

/* `counted`: for its address. Where it is not let in its descriptor is closed already: nobody but this thread
 * gives the number away again, so it is still the same row that ends. */
static void door_admit(struct door *door, int fd, const struct sockaddr_in *client, bool counted)
{
	if (counted && !connections_attribute(door->settings.connections, fd, client->sin_addr)) {
		door_leave(door, fd);
		close(fd);
	} else if (!door->settings.admit(door->settings.context, fd, client)) {
		door_leave(door, fd);
	}
}

static void visitor_admit(struct door *door, struct visitor *visitor)
{
	int fd = visitor->fd;

	visitor->fd = -1;
	epoll_ctl(door->epoll, EPOLL_CTL_DEL, fd, NULL);
	if (visitor->header.local)
		door_admit(door, fd, &visitor->peer, false);
	else
		door_admit(door, fd, &visitor->header.client, true);
}

static void visitor_read(struct door *door, struct visitor *visitor)
{
	enum proxy_header_state state = PROXY_HEADER_PART;

	while (state == PROXY_HEADER_PART) {
		ssize_t got = recv(visitor->fd, visitor->data + visitor->length,
			visitor->header.size - visitor->length, 0);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0 && errno == EAGAIN)
			return;
		if (got <= 0) {
			visitor_drop(door, visitor, visitor->length ? "it was cut short" : NULL);
			return;
		}
		visitor->length += (size_t)got;
		state = proxy_header_parse(
			(struct bytes){ visitor->data, visitor->length }, &visitor->header);
	}
	if (state == PROXY_HEADER_WHOLE)
		visitor_admit(door, visitor);
	else
		visitor_drop(
			door, visitor, "not a header of the PROXY protocol, version 2, for TCP over IPv4");
}

/* A free place; where there is none the oldest visitor has to go. */
static struct visitor *visitor_place(struct door *door)
{
	struct visitor *oldest = &door->visitors[0];
	struct visitor *visitor;

	for (visitor = door->visitors; visitor < door->visitors + DOOR_PENDING_MAX; visitor++) {
		if (visitor->fd < 0)
			return visitor;
		if (visitor->deadline < oldest->deadline)
			oldest = visitor;
	}
	visitor_drop(door, oldest, "too many headers were being waited for");
	return oldest;
}

static void visitor_receive(struct door *door, int fd, const struct sockaddr_in *peer)
{
	struct visitor *visitor = visitor_place(door);
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = visitor };

	visitor->fd = fd;
	visitor->peer = *peer;
	visitor->deadline = pipeline_now() + DOOR_PATIENCE_MS * MILLISECOND;
	visitor->length = 0;
	(void)proxy_header_parse((struct bytes){ visitor->data, 0 }, &visitor->header);
	if (epoll_ctl(door->epoll, EPOLL_CTL_ADD, fd, &event) != 0)
		visitor_drop(door, visitor, "memory is out");
	else
		visitor_read(door, visitor); /* most often it has come already */
}

static void visitors_expire(struct door *door)
{
	long long now = pipeline_now();
	struct visitor *visitor;

	for (visitor = door->visitors; visitor < door->visitors + DOOR_PENDING_MAX; visitor++)
		if (visitor->fd >= 0 && visitor->deadline <= now)
			visitor_drop(door, visitor, "it did not come in time");
}

/* ---- the listening socket */

/* One who has come in. */
static void door_receive(struct door *door, int fd, const struct sockaddr_in *peer)
{
	const struct forwarding *forwarding = door->settings.forwarding;
	bool trusted = forwarding_trusts(forwarding, peer->sin_addr);

	if (!connections_enter(door->settings.connections, fd))
		close(fd);
	else if (trusted && forwarding->by == FORWARDED_BY_PROXY_PROTOCOL)
		visitor_receive(door, fd, peer);
	else
		door_admit(door, fd, peer, !trusted);
}

static void door_accept(struct door *door)
{
	struct sockaddr_in peer;
	socklen_t length;
	unsigned i;

	for (i = 0; i < ACCEPTS && !connections_full(door->settings.connections); i++) {
		int fd;

		length = sizeof(peer);
		fd = accept4(
			door->settings.fd, (struct sockaddr *)&peer, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0) {
			if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
				door->rest_until = pipeline_now() + REST;
			return;
		}
		door_receive(door, fd, &peer);
	}
}

/* Watches the listening socket, or not: when the house is full it would only report the queue. */
static void door_watch(struct door *door)
{
	bool accepting = !connections_full(door->settings.connections) && pipeline_now() >= door->rest_until;
	struct epoll_event event = { .events = accepting ? EPOLLIN : 0, .data.ptr = &door->settings.fd };

	if (accepting != door->accepting &&
		epoll_ctl(door->epoll, EPOLL_CTL_MOD, door->settings.fd, &event) == 0)
		door->accepting = accepting;
}

/* ---- the thread */

/* Milliseconds until the next deadline, or the next sweep; -1 where nobody is there. */
static int door_patience(const struct door *door)
{
	struct connection_counts counts;
	long long now = pipeline_now();
	long long next = door->rest_until > now ? door->rest_until : -1;
	const struct visitor *visitor;

	for (visitor = door->visitors; visitor < door->visitors + DOOR_PENDING_MAX; visitor++)
		if (visitor->fd >= 0 && (next < 0 || visitor->deadline < next))
			next = visitor->deadline;
	connections_count(door->settings.connections, &counts);
	if (counts.open > 0 && (next < 0 || next > now + SWEEP_MS * MILLISECOND))
		return SWEEP_MS;
	if (next < 0)
		return -1;
	return next > now ? (int)((next - now) / MILLISECOND) + 1 : 0;
}

static void door_handle(struct door *door, void *what)
{
	struct visitor *visitor = what;
	uint64_t count;

	if (what == &door->settings.fd)
		door_accept(door);
	else if (what == &door->wake)
		(void)!read(door->wake, &count, sizeof(count));
	else if (visitor->fd >= 0) /* it may have gone earlier in this round */
		visitor_read(door, visitor);
}

static void *door_run(void *argument)
{
	struct door *door = argument;
	struct epoll_event events[EVENTS];

	while (!__atomic_load_n(&door->stopping, __ATOMIC_ACQUIRE)) {
		int n;
		int i;

		door_watch(door);
		n = epoll_wait(door->epoll, events, EVENTS, door_patience(door));
		for (i = 0; i < n; i++)
			door_handle(door, events[i].data.ptr);
		visitors_expire(door);
		connections_sweep(door->settings.connections, pipeline_now());
	}
	return NULL;
}

/* ---- open and shut */

struct door *door_new(const struct door_settings *settings)
{
	struct door *door = calloc(1, sizeof(*door));
	unsigned i;

	if (!door)
		return NULL;
	door->settings = *settings;
	door->epoll = door->wake = -1;
	for (i = 0; i < DOOR_PENDING_MAX; i++)
		door->visitors[i].fd = -1;
	return door;
}

bool door_open(struct door *door)
{
	struct epoll_event calls = { .events = EPOLLIN, .data.ptr = &door->settings.fd };
	struct epoll_event wakes = { .events = EPOLLIN, .data.ptr = &door->wake };

	door->epoll = epoll_create1(EPOLL_CLOEXEC);
	door->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (door->epoll < 0 || door->wake < 0 ||
		epoll_ctl(door->epoll, EPOLL_CTL_ADD, door->wake, &wakes) != 0 ||
		epoll_ctl(door->epoll, EPOLL_CTL_ADD, door->settings.fd, &calls) != 0)
		return false;
	door->accepting = true;
	door->running = pthread_create(&door->thread, NULL, door_run, door) == 0;
	return door->running;
}

static void door_wake(struct door *door)
{
	uint64_t one = 1;

	(void)!write(door->wake, &one, sizeof(one));
}

void door_leave(struct door *door, int fd)
{
	if (connections_leave(door->settings.connections, fd))
		door_wake(door);
}

void door_shut(struct door *door)
{
	unsigned i;

	if (!door->running)
		return;
	__atomic_store_n(&door->stopping, true, __ATOMIC_RELEASE);
	door_wake(door);
	pthread_join(door->thread, NULL);
	door->running = false;
	close(door->settings.fd);
	door->settings.fd = -1;
	for (i = 0; i < DOOR_PENDING_MAX; i++)
		if (door->visitors[i].fd >= 0)
			visitor_drop(door, &door->visitors[i], NULL);
}

void door_free(struct door *door)
{
	if (!door)
		return;
	door_shut(door);
	if (door->epoll >= 0)
		close(door->epoll);
	if (door->wake >= 0)
		close(door->wake);
	free(door);
}
