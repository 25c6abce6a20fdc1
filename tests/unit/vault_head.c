/* A member's state: what is taken is exactly what is written, every change of it is refused, and its file is
 * whole whatever call fails. */
#include "tests/unit/vault_fixture.h"
#include "vault/head.h"

#include <errno.h>
#include <sys/file.h>
#include <sys/wait.h>

#define T0 1767225600000000LL /* 2026-01-01T00:00:00Z */

static char folder_path[64];

static int begin(void **state)
{
	(void)state;
	snprintf(folder_path, sizeof(folder_path), "/tmp/vouchsafe-head-XXXXXX");
	return mkdtemp(folder_path) == NULL;
}

static int end(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", folder_path);
	return system(command);
}

static struct head_state state_of(long long seq, unsigned former)
{
	struct head_state state = {
		.head = { .seq = seq, .hash = { 0xab, (unsigned char)seq }, .time_us = T0 + seq % 1000 },
		.seals = 17,
		.n_former = former
	};

	for (unsigned i = 0; i < former; i++)
		state.former[i] = (struct head_former){
			.head = { .seq = i * 100, .hash = { (unsigned char)i }, .time_us = T0 + i },
			.accepted_us = T0 - i
		};
	return state;
}

static bool reads(const char *text, size_t length, struct head_state *state, struct complaint *why)
{
	*why = (struct complaint){ "" };
	return head_read((struct bytes){ (const unsigned char *)text, length }, VAULT_ID, MEMBER, state, why);
}

static void what_is_written_is_read(void **state)
{
	char text[HEAD_TEXT_MAX];
	struct complaint why;
	struct head_state got;

	(void)state;
	for (unsigned former = 0; former <= HEAD_FORMER_MAX; former++) {
		struct head_state wrote = state_of(HEAD_SEQ_MAX - former, former);
		size_t length = head_write(&wrote, VAULT_ID, MEMBER, text);

		assert_in_range(length, 200, HEAD_TEXT_MAX - 1);
		if (!reads(text, length, &got, &why))
			fail_msg("%s: %s", why.text, text);
		assert_memory_equal(&got, &wrote, sizeof(got));
	}
}

static void every_change_is_refused(void **state)
{
	char text[HEAD_TEXT_MAX + 2], changed[HEAD_TEXT_MAX + 2];
	struct head_state wrote = state_of(1234, 2), got;
	struct head_state none = { .seals = 0 };
	size_t length = head_write(&wrote, VAULT_ID, MEMBER, text);
	struct complaint why;

	(void)state;
	for (size_t i = 0; i < length; i++)
		for (int bit = 1; bit < 256; bit *= 2) {
			memcpy(changed, text, length);
			changed[i] ^= (char)bit;
			assert_false(reads(changed, length, &got, &why));
			assert_memory_equal(&got, &none, sizeof(got));
			assert_true(why.text[0] != '\0');
		}
	for (size_t cut = 0; cut < length; cut++)
		assert_false(reads(text, cut, &got, &why));
	for (const char *more = "\n x"; *more != '\0'; more++) {
		text[length] = *more;
		assert_false(reads(text, length + 1, &got, &why));
	}
	assert_false(head_read((struct bytes){ (unsigned char *)text, length },
		"5b0c7f0e-0000-4000-8000-000000000002", MEMBER, &got, &why));
	assert_false(
		head_read((struct bytes){ (unsigned char *)text, length }, VAULT_ID, "hsm-b", &got, &why));
	assert_false(
		head_read((struct bytes){ (unsigned char *)text, length }, VAULT_ID, "hsm-", &got, &why));
}

static struct head_folder opened(void)
{
	struct complaint why = { "" };
	struct head_folder folder;

	if (!head_open(&folder, folder_path, VAULT_ID, MEMBER, &why))
		fail_msg("%s", why.text);
	return folder;
}

static void path_of(const char *end, char path[128])
{
	snprintf(path, 128, "%s/" MEMBER ".head%s", folder_path, end);
}

static void the_file_is_private_and_replaced(void **state)
{
	struct head_folder folder = opened();
	struct head_state wrote = state_of(7, 1), got;
	struct complaint why = { "" };
	char path[128], elsewhere[128];
	struct stat status;

	(void)state;
	assert_int_equal(head_load(&folder, &got, &why), HEAD_NONE);
	assert_int_equal(got.head.seq, 0);
	umask(0);
	assert_true(head_store(&folder, &wrote, &why));
	path_of("", path);
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_mode & 07777, 0600);
	assert_int_equal(head_load(&folder, &got, &why), HEAD_FOUND);
	assert_memory_equal(&got, &wrote, sizeof(got));
	/* a link is neither followed in reading nor in writing, nor is what a killed run has left in the way
	 */
	path_of(".new", path);
	snprintf(elsewhere, sizeof(elsewhere), "%s/elsewhere", folder_path);
	assert_int_equal(symlink(elsewhere, path), 0);
	wrote.head.seq = 8;
	assert_true(head_store(&folder, &wrote, &why));
	assert_int_equal(access(elsewhere, F_OK), -1);
	assert_int_equal(head_load(&folder, &got, &why), HEAD_FOUND);
	assert_int_equal(got.head.seq, 8);
	path_of("", path);
	assert_int_equal(rename(path, elsewhere), 0);
	assert_int_equal(symlink(elsewhere, path), 0);
	assert_int_equal(head_load(&folder, &got, &why), HEAD_UNREADABLE);
	assert_non_null(strstr(why.text, "restore --accept"));
	head_close(&folder);
	head_close(&folder);
}

