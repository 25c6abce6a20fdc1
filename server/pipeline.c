/* Lanes, threads and the one counter at the entry. A lane is a list under a mutex: whoever puts appends and
 * wakes one thread; whoever takes leaves with one piece, or with a batch of pieces that wait for the same
 * batch step. */
#include "server/pipeline.h"

#include "verifier/reasons.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

struct lane {
	pthread_mutex_t mutex;
	pthread_cond_t filled;
	struct work *first;
	struct work **last;
	size_t length; /* atomic, so that it can be looked at without the mutex */
	unsigned threads;
};

struct pipeline {
	struct lane lanes[QUEUES];
	size_t most;
	size_t under_way; /* atomic */
	bool stopping; /* under every lane's mutex */
	unsigned n_threads;
	struct thread {
		struct pipeline *pipeline;
		enum queue queue;
		pthread_t id;
	} threads[PIPELINE_THREADS_MAX];
};

long long pipeline_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (long long)now.tv_sec * 1000000000 + now.tv_nsec;
}

static const struct step *work_step(const struct work *work)
{
	return &work->line[work->at];
}

static void lane_put(struct lane *lane, struct work *work)
{
	pthread_mutex_lock(&lane->mutex);
	work->next = NULL;
	*lane->last = work;
	lane->last = &work->next;
	__atomic_add_fetch(&lane->length, 1, __ATOMIC_RELAXED);
	pthread_cond_signal(&lane->filled);
	pthread_mutex_unlock(&lane->mutex);
}

static bool in_batches(const struct step *step)
{
	return step->batch || step->begin_batch;
}

static bool same_batch(const struct step *one, const struct step *other)
{
	return one->batch == other->batch && one->begin_batch == other->begin_batch;
}

/* How many one thread takes for this step, at most: its share of what waits, so that no other is idle beside
 * a batch. */
static size_t lane_share(const struct lane *lane, const struct step *step)
{
	size_t share = (lane->length + lane->threads - 1) / lane->threads;
	size_t most = step->most ? step->most : PIPELINE_BATCH_MAX;

	if (!in_batches(step))
		return 1;
	return share < most ? share : most;
}

/* At least one piece; more only for a batch step, and then all for that same one. 0: the pipeline stops. */
static size_t lane_take(struct pipeline *pipeline, struct lane *lane, struct work *batch[PIPELINE_BATCH_MAX])
{
	size_t n = 0, most = 0;

	pthread_mutex_lock(&lane->mutex);
	while (!lane->first && !pipeline->stopping)
		pthread_cond_wait(&lane->filled, &lane->mutex);
	if (lane->first)
		most = lane_share(lane, work_step(lane->first));
	while (lane->first && n < most) {
		if (n > 0 && !same_batch(work_step(lane->first), work_step(batch[0])))
			break;
		batch[n++] = lane->first;
		lane->first = lane->first->next;
	}
	if (!lane->first)
		lane->last = &lane->first;
	__atomic_sub_fetch(&lane->length, n, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&lane->mutex);
	return n;
}

static bool work_late(struct work *work)
{
	if (work_step(work)->even_if_refused || pipeline_now() < work->deadline)
		return false;
	work->outcome = unavailable(&work->reason, REASON_OVERLOADED,
		"the deadline passed before the step %s", work_step(work)->name);
	return true;
}

void pipeline_done(struct work *work, enum outcome outcome)
{
	work->outcome = outcome;
	do
		work->at++;
	while (work->outcome != OK && !work_step(work)->even_if_refused);
	lane_put(&work->pipeline->lanes[work_step(work)->queue], work);
}

/* Sends the late ones on; how many are left, in front. */
static size_t late_leave(struct work *batch[], size_t n)
{
	size_t left = 0, i;

	for (i = 0; i < n; i++)
		if (work_late(batch[i]))
			pipeline_done(batch[i], batch[i]->outcome);
		else
			batch[left++] = batch[i];
	return left;
}

