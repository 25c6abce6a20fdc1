/* Everything under the store fails, one call after the other: every write, sync, read and lock of the files,
 * every allocation; tables go, files are moved, the lock is held, a process dies between any two of its
 * system calls. In each case: either the record is OK and stands, or it is UNAVAILABLE and nobody has a
 * grant; the same key gets its release afterwards, no other key does, and the chain is whole (ATTACKS 27, 30,
 * 38). */
#include "tests/unit/store_fixture.h"

#include <signal.h>
#include <sys/wait.h>

/* ---- allocations: malloc in front of whoever provides it */

extern void *__interceptor_malloc(size_t) __attribute__((weak));
extern void *__interceptor_calloc(size_t, size_t) __attribute__((weak));
extern void *__interceptor_realloc(void *, size_t) __attribute__((weak));
extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
void *malloc(size_t);
void *calloc(size_t, size_t);
void *realloc(void *, size_t);

static struct {
	long left; /* so many go well; below 0: all */
	bool sticky; /* and from then on none */
	bool fired;
} memory = { .left = -1 }, files = { .left = -1 };

static bool memory_fails(void)
{
	if (memory.left < 0 || (memory.left > 0 && memory.left-- > 0))
		return false;
	if (!memory.sticky)
		memory.left = -1;
	memory.fired = true;
	return true;
}

void *malloc(size_t size)
{
	if (memory_fails())
		return NULL;
	return __interceptor_malloc ? __interceptor_malloc(size) : __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
	if (memory_fails())
		return NULL;
	return __interceptor_calloc ? __interceptor_calloc(n, size) : __libc_calloc(n, size);
}

void *realloc(void *data, size_t size)
{
	if (memory_fails())
		return NULL;
	return __interceptor_realloc ? __interceptor_realloc(data, size) : __libc_realloc(data, size);
}

/* ---- files: a VFS in front of SQLite's own */

static int files_code; /* what fails says this; 0: the process ends there */

/* Where the process is to end, only what changes a file counts. */
static bool file_fails(bool changes)
{
	if (files_code == 0 && !changes)
		return false;
	if (files.left < 0 || (files.left > 0 && files.left-- > 0))
		return false;
	if (!files.sticky)
		files.left = -1;
	files.fired = true;
	if (files_code == 0)
		kill(getpid(), SIGKILL);
	return true;
}

struct shim {
	sqlite3_file base;
	sqlite3_file *real; /* behind this struct */
};

static sqlite3_file *real_of(sqlite3_file *file)
{
	return ((struct shim *)(void *)file)->real;
}

#define PASS(name, parameters, arguments)                                                                    \
	static int shim_##name parameters                                                                    \
	{                                                                                                    \
		return real_of(f)->pMethods->x##name arguments;                                              \
	}
#define FAULTY(name, changes, parameters, arguments)                                                         \
	static int shim_##name parameters                                                                    \
	{                                                                                                    \
		return file_fails(changes) ? files_code : real_of(f)->pMethods->x##name arguments;           \
	}
typedef sqlite3_file F;
PASS(Close, (F * f), (real_of(f)))
FAULTY(Read, false, (F * f, void *p, int n, sqlite3_int64 o), (real_of(f), p, n, o))
FAULTY(Write, true, (F * f, const void *p, int n, sqlite3_int64 o), (real_of(f), p, n, o))
FAULTY(Truncate, true, (F * f, sqlite3_int64 n), (real_of(f), n))
static unsigned syncs;
static int shim_Sync(F *f, int flags)
{
	syncs++;
	return file_fails(true) ? files_code : real_of(f)->pMethods->xSync(real_of(f), flags);
}
FAULTY(FileSize, false, (F * f, sqlite3_int64 *n), (real_of(f), n))
FAULTY(Lock, false, (F * f, int n), (real_of(f), n))
PASS(Unlock, (F * f, int n), (real_of(f), n))
PASS(CheckReservedLock, (F * f, int *n), (real_of(f), n))
PASS(FileControl, (F * f, int op, void *p), (real_of(f), op, p))
PASS(SectorSize, (F * f), (real_of(f)))
PASS(DeviceCharacteristics, (F * f), (real_of(f)))
FAULTY(ShmMap, false, (F * f, int i, int n, int e, void volatile **p), (real_of(f), i, n, e, p))
PASS(ShmUnmap, (F * f, int d), (real_of(f), d))

