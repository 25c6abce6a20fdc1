/* Hardens the process and its allocators. What is freed is wiped first: OpenSSL and jansson leave copies of
 * keys and values behind otherwise. Must never run after OpenSSL or jansson have allocated anything. */
#include "agent/memory.h"

#include <jansson.h>
#include <malloc.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

/* Room for the largest release twice over (64 KiB a secret, base64, JSON); RLIMIT_MEMLOCK's default allows
 * just this much. Blocks are handed out in powers of two from the second number up. */
enum { SECURE_HEAP = 8 << 20, SECURE_BLOCK = 32 };

static void *plain_allocate(size_t size, const char *file, int line)
{
	(void)file;
	(void)line;
	return size ? malloc(size) : NULL;
}

static void plain_free(void *block, const char *file, int line)
{
	(void)file;
	(void)line;
	if (block)
		OPENSSL_cleanse(block, malloc_usable_size(block));
	free(block);
}

/* Never realloc(3), which may move the block and leave its old place as it was. */
static void *plain_reallocate(void *block, size_t size, const char *file, int line)
{
	size_t old = block ? malloc_usable_size(block) : 0;
	void *moved = plain_allocate(size, file, line);

	if (!moved && size)
		return NULL;
	if (moved && block)
		memcpy(moved, block, old < size ? old : size);
	plain_free(block, file, line);
	return moved;
}

static void *secure_allocate(size_t size)
{
	return OPENSSL_secure_malloc(size);
}

static void secure_free(void *block)
{
	OPENSSL_secure_free(block); /* wipes */
}

enum outcome memory_harden(void)
{
	const struct rlimit none = { 0, 0 };
	int heap;

	umask(077);
	if (prctl(PR_SET_DUMPABLE, 0) != 0 || setrlimit(RLIMIT_CORE, &none) != 0)
		return FAULT;
	if (CRYPTO_set_mem_functions(plain_allocate, plain_reallocate, plain_free) != 1)
		return FAULT;
	heap = CRYPTO_secure_malloc_init(SECURE_HEAP, SECURE_BLOCK);
	if (heap == 0)
		return FAULT;
	json_set_alloc_funcs(secure_allocate, secure_free);
	return heap == 1 ? OK : UNAVAILABLE;
}
