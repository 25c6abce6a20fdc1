#ifndef TESTS_FUZZ_PACE_FAKE_H
#define TESTS_FUZZ_PACE_FAKE_H
/* A clock that moves when someone waits, and chance that never spares anyone anything. */
#include "agent/pace.h"

enum { PACE_CLOCK = 1767323045 }; /* 2026-01-02T03:04:05Z */

static long long pace_moment;

static long long pace_fake_now(void *context)
{
	(void)context;
	return pace_moment;
}

static void pace_fake_wait(void *context, long long nanoseconds)
{
	(void)context;
	pace_moment += nanoseconds;
}

static uint32_t pace_fake_random(void *context)
{
	(void)context;
	return UINT32_MAX;
}

static time_t pace_fake_clock(void *context)
{
	(void)context;
	return PACE_CLOCK;
}

static const struct pace pace_fake = { pace_fake_now, pace_fake_wait, pace_fake_random, NULL,
	pace_fake_clock };

#endif
