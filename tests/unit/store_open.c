/* Opening: one node per database, files that are not ours, schemas of another version, owners and modes, and
 * what a reader may do. Each complaint names the mend. */
#include "tests/unit/store_fixture.h"

#include <sys/wait.h>

static int begin(void **state)
{
	*state = calloc(1, sizeof(struct place));
	place_make(*state);
	return 0;
}

static int end(void **state)
{
	place_remove(*state);
	free(*state);
	return 0;
}

static void expect_complaint(const char *uri, enum store_use use, const char *part)
{
	struct complaint complaint = { "" };
	struct store *store = store_open(
		&(struct store_settings){ .uri = uri, .use = use, .node = "rp-1" }, &complaint);

	assert_null(store);
	if (!strstr(complaint.text, part))
		print_error("\"%s\" is not in: %s\n", part, complaint.text);
	assert_non_null(strstr(complaint.text, part));
	assert_memory_equal(complaint.text, "store: ", 7);
}

static void uris(void **state)
{
	const struct place *place = *state;
	char uri[300];

	expect_complaint("mysql://db/vouchsafe", STORE_SERVE, "sqlite:/path");
	expect_complaint("postgresql://127.0.0.1:1/vouchsafe", STORE_SERVE, "refused");
	expect_complaint(
		"postgresql://127.0.0.1:1/vouchsafe?so=what", STORE_SERVE, "invalid URI query parameter");
	expect_complaint("", STORE_SERVE, "sqlite:/path");
	expect_complaint("sqlite:", STORE_SERVE, "names no file");
	expect_complaint("sqlite:/tmp/", STORE_SERVE, "names no file");
	snprintf(uri, sizeof(uri), "sqlite:%s/absent/t.db", place->folder);
	expect_complaint(uri, STORE_SERVE, "make it: install -d");
	expect_complaint(place->uri, STORE_READ, "`vouchsafe vault apply` make it");
}

/* What is wrong with a URI is said without the password that stands in it. */
static void no_password_is_said(void **state)
{
	static const char *const uris[] = { "postgresql://u:sesame%zz@127.0.0.1:1/v",
		"postgresql://u:sesame@[::1]x/v", "postgresql://u:sesame@[::1/v",
		"postgresql://u@127.0.0.1:1/v?sesame", "postgresql://u@127.0.0.1:1/v?password=sesame%00",
		"postgresql://u:sesame@127.0.0.1:1/v" };
	struct complaint complaint;

	(void)state;
	for (size_t i = 0; i < sizeof(uris) / sizeof(uris[0]); i++) {
		complaint.text[0] = '\0';
		assert_null(
			store_open(&(struct store_settings){ .uri = uris[i], .node = "rp-1" }, &complaint));
		assert_memory_equal(complaint.text, "store: ", 7);
		assert_null(strstr(complaint.text, "sesame"));
	}
}

