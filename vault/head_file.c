/* A member's state on disk: a temporary file, made durable, renamed, and the folder made durable behind it.
 * Must never leave half a state under its name, and never wait for a lock for good: the holder may be
 * stopped.
 */
#include "vault/head.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { LOCK_TRIES = 50, LOCK_PAUSE_MS = 10 };

#define MEND                                                                                                 \
	"put the file back as it was; if that cannot be, and the database is the right one, run `vouchsafe " \
	"restore --accept`"

static const struct head_calls real_calls = { write, fsync, renameat };

static void name_of(const struct head_folder *folder, const char *end, char name[NAME_MAX + 1])
{
	snprintf(name, NAME_MAX + 1, "%s.head%s", folder->member, end);
}

static bool failed(const struct head_folder *folder, const char *what, struct complaint *complaint)
{
	return complain(complaint, "%s/%s.head: %s: %s", folder->path, folder->member, what, strerror(errno));
}

static bool folder_lock(const struct head_folder *folder, struct complaint *complaint)
{
	const struct timespec pause = { .tv_nsec = LOCK_PAUSE_MS * 1000000L };

	for (int i = 0; i < LOCK_TRIES; i++) {
		if (flock(folder->fd, LOCK_EX | LOCK_NB) == 0)
			return true;
		if (errno != EWOULDBLOCK && errno != EINTR)
			return failed(folder, "cannot be locked", complaint);
		nanosleep(&pause, NULL);
	}
	return complain(complaint, "%s: another process has held its lock for too long", folder->path);
}

bool head_open(struct head_folder *folder, const char *path, const char *vault, const char *member,
	struct complaint *complaint)
{
	struct stat status;

	*folder = (struct head_folder){
		.path = path, .vault = vault, .member = member, .fd = -1, .calls = &real_calls
	};
	folder->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (folder->fd < 0 || fstat(folder->fd, &status) != 0) {
		complain(complaint,
			"%s: %s; the member keeps there what it has signed: install -d -o vouchsafe-vault -g "
			"vouchsafe-vault -m 0700 %s (or \"state\" in the vault file)",
			path, strerror(errno), path);
		goto fail;
	}
	if (status.st_uid != geteuid() || (status.st_mode & 022) != 0) {
		complain(complaint, "%s: must belong to the member's user, and be writable by nobody else",
			path);
		goto fail;
	}
	if (folder_lock(folder, complaint))
		return true;
fail:
	head_close(folder);
	return false;
}

void head_close(struct head_folder *folder)
{
	if (folder->fd >= 0)
		close(folder->fd);
	folder->fd = -1;
}

/* One byte more than any state has is read, to know. */
static bool bytes_read(int fd, char *data, size_t size, size_t *length)
{
	*length = 0;
	while (*length < size) {
		ssize_t n = read(fd, data + *length, size - *length);

		if (n == 0)
			return true;
		if (n > 0)
			*length += (size_t)n;
		else if (errno != EINTR)
			return false;
	}
	return true;
}

enum head_found head_load(
	const struct head_folder *folder, struct head_state *state, struct complaint *complaint)
{
	char name[NAME_MAX + 1], text[HEAD_TEXT_MAX];
	struct complaint why = { "" };
	enum head_found found = HEAD_UNREADABLE;
	size_t length;
	int fd;

	memset(state, 0, sizeof(*state));
	name_of(folder, "", name);
	fd = openat(folder->fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return HEAD_NONE;
	if (fd < 0 || !bytes_read(fd, text, sizeof(text), &length))
		complain(&why, "%s", strerror(errno));
	else if (head_read((struct bytes){ (unsigned char *)text, length }, folder->vault, folder->member,
			 state, &why))
		found = HEAD_FOUND;
	if (fd >= 0)
		close(fd);
	if (found == HEAD_UNREADABLE)
		complain(complaint, "%s/%s: %.200s: " MEND, folder->path, name, why.text);
	return found;
}

static bool bytes_write(const struct head_folder *folder, int fd, const char *data, size_t length)
{
	while (length > 0) {
		ssize_t n = folder->calls->write(fd, data, length);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		data += n;
		length -= (size_t)n;
	}
	return true;
}

bool head_store(const struct head_folder *folder, const struct head_state *state, struct complaint *complaint)
{
	char name[NAME_MAX + 1], temporary[NAME_MAX + 1], text[HEAD_TEXT_MAX];
	size_t length = head_write(state, folder->vault, folder->member, text);
	bool written;
	int fd;

	name_of(folder, "", name);
	name_of(folder, ".new", temporary);
	if (length == 0)
		return complain(complaint, "memory is out");
	/* what a run that was killed has left */
	if (unlinkat(folder->fd, temporary, 0) != 0 && errno != ENOENT)
		return failed(folder, "its temporary file cannot be removed", complaint);
	fd = openat(folder->fd, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return failed(folder, "cannot be made", complaint);
	written = bytes_write(folder, fd, text, length) && folder->calls->fsync(fd) == 0;
	close(fd);
	if (!written || folder->calls->rename(folder->fd, temporary, folder->fd, name) != 0) {
		failed(folder, "cannot be written", complaint);
		unlinkat(folder->fd, temporary, 0);
		return false;
	}
	return folder->calls->fsync(folder->fd) == 0 ||
	       failed(folder, "its folder cannot be flushed", complaint);
}

bool head_set_aside(const struct head_folder *folder, struct complaint *complaint)
{
	char name[NAME_MAX + 1], aside[NAME_MAX + 1];

	name_of(folder, "", name);
	name_of(folder, ".unreadable", aside);
	if (folder->calls->rename(folder->fd, name, folder->fd, aside) != 0)
		return failed(folder, "cannot be moved aside", complaint);
	return folder->calls->fsync(folder->fd) == 0 ||
	       failed(folder, "its folder cannot be flushed", complaint);
}
