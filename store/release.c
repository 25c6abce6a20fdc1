/* What a release comes to. The ledger says whether it is the first use; if it is not, or may not be one, the
 * row that is there decides: the same key has its release again, another key is refused, and an operator's
 * re-arm stands in for either once. Nothing here is given out: the grant waits in the item for the batch's
 * COMMIT. */
#include "store/item.h"
#include "verifier/checks.h"
#include "verifier/encoding.h"
#include "verifier/reasons.h"

#include <limits.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const first_use_checks[] = { CHECK_LAUNCH_WINDOW, CHECK_ORIGINAL_BOOT };

static bool release_id_make(long long now_us, char text[RELEASE_ID_SIZE])
{
	unsigned char random[10];

	_Static_assert((int)RELEASE_ID_SIZE == (int)UUID_SIZE, "a release id is a UUID");
	if (RAND_bytes(random, sizeof(random)) != 1)
		return false;
	uuid7_encode(now_us / 1000, random, text);
	return true;
}

static void secrets_write(const struct item *item, char text[LEDGER_SECRETS_SIZE])
{
	size_t used = 0;

	text[0] = '\0';
	for (size_t i = 0; i < item->n_secrets; i++)
		used += (size_t)snprintf(text + used, LEDGER_SECRETS_SIZE - used, "%s%s:%u", i > 0 ? "," : "",
			item->secrets[i].name, item->secrets[i].version);
}

/* "name:version" up to the end or a comma; *text is behind it then. */
static bool secret_read(const char **text, struct secret_version *secret)
{
	size_t length = strcspn(*text, ":");
	const char *number = *text + length + 1;
	unsigned long version;
	char *end;

	if (length >= sizeof(secret->name) || (*text)[length] != ':' || *number < '1' || *number > '9')
		return false;
	snprintf(secret->name, sizeof(secret->name), "%.*s", (int)length, *text);
	version = strtoul(number, &end, 10);
	secret->version = (unsigned)version;
	*text = end;
	return secret_name_valid(secret->name) && version <= INT_MAX && (*end == ',' || *end == '\0');
}

/* "name:version,..." as secrets_write wrote it. */
static bool secrets_read(const char *text, struct item *item)
{
	item->n_secrets = 0;
	do {
		if (item->n_secrets == SECRETS_MAX || !secret_read(&text, &item->secrets[item->n_secrets++]))
			return false;
	} while (*text++ == ',');
	return true;
}

static void checks_waive(struct item *item)
{
	for (int i = 0; i < 2 && item->record->claims; i++) {
		struct check *check = claims_check(item->record->claims, first_use_checks[i]);

		item->waived[i] = check && check->result == CHECK_FAILED;
		if (item->waived[i])
			check->result = CHECK_WAIVED;
	}
}

void release_undo(struct item *item)
{
	for (int i = 0; i < 2; i++) {
		if (item->waived[i])
			claims_check(item->record->claims, first_use_checks[i])->result = CHECK_FAILED;
		item->waived[i] = false;
	}
}

/* ---- the record's secrets and its grant */

/* For this record alone: nothing burned, no event. */
static bool secret_missing(struct item *item, const char *name)
{
	item->outcome = unavailable(
		&item->reason, REASON_SECRET_MISSING, "no version of secret %s is stored", name);
	item->event = NULL;
	return true;
}

/* Settles which versions are released; one that is gone is replaced by the newest of its name. True: the
 * store answered; item->outcome is OK if all are there. */
static bool secrets_settle(struct store *store, struct item *item)
{
	const struct envelope *envelope;

	for (size_t i = 0; i < item->n_secrets; i++) {
		struct secret_version *secret = &item->secrets[i];

		if (!shelf_find(store, secret->name, secret->version, &envelope))
			return false;
		if (!envelope && secret->version > 0 && !shelf_find(store, secret->name, 0, &envelope))
			return false;
		if (!envelope)
			return secret_missing(item, secret->name);
		secret->version = envelope->version;
	}
	return true;
}

bool release_prepare(struct store *store, struct item *item)
{
	const struct decision *decision = item->record->decision;

	if (!release_id_make(item->record->now_us, item->release_id))
		return sql_complain(store->sql, "no random bytes for a release id");
	item->n_secrets = decision->n_secrets;
	for (size_t i = 0; i < item->n_secrets; i++) {
		item->secrets[i].version = 0;
		if (snprintf(item->secrets[i].name, NAME_SIZE, "%s", decision->secrets[i]) >= NAME_SIZE)
			return secret_missing(item, decision->secrets[i]);
	}
	return secrets_settle(store, item);
}

static bool grant_make(struct store *store, struct item *item, bool repeated)
{
	const struct record *record = item->record;
	const struct envelope *envelope;

	item->grant = grant_new(
		item->release_id, record->assertion, item->assertion_sha256, record->recipient, repeated);
	if (!item->grant)
		return false;
	for (size_t i = 0; i < item->n_secrets; i++)
		if (!shelf_find(store, item->secrets[i].name, item->secrets[i].version, &envelope) ||
			!envelope || !grant_add(item->grant, envelope))
			return false;
	item->outcome = OK;
	item->event = repeated ? "release.repeated" : "release.granted";
	return true;
}

/* ---- what the ledger says to a release */

static void item_refuse(struct item *item, const char *event, const char *code, const char *text)
{
	item->outcome = refused(&item->reason, code, "%s", text);
	item->event = event;
}

static void first_use_refuse(struct item *item)
{
	const char *code = CHECK_LAUNCH_WINDOW;

	if (item->record->claims)
		for (int i = 0; i < 2; i++) {
			const struct check *check = claims_check(item->record->claims, first_use_checks[i]);

			if (check && check->result == CHECK_FAILED) {
				code = first_use_checks[i];
				break;
			}
		}
	item_refuse(item, "release.denied", code, "not allowed as a first use, and none was recorded");
}

