/* Allocators of OpenSSL and jansson that remember, for each thread, whether one failed. Must never do more
 * than that on the way of an allocation. What jansson frees is wiped. */
#include "verifier/memory.h"

#include <jansson.h>
#include <malloc.h>
#include <openssl/crypto.h>
#include <stdlib.h>

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
	free(block);
}

static void *openssl_reallocate(void *block, size_t size, const char *file, int line)
{
	(void)file;
	(void)line;
	if (size)
		return memory_noted(realloc(block, size));
	free(block);
	return NULL;
}

static void *jansson_allocate(size_t size)
{
	return memory_noted(malloc(size));
}

/* Keys for our own calls to AWS come as JSON: jansson leaves copies of them on its way. */
static void jansson_free(void *block)
{
	if (block)
		OPENSSL_cleanse(block, malloc_usable_size(block));
	free(block);
}

bool memory_watch(void)
{
	json_set_alloc_funcs(jansson_allocate, jansson_free);
	return CRYPTO_set_mem_functions(openssl_allocate, openssl_reallocate, openssl_free) == 1;
}
