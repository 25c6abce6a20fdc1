#ifndef AGENT_PACE_H
#define AGENT_PACE_H
/* How long to wait before asking again. Time and chance come as functions, so that tests neither sleep nor
 * toss. */
#include "verifier/outcome.h"

#include <stdint.h>
#include <time.h>

struct pace {
	long long (*now)(void *context); /* CLOCK_MONOTONIC, nanoseconds */
	void (*wait)(void *context, long long nanoseconds);
	uint32_t (*random)(void *context); /* uniform */
	void *context;
	time_t (*clock)(void *context); /* CLOCK_REALTIME, seconds: for what is signed, never for waiting */
};

/* The real ones. */
extern const struct pace pace_real;

/* Nanoseconds to wait before the try that follows `failed` failed ones (1 or more): uniform over 0 to 1 s, 2
 * s, 4 s,
 * ... 20 s ("full jitter", so that a fleet that was cut off together does not come back together).
 * `retry_after`, in seconds, -1 for none, is what the server asks for at the least; the jitter comes on top
 * of it. */
long long pace_delay(unsigned failed, long retry_after, uint32_t random);

/* Would such a wait end before the deadline (in the clock of pace->now)? */
bool pace_allows(const struct pace *, long long delay, long long deadline);

#endif