/* The same release once more: the versions that were granted. */
static bool release_repeat(struct store *store, struct item *item, const struct ledger_entry *entry)
{
	bool counted;

	item->outcome = OK;
	if (!secrets_read(entry->secrets, item))
		return sql_complain(
			store->sql, "a ledger row's secrets are not of the form they were written in");
	if (!secrets_settle(store, item))
		return false;
	if (item->outcome != OK)
		return true;
	snprintf(item->release_id, sizeof(item->release_id), "%s", entry->release_id);
	if (!ledger_collect(store, entry->release_id, &counted) || !counted)
		return false;
	checks_waive(item);
	return grant_make(store, item, true);
}

static bool same_key(const struct item *item, const struct ledger_entry *entry)
{
	return memcmp(entry->recipient_sha256, item->record->recipient->sha256, 32) == 0;
}

static bool row_refuse(struct store *store, struct item *item, const struct ledger_entry *entry)
{
	char text[REASON_TEXT_MAX];

	snprintf(text, sizeof(text), "another key has had this instance's release, %s", entry->release_id);
	if (same_key(item, entry)) {
		item_refuse(item, "release.denied", REASON_ALREADY_COLLECTED,
			"this key has acknowledged its release, and the retry window is over");
		return true;
	}
	item_refuse(item, "release.conflict", REASON_ALREADY_RELEASED, text);
	return ledger_conflict(store, entry->release_id, item->record->now_us);
}

/* Beyond the rule's pace: nothing is burned, the agent comes again, and somebody is told. */
static void rule_hold(struct item *item)
{
	const struct decision *decision = item->record->decision;

	item->outcome = unavailable(&item->reason, REASON_RULE_HELD,
		"rule %s has had %u first uses within an hour, as many as its max_per_hour allows",
		item->record->rule ? item->record->rule : "", decision->max_per_hour);
	item->event = "rule.held";
	item->alarm = true;
	item->release_id[0] = '\0';
}

/* The row as it would be written. `secrets` lasts as long as it. */
static struct burn burn_of(const struct item *item, char secrets[LEDGER_SECRETS_SIZE])
{
	const struct record *record = item->record;
	const struct decision *decision = record->decision;

	secrets_write(item, secrets);
	return (struct burn){ .one_time_hash = item->one_time_hash,
		.recipient_sha256 = record->recipient->sha256,
		.assertion = record->assertion,
		.rule = record->rule,
		.release_id = item->release_id,
		.secrets = secrets,
		.once_per_launch = decision->once_per_launch,
		.launch_time = record->claims ? (long long)record->claims->facts.launch_time : 0,
		.now_us = record->now_us,
		.retry_until_us = record->now_us + decision->retry_window * 1000 };
}

bool release_burn(struct store *store, struct item *item)
{
	const struct decision *decision = item->record->decision;
	char secrets[LEDGER_SECRETS_SIZE];
	struct burn burn;

	burn = burn_of(item, secrets);
	item->tried = true;
	return ledger_burn(
		store, &burn, decision->once_per_launch ? BURN_PER_LAUNCH : BURN_ONCE, &item->burned);
}

/* A re-arm that stands open is spent by whatever first use comes: it never adds a second one. */
bool release_spend(struct store *store, struct item *item)
{
	char secrets[LEDGER_SECRETS_SIZE];
	struct burn burn;

	if (item->burned != 1)
		return true;
	burn = burn_of(item, secrets);
	return rearm_spend_burned(store, &burn, &item->spent);
}

/* An operator's re-arm stands in, once. */
static bool release_rearmed(struct store *store, struct item *item, bool *spent)
{
	char secrets[LEDGER_SECRETS_SIZE];
	struct burn burn = burn_of(item, secrets);

	if (!rearm_spend(store, &burn, spent, item->comment))
		return false;
	if (!*spent)
		return true;
	if (!ledger_burn(store, &burn, BURN_REARMED, &item->burned) || !sql_settle(store->sql) ||
		item->burned != 1)
		return false;
	checks_waive(item);
	return grant_make(store, item, false);
}

/* Would it have been a first use, had the rule's pace left room for it? */
static bool is_held(const struct item *item, bool found, const struct ledger_entry *entry)
{
	const struct record *record = item->record;

	if (item->tried || !record->decision->first_use_allowed)
		return false;
	return !found || (record->decision->once_per_launch && entry->once_per_launch && record->claims &&
				 (long long)record->claims->facts.launch_time > entry->launch_time);
}

/* It was no first use, or is not allowed to be one: a repeat, a re-arm, or a refusal. */
static bool release_again(struct store *store, struct item *item)
{
	const struct record *record = item->record;
	struct ledger_entry entry;
	bool found, spent;

	if (!ledger_of_instance(store, item->one_time_hash, &entry, &found))
		return false;
	if (is_held(item, found, &entry)) {
		rule_hold(item);
		return true;
	}
	if (found && same_key(item, &entry) && (!entry.acknowledged || record->now_us < entry.retry_until_us))
		return release_repeat(store, item, &entry);
	if (!release_rearmed(store, item, &spent))
		return false;
	if (spent)
		return true;
	item->comment[0] = item->release_id[0] = '\0';
	if (found)
		return row_refuse(store, item, &entry);
	first_use_refuse(item);
	return true;
}

bool release_conclude(struct store *store, struct item *item)
{
	if (item->burned != 1)
		return release_again(store, item);
	if (item->spent == 1 && !rearm_spent_by(store, item->one_time_hash, item->release_id, item->comment))
		return false;
	return grant_make(store, item, false);
}
