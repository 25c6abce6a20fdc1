/* `vouchsafe ledger show|rearm --rule R`: the instances of a rule. Must never re-arm anything before it has
 * said how many there are and was told --yes, and never hold a running server up for longer than a short
 * batch. */
#include "store/fleet.h"

#include "cli/installation.h"
#include "cli/ledger.h"
#include "cli/table.h"
#include "verifier/encoding.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

struct fleet_line {
	const char *config, *launched_after, *state;
	struct fleet fleet;
};

/* Rounded up: whoever was launched within the second before the moment was not launched after it. */
static bool fleet_take(struct fleet_line *line, struct complaint *complaint)
{
	long long us = 0;

	if (!name_valid(line->fleet.rule))
		return complain(complaint, "--rule: not the name of a rule");
	if (line->launched_after &&
		!moment_take("--launched-after", line->launched_after, false, &us, complaint))
		return false;
	line->fleet.launched_after = (us + 999999) / 1000000;
	return true;
}

/* ---- show */

struct listing {
	struct table *table; /* NULL: lines of JSON */
	struct complaint *complaint;
	bool good;
};

static bool row_add(struct table *table, const struct ledger_row *row)
{
	char launched[TIMESTAMP_SIZE], granted[TIMESTAMP_SIZE];
	const char *const cells[] = { launched, row->instance, row->account, row->region,
		ledger_state_name(row->state), granted, row->release_id };

	timestamp_encode(row->launch_time * 1000000, launched);
	strcpy(strchr(launched, '.'), "Z"); /* EC2 tells whole seconds */
	timestamp_encode(row->granted_us, granted);
	return table_add(table, cells);
}

static bool row_show(void *context, const struct ledger_row *row)
{
	struct listing *listing = context;

	if (!listing->table)
		listing->good = ledger_row_print(row, listing->complaint);
	else
		listing->good = row_add(listing->table, row) || complain(listing->complaint, "out of memory");
	return listing->good;
}

static bool pages_show(
	struct store *store, const struct fleet *fleet, enum ledger_state state, struct listing *listing)
{
	struct fleet_place place = { 0 };
	struct reason reason = { 0 };

	while (!place.ended) {
		if (fleet_list(store, fleet, state, &place, row_show, listing, &reason) != OK)
			return complain(listing->complaint, "%s", reason.text);
		if (!listing->good)
			return false;
		if (listing->table)
			table_print(listing->table, stdout);
		if (fflush(stdout) != 0 || ferror(stdout))
			return complain(listing->complaint, "standard output could not be written");
	}
	return true;
}

static int fleet_show(const struct fleet_line *line, enum ledger_state state, bool json)
{
	static const char *const headings[] = { "LAUNCHED", "INSTANCE-ID", "ACCOUNT-ID", "REGION", "STATE",
		"GRANTED", "RELEASE", NULL };
	struct complaint complaint = { 0 };
	struct listing listing = { json ? NULL : table_new(headings), &complaint, true };
	struct installation *installation = installation_open(line->config, STORE_READ, &complaint);
	bool done = false;

	if (installation && !json && !listing.table)
		complain(&complaint, "out of memory");
	else if (installation)
		done = pages_show(installation->store, &line->fleet, state, &listing);
	installation_close(installation);
	table_free(listing.table);
	return done ? command_done() : command_failed(&complaint);
}

static bool state_take(const char *text, enum ledger_state *state, struct complaint *complaint)
{
	*state = LEDGER_NONE;
	if (!text)
		return true;
	for (enum ledger_state s = LEDGER_GRANTED; s < LEDGER_STATES; s++)
		if (strcmp(text, ledger_state_name(s)) == 0)
			*state = s;
	return *state != LEDGER_NONE ||
	       complain(complaint, "--state: write granted, sealed, acknowledged or conflicting");
}

int run_fleet_show(struct words words)
{
	struct fleet_line line = { 0 };
	bool json = false;
	const struct option options[] = { { "--config", &line.config, NULL },
		{ "--rule", &line.fleet.rule, NULL }, { "--launched-after", &line.launched_after, NULL },
		{ "--state", &line.state, NULL }, { "--json", NULL, &json }, { 0 } };
	struct complaint complaint = { 0 };
	enum ledger_state state;

	if (!command_line_take(words, options, NULL, 0, &complaint) || !fleet_take(&line, &complaint) ||
		!state_take(line.state, &state, &complaint))
		return command_misused(&complaint);
	return fleet_show(&line, state, json);
}

