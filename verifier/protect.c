/* The process itself: dumps, its memory, and what it was started with. Must never let a program go on that
 * can be dumped. */
#include "verifier/protect.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SMALLEST = 32 }; /* blocks of the secure heap: powers of two from here */

bool protect_undumpable(struct complaint *complaint)
{
	const struct rlimit none = { 0, 0 };

	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 || prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0)
		return complain(complaint, "this process cannot be made undumpable: %s", strerror(errno));
	if (setrlimit(RLIMIT_CORE, &none) != 0)
		return complain(complaint, "core files cannot be turned off: %s", strerror(errno));
	return true;
}

static enum outcome heap_make(size_t size, struct complaint *complaint)
{
	struct rlimit limit = { 0, 0 };
	int made = CRYPTO_secure_malloc_init(size, SMALLEST);

	if (made == 1)
		return OK;
	getrlimit(RLIMIT_MEMLOCK, &limit);
	complain(complaint,
		"%zu KiB of memory for secrets cannot be locked: raise RLIMIT_MEMLOCK, which is %llu KiB "
		"(systemd: LimitMEMLOCK=8M; a shell: ulimit -l 8192)",
		size / 1024, (unsigned long long)limit.rlim_cur / 1024);
	return made == 2 ? UNAVAILABLE : FAULT; /* 2: there, but not locked */
}

enum outcome protect_process(const struct protection *protection, struct complaint *complaint)
{
	if (!protect_undumpable(complaint))
		return FAULT;
	if (!memory_watch(protection->json)) {
		complain(complaint, "OpenSSL was used before its memory could be made to wipe itself");
		return FAULT;
	}
	return protection->heap == 0 ? OK : heap_make(protection->heap, complaint);
}

bool protect_file(const struct stat *status, const char *path, struct complaint *complaint)
{
	return !(status->st_mode & S_IWOTH) ||
	       complain(complaint,
		       "%s: anyone on this machine can write to it, and so have the secrets: chmod o-w %s",
		       path, path);
}

/* ---- what others should have given */

static void absent_add(char text[PROTECT_TEXT], const char *what)
{
	size_t used = strlen(text);

	snprintf(text + used, PROTECT_TEXT - used, "%s%s", used ? ", " : "", what);
}

void protect_absent(char text[PROTECT_TEXT])
{
	text[0] = '\0';
	if (geteuid() == 0)
		absent_add(text, "a user of its own (it runs as root)");
	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
		absent_add(text, "NoNewPrivileges");
	if (prctl(PR_GET_SECCOMP, 0, 0, 0, 0) != 2) /* a filter */
		absent_add(text, "a system call filter");
}
