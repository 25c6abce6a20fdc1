#ifndef SERVER_METRICS_H
#define SERVER_METRICS_H
/* What is counted, and how it is told: Prometheus' text form (version 0.0.4) on the ops listener. Base units,
 * _total for what only grows, labels from fixed lists alone: nothing that a caller says becomes a label. Safe
 * from any thread; counting is a few atomic additions. */
#include "server/pipeline.h"

struct metrics;
struct server;
struct request;

/* NULL: memory is out. */
struct metrics *metrics_new(void);
void metrics_free(struct metrics *);

/* An answer leaves: its route's kind, its status, how long it took from its headers. */
void metrics_answered(struct metrics *, const struct request *);
/* What a request came to that went down its line, and why. */
void metrics_decided(struct metrics *, enum outcome, const char *reason);
/* One transaction of n records, and whether all of them came through. */
void metrics_committed(struct metrics *, size_t n, bool done);
/* One seal by the vault. */
void metrics_sealed(struct metrics *, enum outcome);

/* One member asked to sign the trail's head, and whether its signature is kept. */
void metrics_checkpoint(struct metrics *, bool done);

/* A first use by an instance that was launched before the database was restored. */
void metrics_after_restore(struct metrics *);

/* GET /metrics */
void metrics_show(struct request *);

#endif