static void a_second_node_is_refused(void **state)
{
	const struct place *place = *state;
	struct store *first = place_open(place, STORE_SERVE), *tool;
	int status;
	pid_t child;

	expect_complaint(place->uri, STORE_SERVE, "another node serves");
	child = fork();
	if (child == 0) {
		struct complaint complaint;

		_exit(store_open(
			      &(struct store_settings){
				      .uri = place->uri, .use = STORE_SERVE, .node = "rp-2" },
			      &complaint) == NULL
				? 7
				: 0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(WEXITSTATUS(status), 7);
	tool = place_open(place, STORE_TOOL); /* a command beside it is fine */
	secret_put(tool, "pin", 1);
	store_close(tool);
	store_close(first);
	store_close(place_open(place, STORE_SERVE));
}

static void a_command_makes_it_too(void **state)
{
	struct store *tool = place_open(*state, STORE_TOOL), *node = place_open(*state, STORE_SERVE);

	secret_put(tool, "pin", 1);
	assert_int_equal(chain_whole(node), 1);
	store_close(tool);
	store_close(node);
}

static void settings_are_as_said(void **state)
{
	const struct place *place = *state;

	store_close(place_open(place, STORE_SERVE));
	assert_int_equal(ask_number(place, "PRAGMA page_size"), 8192);
	assert_int_equal(ask_number(place, "PRAGMA application_id"), 0x564f5543);
	assert_int_equal(ask_number(place, "SELECT MAX(number) FROM migration"), 5);
	assert_int_equal(
		ask_number(place, "SELECT (SELECT journal_mode FROM pragma_journal_mode) = 'wal'"), 1);
}

static void a_newer_schema_is_refused(void **state)
{
	const struct place *place = *state;

	store_close(place_open(place, STORE_SERVE));
	tamper(place, "INSERT INTO migration (number) VALUES (1000)");
	expect_complaint(place->uri, STORE_SERVE, "install the newer");
	expect_complaint(place->uri, STORE_TOOL, "install the newer");
	expect_complaint(place->uri, STORE_READ, "install the newer");
	tamper(place, "DELETE FROM migration WHERE number = 1000");
	store_close(place_open(place, STORE_SERVE));
}

static void keep_told(void *context, const char *text)
{
	strncat(context, text, 199);
}

/* A database that holds something is brought up with its rows, and each step is said; a reader and a command
 * beside servers leave it to one that serves. */
static void migrations_are_told(void **state)
{
	const struct place *place = *state;
	struct complaint complaint = { "" };
	char told[400] = "";
	struct store_settings settings = {
		.uri = place->uri, .use = STORE_SERVE, .node = "rp-1", .context = told
	};
	struct store *store = place_open(place, STORE_SERVE);

	secret_put(store, "pin", 1);
	secret_put(store, "key", 1);
	assert_int_equal(release_at(store, 1, 1, T0, NULL), OK);
	store_close(store);
	tamper(place,
		"DROP INDEX ledger_fleet; DROP INDEX ledger_launch; ALTER TABLE ledger DROP COLUMN sealed_us;"
		"ALTER TABLE ledger DROP COLUMN conflicts; ALTER TABLE ledger DROP COLUMN conflict_us;"
		"DELETE FROM migration WHERE number = 5");
	expect_complaint(place->uri, STORE_READ, "start vouchsafed of this version");
	settings.told = keep_told;
	store = store_open(&settings, &complaint);
	assert_non_null(store);
	assert_non_null(strstr(told, "migration 5 of 5, how far releases came"));
	assert_int_equal(release_at(store, 1, 2, T0, NULL), REFUSED);
	assert_int_equal(chain_whole(store), 4);
	store_close(store);
	told[0] = '\0';
	store_close(store_open(&settings, &complaint));
	assert_string_equal(told, "");
}

static void others_files_are_left_alone(void **state)
{
	const struct place *place = *state;
	FILE *file;

	tamper(place, "CREATE TABLE theirs (x)");
	expect_complaint(place->uri, STORE_SERVE, "another program's");
	expect_complaint(place->uri, STORE_READ, "another program's");
	assert_int_equal(ask_number(place, "SELECT COUNT(*) FROM sqlite_schema"), 1);
	assert_int_equal(
		ask_number(place, "SELECT (SELECT journal_mode FROM pragma_journal_mode) = 'wal'"), 0);
	tamper(place, "PRAGMA application_id = 42; DROP TABLE theirs");
	expect_complaint(place->uri, STORE_SERVE, "another program's");
	file = fopen(place->path, "w");
	fprintf(file, "%01000d", 0);
	fclose(file);
	expect_complaint(place->uri, STORE_SERVE, "is it a vouchsafe database");
}

static void links_are_not_followed(void **state)
{
	const struct place *place = *state;
	char target[200], lock[200];
	struct stat about;

	snprintf(target, sizeof(target), "%s/target", place->folder);
	snprintf(lock, sizeof(lock), "%s.lock", place->path);
	assert_int_equal(symlink(target, place->path), 0);
	expect_complaint(place->uri, STORE_SERVE, "no plain file");
	unlink(place->path);
	unlink(lock);
	assert_int_equal(symlink(target, lock), 0);
	expect_complaint(place->uri, STORE_SERVE, "t.db.lock");
	assert_int_not_equal(stat(target, &about), 0);
}

/* Made by root, all of it belongs to the owner of the folder. */
static void root_gives_it_to_the_folders_owner(void **state)
{
	static const char *const ends[] = { "", "-wal", "-shm", ".lock" };
	const struct place *place = *state;
	struct store *store;
	struct stat about;
	char path[200];

	if (geteuid() != 0)
		skip();
	assert_int_equal(chown(place->folder, 12345, 12346), 0);
	store = place_open(place, STORE_SERVE);
	secret_put(store, "pin", 1);
	for (int i = 0; i < 4; i++) {
		snprintf(path, sizeof(path), "%s%s", place->path, ends[i]);
		assert_int_equal(stat(path, &about), 0);
		assert_int_equal(about.st_uid, 12345);
		assert_int_equal(about.st_gid, 12346);
		assert_int_equal(about.st_mode & 07777, 0640);
	}
	store_close(store);
}

/* Its folder's owner serves from it then; a stranger does not. */
static void users(void **state)
{
	const struct place *place = *state;
	struct complaint complaint = { "" };
	int status, user;
	pid_t child;

	if (geteuid() != 0)
		skip();
	assert_int_equal(chown(place->folder, 12345, 12346), 0);
	assert_int_equal(chmod(place->folder, 0755), 0);
	store_close(place_open(place, STORE_TOOL));
	for (user = 12345; user <= 12347; user += 2) {
		child = fork();
		if (child == 0) {
			bool ok = setgid(12346 + (user == 12347)) == 0 && setuid((uid_t)user) == 0;
			struct store *store = ok ? store_open(&(struct store_settings){ .uri = place->uri,
								      .use = STORE_SERVE,
								      .node = "rp-1" },
							   &complaint)
						 : NULL;

			store_close(store);
			_exit(store ? 0 : 7);
		}
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_int_equal(WEXITSTATUS(status), user == 12345 ? 0 : 7);
	}
}

static void a_reader_writes_nothing(void **state)
{
	struct store *node = place_open(*state, STORE_SERVE), *reader;
	struct envelope envelope = { .name = "pin", .kind = "pin", .version = 1, .text_length = 16 };
	unsigned char text[16] = { 0 };
	struct asked asked;
	struct reason reason;

	secret_put(node, "pin", 1);
	secret_put(node, "key", 1);
	reader = place_open(*state, STORE_READ);
	envelope.text = text;
	envelope.version = 2;
	assert_int_equal(release_at(reader, 1, 1, T0, NULL), UNAVAILABLE);
	assert_int_equal(store_envelope_put(reader, &envelope, "operator:a", NULL, &reason), UNAVAILABLE);
	ask(&asked, 1, 1);
	asked.record.outcome = REFUSED;
	assert_int_equal(
		record_asked(reader, &asked), UNAVAILABLE); /* an owed event that cannot be written */
	asked_clear(&asked);
	assert_int_equal(release_at(node, 1, 1, T0, NULL), OK);
	assert_int_equal(chain_whole(reader), 3); /* and sees what the node writes */
	store_close(reader);
	store_close(node);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(uris, begin, end),
		cmocka_unit_test(no_password_is_said),
		cmocka_unit_test_setup_teardown(a_second_node_is_refused, begin, end),
		cmocka_unit_test_setup_teardown(a_command_makes_it_too, begin, end),
		cmocka_unit_test_setup_teardown(settings_are_as_said, begin, end),
		cmocka_unit_test_setup_teardown(a_newer_schema_is_refused, begin, end),
		cmocka_unit_test_setup_teardown(migrations_are_told, begin, end),
		cmocka_unit_test_setup_teardown(others_files_are_left_alone, begin, end),
		cmocka_unit_test_setup_teardown(links_are_not_followed, begin, end),
		cmocka_unit_test_setup_teardown(root_gives_it_to_the_folders_owner, begin, end),
		cmocka_unit_test_setup_teardown(users, begin, end),
		cmocka_unit_test_setup_teardown(a_reader_writes_nothing, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
