/* Reads the vault file. Must never take a setting that this version does not keep. */
#include "vault/file.h"
#include "verifier/encoding.h"
#include "verifier/jsonfile.h"
#include "verifier/protect.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	FILE_MAX = 64 * 1024,
	DEADLINE_DEFAULT = 500,
	POLL_DEFAULT = 60 * 1000,
	CHECKPOINT_DEFAULT = 60 * 1000,
	HOUR = 3600 * 1000
};
#define STATE_DEFAULT "/var/lib/vouchsafe-vault"

/* The whole file, owned by the caller; NULL with the complaint. */
static unsigned char *file_bytes(const char *path, size_t *length, struct complaint *complaint)
{
	unsigned char *data = NULL;
	struct stat status;
	ssize_t n = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0 || fstat(fd, &status) != 0) {
		complain(complaint, "%s: %s", path, strerror(errno));
		goto out;
	}
	if (!S_ISREG(status.st_mode) || status.st_size > FILE_MAX) {
		complain(complaint, "%s: not a regular file of at most %d bytes", path, FILE_MAX);
		goto out;
	}
	if (!protect_file(&status, path, complaint))
		goto out;
	data = malloc(FILE_MAX);
	if (data == NULL) {
		complain(complaint, "%s: memory is out", path);
		goto out;
	}
	*length = 0;
	while (*length < FILE_MAX && (n = read(fd, data + *length, FILE_MAX - *length)) > 0)
		*length += (size_t)n;
	if (n < 0) {
		complain(complaint, "%s: %s", path, strerror(errno));
		free(data);
		data = NULL;
	}
out:
	if (fd >= 0)
		close(fd);
	return data;
}

/* Relative to the folder of the vault file. */
static bool read_path(const struct member *object, const char *name, const char *folder, char *to,
	size_t size, struct complaint *complaint)
{
	struct member member = member_of(object, name);
	const char *text;
	bool absolute;

	if (!member_string(&member, PATH_MAX - 1, &text, complaint))
		return false;
	absolute = text[0] == '/';
	if ((size_t)snprintf(to, size, "%s%s%s", absolute ? "" : folder, absolute ? "" : "/", text) < size)
		return true;
	return member_complain(
		&member, complaint, "with its folder longer than %zu bytes; choose a shorter path", size - 1);
}

static bool read_name(const struct member *object, char to[NAME_SIZE], struct complaint *complaint)
{
	struct member member = member_of(object, "name");
	const char *text;

	if (!member_string(&member, NAME_SIZE - 1, &text, complaint))
		return false;
	if (!name_valid(text))
		return member_complain(&member, complaint,
			"not a name; write small letters, digits and hyphens, such as \"hsm-a\"");
	memcpy(to, text, strlen(text) + 1);
	return true;
}

static bool read_token(const struct member *object, char to[33], struct complaint *complaint)
{
	struct member member = member_of(object, "token");
	const char *text;

	if (!member_string(&member, 32, &text, complaint))
		return false;
	for (const char *at = text; *at != '\0'; at++)
		if (*at < ' ' || *at > '~')
			return member_complain(&member, complaint, "a token's label is printable ASCII");
	if (text[strlen(text) - 1] == ' ')
		return member_complain(
			&member, complaint, "a token's label cannot end in a blank: tokens pad with them");
	memcpy(to, text, strlen(text) + 1);
	return true;
}

/* The two settings that may be left out. */
static bool read_options(
	const struct member *object, struct vault_file_member *to, struct complaint *complaint)
{
	static const char *const inits[] = { "never", "if-blank", NULL };
	struct member standby = member_of(object, "standby"), init = member_of(object, "init");
	bool is_standby = false;
	unsigned word = 0;

	if (standby.value != NULL && !member_boolean(&standby, &is_standby, complaint))
		return false;
	if (is_standby)
		return member_complain(
			&standby, complaint, "this version keeps no standby members; write false");
	if (init.value != NULL && !member_word(&init, inits, &word, complaint))
		return false;
	to->init_if_blank = word == 1;
	if (to->init_if_blank && to->so_pin_file[0] == '\0')
		return member_complain(&init, complaint, "to initialise a token takes a so_pin_file");
	return true;
}

