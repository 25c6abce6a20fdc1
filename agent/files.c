/* Files written whole, or not at all. Must never follow a link inside the folder, leave a file readable to
 * others, or show half a secret under its final name: whoever waits for the name may read it the moment it is
 * there. */
#include "agent/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct file_calls real_calls = { write, fsync, renameat };

static bool failed(
	const struct folder *folder, const char *what, const char *name, struct complaint *complaint)
{
	return complain(
		complaint, "%s %s%s%s: %s", what, folder->path, name[0] ? "/" : "", name, strerror(errno));
}

void folder_close(struct folder *folder)
{
	if (folder->fd >= 0)
		close(folder->fd);
	folder->fd = -1;
}

bool folder_open(const char *path, struct folder *folder, struct complaint *complaint)
{
	struct stat status;

	*folder = (struct folder){ .fd = -1, .calls = &real_calls };
	snprintf(folder->path, sizeof(folder->path), "%s", path);
	if (mkdir(path, 0700) != 0 && errno != EEXIST)
		return failed(folder, "cannot make the folder", "", complaint);
	folder->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (folder->fd < 0 || fstat(folder->fd, &status) != 0) {
		failed(folder, "cannot open the folder", "", complaint);
		goto out;
	}
	if (status.st_uid != geteuid()) {
		complain(complaint, "%s: belongs to somebody else; chown it to the agent's user", path);
		goto out;
	}
	if (status.st_mode & 022) {
		complain(complaint, "%s: others than its owner may write in it; chmod go-w %s", path, path);
		goto out;
	}
	return true;
out:
	folder_close(folder);
	return false;
}

bool folder_lock(struct folder *folder)
{
	return flock(folder->fd, LOCK_EX | LOCK_NB) == 0;
}

/* One name for each file, so that what a killed run has left is found and replaced by the next. No file of
 * ours begins with a dot. */
static bool temporary_name(const char *name, char temporary[NAME_MAX + 1])
{
	int length = snprintf(temporary, NAME_MAX + 1, ".%s.partial", name);

	return length > 0 && length <= NAME_MAX;
}

static void temporary_remove(struct folder *folder, const char *name)
{
	char temporary[NAME_MAX + 1];

	if (temporary_name(name, temporary))
		unlinkat(folder->fd, temporary, 0);
}

static bool bytes_write(const struct folder *folder, int fd, struct bytes bytes)
{
	while (bytes.length) {
		ssize_t written = folder->calls->write(fd, bytes.data, bytes.length);

		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0)
			return false;
		if (written == 0) {
			errno = ENOSPC;
			return false;
		}
		bytes.data += written;
		bytes.length -= (size_t)written;
	}
	return true;
}

static bool temporary_write(struct folder *folder, const struct file *file, struct complaint *complaint)
{
	char temporary[NAME_MAX + 1];
	bool written;
	int fd;

	if (!temporary_name(file->name, temporary)) {
		errno = ENAMETOOLONG;
		return failed(folder, "cannot write", file->name, complaint);
	}
	if (unlinkat(folder->fd, temporary, 0) != 0 && errno != ENOENT)
		return failed(folder, "cannot remove", temporary, complaint);
	fd = openat(folder->fd, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0400);
	if (fd < 0)
		return failed(folder, "cannot make", temporary, complaint);
	written = bytes_write(folder, fd, file->bytes) && folder->calls->fsync(fd) == 0;
	if (!written)
		failed(folder, "cannot write", temporary, complaint);
	close(fd);
	return written;
}

static bool temporary_rename(struct folder *folder, const struct file *file, struct complaint *complaint)
{
	char temporary[NAME_MAX + 1];

	if (temporary_name(file->name, temporary) &&
		folder->calls->renameat(folder->fd, temporary, folder->fd, file->name) == 0)
		return true;
	return failed(folder, "cannot rename to", file->name, complaint);
}

static bool folder_flush(struct folder *folder, struct complaint *complaint)
{
	return folder->calls->fsync(folder->fd) == 0 || failed(folder, "cannot flush", "", complaint);
}

bool folder_write(struct folder *folder, const struct file files[], size_t n, struct complaint *complaint)
{
	size_t made, renamed = 0;
	bool done = false;

	for (made = 0; made < n; made++) {
		if (!temporary_write(folder, &files[made], complaint))
			goto out;
	}
	for (; renamed < n; renamed++) {
		if (!temporary_rename(folder, &files[renamed], complaint))
			goto out;
	}
	done = folder_flush(folder, complaint);
out:
	/* the one that failed may have been made as well */
	for (; !done && renamed < n && renamed <= made; renamed++)
		temporary_remove(folder, files[renamed].name);
	return done;
}

static bool file_private(int fd)
{
	struct stat status;

	return fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_uid == geteuid() &&
	       (status.st_mode & 077) == 0;
}

/* Until the end or `size` bytes. */
static bool bytes_read(int fd, unsigned char *data, size_t size, size_t *length)
{
	*length = 0;
	while (*length < size) {
		ssize_t got = read(fd, data + *length, size - *length);

		if (got == 0)
			return true;
		if (got > 0)
			*length += (size_t)got;
		else if (errno != EINTR)
			return false;
	}
	return true;
}

enum outcome folder_read(struct folder *folder, const char *name, unsigned char *data, size_t size,
	size_t *length, struct complaint *complaint)
{
	enum outcome outcome = FAULT;
	int fd = openat(folder->fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0 && errno == ENOENT)
		return REFUSED;
	if (fd < 0 || !file_private(fd)) {
		complain(complaint, "%s/%s: not a file that this user alone may read", folder->path, name);
		goto out;
	}
	if (!bytes_read(fd, data, size, length)) {
		failed(folder, "cannot read", name, complaint);
		goto out;
	}
	if (*length == 0 || *length == size) {
		complain(complaint, "%s/%s: empty or too large", folder->path, name);
		goto out;
	}
	outcome = OK;
out:
	if (fd >= 0)
		close(fd);
	return outcome;
}

bool folder_remove(struct folder *folder, const char *name, struct complaint *complaint)
{
	if (unlinkat(folder->fd, name, 0) != 0 && errno != ENOENT)
		return failed(folder, "cannot remove", name, complaint);
	return folder_flush(folder, complaint);
}
