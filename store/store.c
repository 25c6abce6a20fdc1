/* The handle: opens the database, SQLite's or PostgreSQL's, opens it again after an error that the connection
 * did not survive, and runs transactions. It must never report a commit that the engine did not, and where
 * the answer to a COMMIT is lost it must never take what it reads for an answer: only a COMMIT of its own
 * behind it proves that both are there to stay. */
#include "store/inside.h"

#include "store/migrations.h"
#include "store/shelf.h"
#include "store/sqlite_file.h"
#include "verifier/reasons.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char sqlite_scheme[] = "sqlite:";
static const char *const postgres_schemes[] = { "postgresql://", "postgres://" };
enum { RESOLVE_PAUSE_MS = 100, TRIES_MAX = 3 };

/* ---- opening */

static struct sql *engine_open(
	struct store *store, enum sql_use use, bool may_make, struct complaint *complaint)
{
	if (!store->path)
		return postgres_open(&store->postgres, use, complaint);
	if (may_make && !sqlite_file_make(store->path, complaint))
		return NULL;
	return sqlite_open(store->path, use, complaint);
}

static bool database_is_empty(const struct store *store, struct complaint *complaint)
{
	return sql_empty(store->sql) ||
	       complain(complaint,
		       "store: there is something in it: a backup is restored into an empty database alone, "
		       "so name another one, or move this one away");
}

static bool database_open(struct store *store, bool may_make, struct complaint *complaint)
{
	enum sql_use use = store->settings.use == STORE_READ ? SQL_READ : SQL_WRITE;
	struct migrating migrating = { .dialect = store->path ? DIALECT_SQLITE : DIALECT_POSTGRES,
		.may = may_make,
		.told = store->settings.told,
		.context = store->settings.context };

	store->sql = engine_open(store, use, may_make, complaint);
	/* a command beside servers makes what is not there, and leaves what is there to them */
	if (store->sql && !store->path && store->settings.use == STORE_TOOL)
		migrating.may = sql_empty(store->sql);
	if (store->sql && store->settings.use == STORE_RESTORE && database_is_empty(store, complaint))
		return true;
	if (store->sql && store->settings.use != STORE_RESTORE &&
		migrations_run(store->sql, &migrating, complaint))
		return true;
	sql_close(store->sql);
	store->sql = NULL;
	return false;
}

static bool open_serve(struct store *store, struct complaint *complaint)
{
	return node_lock_await(store->path, &store->lock, complaint) == LOCK_HELD &&
	       database_open(store, true, complaint);
}

/* Where nobody serves, the lock is taken for the time of opening, so that the database is made and migrated
 * by one only. Where somebody serves, it is there; another command may just be making it. */
static bool open_tool(struct store *store, struct complaint *complaint)
{
	const struct timespec pause = { .tv_nsec = LOCK_PAUSE_MS * 1000000L };
	bool opened = false;
	int fd;

	for (int i = 0; i < LOCK_TRIES && !opened; i++) {
		enum lock_state state = node_lock(store->path, &fd, complaint);

		if (state == LOCK_FAILED)
			return false;
		opened = database_open(store, state == LOCK_HELD, complaint);
		if (state == LOCK_HELD) {
			close(fd);
			return opened;
		}
		if (!opened)
			nanosleep(&pause, NULL);
	}
	return opened;
}

static bool open_read(struct store *store, struct complaint *complaint)
{
	if (access(store->path, F_OK) != 0)
		return complain(complaint, "store: %s: %s; vouchsafed and `vouchsafe vault apply` make it",
			store->path, strerror(errno));
	return database_open(store, false, complaint);
}

static bool open_postgres(struct store *store, struct complaint *complaint)
{
	return database_open(store, store->settings.use != STORE_READ, complaint);
}

static bool is_postgres(const char *uri)
{
	for (size_t i = 0; i < sizeof(postgres_schemes) / sizeof(postgres_schemes[0]); i++)
		if (strncmp(uri, postgres_schemes[i], strlen(postgres_schemes[i])) == 0)
			return true;
	return false;
}

