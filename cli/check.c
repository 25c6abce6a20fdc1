/* `vouchsafe config check` and `policy check`: what the server would say at its start, without starting it.
 */
#include "cli/commands.h"
#include "cli/installation.h"
#include "cli/table.h"
#include "policy/tests.h"
#include "server/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* Reads --config and the file; NULL with the exit status in *status. */
static struct config *config_take(struct words words, int *status)
{
	const char *path = NULL;
	const struct option options[] = { { "--config", &path, NULL }, { 0 } };
	struct complaint complaint = { 0 };
	struct config *config;

	if (!command_line_take(words, options, NULL, 0, &complaint)) {
		*status = command_misused(&complaint);
		return NULL;
	}
	config = malloc(sizeof(*config));
	if (config && config_load(path ? path : CONFIG_DEFAULT, config, &complaint))
		return config;
	if (!config)
		complain(&complaint, "out of memory");
	free(config);
	*status = command_failed(&complaint);
	return NULL;
}

static void warn(void *context, const char *text)
{
	(void)context;
	command_note("warning: %s", text);
}

static int policy_report(const struct config *config)
{
	struct complaint complaint = { 0 };
	struct anchors *anchors = config_anchors(config, &complaint);
	struct policy *policy = anchors ? config_policy(config, anchors, &complaint) : NULL;

	anchors_free(anchors);
	if (!policy)
		return command_failed(&complaint);
	policy_warnings(policy, warn, NULL);
	printf("ok: %s: %zu rule%s, sha256 %s\n", config->policy, policy_rules(policy),
		policy_rules(policy) == 1 ? "" : "s", policy_sha256(policy));
	policy_free(policy);
	return command_done();
}

int run_policy_check(struct words words)
{
	int status;
	struct config *config = config_take(words, &status);

	if (config)
		status = policy_report(config);
	free(config);
	return status;
}

static void test_row(void *context, const struct policy_test *test)
{
	const char *const cells[] = { test->passed ? "ok" : "FAILED", test->name, test->expected,
		test->verdict, test->why };
	bool *added = ((void **)context)[1];

	*added = *added && table_add(((void **)context)[0], cells);
}

static int tests_report(const struct config *config)
{
	static const char *const headings[] = { "", "TEST", "EXPECTED", "VERDICT", "WHY", NULL };
	struct table *table = table_new(headings);
	struct complaint complaint = { 0 };
	bool added = table != NULL;
	void *context[] = { table, &added };
	unsigned char *text;
	size_t length;
	bool passed;

	text = config_file_read(config->policy, POLICY_BYTES_MAX, &length, &complaint);
	passed = text &&
		 policy_test(config->policy, (struct bytes){ text, length }, test_row, context, &complaint);
	free(text);
	if (added)
		table_print(table, stdout);
	table_free(table);
	return passed && added ? command_done() : command_failed(&complaint);
}

int run_policy_test(struct words words)
{
	int status;
	struct config *config = config_take(words, &status);

	if (config)
		status = tests_report(config);
	free(config);
	return status;
}

static int vault_report(const struct config *config)
{
	struct complaint complaint = { 0 };
	struct vault_file *vault = malloc(sizeof(*vault));
	bool loaded = vault && vault_file_load(config->vault, vault, &complaint);

	if (loaded)
		printf("ok: %s: %u member%s\n", config->vault, vault->n_members,
			vault->n_members == 1 ? "" : "s");
	else if (!vault)
		complain(&complaint, "out of memory");
	free(vault);
	return loaded ? command_done() : command_failed(&complaint);
}

static bool tls_report(const struct tls_files *files)
{
	struct complaint complaint = { 0 }, warning = { 0 };

	if (!files->certificate[0])
		return true;
	if (!config_tls_check(files, time(NULL), &warning, &complaint)) {
		command_failed(&complaint);
		return false;
	}
	if (warning.text[0])
		command_note("warning: %s", warning.text);
	printf("ok: %s%s%s\n", files->certificate, files->client_ca[0] ? ", " : "", files->client_ca);
	return true;
}

int run_config_check(struct words words)
{
	int status;
	struct config *config = config_take(words, &status);

	if (!config)
		return status;
	printf("ok: %s: node %s\n", config->path, config->node);
	if (config->development)
		command_note("warning: \"development\": true is for simulated clouds alone");
	status = policy_report(config);
	if (vault_report(config) != COMMAND_DONE)
		status = COMMAND_FAILED;
	if (!tls_report(&config->tls))
		status = COMMAND_FAILED;
	if (!tls_report(&config->ops_tls))
		status = COMMAND_FAILED;
	free(config);
	return status;
}
