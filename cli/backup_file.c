/* Backups as files. Must never write over a file, nor let one stand under its name that is not whole and on
 * the disk. */
#include "cli/backup_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static const char first_line[] = "vouchsafe backup 1\n";

/* A file system that cannot rename so has links, which never replace either. */
static int rename_new(int folder, const char *from, const char *to)
{
	if (renameat2(folder, from, folder, to, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -1;
	if (linkat(folder, from, folder, to, 0) != 0)
		return -1;
	unlinkat(folder, from, 0);
	return 0;
}

static const struct backup_calls real_calls = { write, fsync, rename_new };

/* ---- writing */

static bool writer_failed(const struct backup_writer *writer, const char *what, struct complaint *complaint)
{
	return complain(complaint, "--to %s: %s: %s", writer->path, what, strerror(errno));
}

static bool bytes_put(struct backup_writer *writer, struct bytes bytes)
{
	while (bytes.length > 0) {
		ssize_t written = writer->calls->write(writer->fd, bytes.data, bytes.length);

		if (written < 0 && errno == EINTR)
			continue;
		if (written == 0)
			errno = ENOSPC;
		if (written <= 0)
			return false;
		bytes.data += written;
		bytes.length -= (size_t)written;
		writer->bytes += (size_t)written;
	}
	return true;
}

/* "folder/name", its folder open. */
static bool folder_open(const char *path, struct backup_writer *writer, struct complaint *complaint)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;
	char folder[PATH_MAX];

	if (!name[0] || snprintf(writer->path, PATH_MAX, "%s", path) >= PATH_MAX ||
		snprintf(writer->name, sizeof(writer->name), "%s", name) >= (int)sizeof(writer->name) ||
		snprintf(writer->partial, sizeof(writer->partial), ".%s.partial", name) >=
			(int)sizeof(writer->partial))
		return complain(complaint, "--to: not the name of a file");
	snprintf(folder, sizeof(folder), "%.*s", slash ? (int)(slash - path) + 1 : 1, slash ? path : ".");
	writer->folder = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (writer->folder < 0)
		return complain(complaint, "--to %s: its folder: %s", path, strerror(errno));
	return true;
}

/* Of one run at a time. */
static bool partial_open(struct backup_writer *writer, struct complaint *complaint)
{
	struct stat about;

	if (fstatat(writer->folder, writer->name, &about, AT_SYMLINK_NOFOLLOW) == 0)
		return complain(complaint, "--to %s: it is there already; a backup never replaces a file",
			writer->path);
	writer->fd = openat(writer->folder, writer->partial,
		O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
	if (writer->fd < 0)
		return writer_failed(writer, "cannot be made", complaint);
	if (flock(writer->fd, LOCK_EX | LOCK_NB) != 0) {
		close(writer->fd);
		writer->fd = -1;
		return complain(complaint, "--to %s: another run is writing it", writer->path);
	}
	if (fstat(writer->fd, &about) != 0 || !S_ISREG(about.st_mode) || about.st_uid != geteuid())
		return complain(complaint, "--to %s: %s beside it is in the way; remove it", writer->path,
			writer->partial);
	if (fchmod(writer->fd, 0600) != 0 || ftruncate(writer->fd, 0) != 0)
		return writer_failed(writer, "cannot be made", complaint);
	return true;
}

static void writer_close(struct backup_writer *writer)
{
	if (writer->fd >= 0)
		close(writer->fd);
	if (writer->folder >= 0)
		close(writer->folder);
	writer->fd = writer->folder = -1;
}

bool backup_writer_open(const char *path, const struct backup_calls *calls, struct backup_writer *writer,
	struct complaint *complaint)
{
	*writer = (struct backup_writer){ .folder = -1, .fd = -1, .calls = calls ? calls : &real_calls };
	if (!folder_open(path, writer, complaint) || !partial_open(writer, complaint)) {
		writer_close(writer);
		return false;
	}
	if (bytes_put(writer, (struct bytes){ (const unsigned char *)first_line, strlen(first_line) }))
		return true;
	writer_failed(writer, "cannot be written", complaint);
	backup_writer_abandon(writer);
	return false;
}

bool backup_writer_put(struct backup_writer *writer, struct bytes sealed, struct complaint *complaint)
{
	const unsigned char length[4] = { (unsigned char)(sealed.length >> 24),
		(unsigned char)(sealed.length >> 16), (unsigned char)(sealed.length >> 8),
		(unsigned char)sealed.length };

	return (bytes_put(writer, (struct bytes){ length, sizeof(length) }) && bytes_put(writer, sealed)) ||
	       writer_failed(writer, "cannot be written", complaint);
}

bool backup_writer_finish(struct backup_writer *writer, struct complaint *complaint)
{
	if (writer->calls->fsync(writer->fd) != 0) {
		writer_failed(writer, "cannot be written", complaint);
		goto fail;
	}
	if (writer->calls->rename(writer->folder, writer->partial, writer->name) != 0) {
		writer_failed(writer, "cannot be given its name", complaint);
		goto fail;
	}
	if (writer->calls->fsync(writer->folder) != 0) {
		writer_failed(writer, "it is there, but its name is perhaps not on the disk", complaint);
		writer_close(writer);
		return false;
	}
	writer_close(writer);
	return true;
fail:
	backup_writer_abandon(writer);
	return false;
}

void backup_writer_abandon(struct backup_writer *writer)
{
	if (writer->fd >= 0)
		unlinkat(writer->folder, writer->partial, 0);
	writer_close(writer);
}

/* ---- reading */

static bool reader_failed(const struct backup_reader *reader, const char *what, struct complaint *complaint)
{
	return complain(complaint, "%s: %s", reader->path, what);
}

/* As many as there are, up to `length`; -1: cannot be read. */
static ssize_t bytes_get(int fd, unsigned char *data, size_t length)
{
	size_t used = 0;

	while (used < length) {
		ssize_t got = read(fd, data + used, length - used);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -1;
		if (got == 0)
			break;
		used += (size_t)got;
	}
	return (ssize_t)used;
}

bool backup_reader_open(const char *path, struct backup_reader *reader, struct complaint *complaint)
{
	unsigned char line[sizeof(first_line) - 1];

	*reader = (struct backup_reader){ .path = path, .fd = open(path, O_RDONLY | O_CLOEXEC) };
	if (reader->fd < 0)
		return reader_failed(reader, strerror(errno), complaint);
	reader->sealed = malloc(PIECE_SEALED_MAX);
	if (!reader->sealed)
		reader_failed(reader, "out of memory", complaint);
	else if (bytes_get(reader->fd, line, sizeof(line)) == (ssize_t)sizeof(line) &&
		 memcmp(line, first_line, sizeof(line)) == 0)
		return true;
	else
		reader_failed(reader, "is no backup that this version knows", complaint);
	backup_reader_close(reader);
	return false;
}

bool backup_reader_next(struct backup_reader *reader, struct bytes *sealed, struct complaint *complaint)
{
	unsigned char number[4];
	ssize_t got = bytes_get(reader->fd, number, sizeof(number));
	size_t length;

	*sealed = (struct bytes){ 0 };
	if (got == 0)
		return true;
	if (got < 0)
		return reader_failed(reader, strerror(errno), complaint);
	if (got < (ssize_t)sizeof(number))
		return reader_failed(reader, "it is cut short", complaint);
	length = (size_t)number[0] << 24 | (size_t)number[1] << 16 | (size_t)number[2] << 8 | number[3];
	if (length < 1 || length > PIECE_SEALED_MAX)
		return reader_failed(reader, "a piece of a size that no backup has", complaint);
	if (bytes_get(reader->fd, reader->sealed, length) != (ssize_t)length)
		return reader_failed(reader, "it is cut short, or cannot be read", complaint);
	*sealed = (struct bytes){ reader->sealed, length };
	return true;
}

void backup_reader_close(struct backup_reader *reader)
{
	if (reader->fd >= 0)
		close(reader->fd);
	free(reader->sealed);
	*reader = (struct backup_reader){ .fd = -1 };
}
