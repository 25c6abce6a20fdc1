/* IAM look-ups: single flight, a small cache of positive answers, all pages, tried again within the deadlines
 * of those who wait. Must never give an answer for one account, role or profile to another: the key is all
 * three. */
#include "aws/profiles.h"

#include "aws/iam.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum {
	CACHE_SIZE = 256,
	CACHE_SECONDS = 60,
	NONSENSE_MAX = 2 /* answers that cannot be understood, before it is given up */
};

struct profile_key {
	char account_id[ACCOUNT_ID_SIZE], role[ROLE_SIZE], arn[FACT_ARN_SIZE];
};

struct cached {
	struct profile_key key;
	long long until; /* CLOCK_MONOTONIC; 0: empty */
};

struct lookup {
	LIST_ENTRY(lookup) all;
	struct profiles *profiles;
	struct profile_key key;
	const struct service *service;
	struct question_queue waiting;
	struct call call;
	struct iam_listing listing;
	bool under_way;
	unsigned pages, failures, nonsense;
	long long began; /* of the first page of this try */
	long long not_before;
};

struct profiles {
	const struct caller *caller;
	struct identities *identities;
	struct profile_counts *counts;
	LIST_HEAD(lookups, lookup) lookups;
	struct cached cache[CACHE_SIZE];
};

struct profiles *profiles_new(
	const struct caller *caller, struct identities *identities, struct profile_counts *counts)
{
	struct profiles *profiles = calloc(1, sizeof(*profiles));

	if (!profiles)
		return NULL;
	profiles->caller = caller;
	profiles->identities = identities;
	profiles->counts = counts;
	LIST_INIT(&profiles->lookups);
	return profiles;
}

static void lookup_free(struct lookup *lookup)
{
	LIST_REMOVE(lookup, all);
	call_clear(&lookup->call);
	queue_free(&lookup->waiting);
	free(lookup);
}

void profiles_free(struct profiles *profiles)
{
	struct lookup *lookup;

	if (!profiles)
		return;
	while ((lookup = LIST_FIRST(&profiles->lookups)))
		lookup_free(lookup);
	free(profiles);
}

/* ---- the cache */

static bool key_equal(const struct profile_key *a, const struct profile_key *b)
{
	return strcmp(a->arn, b->arn) == 0 && strcmp(a->role, b->role) == 0 &&
	       strcmp(a->account_id, b->account_id) == 0;
}

static bool cache_has(const struct profiles *profiles, const struct profile_key *key, long long now)
{
	for (unsigned i = 0; i < CACHE_SIZE; i++)
		if (profiles->cache[i].until > now && key_equal(&profiles->cache[i].key, key))
			return true;
	return false;
}

/* In place of the same key, or else of what ends first; an empty place ended long ago. */
static void cache_put(struct profiles *profiles, const struct profile_key *key, long long until)
{
	struct cached *place = &profiles->cache[0];

	for (unsigned i = 0; i < CACHE_SIZE; i++) {
		struct cached *cached = &profiles->cache[i];

		if (cached->until > 0 && key_equal(&cached->key, key)) {
			place = cached;
			break;
		}
		if (cached->until < place->until)
			place = cached;
	}
	place->key = *key;
	place->until = until;
}

/* ---- answers */

static void listing_begin(struct lookup *lookup)
{
	memset(&lookup->listing, 0, sizeof(lookup->listing));
	lookup->listing.role = lookup->key.role;
	lookup->listing.profile_arn = lookup->key.arn;
	lookup->pages = 0;
	lookup->began = monotonic_now();
}

static void question_compare(
	struct profiles *profiles, struct question *question, const struct iam_listing *listing)
{
	confirm_compare(question->asked, listing);
	identities_ask(profiles->identities, question);
}

/* Empties the queue first: an answer may bring the next question. */
static void lookup_deliver(struct lookup *lookup)
{
	struct question *question;

	while ((question = STAILQ_FIRST(&lookup->waiting))) {
		STAILQ_REMOVE_HEAD(&lookup->waiting, held);
		if (question->asked)
			question_compare(lookup->profiles, question, &lookup->listing);
		else
			question_free(question);
	}
	lookup_free(lookup);
}

static void lookup_give_up(struct lookup *lookup, enum call_result result)
{
	struct question *question;

	while ((question = STAILQ_FIRST(&lookup->waiting))) {
		STAILQ_REMOVE_HEAD(&lookup->waiting, held);
		if (question->asked && result == CALL_FAULT)
			question_fault(question, lookup->call.told);
		else if (question->asked)
			question_give_up(question, "iam", lookup->call.told);
		question_free(question);
	}
	lookup_free(lookup);
}

static void lookup_send(struct lookup *lookup);

static void lookup_listed(struct lookup *lookup)
{
	if (lookup->listing.held)
		cache_put(lookup->profiles, &lookup->key, lookup->began + CACHE_SECONDS * 1000000000LL);
	lookup_deliver(lookup);
}

