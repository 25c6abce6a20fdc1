/* Sealed secrets and what is pinned about the vault's members, as rows. Each change is one transaction with
 * its event. A version number is never given out twice, so that an envelope's associated data names one thing
 * for ever; nothing here could open an envelope. */
#include "store/envelopes.h"

#include "store/shelf.h"
#include "verifier/reasons.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TAG_SIZE = 16 };

void envelope_clear(struct envelope *envelope)
{
	free(envelope->text);
	*envelope = (struct envelope){ 0 };
}

bool envelope_copy(struct envelope *to, const struct envelope *from)
{
	*to = *from;
	to->text = malloc(from->text_length > 0 ? from->text_length : 1);
	if (!to->text) {
		*to = (struct envelope){ 0 };
		return false;
	}
	if (from->text_length > 0)
		memcpy(to->text, from->text, from->text_length);
	return true;
}

const struct wrap *envelope_wrap(const struct envelope *envelope, const struct member_pin *pin)
{
	for (unsigned i = 0; i < envelope->n_wraps; i++)
		if (strcmp(envelope->wraps[i].member, pin->member) == 0 &&
			envelope->wraps[i].generation == pin->generation)
			return &envelope->wraps[i];
	return NULL;
}

/* What the vault keeps for itself: no event says so, and no release may hold it. */
static bool kind_is_vaults(const char *kind)
{
	return strcmp(kind, "node") == 0 || strcmp(kind, "canary") == 0;
}

static bool wrap_valid(const struct wrap *wrap)
{
	return name_valid(wrap->member) && wrap->generation >= 1 && wrap->length >= 1 &&
	       wrap->length <= WRAP_MAX;
}

/* Of the form that envelopes are kept in; what is inside only a member can tell. */
static bool envelope_valid(const struct envelope *envelope)
{
	if (!name_valid(envelope->name) || !name_valid(envelope->kind) || envelope->version < 1 ||
		envelope->version > INT_MAX)
		return false;
	if (!envelope->text || envelope->text_length < TAG_SIZE ||
		envelope->text_length > SECRET_BYTES_MAX + TAG_SIZE || envelope->n_wraps > MEMBERS_MAX)
		return false;
	for (unsigned i = 0; i < envelope->n_wraps; i++)
		if (!wrap_valid(&envelope->wraps[i]))
			return false;
	return true;
}

/* ---- reading; within a transaction */

static bool wraps_read(struct store *store, struct envelope *envelope)
{
	struct query *query = sql_query(store->sql,
		"SELECT member, generation, bytes FROM wrap WHERE name = $1 AND version = $2 ORDER BY place");

	query_text(query, 1, envelope->name);
	query_integer(query, 2, envelope->version);
	while (envelope->n_wraps < MEMBERS_MAX && query_step(query) == STEP_ROW) {
		struct wrap *wrap = &envelope->wraps[envelope->n_wraps++];
		struct bytes bytes = column_bytes(query, 2);

		column_text(query, 0, wrap->member, sizeof(wrap->member));
		wrap->generation = column_count(query, 1);
		wrap->length = bytes.length <= sizeof(wrap->bytes) ? bytes.length : 0; /* none: not valid */
		if (wrap->length > 0)
			memcpy(wrap->bytes, bytes.data, wrap->length);
	}
	return query_end(query);
}

static bool row_take(struct query *query, struct envelope *envelope)
{
	struct bytes text = column_bytes(query, 3);

	envelope->version = column_count(query, 0);
	column_text(query, 1, envelope->kind, sizeof(envelope->kind));
	column_exactly(query, 2, envelope->nonce, sizeof(envelope->nonce));
	envelope->text = malloc(text.length > 0 ? text.length : 1);
	if (!envelope->text)
		return false;
	if (text.length > 0)
		memcpy(envelope->text, text.data, text.length);
	envelope->text_length = text.length;
	return true;
}

/* *found false: no such version (version 0: none at all). On failure the envelope is empty. */
static bool envelope_read(
	struct store *store, const char *name, unsigned version, struct envelope *envelope, bool *found)
{
	struct query *query =
		version > 0 ? sql_query(store->sql, "SELECT version, kind, nonce, text FROM envelope WHERE "
						    "name = $1 AND version = $2")
			    : sql_query(store->sql, "SELECT version, kind, nonce, text FROM envelope WHERE "
						    "name = $1 ORDER BY version DESC LIMIT 1");
	bool good = true;

