/* A hash table with open addressing. Its seed is random: who chooses addresses must not choose collisions. */
#include "server/addresses.h"

#include <openssl/rand.h>
#include <stdint.h>
#include <stdlib.h>

struct place {
	uint32_t address;
	uint32_t count; /* 0: a free place */
};

struct addresses {
	struct place *places;
	size_t mask; /* places - 1, a power of two of them */
	size_t used, most;
	unsigned share;
	uint64_t seed; /* odd */
};

struct addresses *addresses_new(size_t most, unsigned share)
{
	struct addresses *a = calloc(1, sizeof(*a));
	size_t places = 16;

	while (places < 2 * most)
		places *= 2;
	if (a)
		a->places = calloc(places, sizeof(*a->places));
	if (!a || !a->places || RAND_bytes((unsigned char *)&a->seed, sizeof(a->seed)) != 1) {
		addresses_free(a);
		return NULL;
	}
	a->seed |= 1;
	a->mask = places - 1;
	a->most = most;
	a->share = share;
	return a;
}

void addresses_free(struct addresses *a)
{
	if (!a)
		return;
	free(a->places);
	free(a);
}

static size_t home(const struct addresses *a, uint32_t address)
{
	return (size_t)((address * a->seed) >> 32) & a->mask;
}

/* Its place, or the free one where it would go: half of them are free always. */
static size_t place_find(const struct addresses *a, uint32_t address)
{
	size_t at = home(a, address);

	while (a->places[at].count && a->places[at].address != address)
		at = (at + 1) & a->mask;
	return at;
}

bool addresses_take(struct addresses *a, struct in_addr address)
{
	struct place *place = &a->places[place_find(a, address.s_addr)];

	if (place->count >= a->share || (!place->count && a->used >= a->most))
		return false;
	a->used += place->count == 0;
	place->address = address.s_addr;
	place->count++;
	return true;
}

/* Those behind a place that became free move up, where they could not be found any more otherwise. */
static void place_close(struct addresses *a, size_t hole)
{
	size_t at = hole;

	for (;;) {
		size_t from;

		at = (at + 1) & a->mask;
		if (!a->places[at].count)
			return;
		from = home(a, a->places[at].address);
		if (((at - from) & a->mask) < ((at - hole) & a->mask))
			continue;
		a->places[hole] = a->places[at];
		a->places[at].count = 0;
		hole = at;
	}
}

void addresses_give(struct addresses *a, struct in_addr address)
{
	size_t at = place_find(a, address.s_addr);

	if (!a->places[at].count || --a->places[at].count)
		return;
	a->used--;
	place_close(a, at);
}

unsigned addresses_count(const struct addresses *a, struct in_addr address)
{
	return a->places[place_find(a, address.s_addr)].count;
}
