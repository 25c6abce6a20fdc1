/* Keeps one principal's keys fresh. A source that fails is asked again, the longer it fails the more seldom,
 * but never more seldom than leaves several tries before the keys end. Must never let two fetches run at
 * once, and never hand out keys that have ended or that AWS has refused. */
#include "aws/credentials.h"

#include "aws/call.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MILLISECOND 1000000LL

enum {
	FETCH_MS = 15000, /* all of one fetch */
	PAUSE_FIRST_MS = 200,
	PAUSE_LAST_MS = 60000,
	AGAIN_MS = 1000, /* the least between two fetches, however many wait */
	LOOK_MS = 5000, /* has the source changed? */
	TRIES_LEFT = 8 /* a pause is at most this part of what time the keys have left */
};

struct credentials {
	struct source *source;
	const char *account;
	struct credentials_teller teller;
	long long (*clock)(void);
	struct keys keys;
	bool there, doubted;
	unsigned number; /* of the keys */
	bool fetching;
	unsigned failures; /* in a row */
	long long due; /* CLOCK_MONOTONIC: the next fetch; LLONG_MAX: none */
	long long look; /* the next look for a change */
	long long began; /* the last fetch; 0: none yet */
	TAILQ_HEAD(awaiting_list, awaiting) waiting;
	char why[sizeof(((struct source *)0)->told)];
	/* for other threads */
	atomic_bool shown;
	atomic_llong expires;
	atomic_ulong fetched, failed;
};

static void fetch_done(struct source *, bool good);

struct credentials *credentials_new(struct source *source, const char *account,
	const struct credentials_teller *teller, long long (*clock)(void))
{
	struct credentials *credentials = calloc(1, sizeof(*credentials));

	if (!credentials) {
		source_free(source);
		return NULL;
	}
	credentials->source = source;
	credentials->account = account;
	credentials->teller = *teller;
	credentials->clock = clock;
	credentials->look = source->changed ? 0 : LLONG_MAX;
	TAILQ_INIT(&credentials->waiting);
	source->done = fetch_done;
	source->context = credentials;
	return credentials;
}

void credentials_free(struct credentials *credentials)
{
	if (!credentials)
		return;
	source_free(credentials->source);
	keys_wipe(&credentials->keys);
	free(credentials);
}

bool credentials_ready(const struct credentials *credentials)
{
	return credentials->there && !credentials->doubted &&
	       keys_hold(&credentials->keys, credentials->clock());
}

unsigned credentials_lend(const struct credentials *credentials, struct http_signature *signature)
{
	signature->access_key_id = credentials->keys.id;
	signature->secret_access_key = credentials->keys.secret;
	signature->session_token = credentials->keys.token;
	return credentials->number;
}

const char *credentials_why(const struct credentials *credentials)
{
	return credentials->why;
}

/* ---- when */

static long long earlier(long long a, long long b)
{
	return a < b ? a : b;
}

/* Not before `now`, nor sooner after the last fetch than it may. */
static void fetch_soon(struct credentials *credentials, long long now)
{
	long long soon = credentials->began ? credentials->began + AGAIN_MS * MILLISECOND : now;

	credentials->due = earlier(credentials->due, soon > now ? soon : now);
}

static long long pause_failed(const struct credentials *credentials)
{
	unsigned doublings = credentials->failures > 16 ? 16 : credentials->failures - 1;
	long long pause = (long long)PAUSE_FIRST_MS << doublings;
	long long left;

	if (pause > PAUSE_LAST_MS)
		pause = PAUSE_LAST_MS;
	if (credentials_ready(credentials) && credentials->keys.expires) {
		left = (credentials->keys.expires - credentials->clock()) * 1000;
		if (pause > left / TRIES_LEFT)
			pause = left / TRIES_LEFT + 1;
	}
	return call_jitter(pause * MILLISECOND);
}

static long long renewal(const struct credentials *credentials, long long now)
{
	long long left = credentials->keys.expires - credentials->clock();

	if (!credentials->keys.expires)
		return LLONG_MAX;
	return now + keys_renew_after(left, call_random()) * MILLISECOND;
}

/* ---- the end of a fetch */

static void tell(const struct credentials *credentials, bool good, const char *text)
{
	if (credentials->teller.told)
		credentials->teller.told(credentials->teller.context, credentials->account, good, text);
}

/* The secret may be another under the same id: all of it counts. */
static bool keys_are_news(const struct credentials *credentials)
{
	return !credentials->there ||
	       memcmp(&credentials->keys, &credentials->source->keys, sizeof(credentials->keys)) != 0;
}