	*envelope = (struct envelope){ 0 };
	*found = false;
	query_text(query, 1, name);
	if (version > 0)
		query_integer(query, 2, version);
	if (query_step(query) == STEP_ROW) {
		*found = true;
		snprintf(envelope->name, sizeof(envelope->name), "%s", name);
		good = row_take(query, envelope);
	}
	good = query_end(query) && good && (!*found || wraps_read(store, envelope));
	if (good && *found && !envelope_valid(envelope))
		good = sql_complain(
			store->sql, "a stored envelope is not of the form that it was written in");
	if (!good)
		envelope_clear(envelope);
	return good;
}

static bool shelf_stands(const struct shelf *shelf, unsigned i, const char *name, unsigned version)
{
	return strcmp(shelf->slots[i].envelope.name, name) == 0 &&
	       (version > 0 ? shelf->slots[i].envelope.version == version : shelf->slots[i].newest);
}

bool shelf_find(struct store *store, const char *name, unsigned version, const struct envelope **envelope)
{
	struct shelf *shelf = store->shelf;
	bool found;

	*envelope = NULL;
	for (unsigned i = 0; i < shelf->n; i++)
		if (shelf_stands(shelf, i, name, version)) {
			*envelope = &shelf->slots[i].envelope;
			return true;
		}
	if (shelf->n == SHELF_MAX)
		shelf_clear(shelf);
	if (!envelope_read(store, name, version, &shelf->slots[shelf->n].envelope, &found))
		return false;
	if (found && kind_is_vaults(shelf->slots[shelf->n].envelope.kind)) {
		envelope_clear(&shelf->slots[shelf->n].envelope);
		found = false;
	}
	if (found) {
		shelf->slots[shelf->n].newest = version == 0;
		*envelope = &shelf->slots[shelf->n++].envelope;
	}
	return true;
}

struct query *shelf_ask(struct store *store)
{
	struct query *query = sql_query(store->sql, "SELECT changes FROM shelf WHERE id = 1");

	store->shelf->kept = store->shelf->n > 0;
	query_ask(query);
	return query;
}

bool shelf_check(struct store *store, struct query *asked, bool *stale)
{
	struct shelf *shelf = store->shelf;
	long long changes = 0;

	if (query_step(asked) == STEP_ROW)
		changes = column_integer(asked, 0);
	if (!query_end(asked))
		return false;
	*stale = shelf->kept && shelf->changes != changes;
	if (*stale)
		shelf_clear(shelf);
	shelf->changes = changes;
	return true;
}

bool shelf_change(struct store *store)
{
	return query_run(sql_query(store->sql, "UPDATE shelf SET changes = changes + 1 WHERE id = 1"), NULL);
}

void shelf_clear(struct shelf *shelf)
{
	while (shelf->n > 0)
		envelope_clear(&shelf->slots[--shelf->n].envelope);
}

/* ---- questions */

struct get {
	const char *name;
	unsigned version;
	struct envelope *envelope;
};

static enum outcome get_body(struct store *store, struct head *head, void *context, struct reason *reason)
{
	struct get *get = context;
	bool found;

	(void)head;
	if (!envelope_read(store, get->name, get->version, get->envelope, &found))
		return store_failed(store, reason);
	return found ? OK : refused(reason, REASON_NOT_FOUND, "no such secret is stored: %s", get->name);
}

enum outcome store_envelope_get(struct store *store, const char *name, unsigned version,
	struct envelope *envelope, struct reason *reason)
{
	struct get get = { name, version, envelope };
	enum outcome outcome;

	*envelope = (struct envelope){ 0 };
	outcome = store_transaction(store, SQL_READ, get_body, &get, reason);
	if (outcome != OK)
		envelope_clear(envelope);
	return outcome;
}

static bool last_version(struct store *store, const char *name, long long *last)
{
	struct query *query = sql_query(store->sql, "SELECT last_version FROM secret WHERE name = $1");

	*last = 0;
	query_text(query, 1, name);
	if (query_step(query) == STEP_ROW)
		*last = column_integer(query, 0);
	return query_end(query) &&
	       (*last >= 0 || sql_complain(store->sql, "a stored version number is below 0"));
}

static enum outcome next_body(struct store *store, struct head *head, void *context, struct reason *reason)
{
	struct get *get = context;
	long long last;

	(void)head;
	if (!last_version(store, get->name, &last))
		return store_failed(store, reason);
	if (last >= INT_MAX)
		return refused(reason, REASON_CONFLICT, "%s has had all its versions", get->name);
	get->version = (unsigned)last + 1;
	return OK;
}

enum outcome store_next_version(
	struct store *store, const char *name, unsigned *version, struct reason *reason)
{
	struct get get = { .name = name };
	enum outcome outcome = store_transaction(store, SQL_READ, next_body, &get, reason);

