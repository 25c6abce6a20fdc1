/* `vouchsafe audit`: the trail for people and for programs. Must never let what an attacker wrote into an
 * event reach the terminal as it is. */
#include "cli/commands.h"
#include "cli/installation.h"
#include "cli/table.h"
#include "cli/trail.h"
#include "verifier/json.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The line of `audit query`, as it was typed. */
struct query_line {
	struct trail_place place;
	const char *since, *until, *limit;
	bool json, all;
	struct trail_query query;
	unsigned long most; /* events; 0: all */
};

static bool limit_take(struct query_line *line, struct complaint *complaint)
{
	char *end = NULL;

	if (line->all && line->limit)
		return complain(complaint, "--all and --limit exclude each other");
	line->most = line->all ? 0 : AUDIT_LIMIT_DEFAULT;
	if (!line->limit)
		return true;
	line->most = strtoul(line->limit, &end, 10);
	return (line->limit[0] >= '1' && line->limit[0] <= '9' && *end == '\0' && line->most <= 1000000000) ||
	       complain(complaint, "--limit: write a number from 1, or --all");
}

static bool line_take(struct words words, struct query_line *line, struct complaint *complaint)
{
	struct trail_query *query = &line->query;
	const struct option options[] = { { "--config", &line->place.config, NULL },
		{ "--url", &line->place.url, NULL }, { "--ca", &line->place.ca, NULL },
		{ "--token-file", &line->place.token_file, NULL }, { "--cert", &line->place.cert, NULL },
		{ "--key", &line->place.key, NULL }, { "--instance-id", &query->instance_id, NULL },
		{ "--role", &query->role, NULL }, { "--event", &query->event, NULL },
		{ "--outcome", &query->outcome, NULL }, { "--request-id", &query->request_id, NULL },
		{ "--release-id", &query->release_id, NULL }, { "--since", &line->since, NULL },
		{ "--until", &line->until, NULL }, { "--limit", &line->limit, NULL },
		{ "--all", NULL, &line->all }, { "--ascending", NULL, &query->ascending },
		{ "--json", NULL, &line->json }, { 0 } };

	return command_line_take(words, options, NULL, 0, complaint) && limit_take(line, complaint) &&
	       (!line->since || moment_take("--since", line->since, false, &query->since_us, complaint)) &&
	       (!line->until || moment_take("--until", line->until, false, &query->until_us, complaint));
}

/* ---- where to ask */

/* The ops listener of the configuration; one on all addresses is on loopback too. */
static bool base_of_config(const char *path, char base[TRAIL_BASE_SIZE], struct complaint *complaint)
{
	struct config *config = malloc(sizeof(*config));
	struct in_addr address;
	char host[INET_ADDRSTRLEN];
	bool loaded = config && config_load(path ? path : CONFIG_DEFAULT, config, complaint);

	if (!config)
		complain(complaint, "out of memory");
	if (loaded) {
		address = config->ops_listen.sin_addr;
		if (address.s_addr == htonl(INADDR_ANY))
			address.s_addr = htonl(INADDR_LOOPBACK);
		inet_ntop(AF_INET, &address, host, sizeof(host));
		snprintf(base, TRAIL_BASE_SIZE, "%s://%s:%u",
			config->ops_tls.certificate[0] ? "https" : "http", host,
			ntohs(config->ops_listen.sin_port));
		loaded = trail_url_valid(base, complaint);
	}
	free(config);
	return loaded;
}

static bool token_take(const char *file, struct trail *trail, struct complaint *complaint)
{
	if (!file)
		file = getenv("VOUCHSAFE_TOKEN_FILE");
	if (!file)
		return complain(complaint,
			"no token: name its file with --token-file or VOUCHSAFE_TOKEN_FILE, or show "
			"a certificate with --cert and --key");
	return trail_token_read(file, trail->token, complaint);
}

static bool file_readable(const char *option, const char *path, struct complaint *complaint)
{
	return access(path, R_OK) == 0 || complain(complaint, "%s %s: %s", option, path, strerror(errno));
}

/* As whom: by exactly one of both. What is typed counts more than the environment. */
static bool proof_take(const struct trail_place *place, struct trail *trail, struct complaint *complaint)
{
	if (!place->cert && !place->key)
		return token_take(place->token_file, trail, complaint);
	if (!place->cert || !place->key)
		return complain(complaint, "--cert and --key go together; name the files of both");
	if (place->token_file)
		return complain(
			complaint, "--cert and --token-file exclude each other; take one of them out");
	if (strncmp(trail->base, "https://", 8) != 0)
		return complain(complaint,
			"--cert: a certificate is shown over TLS alone; write --url https://HOST:PORT");
	trail->certificate = place->cert;
	trail->key = place->key;
	return file_readable("--cert", place->cert, complaint) &&
	       file_readable("--key", place->key, complaint);
}

