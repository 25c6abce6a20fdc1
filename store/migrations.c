/* The schema, as a list of numbered steps that is only ever added to. The tables' definitions are the one
 * thing that the engines spell each in its own way; every other statement of this folder is written once. A
 * step that has been released must never be changed: databases that have taken it would not notice. */
#include "store/migrations.h"

#include <limits.h>
#include <stdio.h>
#include <time.h>

/* Times are microseconds since 1970. One-time hashes, keys and event hashes are 32 bytes. */
#define SCHEMA_1(INTEGER, BYTES)                                                                             \
	/* The trail. The bytes are the truth, `find` can be made again from them. */                        \
	"CREATE TABLE event (seq " INTEGER " PRIMARY KEY, bytes " BYTES " NOT NULL, hash " BYTES             \
	" NOT NULL);"                                                                                        \
	"CREATE TABLE word (id " INTEGER " PRIMARY KEY, text TEXT NOT NULL UNIQUE);"                         \
	"CREATE TABLE find (seq " INTEGER " PRIMARY KEY, time " INTEGER " NOT NULL, kind " INTEGER           \
	" NOT NULL, node " INTEGER ", instance TEXT, release TEXT, request TEXT, source TEXT,"               \
	" outcome " INTEGER ", reason " INTEGER ", account " INTEGER ", region " INTEGER ", role " INTEGER   \
	");"                                                                                                 \
	"CREATE INDEX find_kind ON find (kind, seq);"                                                        \
	"CREATE INDEX find_instance ON find (instance, seq) WHERE instance IS NOT NULL;"                     \
	"CREATE INDEX find_source ON find (source, seq) WHERE source IS NOT NULL;"                           \
	"CREATE INDEX find_role ON find (role, seq) WHERE role IS NOT NULL;"                                 \
	"CREATE INDEX find_release ON find (release) WHERE release IS NOT NULL;"                             \
	"CREATE INDEX find_request ON find (request) WHERE request IS NOT NULL;"                             \
	"CREATE INDEX find_time ON find (time);" /* One row for each instance that has had its release. */   \
	"CREATE TABLE ledger (one_time_hash " BYTES " NOT NULL PRIMARY KEY, account TEXT NOT NULL,"          \
	" region TEXT NOT NULL, instance TEXT NOT NULL, role TEXT NOT NULL, rule TEXT NOT NULL,"             \
	" release TEXT NOT NULL UNIQUE, recipient " BYTES " NOT NULL, secrets TEXT NOT NULL,"                \
	" once_per_launch " INTEGER " NOT NULL, launch_time " INTEGER " NOT NULL, granted_us " INTEGER       \
	" NOT NULL, retry_until_us " INTEGER " NOT NULL, acknowledged_us " INTEGER ", collected " INTEGER    \
	" NOT NULL);"                                                                                        \
	"CREATE TABLE rearm (id " INTEGER " PRIMARY KEY, one_time_hash " BYTES " NOT NULL, recipient " BYTES \
	", armed_us " INTEGER " NOT NULL, until_us " INTEGER                                                 \
	" NOT NULL, actor TEXT NOT NULL, reason TEXT NOT NULL, spent_us " INTEGER ", spent_release TEXT);"   \
	"CREATE INDEX rearm_hash ON rearm (one_time_hash, id);" /* Sealed secrets. `secret` outlives its     \
								    versions: no number is used twice. */    \
	"CREATE TABLE secret (name TEXT NOT NULL PRIMARY KEY, last_version " INTEGER " NOT NULL);"           \
	"CREATE TABLE envelope (name TEXT NOT NULL, version " INTEGER " NOT NULL, kind TEXT NOT NULL,"       \
	" nonce " BYTES " NOT NULL, text " BYTES " NOT NULL, stored_us " INTEGER                             \
	" NOT NULL, PRIMARY KEY (name, version));"                                                           \
	"CREATE TABLE wrap (name TEXT NOT NULL, version " INTEGER " NOT NULL, place " INTEGER                \
	" NOT NULL, member TEXT NOT NULL, generation " INTEGER " NOT NULL, bytes " BYTES                     \
	" NOT NULL, PRIMARY KEY (name, version, place));"                                                    \
	"CREATE TABLE member (member TEXT NOT NULL PRIMARY KEY, vault TEXT NOT NULL, token_serial TEXT NOT " \
	"NULL, generation " INTEGER " NOT NULL, key_id TEXT NOT NULL, iv_mode " INTEGER " NOT NULL)"

#define SCHEMA_2(INTEGER, BYTES) "CREATE INDEX ledger_rule ON ledger (rule, granted_us)"

