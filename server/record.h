#ifndef SERVER_RECORD_H
#define SERVER_RECORD_H
/* The step `record` of every line. */
#include "server/pipeline.h"

/* Writes down what the batch owes in ONE transaction, refusals included, and gives each work what came of it.
 */
void record_batch(struct work *const batch[], size_t n);

#endif
