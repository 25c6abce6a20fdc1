#ifndef TESTS_UNIT_STORE_FIXTURE_H
#define TESTS_UNIT_STORE_FIXTURE_H
/* What the tests of store/ share: a database of a test's own, and requests as the pipeline hands them to the
 * committer. Only the store's public headers; a test that tampers does so with the engine itself. The
 * database is a SQLite file in a temporary folder or, where STORE_POSTGRES says how a server is reached
 * ("host=/folder&user=name"), one that is made there and dropped. */
#include "store/audit.h"
#include "store/ledger.h"
#include "store/store.h"
#include "tests/unit/unit.h"
#include "verifier/checks.h"
#include "verifier/reasons.h"
#include <setjmp.h>

#include <dirent.h>
#include <jansson.h>
#include <libpq-fe.h>
#include <openssl/evp.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SHARED static __attribute__((unused))
#define ACCOUNT "123456789012"
#define REGION "us-east-1"
static const long long MINUTE = 60 * 1000000LL, T0 = 1767225600000000LL; /* 2026-01-01T00:00:00Z */

/* ---- the place */

struct place {
	char folder[128], path[160], uri[280];
	char database[40]; /* PostgreSQL's; "": SQLite */
};

SHARED PGconn *postgres_connect(const char *database)
{
	char uri[280];
	PGconn *connection;

	snprintf(uri, sizeof(uri), "postgresql:///%s?%s", database, getenv("STORE_POSTGRES"));
	connection = PQconnectdb(uri);
	if (PQstatus(connection) != CONNECTION_OK)
		print_error("%s\n", PQerrorMessage(connection));
	assert_int_equal(PQstatus(connection), CONNECTION_OK);
	return connection;
}

/* The last statement's first value as a number, 0 where there is none. */
SHARED long long postgres_run(const char *database, const char *sql)
{
	PGconn *connection = postgres_connect(database);
	PGresult *result = PQexec(connection, sql);
	ExecStatusType status = PQresultStatus(result);
	long long number = 0;

	if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
		print_error("%s: %s\n", sql, PQerrorMessage(connection));
	assert_true(status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK);
	if (status == PGRES_TUPLES_OK && PQntuples(result) > 0)
		number = atoll(PQgetvalue(result, 0, 0));
	PQclear(result);
	PQfinish(connection);
	return number;
}

SHARED void place_make(struct place *place)
{
	const char *tmp = getenv("TMPDIR");
	char sql[100];

	snprintf(place->folder, sizeof(place->folder), "%s/vouchsafe-store-XXXXXX",
		tmp && tmp[0] ? tmp : "/tmp");
	assert_non_null(mkdtemp(place->folder));
	snprintf(place->path, sizeof(place->path), "%s/t.db", place->folder);
	snprintf(place->uri, sizeof(place->uri), "sqlite:%s", place->path);
	place->database[0] = '\0';
	if (!getenv("STORE_POSTGRES"))
		return;
	snprintf(place->database, sizeof(place->database), "t_%s", place->folder + strlen(place->folder) - 6);
	snprintf(place->uri, sizeof(place->uri), "postgresql:///%s?%s", place->database,
		getenv("STORE_POSTGRES"));
	snprintf(sql, sizeof(sql), "CREATE DATABASE \"%s\"", place->database);
	postgres_run("postgres", sql);
}

SHARED void place_remove(const struct place *place)
{
	DIR *folder = opendir(place->folder);
	struct dirent *entry;
	char sql[100];

	while (folder && (entry = readdir(folder)))
		unlinkat(dirfd(folder), entry->d_name, 0);
	closedir(folder);
	rmdir(place->folder);
	if (!place->database[0])
		return;
	snprintf(sql, sizeof(sql), "DROP DATABASE \"%s\" WITH (FORCE)", place->database);
	postgres_run("postgres", sql);
}

SHARED struct store *place_open(const struct place *place, enum store_use use)
{
	struct complaint complaint = { "" };
	struct store *store = store_open(
		&(struct store_settings){ .uri = place->uri, .use = use, .node = "rp-1" }, &complaint);

	if (!store)
		print_error("%s\n", complaint.text);
	assert_non_null(store);
	return store;
}

