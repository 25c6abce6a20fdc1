/* `vouchsafe`, for operators and auditors: finds the command and runs it. */
#include "cli/commands.h"
#include "verifier/protect.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

static const struct command {
	const char *name;
	int (*run)(struct words);
	const char *usage, *what;
} commands[] = {
	{ "vault apply", run_vault_apply, "[--vault-program FILE]",
		"make the tokens of the vault file one vault; safe to run again" },
	{ "vault status", run_vault_status, "[--vault-program FILE]", "each member's token, key and canary" },
	{ "secret put", run_secret_put,
		"NAME --kind pin|private-key|certificate|opaque [--file FILE] [--comment TEXT] "
		"[--vault-program FILE]",
		"store a new version; the value comes from the file or standard input" },
	{ "secret list", run_secret_list, "", "names, kinds, versions and sizes; never a value" },
	{ "secret remove", run_secret_remove, "NAME [--version N] [--comment TEXT]",
		"one version, or all of them" },
	{ "ledger show", run_ledger_show,
		"INSTANCE --account A --region R | --rule R [--launched-after T] "
		"[--state granted|sealed|acknowledged|conflicting]; [--json]",
		"what an instance has had, or those of a rule" },
	{ "ledger rearm", run_ledger_rearm,
		"INSTANCE --account A --region R | --rule R --launched-after T [--yes]; --reason TEXT "
		"--until 30m [--key SHA256HEX]",
		"allow one more first use, for a while; of a rule's instances, --yes: not only count them" },
	{ "backup", run_backup, "--to FILE --recipient CERTIFICATE.pem [--recipient ...]",
		"the whole database in a file that only these keys open" },
	{ "restore", run_restore, "FILE --key KEY.pem [--store URI]",
		"make an empty database what a backup says" },
	{ "restore --accept", run_restore_accept, "--reason TEXT [--actor NAME] [--vault-program FILE]",
		"an older database is the true one from now on: the vault's members take its head for the "
		"last" },
	{ "audit query", run_audit_query,
		"[--instance-id I] [--request-id I] [--release-id I] [--role R] [--event E] [--outcome O] "
		"[--since T] [--until T] [--limit N | "
		"--all] "
		"[--ascending] [--json] [--url URL] [--ca FILE] [--token-file FILE | --cert FILE --key FILE]",
		"ask the ops listener for events of the trail" },
	{ "audit verify", run_audit_verify, "", "walk the whole chain of events in the store" },
	{ "certificates list", run_certificates_list, "[--folder DIR]",
		"the certificates for identity documents, and which of them are AWS's own" },
	{ "certificates check", run_certificates_check, "[--folder DIR] [--own]",
		"are all of them AWS's own, each in its region's file, and valid? --own: or yours" },
	{ "certificates add", run_certificates_add, "FILE --region R [--folder DIR] [--own]",
		"take a region's certificate; --own: also one that AWS is not known to publish" },
	{ "config check", run_config_check, "", "is the configuration right, with the files that it names?" },
	{ "policy check", run_policy_check, "",
		"is the policy right, and what in it is worth a second look?" },
	{ "policy test", run_policy_test, "", "run the tests that stand in the policy file" },
	{ "policy explain", run_policy_explain,
		"REQUEST-OR-RELEASE-ID [--url URL] [--ca FILE] [--token-file FILE | --cert FILE --key FILE]",
		"every check of one decision, from the trail" },
};

enum { COMMANDS = sizeof(commands) / sizeof(commands[0]) };

static int print_help(void)
{
	size_t i;

	puts("vouchsafe: gives a freshly booted instance its first secrets, once.\n");
	for (i = 0; i < COMMANDS; i++)
		printf("  vouchsafe %s%s%s\n      %s\n", commands[i].name, commands[i].usage[0] ? " " : "",
			commands[i].usage, commands[i].what);
	puts("  vouchsafe help | --version\n\n"
	     "All take --config FILE (default: /etc/vouchsafe/vouchsafe.json). T is a time, "
	     "2026-01-02T03:04:05Z, or a\n"
	     "duration, 30m. VOUCHSAFE_TOKEN_FILE names the file with the auditor's token.\n"
	     "Exit status: 0 done, 1 failed, 2 not understood.");
	return command_done();
}

static const struct command *command_find(const char *name)
{
	size_t i;

	for (i = 0; i < COMMANDS; i++) {
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	}
	return NULL;
}

static int unknown(const char *typed)
{
	const char *names[COMMANDS + 2] = { "help" };
	const char *nearest;
	size_t i;

	for (i = 0; i < COMMANDS; i++)
		names[i + 1] = commands[i].name;
	nearest = word_nearest(typed, names);
	if (nearest)
		command_note("no such command; did you mean: vouchsafe %s", nearest);
	else
		command_note("no such command; see: vouchsafe help");
	return COMMAND_MISUSED;
}

static int help_of(const struct command *command)
{
	printf("vouchsafe %s%s%s\n    %s\n", command->name, command->usage[0] ? " " : "", command->usage,
		command->what);
	return command_done();
}

int main(int argc, char *argv[])
{
	/* no secret passes here: a value goes from its file straight to a member process, and nothing is
	 * locked */
	static const struct protection protection = { .heap = 0 };
	const struct command *command;
	struct complaint complaint;
	struct words words;
	char typed[80];

	if (protect_process(&protection, &complaint) != OK)
		return command_failed(&complaint);
	signal(SIGPIPE, SIG_IGN); /* a member process that dies, or a pager that is left */
	if (argc == 2 && strcmp(argv[1], "--version") == 0) {
		puts("vouchsafe " VOUCHSAFE_VERSION);
		return command_done();
	}
	if (argc == 2 && (strcmp(argv[1], "help") == 0 || strcmp(argv[1], "--help") == 0))
		return print_help();
	snprintf(typed, sizeof(typed), "%s%s%s", argc > 1 ? argv[1] : "", argc > 2 ? " " : "",
		argc > 2 ? argv[2] : "");
	command = command_find(typed);
	words = (struct words){ argc - 3, argv + 3 };
	if (!command && argc > 1) { /* one of a single word */
		command = command_find(argv[1]);
		words = (struct words){ argc - 2, argv + 2 };
	}
	if (!command)
		return unknown(typed);
	if (words.n == 1 && strcmp(words.word[0], "--help") == 0)
		return help_of(command);
	return command->run(words);
}