/* To unlock cannot fail. */
static int shim_ShmLock(F *f, int offset, int n, int flags)
{
	if (flags & SQLITE_SHM_LOCK && file_fails(false))
		return files_code;
	return real_of(f)->pMethods->xShmLock(real_of(f), offset, n, flags);
}

static void shim_ShmBarrier(F *f)
{
	real_of(f)->pMethods->xShmBarrier(real_of(f));
}

static const sqlite3_io_methods shim_methods = { .iVersion = 2,
	.xClose = shim_Close,
	.xRead = shim_Read,
	.xWrite = shim_Write,
	.xTruncate = shim_Truncate,
	.xSync = shim_Sync,
	.xFileSize = shim_FileSize,
	.xLock = shim_Lock,
	.xUnlock = shim_Unlock,
	.xCheckReservedLock = shim_CheckReservedLock,
	.xFileControl = shim_FileControl,
	.xSectorSize = shim_SectorSize,
	.xDeviceCharacteristics = shim_DeviceCharacteristics,
	.xShmMap = shim_ShmMap,
	.xShmLock = shim_ShmLock,
	.xShmBarrier = shim_ShmBarrier,
	.xShmUnmap = shim_ShmUnmap };

static sqlite3_vfs *below, above;

static int shim_open(sqlite3_vfs *vfs, sqlite3_filename name, sqlite3_file *file, int flags, int *out)
{
	struct shim *shim = (struct shim *)(void *)file;
	int code;

	(void)vfs;
	shim->base.pMethods = NULL;
	if (file_fails(true))
		return SQLITE_CANTOPEN;
	shim->real = (sqlite3_file *)(void *)(shim + 1);
	code = below->xOpen(below, name, shim->real, flags, out);
	if (code == SQLITE_OK)
		shim->base.pMethods = &shim_methods;
	return code;
}

static int shims_set(void **state)
{
	(void)state;
	below = sqlite3_vfs_find(NULL);
	above = *below;
	above.zName = "faults";
	above.szOsFile = (int)sizeof(struct shim) + below->szOsFile;
	above.xOpen = shim_open;
	above.pNext = NULL;
	return sqlite3_vfs_register(&above, 1) == SQLITE_OK ? 0 : -1;
}

/* ---- the scene */

static int begin(void **state)
{
	return scene_begin_with_secrets(state);
}

static int end(void **state)
{
	return scene_end(state, true);
}

static void disarm(void)
{
	memory.left = files.left = -1;
}

/* What must hold for an instance of which key 1 has asked with that outcome. */
static void settled(struct store *store, unsigned instance, enum outcome outcome)
{
	assert_true(outcome == OK || outcome == UNAVAILABLE);
	if (outcome == OK)
		assert_int_equal(release_at(store, instance, 2, T0, NULL), REFUSED);
	assert_int_equal(release_at(store, instance, 1, T0, NULL), OK);
	assert_int_equal(release_at(store, instance, 2, T0, NULL), REFUSED);
}

/* A release, a refusal and an acknowledgement in one batch, while `left` calls go well. All or nothing. */
static enum outcome try_batch(struct scene *scene, long *armed, long left, const char *earlier)
{
	struct record acknowledge = { .kind = RECORD_ACKNOWLEDGE, .now_us = T0, .outcome = OK };
	struct record *batch[3];
	struct asked good, bad;
	enum outcome outcome;

