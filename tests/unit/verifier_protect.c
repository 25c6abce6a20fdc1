/* A protected process, each time in a child: nothing may have been allocated before. */
#include "tests/unit/unit.h"
#include "verifier/protect.h"

#include <jansson.h>
#include <openssl/crypto.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	HEAP = 1 << 16,
	BLOCK = 200,
	LEFT = 64 /* of a block, behind what an allocator writes into free ones */
};

static const struct protection locked = { HEAP, MEMORY_JSON_LOCKED };

/* What the child gives back. */
static int in_child(int (*run)(void))
{
	int status;
	pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0)
		_exit(run());
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static int protected(void)
{
	struct complaint complaint = { "" };
	struct rlimit core;
	char *text;

	if (protect_process(&locked, &complaint) != OK || complaint.text[0])
		return 1;
	if (prctl(PR_GET_DUMPABLE) != 0 || getrlimit(RLIMIT_CORE, &core) != 0 || core.rlim_cur ||
		core.rlim_max)
		return 2;
	text = json_dumps(json_pack("[s]", "secret"), 0);
	if (!text || !CRYPTO_secure_allocated(text))
		return 3;
	if (protect_process(&locked, &complaint) != FAULT || !complaint.text[0]) /* too late */
		return 4;
	return 0;
}

static void test_protected(void **state)
{
	(void)state;
	assert_int_equal(in_child(protected), 0);
}

/* Is it still there where it was freed? Asked of the kernel, so that no sanitizer minds. */
static bool left_behind(const void *block)
{
	unsigned char now[LEFT], was[LEFT];
	const struct iovec here = { now, LEFT };
	const struct iovec there = { (char *)(ptrdiff_t)block + BLOCK - LEFT, LEFT };

	memset(was, 'n', LEFT);
	if (process_vm_readv(getpid(), &here, 1, &there, 1, 0) != LEFT)
		_exit(90);
	return memcmp(now, was, LEFT) == 0;
}

/* In a way that no compiler leaves out for being in vain. */
static ptrdiff_t fill(char *block)
{
	for (volatile char *at = block; at < block + BLOCK; at++)
		*at = 'n';
	return (ptrdiff_t)block;
}

static int wiped(void)
{
	const struct protection plain = { HEAP, MEMORY_JSON_PLAIN };
	struct complaint complaint;
	json_malloc_t json_allocate;
	json_free_t json_free;
	volatile ptrdiff_t old;
	char *block = malloc(BLOCK);

	old = fill(block);
	free(block);
	if (!left_behind((void *)old)) /* else this could not fail */
		return 1;
	if (protect_process(&plain, &complaint) != OK)
		return 2;
	block = OPENSSL_malloc(BLOCK);
	old = fill(block);
	block = OPENSSL_realloc(block, 5000);
	if (!block || block[BLOCK - 1] != 'n' || left_behind((void *)old))
		return 3;
	old = (ptrdiff_t)block;
	OPENSSL_free(block);
	if (left_behind((void *)old))
		return 4;
	json_get_alloc_funcs(&json_allocate, &json_free);
	block = json_allocate(BLOCK);
	old = fill(block);
	json_free(block);
	return left_behind((void *)old) ? 5 : 0;
}

static void test_freed_memory_is_wiped(void **state)
{
	(void)state;
	assert_int_equal(in_child(wiped), 0);
}

static int unlocked(void)
{
	const struct rlimit little = { 4096, 4096 };
	struct complaint complaint = { "" };

	if (setrlimit(RLIMIT_MEMLOCK, &little) != 0 || (geteuid() == 0 && setuid(65534) != 0))
		return 1;
	if (protect_process(&locked, &complaint) != UNAVAILABLE)
		return 2;
	return strstr(complaint.text, "raise RLIMIT_MEMLOCK, which is 4 KiB") ? 0 : 3;
}

static void test_unlocked_is_told(void **state)
{
	(void)state;
	assert_int_equal(in_child(unlocked), 0);
}

/* Whatever this process was started with: what it takes on is no longer absent. */
static void test_absent_is_told(void **state)
{
	char text[PROTECT_TEXT];
	bool had = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1;

	(void)state;
	protect_absent(text);
	assert_int_equal(strstr(text, "NoNewPrivileges") == NULL, had);
	assert_int_equal(strstr(text, "root") != NULL, geteuid() == 0);
	assert_int_equal(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
	protect_absent(text);
	assert_null(strstr(text, "NoNewPrivileges"));
	assert_true(strlen(text) < PROTECT_TEXT - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_protected),
		cmocka_unit_test(test_freed_memory_is_wiped), cmocka_unit_test(test_unlocked_is_told),
		cmocka_unit_test(test_absent_is_told) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