/* A page was read. Once the profile is found the rest does not matter. */
static void lookup_page(struct lookup *lookup)
{
	if (lookup->listing.held || lookup->listing.marker[0] == '\0')
		lookup_listed(lookup);
	else if (++lookup->pages < IAM_PAGES_MAX)
		lookup_send(lookup);
	else {
		strcpy(lookup->call.told, "too many pages");
		lookup_give_up(lookup, CALL_NONSENSE);
	}
}

/* From the first page again, after a pause. */
static void lookup_again(struct lookup *lookup)
{
	lookup->not_before = monotonic_now() + call_pause(++lookup->failures);
	listing_begin(lookup);
}

static void lookup_done(struct call *call, enum call_result result)
{
	struct lookup *lookup = call->context;
	char why[XML_WHY_SIZE];

	lookup->under_way = false;
	if (result == CALL_ANSWERED &&
		!iam_listing_add(&lookup->listing, call->request.answer, IAM_NAMESPACE, why))
		result = call_reread(call, why);
	call_clear(call);
	if (result == CALL_ANSWERED) {
		lookup_page(lookup);
		return;
	}
	if (result == CALL_REFUSED && call->request.status == 404 &&
		strcmp(call->code, "NoSuchEntity") == 0) {
		lookup->listing.no_such_role = true;
		lookup_deliver(lookup);
		return;
	}
	lookup->profiles->counts->failed++;
	if (result == CALL_PASSING || (result == CALL_NONSENSE && ++lookup->nonsense < NONSENSE_MAX))
		lookup_again(lookup);
	else
		lookup_give_up(lookup, result);
}

static void lookup_send(struct lookup *lookup)
{
	lookup->under_way = true;
	lookup->profiles->counts->calls++;
	lookup->call.done = lookup_done;
	lookup->call.context = lookup;
	iam_form(&lookup->call.form, lookup->key.role, lookup->listing.marker);
	call_send(&lookup->call, lookup->profiles->caller, lookup->service, queue_deadline(&lookup->waiting));
}

/* ---- questions */

static struct lookup *lookup_find(struct profiles *profiles, const struct profile_key *key)
{
	struct lookup *lookup = LIST_FIRST(&profiles->lookups);

	while (lookup && !key_equal(&lookup->key, key))
		lookup = LIST_NEXT(lookup, all);
	return lookup;
}

static struct lookup *lookup_new(
	struct profiles *profiles, const struct profile_key *key, const struct service *service)
{
	struct lookup *lookup = calloc(1, sizeof(*lookup));

	if (!lookup)
		return NULL;
	lookup->profiles = profiles;
	lookup->key = *key;
	lookup->service = service;
	STAILQ_INIT(&lookup->waiting);
	LIST_INSERT_HEAD(&profiles->lookups, lookup, all);
	listing_begin(lookup);
	return lookup;
}

static void question_from_cache(
	struct profiles *profiles, struct question *question, const struct profile_key *key)
{
	struct iam_listing listing = { .role = key->role, .profile_arn = key->arn, .held = true };

	profiles->counts->cached++;
	strcpy(listing.listed, key->arn);
	question_compare(profiles, question, &listing);
}

void profiles_ask(struct profiles *profiles, struct question *question, const struct service *service)
{
	const struct assertion *assertion = question->asked->assertion;
	struct profile_key key;
	struct lookup *lookup;

	if (question->asked->claims->facts.profile_arn[0] == '\0') {
		question_compare(profiles, question, NULL);
		return;
	}
	memset(&key, 0, sizeof(key));
	strcpy(key.account_id, assertion->account_id);
	strcpy(key.role, assertion->role);
	strcpy(key.arn, question->asked->claims->facts.profile_arn);
	if (cache_has(profiles, &key, monotonic_now())) {
		question_from_cache(profiles, question, &key);
		return;
	}
	lookup = lookup_find(profiles, &key);
	if (!lookup)
		lookup = lookup_new(profiles, &key, service);
	if (!lookup) {
		question_fault(question, "out of memory");
		question_free(question);
		return;
	}
	STAILQ_INSERT_TAIL(&lookup->waiting, question, held);
}

long long profiles_advance(struct profiles *profiles, long long now)
{
	long long next = LLONG_MAX;
	struct lookup *lookup, *following;

	for (lookup = LIST_FIRST(&profiles->lookups); lookup; lookup = following) {
		following = LIST_NEXT(lookup, all);
		if (lookup->under_way)
			continue;
		if (!queue_sweep(&lookup->waiting))
			lookup_free(lookup);
		else if (lookup->not_before <= now)
			lookup_send(lookup);
		else if (lookup->not_before < next)
			next = lookup->not_before;
	}
	return next;
}
