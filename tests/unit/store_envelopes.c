/* Envelopes and pinned members: what is put comes back, versions are never used twice, and every change that
 * an operator makes is an event. */
#include "tests/unit/store_fixture.h"

static int begin(void **state)
{
	return scene_begin(state, STORE_TOOL);
}

static int end(void **state)
{
	return scene_end(state, true);
}

static unsigned char some_text[SECRET_BYTES_MAX + 17];

static struct envelope some_envelope(const char *name, const char *kind, unsigned version)
{
	struct envelope envelope = {
		.version = version, .text = some_text, .text_length = 32, .n_wraps = MEMBERS_MAX
	};

	snprintf(envelope.name, sizeof(envelope.name), "%s", name);
	snprintf(envelope.kind, sizeof(envelope.kind), "%s", kind);
	memset(envelope.nonce, 7, sizeof(envelope.nonce));
	for (unsigned i = 0; i < MEMBERS_MAX; i++) {
		snprintf(envelope.wraps[i].member, NAME_SIZE, "hsm-%c", 'z' - (int)i);
		envelope.wraps[i].generation = i + 1;
		envelope.wraps[i].length = i + 1;
		memset(envelope.wraps[i].bytes, (int)i, i + 1);
	}
	return envelope;
}

static void it_comes_back(void **state)
{
	struct store *store = ((struct scene *)*state)->store;
	struct envelope put = some_envelope("pin", "pin", 1), got;
	struct reason reason;
	unsigned version;
	json_t *event;

	put.text_length = SECRET_BYTES_MAX + 16;
	assert_int_equal(store_next_version(store, "pin", &version, &reason), OK);
	assert_int_equal(version, 1);
	assert_int_equal(store_envelope_put(store, &put, "operator:root", "first", &reason), OK);
	assert_int_equal(store_envelope_get(store, "pin", 1, &got, &reason), OK);
	assert_string_equal(got.name, "pin");
	assert_string_equal(got.kind, "pin");
	assert_int_equal(got.version, 1);
	assert_memory_equal(got.nonce, put.nonce, sizeof(put.nonce));
	assert_int_equal(got.text_length, put.text_length);
	assert_memory_equal(got.text, put.text, put.text_length);
	assert_int_equal(got.n_wraps, put.n_wraps);
	assert_memory_equal(got.wraps, put.wraps, sizeof(put.wraps)); /* in their order */
	envelope_clear(&got);
	assert_int_equal(store_envelope_get(store, "pin", 2, &got, &reason), REFUSED);
	assert_string_equal(reason.code, REASON_NOT_FOUND);
	assert_int_equal(store_envelope_get(store, "other", 0, &got, &reason), REFUSED);
	event = newest_event(store);
	assert_string_equal(said(event, "event"), "secret.stored");
	assert_string_equal(said(event, "actor"), "operator:root");
	assert_string_equal(said(event, "comment"), "first");
	assert_string_equal(said(json_array_get(json_object_get(event, "secrets"), 0), "name"), "pin");
	json_decref(event);
}

