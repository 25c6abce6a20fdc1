#ifndef SERVER_SEALINGS_H
#define SERVER_SEALINGS_H
/* Releases that a member has sealed, until the ledger says so. Nobody waits for that, so it costs no
 * transaction of its own: they go along with the next batch that is recorded anyway, the acknowledgement's as
 * a rule, or with one that main asks for when none comes. Where they are lost, because the list is full, the
 * store fails or the process ends, the ledger says "granted" and no more. */
#include "store/store.h"

struct sealings;
struct server;

enum { SEALINGS_MAX = 4096 };

/* NULL: memory is out. */
struct sealings *sealings_new(void);
void sealings_free(struct sealings *);

/* From any thread. */
void sealings_put(struct sealings *, const char *release_id, long long now_us);
/* Takes up to `room` of them, oldest first, as records; returns how many. The committer's. */
size_t sealings_take(struct sealings *, struct record records[], size_t room);
/* Where some wait, enters a piece of work that is nothing but a batch for them to go along with. */
void sealings_flush(struct server *);

#endif
