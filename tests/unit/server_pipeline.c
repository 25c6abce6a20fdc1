/* The pipeline: order, skipping, batches, the one counter, deadlines. Steps here count and fail on demand. */
#include "server/pipeline.h"
#include "tests/unit/unit.h"
#include "verifier/reasons.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

enum { PIECES = 1000, STEPS = 6 };

struct piece {
	struct work work; /* first */
	char way[STEPS + 2];
	const char *fail_at; /* name of the step that refuses */
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static unsigned answered;
static size_t largest_batch;
static bool committer_held;
static struct work *begun;

static enum outcome pass(struct work *work)
{
	struct piece *piece = (struct piece *)work;
	const char *name = work->line[work->at].name;

	strncat(piece->way, name, 1);
	if (piece->fail_at && strcmp(piece->fail_at, name) == 0)
		return refused(&work->reason, REASON_MALFORMED, "as told");
	return OK;
}

static void begin(struct work *work)
{
	pipeline_done(work, pass(work));
}

static void begin_and_keep(struct work *work)
{
	pthread_mutex_lock(&mutex);
	begun = work;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&mutex);
}

static void record(struct work *const batch[], size_t n)
{
	size_t i;

	pthread_mutex_lock(&mutex);
	while (committer_held)
		pthread_cond_wait(&changed, &mutex);
	if (n > largest_batch)
		largest_batch = n;
	pthread_mutex_unlock(&mutex);
	for (i = 0; i < n; i++)
		strcat(((struct piece *)batch[i])->way, "r");
}

static void answer(struct work *const batch[], size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		strcat(((struct piece *)batch[i])->way, "a");
	pthread_mutex_lock(&mutex);
	answered += (unsigned)n;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&mutex);
}

static const struct step line[] = {
	{ "parse", WORKERS, .one = pass },
	{ "confirm", WORKERS, .begin = begin },
	{ "record", COMMITTER, .batch = record, .even_if_refused = true },
	{ "seal", VAULT, .one = pass },
	{ "answer", LISTENER, .batch = answer, .even_if_refused = true },
	{ 0 },
};

/* The first batches are held while `blockers_held`, the others until so many have begun. */
static size_t blockers, begun_batches, awaited, sizes[16];
static bool blockers_held;

static void seal(struct work *const batch[], size_t n)
{
	size_t number, i;

	pthread_mutex_lock(&mutex);
	number = begun_batches++;
	sizes[number] = n;
	pthread_cond_broadcast(&changed);
	while (number < blockers ? blockers_held : begun_batches < awaited)
		pthread_cond_wait(&changed, &mutex);
	pthread_mutex_unlock(&mutex);
	for (i = 0; i < n; i++)
		pipeline_done(batch[i], pass(batch[i]));
}

static const struct step shared_line[] = {
	{ "seal", VAULT, .begin_batch = seal, .most = 3 },
	{ "answer", LISTENER, .batch = answer, .even_if_refused = true },
	{ 0 },
};

static const struct step kept_line[] = {
	{ "confirm", WORKERS, .begin = begin_and_keep },
	{ "seal", VAULT, .one = pass },
	{ "answer", LISTENER, .batch = answer, .even_if_refused = true },
	{ 0 },
};

static struct pipeline *open_pipeline(size_t most)
{
	const unsigned threads[QUEUES] = { [WORKERS] = 3, [COMMITTER] = 1, [VAULT] = 2, [LISTENER] = 1 };
	struct pipeline *pipeline = pipeline_open(most, threads);

	assert_non_null(pipeline);
	answered = 0;
	largest_batch = 0;
	return pipeline;
}

static void enter(struct pipeline *pipeline, struct piece *piece, const struct step *its_line)
{
	if (!piece->work.deadline)
		piece->work.deadline = pipeline_now() + 60000000000LL;
	assert_true(pipeline_reserve(pipeline));
	pipeline_enter(pipeline, &piece->work, its_line);
}

static void wait_answered(unsigned n)
{
	pthread_mutex_lock(&mutex);
	while (answered < n)
		pthread_cond_wait(&changed, &mutex);
	pthread_mutex_unlock(&mutex);
}

static void finish(struct pipeline *pipeline)
{
	while (pipeline_under_way(pipeline) > 0)
		sched_yield();
	pipeline_close(pipeline);
}

static void ways(void **state)
{
	static struct piece pieces[4];
	static const char *const fail_at[] = { NULL, "parse", "confirm", "seal" };
	static const char *const expected[] = { "pcrsa", "pra", "pcra", "pcrsa" };
	struct pipeline *pipeline = open_pipeline(10);
	size_t i;

	(void)state;
	for (i = 0; i < 4; i++) {
		pieces[i].fail_at = fail_at[i];
		enter(pipeline, &pieces[i], line);
	}
	wait_answered(4);
	finish(pipeline);
	for (i = 0; i < 4; i++) {
		assert_string_equal(pieces[i].way, expected[i]);
		assert_int_equal(pieces[i].work.outcome, fail_at[i] ? REFUSED : OK);
	}
}

