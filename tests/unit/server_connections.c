/* Shares of addresses, held against a plain list; and the table of connections: phases, deadlines,
 * descriptors that come again. */
#include "server/addresses.h"
#include "server/connections.h"
#include "server/pipeline.h"
#include "tests/unit/unit.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MOST = 64, SHARE = 3, RANGE = 200, ROUNDS = 200000 };

static struct in_addr address(unsigned n)
{
	return (struct in_addr){ htonl(0x0a000000 + n) };
}

/* Any order of taking and giving, many addresses in few places: as a list of counters would have it. */
static void shares_hold(void **state)
{
	struct addresses *a = addresses_new(MOST, SHARE);
	unsigned counts[RANGE] = { 0 };
	unsigned used = 0;
	unsigned random = 1;
	unsigned i;

	(void)state;
	assert_non_null(a);
	for (i = 0; i < ROUNDS; i++) {
		unsigned n = (random >> 16) % RANGE;
		bool take = random >> 8 & 1;

		random = random * 1103515245 + 12345;
		if (take) {
			bool room = counts[n] < SHARE && (counts[n] || used < MOST);

			assert_int_equal(addresses_take(a, address(n)), room);
			used += room && !counts[n];
			counts[n] += room;
		} else {
			addresses_give(a, address(n));
			used -= counts[n] == 1;
			counts[n] -= counts[n] > 0;
		}
		assert_int_equal(addresses_count(a, address(n)), counts[n]);
	}
	for (i = 0; i < RANGE; i++)
		assert_int_equal(addresses_count(a, address(i)), counts[i]);
	addresses_free(a);
}

struct world {
	struct connections *connections;
	int pairs[4][2];
};

static void world_open(struct world *w)
{
	const struct connections_settings settings = { .most = 4,
		.per_address = SHARE,
		.patience_ms = {
			[CONNECTION_HEAD] = 1000, [CONNECTION_BODY] = 5000, [CONNECTION_ANSWER] = 9000 } };
	unsigned i;

	w->connections = connections_new(&settings);
	assert_non_null(w->connections);
	for (i = 0; i < 4; i++) {
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, w->pairs[i]), 0);
		assert_false(connections_full(w->connections));
		assert_true(connections_enter(w->connections, w->pairs[i][0]));
	}
}

static void world_close(struct world *w)
{
	unsigned i;

	for (i = 0; i < 4; i++) {
		close(w->pairs[i][0]);
		close(w->pairs[i][1]);
	}
	connections_free(w->connections);
}

static bool is_shut(const struct world *w, unsigned i)
{
	char byte;

	return recv(w->pairs[i][1], &byte, 1, MSG_DONTWAIT) == 0;
}

static long long in_ms(long long ms)
{
	return pipeline_now() + ms * 1000000;
}

static void each_phase_has_its_deadline(void **state)
{
	struct connection_counts counts;
	struct world w;

	(void)state;
	world_open(&w);
	connections_phase(w.connections, w.pairs[0][0], CONNECTION_HEAD);
	connections_phase(w.connections, w.pairs[1][0], CONNECTION_HEAD);
	connections_phase(w.connections, w.pairs[1][0], CONNECTION_BODY);
	connections_phase(w.connections, w.pairs[2][0], CONNECTION_ANSWER);
	connections_sweep(w.connections, in_ms(500));
	assert_false(is_shut(&w, 0));
	connections_sweep(w.connections, in_ms(1001));
	assert_true(is_shut(&w, 0));
	assert_false(is_shut(&w, 1));
	connections_sweep(w.connections, in_ms(5001));
	assert_true(is_shut(&w, 1));
	assert_false(is_shut(&w, 2));
	connections_phase(w.connections, w.pairs[2][0], CONNECTION_ELSEWHERE);
	connections_sweep(w.connections, in_ms(1000000));
	assert_false(is_shut(&w, 2)); /* somebody else keeps its deadline */
	assert_false(is_shut(&w, 3)); /* nobody has said a phase yet */
	connections_count(w.connections, &counts);
	assert_int_equal(counts.expired[CONNECTION_HEAD], 1);
	assert_int_equal(counts.expired[CONNECTION_BODY], 1);
	assert_int_equal(counts.expired[CONNECTION_ANSWER], 0);
	assert_int_equal(counts.open, 4);
	world_close(&w);
}

