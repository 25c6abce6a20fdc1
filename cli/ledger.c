/* `vouchsafe ledger`: what an instance has had, and how an operator allows it one more first use. */
#include "store/ledger.h"

#include "cli/commands.h"
#include "cli/installation.h"
#include "cli/table.h"
#include "verifier/encoding.h"

#include <stdio.h>

/* What both commands are about. */
struct subject {
	const char *config, *instance_id, *account_id, *region;
};

static bool subject_valid(const struct subject *subject, struct complaint *complaint)
{
	if (!instance_id_valid(subject->instance_id))
		return complain(complaint, "not an instance id; write i- and 8 or 17 hexadecimal digits");
	if (!subject->account_id || !account_id_valid(subject->account_id))
		return complain(complaint, "--account: write the account's 12 digits");
	if (!subject->region || !region_valid(subject->region))
		return complain(complaint, "--region: write a region's name, as us-east-1");
	return true;
}

/* ---- show */

static bool line_add(struct table *table, const char *name, const char *value)
{
	const char *const cells[] = { name, value };

	return table_add(table, cells);
}

/* 0 becomes `otherwise`. */
static bool moment_add(struct table *table, const char *name, long long us, const char *otherwise)
{
	char text[TIMESTAMP_SIZE];

	if (us == 0)
		return line_add(table, name, otherwise);
	timestamp_encode(us, text);
	return line_add(table, name, text);
}

static bool release_add(struct table *table, const struct ledger_row *row)
{
	char recipient[HEX_SIZE(sizeof(row->recipient_sha256))];
	char collected[32];

	hex_encode((struct bytes){ row->recipient_sha256, sizeof(row->recipient_sha256) }, recipient);
	snprintf(collected, sizeof(collected), "%u", row->collected);
	return line_add(table, "release", row->release_id) && line_add(table, "rule", row->rule) &&
	       line_add(table, "secrets", row->secrets) && line_add(table, "recipient", recipient) &&
	       moment_add(table, "granted", row->granted_us, "never") &&
	       line_add(table, "times given out", collected) &&
	       moment_add(table, "acknowledged", row->acknowledged_us, "not acknowledged yet") &&
	       moment_add(table, "retry until", row->retry_until_us, "-");
}

static bool rearm_add(struct table *table, const struct ledger_row *row)
{
	if (row->armed_us == 0)
		return true;
	return moment_add(table, "re-armed", row->armed_us, "-") &&
	       moment_add(table, "re-armed until", row->armed_until_us, "-") &&
	       line_add(table, "re-armed by", row->armed_by) &&
	       line_add(table, "re-armed because", row->armed_reason) &&
	       moment_add(table, "re-arm spent", row->spent_us,
		       row->armed_until_us > command_now() ? "not yet" : "never; it has run out");
}

static bool row_print(const struct ledger_row *row, struct complaint *complaint)
{
	static const char *const headings[] = { "", "", NULL };
	struct table *table = table_new(headings);
	bool done = table && (row->release_id[0] == '\0' || release_add(table, row)) && rearm_add(table, row);

	if (done) {
		table_bare(table);
		table_print(table, stdout);
	} else {
		complain(complaint, "out of memory");
	}
	table_free(table);
	return done;
}

int run_ledger_show(struct words words)
{
	struct subject subject = { 0 };
	const struct option options[] = { { "--config", &subject.config, NULL },
		{ "--account", &subject.account_id, NULL }, { "--region", &subject.region, NULL }, { 0 } };
	struct complaint complaint = { 0 };
	struct reason reason = { 0 };
	struct ledger_row row = { 0 };
	struct installation *installation;
	bool done;

	if (!command_line_take(words, options, &subject.instance_id, 1, &complaint) ||
		!subject_valid(&subject, &complaint))
		return command_misused(&complaint);
	installation = installation_open(subject.config, STORE_READ, &complaint);
	if (!installation)
		return command_failed(&complaint);
	done = ledger_show(installation->store, subject.account_id, subject.region, subject.instance_id, &row,
		       &reason) == OK;
	if (!done)
		complain(&complaint, "%s", reason.text);
	done = done && row_print(&row, &complaint);
	installation_close(installation);
	return done ? command_done() : command_failed(&complaint);
}

/* ---- rearm */

static bool rearm_valid(const struct rearm *rearm, struct complaint *complaint)
{
	if (!rearm->reason)
		return complain(complaint, "--reason TEXT is missing; it stands in the audit trail");
	return rearm->until_us > rearm->now_us || complain(complaint, "--until: that is over already");
}

static bool key_take(
	const char *text, unsigned char key[32], struct rearm *rearm, struct complaint *complaint)
{
	if (!text)
		return true;
	rearm->recipient_sha256 = key;
	return hex_decode(text, key, 32) ||
	       complain(complaint,
		       "--key: not a SHA-256; write the 64 lower-case digits that the agent calls its "
		       "recipient");
}

static int rearm_run(const char *config, struct rearm *rearm)
{
	struct complaint complaint = { 0 };
	struct reason reason = { 0 };
	char until[TIMESTAMP_SIZE];
	struct installation *installation = installation_open(config, STORE_TOOL, &complaint);
	enum outcome outcome;

	if (!installation)
		return command_failed(&complaint);
	rearm->actor = installation->actor;
	outcome = ledger_rearm(installation->store, rearm, &reason);
	installation_close(installation);
	if (outcome != OK) {
		complain(&complaint, "%s", reason.text);
		return command_failed(&complaint);
	}
	timestamp_encode(rearm->until_us, until);
	printf("re-armed: %s, once, until %s, for %s\n", rearm->instance_id, until,
		rearm->recipient_sha256 ? "that key" : "any key");
	return command_done();
}

int run_ledger_rearm(struct words words)
{
	struct subject subject = { 0 };
	struct rearm rearm = { .now_us = command_now() };
	const char *until = NULL, *key_text = NULL;
	const struct option options[] = { { "--config", &subject.config, NULL },
		{ "--account", &subject.account_id, NULL }, { "--region", &subject.region, NULL },
		{ "--reason", &rearm.reason, NULL }, { "--until", &until, NULL },
		{ "--key", &key_text, NULL }, { 0 } };
	struct complaint complaint = { 0 };
	unsigned char key[32];

	if (!command_line_take(words, options, &subject.instance_id, 1, &complaint) ||
		!subject_valid(&subject, &complaint) ||
		!moment_take("--until", until ? until : "", true, &rearm.until_us, &complaint) ||
		!rearm_valid(&rearm, &complaint) || !key_take(key_text, key, &rearm, &complaint))
		return command_misused(&complaint);
	rearm.account_id = subject.account_id;
	rearm.region = subject.region;
	rearm.instance_id = subject.instance_id;
	return rearm_run(subject.config, &rearm);
}
