#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H
/* A crowd of agents and what has come of it so far. */
#include "bench/exchange.h"

enum { STATUS_MAX = 600 };

struct agent {
	struct in_addr source;
	char *request; /* owned */
	size_t length;
	unsigned tries;
	long long began, served; /* CLOCK_MONOTONIC nanoseconds; 0: not yet */
	bool over, sent;
};

struct client {
	struct exchange exchange;
	size_t agent; /* the one that it is now; behind the last: done */
	long long due; /* when it tries again; 0: it is under way, or done */
};

struct load {
	struct exchange_server server;
	size_t n_agents, n_clients, n_over, n_sent;
	struct agent *agents;
	struct client *clients;
	bool fresh;
	long long ramp; /* nanoseconds within which all begin; 0: at once */
	long long deadline, next_due; /* next_due: no client is due before it */
	unsigned long statuses[STATUS_MAX], lost, without_retry_after, tries, connections;
	double cpu_peak; /* share of a core, in the busiest second */
	long long peak_at;
	double peak_cpu;
};

/* Prints the summary as one line of JSON: `seconds` on the wall, and seconds of this process' CPU. False: it
 * could not be written. */
bool load_summary(const struct load *, double seconds, double cpu);

#endif
