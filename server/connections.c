/* A table with a row for each descriptor. Each phase has one length, so the rows of a phase, in the order in
 * which they came into it, are in the order of their deadlines too: the first of a list is all that a sweep
 * has to look at. */
#include "server/connections.h"

#include "server/addresses.h"
#include "server/pipeline.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>

enum { DESCRIPTORS_MOST = 1 << 17, NONE = -1 };

#define MILLISECOND 1000000LL

struct row {
	bool open, attributed, head;
	enum connection_phase phase;
	int before, after; /* in the phase's list */
	struct in_addr address;
	long long deadline;
};

struct connections {
	struct connections_settings settings;
	pthread_mutex_t lock;
	struct row *rows; /* by descriptor */
	int n_rows;
	int first[CONNECTION_PHASES], last[CONNECTION_PHASES];
	struct addresses *addresses;
	struct connection_counts counts;
};

/* As many rows as the process may have descriptors; what is never used stays untouched memory. */
static int rows_needed(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur > DESCRIPTORS_MOST)
		return DESCRIPTORS_MOST;
	return (int)limit.rlim_cur;
}

struct connections *connections_new(const struct connections_settings *settings)
{
	struct connections *c = calloc(1, sizeof(*c));
	unsigned phase;

	if (!c)
		return NULL;
	pthread_mutex_init(&c->lock, NULL);
	c->settings = *settings;
	c->n_rows = rows_needed();
	c->rows = calloc((size_t)c->n_rows, sizeof(*c->rows));
	c->addresses = addresses_new(settings->most, settings->per_address);
	for (phase = 0; phase < CONNECTION_PHASES; phase++)
		c->first[phase] = c->last[phase] = NONE;
	if (c->rows && c->addresses)
		return c;
	connections_free(c);
	return NULL;
}

void connections_free(struct connections *c)
{
	if (!c)
		return;
	addresses_free(c->addresses);
	free(c->rows);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

/* ---- under the lock */

static void list_remove(struct connections *c, int fd)
{
	struct row *row = &c->rows[fd];

	if (row->phase == CONNECTION_ELSEWHERE)
		return;
	*(row->before == NONE ? &c->first[row->phase] : &c->rows[row->before].after) = row->after;
	*(row->after == NONE ? &c->last[row->phase] : &c->rows[row->after].before) = row->before;
	row->phase = CONNECTION_ELSEWHERE;
}

static void list_append(struct connections *c, int fd, enum connection_phase phase)
{
	struct row *row = &c->rows[fd];

	row->phase = phase;
	if (phase == CONNECTION_ELSEWHERE)
		return;
	row->deadline = pipeline_now() + c->settings.patience_ms[phase] * MILLISECOND;
	row->before = c->last[phase];
	row->after = NONE;
	*(row->before == NONE ? &c->first[phase] : &c->rows[row->before].after) = fd;
	c->last[phase] = fd;
}

static void row_clear(struct connections *c, int fd)
{
	struct row *row = &c->rows[fd];

	list_remove(c, fd);
	if (row->attributed)
		addresses_give(c->addresses, row->address);
	c->counts.heads -= row->head;
	c->counts.open--;
	*row = (struct row){ 0 };
}

static bool heads_full(const struct connections *c)
{
	return c->settings.heads_most && c->counts.heads >= c->settings.heads_most;
}

/* ---- for everyone */

bool connections_full(struct connections *c)
{
	bool full;

	pthread_mutex_lock(&c->lock);
	full = c->counts.open >= c->settings.most || heads_full(c);
	pthread_mutex_unlock(&c->lock);
	return full;
}

bool connections_enter(struct connections *c, int fd)
{
	if (fd < 0 || fd >= c->n_rows)
		return false;
	pthread_mutex_lock(&c->lock);
	if (c->rows[fd].open)
		row_clear(c, fd);
	c->rows[fd].open = c->rows[fd].head = true;
	c->counts.heads++;
	c->counts.open++;
	c->counts.accepted++;
	pthread_mutex_unlock(&c->lock);
	return true;
}

bool connections_attribute(struct connections *c, int fd, struct in_addr address)
{
	struct row *row = &c->rows[fd];

	pthread_mutex_lock(&c->lock);
	row->attributed = addresses_take(c->addresses, address);
	row->address = address;
	c->counts.over_share += !row->attributed;
	pthread_mutex_unlock(&c->lock);
	return row->attributed;
}

void connections_phase(struct connections *c, int fd, enum connection_phase phase)
{
	if (fd < 0 || fd >= c->n_rows)
		return;
	pthread_mutex_lock(&c->lock);
	if (c->rows[fd].open) {
		list_remove(c, fd);
		list_append(c, fd, phase);
		if (phase != CONNECTION_HEAD && c->rows[fd].head) {
			c->rows[fd].head = false;
			c->counts.heads--;
		}
	}
	pthread_mutex_unlock(&c->lock);
}

bool connections_leave(struct connections *c, int fd)
{
	bool was_full;

	if (fd < 0 || fd >= c->n_rows)
		return false;
	pthread_mutex_lock(&c->lock);
	was_full = c->rows[fd].open && c->counts.open == c->settings.most;
	if (c->rows[fd].open)
		row_clear(c, fd);
	pthread_mutex_unlock(&c->lock);
	return was_full;
}

void connections_sweep(struct connections *c, long long now)
{
	static const struct linger at_once = { .l_onoff = 1, .l_linger = 0 };
	unsigned phase;

	pthread_mutex_lock(&c->lock);
	for (phase = 0; phase < CONNECTION_PHASES; phase++) {
		bool hurry = phase == CONNECTION_HEAD && heads_full(c);
		long long spared = hurry ? c->settings.patience_ms[phase] * MILLISECOND / 2 : 0;

		while (c->first[phase] != NONE && c->rows[c->first[phase]].deadline - spared <= now) {
			int fd = c->first[phase];

			/* under the lock: it cannot be closed, and its number be another's, meanwhile; what
			   an answer's reader has not taken shall not stay behind in the kernel */
			setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
			shutdown(fd, SHUT_RDWR);
			list_remove(c, fd);
			c->counts.expired[phase]++;
		}
	}
	pthread_mutex_unlock(&c->lock);
}

void connections_count(struct connections *c, struct connection_counts *counts)
{
	pthread_mutex_lock(&c->lock);
	*counts = c->counts;
	pthread_mutex_unlock(&c->lock);
}
