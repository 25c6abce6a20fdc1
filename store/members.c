/* What `vault apply` found out about the vault's members, pinned once with an event. It must never change a
 * pin: a member whose token was replaced is another member. */
#include "store/inside.h"
#include "verifier/reasons.h"

#include <stdio.h>

struct pinning {
	struct member_pin *pin;
	const char *member, *actor;
	long long now_us;
};

static bool pin_valid(const struct member_pin *pin)
{
	return name_valid(pin->member) && pin->vault[0] && pin->generation >= 1 && pin->iv_mode >= IV_HOST &&
	       pin->iv_mode <= IV_FILLED;
}

static bool member_read(struct store *store, const char *member, struct member_pin *pin, bool *found)
{
	struct query *query = sql_query(store->sql, "SELECT vault, member, token_serial, generation, key_id, "
						    "iv_mode FROM member WHERE member = $1");

	*pin = (struct member_pin){ 0 };
	query_text(query, 1, member);
	*found = query_step(query) == STEP_ROW;
	if (*found) {
		column_text(query, 0, pin->vault, sizeof(pin->vault));
		column_text(query, 1, pin->member, sizeof(pin->member));
		column_text(query, 2, pin->token_serial, sizeof(pin->token_serial));
		pin->generation = column_count(query, 3);
		column_text(query, 4, pin->key_id, sizeof(pin->key_id));
		pin->iv_mode = (enum iv_mode)column_count(query, 5);
	}
	if (!query_end(query))
		return false;
	return !*found || pin_valid(pin) ||
	       sql_complain(store->sql, "a stored pin is not of the form that it was written in");
}

static enum outcome member_get_body(
	struct store *store, struct head *head, void *context, struct reason *reason)
{
	struct pinning *pinning = context;
	bool found;

	(void)head;
	if (!member_read(store, pinning->member, pinning->pin, &found))
		return store_failed(store, reason);
	return found ? OK
		     : refused(reason, REASON_NOT_FOUND, "no such member is pinned: %s", pinning->member);
}

enum outcome store_member_get(
	struct store *store, const char *member, struct member_pin *pin, struct reason *reason)
{
	struct pinning pinning = { .pin = pin, .member = member };

	return store_transaction(store, SQL_READ, member_get_body, &pinning, reason);
}

static bool other_vault(struct store *store, const char *vault, bool *other)
{
	struct query *query = sql_query(store->sql, "SELECT 1 FROM member WHERE vault <> $1 LIMIT 1");

	query_text(query, 1, vault);
	*other = query_step(query) == STEP_ROW;
	return query_end(query);
}

static bool member_insert(struct store *store, const struct member_pin *pin)
{
	struct query *query = sql_query(store->sql,
		"INSERT INTO member (member, vault, token_serial, generation, key_id, iv_mode)"
		" VALUES ($1, $2, $3, $4, $5, $6)");

	query_text(query, 1, pin->member);
	query_text(query, 2, pin->vault);
	query_text(query, 3, pin->token_serial);
	query_integer(query, 4, pin->generation);
	query_text(query, 5, pin->key_id);
	query_integer(query, 6, pin->iv_mode);
	return query_run(query, NULL);
}

static enum outcome member_put_body(
	struct store *store, struct head *head, void *context, struct reason *reason)
{
	const struct pinning *pinning = context;
	const struct member_pin *pin = pinning->pin;
	struct member_pin known;
	char comment[400];
	struct event event = { .event = "vault.member-pinned",
		.outcome = outcome_name(OK),
		.time_us = pinning->now_us,
		.actor = pinning->actor,
		.comment = comment };
	bool found, other;

	if (!member_read(store, pin->member, &known, &found) || !other_vault(store, pin->vault, &other))
		return store_failed(store, reason);
	if (found)
		return refused(reason, REASON_CONFLICT, "member %s is pinned to token %s", pin->member,
			known.token_serial);
	if (other)
		return refused(
			reason, REASON_CONFLICT, "the store belongs to another vault than %s", pin->vault);
	snprintf(comment, sizeof(comment),
		"vault %s, member %s, token serial %s, key %s of generation %u, IV mode %d", pin->vault,
		pin->member, pin->token_serial, pin->key_id, pin->generation, (int)pin->iv_mode);
	if (!member_insert(store, pin) || !trail_append(store, head, &event))
		return store_failed(store, reason);
	return OK;
}

enum outcome store_member_put(
	struct store *store, const struct member_pin *pin, const char *actor, struct reason *reason)
{
	struct member_pin copy = *pin;
	struct pinning pinning = { .pin = &copy, .actor = actor, .now_us = store_clock_us() };

	if (!name_valid(pin->member) || !pin->vault[0])
		return refused(reason, REASON_MALFORMED, "a member needs a name and a vault");
	return store_transaction(store, SQL_WRITE, member_put_body, &pinning, reason);
}