	*version = get.version;
	return outcome;
}

struct listing {
	bool (*row)(void *context, const struct envelope_row *);
	void *context;
};

static enum outcome list_body(struct store *store, struct head *head, void *context, struct reason *reason)
{
	const struct listing *listing = context;
	struct query *query = sql_query(store->sql, "SELECT name, kind, version, LENGTH(text), stored_us "
						    "FROM envelope ORDER BY name, version DESC");
	char name[NAME_SIZE], kind[KIND_SIZE];
	struct envelope_row row = { .name = name, .kind = kind };
	bool go_on = true;

	(void)head;
	while (go_on && query_step(query) == STEP_ROW) {
		long long length = column_integer(query, 3);

		column_text(query, 0, name, sizeof(name));
		column_text(query, 1, kind, sizeof(kind));
		row.version = (unsigned)column_integer(query, 2);
		row.size = length > TAG_SIZE ? (size_t)length - TAG_SIZE : 0;
		row.stored_us = column_integer(query, 4);
		go_on = listing->row(listing->context, &row);
	}
	return query_end(query) ? OK : store_failed(store, reason);
}

enum outcome store_envelope_list(struct store *store, bool (*row)(void *context, const struct envelope_row *),
	void *context, struct reason *reason)
{
	struct listing listing = { row, context };

	return store_transaction(store, SQL_READ, list_body, &listing, reason);
}

/* ---- changes */

struct change {
	const char *name;
	unsigned version;
	const struct envelope *envelope;
	const char *actor, *comment;
	long long now_us;
};

static enum outcome change_event(struct store *store, struct head *head, const struct change *change,
	const char *kind, const struct secret_version *secrets, size_t n, struct reason *reason)
{
	struct event event = { .event = kind,
		.outcome = outcome_name(OK),
		.time_us = change->now_us,
		.actor = change->actor,
		.comment = change->comment,
		.secrets = secrets,
		.n_secrets = n };

	return trail_append(store, head, &event) ? OK : store_failed(store, reason);
}

/* Another kind under the same name? */
static bool kind_differs(struct store *store, const struct envelope *envelope, bool *differs)
{
	struct query *query = sql_query(
		store->sql, "SELECT 1 FROM envelope WHERE name = $1 AND kind <> $2 LIMIT 1");

	query_text(query, 1, envelope->name);
	query_text(query, 2, envelope->kind);
	*differs = query_step(query) == STEP_ROW;
	return query_end(query);
}

static enum outcome put_fits(struct store *store, const struct envelope *envelope, struct reason *reason)
{
	long long last;
	bool differs;

	if (!last_version(store, envelope->name, &last) || !kind_differs(store, envelope, &differs))
		return store_failed(store, reason);
	if (envelope->version <= last)
		return refused(reason, REASON_CONFLICT, "version %u of %s is stored, or was",
			envelope->version, envelope->name);
	if (differs)
		return refused(reason, REASON_CONFLICT, "%s has versions of another kind than \"%s\"",
			envelope->name, envelope->kind);
	return OK;
}

static bool version_insert(struct store *store, const struct envelope *envelope)
{
	struct query *query = sql_query(store->sql,
		"INSERT INTO secret (name, last_version) VALUES ($1, $2)"
		" ON CONFLICT (name) DO UPDATE SET last_version = excluded.last_version");

	query_text(query, 1, envelope->name);
	query_integer(query, 2, envelope->version);
	return query_run(query, NULL);
}

static bool envelope_insert(struct store *store, const struct envelope *envelope, long long now_us)
{
	struct query *query = sql_query(store->sql,
		"INSERT INTO envelope (name, version, kind, nonce, text, stored_us)"
		" VALUES ($1, $2, $3, $4, $5, $6)");

	query_text(query, 1, envelope->name);
	query_integer(query, 2, envelope->version);
	query_text(query, 3, envelope->kind);
	query_bytes(query, 4, envelope->nonce, sizeof(envelope->nonce));
	query_bytes(query, 5, envelope->text, envelope->text_length);
	query_integer(query, 6, now_us);
	return query_run(query, NULL);
}

static bool wrap_insert(struct store *store, const struct envelope *envelope, unsigned i)
{
	const struct wrap *wrap = &envelope->wraps[i];
	struct query *query = sql_query(store->sql,
		"INSERT INTO wrap (name, version, place, member, generation, bytes)"
		" VALUES ($1, $2, $3, $4, $5, $6)");

	query_text(query, 1, envelope->name);
	query_integer(query, 2, envelope->version);
	query_integer(query, 3, i);
	query_text(query, 4, wrap->member);
	query_integer(query, 5, wrap->generation);
	query_bytes(query, 6, wrap->bytes, wrap->length);
	return query_run(query, NULL);
}

