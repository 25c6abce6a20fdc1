/* What came of a crowd: how often which answer, how long from an agent's first try until it was served, and
 * whether the load generator itself was in the way. */
#include "bench/load.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

static const double busy = 0.7; /* of a core */

static int times_compare(const void *a, const void *b)
{
	double left = *(const double *)a, right = *(const double *)b;

	return (left > right) - (left < right);
}

static json_t *times_summary(const struct load *load)
{
	double *times = calloc(load->n_agents + 1, sizeof *times);
	size_t n = 0;
	json_t *summary;

	for (size_t i = 0; times && i < load->n_agents; i++)
		if (load->agents[i].served)
			times[n++] = (double)(load->agents[i].served - load->agents[i].began) / 1e6;
	if (!times || !n) {
		free(times);
		return json_null();
	}
	qsort(times, n, sizeof *times, times_compare);
	summary = json_pack(
		"{sf sf sf}", "median", times[n / 2], "p99", times[n * 99 / 100], "max", times[n - 1]);
	free(times);
	return summary;
}

static size_t served_count(const struct load *load, unsigned *tries_max)
{
	size_t served = 0;

	*tries_max = 0;
	for (size_t i = 0; i < load->n_agents; i++) {
		served += load->agents[i].served != 0;
		if (load->agents[i].tries > *tries_max)
			*tries_max = load->agents[i].tries;
	}
	return served;
}

static json_t *statuses_summary(const struct load *load)
{
	json_t *statuses = json_object();
	char name[16];

	for (int i = 0; i < STATUS_MAX; i++)
		if (load->statuses[i]) {
			snprintf(name, sizeof name, "%d", i);
			json_object_set_new(statuses, name, json_integer((json_int_t)load->statuses[i]));
		}
	return statuses;
}

bool load_summary(const struct load *load, double seconds, double cpu)
{
	double share = cpu / seconds, peak = load->cpu_peak > share ? load->cpu_peak : share;
	bool warn = peak > busy;
	unsigned tries_max;
	size_t served = served_count(load, &tries_max);
	json_t *summary = json_pack("{sI sI sI sf so sI sI sI sI sI so s{sf sf} ss}", "agents",
		(json_int_t)load->n_agents, "served", (json_int_t)served, "over", (json_int_t)load->n_over,
		"seconds", seconds, "statuses", statuses_summary(load), "lost", (json_int_t)load->lost,
		"without_retry_after", (json_int_t)load->without_retry_after, "tries",
		(json_int_t)load->tries, "tries_max", (json_int_t)tries_max, "connections",
		(json_int_t)load->connections, "ms", times_summary(load), "cpu", "all", share, "peak", peak,
		"warning",
		warn ? "the load generator used more than 70 % of a core: times are its own, too" : "");
	bool printed = summary && !json_dumpf(summary, stdout, JSON_REAL_PRECISION(6)) &&
		       putchar('\n') == '\n';

	json_decref(summary);
	return printed && !fflush(stdout);
}
