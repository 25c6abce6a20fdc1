#ifndef AWS_SIM_SIGV4_CHECK_H
#define AWS_SIM_SIGV4_CHECK_H
/* Verifies AWS Signature Version 4 in the Authorization header, for requests to the path "/" without
 * a query: an independent reading of AWS's description, sharing nothing with the code that signs. */
#include "tests/aws-sim/http.h"
#include "tests/aws-sim/state.h"

#include <time.h>

enum signature {
	SIGNATURE_GOOD,
	SIGNATURE_MISSING, /* no Authorization header */
	SIGNATURE_INCOMPLETE, /* it has not the form that AWS wants */
	SIGNATURE_UNKNOWN_KEY, /* no such access key, or the session token is not the one that belongs to it
				*/
	SIGNATURE_TOKEN_EXPIRED, /* the key is a temporary one, and its time is over */
	SIGNATURE_EXPIRED, /* the date is too far away */
	SIGNATURE_SCOPE, /* not for this day, service or region */
	SIGNATURE_WRONG
};

struct signer {
	enum signature verdict;
	char service[16], region[32]; /* as the scope says; "" where it was not readable */
	const json_t *key; /* borrowed from the state; NULL where it was not found */
	char detail[320]; /* for the error's message */
};

/* The Host header is taken as it was sent. `any_date`: the signature's date may be far away from `now`. */
void sigv4_check(const struct request *, const struct state *, time_t now, bool any_date, struct signer *);

#endif
