#ifndef VAULT_SETUP_CHILD_H
#define VAULT_SETUP_CHILD_H
/* A member process that a command starts for itself, and the first steps with it. Private to the setup_*
 * files of the client's side. */
#include "vault/answer.h"
#include "vault/setup.h"

#include <sys/types.h>

enum { STEP_SECONDS = 60 };

struct child {
	pid_t pid; /* 0: none */
	int socket;
};

/* `input`: becomes its file descriptor SETUP_INPUT; -1: none. False with the complaint. */
MUST_USE bool child_start(
	struct child *, const struct setup *, const char *member, int input, struct complaint *);
/* Closing the socket ends it; if not, it is killed. */
void child_end(struct child *);
/* Sends the request, which it clears, and waits for the answer; an error's sentence becomes the complaint. */
MUST_USE bool child_ask(struct child *, const char *member, struct frame *request, enum frame_type expected,
	struct frame *answer, struct complaint *);
/* Waits for one frame; 0 seconds: for as long as the process lives. */
MUST_USE bool child_hear(struct child *, const char *member, unsigned seconds, enum frame_type expected,
	struct frame *answer, struct complaint *);

/* A line of progress. */
void setup_say(const struct setup *, const char *member, const char *format, ...) PRINTF_LIKE(3, 4);

/* ---- setup_client.c */

/* A started process of a member that was set up, whose token and key are the pinned ones. */
MUST_USE bool member_start(const struct setup *, const struct vault_file_member *, int input, struct child *,
	struct member_pin *, struct complaint *);

#endif
