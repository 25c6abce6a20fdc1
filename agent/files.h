#ifndef AGENT_FILES_H
#define AGENT_FILES_H
/* Small private files, written whole or not at all: the secrets in --out, the key in --state. */
#include "verifier/outcome.h"

#include <limits.h>
#include <sys/types.h>

/* The system calls on the way of a write, so that a test can let each of them fail. */
struct file_calls {
	ssize_t (*write)(int fd, const void *data, size_t length);
	int (*fsync)(int fd);
	int (*renameat)(int from_folder, const char *from, int to_folder, const char *to);
};

struct folder {
	int fd; /* -1: not open */
	char path[PATH_MAX];
	const struct file_calls *calls; /* folder_open sets the real ones */
};

/* Opens the folder; makes it first, mode 0700, where it is absent (its parent must be there). False: the
 * complaint says what is in the way: no folder, or others than its owner may write in it. Then *folder is
 * closed. */
MUST_USE bool folder_open(const char *path, struct folder *, struct complaint *);
/* Fine for one that is not open. */
void folder_close(struct folder *);
/* Only one process at a time holds it, until folder_close. False: another one does. */
MUST_USE bool folder_lock(struct folder *);

struct file {
	const char *name; /* name_valid, or another name without "/" and not beginning with "." */
	struct bytes bytes;
};

/* Writes all, mode 0400: first each whole and flushed under a temporary name, then all renamed, then the
 * folder flushed. What had such a name is replaced. False: under the final names stand whole files, old or
 * new, and no temporary one is left. */
MUST_USE bool folder_write(struct folder *, const struct file files[], size_t n, struct complaint *);

/* Reads a regular file of ours that nobody else may read, 1 to `size` - 1 bytes. OK; REFUSED: there is none;
 * FAULT: it is there, and the complaint says what is wrong with it. */
MUST_USE enum outcome folder_read(struct folder *, const char *name, unsigned char *data, size_t size,
	size_t *length, struct complaint *);

/* Removes it durably; true also where it was not there. */
MUST_USE bool folder_remove(struct folder *, const char *name, struct complaint *);

#endif