/* Counts the changes of what can be released, so that a batch may keep what the one before it has read; and
 * tells at once whether any re-arm is open. */
#define SCHEMA_3(INTEGER, BYTES)                                                                             \
	"CREATE TABLE shelf (id " INTEGER " PRIMARY KEY, changes " INTEGER " NOT NULL);"                     \
	"INSERT INTO shelf (id, changes) VALUES (1, 0);"                                                     \
	"CREATE INDEX rearm_open ON rearm (until_us) WHERE spent_us IS NULL"

/* What the vault's members have signed, and restores: the newest one's time bounds the launches whose first
 * use may be a second one; `lost` says which heads it gave up. */
#define SCHEMA_4(INTEGER, BYTES)                                                                             \
	"CREATE TABLE signer (member TEXT NOT NULL PRIMARY KEY, key_id TEXT NOT NULL, public_key " BYTES     \
	" NOT NULL);"                                                                                        \
	"CREATE TABLE checkpoint (member TEXT NOT NULL, node TEXT NOT NULL, seq " INTEGER " NOT NULL,"       \
	" hash " BYTES " NOT NULL, time_us " INTEGER " NOT NULL, seals " INTEGER " NOT NULL,"                \
	" signature " BYTES " NOT NULL, PRIMARY KEY (member, node, seq));"                                   \
	"CREATE TABLE restored (seq " INTEGER " NOT NULL PRIMARY KEY, time_us " INTEGER                      \
	" NOT NULL, since_us " INTEGER " NOT NULL, actor TEXT NOT NULL, reason TEXT NOT NULL);"              \
	"CREATE TABLE lost (restored " INTEGER " NOT NULL, member TEXT NOT NULL, seq " INTEGER               \
	" NOT NULL, hash " BYTES " NOT NULL, time_us " INTEGER " NOT NULL, PRIMARY KEY (restored, member))"

/* How far a release came, and who else has asked for it; a fleet by its launches; what the longest window
 * that a policy may state has made moot. */
#define SCHEMA_5(INTEGER, BYTES)                                                                             \
	"ALTER TABLE ledger ADD COLUMN sealed_us " INTEGER ";"                                               \
	"ALTER TABLE ledger ADD COLUMN conflicts " INTEGER " NOT NULL DEFAULT 0;"                            \
	"ALTER TABLE ledger ADD COLUMN conflict_us " INTEGER ";"                                             \
	"CREATE INDEX ledger_fleet ON ledger (rule, launch_time, one_time_hash);"                            \
	"CREATE INDEX ledger_launch ON ledger (launch_time) WHERE once_per_launch = 1"

#define MIGRATION(schema, what)                                                                              \
	{                                                                                                    \
		{ schema("INTEGER", "BLOB"), schema("BIGINT", "BYTEA") }, what                               \
	}

static const struct {
	const char *scripts[2]; /* by enum dialect */
	const char *what;
} migrations[] = {
	MIGRATION(SCHEMA_1, "the tables"),
	MIGRATION(SCHEMA_2, "how many first uses a rule has had within an hour"),
	MIGRATION(SCHEMA_3, "what a batch need not read again"),
	MIGRATION(SCHEMA_4, "what the members have signed, and restores"),
	MIGRATION(SCHEMA_5, "how far releases came, and the ledger by launches"),
};
enum { NEWEST = sizeof(migrations) / sizeof(migrations[0]), TELL_SECONDS = 10 };

/* INTEGER PRIMARY KEY in SQLite, since that is the row's own number. */
static const char *const count_tables[] = {
	[DIALECT_SQLITE] = "CREATE TABLE IF NOT EXISTS migration (number INTEGER PRIMARY KEY)",
	[DIALECT_POSTGRES] = "CREATE TABLE IF NOT EXISTS migration (number BIGINT PRIMARY KEY)",
};

/* Stands among the numbers while a restore is under way: a version that no program knows, whichever it is. */
#define RESTORING 1000000000

/* The mark is none: *version is RESTORING where `marks`, and what stands beside the mark otherwise. */
static bool version_read(struct sql *sql, bool marks, long long *version)
{
	struct query *query = sql_query(sql, "SELECT MAX(number) FROM migration WHERE number <= $1");

	*version = 0;
	query_integer(query, 1, marks ? LLONG_MAX : RESTORING - 1);
	if (query_step(query) == STEP_ROW)
		*version = column_integer(query, 0);
	return query_end(query);
}

/* One step, and how long it has been at work. */
struct running {
	const struct migrating *migrating;
	long long number;
	time_t began, told;
};

