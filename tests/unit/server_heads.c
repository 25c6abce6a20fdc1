/* The members' memory against the store: what agrees, what is an alarm and in which words, and what is merely
 * not known now. */
#include "server/heads.h"

#include "tests/unit/store_fixture.h"
#include "vault/checkpoint.h"

#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/x509.h>

#define VAULT "5b0c7f0e-0000-4000-8000-000000000001"

static struct place place;
static struct store *store;
static struct config config;
static struct vault_file vault;
static EVP_PKEY *key;
static struct signer signer;

static int begin(void **state)
{
	unsigned char *der = NULL;

	(void)state;
	place_make(&place);
	store = place_open(&place, STORE_SERVE);
	config = (struct config){ .node = "rp-1", .path = "/etc/v.json", .deadline_ms = 1000 };
	snprintf(config.store, sizeof(config.store), "%s", place.uri);
	vault = (struct vault_file){
		.id = VAULT, .n_members = 1, .state = "/state", .members = { { .name = "hsm-a" } }
	};
	key = EVP_EC_gen("P-256");
	signer = (struct signer){ .member = "hsm-a", .key_id = "00112233445566778899aabbccddeeff" };
	assert_int_equal(i2d_PUBKEY(key, &der), SIGNER_KEY_BYTES);
	memcpy(signer.public_key, der, SIGNER_KEY_BYTES);
	OPENSSL_free(der);
	return 0;
}

static int end(void **state)
{
	(void)state;
	EVP_PKEY_free(key);
	store_close(store);
	place_remove(&place);
	return 0;
}

static void signer_pin(void)
{
	struct reason reason;

	assert_int_equal(store_signer_put(store, &signer, "operator:test", &reason), OK);
}

static struct signed_head head_now(void)
{
	struct signed_head head;

	store_head_seen(store, &head);
	head.time_us = T0;
	return head;
}

/* Signed as a member would, and kept. */
static void checkpoint_keep(const struct signed_head *head)
{
	struct checkpoint checkpoint = { .member = "hsm-a", .head = *head, .seals = 3 };
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(key, NULL);
	unsigned char digest[32], der[80];
	const unsigned char *at = der;
	size_t length = sizeof(der);
	struct reason reason;
	ECDSA_SIG *pair;

	assert_true(checkpoint_digest(VAULT, &checkpoint, digest));
	assert_int_equal(EVP_PKEY_sign_init(context), 1);
	assert_int_equal(EVP_PKEY_sign(context, der, &length, digest, sizeof(digest)), 1);
	pair = d2i_ECDSA_SIG(NULL, &at, (long)length);
	assert_int_equal(BN_bn2binpad(ECDSA_SIG_get0_r(pair), checkpoint.signature, 32), 32);
	assert_int_equal(BN_bn2binpad(ECDSA_SIG_get0_s(pair), checkpoint.signature + 32, 32), 32);
	ECDSA_SIG_free(pair);
	EVP_PKEY_CTX_free(context);
	assert_int_equal(store_checkpoint_put(store, &checkpoint, &reason), OK);
}

static struct heads *must_open(void)
{
	struct complaint complaint = { "" };
	struct heads *heads = heads_open(&config, &vault, &complaint);

	if (!heads)
		fail_msg("%s", complaint.text);
	return heads;
}

static void must_not_open(const char *why)
{
	struct complaint complaint = { "" };

	assert_null(heads_open(&config, &vault, &complaint));
	if (!strstr(complaint.text, why))
		fail_msg("not \"%s\" but: %s", why, complaint.text);
}

static void must_agree(struct heads *heads, const struct signed_head *last)
{
	struct complaint complaint = { "" };
	struct reason reason;

	if (!heads_judge(heads, "hsm-a", last, &complaint))
		fail_msg("%s", complaint.text);
	assert_int_equal(heads_look(heads, 0, last, &reason), OK);
	assert_false(heads_alarmed(heads, &complaint));
}

static void must_alarm(struct heads *heads, const struct signed_head *last, const char *why)
{
	struct complaint complaint = { "" }, alarm = { "" };
	struct reason reason;

	assert_false(heads_judge(heads, "hsm-a", last, &complaint));
	if (!strstr(complaint.text, why))
		fail_msg("not \"%s\" but: %s", why, complaint.text);
	assert_non_null(
		strstr(complaint.text, "vouchsafe restore --accept --reason TEXT --config /etc/v.json"));
	assert_true(heads_alarmed(heads, &alarm));
	assert_string_equal(alarm.text, complaint.text);
	assert_int_equal(heads_look(heads, 0, last, &reason), REFUSED);
	assert_string_equal(reason.code, REASON_STORE);
}

