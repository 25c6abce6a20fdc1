/* Configuration, store, vault file and the operator's name: what nearly every command begins with. Must never
 * start another vouchsafe-vault than the one that belongs to this program without being told so. */
#include "cli/installation.h"

#include "store/restore.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A name that may stand in the trail as it is. */
static bool user_valid(const char *name)
{
	size_t length =
		name ? strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-$@+")
		     : 0;

	return length > 0 && length < 64 && name[length] == '\0';
}

/* Who asks: behind sudo the one who typed it. That much root could always pretend, but then knowingly. */
static void actor_fill(char actor[ACTOR_SIZE])
{
	const char *name = geteuid() == 0 ? getenv("SUDO_USER") : NULL;
	const struct passwd *user = getpwuid(getuid());

	if (!user_valid(name))
		name = user ? user->pw_name : NULL;
	if (user_valid(name))
		snprintf(actor, ACTOR_SIZE, "operator:%s", name);
	else
		snprintf(actor, ACTOR_SIZE, "operator:uid-%lu", (unsigned long)getuid());
}

bool installation_actor(struct installation *installation, const char *name)
{
	if (!user_valid(name))
		return false;
	snprintf(installation->actor, sizeof(installation->actor), "operator:%s", name);
	return true;
}

/* Migrations may last. */
static void said(void *context, const char *text)
{
	(void)context;
	fprintf(stderr, "%s\n", text);
}

static struct installation *installation_new(const char *path, struct complaint *complaint)
{
	struct installation *installation = calloc(1, sizeof(*installation));

	if (!installation) {
		complain(complaint, "out of memory");
		return NULL;
	}
	actor_fill(installation->actor);
	if (config_load(path ? path : CONFIG_DEFAULT, &installation->config, complaint))
		return installation;
	installation_close(installation);
	return NULL;
}

static struct store_settings settings_of(const struct installation *installation, enum store_use use)
{
	return (struct store_settings){ .uri = installation->config.store,
		.use = use,
		.node = installation->config.node,
		.min_sync_standbys = installation->config.min_sync_standbys,
		.told = said };
}

struct installation *installation_open(const char *path, enum store_use use, struct complaint *complaint)
{
	struct installation *installation = installation_new(path, complaint);
	struct store_settings settings;

	if (!installation)
		return NULL;
	settings = settings_of(installation, use);
	installation->store = store_open(&settings, complaint);
	if (installation->store)
		return installation;
	installation_close(installation);
	return NULL;
}

struct installation *installation_restore(
	const char *path, const char *uri, unsigned schema, struct complaint *complaint)
{
	struct installation *installation = installation_new(path, complaint);
	struct store_settings settings;

	if (!installation)
		return NULL;
	settings = settings_of(installation, STORE_RESTORE);
	if (uri)
		settings.uri = uri;
	installation->store = restore_begin(&settings, schema, complaint);
	if (installation->store)
		return installation;
	installation_close(installation);
	return NULL;
}

bool installation_read_alone(struct installation *installation, struct complaint *complaint)
{
	struct store_settings settings = settings_of(installation, STORE_READ);

	store_close(installation->store);
	installation->store = store_open(&settings, complaint);
	return installation->store;
}

void installation_close(struct installation *installation)
{
	if (!installation)
		return;
	if (installation->store)
		store_close(installation->store);
	free(installation);
}

/* Is there an executable of that name in this folder (the first `length` characters)? */
static bool program_in(const char *folder, size_t length, char program[PATH_MAX])
{
	int written = snprintf(program, PATH_MAX, "%.*s/vouchsafe-vault", (int)length, folder);

	return length > 0 && folder[0] == '/' && written < PATH_MAX && access(program, X_OK) == 0;
}

static bool program_beside(char program[PATH_MAX])
{
	char self[PATH_MAX];
	ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
	const char *slash = length > 0 ? memrchr(self, '/', (size_t)length) : NULL;

	return slash && program_in(self, (size_t)(slash - self), program);
}

/* Along a list of folders with ":" between them; relative ones are passed over. */
static bool program_along(const char *folders, char program[PATH_MAX])
{
	while (folders && *folders) {
		size_t length = strcspn(folders, ":");

		if (program_in(folders, length, program))
			return true;
		folders += length + (folders[length] == ':');
	}
	return false;
}

static bool program_find(const char *given, char program[PATH_MAX], struct complaint *complaint)
{
	if (given) {
		snprintf(program, PATH_MAX, "%s", given);
		return access(program, X_OK) == 0 ||
		       complain(complaint, "--vault-program: %s cannot be run", given);
	}
	return program_beside(program) || program_along(getenv("PATH"), program) ||
	       program_along("/usr/local/sbin:/usr/sbin:/sbin", program) ||
	       complain(complaint,
		       "vouchsafe-vault is neither beside this program nor along PATH; say where it is "
		       "with --vault-program");
}

static void say(void *context, const char *line)
{
	(void)context;
	puts(line);
	fflush(stdout);
}

bool installation_setup(struct installation *installation, const char *program, struct setup *setup,
	struct complaint *complaint)
{
	if (!vault_file_load(installation->config.vault, &installation->vault, complaint) ||
		!program_find(program, installation->program, complaint))
		return false;
	*setup = (struct setup){ .program = installation->program,
		.vault_path = installation->config.vault,
		.file = &installation->vault,
		.store = installation->store,
		.actor = installation->actor,
		.said = say };
	return true;
}
