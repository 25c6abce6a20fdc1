/* Heads as members have signed them: their keys, their checkpoints, what stands in the trail and what does
 * not, restores, and the alarm for who was launched before one. On either engine (store_fixture.h). */
#include "store/heads.h"

#include "tests/unit/store_fixture.h"

static int begin(void **state)
{
	static struct place place;

	place_make(&place);
	*state = &place;
	return 0;
}

static int end(void **state)
{
	place_remove(*state);
	return 0;
}

static struct signer signer_of(const char *member, unsigned char first)
{
	struct signer signer = { .public_key = { first, 2, 3 } };

	snprintf(signer.member, sizeof(signer.member), "%s", member);
	snprintf(signer.key_id, sizeof(signer.key_id), "%032x", first);
	return signer;
}

static void keys_are_pinned_once(void **state)
{
	struct store *store = place_open(*state, STORE_TOOL);
	struct signer signer = signer_of("hsm-a", 1), other = signer_of("hsm-a", 9), got;
	struct reason reason;
	json_t *event;

	assert_int_equal(store_signer_get(store, "hsm-a", &got, &reason), REFUSED);
	assert_string_equal(reason.code, REASON_NOT_FOUND);
	assert_int_equal(store_signer_put(store, &signer, "operator:test", &reason), OK);
	event = newest_event(store);
	assert_string_equal(said(event, "event"), "vault.signer-pinned");
	assert_string_equal(said(event, "actor"), "operator:test");
	assert_non_null(strstr(said(event, "comment"), signer.key_id));
	json_decref(event);
	assert_int_equal(store_signer_put(store, &other, "operator:test", &reason), REFUSED);
	assert_string_equal(reason.code, REASON_CONFLICT);
	assert_int_equal(store_signer_get(store, "hsm-a", &got, &reason), OK);
	assert_memory_equal(&got, &signer, sizeof(got));
	assert_int_equal(store_signer_get(store, "hsm-b", &got, &reason), REFUSED);
	signer.member[0] = '\0';
	assert_int_equal(store_signer_put(store, &signer, "operator:test", &reason), REFUSED);
	assert_int_equal(chain_whole(store), 1);
	store_close(store);
}

/* The newest event as this handle has seen it. */
static struct signed_head head_now(struct store *store)
{
	struct signed_head head;

	store_head_seen(store, &head);
	return head;
}

static void heads_stand_or_do_not(void **state)
{
	struct store *store = place_open(*state, STORE_SERVE), *reader = place_open(*state, STORE_READ);
	struct signed_head head = head_now(store), newest, other;
	struct reason reason;
	bool stands;

	assert_int_equal(head.seq, 0);
	secret_put(store, "pin", 1);
	head = head_now(store);
	assert_int_equal(head.seq, 1);
	assert_int_equal(store_head_stands(reader, &head, &stands, &newest, &reason), OK);
	assert_true(stands);
	assert_int_equal(newest.seq, 1);
	assert_memory_equal(newest.hash, head.hash, 32);
	assert_true(newest.time_us > T0);
	secret_put(store, "pin", 2);
	assert_int_equal(store_head_stands(reader, &head, &stands, &newest, &reason), OK);
	assert_true(stands);
	assert_int_equal(newest.seq, 2);
	other = head;
	other.hash[31] ^= 1;
	assert_int_equal(store_head_stands(reader, &other, &stands, &newest, &reason), OK);
	assert_false(stands);
	other = head_now(store);
	other.seq = 3;
	assert_int_equal(store_head_stands(reader, &other, &stands, &newest, &reason), OK);
	assert_false(stands);
	/* bytes that somebody has changed, with the hash left beside them */
	tamper(*state, "UPDATE event SET bytes = (SELECT bytes FROM event WHERE seq = 2) WHERE seq = 1");
	assert_int_equal(store_head_stands(reader, &head, &stands, &newest, &reason), OK);
	assert_false(stands);
	store_close(reader);
	store_close(store);
}

static struct checkpoint checkpoint_of(struct signed_head head, long long seals)
{
	struct checkpoint checkpoint = {
		.member = "hsm-a", .head = head, .seals = seals, .signature = { 7 }
	};

	checkpoint.head.time_us = T0 + seals;
	return checkpoint;
}

