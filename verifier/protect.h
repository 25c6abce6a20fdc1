#ifndef VERIFIER_PROTECT_H
#define VERIFIER_PROTECT_H
/* A process made unfit for spying: in each program the same, in the same way, before anything else happens in
 * it. What a program cannot give itself (a system call filter, a user of its own) it can only look for. */
#include "verifier/memory.h"
#include "verifier/outcome.h"

/* What a program needs beside what all have. */
struct protection {
	size_t heap; /* bytes of OpenSSL's secure heap, a power of two; 0: none, it never holds a secret */
	enum memory_json json; /* MEMORY_JSON_LOCKED needs a heap */
};

/* First call of main, once. Not dumpable (prctl(2), PR_SET_DUMPABLE): no core dump, whoever would catch it,
 * and no debugger, no /proc/PID/mem for another process of the same user. RLIMIT_CORE 0, for what it starts.
 * OpenSSL's and jansson's memory wiped when freed (memory.h). The secure heap is there, locked, and left out
 * of dumps.
 * OK; UNAVAILABLE: all of it, but the heap is not locked, and might be swapped out; FAULT: do not go on. For
 * the latter two *complaint says why, with the mend. */
MUST_USE enum outcome protect_process(const struct protection *, struct complaint *);

/* Once more after a change of user, which makes a process dumpable again. */
MUST_USE bool protect_undumpable(struct complaint *);

/* May not just anyone on this machine write to the file that `status` is of (fstat(2))? Whoever writes a
 * configuration owns the secrets. */
struct stat;
MUST_USE bool protect_file(const struct stat *status, const char *path, struct complaint *);

/* Which protections has whoever started this program not given: the words for people, with commas between
 * them; "" where all are there. */
enum { PROTECT_TEXT = 200 };
void protect_absent(char text[PROTECT_TEXT]);

#endif
