/* Denials of one address: so many are events, the rest of the minute is counted; nothing is counted twice or
 * gets lost, whatever the clock does. */
#include "server/denials.h"
#include "tests/unit/unit.h"

#include <arpa/inet.h>

#define SECOND 1000000LL
#define START (1767323045 * SECOND)

static struct in_addr address(unsigned n)
{
	return (struct in_addr){ htonl(0x0a000000 + n) };
}

static unsigned admitted(struct denials *d, unsigned who, bool confirmed, unsigned n, long long now_us)
{
	unsigned events = 0;

	while (n--)
		events += denials_admit(d, address(who), confirmed, now_us);
	return events;
}

static void ten_a_minute(void **state)
{
	struct denials *d = denials_new();
	struct denials_minute minute;

	(void)state;
	assert_non_null(d);
	assert_int_equal(admitted(d, 1, false, 300, START), DENIALS_PER_MINUTE);
	assert_int_equal(admitted(d, 2, false, 7, START), 7); /* another one is not concerned */
	/* what AWS has confirmed is told further on */
	assert_int_equal(
		admitted(d, 1, true, 300, START + SECOND), DENIALS_CONFIRMED_PER_MINUTE - DENIALS_PER_MINUTE);
	assert_true(denials_waiting(d));
	assert_false(denials_take(d, START + 59 * SECOND, &minute));
	assert_true(denials_take(d, START + 60 * SECOND, &minute));
	assert_int_equal(minute.address.s_addr, address(1).s_addr);
	assert_false(minute.many);
	assert_int_equal(minute.since_us, START);
	assert_int_equal(minute.unrecorded, 600 - DENIALS_CONFIRMED_PER_MINUTE);
	assert_false(denials_take(d, START + 60 * SECOND, &minute));
	assert_false(denials_waiting(d));
	assert_int_equal(admitted(d, 1, false, 300, START + 61 * SECOND), DENIALS_PER_MINUTE); /* a new one */
	denials_free(d);
}

/* While nobody summarises, a minute that is over goes on: it may not be forgotten for a new one. */
static void nothing_is_forgotten(void **state)
{
	struct denials *d = denials_new();
	struct denials_minute minute;

	(void)state;
	assert_int_equal(admitted(d, 1, false, 20, START), DENIALS_PER_MINUTE);
	assert_int_equal(admitted(d, 1, false, 5, START + 500 * SECOND), 0);
	assert_true(denials_take(d, START + 500 * SECOND, &minute));
	assert_int_equal(minute.unrecorded, 15);
	denials_put_back(d, &minute); /* the store was not there */
	assert_true(denials_waiting(d));
	assert_int_equal(admitted(d, 1, false, 1, START + 501 * SECOND), 0);
	assert_true(denials_take(d, START + 501 * SECOND, &minute));
	assert_int_equal(minute.unrecorded, 16);
	assert_int_equal(minute.since_us, START);
	denials_free(d);
}

static void a_clock_that_goes_back(void **state)
{
	struct denials *d = denials_new();
	struct denials_minute minute;

	(void)state;
	assert_int_equal(admitted(d, 1, false, 20, START), DENIALS_PER_MINUTE);
	assert_true(denials_take(d, START - 3600 * SECOND, &minute));
	assert_int_equal(admitted(d, 1, false, 20, START - 3600 * SECOND), DENIALS_PER_MINUTE);
	denials_free(d);
}

/* More addresses than places: events end, the count does not. */
static void addresses_beyond_the_table(void **state)
{
	enum { ADDRESSES = 5 * DENIAL_ADDRESSES_MAX, EACH = 3 };
	struct denials *d = denials_new();
	struct denials_minute minute;
	unsigned long events = 0, counted = 0;
	unsigned many = 0;
	unsigned i;

	(void)state;
	for (i = 0; i < ADDRESSES; i++)
		events += admitted(d, i * 7919, false, EACH, START);
	assert_true(events >= (unsigned long)DENIAL_ADDRESSES_MAX / 2 * EACH);
	assert_true(events <= (unsigned long)(DENIAL_ADDRESSES_MAX + 1) * DENIALS_PER_MINUTE);
	while (denials_take(d, START + 60 * SECOND, &minute)) {
		counted += minute.unrecorded;
		many += minute.many;
	}
	assert_int_equal(many, 1);
	assert_int_equal(events + counted, (unsigned long)ADDRESSES * EACH);
	denials_free(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ten_a_minute),
		cmocka_unit_test(nothing_is_forgotten),
		cmocka_unit_test(a_clock_that_goes_back),
		cmocka_unit_test(addresses_beyond_the_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
