#ifndef AWS_SIM_SIM_H
#define AWS_SIM_SIM_H
/* The whole simulation: one lock around everything that answers are made from. It is held while an
 * answer is made and never while one is delayed or sent. */
#include "tests/aws-sim/fault.h"
#include "tests/aws-sim/http.h"
#include "tests/aws-sim/state.h"
#include "tests/aws-sim/throttle.h"

#include <pthread.h>

struct sim {
	pthread_mutex_t lock;
	struct state *state;
	struct faults faults;
	struct throttle throttle;
	json_t *counters;
	json_t *last; /* action -> its last request */
	bool any_clock; /* do not refuse a signature for its date */
};

/* The routes of the two listeners; their context is a struct sim. */
void api_route(void *sim, const struct request *, struct answer *);
void metadata_route(void *sim, const struct request *, struct answer *);
/* The part of api_route below /control/; with the lock held. `verb` is what follows. */
void control_route(struct sim *, const char *verb, const struct request *, struct answer *);

/* The part of api_route below /container/; with the lock held. */
void container_route(struct sim *, const char *path, const struct request *, struct answer *);

/* What a fault of a whole call does to an answer that is made: spoils its body, its way, its time. */
void answer_spoil(struct answer *, const struct fault *);

/* Keeps the action's last request byte for byte, and how it was answered; what memory does not allow is
 * left out. */
void request_record(json_t *last, const char *action, const struct request *, const char *outcome);
/* The verb of the control API; a new reference. */
json_t *record_control(json_t *last, const json_t *arguments, struct refusal *);

#endif