static void batch_run(struct pipeline *pipeline, struct work *const batch[], size_t n)
{
	/* behind the last row the work belongs to whoever answered it: look before */
	bool last = !work_step(batch[0])[1].name;
	size_t i;

	work_step(batch[0])->batch(batch, n);
	if (last)
		__atomic_sub_fetch(&pipeline->under_way, n, __ATOMIC_RELEASE);
	for (i = 0; !last && i < n; i++)
		pipeline_done(batch[i], batch[i]->outcome);
}

static void *thread_run(void *argument)
{
	struct thread *thread = argument;
	struct lane *lane = &thread->pipeline->lanes[thread->queue];
	struct work *batch[PIPELINE_BATCH_MAX];
	size_t n;

	while ((n = lane_take(thread->pipeline, lane, batch)) > 0) {
		const struct step *step = work_step(batch[0]);

		n = late_leave(batch, n);
		if (n == 0)
			continue;
		if (step->batch)
			batch_run(thread->pipeline, batch, n);
		else if (step->begin_batch)
			step->begin_batch(batch, n);
		else if (step->begin)
			step->begin(batch[0]);
		else
			pipeline_done(batch[0], step->one(batch[0]));
	}
	return NULL;
}

static bool threads_start(struct pipeline *pipeline, enum queue queue, unsigned n)
{
	unsigned i;

	for (i = 0; i < n && pipeline->n_threads < PIPELINE_THREADS_MAX; i++) {
		struct thread *thread = &pipeline->threads[pipeline->n_threads];

		*thread = (struct thread){ .pipeline = pipeline, .queue = queue };
		if (pthread_create(&thread->id, NULL, thread_run, thread) != 0)
			return false;
		pipeline->n_threads++;
	}
	return true;
}

struct pipeline *pipeline_open(size_t most, const unsigned threads[QUEUES])
{
	struct pipeline *pipeline = calloc(1, sizeof(*pipeline));
	bool started = true;
	unsigned queue;

	if (!pipeline)
		return NULL;
	pipeline->most = most;
	for (queue = 0; queue < QUEUES; queue++) {
		struct lane *lane = &pipeline->lanes[queue];

		pthread_mutex_init(&lane->mutex, NULL);
		pthread_cond_init(&lane->filled, NULL);
		lane->threads = threads[queue];
		lane->last = &lane->first;
	}
	for (queue = 0; queue < QUEUES && started; queue++)
		started = threads_start(pipeline, queue, threads[queue]);
	if (started)
		return pipeline;
	pipeline_close(pipeline);
	return NULL;
}

bool pipeline_reserve(struct pipeline *pipeline)
{
	if (__atomic_add_fetch(&pipeline->under_way, 1, __ATOMIC_ACQUIRE) <= pipeline->most)
		return true;
	__atomic_sub_fetch(&pipeline->under_way, 1, __ATOMIC_RELEASE);
	return false;
}

void pipeline_enter(struct pipeline *pipeline, struct work *work, const struct step *line)
{
	work->pipeline = pipeline;
	work->line = line;
	work->at = 0;
	work->outcome = OK;
	lane_put(&pipeline->lanes[line[0].queue], work);
}

size_t pipeline_under_way(struct pipeline *pipeline)
{
	return __atomic_load_n(&pipeline->under_way, __ATOMIC_ACQUIRE);
}

size_t pipeline_queued(struct pipeline *pipeline, enum queue queue)
{
	return __atomic_load_n(&pipeline->lanes[queue].length, __ATOMIC_RELAXED);
}

void pipeline_close(struct pipeline *pipeline)
{
	unsigned i;

	if (!pipeline)
		return;
	for (i = 0; i < QUEUES; i++)
		pthread_mutex_lock(&pipeline->lanes[i].mutex);
	pipeline->stopping = true;
	for (i = 0; i < QUEUES; i++) {
		pthread_cond_broadcast(&pipeline->lanes[i].filled);
		pthread_mutex_unlock(&pipeline->lanes[i].mutex);
	}
	for (i = 0; i < pipeline->n_threads; i++)
		pthread_join(pipeline->threads[i].id, NULL);
	for (i = 0; i < QUEUES; i++) {
		pthread_mutex_destroy(&pipeline->lanes[i].mutex);
		pthread_cond_destroy(&pipeline->lanes[i].filled);
	}
	free(pipeline);
}
