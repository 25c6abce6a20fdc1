#ifndef VAULT_PIN_H
#define VAULT_PIN_H
/* A PIN in a file, and the memory that a token refused it. */
#include "verifier/outcome.h"

enum { PIN_MAX = 256 };

struct pin {
	unsigned char *data; /* locked; NULL: none */
	size_t length;
	char file[128]; /* which file this was, in which state: inode, change time, size */
};

/* Reads it: a regular file that nobody but its owner can read; one last line feed is dropped. False with the
 * mend. */
MUST_USE bool pin_read(const char *path, struct pin *, struct complaint *);
void pin_clear(struct pin *);

/* A refused PIN is never tried again by itself, also not by the next process: a mark beside the member's
 * socket names the file as it was. It counts until the file is changed, or the mark is removed. */
MUST_USE bool pin_untried(const struct pin *, const char *path, const char *socket, struct complaint *);
/* False: the mark could not be written. */
MUST_USE bool pin_mark_refused(const struct pin *, const char *socket);

#endif
