/* Files whole or not at all: modes, folders, every system call failing in its turn. */
#include "agent/files.h"
#include "tests/unit/unit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static char root[200];

static void path_of(const char *name, char path[300])
{
	snprintf(path, 300, "%s/%s", root, name);
}

static void remove_all(const char *path)
{
	char command[400];

	snprintf(command, sizeof(command), "rm -rf '%s'", path);
	assert_int_equal(system(command), 0);
}

static int set_up(void **state)
{
	const char *base = getenv("TMPDIR");

	(void)state;
	snprintf(root, sizeof(root), "%s/agent-files-XXXXXX", base ? base : "/tmp");
	return mkdtemp(root) ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	remove_all(root);
	return 0;
}

static unsigned entries(const char *path)
{
	DIR *folder = opendir(path);
	unsigned n = 0;

	assert_non_null(folder);
	while (readdir(folder))
		n++;
	closedir(folder);
	return n - 2;
}

static void assert_content(const char *path, const char *expected)
{
	char text[100] = "";
	struct stat status;
	int fd = open(path, O_RDONLY);

	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &status), 0);
	assert_int_equal(status.st_mode & 07777, 0400);
	assert_true(read(fd, text, sizeof(text) - 1) >= 0);
	close(fd);
	assert_string_equal(text, expected);
}

static struct file file_of(const char *name, const char *text)
{
	return (struct file){ .name = name, .bytes = { (const unsigned char *)text, strlen(text) } };
}

static void test_folders(void **state)
{
	struct complaint complaint;
	struct folder folder;
	struct stat status;
	char path[300];

	(void)state;
	path_of("made", path);
	umask(0);
	assert_true(folder_open(path, &folder, &complaint));
	assert_int_equal(fstat(folder.fd, &status), 0);
	assert_int_equal(status.st_mode & 07777, 0700);
	assert_true(fcntl(folder.fd, F_GETFD) & FD_CLOEXEC);
	folder_close(&folder);
	folder_close(&folder);

	assert_int_equal(chmod(path, 0755), 0);
	assert_true(folder_open(path, &folder, &complaint));
	folder_close(&folder);
	assert_int_equal(chmod(path, 0770), 0);
	assert_false(folder_open(path, &folder, &complaint));
	assert_non_null(strstr(complaint.text, "chmod go-w"));
	assert_int_equal(folder.fd, -1);
	assert_int_equal(chmod(path, 0702), 0);
	assert_false(folder_open(path, &folder, &complaint));

	path_of("no/such", path);
	assert_false(folder_open(path, &folder, &complaint));
	assert_false(folder_open("/dev/null", &folder, &complaint));
}

static void test_lock(void **state)
{
	struct complaint complaint;
	struct folder one, two;

	(void)state;
	assert_true(folder_open(root, &one, &complaint));
	assert_true(folder_open(root, &two, &complaint));
	assert_true(folder_lock(&one));
	assert_false(folder_lock(&two));
	folder_close(&one);
	assert_true(folder_lock(&two));
	folder_close(&two);
}

static void test_written(void **state)
{
	const struct file files[] = { file_of("pin", "1234"), file_of("key", "abcd") };
	struct complaint complaint;
	struct folder folder;
	char path[300], out[300], elsewhere[300];

	(void)state;
	umask(0);
	path_of("out", out);
	path_of("elsewhere", elsewhere);
	assert_true(folder_open(out, &folder, &complaint));
	assert_true(folder_write(&folder, files, 2, &complaint));
	path_of("out/pin", path);
	assert_content(path, "1234");
	/* again: what is there is replaced, what a killed run has left too, and a link is not followed */
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink(elsewhere, path), 0);
	path_of("out/.key.partial", path);
	assert_int_equal(symlink(elsewhere, path), 0);
	assert_true(folder_write(&folder, files, 2, &complaint));
	assert_int_equal(access(elsewhere, F_OK), -1);
	path_of("out/pin", path);
	assert_content(path, "1234");
	assert_int_equal(entries(out), 2);
	folder_close(&folder);
}

static void test_rename_onto_folder(void **state)
{
	const struct file files[] = { file_of("key", "abcd"), file_of("pin", "1234") };
	struct complaint complaint;
	struct folder folder;
	char out[300], path[300];

	(void)state;
	path_of("out", out);
	assert_true(folder_open(out, &folder, &complaint));
	path_of("out/pin", path);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_false(folder_write(&folder, files, 2, &complaint));
	assert_int_equal(entries(out), 2); /* the folder, and the whole key */
	path_of("out/key", path);
	assert_content(path, "abcd");
	folder_close(&folder);
}