static void versions_are_never_used_twice(void **state)
{
	struct store *store = ((struct scene *)*state)->store;
	struct envelope envelope = some_envelope("pin", "pin", 1), got;
	struct reason reason;
	unsigned version;

	for (unsigned i = 1; i <= 3; i++)
		secret_put(store, "pin", i);
	assert_int_equal(store_envelope_get(store, "pin", 0, &got, &reason), OK);
	assert_int_equal(got.version, 3);
	envelope_clear(&got);
	assert_int_equal(store_envelope_remove(store, "pin", 3, "operator:a", NULL, &reason), OK);
	assert_int_equal(store_envelope_remove(store, "pin", 3, "operator:a", NULL, &reason), REFUSED);
	assert_int_equal(store_envelope_get(store, "pin", 0, &got, &reason), OK);
	assert_int_equal(got.version, 2);
	envelope_clear(&got);
	assert_int_equal(store_next_version(store, "pin", &version, &reason), OK);
	assert_int_equal(version, 4);
	for (unsigned i = 1; i <= 3; i++) {
		envelope = some_envelope("pin", "opaque", i);
		assert_int_equal(store_envelope_put(store, &envelope, "operator:a", NULL, &reason), REFUSED);
		assert_string_equal(reason.code, REASON_CONFLICT);
	}
	assert_int_equal(store_envelope_remove(store, "pin", 0, "operator:a", NULL, &reason), OK);
	assert_int_equal(store_envelope_remove(store, "pin", 0, "operator:a", NULL, &reason), REFUSED);
	assert_string_equal(reason.code, REASON_NOT_FOUND);
	assert_int_equal(store_next_version(store, "pin", &version, &reason), OK);
	assert_int_equal(version, 4);
	envelope = some_envelope("pin", "pin", 4); /* all are gone: another kind is fine */
	assert_int_equal(store_envelope_put(store, &envelope, "operator:a", NULL, &reason), OK);
}

static void removals_are_events(void **state)
{
	struct scene *scene = *state;
	struct reason reason;
	json_t *event;

	secret_put(scene->store, "pin", 1);
	secret_put(scene->store, "pin", 2);
	secret_put(scene->store, "other", 1);
	assert_int_equal(store_envelope_remove(scene->store, "pin", 0, "operator:a", "rotated", &reason), OK);
	event = newest_event(scene->store);
	assert_string_equal(said(event, "event"), "secret.removed");
	assert_string_equal(said(event, "comment"), "rotated");
	assert_int_equal(json_array_size(json_object_get(event, "secrets")), 2);
	json_decref(event);
	assert_int_equal(ask_number(&scene->place, "SELECT COUNT(*) FROM envelope"), 1);
	assert_int_equal(ask_number(&scene->place, "SELECT COUNT(*) FROM wrap"), 1);
}

static void kinds_do_not_mix(void **state)
{
	struct store *store = ((struct scene *)*state)->store;
	struct envelope pin = some_envelope("pin", "pin", 1), other = some_envelope("pin", "certificate", 2);
	struct reason reason;

	assert_int_equal(store_envelope_put(store, &pin, "operator:a", NULL, &reason), OK);
	assert_int_equal(store_envelope_put(store, &other, "operator:a", NULL, &reason), REFUSED);
	assert_string_equal(reason.code, REASON_CONFLICT);
}

static void the_vaults_own_leave_no_event(void **state)
{
	struct store *store = ((struct scene *)*state)->store;
	struct envelope node = some_envelope("node", "node", 1),
			canary = some_envelope("canary", "canary", 1), got;
	struct reason reason;

	assert_int_equal(store_envelope_put(store, &node, "operator:a", NULL, &reason), OK);
	assert_int_equal(store_envelope_put(store, &canary, "operator:a", NULL, &reason), OK);
	assert_int_equal(chain_whole(store), 0);
	assert_int_equal(store_envelope_get(store, "node", 0, &got, &reason), OK);
	envelope_clear(&got);
}

static void what_cannot_be_is_refused(void **state)
{
	struct store *store = ((struct scene *)*state)->store;
	struct envelope bad[8];
	struct reason reason;

	for (int i = 0; i < 8; i++)
		bad[i] = some_envelope("pin", "pin", 1);
	bad[0].name[0] = '-';
	bad[1].kind[0] = '\0';
	bad[2].version = 0;
	bad[3].text_length = 15;
	bad[4].text_length = SECRET_BYTES_MAX + 17;
	bad[5].n_wraps = MEMBERS_MAX + 1;
	bad[6].wraps[3].length = WRAP_MAX + 1;
	bad[7].text = NULL;
	for (int i = 0; i < 8; i++) {
		assert_int_equal(store_envelope_put(store, &bad[i], "operator:a", NULL, &reason), REFUSED);
		assert_string_equal(reason.code, REASON_MALFORMED);
	}
	assert_int_equal(
		store_envelope_remove(store, "'; DROP TABLE envelope; --", 0, "a", NULL, &reason), REFUSED);
	assert_int_equal(chain_whole(store), 0);
}

