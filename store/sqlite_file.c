/* A SQLite database as a file: its path, its owner, and the lock beside it by which one node alone serves
 * from it. It must never follow a symbolic link that the owner of the folder put there for root. */
#include "store/sqlite_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

/* On a network file system neither SQLite's locks nor its shared memory can be trusted. */
static bool folder_is_local(const char *folder)
{
	static const unsigned remote[] = { 0x6969 /* nfs */, 0x517b /* smb */, 0xff534d42 /* cifs */,
		0xfe534d42 /* smb2 */, 0x01021997 /* 9p */, 0x00c36400 /* ceph */ };
	struct statfs about;

	if (statfs(folder, &about) != 0)
		return true;
	for (size_t i = 0; i < sizeof(remote) / sizeof(remote[0]); i++)
		if ((unsigned)about.f_type == remote[i])
			return false;
	return true;
}

/* The file's path with its folder made real, so that only the last name could still be a link. */
char *sqlite_path(const char *path, struct complaint *complaint)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;
	char *folder, *real, *whole = NULL;

	if (!name[0] ||
		asprintf(&folder, "%.*s", slash ? (int)(slash - path) + 1 : 1, slash ? path : ".") < 0) {
		complain(complaint, "store: \"sqlite:%s\" names no file; say sqlite:/path/to/vouchsafe.db",
			path);
		return NULL;
	}
	real = realpath(folder, NULL);
	if (!real)
		complain(complaint, "store: %s: %s; make it: install -d -o vouchsafe -g vouchsafe -m 0750 %s",
			folder, strerror(errno), folder);
	else if (!folder_is_local(real))
		complain(complaint, "store: %s is on a network file system: SQLite needs a local disk", real);
	else if (asprintf(&whole, "%s/%s", strcmp(real, "/") == 0 ? "" : real, name) < 0)
		whole = NULL;
	free(real);
	free(folder);
	return whole;
}

/* Made by root, a file belongs to the owner of its folder: the server that runs as that user must get at it.
 * SQLite gives -wal and -shm the database's owner and mode. */
static bool file_give(int fd, const char *path)
{
	struct stat about;
	char folder[PATH_MAX];
	const char *slash = strrchr(path, '/');

	if (fchmod(fd, 0640) != 0)
		return false;
	if (geteuid() != 0)
		return true;
	snprintf(folder, sizeof(folder), "%.*s", (int)(slash - path) + 1, path);
	return stat(folder, &about) == 0 && fchown(fd, about.st_uid, about.st_gid) == 0;
}

/* Opens it, made if it is not there. Only for files that SQLite has not open: closing any descriptor of such
 * a file drops SQLite's locks of the whole process. */
static int file_make(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0640);

	if (fd < 0)
		return -1;
	if (!file_give(fd, path)) {
		unlink(path);
		close(fd);
		return -1;
	}
	return fd;
}

bool sqlite_file_make(const char *path, struct complaint *complaint)
{
	struct stat about;
	int fd;

	if (lstat(path, &about) == 0)
		return S_ISREG(about.st_mode) || complain(complaint, "store: %s is no plain file", path);
	fd = file_make(path);
	if (fd < 0 && errno != EEXIST)
		return complain(complaint,
			"store: %s cannot be made: %s; give its folder to the user that runs vouchsafed",
			path, strerror(errno));
	if (fd >= 0)
		close(fd);
	return true;
}

/* ---- the node lock */

enum lock_state node_lock(const char *path, int *fd, struct complaint *complaint)
{
	char name[PATH_MAX];

	if (snprintf(name, sizeof(name), "%s.lock", path) >= (int)sizeof(name)) {
		complain(complaint, "store: the path of the database is too long");
		return LOCK_FAILED;
	}
	*fd = file_make(name);
	if (*fd < 0 && errno == EEXIST)
		*fd = open(name, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	if (*fd < 0) {
		complain(complaint, "store: %s: %s; it must be open to this user, and its folder too", name,
			strerror(errno));
		return LOCK_FAILED;
	}
	if (flock(*fd, LOCK_EX | LOCK_NB) == 0)
		return LOCK_HELD;
	close(*fd);
	*fd = -1;
	complain(complaint,
		"store: another node serves from %s (it holds %s): one SQLite database is for one node; stop "
		"that one, or use a database of its own",
		path, name);
	return LOCK_TAKEN;
}

/* A command that sets the database up holds the lock for a moment: worth waiting for. */
enum lock_state node_lock_await(const char *path, int *fd, struct complaint *complaint)
{
	const struct timespec pause = { .tv_nsec = LOCK_PAUSE_MS * 1000000L };
	enum lock_state state = node_lock(path, fd, complaint);

	for (int i = 1; i < LOCK_TRIES && state == LOCK_TAKEN; i++) {
		nanosleep(&pause, NULL);
		state = node_lock(path, fd, complaint);
	}
	return state;
}