static enum outcome put_body(struct store *store, struct head *head, void *context, struct reason *reason)
{
	const struct change *change = context;
	const struct envelope *envelope = change->envelope;
	struct secret_version secret = { .version = envelope->version };
	enum outcome outcome = put_fits(store, envelope, reason);

	if (outcome != OK)
		return outcome;
	if (!shelf_change(store) || !version_insert(store, envelope) ||
		!envelope_insert(store, envelope, change->now_us))
		return store_failed(store, reason);
	for (unsigned i = 0; i < envelope->n_wraps; i++)
		if (!wrap_insert(store, envelope, i))
			return store_failed(store, reason);
	if (kind_is_vaults(envelope->kind))
		return OK;
	snprintf(secret.name, sizeof(secret.name), "%s", envelope->name);
	return change_event(store, head, change, "secret.stored", &secret, 1, reason);
}

enum outcome store_envelope_put(struct store *store, const struct envelope *envelope, const char *actor,
	const char *comment, struct reason *reason)
{
	struct change change = {
		.envelope = envelope, .actor = actor, .comment = comment, .now_us = store_clock_us()
	};

	if (!envelope_valid(envelope))
		return refused(
			reason, REASON_MALFORMED, "an envelope whose name, version or sizes cannot be");
	return store_transaction(store, SQL_WRITE, put_body, &change, reason);
}

/* The versions that are about to go; *n is EVENT_SECRETS_MAX where there are at least so many. */
static bool versions_read(
	struct store *store, const struct change *change, struct secret_version *secrets, size_t *n)
{
	struct query *query = sql_query(store->sql, "SELECT version FROM envelope WHERE name = $1 AND"
						    " (version = $2 OR $2 = 0) ORDER BY version");

	*n = 0;
	query_text(query, 1, change->name);
	query_integer(query, 2, change->version);
	while (*n < EVENT_SECRETS_MAX && query_step(query) == STEP_ROW) {
		snprintf(secrets[*n].name, sizeof(secrets[*n].name), "%s", change->name);
		secrets[(*n)++].version = (unsigned)column_integer(query, 0);
	}
	return query_end(query);
}

static bool version_delete(struct store *store, const struct secret_version *secret)
{
	static const char *const texts[] = { "DELETE FROM wrap WHERE name = $1 AND version = $2",
		"DELETE FROM envelope WHERE name = $1 AND version = $2" };

	for (int i = 0; i < 2; i++) {
		struct query *query = sql_query(store->sql, texts[i]);

		query_text(query, 1, secret->name);
		query_integer(query, 2, secret->version);
		if (!query_run(query, NULL))
			return false;
	}
	return true;
}

static enum outcome remove_versions(struct store *store, struct head *head, const struct change *change,
	struct secret_version *secrets, struct reason *reason)
{
	size_t n;

	if (!versions_read(store, change, secrets, &n))
		return store_failed(store, reason);
	if (n == 0)
		return refused(reason, REASON_NOT_FOUND, "no such secret is stored: %s", change->name);
	if (n == EVENT_SECRETS_MAX)
		return refused(reason, REASON_CONFLICT,
			"%s has too many versions for one event: remove single ones first", change->name);
	if (!shelf_change(store))
		return store_failed(store, reason);
	for (size_t i = 0; i < n; i++)
		if (!version_delete(store, &secrets[i]))
			return store_failed(store, reason);
	return change_event(store, head, change, "secret.removed", secrets, n, reason);
}

static enum outcome remove_body(struct store *store, struct head *head, void *context, struct reason *reason)
{
	struct secret_version *secrets = calloc(EVENT_SECRETS_MAX, sizeof(*secrets));
	enum outcome outcome;

	if (!secrets)
		return unavailable(reason, REASON_STORE, "out of memory");
	outcome = remove_versions(store, head, context, secrets, reason);
	free(secrets);
	return outcome;
}

enum outcome store_envelope_remove(struct store *store, const char *name, unsigned version, const char *actor,
	const char *comment, struct reason *reason)
{
	struct change change = { .name = name,
		.version = version,
		.actor = actor,
		.comment = comment,
		.now_us = store_clock_us() };

	if (!secret_name_valid(name))
		return refused(reason, REASON_MALFORMED, "no name that a secret could have");
	return store_transaction(store, SQL_WRITE, remove_body, &change, reason);
}
