/* Durable commits: the store's own, and beside them the same rows written by the engine alone. Both in turn,
 * round by round, in one folder or on one server, so that the disk's moods meet both. */
#include "bench/bare.h"
#include "bench/parts.h"
#include "tests/unit/store_fixture.h"

#include <pthread.h>

enum { SIZES = 3, CHECKS = 24 };
static const struct {
	unsigned batch, batches; /* of a round */
} sizes[SIZES] = { { 1, 40 }, { 64, 8 }, { 512, 2 } };

static _Atomic unsigned serial;

/* What a round came to. */
struct speed {
	double per_second, cpu_us; /* rows, and CPU of one */
};

static void speed_take(struct speed *speed, double wall, double cpu, unsigned rows)
{
	speed->per_second = rows / (wall_now() - wall);
	speed->cpu_us = (cpu_now() - cpu) / rows * 1e6;
}

/* ---- the store */

static char names[CHECKS][24];

static void names_make(void)
{
	for (int i = 0; i < CHECKS; i++)
		snprintf(names[i], sizeof names[i], "attribute-%d", i);
}

/* As many checks as a release under a rule with all its bounds has. */
static void release_ask(struct asked *asked)
{
	ask(asked, ++serial, 1);
	for (int i = 0; i < CHECKS; i++)
		check_add(
			asked->claims, names[i], "ec2", true, "sg-0123456789abcdef0", "sg-0123456789abcdef0");
}

static bool store_round(struct store *store, unsigned size, unsigned batches, struct speed *speed)
{
	struct asked *asked = calloc((size_t)size * batches, sizeof *asked);
	struct record **records = calloc((size_t)size * batches, sizeof *records);
	unsigned rows = size * batches;
	bool good = asked && records;
	double wall, cpu;

	for (unsigned i = 0; good && i < rows; i++) {
		release_ask(&asked[i]);
		records[i] = asked_record(&asked[i]);
	}
	wall = wall_now();
	cpu = cpu_now();
	for (unsigned i = 0; good && i < batches; i++)
		store_record(store, records + (size_t)i * size, size);
	speed_take(speed, wall, cpu, rows);
	for (unsigned i = 0; good && i < rows; i++)
		good = records[i]->outcome == OK;
	for (unsigned i = 0; asked && i < rows; i++)
		asked_clear(&asked[i]);
	free(asked);
	free(records);
	return good;
}

/* ---- the engine alone */

static bool bare_round(struct bare *bare, unsigned size, unsigned batches, struct speed *speed)
{
	double wall = wall_now(), cpu = cpu_now();
	bool good = true;

	for (unsigned i = 0; good && i < batches; i++)
		good = bare_batch(bare, size);
	speed_take(speed, wall, cpu, size * batches);
	return good;
}

/* ---- the rounds */

static json_t *size_measure(struct store *store, struct bare *bare, int which)
{
	unsigned size = sizes[which].batch, batches = sizes[which].batches;
	double rates[2][ROUNDS], cpus[2][ROUNDS];
	struct speed speed;

	for (int round = -1; round < ROUNDS; round++) { /* the first only warms up */
		int at = round < 0 ? 0 : round;

		if (!store_round(store, size, batches, &speed))
			return NULL;
		rates[0][at] = speed.per_second;
		cpus[0][at] = speed.cpu_us;
		if (!bare_round(bare, size, batches, &speed))
			return NULL;
		rates[1][at] = speed.per_second;
		cpus[1][at] = speed.cpu_us;
	}
	return json_pack("{si sf sf sf sf}", "batch", (int)size, "store_per_second", median(rates[0], ROUNDS),
		"bare_per_second", median(rates[1], ROUNDS), "store_cpu_us", median(cpus[0], ROUNDS),
		"bare_cpu_us", median(cpus[1], ROUNDS));
}

/* Until both logs are as long as they will be: to lengthen a file is what makes a sync slow. */
static bool both_warm(struct store *store, struct bare *bare)
{
	struct speed speed;

	for (int i = 0; i < 6; i++)
		if (!store_round(store, STORE_BATCH_MAX, 2, &speed) ||
			!bare_round(bare, STORE_BATCH_MAX, 2, &speed))
			return false;
	return true;
}

static struct store *store_make(const char *uri, bool first)
{
	struct complaint complaint = { "" };
	struct store *store = store_open(
		&(struct store_settings){ .uri = uri, .use = STORE_SERVE, .node = "rp-1" }, &complaint);

	if (!store) {
		parts_failed(complaint.text);
		return NULL;
	}
	if (first) {
		secret_put(store, "pin", 1);
		secret_put(store, "key", 1);
	}
	return store;
}

