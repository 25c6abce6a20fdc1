#ifndef VAULT_HEAD_H
#define VAULT_HEAD_H
/* What a member remembers, in its own folder, of the trail that it has signed: its last head, its count of
 * seals, and the heads that an operator has made it give up. One file for each member, NAME.head, written
 * whole and made durable before a signature leaves. Never taken for "nothing signed yet" unless there is no
 * file. */
#include "verifier/signed_head.h"

#include <sys/types.h>

enum { HEAD_FORMER_MAX = 8, HEAD_TEXT_MAX = 2560 };

struct head_state {
	struct signed_head head; /* seq 0: nothing signed yet */
	long long seals;
	/* given up by `vouchsafe restore --accept`; newest first, the oldest fall off */
	unsigned n_former;
	struct head_former {
		struct signed_head head; /* seq 0: the file could not be read */
		long long accepted_us;
	} former[HEAD_FORMER_MAX];
};

/* The file's text, with a checksum on its last line: its length, without the NUL. */
size_t head_write(const struct head_state *, const char *vault, const char *member, char text[HEAD_TEXT_MAX]);
/* Takes exactly what head_write writes, for the same vault and member. False with the reason. */
MUST_USE bool head_read(
	struct bytes text, const char *vault, const char *member, struct head_state *, struct complaint *);

/* The system calls that tests let fail. */
struct head_calls {
	ssize_t (*write)(int, const void *, size_t);
	int (*fsync)(int);
	int (*rename)(int folder, const char *from, int to_folder, const char *to);
};

/* The folder, locked against other threads and processes as long as it is open. */
struct head_folder {
	const char *path, *vault, *member; /* borrowed */
	int fd;
	const struct head_calls *calls;
};
/* False with the mend: there is no such folder, others may write in it, or it is locked for too long. */
MUST_USE bool head_open(
	struct head_folder *, const char *path, const char *vault, const char *member, struct complaint *);
void head_close(struct head_folder *);

enum head_found {
	HEAD_NONE, /* no file: nothing signed yet, or somebody has removed it */
	HEAD_FOUND,
	HEAD_UNREADABLE /* with the complaint */
};
enum head_found head_load(const struct head_folder *, struct head_state *, struct complaint *);
/* Durable when it answers true; false: the old state stands, or the new one, each of them whole. */
MUST_USE bool head_store(const struct head_folder *, const struct head_state *, struct complaint *);
/* Moves a file that cannot be read aside, to NAME.head.unreadable. */
MUST_USE bool head_set_aside(const struct head_folder *, struct complaint *);

#endif