/* Taken from the middle, the end and the beginning of a list: those left keep their order. */
static void lists_stay_whole(void **state)
{
	static const unsigned orders[][4] = { { 1, 3, 0, 2 }, { 0, 1, 2, 3 }, { 3, 2, 1, 0 },
		{ 2, 0, 3, 1 } };
	unsigned o, i;

	(void)state;
	for (o = 0; o < 4; o++) {
		struct world w;

		world_open(&w);
		for (i = 0; i < 4; i++)
			connections_phase(w.connections, w.pairs[i][0], CONNECTION_HEAD);
		for (i = 0; i < 2; i++)
			connections_phase(w.connections, w.pairs[orders[o][i]][0], CONNECTION_BODY);
		connections_sweep(w.connections, in_ms(1001));
		for (i = 0; i < 4; i++)
			assert_int_equal(is_shut(&w, orders[o][i]), i >= 2);
		assert_true(connections_leave(w.connections, w.pairs[orders[o][0]][0]));
		connections_sweep(w.connections, in_ms(5001));
		assert_false(is_shut(&w, orders[o][0]));
		assert_true(is_shut(&w, orders[o][1]));
		world_close(&w);
	}
}

static void rooms_and_leaving(void **state)
{
	struct connection_counts counts;
	struct world w;
	unsigned i;

	(void)state;
	world_open(&w);
	assert_true(connections_full(w.connections));
	for (i = 0; i < 4; i++)
		assert_int_equal(connections_attribute(w.connections, w.pairs[i][0], address(7)), i < SHARE);
	assert_true(connections_leave(w.connections, w.pairs[0][0])); /* there was no room */
	assert_false(connections_leave(w.connections, w.pairs[0][0])); /* it has gone already */
	assert_false(connections_leave(w.connections, w.pairs[3][0])); /* there was room */
	assert_true(connections_enter(w.connections, w.pairs[3][0]));
	assert_true(connections_attribute(w.connections, w.pairs[3][0], address(7)));
	/* the same number again, and nobody said that the first one left: its share is free again */
	assert_true(connections_enter(w.connections, w.pairs[3][0]));
	assert_true(connections_attribute(w.connections, w.pairs[3][0], address(7)));
	connections_count(w.connections, &counts);
	assert_int_equal(counts.open, 3);
	assert_int_equal(counts.over_share, 1);
	assert_false(connections_enter(w.connections, -1));
	assert_false(connections_enter(w.connections, 1 << 30));
	world_close(&w);
}

/* First heads have a number of their own: while it is reached nobody is let in, and those who are slow have
 * half of their time. */
static void attack_37_so_many_handshakes_at_once(void **state)
{
	const struct connections_settings settings = { .most = 100,
		.heads_most = 2,
		.per_address = SHARE,
		.patience_ms = { [CONNECTION_HEAD] = 1000, [CONNECTION_BODY] = 1000 } };
	struct connection_counts counts;
	struct world w;
	unsigned i;

	(void)state;
	w.connections = connections_new(&settings);
	assert_non_null(w.connections);
	for (i = 0; i < 4; i++)
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, w.pairs[i]), 0);
	assert_true(connections_enter(w.connections, w.pairs[0][0]));
	connections_phase(w.connections, w.pairs[0][0], CONNECTION_HEAD);
	connections_sweep(w.connections, in_ms(501));
	assert_false(is_shut(&w, 0)); /* alone it has all of its time */
	assert_true(connections_enter(w.connections, w.pairs[1][0]));
	assert_true(connections_full(w.connections)); /* also before libmicrohttpd knows it */
	connections_sweep(w.connections, in_ms(501));
	assert_true(is_shut(&w, 0));
	assert_true(connections_full(w.connections));
	(void)connections_leave(w.connections, w.pairs[0][0]);
	assert_false(connections_full(w.connections));
	assert_true(connections_enter(w.connections, w.pairs[2][0]));
	assert_true(connections_full(w.connections));
	connections_phase(w.connections, w.pairs[1][0], CONNECTION_BODY);
	assert_false(connections_full(w.connections));
	connections_phase(w.connections, w.pairs[1][0], CONNECTION_HEAD); /* idle, after its answer */
	assert_false(connections_full(w.connections));
	connections_count(w.connections, &counts);
	assert_int_equal(counts.heads, 1);
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shares_hold),
		cmocka_unit_test(each_phase_has_its_deadline),
		cmocka_unit_test(lists_stay_whole),
		cmocka_unit_test(rooms_and_leaving),
		cmocka_unit_test(attack_37_so_many_handshakes_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
