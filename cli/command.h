#ifndef CLI_COMMAND_H
#define CLI_COMMAND_H
/* What every command of `vouchsafe` shares: how its line is read, how it says what went wrong, how it ends.
 */
#include "verifier/outcome.h"

enum { COMMAND_DONE = 0, COMMAND_FAILED = 1, COMMAND_MISUSED = 2 };

/* The words behind the command's own. */
struct words {
	int n;
	char *const *word;
};

/* An option takes a value (into *value, borrowed) or is a flag. A table of them ends with a zeroed one. */
struct option {
	const char *name; /* "--file" */
	const char **value;
	bool *flag;
	unsigned room; /* value[] has room for so many, all NULL at first; 0: for one */
};

/* Options in any order ("--name value" or "--name=value", each at most once, or as often as it has room;
 * behind "--" all are operands), and exactly n_operands operands. False: the complaint names the word. */
MUST_USE bool command_line_take(
	struct words, const struct option *, const char *operands[], int n_operands, struct complaint *);

/* Is that option among the words? For a command that is two, told apart by one of their options. */
bool command_line_has(struct words, const char *option);

/* "vouchsafe: ..." on standard error; return COMMAND_FAILED and COMMAND_MISUSED. */
int command_failed(const struct complaint *);
int command_misused(const struct complaint *);
/* Prints; for warnings and what is worth knowing beside the result. */
void command_note(const char *format, ...) PRINTF_LIKE(1, 2);
/* COMMAND_DONE where all that was printed has gone out; else says so and returns COMMAND_FAILED. */
int command_done(void);

/* Microseconds since 1970. */
long long command_now(void);
/* A moment: RFC 3339 in UTC ("2026-01-02T03:04:05Z"), or a duration ("30m") from now into the future
 * (`ahead`) or the past. */
MUST_USE bool moment_take(
	const char *option, const char *text, bool ahead, long long *us, struct complaint *);

/* The word of a NULL-terminated list that is nearest to a mistyped one; NULL: none is near. */
const char *word_nearest(const char *typed, const char *const words[]);

#endif
