#ifndef VERIFIER_MEMORY_H
#define VERIFIER_MEMORY_H
/* What OpenSSL and jansson allocate: wiped when it is freed, and watched. Memory that ran out is told from a
 * caller's mistake: the libraries answer both with the same NULL (and jansson drops a byte of a string whose
 * buffer cannot grow, and goes on), but the one is ours, and a final refusal for it would leave an instance
 * without its release for good. */
#include <stdbool.h>
#include <stddef.h>

/* Where jansson's values live: on the ordinary heap, or, where secrets are among them, in OpenSSL's secure
 * heap, which has to be there before the first value. */
enum memory_json { MEMORY_JSON_PLAIN, MEMORY_JSON_LOCKED };

/* From now on their allocations are wiped and watched, in the whole process. Before they are used at all;
 * false: too late. A program that does not call it is told that memory was never out. */
bool memory_watch(enum memory_json);
/* For programs that have allocators of their own: gives back `block`, and notes it where it is NULL. */
void *memory_noted(void *block);

/* free(3) and realloc(3) for libraries that take allocators of ours: what is freed, or left behind, is wiped.
 */
void memory_free(void *);
void *memory_reallocate(void *, size_t);

/* This thread: forget, and: has one failed since? */
void memory_begin(void);
bool memory_was_out(void);

#endif
