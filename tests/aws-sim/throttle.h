#ifndef AWS_SIM_THROTTLE_H
#define AWS_SIM_THROTTLE_H
/* How AWS paces its callers, and how long it takes to answer: a token bucket for each account, region and
 * service, and one delay for every answer of an API. EC2's published bucket for calls like DescribeInstances
 * is 100 tokens, 20 a second ("Request throttling for the Amazon EC2 API"); IAM's and STS's are not
 * published, and get the same. A call that is refused takes no token. */
#include "tests/aws-sim/state.h"

enum { THROTTLE_BUCKETS_MAX = 64 };

/* Zeroed: no limit, no delay. */
struct throttle {
	double size, per_second; /* size 0: no limit */
	unsigned delay_ms;
	unsigned n;
	struct {
		char key[100]; /* "account/region/service" */
		double tokens;
		long long filled; /* when tokens was right, CLOCK_MONOTONIC nanoseconds */
	} buckets[THROTTLE_BUCKETS_MAX];
};

/* The verb of the control API: size, per_second and delay_ms; what is left out is 0. All buckets are full
 * again. A new reference to what holds from now on. */
json_t *throttle_control(struct throttle *, const json_t *arguments, struct refusal *);

/* Takes a token. False: there is none. */
bool throttle_admits(struct throttle *, const char *account, const char *region, const char *service);

#endif