/* ---- several nodes on one database */

enum { NODES_MAX = 8, NODE_SIZE = 64, NODE_ROUNDS = 12 };

struct node {
	pthread_t thread;
	struct store *store;
	pthread_barrier_t *start;
	unsigned rounds;
	bool good;
};

/* Each its own handle, as each server has; its rows are asked for beforehand, so that only commits are timed.
 */
static void *node_run(void *argument)
{
	struct node *node = argument;
	struct asked *asked = calloc((size_t)NODE_SIZE * node->rounds, sizeof *asked);
	struct record *batch[NODE_SIZE];
	unsigned rows = NODE_SIZE * node->rounds;

	for (unsigned i = 0; asked && i < rows; i++)
		release_ask(&asked[i]);
	pthread_barrier_wait(node->start);
	node->good = asked;
	for (unsigned i = 0; node->good && i < rows; i += NODE_SIZE) {
		for (unsigned k = 0; k < NODE_SIZE; k++)
			batch[k] = asked_record(&asked[i + k]);
		store_record(node->store, batch, NODE_SIZE);
		for (unsigned k = 0; k < NODE_SIZE; k++)
			node->good = node->good && batch[k]->outcome == OK;
	}
	pthread_barrier_wait(node->start);
	for (unsigned i = 0; asked && i < rows; i++)
		asked_clear(&asked[i]);
	free(asked);
	return NULL;
}

/* Rows in a second of all nodes together; 0: it failed. */
static double nodes_round(struct node nodes[], unsigned n)
{
	pthread_barrier_t start;
	double wall, took;
	bool good = true;

	pthread_barrier_init(&start, NULL, n + 1);
	for (unsigned i = 0; i < n; i++) {
		nodes[i].start = &start;
		nodes[i].rounds = NODE_ROUNDS;
		if (pthread_create(&nodes[i].thread, NULL, node_run, &nodes[i]) != 0)
			abort();
	}
	pthread_barrier_wait(&start);
	wall = wall_now();
	pthread_barrier_wait(&start);
	took = wall_now() - wall;
	for (unsigned i = 0; i < n; i++) {
		pthread_join(nodes[i].thread, NULL);
		good = good && nodes[i].good;
	}
	pthread_barrier_destroy(&start);
	return good ? n * NODE_ROUNDS * NODE_SIZE / took : 0;
}

bool nodes_measure(unsigned n)
{
	struct place own;
	struct node nodes[NODES_MAX] = { { .store = NULL } };
	double rates[ROUNDS], warm = 0;
	bool good = n >= 1 && n <= NODES_MAX;

	names_make();
	place_make(&own);
	for (unsigned i = 0; good && i < n; i++)
		good = (nodes[i].store = store_make(own.uri, i == 0));
	if (good)
		warm = nodes_round(nodes, n);
	for (int i = 0; good && warm > 0 && i < ROUNDS; i++)
		rates[i] = nodes_round(nodes, n);
	for (unsigned i = 0; i < n && i < NODES_MAX; i++)
		store_close(nodes[i].store);
	place_remove(&own);
	if (!good || warm <= 0 || median(rates, ROUNDS) <= 0)
		return parts_failed("a node failed: they need a PostgreSQL (STORE_POSTGRES)");
	return print_json(json_pack(
		"{si si sf}", "nodes", (int)n, "batch", NODE_SIZE, "per_second", median(rates, ROUNDS)));
}

/* ---- one node */

/* Two databases: the store's own, and one whose tables alone are its. */
bool commits_measure(void)
{
	struct place own, other;
	json_t *all = json_array(), *one = NULL;
	struct bare *bare = NULL;
	struct store *store, *made;
	struct speed speed;
	int length = 0;

	names_make();
	place_make(&own);
	place_make(&other);
	made = store_make(other.uri, true);
	store_close(made);
	store = store_make(own.uri, true);
	if (made && store && store_round(store, 64, 1, &speed))
		length = (int)ask_number(&own, "SELECT LENGTH(bytes) FROM event ORDER BY seq DESC LIMIT 1");
	if (length)
		bare = own.database[0] ? bare_postgres(other.uri, length) : bare_sqlite(other.path, length);
	if (bare && both_warm(store, bare))
		for (int i = 0; i < SIZES && (!i || one); i++) {
			one = size_measure(store, bare, i);
			json_array_append_new(all, one);
		}
	bare_close(bare);
	store_close(store);
	place_remove(&own);
	place_remove(&other);
	if (json_array_size(all) == SIZES)
		return print_json(json_pack("{so si}", "commits", all, "event_bytes", length));
	json_decref(all);
	return parts_failed("the store or the engine failed");
}
