#ifndef AWS_BUCKET_H
#define AWS_BUCKET_H
/* A token bucket, kept by ourselves so that AWS never has to refuse: each call takes one, and they come back
 * at a fixed rate. Half of what AWS grants an account and region for calls of this kind: the other half is
 * for whoever else works there. ("Request throttling for the Amazon EC2 API": 100, and 20 a second.)
 *
 * Times are CLOCK_MONOTONIC nanoseconds. */
#include <stdbool.h>

enum { BUCKET_SIZE_DEFAULT = 50, BUCKET_PER_SECOND_DEFAULT = 10, BUCKET_MOST = 100000 /* of both */ };

struct bucket {
	long long interval; /* until one token comes back */
	long long whole; /* until all have come back */
	long long full_at; /* when it would be full again, if nobody took any more */
};

/* Full. Both up to BUCKET_MOST; 0: the default. */
void bucket_init(struct bucket *, unsigned size, unsigned per_second, long long now);
/* One token; where there is none the next ones come later still. */
void bucket_take(struct bucket *, long long now);
/* AWS has refused: it was emptier than we knew. */
void bucket_drain(struct bucket *, long long now);
/* When there is a token: `now`, or later. */
long long bucket_ready(const struct bucket *, long long now);
/* How full it is, in thousandths; 0 also where tokens are owed. */
unsigned bucket_level(const struct bucket *, long long now);

#endif
