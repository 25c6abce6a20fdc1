#ifndef CLI_BACKUP_FILE_H
#define CLI_BACKUP_FILE_H
/* A backup as a file: "vouchsafe backup 1" and a line feed, then each sealed piece behind its length in 4
 * bytes, the first of them the highest. */
#include "cli/backup_piece.h"

#include <limits.h>
#include <sys/types.h>

/* The system calls of writing, so that a test can let each of them fail. */
struct backup_calls {
	ssize_t (*write)(int fd, const void *data, size_t length);
	int (*fsync)(int fd);
	int (*rename)(int folder, const char *from, const char *to); /* never over a file that is there */
};

struct backup_writer {
	int folder, fd; /* -1: not open */
	char path[PATH_MAX], name[NAME_MAX + 1], partial[NAME_MAX + 1];
	unsigned long long bytes;
	const struct backup_calls *calls;
};

/* `calls` NULL: the real ones. Under that name there is nothing before backup_writer_finish: it is written,
 * mode 0600, as ".NAME.partial" beside it, of which one that a killed run has left is written over. False:
 * the complaint; nothing is open. */
MUST_USE bool backup_writer_open(
	const char *path, const struct backup_calls *, struct backup_writer *, struct complaint *);
MUST_USE bool backup_writer_put(struct backup_writer *, struct bytes sealed, struct complaint *);
/* Durable under its name, or the complaint says why not. Then it is closed either way. */
MUST_USE bool backup_writer_finish(struct backup_writer *, struct complaint *);
/* Removes what has been written; fine for one that is not open. */
void backup_writer_abandon(struct backup_writer *);

struct backup_reader {
	int fd;
	const char *path;
	unsigned char *sealed; /* the piece that was read last; owned */
};

MUST_USE bool backup_reader_open(const char *path, struct backup_reader *, struct complaint *);
/* The next sealed piece, borrowed until the next call; length 0: the file ends here. */
MUST_USE bool backup_reader_next(struct backup_reader *, struct bytes *sealed, struct complaint *);
void backup_reader_close(struct backup_reader *);

#endif
