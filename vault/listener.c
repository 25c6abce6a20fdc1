/* The member's socket. Must never take away the socket of a process that serves, or a file that is no socket.
 */
#include "vault/listener.h"
#include "vault/log.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { BACKLOG = 64, MODE = 0660 };

static bool address_of(const char *path, struct sockaddr_un *address, socklen_t *length)
{
	size_t n = strlen(path);

	if (n == 0 || n >= sizeof(address->sun_path))
		return false;
	*address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	memcpy(address->sun_path, path, n);
	*length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
	return true;
}

/* Whoever left a socket behind that nobody serves was killed. */
static bool stale_remove(const char *path, struct complaint *complaint)
{
	struct sockaddr_un address;
	socklen_t length;
	struct stat status;
	bool served;
	int probe;

	if (lstat(path, &status) != 0)
		return errno == ENOENT || complain(complaint, "%s: %s", path, strerror(errno));
	if (!S_ISSOCK(status.st_mode))
		return complain(complaint, "%s: is there, and is no socket", path);
	if (!address_of(path, &address, &length))
		return complain(complaint, "%s: too long for a socket", path);
	probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (probe < 0)
		return complain(complaint, "no socket: %s", strerror(errno));
	served = connect(probe, (struct sockaddr *)&address, length) == 0 || errno != ECONNREFUSED;
	close(probe);
	if (served)
		return complain(complaint, "%s: another process serves it", path);
	return unlink(path) == 0 || complain(complaint, "%s: %s", path, strerror(errno));
}

/* In a folder with the set-group-id bit it has the right group already; without that, and without the right
 * to give it away, the unit file must see to it. */
static void group_give(const char *path, const struct allowed *allowed)
{
	struct stat status;

	if (!allowed->has_group || (stat(path, &status) == 0 && status.st_gid == allowed->group))
		return;
	if (chown(path, (uid_t)-1, allowed->group) != 0)
		log_line(LOG_WARNING, "socket-group", "socket", path, "text", strerror(errno), "mend",
			"give the socket's folder the server's group and the set-group-id bit", NULL);
}

int listener_open(const char *path, const struct allowed *allowed, struct complaint *complaint)
{
	struct sockaddr_un address;
	socklen_t length;
	mode_t mask;
	int fd, bound;

	if (!address_of(path, &address, &length)) {
		complain(complaint, "%s: too long for a socket", path);
		return -1;
	}
	if (!stale_remove(path, complaint))
		return -1;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0) {
		complain(complaint, "no socket: %s", strerror(errno));
		return -1;
	}
	mask = umask(0777 & ~MODE); /* no moment in which others could connect */
	bound = bind(fd, (struct sockaddr *)&address, length);
	umask(mask);
	if (bound == 0)
		group_give(path, allowed);
	if (bound == 0 && listen(fd, BACKLOG) == 0)
		return fd;
	complain(complaint, "%s: %s; its folder must be there, and this user's", path, strerror(errno));
	close(fd);
	return -1;
}

void listener_close(int socket, const char *path)
{
	close(socket);
	unlink(path);
}

static void notify(const char *text)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un address;
	socklen_t length;
	int fd;

	if (path == NULL || (path[0] != '/' && path[0] != '@') || !address_of(path, &address, &length))
		return;
	if (address.sun_path[0] == '@')
		address.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	if (sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&address, length) < 0)
		log_line(LOG_WARNING, "not-notified", "text", strerror(errno), NULL);
	close(fd);
}

void notify_ready(void)
{
	notify("READY=1");
}

void notify_stopping(void)
{
	notify("STOPPING=1");
}
