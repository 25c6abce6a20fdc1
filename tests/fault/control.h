#ifndef TESTS_FAULT_CONTROL_H
#define TESTS_FAULT_CONTROL_H
/* What a test and the two shims share: a file of one page size or two, mapped by both sides, in which the
 * test says which call is to meet which fault, and the shim counts calls. tests/fault/injection.py knows the
 * same layout. Everything may change while the program runs; nothing here allocates, locks or logs. */
#include <stdbool.h>
#include <stdint.h>

enum { CONTROL_SIZE = 8192, CONTROL_ROWS = 96, CONTROL_FRAMES = 24 };

enum action {
	ACTION_NONE,
	ACTION_FAIL, /* the call is not made; `number` is its errno or CKR_ code */
	ACTION_FAIL_AFTER, /* the call is made, and its answer replaced */
	ACTION_DELAY, /* `number` milliseconds, then the call */
	ACTION_KILL, /* SIGKILL to itself, before the call */
	ACTION_KILL_AFTER,
	ACTION_SHORT, /* half of the bytes that were asked for, at least one */
	ACTION_ABORT, /* SIGABRT, as a library that gives up */
	ACTION_HANG, /* until the test disarms */
	ACTION_GARBAGE, /* the call is made, and what it made is spoilt */
	ACTION_LENGTH, /* the call is made, and `number` is added to the length that it gives */
};

struct control {
	char magic[8]; /* CONTROL_MAGIC, once a shim has written the rows' names */
	uint32_t n_rows;
	uint32_t armed; /* atomic, as all that follows: nothing is counted before */
	uint32_t row; /* the function that meets the fault; n_rows or more: none does */
	uint32_t action;
	int64_t number;
	uint64_t nth, last; /* calls nth to last, counted from 1 at the moment of arming */
	uint64_t met; /* how many calls met it */
	uint64_t signal; /* the program crashed by it: here is where */
	uint64_t n_frames;
	struct control_frame {
		char object[64], symbol[48]; /* the last of their paths' and names' bytes; symbol may be "" */
		uint64_t offset; /* in the object */
	} frames[CONTROL_FRAMES];
	struct control_row {
		char name[24];
		uint64_t calls;
	} rows[CONTROL_ROWS];
};

#define CONTROL_MAGIC "VFAULT1"

struct fault {
	enum action action;
	long long number;
};

/* Maps the file at `path`, which is made if it is not there; NULL: memory of this process alone. Writes the
 * names of the rows. NULL when that cannot be done, and says so on standard error. */
struct control *control_open(const char *path, const char *const names[], unsigned n);
/* Counts a call of that row; what it meets. `control` may be NULL. */
struct fault control_meet(struct control *, unsigned row);
/* Kills, delays, hangs, aborts before the call. True: the call is not to be made, and fails. */
bool fault_before(const struct control *, const struct fault *);
/* Behind the call. True: its answer is to be replaced by a failure. */
bool fault_after(const struct fault *);
/* Arms it for a fault written as FUNCTION:N[-M|+]:WHAT, WHAT being an errno's name or number, kill,
 * kill-after, abort, hang, short, or delay=MS. False: not understood. */
bool control_arm(struct control *, const char *text);

#endif