struct listed {
	char text[400];
	int stop_after;
};

static bool list_row(void *context, const struct envelope_row *row)
{
	struct listed *listed = context;
	size_t used = strlen(listed->text);

	snprintf(listed->text + used, sizeof(listed->text) - used, "%s/%s/%u/%zu ", row->name, row->kind,
		row->version, row->size);
	assert_true(row->stored_us > T0 / 2);
	return --listed->stop_after != 0;
}

static void listing(void **state)
{
	struct store *store = ((struct scene *)*state)->store;
	struct listed listed = { .stop_after = -1 };
	struct reason reason;

	secret_put(store, "pin", 1);
	secret_put(store, "key", 1);
	secret_put(store, "pin", 2);
	assert_int_equal(store_envelope_list(store, list_row, &listed, &reason), OK);
	assert_string_equal(listed.text, "key/opaque/1/24 pin/opaque/2/24 pin/opaque/1/24 ");
	listed = (struct listed){ .stop_after = 1 };
	assert_int_equal(store_envelope_list(store, list_row, &listed, &reason), OK);
	assert_string_equal(listed.text, "key/opaque/1/24 ");
	secret_put(store, "pin", 3); /* the listing that was left half-way is in nobody's way */
}

static void members(void **state)
{
	struct store *store = ((struct scene *)*state)->store;
	struct member_pin pin = { .vault = "5b0c7f0e-0000-4000-8000-000000000001",
		.member = "hsm-a",
		.token_serial = "0123456789abcdef",
		.generation = 1,
		.key_id = "00ff",
		.iv_mode = IV_APPENDED };
	struct member_pin got, other = pin;
	struct reason reason;
	json_t *event;

	assert_int_equal(store_member_get(store, "hsm-a", &got, &reason), REFUSED);
	assert_string_equal(reason.code, REASON_NOT_FOUND);
	assert_int_equal(store_member_put(store, &pin, "operator:a", &reason), OK);
	assert_int_equal(store_member_get(store, "hsm-a", &got, &reason), OK);
	assert_string_equal(got.vault, pin.vault);
	assert_string_equal(got.member, pin.member);
	assert_string_equal(got.token_serial, pin.token_serial);
	assert_string_equal(got.key_id, pin.key_id);
	assert_int_equal(got.generation, pin.generation);
	assert_int_equal(got.iv_mode, pin.iv_mode);
	event = newest_event(store);
	assert_string_equal(said(event, "event"), "vault.member-pinned");
	assert_string_equal(said(event, "actor"), "operator:a");
	assert_non_null(strstr(said(event, "comment"), "0123456789abcdef"));
	json_decref(event);
	assert_int_equal(store_member_put(store, &pin, "operator:a", &reason), REFUSED);
	assert_string_equal(reason.code, REASON_CONFLICT);
	snprintf(other.member, sizeof(other.member), "hsm-b");
	assert_int_equal(store_member_put(store, &other, "operator:a", &reason), OK);
	snprintf(other.member, sizeof(other.member), "hsm-c");
	other.vault[0] = '6';
	assert_int_equal(store_member_put(store, &other, "operator:a", &reason), REFUSED);
	assert_string_equal(reason.code, REASON_CONFLICT);
	assert_int_equal(chain_whole(store), 2);
}

/* What somebody else has written into a row is not taken for what was put there: no number wraps around, no
 * text ends early, no wrap is passed over. */