/* ---- the Nth call fails; `short_writes` gives one byte at a time */

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
	return write(fd, data, short_writes && length > 1 ? 1 : length);
}

static int failing_fsync(int fd)
{
	return call_fails() ? -1 : fsync(fd);
}

static int failing_renameat(int from_folder, const char *from, int to_folder, const char *to)
{
	return call_fails() ? -1 : renameat(from_folder, from, to_folder, to);
}

static const struct file_calls failing_calls = { failing_write, failing_fsync, failing_renameat };

/* Whatever is under a final name is whole: the old or the new text. */
static void assert_whole(const char *name, const char *old, const char *new)
{
	char path[300], text[100] = "";
	FILE *file;

	path_of(name, path);
	file = fopen(path, "r");
	if (!file)
		fail_msg("%s is gone", name);
	assert_true(fread(text, 1, sizeof(text) - 1, file) > 0);
	fclose(file);
	assert_true(strcmp(text, old) == 0 || strcmp(text, new) == 0);
}

static void test_nth_call_fails(void **state)
{
	const struct file old[] = { file_of("pin", "old pin"), file_of("key", "old key") };
	const struct file new[] = { file_of("pin", "new pin"), file_of("key", "new key") };
	struct complaint complaint;
	struct folder folder;
	int n;

	(void)state;
	for (short_writes = false;; short_writes = true) {
		bool done = false;

		for (n = 0; !done; n++) {
			assert_true(folder_open(root, &folder, &complaint));
			assert_true(folder_write(&folder, old, 2, &complaint));
			folder.calls = &failing_calls;
			calls_left = n;
			done = folder_write(&folder, new, 2, &complaint);
			assert_int_equal(entries(root), 2);
			assert_whole("pin", "old pin", "new pin");
			assert_whole("key", "old key", "new key");
			if (!done)
				assert_non_null(strstr(complaint.text, strerror(EIO)));
			folder_close(&folder);
		}
		/* a write and a flush for each file, or seven writes; two renames; one flush of the folder */
		assert_int_equal(n - 1, short_writes ? 19 : 7);
		assert_whole("pin", "new pin", "new pin");
		if (short_writes)
			break;
	}
}

static void test_full_disk(void **state)
{
	static unsigned char large[64 * 1024];
	const struct file files[] = { file_of("small", "1"),
		{ .name = "large", .bytes = { large, sizeof(large) } } };
	struct rlimit before, limit;
	struct complaint complaint;
	struct folder folder;

	(void)state;
	assert_true(folder_open(root, &folder, &complaint));
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	limit = (struct rlimit){ 5000, before.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	assert_false(folder_write(&folder, files, 2, &complaint));
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_int_equal(entries(root), 0);
	assert_true(folder_write(&folder, files, 2, &complaint));
	assert_int_equal(entries(root), 2);
	folder_close(&folder);
}

static void test_read(void **state)
{
	const struct file file = file_of("key", "abcd");
	struct complaint complaint;
	struct folder folder;
	unsigned char data[100];
	char path[300];
	size_t length;

	(void)state;
	assert_true(folder_open(root, &folder, &complaint));
	assert_int_equal(folder_read(&folder, "key", data, sizeof(data), &length, &complaint), REFUSED);
	assert_true(folder_write(&folder, &file, 1, &complaint));
	assert_int_equal(folder_read(&folder, "key", data, sizeof(data), &length, &complaint), OK);
	assert_int_equal(length, 4);
	assert_memory_equal(data, "abcd", 4);
	assert_int_equal(folder_read(&folder, "key", data, 4, &length, &complaint), FAULT);
	path_of("key", path);
	assert_int_equal(chmod(path, 0440), 0);
	assert_int_equal(folder_read(&folder, "key", data, sizeof(data), &length, &complaint), FAULT);
	assert_true(folder_remove(&folder, "key", &complaint));
	assert_true(folder_remove(&folder, "key", &complaint));
	assert_int_equal(symlink("/etc/passwd", path), 0);
	assert_int_equal(folder_read(&folder, "key", data, sizeof(data), &length, &complaint), FAULT);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkfifo(path, 0400), 0);
	assert_int_equal(folder_read(&folder, "key", data, sizeof(data), &length, &complaint), FAULT);
	folder_close(&folder);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = { IN_FOLDER(test_folders), IN_FOLDER(test_lock),
		IN_FOLDER(test_written), IN_FOLDER(test_rename_onto_folder), IN_FOLDER(test_nth_call_fails),
		IN_FOLDER(test_full_disk), IN_FOLDER(test_read) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
