/* The buckets are filled when they are looked at. */
#include "tests/aws-sim/throttle.h"

#include "tests/aws-sim/account.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum { MOST = 1000000 };

static long long now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000LL + time.tv_nsec;
}

json_t *throttle_control(struct throttle *throttle, const json_t *arguments, struct refusal *refusal)
{
	static const char *const known[] = { "size", "per_second", "delay_ms", NULL };
	long size = number_of(arguments, "size"), per_second = number_of(arguments, "per_second");
	long delay = number_of(arguments, "delay_ms");

	if (!arguments_known(arguments, known, refusal))
		return NULL;
	if (size < 0 || size > MOST || per_second < 0 || per_second > MOST || delay < 0 || delay > 3600000)
		return refuse(refusal, 400, "size, per_second or delay_ms do not fit");
	*throttle = (struct throttle){
		.size = (double)size, .per_second = (double)per_second, .delay_ms = (unsigned)delay
	};
	return json_pack(
		"{si si si}", "size", (int)size, "per_second", (int)per_second, "delay_ms", (int)delay);
}

/* The bucket of that name, full where it is new; -1: there are too many. */
static int bucket_find(struct throttle *throttle, const char *key)
{
	for (unsigned i = 0; i < throttle->n; i++)
		if (!strcmp(throttle->buckets[i].key, key))
			return (int)i;
	if (throttle->n == THROTTLE_BUCKETS_MAX)
		return -1;
	snprintf(throttle->buckets[throttle->n].key, sizeof throttle->buckets->key, "%s", key);
	throttle->buckets[throttle->n].tokens = throttle->size;
	throttle->buckets[throttle->n].filled = now();
	return (int)throttle->n++;
}

bool throttle_admits(struct throttle *throttle, const char *account, const char *region, const char *service)
{
	char key[sizeof throttle->buckets->key];
	long long time = now();
	double tokens;
	int i;

	if (throttle->size <= 0)
		return true;
	snprintf(key, sizeof key, "%s/%s/%s", account, region, service);
	i = bucket_find(throttle, key);
	if (i < 0)
		return false;
	tokens = throttle->buckets[i].tokens +
		 (double)(time - throttle->buckets[i].filled) / 1e9 * throttle->per_second;
	if (tokens > throttle->size)
		tokens = throttle->size;
	throttle->buckets[i].filled = time;
	throttle->buckets[i].tokens = tokens >= 1 ? tokens - 1 : tokens;
	return tokens >= 1;
}
