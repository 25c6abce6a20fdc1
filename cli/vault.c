/* `vouchsafe vault` and `vouchsafe secret`. Must never hold a secret's value: it goes from its file
 * descriptor straight to the member process. */
#include "cli/commands.h"
#include "cli/installation.h"
#include "cli/table.h"
#include "verifier/encoding.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int run_setup(struct words words, bool (*run)(const struct setup *, struct complaint *))
{
	const char *config = NULL, *program = NULL;
	const struct option options[] = { { "--config", &config, NULL },
		{ "--vault-program", &program, NULL }, { 0 } };
	struct complaint complaint = { 0 };
	struct installation *installation;
	struct setup setup;
	bool done;

	if (!command_line_take(words, options, NULL, 0, &complaint))
		return command_misused(&complaint);
	installation = installation_open(config, STORE_TOOL, &complaint);
	done = installation && installation_setup(installation, program, &setup, &complaint) &&
	       run(&setup, &complaint);
	installation_close(installation);
	return done ? command_done() : command_failed(&complaint);
}

int run_vault_apply(struct words words)
{
	return run_setup(words, vault_apply);
}

int run_vault_status(struct words words)
{
	return run_setup(words, vault_status);
}

/* ---- secrets */

static bool kind_fits(const char *kind, struct complaint *complaint)
{
	return (kind && secret_kind_valid(kind)) ||
	       complain(complaint, "--kind: write one of pin, private-key, certificate, opaque");
}

static bool name_fits(const char *name, struct complaint *complaint)
{
	return secret_name_valid(name) ||
	       complain(complaint,
		       "not a secret's name; write [a-z0-9][a-z0-9-]{0,62} (node and canary are the "
		       "vault's own)");
}

static bool input_open(const char *path, int *input, struct complaint *complaint)
{
	*input = path ? open(path, O_RDONLY | O_CLOEXEC) : STDIN_FILENO;
	if (*input < 0)
		return complain(complaint, "--file: cannot open %s: %s", path, strerror(errno));
	if (!path && isatty(STDIN_FILENO))
		return complain(complaint,
			"standard input is a terminal, which would show the value; give --file FILE, or "
			"pipe the value in");
	return true;
}

static bool secret_put(
	const char *config, const char *program, const struct secret_put *put, struct complaint *complaint)
{
	struct installation *installation = installation_open(config, STORE_TOOL, complaint);
	struct setup setup;
	unsigned version = 0;
	bool done = installation && installation_setup(installation, program, &setup, complaint) &&
		    vault_secret_put(&setup, put, &version, complaint);

	if (done)
		printf("stored: %s version %u (%s)\n", put->name, version, put->kind);
	installation_close(installation);
	return done;
}

int run_secret_put(struct words words)
{
	const char *config = NULL, *program = NULL, *file = NULL;
	struct secret_put put = { 0 };
	const struct option options[] = { { "--config", &config, NULL },
		{ "--vault-program", &program, NULL }, { "--kind", &put.kind, NULL },
		{ "--file", &file, NULL }, { "--comment", &put.comment, NULL }, { 0 } };
	struct complaint complaint = { 0 };
	bool done;

	if (!command_line_take(words, options, &put.name, 1, &complaint) ||
		!name_fits(put.name, &complaint) || !kind_fits(put.kind, &complaint))
		return command_misused(&complaint);
	if (!input_open(file, &put.input, &complaint))
		return command_failed(&complaint);
	done = secret_put(config, program, &put, &complaint);
	if (file)
		close(put.input);
	return done ? command_done() : command_failed(&complaint);
}

/* What is the vault's own is nobody's secret. */
static bool own_kind(const char *kind)
{
	return strcmp(kind, "node") == 0 || strcmp(kind, "canary") == 0;
}

static bool list_row(void *context, const struct envelope_row *row)
{
	char version[16], size[24], stored[TIMESTAMP_SIZE];
	const char *const cells[] = { row->name, row->kind, version, size, stored };

	if (own_kind(row->kind))
		return true;
	snprintf(version, sizeof(version), "%u", row->version);
	snprintf(size, sizeof(size), "%zu", row->size);
	timestamp_encode(row->stored_us, stored);
	return table_add(context, cells);
}

static bool secrets_print(const struct installation *installation, struct complaint *complaint)
{
	static const char *const headings[] = { "NAME", "KIND", "VERSION", "BYTES", "STORED", NULL };
	struct table *table = table_new(headings);
	struct reason reason = { 0 };
	bool done = false;

	if (!table) {
		complain(complaint, "out of memory");
	} else if (store_envelope_list(installation->store, list_row, table, &reason) != OK) {
		complain(complaint, "%s", reason.text);
	} else {
		table_print(table, stdout);
		done = true;
	}
	table_free(table);
	return done;
}

int run_secret_list(struct words words)
{
	const char *config = NULL;
	const struct option options[] = { { "--config", &config, NULL }, { 0 } };
	struct complaint complaint = { 0 };
	struct installation *installation;
	bool done;

	if (!command_line_take(words, options, NULL, 0, &complaint))
		return command_misused(&complaint);
	installation = installation_open(config, STORE_READ, &complaint);
	done = installation && secrets_print(installation, &complaint);
	installation_close(installation);
	return done ? command_done() : command_failed(&complaint);
}

static bool version_take(const char *text, unsigned *version, struct complaint *complaint)
{
	size_t digits = text ? strspn(text, "0123456789") : 0;

	*version = 0;
	if (!text)
		return true;
	if (digits == 0 || digits > 9 || text[digits] != '\0' || strtoul(text, NULL, 10) == 0)
		return complain(complaint, "--version: not a version; write a number from 1");
	*version = (unsigned)strtoul(text, NULL, 10);
	return true;
}

int run_secret_remove(struct words words)
{
	const char *config = NULL, *name = NULL, *version_text = NULL, *comment = NULL;
	const struct option options[] = { { "--config", &config, NULL }, { "--version", &version_text, NULL },
		{ "--comment", &comment, NULL }, { 0 } };
	struct complaint complaint = { 0 };
	struct reason reason = { 0 };
	struct installation *installation;
	unsigned version;
	bool done;

	if (!command_line_take(words, options, &name, 1, &complaint) || !name_fits(name, &complaint) ||
		!version_take(version_text, &version, &complaint))
		return command_misused(&complaint);
	installation = installation_open(config, STORE_TOOL, &complaint);
	done = installation && store_envelope_remove(installation->store, name, version, installation->actor,
				       comment, &reason) == OK;
	if (installation && !done)
		complain(&complaint, "%s", reason.text);
	installation_close(installation);
	if (!done)
		return command_failed(&complaint);
	printf("removed: %s %s%s\n", name, version ? "version " : "in all its versions",
		version ? version_text : "");
	return command_done();
}