static void keys_take(struct credentials *credentials, long long now)
{
	struct source *source = credentials->source;
	bool news = keys_are_news(credentials) || credentials->failures > 0;
	char text[sizeof(source->told)];

	credentials->keys = source->keys;
	keys_wipe(&source->keys);
	credentials->there = true;
	credentials->doubted = false;
	credentials->number++;
	credentials->failures = 0;
	credentials->why[0] = '\0';
	credentials->due = renewal(credentials, now);
	credentials->fetched++;
	credentials->expires = credentials->keys.expires;
	credentials->shown = true;
	snprintf(text, sizeof(text), "%s: access key %.128s", source->name, credentials->keys.id);
	if (news)
		tell(credentials, true, text);
}

static void keys_failed(struct credentials *credentials, long long now, const char *told)
{
	bool news = strcmp(credentials->why, told) != 0;

	credentials->failures++;
	credentials->failed++;
	snprintf(credentials->why, sizeof(credentials->why), "%s", told);
	credentials->due = now + pause_failed(credentials);
	if (!TAILQ_EMPTY(&credentials->waiting))
		fetch_soon(credentials, now);
	if (news)
		tell(credentials, false, credentials->why);
}

/* Each is taken off before it is told: it may wait again. */
static void waiting_serve(struct credentials *credentials)
{
	struct awaiting *first;

	while (credentials_ready(credentials) && (first = TAILQ_FIRST(&credentials->waiting))) {
		TAILQ_REMOVE(&credentials->waiting, first, at);
		first->done(first, true);
	}
}

static void fetch_done(struct source *source, bool good)
{
	struct credentials *credentials = source->context;
	long long now = monotonic_now();
	char told[sizeof(source->told)];

	credentials->fetching = false;
	if (good && keys_hold(&source->keys, credentials->clock())) {
		keys_take(credentials, now);
	} else if (good) {
		keys_wipe(&source->keys);
		snprintf(told, sizeof(told), "%s: its keys have ended already", source->name);
		keys_failed(credentials, now, told);
	} else {
		keys_failed(credentials, now, source->told);
	}
	waiting_serve(credentials);
}

/* ---- those who wait */

void credentials_await(struct credentials *credentials, struct awaiting *awaiting)
{
	TAILQ_INSERT_TAIL(&credentials->waiting, awaiting, at);
	if (!credentials->fetching && !credentials_ready(credentials))
		fetch_soon(credentials, monotonic_now());
}

static void waiting_expire(struct credentials *credentials, long long now)
{
	struct awaiting *awaiting, *following;

	for (awaiting = TAILQ_FIRST(&credentials->waiting); awaiting; awaiting = following) {
		following = TAILQ_NEXT(awaiting, at);
		if (awaiting->deadline > now)
			continue;
		TAILQ_REMOVE(&credentials->waiting, awaiting, at);
		awaiting->done(awaiting, false);
	}
}

bool credentials_doubt(struct credentials *credentials, unsigned number)
{
	if (!credentials->source->renews)
		return false;
	if (number == credentials->number && !credentials->doubted) {
		credentials->doubted = true;
		if (!credentials->fetching)
			fetch_soon(credentials, monotonic_now());
	}
	return true;
}

/* ---- from the AWS thread's round */

static void source_look(struct credentials *credentials, long long now)
{
	if (credentials->look > now)
		return;
	credentials->look = now + LOOK_MS * MILLISECOND;
	if (credentials->began && credentials->source->changed(credentials->source))
		credentials->due = now;
}

void credentials_advance(struct credentials *credentials, long long now)
{
	source_look(credentials, now);
	if (!credentials->fetching && credentials->due <= now) {
		credentials->fetching = true;
		credentials->began = monotonic_now();
		credentials->due = LLONG_MAX;
		credentials->source->fetch(credentials->source, now + FETCH_MS * MILLISECOND);
	}
	waiting_serve(credentials);
	waiting_expire(credentials, now);
}

long long credentials_next(const struct credentials *credentials)
{
	long long next = credentials->fetching ? LLONG_MAX : credentials->due;
	const struct awaiting *awaiting;

	/* keys may be there for whoever has begun to wait meanwhile */
	if (!TAILQ_EMPTY(&credentials->waiting) && credentials_ready(credentials))
		return 0;
	TAILQ_FOREACH(awaiting, &credentials->waiting, at)
	next = earlier(next, awaiting->deadline);
	return earlier(next, credentials->look);
}

void credentials_status(struct credentials *credentials, struct credentials_status *status)
{
	status->account = credentials->account;
	status->there = credentials->shown;
	status->expires = credentials->expires;
	status->fetched = credentials->fetched;
	status->failed = credentials->failed;
}