/* Which engine, and where its database is. */
static bool place_find(struct store *store, struct complaint *complaint)
{
	const char *uri = store->settings.uri;

	if (strncmp(uri, sqlite_scheme, strlen(sqlite_scheme)) == 0) {
		store->path = sqlite_path(uri + strlen(sqlite_scheme), complaint);
		return store->path;
	}
	store->postgres = (struct postgres){
		.uri = uri, .node = store->settings.node, .standbys = store->settings.min_sync_standbys
	};
	if (store->settings.min_sync_standbys == STANDBYS_AS_FOUND)
		store->postgres.standbys = -1;
	else if (store->settings.min_sync_standbys < 0)
		store->postgres.standbys = 0;
	return is_postgres(uri) || complain(complaint, "store: it is \"sqlite:/path/to/vouchsafe.db\" or "
						       "\"postgresql://...\" and nothing else");
}

static struct store *store_new(const struct store_settings *settings, struct complaint *complaint)
{
	struct store *store = calloc(1, sizeof(*store));

	complain(complaint, "store: out of memory");
	if (!store)
		return NULL;
	store->lock = -1;
	store->settings = *settings;
	if (store->settings.patience_ms <= 0)
		store->settings.patience_ms = STORE_PATIENCE_MS;
	store->settings.uri = strdup(settings->uri);
	store->settings.node = strdup(settings->node ? settings->node : "");
	store->shelf = calloc(1, sizeof(*store->shelf));
	if (store->settings.uri && store->settings.node && store->shelf && place_find(store, complaint))
		return store;
	store_close(store);
	return NULL;
}

struct store *store_open(const struct store_settings *settings, struct complaint *complaint)
{
	static bool (*const openers[])(struct store *, struct complaint *) = { [STORE_SERVE] = open_serve,
		[STORE_TOOL] = open_tool,
		[STORE_READ] = open_read,
		[STORE_RESTORE] = open_serve };
	struct store *store = store_new(settings, complaint);

	if (store && !(store->path ? openers[settings->use] : open_postgres)(store, complaint)) {
		store_close(store);
		return NULL;
	}
	return store;
}

void store_close(struct store *store)
{
	if (!store)
		return;
	sql_close(store->sql);
	if (store->lock >= 0)
		close(store->lock);
	if (store->shelf)
		shelf_clear(store->shelf);
	free(store->shelf);
	free(store->path);
	free((char *)store->settings.uri);
	free((char *)store->settings.node);
	free(store);
}

/* ---- the connection */

long long store_clock_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec * 1000000LL + now.tv_nsec / 1000;
}

static long long clock_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

unsigned column_count(struct query *query, int column)
{
	long long number = column_integer(query, column);

	return number >= 1 && number <= INT_MAX ? (unsigned)number : 0;
}

/* What the engine said about a connection that is gone goes into the reason at once. */
static bool connection_fresh(struct store *store, struct reason *reason)
{
	struct complaint complaint;

	if (store->sql && !sql_broken(store->sql))
		return true;
	sql_close(store->sql);
	store->sql = NULL;
	memset(&store->words, 0, sizeof(store->words));
	if (database_open(store, false, &complaint))
		return true;
	unavailable(reason, REASON_STORE, "%.200s", complaint.text);
	return false;
}

enum outcome store_failed(struct store *store, struct reason *reason)
{
	const char *said = store->sql ? sql_error(store->sql) : "";

	return unavailable(reason, REASON_STORE, "the database: %s", said[0] ? said : "out of memory");
}

static void transaction_undo(struct store *store)
{
	memset(&store->words, 0, sizeof(store->words));
	if (store->sql)
		sql_rollback(store->sql);
}

/* On a new connection where the old one is broken, or turns out to be when it is used. */
static bool transaction_begin(struct store *store, enum sql_use use, struct reason *reason)
{
	for (int tries = 0; tries < 2; tries++) {
		if (!connection_fresh(store, reason))
			return false;
		if (sql_begin(store->sql, use)) {
			if (use == SQL_WRITE)
				trail_ask(store);
			return true;
		}
		store_failed(store, reason);
		transaction_undo(store);
		if (!sql_lost(store->sql))
			return false;
	}
	return false;
}

/* ---- a COMMIT whose answer is not known */

/* Behind the write lock nobody's COMMIT is still on its way: what is there now is there, what is not never
 * will be. And yet it may be there on this server alone; hence the event, whose own COMMIT comes later in the
 * same log: once that is acknowledged, both are. */
static enum commit commit_look(struct store *store, const struct head *wanted, struct reason *reason)
{
	struct head head = { 0 };
	struct event event = {
		.event = "commit.resolved", .outcome = outcome_name(OK), .time_us = store_clock_us()
	};
	struct query *query = NULL;
	unsigned char hash[32] = { 0 };
	char comment[160];
	enum commit commit = COMMIT_UNKNOWN;
	bool there;

