/* Allocators of OpenSSL and jansson that wipe what they free, and remember, for each thread, whether one
 * failed. Both libraries leave copies of keys and values behind otherwise. Must never do more than that on
 * the way of an allocation. */
#include "verifier/memory.h"

#include <jansson.h>
#include <malloc.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

static _Thread_local bool was_out;

void memory_begin(void)
{
	was_out = false;
}

bool memory_was_out(void)
{
	return was_out;
}

void *memory_noted(void *block)
{
	was_out = was_out || !block;
	return block;
}

void memory_free(void *block)
{
	if (block)
		explicit_bzero(block, malloc_usable_size(block));
	free(block);
}

/* Never realloc(3), which may move the block and leave its old place as it was. */
void *memory_reallocate(void *block, size_t size)
{
	size_t old = block ? malloc_usable_size(block) : 0;
	void *moved = malloc(size);

	if (!moved)
		return NULL;
	if (block)
		memcpy(moved, block, old < size ? old : size);
	memory_free(block);
	return moved;
}

/* OpenSSL expects of its allocators what its own do: nothing for nothing. */
static void *openssl_allocate(size_t size, const char *file, int line)
{
	(void)file;
	(void)line;
	return size ? memory_noted(malloc(size)) : NULL;
}

static void openssl_free(void *block, const char *file, int line)
{
	(void)file;
	(void)line;
	memory_free(block);
}

static void *openssl_reallocate(void *block, size_t size, const char *file, int line)
{
	(void)file;
	(void)line;
	if (size)
		return memory_noted(memory_reallocate(block, size));
	memory_free(block);
	return NULL;
}

static void *jansson_allocate(size_t size)
{
	return memory_noted(malloc(size));
}

static void *jansson_allocate_locked(size_t size)
{
	return memory_noted(OPENSSL_secure_malloc(size));
}

static void jansson_free_locked(void *block)
{
	OPENSSL_secure_free(block); /* wipes */
}

bool memory_watch(enum memory_json json)
{
	if (json == MEMORY_JSON_LOCKED)
		json_set_alloc_funcs(jansson_allocate_locked, jansson_free_locked);
	else
		json_set_alloc_funcs(jansson_allocate, memory_free);
	return CRYPTO_set_mem_functions(openssl_allocate, openssl_reallocate, openssl_free) == 1;
}