/* Beside the store, with no manners. */
SHARED void tamper(const struct place *place, const char *sql)
{
	sqlite3 *db;

	if (place->database[0]) {
		char script[4096] = "SET search_path = vouchsafe; ";

		assert_true(strlen(sql) < sizeof(script) - strlen(script));
		postgres_run(place->database, strcat(script, sql));
		return;
	}
	assert_int_equal(sqlite3_open(place->path, &db), SQLITE_OK);
	sqlite3_busy_timeout(db, 5000);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

/* `spelled`: SQLite's way, and PostgreSQL's where it is another (NULL: the same, "": none). False: not done.
 */
SHARED bool tamper_either(const struct place *place, const char *const spelled[2])
{
	const char *sql = place->database[0] && spelled[1] ? spelled[1] : spelled[0];

	if (sql[0])
		tamper(place, sql);
	return sql[0];
}

SHARED long long ask_number(const struct place *place, const char *sql)
{
	sqlite3 *db;
	sqlite3_stmt *statement;
	long long number;

	if (place->database[0]) {
		char script[4096] = "SET search_path = vouchsafe; ";

		assert_true(strlen(sql) < sizeof(script) - strlen(script));
		return postgres_run(place->database, strcat(script, sql));
	}
	assert_int_equal(sqlite3_open(place->path, &db), SQLITE_OK);
	sqlite3_busy_timeout(db, 5000);
	assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &statement, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
	number = sqlite3_column_int64(statement, 0);
	sqlite3_finalize(statement);
	sqlite3_close(db);
	return number;
}

/* ---- secrets */

SHARED void secret_put(struct store *store, const char *name, unsigned version)
{
	struct envelope envelope = { .kind = "opaque", .version = version, .n_wraps = 1 };
	unsigned char text[40];
	struct reason reason;

	memset(text, (int)(version + 0x40), sizeof(text));
	snprintf(envelope.name, sizeof(envelope.name), "%s", name);
	envelope.text = text;
	envelope.text_length = sizeof(text);
	snprintf(envelope.wraps[0].member, sizeof(envelope.wraps[0].member), "hsm-a");
	envelope.wraps[0].generation = 1;
	envelope.wraps[0].length = 48;
	assert_int_equal(store_envelope_put(store, &envelope, "operator:test", "for the test", &reason), OK);
}

/* ---- requests */

/* One request with all that its record points to. */
struct asked {
	struct assertion assertion;
	struct recipient recipient;
	struct decision decision;
	struct claims *claims;
	struct record record;
};

SHARED struct recipient key_number(unsigned number)
{
	struct recipient recipient = { .spki_length = 91 };

	memset(recipient.spki, 0x30, 91);
	memcpy(recipient.spki, &number, sizeof(number));
	EVP_Digest(recipient.spki, recipient.spki_length, recipient.sha256, NULL, EVP_sha256(), NULL);
	return recipient;
}

/* A release of instance `instance` for key `key` that has come to OK, as a first use, at T0. */
SHARED void ask(struct asked *asked, unsigned instance, unsigned key)
{
	*asked = (struct asked){ .recipient = key_number(key) };
	snprintf(asked->assertion.instance_id, INSTANCE_ID_SIZE, "i-%017x", instance);
	snprintf(asked->assertion.account_id, ACCOUNT_ID_SIZE, ACCOUNT);
	snprintf(asked->assertion.region, REGION_SIZE, REGION);
	snprintf(asked->assertion.role, ROLE_SIZE, "web-tier");
	snprintf(asked->assertion.source_ip, ADDRESS_SIZE, "10.0.1.225");
	asked->decision = (struct decision){ .first_use_allowed = true,
		.retry_window = 15 * 60 * 1000,
		.n_secrets = 2,
		.secrets = { "pin", "key" } };
	asked->claims = claims_new();
	assert_non_null(asked->claims);
	asked->claims->facts.launch_time = T0 / 1000000 - 30;
	check_add(asked->claims, CHECK_STATE, "ec2", true, "running", "running");
	check_add(asked->claims, CHECK_LAUNCH_WINDOW, "clock", true, "10m", "30s");
	check_add(asked->claims, CHECK_ORIGINAL_BOOT, "ec2", true, "5m", "1s");
	asked->record = (struct record){ .kind = RECORD_RELEASE,
		.now_us = T0,
		.request_id = "req-1",
		.source = "10.0.1.225",
		.policy_sha256 = "aa",
		.rule = "web",
		.outcome = OK };
}

/* The record points into its own struct: after a copy it must be told again. */
SHARED struct record *asked_record(struct asked *asked)
{
	asked->record.assertion = &asked->assertion;
	asked->record.recipient = &asked->recipient;
	asked->record.decision = &asked->decision;
	asked->record.claims = asked->claims;
	return &asked->record;
}

SHARED void asked_clear(struct asked *asked)
{
	grant_free(asked->record.grant);
	claims_free(asked->claims);
	*asked = (struct asked){ 0 };
}

SHARED void first_use_closed(struct asked *asked, const char *check)
{
	asked->decision.first_use_allowed = false;
	claims_check(asked->claims, check)->result = CHECK_FAILED;
}

SHARED enum outcome record_one(struct store *store, struct record *record)
{
	store_record(store, (struct record *[]){ record }, 1);
	return record->outcome;
}

SHARED enum outcome record_asked(struct store *store, struct asked *asked)
{
	return record_one(store, asked_record(asked));
}

/* Asks, records, checks; keeps only the release id. */
SHARED enum outcome release_at(struct store *store, unsigned instance, unsigned key, long long now_us,
	char release_id[RELEASE_ID_SIZE])
{
	struct asked asked;
	enum outcome outcome;

	ask(&asked, instance, key);
	asked.record.now_us = now_us;
	outcome = record_asked(store, &asked);
	assert_true((outcome == OK) == (asked.record.grant != NULL));
	assert_true((outcome == OK) == (asked.record.release_id[0] != '\0'));
	if (release_id)
		memcpy(release_id, asked.record.release_id, RELEASE_ID_SIZE);
	asked_clear(&asked);
	return outcome;
}

SHARED enum outcome acknowledge_at(struct store *store, const char *release_id, long long now_us)
{
	struct record record = { .kind = RECORD_ACKNOWLEDGE, .now_us = now_us, .outcome = OK };

	snprintf(record.release_id, sizeof(record.release_id), "%s", release_id);
	return record_one(store, &record);
}

/* ---- the trail */

SHARED bool take_event(void *context, const struct audit_event *event)
{
	json_t *value = json_loadb(
		(const char *)event->text.data, event->text.length, JSON_REJECT_DUPLICATES, NULL);

	assert_non_null(value);
	for (size_t i = 0; i < event->text.length; i++)
		assert_true(event->text.data[i] >= 0x20 && event->text.data[i] < 0x7f);
	json_array_append_new(context, value);
	return true;
}

SHARED json_t *events_like(struct store *store, const struct audit_filter *filter, bool *more)
{
	json_t *events = json_array();
	struct reason reason;

	assert_int_equal(audit_query(store, filter, take_event, events, more, &reason), OK);
	return events;
}

/* The newest event; the caller owns the reference. */
SHARED json_t *newest_event(struct store *store)
{
	bool more;
	json_t *events = events_like(store, &(struct audit_filter){ .limit = 1 }, &more);
	json_t *event = json_incref(json_array_get(events, 0));

	json_decref(events);
	return event;
}

SHARED const char *said(const json_t *event, const char *member)
{
	const char *text = json_string_value(json_object_get(event, member));

	return text ? text : "";
}

SHARED const char *check_said(const json_t *event, const char *name)
{
	size_t i;
	json_t *check;

	json_array_foreach(json_object_get(event, "checks"), i,
		check) if (strcmp(said(check, "name"), name) == 0) return said(check, "result");
	return "";
}

SHARED long long chain_whole(struct store *store)
{
	long long events = -1;
	struct reason reason = { 0 };
	enum outcome outcome = audit_verify(store, &events, &reason);

	if (outcome != OK)
		print_error("%s\n", reason.text);
	assert_int_equal(outcome, OK);
	return events;
}

/* ---- a store of one test's own */

struct scene {
	struct place place;
	struct store *store;
	unsigned instance; /* the last that a test made up */
};

SHARED int scene_begin(void **state, enum store_use use)
{
	struct scene *scene = calloc(1, sizeof(*scene));

	assert_non_null(scene);
	place_make(&scene->place);
	scene->store = place_open(&scene->place, use);
	*state = scene;
	return 0;
}

SHARED int scene_begin_with_secrets(void **state)
{
	scene_begin(state, STORE_SERVE);
	secret_put(((struct scene *)*state)->store, "pin", 1);
	secret_put(((struct scene *)*state)->store, "key", 1);
	return 0;
}

SHARED int scene_end(void **state, bool chain_is_whole)
{
	struct scene *scene = *state;

	if (chain_is_whole && scene->store)
		chain_whole(scene->store);
	store_close(scene->store);
	place_remove(&scene->place);
	free(scene);
	return 0;
}

#endif