static void rows_out_of_form(void **state)
{
	/* SQLite's spelling, and PostgreSQL's where that is another; "": a column there cannot hold it */
	static const char *const acts[][2] = {
		{ "UPDATE envelope SET version = 4294967297" },
		{ "UPDATE envelope SET version = 0" },
		{ "UPDATE envelope SET kind = 'pin' || char(0) || 'x'", "" },
		{ "UPDATE envelope SET kind = ''" },
		{ "UPDATE envelope SET kind = 7.5" },
		{ "UPDATE envelope SET nonce = zeroblob(13)",
			"UPDATE envelope SET nonce = repeat('0', 13)::bytea" },
		{ "UPDATE envelope SET text = zeroblob(15)",
			"UPDATE envelope SET text = repeat('0', 15)::bytea" },
		{ "UPDATE envelope SET text = zeroblob(65553)",
			"UPDATE envelope SET text = repeat('0', 65553)::bytea" },
		{ "UPDATE wrap SET bytes = zeroblob(97)", "UPDATE wrap SET bytes = repeat('0', 97)::bytea" },
		{ "UPDATE wrap SET bytes = zeroblob(0)", "UPDATE wrap SET bytes = ''" },
		{ "UPDATE wrap SET generation = 4294967297" },
		{ "UPDATE wrap SET generation = 'one'", "" },
		{ "UPDATE wrap SET member = '../hsm'" },
		{ "UPDATE member SET generation = 4294967297" },
		{ "UPDATE member SET iv_mode = 4294967297" },
		{ "UPDATE member SET iv_mode = 4" },
		{ "UPDATE member SET vault = ''" },
		{ "UPDATE member SET token_serial = 'a' || char(0)", "" },
		{ "UPDATE secret SET last_version = -1" },
	};
	struct scene *scene = *state;
	struct envelope put = some_envelope("pin", "pin", 1), got;
	struct member_pin pin = { "5b0c7f0e-0000-4000-8000-000000000001", "hsm-a", "0123456789abcdef", 1,
		"00", IV_HOST };
	struct reason reason;
	unsigned version;

	assert_int_equal(store_envelope_put(scene->store, &put, "operator:a", "x", &reason), OK);
	assert_int_equal(store_member_put(scene->store, &pin, "operator:a", &reason), OK);
	tamper(&scene->place,
		"CREATE TABLE e AS SELECT * FROM envelope; CREATE TABLE w AS SELECT * FROM wrap;"
		"CREATE TABLE m AS SELECT * FROM member; CREATE TABLE s AS SELECT * FROM secret");
	for (size_t i = 0; i < sizeof(acts) / sizeof(acts[0]); i++) {
		bool whole;

		if (!tamper_either(&scene->place, acts[i]))
			continue;
		whole = store_envelope_get(scene->store, "pin", 0, &got, &reason) == OK;
		envelope_clear(&got);
		whole = whole && store_member_get(scene->store, "hsm-a", &pin, &reason) == OK;
		if (whole && store_next_version(scene->store, "pin", &version, &reason) == OK)
			fail_msg("%s", acts[i][0]);
		assert_int_equal(strcmp(reason.code, REASON_STORE), 0);
		tamper(&scene->place, "DELETE FROM envelope; INSERT INTO envelope SELECT * FROM e;"
				      "DELETE FROM wrap; INSERT INTO wrap SELECT * FROM w;"
				      "DELETE FROM member; INSERT INTO member SELECT * FROM m;"
				      "DELETE FROM secret; INSERT INTO secret SELECT * FROM s");
	}
	assert_int_equal(store_envelope_get(scene->store, "pin", 0, &got, &reason), OK);
	envelope_clear(&got);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(it_comes_back, begin, end),
		cmocka_unit_test_setup_teardown(versions_are_never_used_twice, begin, end),
		cmocka_unit_test_setup_teardown(removals_are_events, begin, end),
		cmocka_unit_test_setup_teardown(kinds_do_not_mix, begin, end),
		cmocka_unit_test_setup_teardown(the_vaults_own_leave_no_event, begin, end),
		cmocka_unit_test_setup_teardown(what_cannot_be_is_refused, begin, end),
		cmocka_unit_test_setup_teardown(listing, begin, end),
		cmocka_unit_test_setup_teardown(members, begin, end),
		cmocka_unit_test_setup_teardown(rows_out_of_form, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
