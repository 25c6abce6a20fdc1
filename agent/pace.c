/* Back-off with full jitter. Must never wait past the deadline, nor less than the server asked for. */
#include "agent/pace.h"

#include "aws/http.h"

#include <openssl/rand.h>
#include <time.h>

static const long long second = 1000000000;

static long long real_now(void *context)
{
	(void)context;
	return monotonic_now();
}

static void real_wait(void *context, long long nanoseconds)
{
	struct timespec left = { nanoseconds / second, nanoseconds % second };

	(void)context;
	while (nanosleep(&left, &left) != 0)
		;
}

/* Should the generator ever fail, the longest wait is a fair choice. */
static uint32_t real_random(void *context)
{
	uint32_t random;

	(void)context;
	return RAND_bytes((unsigned char *)&random, sizeof(random)) == 1 ? random : UINT32_MAX;
}

static time_t real_clock(void *context)
{
	(void)context;
	return time(NULL);
}

const struct pace pace_real = { real_now, real_wait, real_random, NULL, real_clock };

long long pace_delay(unsigned failed, long retry_after, uint32_t random)
{
	const long long cap = 20 * second;
	const long longest = 7 * 86400; /* keeps the sum small; no deadline is that far away */
	long long ceiling = failed > 5 ? cap : second << (failed > 1 ? failed - 1 : 0);
	long long least = retry_after > longest ? longest : retry_after;

	if (least < 0)
		least = 0;
	return least * second + ceiling / 1000 * (random >> 8) / (UINT32_MAX >> 8) * 1000;
}

bool pace_allows(const struct pace *pace, long long delay, long long deadline)
{
	return delay < deadline - pace->now(pace->context);
}
