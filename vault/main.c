/* vouchsafe-vault: one HSM member as a process of its own, the only program that loads a PKCS#11 module or
 * holds a plaintext secret. Here: the command line, and the order in which it becomes safe to begin. */
#include "vault/identity.h"
#include "vault/listener.h"
#include "vault/log.h"
#include "vault/member.h"
#include "vault/pin.h"
#include "vault/setup_member.h"
#include "verifier/protect.h"

#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

enum { SECURE_HEAP = 2 << 20 }; /* a secret and its payload, for each connection */

static const char usage[] = "usage: vouchsafe-vault --member NAME --vault FILE [--allow-user USER]...\n"
			    "Serves one member of the vault on the UNIX socket that the vault file names.\n"
			    "  --member NAME      which member of the vault file this is\n"
			    "  --vault FILE       the vault file\n"
			    "  --allow-user USER  who may connect, by name or number (default: vouchsafe);\n"
			    "                     the process's own user always may\n"
			    "  --help, --version\n";

struct arguments {
	const char *member, *vault;
	int setup; /* the socket of a process that was started for set-up; -1: none */
	struct allowed allowed;
};

/* -1: go on; otherwise the exit status. */
static int arguments_read(int argc, char **argv, struct arguments *arguments, struct complaint *complaint)
{
	static const struct option options[] = { { "member", required_argument, NULL, 'm' },
		{ "vault", required_argument, NULL, 'f' }, { "allow-user", required_argument, NULL, 'a' },
		{ "setup", required_argument, NULL, 's' }, { "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'v' }, { NULL, 0, NULL, 0 } };
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 'm':
			arguments->member = optarg;
			break;
		case 'f':
			arguments->vault = optarg;
			break;
		case 'a':
			if (!allowed_add(&arguments->allowed, optarg, complaint))
				return EX_USAGE;
			break;
		case 's':
			arguments->setup = atoi(optarg);
			break;
		case 'h':
			fputs(usage, stdout);
			return EX_OK;
		case 'v':
			puts("vouchsafe-vault " VOUCHSAFE_VERSION);
			return EX_OK;
		default:
			return EX_USAGE;
		}
	}
	if (arguments->member != NULL && arguments->vault != NULL && optind == argc)
		return -1;
	complain(complaint, "--member and --vault are needed, and nothing else; --help says more");
	return EX_USAGE;
}

/* Everything that has to be so before the module is loaded. */
static const struct vault_file_member *prepare(const struct arguments *arguments, struct vault_file *file,
	struct so_pin *so_pin, struct complaint *complaint)
{
	const struct vault_file_member *self;

	if (!vault_file_load(arguments->vault, file, complaint))
		return NULL;
	self = vault_file_member(file, arguments->member);
	if (self == NULL) {
		complain(complaint, "%s has no member %s", arguments->vault, arguments->member);
		return NULL;
	}
	/* the SO PIN may be root's alone */
	if (arguments->setup >= 0)
		so_pin_read(so_pin, self);
	if (!identity_take(self->pin_file, complaint) || !protect_undumpable(complaint))
		return NULL;
	return self;
}

/* Before the module is loaded, which may do anything. */
static void protections_look(const char *member)
{
	char absent[PROTECT_TEXT];

	protect_absent(absent);
	if (absent[0] != '\0')
		log_line(LOG_WARNING, "protections-absent", "member", member, "text", absent, "mend",
			"start it by its unit, conf/systemd/vouchsafe-vault@.service", NULL);
}

static int run(struct arguments *arguments, struct complaint *complaint)
{
	static struct vault_file file;
	struct so_pin so_pin = { .pin = { .data = NULL } };
	const struct vault_file_member *self = prepare(arguments, &file, &so_pin, complaint);
	int status = EX_CONFIG;

	if (self != NULL && arguments->setup >= 0) {
		status = setup_serve(arguments->setup, &file, self, &so_pin);
	} else if (self != NULL && allowed_defaults(&arguments->allowed, complaint)) {
		protections_look(self->name);
		status = member_serve(&file, self, &arguments->allowed);
	}
	pin_clear(&so_pin.pin);
	return status;
}

int main(int argc, char **argv)
{
	static const struct protection protection = { .heap = SECURE_HEAP };
	struct arguments arguments = { .setup = -1 };
	struct complaint complaint = { "" };
	int status = EX_OSERR;

	if (protect_process(&protection, &complaint) != OK)
		goto out;
	status = arguments_read(argc, argv, &arguments, &complaint);
	if (status >= 0)
		goto out;
	if (arguments.setup >= 0 && (fcntl(arguments.setup, F_SETFD, FD_CLOEXEC) != 0 ||
					    fcntl(arguments.setup, F_SETFL, O_NONBLOCK) != 0)) {
		complain(&complaint, "--setup is for the vouchsafe command alone");
		arguments.setup = -1;
		status = EX_USAGE;
		goto out;
	}
	status = run(&arguments, &complaint);
out:
	if (complaint.text[0] != '\0' && arguments.setup >= 0)
		setup_refuse(arguments.setup, complaint.text);
	else if (complaint.text[0] != '\0')
		log_line(LOG_ERROR, "not-started", "text", complaint.text, NULL);
	return status;
}
