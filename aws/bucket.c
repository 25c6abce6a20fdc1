/* The bucket as one moment: each token that is taken moves the moment of its being full by one interval. */
#include "aws/bucket.h"

void bucket_init(struct bucket *bucket, unsigned size, unsigned per_second, long long now)
{
	bucket->interval = 1000000000LL / (per_second ? per_second : BUCKET_PER_SECOND_DEFAULT);
	bucket->whole = (size ? size : BUCKET_SIZE_DEFAULT) * bucket->interval;
	bucket->full_at = now;
}

void bucket_take(struct bucket *bucket, long long now)
{
	if (bucket->full_at < now)
		bucket->full_at = now;
	bucket->full_at += bucket->interval;
}

void bucket_drain(struct bucket *bucket, long long now)
{
	if (bucket->full_at < now + bucket->whole)
		bucket->full_at = now + bucket->whole;
}

long long bucket_ready(const struct bucket *bucket, long long now)
{
	long long ready = bucket->full_at - bucket->whole + bucket->interval;

	return ready > now ? ready : now;
}

unsigned bucket_level(const struct bucket *bucket, long long now)
{
	long long missing = bucket->full_at - now;

	if (missing <= 0)
		return 1000;
	return missing >= bucket->whole ? 0 : (unsigned)(1000 - missing * 1000 / bucket->whole);
}