static void checkpoints_are_kept(void **state)
{
	struct store *store = place_open(*state, STORE_SERVE), *other;
	struct complaint complaint;
	struct checkpoint first, second, got;
	struct reason reason;
	long long events;

	assert_int_equal(store_checkpoint_newest(store, "hsm-a", &got, &reason), REFUSED);
	assert_string_equal(reason.code, REASON_NOT_FOUND);
	secret_put(store, "pin", 1);
	first = checkpoint_of(head_now(store), 1);
	assert_int_equal(store_checkpoint_put(store, &first, &reason), OK);
	secret_put(store, "pin", 2);
	second = checkpoint_of(head_now(store), 2);
	assert_int_equal(store_checkpoint_put(store, &second, &reason), OK);
	assert_int_equal(store_checkpoint_put(store, &first, &reason), OK);
	assert_int_equal(store_checkpoint_newest(store, "hsm-a", &got, &reason), OK);
	assert_memory_equal(&got, &second, sizeof(got));
	/* the same head once more replaces the first signature of it */
	second.signature[5] = 55;
	second.seals = 3;
	assert_int_equal(store_checkpoint_put(store, &second, &reason), OK);
	assert_int_equal(store_checkpoint_newest(store, "hsm-a", &got, &reason), OK);
	assert_memory_equal(&got, &second, sizeof(got));
	assert_int_equal(ask_number(*state, "SELECT COUNT(*) FROM checkpoint"), 2);
	assert_int_equal(store_checkpoint_newest(store, "hsm-b", &got, &reason), REFUSED);
	/* nor is what another node has had signed any of ours: its member process may be another */
	other = store_open(
		&(struct store_settings){
			.uri = ((const struct place *)*state)->uri, .use = STORE_TOOL, .node = "rp-2" },
		&complaint);
	assert_non_null(other);
	assert_int_equal(store_checkpoint_newest(other, "hsm-a", &got, &reason), REFUSED);
	assert_int_equal(store_checkpoint_put(other, &first, &reason), OK);
	assert_int_equal(store_checkpoint_newest(other, "hsm-a", &got, &reason), OK);
	assert_memory_equal(&got, &first, sizeof(got));
	store_close(other);
	assert_int_equal(store_checkpoint_newest(store, "hsm-a", &got, &reason), OK);
	assert_memory_equal(&got, &second, sizeof(got));
	/* no event: the head does not move by being signed */
	assert_int_equal(audit_verify(store, &events, &reason), OK);
	assert_int_equal(events, 2);
	assert_int_equal(head_now(store).seq, 2);
	store_close(store);
}

static struct lost_head lost_of(const char *member, long long seq, unsigned char first)
{
	struct lost_head lost = { .head = { .seq = seq, .hash = { first }, .time_us = T0 + 5 * MINUTE } };

	snprintf(lost.member, sizeof(lost.member), "%s", member);
	return lost;
}

static void a_restore_is_written_once(void **state)
{
	struct store *store = place_open(*state, STORE_TOOL);
	struct lost_head lost[] = { lost_of("hsm-a", 40, 1), lost_of("hsm-b", 1, 2), lost_of("hsm-c", 0, 0) };
	struct restore restore = { .actor = "operator:test",
		.reason = "disk lost",
		.lost = lost,
		.n_lost = 3,
		.now_us = T0 + 9 * MINUTE };
	struct signed_head head, newest;
	struct reason reason;
	bool again, stands;
	json_t *event;

	secret_put(store, "pin", 1);
	assert_int_equal(store_restore(store, &restore, &head, &again, &reason), OK);
	assert_false(again);
	assert_int_equal(head.seq, 2);
	assert_int_equal(head.time_us, restore.now_us);
	assert_int_equal(store_head_stands(store, &head, &stands, &newest, &reason), OK);
	assert_true(stands);
	event = newest_event(store);
	assert_string_equal(said(event, "event"), "store.restored");
	assert_string_equal(said(event, "actor"), "operator:test");
	assert_non_null(strstr(said(event, "comment"), "disk lost; hsm-a: events 2 to 40 are lost, from 20"));
	assert_non_null(
		strstr(said(event, "comment"), "hsm-b: event 1 was another one, signed 2026-01-01T00:05:00"));
	assert_non_null(strstr(said(event, "comment"), "hsm-c: does not know what it signed"));
	json_decref(event);
	/* cut short, and run again: for all of them, or for those that have not accepted yet */
	secret_put(store, "pin", 2);
	restore.n_lost = 2;
	assert_int_equal(store_restore(store, &restore, &head, &again, &reason), OK);
	assert_true(again);
	assert_int_equal(head.seq, 3);
	assert_memory_equal(head.hash, head_now(store).hash, 32);
	assert_int_equal(ask_number(*state, "SELECT COUNT(*) FROM restored"), 1);
	/* other heads: another restore */
	lost[0].head.hash[0] = 9;
	assert_int_equal(store_restore(store, &restore, &head, &again, &reason), OK);
	assert_false(again);
	assert_int_equal(head.seq, 4);
	assert_int_equal(ask_number(*state, "SELECT COUNT(*) FROM restored"), 2);
	assert_int_equal(ask_number(*state, "SELECT COUNT(*) FROM lost"), 5);
	restore.n_lost = 0;
	assert_int_equal(store_restore(store, &restore, &head, &again, &reason), REFUSED);
	assert_int_equal(chain_whole(store), 4);
	store_close(store);
}

