/* The token bucket: what it gives in a burst, what it gives in the long run, and what it owes. */
#include "aws/bucket.h"
#include "tests/unit/unit.h"

enum { SIZE = 50, RATE = 10 };

#define SECOND 1000000000LL
#define START (1234 * SECOND)

/* How many calls go out between two moments, by someone who always has one more. */
static unsigned greedy(struct bucket *bucket, long long from, long long until)
{
	unsigned calls = 0;

	while (from < until) {
		from = bucket_ready(bucket, from);
		if (from >= until)
			break;
		bucket_take(bucket, from);
		calls++;
	}
	return calls;
}

static void burst_and_rate(void **state)
{
	struct bucket bucket;

	(void)state;
	bucket_init(&bucket, SIZE, RATE, START);
	assert_int_equal(bucket_level(&bucket, START), 1000);
	assert_int_equal(greedy(&bucket, START, START + 1), SIZE);
	assert_int_equal(bucket_level(&bucket, START), 0);
	assert_int_equal(bucket_ready(&bucket, START), START + SECOND / RATE);
	/* never more than the grant, whichever ten seconds one looks at */
	assert_int_equal(greedy(&bucket, START + 1, START + 10 * SECOND + 1), 10 * RATE);
	/* it fills up and not over */
	assert_int_equal(bucket_level(&bucket, START + 12 * SECOND + SECOND / 2), 500);
	assert_int_equal(bucket_level(&bucket, START + 15 * SECOND), 1000);
	assert_int_equal(greedy(&bucket, START + 3600 * SECOND, START + 3600 * SECOND + 1), SIZE);
}

/* Half of what AWS publishes: a bucket of 100, 20 a second. */
static void half_of_the_grant(void **state)
{
	(void)state;
	assert_int_equal(2 * BUCKET_SIZE_DEFAULT, 100);
	assert_int_equal(2 * BUCKET_PER_SECOND_DEFAULT, 20);
}

static void owing_and_drained(void **state)
{
	struct bucket bucket;
	unsigned i;

	(void)state;
	bucket_init(&bucket, SIZE, RATE, START);
	for (i = 0; i < SIZE + 5; i++) /* pages of an answer are asked for without a token */
		bucket_take(&bucket, START);
	assert_int_equal(bucket_level(&bucket, START), 0);
	assert_int_equal(bucket_ready(&bucket, START), START + 6 * SECOND / RATE);
	bucket_init(&bucket, SIZE, RATE, START);
	bucket_drain(&bucket, START);
	assert_int_equal(bucket_ready(&bucket, START), START + SECOND / RATE);
	bucket_take(&bucket, START);
	bucket_drain(&bucket, START); /* what is owed stays owed */
	assert_int_equal(bucket_ready(&bucket, START), START + 2 * SECOND / RATE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(burst_and_rate),
		cmocka_unit_test(half_of_the_grant),
		cmocka_unit_test(owing_and_drained),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