static void what_cannot_be_read_is_not_nothing(void **state)
{
	struct head_folder folder = opened();
	struct complaint why = { "" };
	struct head_state got;
	char path[128], aside[128], large[HEAD_TEXT_MAX + 100];

	(void)state;
	path_of("", path);
	text_write(path, "", 0600);
	assert_int_equal(head_load(&folder, &got, &why), HEAD_UNREADABLE);
	text_write(path, "vouchsafe head 1\n", 0600);
	assert_int_equal(head_load(&folder, &got, &why), HEAD_UNREADABLE);
	assert_non_null(strstr(why.text, path));
	memset(large, 'x', sizeof(large) - 1);
	large[sizeof(large) - 1] = '\0';
	text_write(path, large, 0600);
	assert_int_equal(head_load(&folder, &got, &why), HEAD_UNREADABLE);
	assert_true(head_set_aside(&folder, &why));
	path_of(".unreadable", aside);
	assert_int_equal(access(aside, F_OK), 0);
	assert_int_equal(head_load(&folder, &got, &why), HEAD_NONE);
	assert_false(head_set_aside(&folder, &why));
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(head_load(&folder, &got, &why), HEAD_UNREADABLE);
	head_close(&folder);
}

static void a_folder_of_others_is_refused(void **state)
{
	struct head_folder folder;
	struct complaint why = { "" };

	(void)state;
	assert_false(head_open(&folder, "/nonexistent/state", VAULT_ID, MEMBER, &why));
	assert_non_null(strstr(why.text, "install -d"));
	assert_false(head_open(&folder, "/dev/null", VAULT_ID, MEMBER, &why));
	assert_int_equal(chmod(folder_path, 0770), 0);
	assert_false(head_open(&folder, folder_path, VAULT_ID, MEMBER, &why));
	assert_non_null(strstr(why.text, "writable by nobody else"));
	assert_int_equal(folder.fd, -1);
	assert_int_equal(chmod(folder_path, 0700), 0);
	if (geteuid() == 0) {
		assert_int_equal(chown(folder_path, 64100, 64100), 0);
		assert_false(head_open(&folder, folder_path, VAULT_ID, MEMBER, &why));
		assert_int_equal(chown(folder_path, 0, 0), 0);
	}
}

static void one_at_a_time(void **state)
{
	struct head_folder one = opened(), two;
	struct complaint why = { "" };

	(void)state;
	assert_false(head_open(&two, folder_path, VAULT_ID, MEMBER, &why));
	assert_non_null(strstr(why.text, "lock"));
	head_close(&one);
	two = opened();
	head_close(&two);
}

/* ---- the Nth call fails */

static int calls_left;
static bool short_writes;

static bool call_fails(void)
{
	if (calls_left < 0 || calls_left-- > 0)
		return false;
	errno = EIO;
	return true;
}

static ssize_t failing_write(int fd, const void *data, size_t length)
{
	if (call_fails())
		return -1;
	return write(fd, data, short_writes && length > 100 ? 100 : length);
}

static int failing_fsync(int fd)
{
	return call_fails() ? -1 : fsync(fd);
}

static int failing_rename(int from_folder, const char *from, int to_folder, const char *to)
{
	return call_fails() ? -1 : renameat(from_folder, from, to_folder, to);
}

/* Whatever fails, the old state stands or the new one, and never neither. */
static void any_failing_call_leaves_a_whole_state(void **state)
{
	static const struct head_calls calls = { failing_write, failing_fsync, failing_rename };
	struct head_folder folder = opened();
	struct head_state before = state_of(7, 0), after = state_of(8, 0), got;
	struct complaint why = { "" };
	bool stored = false;
	int n;

	(void)state;
	folder.calls = &calls;
	for (int shortly = 0; shortly < 2; shortly++) {
		short_writes = shortly;
		for (n = 0, stored = false; !stored; n++) {
			calls_left = -1;
			assert_true(head_store(&folder, &before, &why));
			calls_left = n;
			stored = head_store(&folder, &after, &why);
			calls_left = -1;
			assert_int_equal(head_load(&folder, &got, &why), HEAD_FOUND);
			if (stored)
				assert_memory_equal(&got, &after, sizeof(got));
			else
				assert_true(memcmp(&got, &before, sizeof(got)) == 0 ||
					    memcmp(&got, &after, sizeof(got)) == 0);
		}
		assert_in_range(n, 5, 12);
	}
	for (n = 0; n < 2; n++) {
		calls_left = n;
		assert_false(head_set_aside(&folder, &why));
		calls_left = -1;
		assert_true(head_store(&folder, &before, &why));
	}
	head_close(&folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_written_is_read),
		cmocka_unit_test(every_change_is_refused),
		cmocka_unit_test_setup_teardown(the_file_is_private_and_replaced, begin, end),
		cmocka_unit_test_setup_teardown(what_cannot_be_read_is_not_nothing, begin, end),
		cmocka_unit_test_setup_teardown(a_folder_of_others_is_refused, begin, end),
		cmocka_unit_test_setup_teardown(one_at_a_time, begin, end),
		cmocka_unit_test_setup_teardown(any_failing_call_leaves_a_whole_state, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