/* Asks as instance and key, launched then; is it an alarm? */
static bool is_alarm(struct store *store, unsigned instance, unsigned key, long long launched_us)
{
	struct asked asked;
	bool alarm;

	ask(&asked, instance, key);
	asked.record.now_us = T0 + 20 * MINUTE;
	asked.claims->facts.launch_time = launched_us / 1000000;
	assert_int_equal(record_asked(store, &asked), OK);
	alarm = asked.record.after_restore;
	asked_clear(&asked);
	return alarm;
}

static void attack_32_a_first_use_from_the_lost_time_is_an_alarm(void **state)
{
	struct store *node = place_open(*state, STORE_SERVE), *tool = place_open(*state, STORE_TOOL);
	struct lost_head lost = lost_of("hsm-a", 40, 1);
	struct restore restore = { .actor = "operator:test",
		.reason = "disk lost",
		.lost = &lost,
		.n_lost = 1,
		.now_us = T0 + 9 * MINUTE };
	struct signed_head head;
	struct reason reason;
	bool again;
	json_t *event;

	secret_put(tool, "pin", 1);
	secret_put(tool, "key", 1);
	assert_false(is_alarm(node, 1, 1, T0));
	/* written by another handle, while this one serves */
	assert_int_equal(store_restore(tool, &restore, &head, &again, &reason), OK);
	assert_true(is_alarm(node, 2, 2, T0 + 9 * MINUTE - 1000000));
	event = newest_event(node);
	assert_string_equal(said(event, "event"), "release.after-restore");
	assert_string_equal(said(event, "instance-id"), "i-00000000000000002");
	assert_string_equal(said(event, "request_id"), "req-1");
	assert_int_equal(strlen(said(event, "release_id")), 36);
	assert_non_null(
		strstr(said(event, "comment"), "the restore at 2026-01-01T00:09:00.000000Z (event 4)"));
	json_decref(event);
	/* the same key again is no first use; who was launched later is none of the lost time */
	assert_false(is_alarm(node, 2, 2, T0 + 9 * MINUTE - 1000000));
	assert_false(is_alarm(node, 3, 3, T0 + 9 * MINUTE));
	assert_int_equal(chain_whole(node), 8);
	/* the newest restore counts */
	lost.head.seq = 50;
	restore.now_us = T0 + 15 * MINUTE;
	assert_int_equal(store_restore(tool, &restore, &head, &again, &reason), OK);
	assert_true(is_alarm(node, 4, 4, T0 + 9 * MINUTE));
	assert_false(is_alarm(node, 5, 5, T0 + 15 * MINUTE));
	store_close(tool);
	store_close(node);
}

static void attack_32_an_alarm_that_cannot_be_written_is_no_release(void **state)
{
	struct store *node;
	struct lost_head lost = lost_of("hsm-a", 40, 1);
	struct restore restore = { .actor = "operator:test",
		.reason = "disk lost",
		.lost = &lost,
		.n_lost = 1,
		.now_us = T0 + 9 * MINUTE };
	struct signed_head head;
	struct reason reason;
	struct asked asked;
	bool again;

	if (((const struct place *)*state)->database[0])
		skip(); /* the trigger is SQLite's */
	node = place_open(*state, STORE_SERVE);
	secret_put(node, "pin", 1);
	secret_put(node, "key", 1);
	assert_int_equal(store_restore(node, &restore, &head, &again, &reason), OK);
	/* the event behind the grant's */
	tamper(*state, "CREATE TRIGGER full BEFORE INSERT ON event WHEN NEW.seq = 5 BEGIN"
		       " SELECT RAISE(ABORT, 'no'); END");
	ask(&asked, 1, 1);
	assert_int_equal(record_asked(node, &asked), UNAVAILABLE);
	assert_null(asked.record.grant);
	assert_false(asked.record.after_restore);
	asked_clear(&asked);
	tamper(*state, "DROP TRIGGER full");
	assert_int_equal(ask_number(*state, "SELECT COUNT(*) FROM ledger"), 0);
	assert_true(is_alarm(node, 1, 1, T0));
	assert_int_equal(chain_whole(node), 5);
	store_close(node);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(keys_are_pinned_once, begin, end),
		cmocka_unit_test_setup_teardown(heads_stand_or_do_not, begin, end),
		cmocka_unit_test_setup_teardown(checkpoints_are_kept, begin, end),
		cmocka_unit_test_setup_teardown(a_restore_is_written_once, begin, end),
		cmocka_unit_test_setup_teardown(
			attack_32_a_first_use_from_the_lost_time_is_an_alarm, begin, end),
		cmocka_unit_test_setup_teardown(
			attack_32_an_alarm_that_cannot_be_written_is_no_release, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
