#ifndef STORE_SQLITE_FILE_H
#define STORE_SQLITE_FILE_H
/* Where a SQLite database lies, and who serves from it. Private to store/. */
#include "verifier/outcome.h"

/* The path with its folder made real, so that only the last name could still be a link; the caller's to free.
 * NULL: no such folder, a network file system. */
char *sqlite_path(const char *path, struct complaint *);
/* An empty file where there is none; made by root it belongs to the owner of its folder. */
MUST_USE bool sqlite_file_make(const char *path, struct complaint *);

enum lock_state { LOCK_HELD, LOCK_TAKEN, LOCK_FAILED };
enum { LOCK_TRIES = 25, LOCK_PAUSE_MS = 20 };

/* The lock that a serving node holds as long as it has *fd open. LOCK_TAKEN: by another process. */
enum lock_state node_lock(const char *path, int *fd, struct complaint *);
/* A command that sets the database up holds it for a moment: worth waiting for. */
enum lock_state node_lock_await(const char *path, int *fd, struct complaint *);

#endif