/* ---- rearm */

/* As long as the batch has taken: a server that shares the database gets at least half of the time. */
static void rest(long long since_us)
{
	long long us = command_now() - since_us;
	struct timespec pause = { .tv_sec = us > 0 ? us / 1000000 : 0,
		.tv_nsec = us > 0 ? us % 1000000 * 1000 : 0 };

	if (pause.tv_sec > 2)
		pause.tv_sec = 2;
	nanosleep(&pause, NULL);
}

static bool fleet_walk(struct store *store, const struct fleet *fleet, const struct rearm *rearm, bool dry,
	struct fleet_count *count, struct complaint *complaint)
{
	struct fleet_place place = { 0 };
	struct reason reason = { 0 };

	while (!place.ended) {
		long long since_us = command_now();

		if (fleet_rearm(store, fleet, rearm, dry, &place, count, &reason) != OK)
			return complain(complaint, "%s; %lu were re-armed before it: run it again",
				reason.text, dry ? 0 : count->armed);
		if (!dry && !place.ended)
			rest(since_us);
	}
	return true;
}

static void count_print(const char *what, const struct fleet_count *count)
{
	printf("%s: %lu\n", what, count->armed);
	if (count->open)
		printf("left as they are, a re-arm is open: %lu\n", count->open);
	if (count->spent)
		printf("left as they are, they have spent one of this reason: %lu\n", count->spent);
}

static bool rearm_all(struct store *store, const struct fleet *fleet, const struct rearm *rearm, bool yes,
	struct complaint *complaint)
{
	struct fleet_count count = { 0 };
	char until[TIMESTAMP_SIZE];

	if (!fleet_walk(store, fleet, rearm, true, &count, complaint))
		return false;
	count_print("to be re-armed", &count);
	if (!yes)
		return count.armed == 0 ||
		       complain(complaint, "nothing is re-armed yet; the same with --yes does it");
	count = (struct fleet_count){ 0 };
	if (!fleet_walk(store, fleet, rearm, false, &count, complaint))
		return false;
	timestamp_encode(rearm->until_us, until);
	count_print("re-armed", &count);
	printf("each once, until %s, for %s\n", until, rearm->recipient_sha256 ? "that key" : "any key");
	return true;
}

static int rearm_run(const struct fleet_line *line, struct rearm *rearm, bool yes)
{
	struct complaint complaint = { 0 };
	struct installation *installation = installation_open(
		line->config, yes ? STORE_TOOL : STORE_READ, &complaint);
	bool done;

	if (!installation)
		return command_failed(&complaint);
	rearm->actor = installation->actor;
	done = rearm_all(installation->store, &line->fleet, rearm, yes, &complaint);
	installation_close(installation);
	return done ? command_done() : command_failed(&complaint);
}

int run_fleet_rearm(struct words words)
{
	struct fleet_line line = { 0 };
	struct rearm_line typed = { 0 };
	struct rearm rearm = { .now_us = command_now() };
	bool yes = false;
	const struct option options[] = { { "--config", &line.config, NULL },
		{ "--rule", &line.fleet.rule, NULL }, { "--launched-after", &line.launched_after, NULL },
		{ "--reason", &typed.reason, NULL }, { "--until", &typed.until, NULL },
		{ "--key", &typed.key, NULL }, { "--yes", NULL, &yes }, { 0 } };
	struct complaint complaint = { 0 };
	unsigned char key[32];

	if (!command_line_take(words, options, NULL, 0, &complaint))
		return command_misused(&complaint);
	if (!line.launched_after) {
		complain(&complaint, "--launched-after T is missing: which of the rule's instances?");
		return command_misused(&complaint);
	}
	if (!fleet_take(&line, &complaint) || !rearm_take(&typed, key, &rearm, &complaint))
		return command_misused(&complaint);
	return rearm_run(&line, &rearm, yes);
}