static void tell(const struct running *running, const char *how)
{
	const struct migrating *migrating = running->migrating;
	char text[200];

	snprintf(text, sizeof(text), "migration %lld of %d, %s: %s", running->number, NEWEST,
		migrations[running->number - 1].what, how);
	if (migrating->told)
		migrating->told(migrating->context, text);
}

static time_t clock_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}

static void still_running(void *context)
{
	struct running *running = context;
	time_t now = clock_seconds();
	char how[60];

	if (now - running->told < TELL_SECONDS)
		return;
	running->told = now;
	snprintf(how, sizeof(how), "still at work after %lld s", (long long)(now - running->began));
	tell(running, how);
}

static bool number_insert(struct sql *sql, long long number)
{
	struct query *query = sql_query(sql, "INSERT INTO migration (number) VALUES ($1)");

	query_integer(query, 1, number);
	return query_run(query, NULL);
}

/* Whoever is second finds it done: the version is looked at again behind the write lock. */
static bool migration_apply(struct sql *sql, const struct migrating *migrating, long long number)
{
	struct running running = { migrating, number, clock_seconds(), clock_seconds() };
	long long version = 0;

	if (number == 1 && (!sql_claim(sql) || !sql_run(sql, count_tables[migrating->dialect], NULL, NULL)))
		return false;
	if (!version_read(sql, false, &version))
		return false;
	if (version >= number)
		return true;
	if (!sql_empty(sql))
		tell(&running, "begun");
	return sql_run(sql, migrations[number - 1].scripts[migrating->dialect], still_running, &running) &&
	       number_insert(sql, number);
}

static bool migration_commit(struct sql *sql, const struct migrating *migrating, long long number)
{
	if (sql_begin(sql, SQL_WRITE) && migration_apply(sql, migrating, number) &&
		sql_commit(sql) == COMMITTED)
		return true;
	sql_rollback(sql);
	return false;
}

bool migrations_run(struct sql *sql, const struct migrating *migrating, struct complaint *complaint)
{
	long long from = 0, version;

	if (!sql_empty(sql) && !version_read(sql, true, &from))
		return complain(complaint,
			"store: its schema cannot be read (%s): if its tables are another program's, "
			"name another database; if they are ours, put a backup back",
			sql_error(sql));
	if (from == RESTORING)
		return complain(complaint, "store: a restore into it was not finished: remove it, and "
					   "restore into an empty one");
	if (from > NEWEST)
		return complain(complaint,
			"store: its schema has version %lld, this program knows %d: install the newer "
			"vouchsafe that made it, or put the backup from before back",
			from, NEWEST);
	if (from < NEWEST && !migrating->may)
		return complain(complaint,
			"store: its schema has version %lld, this program needs %d: start vouchsafed "
			"of this version (or run `vouchsafe vault apply` while no vouchsafed runs) first",
			from, NEWEST);
	for (version = from + 1; version <= NEWEST; version++)
		if (!migration_commit(sql, migrating, version))
			return complain(complaint,
				"store: migration %lld failed (%s): make room, mend the permissions, or wait "
				"for the node that is at it; then start again",
				version, sql_error(sql));
	return true;
}

bool migrations_version(struct sql *sql, unsigned *version)
{
	long long found;

	if (!version_read(sql, false, &found))
		return false;
	*version = found >= 1 && found <= NEWEST ? (unsigned)found : 0;
	return *version > 0 || sql_complain(sql, "its schema is none that this program knows");
}

/* ---- restoring */

bool migrations_restore(
	struct sql *sql, const struct migrating *migrating, unsigned schema, struct complaint *complaint)
{
	bool done;

	if (schema < 1 || schema > NEWEST)
		return complain(complaint,
			"store: the backup's schema has version %u, this program knows %d: restore it with "
			"the vouchsafe that made it, or a newer one",
			schema, NEWEST);
	done = sql_begin(sql, SQL_WRITE);
	for (unsigned number = 1; number <= schema && done; number++)
		done = migration_apply(sql, migrating, number);
	if (done && number_insert(sql, RESTORING) && sql_commit(sql) == COMMITTED)
		return true;
	sql_rollback(sql);
	return complain(complaint, "store: its tables cannot be made (%s)", sql_error(sql));
}

bool migrations_restored(struct sql *sql, const struct migrating *migrating, struct complaint *complaint)
{
	for (long long number = 1; number <= NEWEST; number++)
		if (!migration_commit(sql, migrating, number))
			return complain(
				complaint, "store: migration %lld failed (%s)", number, sql_error(sql));
	return true;
}

bool migrations_unmark(struct sql *sql)
{
	struct query *query = sql_query(sql, "DELETE FROM migration WHERE number = $1");
	long long affected = 0;

	query_integer(query, 1, RESTORING);
	return query_run(query, &affected) && affected == 1;
}