	snprintf(acknowledge.release_id, RELEASE_ID_SIZE, "%s", earlier ? earlier : "none");
	ask(&good, scene->instance, 1);
	ask(&bad, scene->instance, 3);
	bad.record.outcome = refused(&bad.record.reason, CHECK_STATE, "no");
	batch[0] = asked_record(&good);
	batch[1] = asked_record(&bad);
	batch[2] = &acknowledge;
	*armed = left;
	store_record(scene->store, batch, 3);
	disarm();
	outcome = good.record.outcome;
	for (int i = 0; i < 3; i++)
		if (batch[i]->outcome == UNAVAILABLE)
			assert_string_equal(batch[i]->reason.code, REASON_STORE);
	assert_true((outcome == OK) == (good.record.grant != NULL));
	assert_true(bad.record.outcome == REFUSED || bad.record.outcome == UNAVAILABLE);
	assert_true(acknowledge.outcome == (earlier ? OK : REFUSED) || acknowledge.outcome == UNAVAILABLE);
	assert_null(bad.record.grant);
	asked_clear(&good);
	asked_clear(&bad);
	return outcome;
}

/* Call after call of one kind fails, once or from then on, until none is left to fail. */
static unsigned every_call_fails(struct scene *scene, long *armed, bool *sticky, bool *fired)
{
	char earlier[RELEASE_ID_SIZE];
	unsigned unavailable = 0;
	enum outcome outcome;

	for (int i = 0; i < 2; i++) {
		*sticky = i == 1;
		for (long n = 0;; n++) {
			scene->instance++;
			assert_int_equal(release_at(scene->store, scene->instance++, 1, T0, earlier), OK);
			*fired = false;
			outcome = try_batch(scene, armed, n, earlier);
			unavailable += outcome == UNAVAILABLE;
			settled(scene->store, scene->instance, outcome);
			if (!*fired)
				break;
		}
		assert_int_equal(outcome, OK);
		chain_whole(scene->store);
	}
	return unavailable;
}

static void attack_27_38_every_file_operation_fails(void **state)
{
	static const int codes[] = { SQLITE_IOERR_WRITE, SQLITE_FULL, SQLITE_READONLY };
	struct scene *scene = *state;

	for (int i = 0; i < 3; i++) {
		files_code = codes[i];
		assert_true(every_call_fails(scene, &files.left, &files.sticky, &files.fired) > 4);
	}
}

static void attack_27_38_every_allocation_fails(void **state)
{
	struct scene *scene = *state;

	assert_true(every_call_fails(scene, &memory.left, &memory.sticky, &memory.fired) > 4);
}

/* Also on a connection that has everything still to prepare. */
static void every_allocation_fails_on_a_new_handle(void **state)
{
	struct scene *scene = *state;
	enum outcome outcome;
	long n = 0;

	do {
		store_close(scene->store);
		scene->store = place_open(&scene->place, STORE_SERVE);
		scene->instance++;
		memory.fired = false;
		outcome = try_batch(scene, &memory.left, n, NULL);
		(void)outcome;
		n += 3;
	} while (memory.fired);
	chain_whole(scene->store);
}

static void opening_fails(void **state)
{
	struct scene *scene = *state;
	struct complaint complaint;
	struct store *store;

	store_close(scene->store);
	files_code = SQLITE_IOERR;
	for (int kind = 0; kind < 2; kind++)
		for (long n = 0;; n++) {
			memory.fired = files.fired = false;
			*(kind ? &memory.left : &files.left) = n;
			complaint.text[0] = '\0';
			store = store_open(
				&(struct store_settings){
					.uri = scene->place.uri, .use = STORE_SERVE, .node = "rp-1" },
				&complaint);
			disarm();
			assert_true(store || strncmp(complaint.text, "store: ", 7) == 0);
			store_close(store);
			if (!memory.fired && !files.fired)
				break;
		}
	assert_non_null(store);
	scene->store = place_open(&scene->place, STORE_SERVE);
}

static bool count_row(void *context, const struct envelope_row *row)
{
	(void)row;
	++*(int *)context;
	return true;
}

static bool count_event(void *context, const struct audit_event *event)
{
	(void)event;
	++*(int *)context;
	return true;
}