static void attack_32_what_a_member_remembers_has_to_stand(void **state)
{
	struct signed_head none = { 0 }, first, ahead, fork;
	struct complaint complaint;
	struct heads *heads;

	(void)state;
	must_not_open("vouchsafe vault apply --config /etc/v.json");
	signer_pin();
	first = head_now();
	secret_put(store, "pin", 1);
	heads = must_open();
	must_agree(heads, &none); /* it has signed nothing, and the store holds no signature */
	must_agree(heads, &first);
	ahead = head_now();
	must_agree(heads, &ahead);
	ahead.seq += 40;
	must_alarm(heads, &ahead,
		"has signed event 42 at 2026-01-01T00:00:00.000000Z, and the store ends with event 2: "
		"40 events are missing");
	must_agree(heads, &first); /* the trouble is gone */
	fork = first;
	fork.hash[0] ^= 1;
	must_alarm(heads, &fork, "has signed another event 1,");
	assert_false(heads_judge(heads, "hsm-b", &first, &complaint));
	heads_signed(heads, 0, 2, T0); /* it signs what we have */
	assert_false(heads_alarmed(heads, NULL));
	heads_close(heads);
}

static void attack_32_a_member_that_has_forgotten_is_noticed(void **state)
{
	struct signed_head none = { 0 }, first, second;
	struct heads *heads;

	(void)state;
	signer_pin();
	first = head_now();
	secret_put(store, "pin", 1);
	second = head_now();
	checkpoint_keep(&first);
	checkpoint_keep(&second);
	heads = must_open();
	must_agree(heads, &second);
	must_alarm(heads, &none,
		"has forgotten what it signed (event 2 at 2026-01-01T00:00:00.000000Z, says the store)");
	must_alarm(heads, &first, "somebody has put an older state in its place, /state/hsm-a.head");
	heads_close(heads);
}

static void attack_32_what_the_store_keeps_is_verified(void **state)
{
	struct signed_head first;

	(void)state;
	signer_pin();
	first = head_now();
	checkpoint_keep(&first);
	heads_close(must_open());
	tamper(&place, "UPDATE checkpoint SET time_us = time_us + 1");
	must_not_open("has no signature of hsm-a's");
	tamper(&place, "UPDATE checkpoint SET time_us = time_us - 1");
	heads_close(must_open());
	tamper(&place, "UPDATE event SET hash = zeroblob(32), bytes = CAST('{}' AS BLOB)");
	must_not_open("holds its signature and not that event");
	tamper(&place, "DELETE FROM event");
	must_not_open("holds its signature and not that event");
	tamper(&place, "UPDATE checkpoint SET member = 'hsm-b'");
	heads_close(must_open());
	tamper(&place, "DELETE FROM signer");
	must_not_open("no key for checkpoints is pinned for hsm-a");
}

static void a_store_that_does_not_answer_is_no_alarm(void **state)
{
	struct signed_head first;
	struct complaint complaint = { "" };
	struct reason reason;
	struct heads *heads;

	(void)state;
	signer_pin();
	first = head_now();
	heads = must_open();
	tamper(&place, "ALTER TABLE event RENAME TO gone");
	assert_false(heads_judge(heads, "hsm-a", &first, &complaint));
	assert_true(complaint.text[0] != '\0');
	assert_int_equal(heads_look(heads, 0, &first, &reason), UNAVAILABLE);
	assert_false(heads_alarmed(heads, NULL));
	tamper(&place, "ALTER TABLE gone RENAME TO event");
	must_agree(heads, &first);
	heads_close(heads);
}

static void one_checkpoint_at_a_time(void **state)
{
	struct heads *heads;
	long long time_us;

	(void)state;
	signer_pin();
	heads = must_open();
	assert_int_equal(heads_last_signed(heads, 0, &time_us), 0);
	assert_int_equal(time_us, 0);
	assert_true(heads_enter(heads));
	assert_false(heads_enter(heads));
	heads_leave(heads);
	assert_true(heads_enter(heads));
	heads_signed(heads, 0, 7, T0);
	assert_int_equal(heads_last_signed(heads, 0, &time_us), 7);
	assert_int_equal(time_us, T0);
	assert_memory_equal(heads_signer(heads, 0), &signer, sizeof(signer));
	heads_close(heads);
	heads_close(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(attack_32_what_a_member_remembers_has_to_stand, begin, end),
		cmocka_unit_test_setup_teardown(attack_32_a_member_that_has_forgotten_is_noticed, begin, end),
		cmocka_unit_test_setup_teardown(attack_32_what_the_store_keeps_is_verified, begin, end),
		cmocka_unit_test_setup_teardown(a_store_that_does_not_answer_is_no_alarm, begin, end),
		cmocka_unit_test_setup_teardown(one_checkpoint_at_a_time, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
