/* Locked, undumpable memory for a process that holds plaintext. Must never let a secret onto the ordinary
 * heap unwiped, into swap or into a core file. */
#include "vault/locked.h"

#include <openssl/crypto.h>

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

enum { HEAP = 2 << 20, SMALLEST = 32 };

/* CMS keeps its content key, and more, on the ordinary heap: what OpenSSL frees is wiped first. */
static void free_wiped(void *data, const char *file, int line)
{
	(void)file;
	(void)line;
	if (data != NULL)
		OPENSSL_cleanse(data, malloc_usable_size(data));
	free(data);
}

static void *allocate(size_t size, const char *file, int line)
{
	(void)file;
	(void)line;
	return size == 0 ? NULL : malloc(size);
}

static void *reallocate(void *data, size_t size, const char *file, int line)
{
	size_t had = data == NULL ? 0 : malloc_usable_size(data);
	void *moved;

	if (size == 0) {
		free_wiped(data, file, line);
		return NULL;
	}
	moved = malloc(size);
	if (moved == NULL || data == NULL)
		return moved;
	memcpy(moved, data, had < size ? had : size);
	free_wiped(data, file, line);
	return moved;
}

bool locked_memory_undumpable(struct complaint *complaint)
{
	const struct rlimit none = { 0, 0 };

	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 || prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0)
		return complain(complaint, "this process cannot be made undumpable: %s", strerror(errno));
	if (setrlimit(RLIMIT_CORE, &none) != 0)
		return complain(complaint, "core files cannot be turned off: %s", strerror(errno));
	return true;
}

bool locked_memory_start(struct complaint *complaint)
{
	struct rlimit limit = { 0, 0 };

	if (!locked_memory_undumpable(complaint))
		return false;
	if (CRYPTO_set_mem_functions(allocate, reallocate, free_wiped) != 1)
		return complain(complaint, "OpenSSL was used before its memory could be made to wipe itself");
	/* 2 would mean: there, but not locked */
	if (CRYPTO_secure_malloc_init(HEAP, SMALLEST) == 1)
		return true;
	getrlimit(RLIMIT_MEMLOCK, &limit);
	return complain(complaint,
		"%d KiB of memory cannot be locked, and plaintext is kept in no other: raise RLIMIT_MEMLOCK, "
		"which is "
		"%llu KiB (systemd: LimitMEMLOCK=8M; a shell: ulimit -l 8192)",
		HEAP / 1024, (unsigned long long)limit.rlim_cur / 1024);
}

void locked_memory_end(void)
{
	CRYPTO_secure_malloc_done();
#ifdef __SANITIZE_ADDRESS__
	/* nothing secret is left; the leak checker, where it may not trace, could not look */
	prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
#endif
}
