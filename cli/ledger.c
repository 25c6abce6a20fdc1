/* `vouchsafe ledger` for one instance: what it has had, and how an operator allows it one more first use.
 * cli/fleet.c is the same for those of a rule. */
#include "cli/ledger.h"

#include "cli/commands.h"
#include "cli/installation.h"
#include "cli/table.h"
#include "verifier/encoding.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

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

/* 0: null. */
static json_t *moment_json(long long us)
{
	char text[TIMESTAMP_SIZE];

	if (us == 0)
		return json_null();
	timestamp_encode(us, text);
	return json_string(text);
}

bool ledger_row_print(const struct ledger_row *row, struct complaint *complaint)
{
	char recipient[HEX_SIZE(sizeof(row->recipient_sha256))];
	json_t *object;
	char *text;

	hex_encode((struct bytes){ row->recipient_sha256, sizeof(row->recipient_sha256) }, recipient);
	object = json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:o,s:o,s:o,s:o,s:o,s:o,s:I,s:I}",
		"instance-id", row->instance, "account-id", row->account, "region", row->region, "role",
		row->role, "rule", row->rule, "state", ledger_state_name(row->state), "release_id",
		row->release_id, "recipient", recipient, "secrets", row->secrets, "launched",
		moment_json(row->launch_time * 1000000), "granted", moment_json(row->granted_us), "sealed",
		moment_json(row->sealed_us), "acknowledged", moment_json(row->acknowledged_us),
		"last_conflict", moment_json(row->conflict_us), "retry_until",
		moment_json(row->retry_until_us), "conflicts", (json_int_t)row->conflicts, "given_out",
		(json_int_t)row->collected);
	if (row->armed_us > 0)
		json_object_set_new(object, "rearm",
			json_pack("{s:o,s:o,s:o,s:s,s:s}", "armed", moment_json(row->armed_us), "until",
				moment_json(row->armed_until_us), "spent", moment_json(row->spent_us), "by",
				row->armed_by, "reason", row->armed_reason));
	text = json_dumps(object, JSON_COMPACT | JSON_ENSURE_ASCII);
	if (text)
		puts(text);
	json_decref(object);
	free(text);
	return text || complain(complaint, "out of memory, or a row that is no text");
}

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

static bool conflicts_add(struct table *table, const struct ledger_row *row)
{
	char conflicts[32];

	if (row->conflicts == 0)
		return true;
	snprintf(conflicts, sizeof(conflicts), "%u", row->conflicts);
	return line_add(table, "asked by other keys", conflicts) &&
	       moment_add(table, "the last time", row->conflict_us, "-");
}

static bool release_add(struct table *table, const struct ledger_row *row)
{
	char recipient[HEX_SIZE(sizeof(row->recipient_sha256))];
	char collected[32];

	hex_encode((struct bytes){ row->recipient_sha256, sizeof(row->recipient_sha256) }, recipient);
	snprintf(collected, sizeof(collected), "%u", row->collected);
	return line_add(table, "state", ledger_state_name(row->state)) &&
	       line_add(table, "release", row->release_id) && line_add(table, "rule", row->rule) &&
	       line_add(table, "secrets", row->secrets) && line_add(table, "recipient", recipient) &&
	       moment_add(table, "granted", row->granted_us, "never") &&
	       line_add(table, "times given out", collected) &&
	       moment_add(table, "sealed", row->sealed_us, "not known to be") &&
	       moment_add(table, "acknowledged", row->acknowledged_us, "not acknowledged yet") &&
	       moment_add(table, "retry until", row->retry_until_us, "-") && conflicts_add(table, row);
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
	bool json = false;
	const struct option options[] = { { "--config", &subject.config, NULL },
		{ "--account", &subject.account_id, NULL }, { "--region", &subject.region, NULL },
		{ "--json", NULL, &json }, { 0 } };
	struct complaint complaint = { 0 };
	struct reason reason = { 0 };
	struct ledger_row row = { 0 };
	struct installation *installation;
	bool done;

	if (command_line_has(words, "--rule"))
		return run_fleet_show(words);
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
	if (done && json)
		done = ledger_row_print(&row, &complaint);
	else if (done)
		done = row_print(&row, &complaint);
	installation_close(installation);
	return done ? command_done() : command_failed(&complaint);
}

/* ---- rearm */

bool rearm_take(const struct rearm_line *line, unsigned char key[32], struct rearm *rearm,
	struct complaint *complaint)
{
	rearm->reason = line->reason;
	if (!moment_take("--until", line->until ? line->until : "", true, &rearm->until_us, complaint))
		return false;
	if (!rearm->reason)
		return complain(complaint, "--reason TEXT is missing; it stands in the audit trail");
	if (rearm->until_us <= rearm->now_us)
		return complain(complaint, "--until: that is over already");
	if (!line->key)
		return true;
	rearm->recipient_sha256 = key;
	return hex_decode(line->key, key, 32) ||
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
	struct rearm_line line = { 0 };
	const struct option options[] = { { "--config", &subject.config, NULL },
		{ "--account", &subject.account_id, NULL }, { "--region", &subject.region, NULL },
		{ "--reason", &line.reason, NULL }, { "--until", &line.until, NULL },
		{ "--key", &line.key, NULL }, { 0 } };
	struct complaint complaint = { 0 };
	unsigned char key[32];

	if (command_line_has(words, "--rule"))
		return run_fleet_rearm(words);
	if (!command_line_take(words, options, &subject.instance_id, 1, &complaint) ||
		!subject_valid(&subject, &complaint) || !rearm_take(&line, key, &rearm, &complaint))
		return command_misused(&complaint);
	rearm.account_id = subject.account_id;
	rearm.region = subject.region;
	rearm.instance_id = subject.instance_id;
	return rearm_run(subject.config, &rearm);
}