static bool read_member(const struct member *object, const char *folder, struct vault_file_member *to,
	struct complaint *complaint)
{
	static const char *const names[] = { "name", "module", "token", "socket", "pin_file", "so_pin_file",
		"standby", "init", NULL };

	if (!member_object(object, names, complaint) || !read_name(object, to->name, complaint) ||
		!read_path(object, "module", folder, to->module, sizeof(to->module), complaint) ||
		!read_token(object, to->token, complaint) ||
		!read_path(object, "socket", folder, to->socket, sizeof(to->socket), complaint) ||
		!read_path(object, "pin_file", folder, to->pin_file, sizeof(to->pin_file), complaint))
		return false;
	if (member_of(object, "so_pin_file").value != NULL &&
		!read_path(
			object, "so_pin_file", folder, to->so_pin_file, sizeof(to->so_pin_file), complaint))
		return false;
	return read_options(object, to, complaint);
}

static bool read_id(const struct member *root, char to[37], struct complaint *complaint)
{
	struct member member = member_of(root, "vault");
	const char *text;

	if (!member_string(&member, 4 * 37, &text, complaint))
		return false;
	if (!uuid_valid(text))
		return member_complain(&member, complaint,
			"not a UUID in lower case; `cat /proc/sys/kernel/random/uuid` makes one");
	memcpy(to, text, 37);
	return true;
}

static bool read_duration(const struct member *root, const char *name, long long min, long long otherwise,
	long long *to, struct complaint *complaint)
{
	struct member member = member_of(root, name);

	*to = otherwise;
	return member.value == NULL || member_duration(&member, min, HOUR, to, complaint);
}

static bool read_state(
	const struct member *root, const char *folder, struct vault_file *to, struct complaint *complaint)
{
	if (member_of(root, "state").value != NULL)
		return read_path(root, "state", folder, to->state, sizeof(to->state), complaint);
	memcpy(to->state, STATE_DEFAULT, sizeof(STATE_DEFAULT));
	return true;
}

static bool read_members(
	const struct member *root, const char *folder, struct vault_file *to, struct complaint *complaint)
{
	struct member members = member_of(root, "members"), first, second;
	size_t n = 0;

	if (!member_array(&members, MEMBERS_MAX, &n, complaint))
		return false;
	first = member_at(&members, 0);
	if (!read_member(&first, folder, &to->members[0], complaint))
		return false;
	second = member_at(&members, 1);
	if (n > 1)
		return member_complain(
			&second, complaint, "this version keeps one member; take the others out");
	to->n_members = 1;
	return true;
}

bool vault_file_load(const char *path, struct vault_file *to, struct complaint *complaint)
{
	static const char *const names[] = { "vault", "deadline", "poll", "checkpoint", "state", "members",
		NULL };
	const char *slash = strrchr(path, '/');
	char folder[PATH_MAX];
	struct jsonfile *file = NULL;
	struct member root;
	size_t length = 0;
	unsigned char *data;
	bool loaded = false;

	memset(to, 0, sizeof(*to));
	if (strlen(path) >= sizeof(folder))
		return complain(complaint, "the vault file's path is too long");
	snprintf(folder, sizeof(folder), "%.*s", slash == NULL ? 1 : (int)(slash - path),
		slash == NULL ? "." : path);
	data = file_bytes(path, &length, complaint);
	if (data == NULL)
		return false;
	file = jsonfile_parse(path, (struct bytes){ data, length }, complaint);
	if (file == NULL)
		goto out;
	root = jsonfile_root(file);
	if (!member_object(&root, names, complaint) || !read_id(&root, to->id, complaint) ||
		!read_duration(&root, "deadline", 10, DEADLINE_DEFAULT, &to->deadline_ms, complaint) ||
		!read_duration(&root, "poll", 10, POLL_DEFAULT, &to->poll_ms, complaint) ||
		!read_duration(&root, "checkpoint", 10, CHECKPOINT_DEFAULT, &to->checkpoint_ms, complaint) ||
		!read_state(&root, folder, to, complaint) || !read_members(&root, folder, to, complaint))
		goto out;
	loaded = true;
out:
	jsonfile_free(file);
	free(data);
	return loaded;
}

const struct vault_file_member *vault_file_member(const struct vault_file *file, const char *name)
{
	for (unsigned i = 0; i < file->n_members; i++)
		if (strcmp(file->members[i].name, name) == 0)
			return &file->members[i];
	return NULL;
}
