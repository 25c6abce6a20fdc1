#ifndef VERIFIER_MEMORY_H
#define VERIFIER_MEMORY_H
/* Memory that ran out, told from a caller's mistake. OpenSSL and jansson answer both with the same NULL (and
 * jansson drops a byte of a string whose buffer cannot grow, and goes on), but the one is ours, and a final
 * refusal for it would leave an instance without its release for good. */
#include <stdbool.h>
#include <stddef.h>

/* From now on their allocations are watched, and what jansson frees is wiped, in the whole process. Before
 * they are used at all; false: too late. A program that does not call it is told that memory was never out.
 */
bool memory_watch(void);
/* For programs that have allocators of their own: gives back `block`, and notes it where it is NULL. */
void *memory_noted(void *block);

/* This thread: forget, and: has one failed since? */
void memory_begin(void);
bool memory_was_out(void);

#endif