bool trail_open(const struct trail_place *place, struct trail *trail, struct complaint *complaint)
{
	if (place->url ? !trail_url_valid(place->url, complaint)
		       : !base_of_config(place->config, trail->own, complaint))
		return false;
	trail->base = place->url ? place->url : trail->own;
	trail->ca = place->ca;
	return proof_take(place, trail, complaint);
}

/* ---- what comes out */

static bool row_add(struct table *table, struct bytes event)
{
	static const char *const members[] = { "time", "event", "outcome", "reason", "instance-id", "role",
		"source", "release_id" };
	const char *cells[sizeof(members) / sizeof(members[0])];
	json_t *object = json_strict(event, NULL, NULL, NULL, 0);
	bool added;
	size_t i;

	for (i = 0; i < sizeof(members) / sizeof(members[0]); i++)
		cells[i] = json_text(object, members[i]);
	added = table_add(table, cells);
	json_decref(object);
	return added;
}

/* `table` NULL: lines of JSON. False: memory, or nobody reads any more. */
static bool page_print(const struct trail_page *page, struct table *table, struct complaint *complaint)
{
	size_t i;

	for (i = 0; i < page->n_events; i++) {
		if (!table)
			printf("%.*s\n", (int)page->events[i].length, (const char *)page->events[i].data);
		else if (!row_add(table, page->events[i]))
			return complain(complaint, "out of memory");
	}
	if (table)
		table_print(table, stdout);
	return (fflush(stdout) == 0 && !ferror(stdout)) ||
	       complain(complaint, "standard output could not be written");
}

static unsigned page_size(unsigned long most, unsigned long printed)
{
	return most == 0 || most - printed > AUDIT_LIMIT_MAX ? AUDIT_LIMIT_MAX : (unsigned)(most - printed);
}

/* Page after page, until there are no more or the limit is there. */
static bool pages_print(const struct trail *trail, const struct query_line *line, struct table *table,
	struct complaint *complaint)
{
	struct trail_page page = { 0 };
	unsigned long printed = 0;
	char cursor[sizeof(page.cursor)] = "";
	bool more = true, going = true;

	while (going && more && (line->most == 0 || printed < line->most)) {
		going = trail_fetch(trail, &line->query, page_size(line->most, printed), cursor, &page,
				complaint) &&
			page_print(&page, table, complaint);
		printed += page.n_events;
		more = page.cursor[0] != '\0' && page.n_events > 0;
		snprintf(cursor, sizeof(cursor), "%s", page.cursor);
		trail_page_clear(&page);
	}
	if (going && more)
		command_note("there are more events; --limit N or --all shows them");
	return going;
}

static int query_print(const struct trail *trail, const struct query_line *line)
{
	static const char *const headings[] = { "TIME", "EVENT", "OUTCOME", "REASON", "INSTANCE-ID", "ROLE",
		"SOURCE", "RELEASE", NULL };
	struct complaint complaint = { 0 };
	struct table *table = line->json ? NULL : table_new(headings);
	bool done = false;

	if (line->json || table)
		done = pages_print(trail, line, table, &complaint);
	else
		complain(&complaint, "out of memory");
	table_free(table);
	return done ? command_done() : command_failed(&complaint);
}

int run_audit_query(struct words words)
{
	struct query_line line = { 0 };
	struct complaint complaint = { 0 };
	struct trail trail = { 0 };
	int status;

	if (!line_take(words, &line, &complaint))
		return command_misused(&complaint);
	if (!trail_open(&line.place, &trail, &complaint))
		return command_failed(&complaint);
	status = query_print(&trail, &line);
	OPENSSL_cleanse(trail.token, sizeof(trail.token));
	return status;
}

int run_audit_verify(struct words words)
{
	const char *config = NULL;
	const struct option options[] = { { "--config", &config, NULL }, { 0 } };
	struct complaint complaint = { 0 };
	struct reason reason = { 0 };
	struct installation *installation;
	long long events = 0;
	enum outcome outcome;

	if (!command_line_take(words, options, NULL, 0, &complaint))
		return command_misused(&complaint);
	installation = installation_open(config, STORE_READ, &complaint);
	if (!installation)
		return command_failed(&complaint);
	outcome = audit_verify(installation->store, &events, &reason);
	installation_close(installation);
	if (outcome != OK) {
		complain(&complaint, "%s", reason.text);
		return command_failed(&complaint);
	}
	printf("ok: %lld events, one chain without a gap\n", events);
	return command_done();
}