	if (!transaction_begin(store, SQL_WRITE, reason))
		return COMMIT_UNKNOWN;
	if (trail_head(store, &head)) /* which ends what trail_ask has asked with the same statement */
		query = sql_query(store->sql, "SELECT hash FROM event WHERE seq = $1");
	query_integer(query, 1, wanted->seq);
	there = query_step(query) == STEP_ROW;
	if (there)
		column_exactly(query, 0, hash, sizeof(hash));
	if (query_end(query)) {
		snprintf(comment, sizeof(comment),
			"the answer to a COMMIT was lost; its last event, %lld, is there", wanted->seq);
		event.comment = comment;
		if (!there || memcmp(hash, wanted->hash, sizeof(hash)) != 0)
			commit = NOT_COMMITTED;
		else if (trail_append(store, &head, &event) && sql_commit(store->sql) == COMMITTED)
			commit = COMMITTED;
	}
	if (commit == COMMITTED)
		store->seen = head;
	else
		transaction_undo(store);
	if (commit == COMMIT_UNKNOWN)
		store_failed(store, reason);
	return commit;
}

static enum commit commit_resolve(
	struct store *store, const struct head *wanted, long long until, struct reason *reason)
{
	const struct timespec pause = { .tv_nsec = RESOLVE_PAUSE_MS * 1000000L };
	enum commit commit;

	store->postgres.host++; /* it may have been failed over from, and not know it */
	while ((commit = commit_look(store, wanted, reason)) == COMMIT_UNKNOWN && clock_ms() < until)
		nanosleep(&pause, NULL);
	if (store->settings.told)
		store->settings.told(store->settings.context,
			commit == COMMITTED ? "the answer to a COMMIT was lost: it is there"
			: commit == NOT_COMMITTED
				? "the answer to a COMMIT was lost: it is not there, and is done again"
				: "the answer to a COMMIT was lost, and the database cannot be asked");
	return commit;
}

/* ---- transactions */

enum tried {
	TRIED, /* the outcome stands */
	TRY_AGAIN /* nothing of it is there: from its beginning */
};

/* Nothing that was committed, or is not known not to be, is ever tried again, but for what wrote no event. */
static enum tried transaction_commit(struct store *store, const struct head *head, long long until,
	enum outcome *outcome, struct reason *reason)
{
	enum commit commit = sql_commit(store->sql);
	bool lost = sql_lost(store->sql);

	*outcome = OK;
	if (commit == COMMITTED) {
		if (head->taken)
			store->seen = *head;
		return TRIED;
	}
	*outcome = store_failed(store, reason);
	store->undone = commit == NOT_COMMITTED && !sql_broken(store->sql);
	transaction_undo(store);
	if (commit == NOT_COMMITTED || !head->moved)
		return lost ? TRY_AGAIN : TRIED;
	commit = commit_resolve(store, head, until, reason);
	if (commit == COMMITTED)
		*outcome = OK;
	return commit == NOT_COMMITTED ? TRY_AGAIN : TRIED;
}

static enum tried transaction_try(struct store *store, enum sql_use use, transaction *body, void *context,
	long long until, enum outcome *outcome, struct reason *reason)
{
	struct head head = { 0 };
	bool lost;

	*outcome = UNAVAILABLE;
	store->undone = false;
	if (!transaction_begin(store, use, reason))
		return TRIED;
	*outcome = body(store, &head, context, reason);
	if (*outcome == OK && use == SQL_WRITE && !trail_head(store, &head))
		*outcome = store_failed(store, reason);
	if (*outcome == OK)
		return transaction_commit(store, &head, until, outcome, reason);
	lost = sql_lost(store->sql);
	store->undone = !lost;
	transaction_undo(store);
	/* what a reader has handed on cannot be taken back */
	return lost && use == SQL_WRITE ? TRY_AGAIN : TRIED;
}

enum outcome store_transaction(
	struct store *store, enum sql_use use, transaction *body, void *context, struct reason *reason)
{
	long long until = clock_ms() + store->settings.patience_ms;
	enum outcome outcome;

	if (use == SQL_WRITE && store->settings.use == STORE_READ)
		return unavailable(reason, REASON_STORE, "the database is open for reading only");
	for (int tries = 1;; tries++)
		if (transaction_try(store, use, body, context, until, &outcome, reason) == TRIED ||
			tries == TRIES_MAX || clock_ms() >= until)
			return outcome;
}
