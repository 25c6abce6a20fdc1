#ifndef AWS_BATCH_H
#define AWS_BATCH_H
/* EC2 look-ups, coalesced: for each account and region one DescribeInstances at a time for all who ask
 * meanwhile (at 200 ids a further one beside it). On the AWS thread alone. What EC2 shows goes on to
 * profiles.h. */
#include "aws/profiles.h"

struct batches;

struct batch_counts {
	atomic_ulong calls, failed;
};

/* All but the complaint is borrowed. NULL: memory, or the complaint names a region that is not in the
 * compiled table, or an endpoint that is none. */
struct batches *batches_new(const struct aws_settings *, const struct caller *, struct profiles *,
	struct batch_counts *, struct complaint *);
/* Calls that are under way must have been ended (http_close). NULL is fine. */
void batches_free(struct batches *);

/* Takes an unanswered question. */
void batches_ask(struct batches *, struct question *);
/* Sends what is due; returns when it wants to be called again (LLONG_MAX: only after an event). */
long long batches_advance(struct batches *, long long now);

#endif