/* The operators' verbs answer UNAVAILABLE, or rightly. */
static void the_other_verbs_fail(void **state)
{
	struct scene *scene = *state;
	struct audit_filter filter = { .limit = 10, .role = "web-tier", .since_us = 1 };
	struct ledger_row row;
	struct envelope envelope;
	struct reason reason;
	enum outcome outcome;
	unsigned version;
	long long events;
	int count;
	bool more;

	assert_int_equal(release_at(scene->store, 1, 1, T0, NULL), OK);
	files_code = SQLITE_IOERR;
	for (int verb = 0; verb < 6; verb++)
		for (long n = 0;; n++) {
			memory.fired = false;
			memory.left = n;
			count = 0;
			switch (verb) {
			case 0:
				outcome = store_envelope_get(scene->store, "pin", 0, &envelope, &reason);
				break;
			case 1:
				outcome = store_envelope_list(scene->store, count_row, &count, &reason);
				break;
			case 2:
				outcome = audit_query(
					scene->store, &filter, count_event, &count, &more, &reason);
				break;
			case 3:
				outcome = audit_verify(scene->store, &events, &reason);
				break;
			case 4:
				outcome = ledger_show(
					scene->store, ACCOUNT, REGION, "i-00000000000000001", &row, &reason);
				break;
			default:
				outcome = store_next_version(scene->store, "pin", &version, &reason);
			}
			disarm();
			assert_true(outcome == OK || outcome == UNAVAILABLE);
			if (verb == 0 && outcome == OK) {
				assert_int_equal(envelope.n_wraps, 1);
				envelope_clear(&envelope);
			}
			assert_true(outcome != OK || verb != 1 || count == 2);
			assert_true(outcome != OK || verb != 2 || count == 1);
			assert_true(outcome != OK || verb != 3 || events == 3);
			assert_true(outcome != OK || verb != 4 || row.collected == 1);
			if (!memory.fired)
				break;
		}
	assert_int_equal(outcome, OK);
}

static void a_rearm_fails_whole(void **state)
{
	struct scene *scene = *state;
	struct rearm rearm = { .account_id = ACCOUNT,
		.region = REGION,
		.instance_id = "i-00000000000000001",
		.reason = "r",
		.actor = "a",
		.now_us = T0,
		.until_us = T0 + MINUTE };
	struct ledger_row row;
	struct reason reason;
	enum outcome outcome = FAULT;
	long long events = chain_whole(scene->store);

	files_code = SQLITE_IOERR_FSYNC;
	for (long n = 0; outcome != OK; n++) {
		files.left = n;
		outcome = ledger_rearm(scene->store, &rearm, &reason);
		disarm();
		if (outcome == UNAVAILABLE)
			assert_int_equal(
				ledger_show(scene->store, ACCOUNT, REGION, rearm.instance_id, &row, &reason),
				REFUSED);
	}
	assert_int_equal(ledger_show(scene->store, ACCOUNT, REGION, rearm.instance_id, &row, &reason), OK);
	assert_int_equal(chain_whole(scene->store), events + 1);
}

/* ---- the process dies between any two operations */

static void attack_30_killed_at_every_step(void **state)
{
	struct scene *scene = *state;
	enum outcome outcome;
	int status, ends[2];
	unsigned killed = 0;
	pid_t child;

	files.sticky = false;
	files_code = 0;
	store_close(scene->store);
	scene->store = NULL;
	for (long n = 0;; n++) {
		scene->instance++;
		assert_int_equal(pipe(ends), 0);
		child = fork();
		if (child == 0) {
			scene->store = place_open(&scene->place, STORE_SERVE);
			outcome = try_batch(scene, &files.left, n, NULL);
			if (write(ends[1], &outcome, sizeof(outcome)) != sizeof(outcome))
				_exit(2);
			_exit(outcome == OK ? 0 : 1);
		}
		close(ends[1]);
		outcome = UNAVAILABLE;
		if (read(ends[0], &outcome, sizeof(outcome)) < 0)
			outcome = FAULT;
		close(ends[0]);
		assert_int_equal(waitpid(child, &status, 0), child);
		scene->store = place_open(&scene->place, STORE_SERVE);
		chain_whole(scene->store);
		settled(scene->store, scene->instance, outcome);
		if (!WIFSIGNALED(status))
			break;
		killed++;
		store_close(scene->store);
		scene->store = NULL;
	}
	assert_int_equal(WEXITSTATUS(status), 0);
	assert_true(killed > 4);
}