static void batches(void **state)
{
	static struct piece pieces[PIECES];
	struct pipeline *pipeline = open_pipeline(PIECES);
	size_t i;

	(void)state;
	committer_held = true;
	for (i = 0; i < PIECES; i++)
		enter(pipeline, &pieces[i], line);
	assert_false(pipeline_reserve(pipeline)); /* full */
	pthread_mutex_lock(&mutex);
	committer_held = false;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&mutex);
	wait_answered(PIECES);
	while (pipeline_under_way(pipeline) > 0)
		sched_yield();
	assert_true(pipeline_reserve(pipeline)); /* the places came back */
	for (i = 0; i < PIECES; i++)
		assert_string_equal(pieces[i].way, "pcrsa");
	assert_true(largest_batch > 1 && largest_batch <= PIPELINE_BATCH_MAX);
	/* give the place back the regular way */
	pieces[0] = (struct piece){ .work.deadline = pipeline_now() + 60000000000LL };
	pipeline_enter(pipeline, &pieces[0].work, line);
	wait_answered(PIECES + 1);
	finish(pipeline);
}

/* What waits is shared out among the lane's two threads, neither of which takes more than the step's bound. A
 * refused one is so alone. */
static void shared_batches(void **state)
{
	static const struct {
		size_t waiting, first, second;
	} cases[] = { { 1, 1, 0 }, { 2, 1, 1 }, { 4, 2, 1 }, { 5, 3, 1 }, { 10, 3, 3 } };
	size_t i, k;

	(void)state;
	for (k = 0; k < sizeof(cases) / sizeof(cases[0]); k++) {
		struct piece pieces[10] = { 0 }, busy[2] = { 0 };
		struct pipeline *pipeline = open_pipeline(12);
		size_t n = cases[k].waiting;

		begun_batches = 0;
		blockers = 2;
		awaited = n > 1 ? 4 : 3;
		blockers_held = true;
		for (i = 0; i < 2; i++)
			enter(pipeline, &busy[i], shared_line);
		pthread_mutex_lock(&mutex);
		while (begun_batches < 2)
			pthread_cond_wait(&changed, &mutex);
		pthread_mutex_unlock(&mutex);
		pieces[0].fail_at = "seal";
		for (i = 0; i < n; i++)
			enter(pipeline, &pieces[i], shared_line);
		pthread_mutex_lock(&mutex);
		blockers_held = false;
		pthread_cond_broadcast(&changed);
		pthread_mutex_unlock(&mutex);
		wait_answered((unsigned)n + 2);
		finish(pipeline);
		/* whichever of them was noted first */
		assert_int_equal(sizes[2] + (n > 1 ? sizes[3] : 0), cases[k].first + cases[k].second);
		assert_true(sizes[2] == cases[k].first || sizes[2] == cases[k].second);
		for (i = 0; i < n; i++) {
			assert_string_equal(pieces[i].way, "sa");
			assert_int_equal(pieces[i].work.outcome, i == 0 ? REFUSED : OK);
		}
	}
}

/* Kept by an outside thread, and come back after its deadline: the next step is not begun. */
static void late(void **state)
{
	static struct piece piece;
	struct pipeline *pipeline = open_pipeline(1);

	(void)state;
	enter(pipeline, &piece, kept_line);
	pthread_mutex_lock(&mutex);
	while (!begun)
		pthread_cond_wait(&changed, &mutex);
	pthread_mutex_unlock(&mutex);
	begun->deadline = pipeline_now() - 1;
	pipeline_done(begun, OK);
	wait_answered(1);
	finish(pipeline);
	assert_string_equal(piece.way, "a");
	assert_int_equal(piece.work.outcome, UNAVAILABLE);
	assert_string_equal(piece.work.reason.code, REASON_OVERLOADED);
}

/* Late ones leave a batch before it is begun; the others do not notice. */
static void late_in_a_batch(void **state)
{
	static struct piece pieces[6];
	struct pipeline *pipeline = open_pipeline(6);
	size_t i;

	(void)state;
	begun_batches = blockers = awaited = 0;
	for (i = 0; i < 6; i++) {
		pieces[i].work.deadline = i % 2 ? 1 : 0;
		enter(pipeline, &pieces[i], shared_line);
	}
	wait_answered(6);
	finish(pipeline);
	for (i = 0; i < 6; i++) {
		assert_string_equal(pieces[i].way, i % 2 ? "a" : "sa");
		assert_int_equal(pieces[i].work.outcome, i % 2 ? UNAVAILABLE : OK);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ways),
		cmocka_unit_test(batches),
		cmocka_unit_test(shared_batches),
		cmocka_unit_test(late_in_a_batch),
		cmocka_unit_test(late),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
