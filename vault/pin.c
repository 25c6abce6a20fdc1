/* Reads PIN files, and sees to it that a PIN which the token refused is not tried again: a few wrong ones
 * lock a token, some for ever. Must never log a PIN, nor anything made from one. */
#include "vault/pin.h"

#include <openssl/crypto.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool file_fits(const char *path, const struct stat *status, struct complaint *complaint)
{
	if (!S_ISREG(status->st_mode))
		return complain(complaint, "%s: a PIN file is a regular file", path);
	if (status->st_mode & 077)
		return complain(complaint, "%s: others than its owner can read or write it: chmod 400 %s",
			path, path);
	if (status->st_size < 1 || status->st_size > PIN_MAX)
		return complain(complaint, "%s: a PIN has 1 to %d bytes", path, PIN_MAX);
	return true;
}

bool pin_read(const char *path, struct pin *pin, struct complaint *complaint)
{
	struct stat status;
	ssize_t n;
	bool done = false;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	*pin = (struct pin){ .data = NULL };
	if (fd < 0 || fstat(fd, &status) != 0) {
		complain(complaint,
			"%s: %s; it must be there, and belong to the user that runs vouchsafe-vault", path,
			strerror(errno));
		goto out;
	}
	if (!file_fits(path, &status, complaint))
		goto out;
	pin->data = OPENSSL_secure_malloc(PIN_MAX + 1);
	n = pin->data == NULL ? -1 : read(fd, pin->data, PIN_MAX + 1);
	if (n < 0 || n > PIN_MAX) {
		complain(complaint, "%s: the PIN cannot be read", path);
		goto out;
	}
	pin->length = (size_t)n;
	if (pin->length > 0 && pin->data[pin->length - 1] == '\n')
		pin->length--;
	if (pin->length == 0) {
		complain(complaint, "%s: it holds no PIN", path);
		goto out;
	}
	if (pin->data[pin->length - 1] == '\r') { /* the token would count it as a wrong one */
		complain(complaint, "%s: its line ends in CR LF; write it with LF alone: dos2unix %s", path,
			path);
		goto out;
	}
	snprintf(pin->file, sizeof(pin->file), "%llu %lld.%09ld %lld\n", (unsigned long long)status.st_ino,
		(long long)status.st_ctim.tv_sec, status.st_ctim.tv_nsec, (long long)status.st_size);
	done = true;
out:
	if (fd >= 0)
		close(fd);
	if (!done)
		pin_clear(pin);
	return done;
}

void pin_clear(struct pin *pin)
{
	OPENSSL_secure_clear_free(pin->data, PIN_MAX + 1);
	pin->data = NULL;
	pin->length = 0;
}

static bool mark_path(const char *socket, char path[PATH_MAX])
{
	return snprintf(path, PATH_MAX, "%s.pin-refused", socket) < PATH_MAX;
}

bool pin_untried(const struct pin *pin, const char *path, const char *socket, struct complaint *complaint)
{
	char mark[PATH_MAX], had[sizeof(pin->file)] = "";
	ssize_t n;
	int fd;

	if (!mark_path(socket, mark))
		return complain(complaint, "%s: too long a path", socket);
	fd = open(mark, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0 && errno == ENOENT)
		return true;
	n = fd < 0 ? -1 : read(fd, had, sizeof(had) - 1);
	if (fd >= 0)
		close(fd);
	if (n >= 0 && strcmp(had, pin->file) != 0)
		return true;
	return complain(complaint,
		"the token has refused the PIN in %s, and it is not tried again: correct that file; if the "
		"PIN is right "
		"after all, remove %s",
		path, mark);
}

bool pin_mark_refused(const struct pin *pin, const char *socket)
{
	char mark[PATH_MAX];
	ssize_t n;
	int fd;

	if (!mark_path(socket, mark))
		return false;
	fd = open(mark, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return false;
	n = write(fd, pin->file, strlen(pin->file));
	return close(fd) == 0 && n == (ssize_t)strlen(pin->file);
}