/* ---- the database itself */

/* A handle keeps the envelopes that it has read: a new one has read none. */
static void shelf_forget(struct scene *scene)
{
	store_close(scene->store);
	scene->store = place_open(&scene->place, STORE_SERVE);
}

static void attack_27_38_tables_go(void **state)
{
	static const char *const tables[] = { "event", "find", "ledger", "rearm", "shelf", "envelope",
		"wrap" };
	struct scene *scene = *state;
	char sql[100];
	enum outcome outcome;

	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
		scene->instance++;
		snprintf(sql, sizeof(sql), "ALTER TABLE %s RENAME TO gone", tables[i]);
		tamper(&scene->place, sql);
		shelf_forget(scene);
		outcome = try_batch(scene, &files.left, -1, NULL);
		assert_int_equal(outcome, UNAVAILABLE);
		snprintf(sql, sizeof(sql), "ALTER TABLE gone RENAME TO %s", tables[i]);
		tamper(&scene->place, sql);
		settled(scene->store, scene->instance, outcome);
	}
}

static void attack_27_38_the_lock_is_held(void **state)
{
	struct scene *scene = *state;
	sqlite3 *db;

	assert_int_equal(sqlite3_open(scene->place.path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "BEGIN EXCLUSIVE", NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(try_batch(scene, &files.left, -1, NULL), UNAVAILABLE);
	assert_int_equal(sqlite3_exec(db, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
	settled(scene->store, scene->instance, UNAVAILABLE);
}

static void attack_27_32_files_are_moved(void **state)
{
	static const char *const ends[] = { "", "-wal" };
	struct scene *scene = *state;
	char from[200], to[220];

	for (int i = 0; i < 2; i++) {
		scene->instance++;
		snprintf(from, sizeof(from), "%s%s", scene->place.path, ends[i]);
		snprintf(to, sizeof(to), "%s.away", from);
		assert_int_equal(rename(from, to), 0);
		assert_int_equal(try_batch(scene, &files.left, -1, NULL), UNAVAILABLE);
		if (i == 0)
			assert_int_equal(rename(to, from), 0);
		settled(scene->store, scene->instance, UNAVAILABLE);
	}
}

/* An older copy put in the database's place under a running node (ATTACKS 32). */
static void attack_32_an_older_copy_is_noticed(void **state)
{
	struct scene *scene = *state;
	char copy[200], current[200], sql[300];

	snprintf(copy, sizeof(copy), "%s/copy.db", scene->place.folder);
	snprintf(current, sizeof(current), "%s/current.db", scene->place.folder);
	snprintf(sql, sizeof(sql), "VACUUM INTO '%s'", copy);
	tamper(&scene->place, sql);
	assert_int_equal(release_at(scene->store, 1, 1, T0, NULL), OK);
	tamper(&scene->place, "PRAGMA wal_checkpoint(TRUNCATE)");
	assert_int_equal(rename(scene->place.path, current), 0);
	assert_int_equal(rename(copy, scene->place.path), 0);
	tamper(&scene->place, "PRAGMA journal_mode = WAL");
	for (int i = 0; i < 3; i++)
		assert_int_equal(release_at(scene->store, 1, 2, T0, NULL), UNAVAILABLE);
	assert_int_equal(rename(current, scene->place.path), 0);
	assert_int_equal(release_at(scene->store, 1, 2, T0, NULL), UNAVAILABLE); /* finds it moved again */
	settled(scene->store, 1, OK);
}

/* OK is said behind a sync of the log, for a release as for a refusal. */
static void attack_31_a_commit_is_synced(void **state)
{
	struct scene *scene = *state;

	for (int i = 0; i < 3; i++) {
		syncs = 0;
		assert_int_equal(release_at(scene->store, 1, i > 0 ? 2 : 1, T0, NULL), i > 0 ? REFUSED : OK);
		assert_true(syncs >= 1);
	}
}

/* One record of a batch cannot be written: the others are. `table` takes nothing of the third one's instance.
 */
static void all_but_one(struct scene *scene, const char *table, const char *role)
{
	struct audit_filter filter = { .limit = 10, .role = role };
	const unsigned first = scene->instance + 1;
	struct asked asked[5];
	struct record *batch[5];
	char sql[200];
	json_t *found;
	bool more;

	snprintf(sql, sizeof(sql),
		"CREATE TRIGGER no BEFORE INSERT ON %s WHEN new.instance = 'i-%017x'"
		" BEGIN SELECT RAISE(ABORT, 'not this one'); END",
		table, first + 2);
	tamper(&scene->place, sql);
	for (unsigned i = 0; i < 5; i++) {
		ask(&asked[i], first + i, 1);
		snprintf(asked[i].assertion.role, ROLE_SIZE, "%s", role);
		batch[i] = asked_record(&asked[i]);
	}
	store_record(scene->store, batch, 5);
	for (unsigned i = 0; i < 5; i++) {
		assert_int_equal(batch[i]->outcome, i == 2 ? UNAVAILABLE : OK);
		assert_true((i == 2) == (batch[i]->grant == NULL));
	}
	assert_string_equal(batch[2]->reason.code, REASON_STORE);
	assert_non_null(strstr(batch[2]->reason.text, "not this one"));
	/* a word that was new in the batch that failed is a word of the next one */
	found = events_like(scene->store, &filter, &more);
	assert_int_equal(json_array_size(found), 4);
	json_decref(found);
	for (unsigned i = 0; i < 5; i++)
		asked_clear(&asked[i]);
	tamper(&scene->place, "DROP TRIGGER no");
	settled(scene->store, first + 2, UNAVAILABLE);
	assert_int_equal(ask_number(&scene->place,
				 "SELECT COUNT(*) FROM find WHERE role NOT IN (SELECT id FROM word)"),
		0);
	scene->instance += 5;
}

static void one_bad_record_goes_alone(void **state)
{
	all_but_one(*state, "ledger", "role-1");
	all_but_one(*state, "find", "role-2");
}

/* A check that was lifted for a batch that failed is failed again. */
static void lifted_checks_come_back(void **state)
{
	struct scene *scene = *state;
	struct asked asked;

	assert_int_equal(release_at(scene->store, 1, 1, T0, NULL), OK);
	tamper(&scene->place, "ALTER TABLE find RENAME TO gone");
	ask(&asked, 1, 1);
	first_use_closed(&asked, CHECK_LAUNCH_WINDOW);
	assert_int_equal(record_asked(scene->store, &asked), UNAVAILABLE);
	assert_int_equal(claims_check(asked.claims, CHECK_LAUNCH_WINDOW)->result, CHECK_FAILED);
	tamper(&scene->place, "ALTER TABLE gone RENAME TO find");
	asked_clear(&asked);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(attack_27_38_every_file_operation_fails, begin, end),
		cmocka_unit_test_setup_teardown(attack_27_38_every_allocation_fails, begin, end),
		cmocka_unit_test_setup_teardown(every_allocation_fails_on_a_new_handle, begin, end),
		cmocka_unit_test_setup_teardown(opening_fails, begin, end),
		cmocka_unit_test_setup_teardown(the_other_verbs_fail, begin, end),
		cmocka_unit_test_setup_teardown(a_rearm_fails_whole, begin, end),
		cmocka_unit_test_setup_teardown(attack_30_killed_at_every_step, begin, end),
		cmocka_unit_test_setup_teardown(attack_27_38_tables_go, begin, end),
		cmocka_unit_test_setup_teardown(attack_27_38_the_lock_is_held, begin, end),
		cmocka_unit_test_setup_teardown(attack_27_32_files_are_moved, begin, end),
		cmocka_unit_test_setup_teardown(attack_32_an_older_copy_is_noticed, begin, end),
		cmocka_unit_test_setup_teardown(attack_31_a_commit_is_synced, begin, end),
		cmocka_unit_test_setup_teardown(one_bad_record_goes_alone, begin, end),
		cmocka_unit_test_setup_teardown(lifted_checks_come_back, begin, end),
	};

	return cmocka_run_group_tests(tests, shims_set, NULL);
}
