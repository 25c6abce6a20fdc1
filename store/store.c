/* The handle: finds and locks the database, opens it again after an error that the connection did not
 * survive, and runs transactions. One node serves from a database: a lock beside the file, held as long as
 * the handle, keeps a second one away. It must never report a commit that the engine did not, and never
 * follow a symbolic link that the owner of the folder put there for root. */
#include "store/inside.h"

#include "store/migrations.h"
#include "verifier/reasons.h"

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

static const char scheme[] = "sqlite:";
enum { LOCK_TRIES = 25, LOCK_PAUSE_MS = 20 };

/* ---- files */

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
static char *path_resolve(const char *path, struct complaint *complaint)
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

static bool database_make(const char *path, struct complaint *complaint)
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

enum lock_state { LOCK_HELD, LOCK_TAKEN, LOCK_FAILED };

static enum lock_state lock_open(const char *path, int *fd, struct complaint *complaint)
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
static enum lock_state lock_take(const char *path, int *fd, struct complaint *complaint)
{
	const struct timespec pause = { .tv_nsec = LOCK_PAUSE_MS * 1000000L };
	enum lock_state state = lock_open(path, fd, complaint);

	for (int i = 1; i < LOCK_TRIES && state == LOCK_TAKEN; i++) {
		nanosleep(&pause, NULL);
		state = lock_open(path, fd, complaint);
	}
	return state;
}

/* ---- opening */

static bool database_is_empty(const struct store *store, struct complaint *complaint)
{
	return sql_empty(store->sql) ||
	       complain(complaint,
		       "store: there is something in it: a backup is restored into an empty database alone, "
		       "so name another one, or move this one away");
}

static bool database_open(struct store *store, bool may_make, struct complaint *complaint)
{
	enum sql_use use = store->use == STORE_READ ? SQL_READ : SQL_WRITE;

	if (may_make && !database_make(store->path, complaint))
		return false;
	store->sql = sql_open(store->path, use, complaint);
	if (store->sql && store->use == STORE_RESTORE && database_is_empty(store, complaint))
		return true;
	if (store->sql && store->use != STORE_RESTORE && migrations_run(store->sql, may_make, complaint))
		return true;
	sql_close(store->sql);
	store->sql = NULL;
	return false;
}

static bool open_serve(struct store *store, struct complaint *complaint)
{
	return lock_take(store->path, &store->lock, complaint) == LOCK_HELD &&
	       database_open(store, true, complaint);
}

/* Where nobody serves, the lock is taken for the time of opening, so that the database is made and migrated
 * by one only. Where somebody serves, it is there; another command may just be making it. */
static bool open_tool(struct store *store, struct complaint *complaint)
{
	const struct timespec pause = { .tv_nsec = LOCK_PAUSE_MS * 1000000L };
	bool opened = false;
	int fd;

	for (int i = 0; i < LOCK_TRIES && !opened; i++) {
		enum lock_state state = lock_open(store->path, &fd, complaint);

		if (state == LOCK_FAILED)
			return false;
		opened = database_open(store, state == LOCK_HELD, complaint);
		if (state == LOCK_HELD) {
			close(fd);
			return opened;
		}
		if (!opened)
			nanosleep(&pause, NULL);
	}
	return opened;
}

static bool open_read(struct store *store, struct complaint *complaint)
{
	if (access(store->path, F_OK) != 0)
		return complain(complaint, "store: %s: %s; vouchsafed and `vouchsafe vault apply` make it",
			store->path, strerror(errno));
	return database_open(store, false, complaint);
}

static struct store *store_new(
	const char *path, enum store_use use, const char *node, struct complaint *complaint)
{
	struct store *store = calloc(1, sizeof(*store));

	if (!store) {
		complain(complaint, "store: out of memory");
		return NULL;
	}
	store->lock = -1;
	store->use = use;
	complain(complaint, "store: out of memory");
	store->path = path_resolve(path, complaint);
	store->node = strdup(node ? node : "");
	if (!store->path || !store->node) {
		store_close(store);
		return NULL;
	}
	return store;
}

struct store *store_open(const char *uri, enum store_use use, const char *node, struct complaint *complaint)
{
	static bool (*const openers[])(struct store *, struct complaint *) = { [STORE_SERVE] = open_serve,
		[STORE_TOOL] = open_tool,
		[STORE_READ] = open_read,
		[STORE_RESTORE] = open_serve };
	struct store *store;

	if (strncmp(uri, scheme, strlen(scheme)) != 0) {
		complain(complaint,
			"store: this version knows \"sqlite:/path/to/vouchsafe.db\" and nothing else");
		return NULL;
	}
	store = store_new(uri + strlen(scheme), use, node, complaint);
	if (store && !openers[use](store, complaint)) {
		store_close(store);
		return NULL;
	}
	return store;
}

void store_close(struct store *store)
{
	if (!store)
		return;
	sql_close(store->sql);
	if (store->lock >= 0)
		close(store->lock);
	free(store->path);
	free(store->node);
	free(store);
}

/* ---- transactions */

long long store_clock_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec * 1000000LL + now.tv_nsec / 1000;
}

/* What the engine said about a connection that is gone goes into the reason at once. */
static bool connection_fresh(struct store *store, struct reason *reason)
{
	struct complaint complaint;

	if (store->sql && !sql_broken(store->sql))
		return true;
	sql_close(store->sql);
	store->sql = NULL;
	memset(&store->words, 0, sizeof(store->words));
	if (database_open(store, false, &complaint))
		return true;
	unavailable(reason, REASON_STORE, "%.200s", complaint.text);
	return false;
}

enum outcome store_failed(struct store *store, struct reason *reason)
{
	const char *said = store->sql ? sql_error(store->sql) : "";

	return unavailable(reason, REASON_STORE, "the database: %s", said[0] ? said : "out of memory");
}

bool store_begin(struct store *store, enum sql_use use, struct reason *reason)
{
	if (use == SQL_WRITE && store->use == STORE_READ) {
		unavailable(reason, REASON_STORE, "the database is open for reading only");
		return false;
	}
	if (!connection_fresh(store, reason))
		return false;
	if (sql_begin(store->sql, use))
		return true;
	store_failed(store, reason);
	sql_rollback(store->sql);
	return false;
}

void store_rollback(struct store *store)
{
	memset(&store->words, 0, sizeof(store->words));
	sql_rollback(store->sql);
}

unsigned column_count(struct query *query, int column)
{
	long long number = column_integer(query, column);

	return number >= 1 && number <= INT_MAX ? (unsigned)number : 0;
}

bool store_commit(struct store *store, const struct head *head, struct reason *reason)
{
	if (!sql_commit(store->sql)) {
		store_failed(store, reason);
		store_rollback(store);
		return false;
	}
	if (head)
		store->seen = *head;
	return true;
}

enum outcome store_transaction(
	struct store *store, enum sql_use use, transaction *body, void *context, struct reason *reason)
{
	enum outcome outcome;
	struct head head = { 0 };

	if (!store_begin(store, use, reason))
		return UNAVAILABLE;
	if (use == SQL_WRITE && !trail_head(store, &head))
		outcome = store_failed(store, reason);
	else
		outcome = body(store, &head, context, reason);
	if (outcome != OK) {
		store_rollback(store);
		return outcome;
	}
	return store_commit(store, use == SQL_WRITE ? &head : NULL, reason) ? OK : UNAVAILABLE;
}
