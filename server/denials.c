/* Minutes of addresses, in a table that is searched from its hash on; and the line by which they become
 * events. A minute begins with its first denial. */
#include "server/denials.h"

#include "server/request.h"
#include "server/server.h"
#include "verifier/encoding.h"
#include "verifier/request.h"

#include <arpa/inet.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { PROBES = 8, BATCH = 64 };

#define MINUTE 60000000LL /* microseconds */

struct minute {
	struct denials_minute told;
	unsigned recorded; /* 0: a free place */
};

struct denials {
	struct minute minutes[DENIAL_ADDRESSES_MAX + 1]; /* the last one is everybody else's */
	size_t at; /* where denials_take goes on */
	unsigned waiting; /* atomic: minutes with something unrecorded */
};

struct denials *denials_new(void)
{
	struct denials *denials = calloc(1, sizeof(*denials));

	if (denials)
		denials->minutes[DENIAL_ADDRESSES_MAX].told.many = true;
	return denials;
}

void denials_free(struct denials *denials)
{
	free(denials);
}

/* Also where the clock has been set back: that must not keep it open. */
static bool minute_over(const struct minute *minute, long long now_us)
{
	return minute->told.since_us + MINUTE <= now_us || now_us < minute->told.since_us - MINUTE;
}

/* Nothing of it is left to tell, and it counts no longer. */
static bool minute_free(const struct minute *minute, long long now_us)
{
	return !minute->recorded || (minute->told.unrecorded == 0 && minute_over(minute, now_us));
}

/* The address's own minute, a place for it, or the one that is shared. */
static struct minute *minute_find(struct denials *denials, struct in_addr address, long long now_us)
{
	size_t home = (uint32_t)(ntohl(address.s_addr) * 2654435761u) % DENIAL_ADDRESSES_MAX;
	struct minute *place = NULL;
	size_t i;

	for (i = 0; i < PROBES; i++) {
		struct minute *minute = &denials->minutes[(home + i) % DENIAL_ADDRESSES_MAX];

		if (minute->recorded && minute->told.address.s_addr == address.s_addr)
			return minute;
		if (!place && minute_free(minute, now_us))
			place = minute;
	}
	return place ? place : &denials->minutes[DENIAL_ADDRESSES_MAX];
}

bool denials_admit(struct denials *denials, struct in_addr address, bool confirmed, long long now_us)
{
	struct minute *minute = minute_find(denials, address, now_us);

	if (minute_free(minute, now_us)) {
		minute->told.address = address;
		minute->told.since_us = now_us;
		minute->recorded = 0;
	}
	if (minute->recorded < (confirmed ? DENIALS_CONFIRMED_PER_MINUTE : DENIALS_PER_MINUTE)) {
		minute->recorded++;
		return true;
	}
	if (minute->told.unrecorded++ == 0)
		__atomic_add_fetch(&denials->waiting, 1, __ATOMIC_RELAXED);
	return false;
}

bool denials_take(struct denials *denials, long long now_us, struct denials_minute *taken)
{
	size_t n;

	for (n = 0; n <= DENIAL_ADDRESSES_MAX; n++) {
		struct minute *minute = &denials->minutes[denials->at];

		denials->at = (denials->at + 1) % (DENIAL_ADDRESSES_MAX + 1);
		if (minute->told.unrecorded == 0 || !minute_over(minute, now_us))
			continue;
		*taken = minute->told;
		minute->told.unrecorded = 0;
		__atomic_sub_fetch(&denials->waiting, 1, __ATOMIC_RELAXED);
		return true;
	}
	return false;
}

void denials_put_back(struct denials *denials, const struct denials_minute *taken)
{
	struct minute *minute = taken->many ? &denials->minutes[DENIAL_ADDRESSES_MAX]
					    : minute_find(denials, taken->address, taken->since_us);

	if (minute->told.unrecorded == 0)
		__atomic_add_fetch(&denials->waiting, 1, __ATOMIC_RELAXED);
	minute->told.address = taken->address;
	minute->told.since_us = taken->since_us;
	minute->told.unrecorded += taken->unrecorded;
	minute->recorded = DENIALS_CONFIRMED_PER_MINUTE;
}

bool denials_waiting(const struct denials *denials)
{
	return __atomic_load_n(&denials->waiting, __ATOMIC_RELAXED) > 0;
}

/* ---- the line */

struct summary {
	struct request request; /* first */
	long long until_us;
};

static void minute_record(const struct denials_minute *minute, struct record *record, char *source,
	char comment[160], long long now_us)
{
	char since[TIMESTAMP_SIZE];

	timestamp_encode(minute->since_us, since);
	inet_ntop(AF_INET, &minute->address, source, ADDRESS_SIZE);
	snprintf(comment, 160, "%lu more denials%s in the minute from %s were not recorded one by one",
		minute->unrecorded, minute->many ? " of many addresses" : "", since);
	*record = (struct record){ .kind = RECORD_EVENT,
		.event = "release.denials-summarised",
		.now_us = now_us,
		.comment = comment,
		.source = minute->many ? NULL : source,
		.outcome = OK };
}

/* At most BATCH minutes in one transaction. Returns how many there were; 0 also where the store failed. */
static size_t summarise_some(struct denials *denials, struct summary *summary)
{
	static struct denials_minute minutes[BATCH]; /* the committer is one thread */
	static char sources[BATCH][ADDRESS_SIZE], comments[BATCH][160];
	static struct record records[BATCH];
	struct record *batch[BATCH];
	bool failed = false;
	size_t n = 0;
	size_t i;

	while (n < BATCH && denials_take(denials, summary->until_us, &minutes[n])) {
		minute_record(&minutes[n], &records[n], sources[n], comments[n], summary->request.now_us);
		batch[n] = &records[n];
		n++;
	}
	if (n > 0)
		store_record(summary->request.server->store, batch, n);
	for (i = 0; i < n; i++) {
		if (records[i].outcome == OK)
			continue;
		denials_put_back(denials, &minutes[i]);
		failed = true;
	}
	return failed ? 0 : n;
}

static void summarise(struct work *const batch[], size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		struct summary *summary = (struct summary *)batch[i];

		while (summarise_some(summary->request.server->denials, summary) == BATCH)
			;
		batch[i]->outcome = OK;
	}
}

static void end(struct work *const batch[], size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		free(batch[i]);
}

static const struct step summary_line[] = {
	/* clang-format off */
	{ "record", COMMITTER, .batch = summarise, .even_if_refused = true },
	{ "end",    LISTENER,  .batch = end, .even_if_refused = true },
	{ 0 }
	/* clang-format on */
};

void denials_summarise(struct server *server, bool all)
{
	struct summary *summary;
	struct timespec now;

	if (!denials_waiting(server->denials))
		return;
	summary = calloc(1, sizeof(*summary));
	if (!summary || !pipeline_reserve(server->pipeline)) {
		free(summary);
		return;
	}
	clock_gettime(CLOCK_REALTIME, &now);
	summary->request.server = server;
	summary->request.now_us = (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000;
	summary->until_us = all ? LLONG_MAX : summary->request.now_us;
	pipeline_enter(server->pipeline, &summary->request.work, summary_line);
}
