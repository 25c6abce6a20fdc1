/* The agent's back-off: bounds, distribution, Retry-After, deadline. No time passes here. */
#include "agent/pace.h"
#include "tests/unit/unit.h"

#include <string.h>

static const long long second = 1000000000;

static void test_bounds(void **state)
{
	static const long long ceilings[] = { 1, 2, 4, 8, 16, 20, 20, 20 };
	unsigned i;

	(void)state;
	for (i = 0; i < sizeof(ceilings) / sizeof(ceilings[0]); i++) {
		assert_int_equal(pace_delay(i + 1, -1, 0), 0);
		assert_int_equal(pace_delay(i + 1, -1, UINT32_MAX), ceilings[i] * second);
	}
	assert_int_equal(pace_delay(1000000, -1, UINT32_MAX), 20 * second);
	assert_int_equal(pace_delay(UINT32_MAX, -1, UINT32_MAX), 20 * second);
}

/* 1,000 evenly spread chances fall evenly into ten drawers: jitter is over the whole range, not half of it.
 */
static void test_distribution(void **state)
{
	unsigned failed;

	(void)state;
	for (failed = 1; failed < 8; failed++) {
		unsigned drawers[10] = { 0 };
		long long ceiling = pace_delay(failed, -1, UINT32_MAX);
		unsigned i;

		for (i = 0; i < 1000; i++) {
			long long delay = pace_delay(failed, -1, (uint32_t)(i * (UINT32_MAX / 1000.0)));

			assert_in_range(delay, 0, ceiling - 1);
			drawers[delay * 10 / ceiling]++;
		}
		for (i = 0; i < 10; i++)
			assert_in_range(drawers[i], 99, 101);
	}
}

static void test_retry_after(void **state)
{
	(void)state;
	assert_int_equal(pace_delay(1, 0, 0), 0);
	assert_int_equal(pace_delay(1, 7, 0), 7 * second);
	assert_int_equal(pace_delay(1, 7, UINT32_MAX), 8 * second);
	assert_int_equal(pace_delay(9, 120, UINT32_MAX), 140 * second);
	assert_int_equal(pace_delay(1, INT64_MAX, 0), 7 * 86400 * second); /* and no overflow */
	assert_int_equal(pace_delay(1, INT64_MIN, 0), 0);
}

static long long fixed_now(void *context)
{
	(void)context;
	return 100;
}

static void test_deadline(void **state)
{
	const struct pace pace = { .now = fixed_now };

	(void)state;
	assert_true(pace_allows(&pace, 899, 1000));
	assert_false(pace_allows(&pace, 900, 1000));
	assert_true(pace_allows(&pace, 0, 101));
	assert_false(pace_allows(&pace, 0, 100));
	assert_false(pace_allows(&pace, 0, 99));
}

static void test_real(void **state)
{
	long long before = pace_real.now(NULL);

	(void)state;
	pace_real.wait(NULL, 1000);
	assert_true(pace_real.now(NULL) >= before + 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_distribution), cmocka_unit_test(test_retry_after),
		cmocka_unit_test(test_deadline), cmocka_unit_test(test_real) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
