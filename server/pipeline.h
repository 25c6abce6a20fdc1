#ifndef SERVER_PIPELINE_H
#define SERVER_PIPELINE_H
/* Moves work down its line. Knows threads, locks and queues; knows nothing of what a step does.
 *
 * Exactly one stage holds a piece of work, and nobody else touches, resumes or frees it. Admission is one
 * counter at the entry: no later queue can be full. A batch is what waits for the same step, shared out among
 * the lane's threads. */
#include "verifier/outcome.h"

/* Who takes a step. One lane each; a lane's threads are given at the start. */
enum queue {
	WORKERS, /* computing */
	COMMITTER, /* one thread, in batches: the store's only writer */
	VAULT, /* waiting for the member processes */
	READERS, /* queries of the trail */
	LISTENER, /* hands answers back to HTTP, in batches */
	QUEUES
};

enum { PIPELINE_BATCH_MAX = 512, PIPELINE_THREADS_MAX = 32 };

struct pipeline;
struct work;

struct step {
	const char *name;
	enum queue queue;
	/* exactly one of four: */
	enum outcome (*one)(struct work *); /* done when it returns */
	void (*begin)(struct work *); /* done when somebody calls pipeline_done */
	void (*batch)(
		struct work *const batch[], size_t n); /* done for all when it returns; sets each outcome */
	void (*begin_batch)(struct work *const batch[], size_t n); /* done when somebody calls pipeline_done
								      for each */
	size_t most; /* in a batch, at most PIPELINE_BATCH_MAX; 0: as many as that */
	bool even_if_refused; /* a refusal falls down to the next of these */
};

/* What a piece of work shows to the pipeline; the first member of whatever it is. */
struct work {
	const struct step *line; /* ends with a row without a name */
	unsigned at; /* its row */
	enum outcome outcome;
	struct reason reason; /* where the outcome is not OK */
	long long
		deadline; /* CLOCK_MONOTONIC nanoseconds; a step that has not begun by then is UNAVAILABLE */
	struct pipeline *pipeline;
	struct work *next; /* in the queue that holds it */
};

/* `most`: under way at once. NULL when memory or threads are out. */
struct pipeline *pipeline_open(size_t most, const unsigned threads[QUEUES]);
/* Takes one place. False: full, answer at once. */
bool pipeline_reserve(struct pipeline *);
/* First row; a place has been reserved, and is given back behind the last row. */
void pipeline_enter(struct pipeline *, struct work *, const struct step *line);
/* By the step that holds it; any thread. The reason is in the work already. */
void pipeline_done(struct work *, enum outcome);
size_t pipeline_under_way(struct pipeline *);
/* Waiting for a thread of that lane. */
size_t pipeline_queued(struct pipeline *, enum queue);
/* Ends the threads; nothing may be under way. */
void pipeline_close(struct pipeline *);

/* CLOCK_MONOTONIC in nanoseconds. */
long long pipeline_now(void);

#endif
