#ifndef TESTS_UNIT_VAULT_FIXTURE_H
#define TESTS_UNIT_VAULT_FIXTURE_H
/* What the tests of vault/ share: a folder with a SoftHSM token store of its own, PIN files and a vault file.
 */
#include "tests/unit/unit.h"
#include "vault/file.h"

#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SHARED static __attribute__((unused))
#define SOFTHSM "/usr/lib/softhsm/libsofthsm2.so"
#define VAULT_ID "5b0c7f0e-0000-4000-8000-000000000001"
#define MEMBER "hsm-a"
#define TOKEN "vouchsafe-a"

struct place {
	char folder[64];
	char vault[96], pin[96], so_pin[96], socket[96], store[120];
	char program[PATH_MAX]; /* vouchsafe-vault */
};

SHARED void text_write(const char *path, const char *text, mode_t mode)
{
	int fd;

	unlink(path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

/* The program lies beside the tests' folder; $BUILD is the second guess. */
SHARED void program_find(char program[PATH_MAX])
{
	char self[PATH_MAX - 40];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	assert_true(n > 0);
	self[n] = '\0';
	snprintf(program, PATH_MAX, "%s/../vouchsafe-vault", dirname(self));
	if (access(program, X_OK) != 0 && getenv("BUILD") != NULL)
		snprintf(program, PATH_MAX, "%.4000s/vouchsafe-vault", getenv("BUILD"));
}

/* `more` goes into the vault file beside the usual. */
SHARED void vault_write(const struct place *place, const char *more)
{
	char text[1024];

	snprintf(text, sizeof(text),
		"{ \"vault\": \"" VAULT_ID
		"\", \"state\": \"state\", %s\n  \"members\": [ { \"name\": \"" MEMBER
		"\", \"module\": \"" SOFTHSM "\",\n    \"token\": \"" TOKEN
		"\", \"socket\": \"hsm-a.sock\", \"pin_file\": \"pin\",\n"
		"    \"so_pin_file\": \"so-pin\", \"init\": \"if-blank\" } ] }\n",
		more);
	text_write(place->vault, text, 0644);
}

SHARED void place_make(struct place *place)
{
	char path[128], text[256];

	snprintf(place->folder, sizeof(place->folder), "/tmp/vouchsafe-vault-XXXXXX");
	assert_non_null(mkdtemp(place->folder));
	snprintf(place->vault, sizeof(place->vault), "%s/vault.json", place->folder);
	snprintf(place->pin, sizeof(place->pin), "%s/pin", place->folder);
	snprintf(place->so_pin, sizeof(place->so_pin), "%s/so-pin", place->folder);
	snprintf(place->socket, sizeof(place->socket), "%s/hsm-a.sock", place->folder);
	snprintf(place->store, sizeof(place->store), "sqlite:%s/store.db", place->folder);
	snprintf(path, sizeof(path), "%s/tokens", place->folder);
	assert_int_equal(mkdir(path, 0700), 0);
	snprintf(path, sizeof(path), "%s/state", place->folder);
	assert_int_equal(mkdir(path, 0700), 0);
	snprintf(path, sizeof(path), "%s/tokens", place->folder);
	snprintf(text, sizeof(text),
		"directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n", path);
	snprintf(path, sizeof(path), "%s/softhsm2.conf", place->folder);
	text_write(path, text, 0644);
	setenv("SOFTHSM2_CONF", path, 1);
	text_write(place->pin, "123456\n", 0400);
	text_write(place->so_pin, "12345678\n", 0400);
	vault_write(place, "\"deadline\": \"5s\", \"poll\": \"1s\",");
	program_find(place->program);
}

SHARED void place_remove(const struct place *place)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf %s", place->folder);
	assert_int_equal(system(command), 0);
}

/* Too big for a stack. */
SHARED struct vault_file *file_load(const struct place *place)
{
	struct vault_file *file = malloc(sizeof(*file));
	struct complaint complaint = { "" };

	assert_non_null(file);
	if (!vault_file_load(place->vault, file, &complaint))
		fail_msg("%s", complaint.text);
	return file;
}

#endif
