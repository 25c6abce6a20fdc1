/* `vouchsafe policy explain`: one decision with every check that was made, from the trail. */
#include "cli/commands.h"
#include "cli/table.h"
#include "cli/trail.h"
#include "verifier/encoding.h"
#include "verifier/json.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

enum { EVENTS_MOST = 100 };

/* Name and value, where the event has it. */
static bool fact_add(struct table *table, const json_t *event, const char *name)
{
	const char *const cells[] = { name, json_text(event, name) };

	return !cells[1] || table_add(table, cells);
}

static bool facts_print(const json_t *event)
{
	static const char *const headings[] = { "", "", NULL };
	static const char *const names[] = { "event", "time", "outcome", "reason", "comment", "instance-id",
		"account-id", "region", "role", "source", "request_id", "release_id", "recipient", "node" };
	const json_t *policy = json_object_get(event, "policy");
	struct table *table = table_new(headings);
	bool added = table != NULL;
	size_t i;

	if (table)
		table_bare(table);
	for (i = 0; added && i < sizeof(names) / sizeof(names[0]); i++)
		added = fact_add(table, event, names[i]);
	added = added && fact_add(table, policy, "rule") && fact_add(table, policy, "hash");
	if (added)
		table_print(table, stdout);
	table_free(table);
	return added;
}

static bool checks_print(const json_t *event)
{
	static const char *const headings[] = { "CHECK", "RESULT", "EXPECTED", "OBSERVED", "BY", NULL };
	static const char *const members[] = { "name", "result", "expected", "observed", "by" };
	struct table *table = table_new(headings);
	bool added = table != NULL;
	json_t *check;
	size_t i, j;

	json_array_foreach(json_object_get(event, "checks"), i, check)
	{
		const char *cells[sizeof(members) / sizeof(members[0])];

		for (j = 0; j < sizeof(members) / sizeof(members[0]); j++)
			cells[j] = json_text(check, members[j]);
		added = added && table_add(table, cells);
	}
	if (added)
		table_print(table, stdout);
	table_free(table);
	return added;
}

static bool event_print(struct bytes text, struct complaint *complaint)
{
	json_t *event = json_strict(text, NULL, NULL, NULL, 0);
	bool printed = event && facts_print(event) && putchar('\n') != EOF && checks_print(event) &&
		       putchar('\n') != EOF;

	json_decref(event);
	return printed || complain(complaint, "an event could not be printed");
}

/* All events of that request or release, oldest first. *found: how many. */
static bool events_print(const struct trail *trail, const struct trail_query *query, size_t *found,
	struct complaint *complaint)
{
	struct trail_page page = { 0 };
	bool going = trail_fetch(trail, query, EVENTS_MOST, "", &page, complaint);
	size_t i;

	for (i = 0; going && i < page.n_events; i++)
		going = event_print(page.events[i], complaint);
	*found = page.n_events;
	trail_page_clear(&page);
	return going;
}

static bool explain(const struct trail *trail, const char *id, struct complaint *complaint)
{
	const struct trail_query queries[] = { { .request_id = id, .ascending = true },
		{ .release_id = id, .ascending = true } };
	size_t found = 0;
	size_t i;

	for (i = 0; i < 2 && found == 0; i++)
		if (!events_print(trail, &queries[i], &found, complaint))
			return false;
	return found > 0 ||
	       complain(complaint,
		       "no event of that request or release; what was refused before it was parsed, and what "
		       "was merely unavailable, leaves none (the server's log tells)");
}

int run_policy_explain(struct words words)
{
	struct trail_place place = { 0 };
	const char *id = NULL;
	const struct option options[] = { { "--config", &place.config, NULL }, { "--url", &place.url, NULL },
		{ "--ca", &place.ca, NULL }, { "--token-file", &place.token_file, NULL },
		{ "--cert", &place.cert, NULL }, { "--key", &place.key, NULL }, { 0 } };
	struct complaint complaint = { 0 };
	struct trail trail = { 0 };
	bool done;

	if (!command_line_take(words, options, &id, 1, &complaint))
		return command_misused(&complaint);
	if (!uuid_valid(id)) {
		complain(&complaint,
			"not a request's or release's id: write one as the answer or the trail has it");
		return command_misused(&complaint);
	}
	done = trail_open(&place, &trail, &complaint) && explain(&trail, id, &complaint);
	OPENSSL_cleanse(trail.token, sizeof(trail.token));
	return done ? command_done() : command_failed(&complaint);
}
