/* A listener on 127.0.0.1 for the agent's unit tests: one thread, one request per connection, the answer made
 * by the test. Ends with listener_stop. */
#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct listener {
	int fd;
	pthread_t thread;
	char base[64];
	/* Writes a whole HTTP answer for a whole request; an empty one closes the connection without a word.
	 */
	void (*answer)(struct listener *, const char *request, char *text, size_t size);
	void *context;
	atomic_uint requests;
	char peer[INET_ADDRSTRLEN]; /* of the last request */
};

static size_t listener_body_length(const char *request)
{
	const char *header = strcasestr(request, "\r\nContent-Length:");

	return header ? strtoul(header + 17, NULL, 10) : 0;
}

/* Until headers and body are there. */
static void listener_read(int fd, char *request, size_t size)
{
	size_t length = 0;
	ssize_t got;

	request[0] = '\0';
	while (length + 1 < size && (got = recv(fd, request + length, size - 1 - length, 0)) > 0) {
		const char *end;

		length += (size_t)got;
		request[length] = '\0';
		end = strstr(request, "\r\n\r\n");
		if (end && strlen(end + 4) >= listener_body_length(request))
			return;
	}
}

static void *listener_run(void *context)
{
	static char request[64 * 1024], text[64 * 1024];
	struct listener *listener = context;
	struct sockaddr_in peer;
	socklen_t length = sizeof(peer);
	int fd;

	while ((fd = accept(listener->fd, (struct sockaddr *)&peer, &length)) >= 0) {
		inet_ntop(AF_INET, &peer.sin_addr, listener->peer, sizeof(listener->peer));
		listener_read(fd, request, sizeof(request));
		text[0] = '\0';
		atomic_fetch_add(&listener->requests, 1);
		listener->answer(listener, request, text, sizeof(text));
		if (send(fd, text, strlen(text), MSG_NOSIGNAL) < 0)
			perror("send");
		explicit_bzero(text, strlen(text)); /* a test may look for what is left of it */
		shutdown(fd, SHUT_WR);
		close(fd);
	}
	return NULL;
}

static int listener_start(struct listener *listener)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t length = sizeof(address);

	atomic_store(&listener->requests, 0);
	listener->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(listener->fd, (struct sockaddr *)&address, length) != 0 || listen(listener->fd, 16) != 0 ||
		getsockname(listener->fd, (struct sockaddr *)&address, &length) != 0)
		return -1;
	snprintf(listener->base, sizeof(listener->base), "http://127.0.0.1:%d", ntohs(address.sin_port));
	return pthread_create(&listener->thread, NULL, listener_run, listener);
}

static void listener_stop(struct listener *listener)
{
	shutdown(listener->fd, SHUT_RDWR); /* makes accept return */
	pthread_join(listener->thread, NULL);
	close(listener->fd);
}

static inline void listener_say(char *text, size_t size, int status, const char *headers, const char *body)
{
	snprintf(text, size, "HTTP/1.1 %d X\r\nConnection: close\r\nContent-Length: %zu\r\n%s\r\n%s", status,
		strlen(body), headers, body);
}
