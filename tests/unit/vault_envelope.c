/* Envelopes and wraps: what was sealed opens, and every single change to it, or to what it is called, is
 * refused. */
#include "tests/unit/vault_fixture.h"
#include "vault/envelope_crypto.h"
#include "vault/token.h"
#include "vault/wrap.h"

static const unsigned char key[DATA_KEY_BYTES] = { 9, 8, 7 };
static const struct envelope_label label = { VAULT_ID, "hsm-partition-pin", "pin", 3 };

/* All labels that differ from the above in one thing, and two in which a character crosses a border. */
static const struct envelope_label others[] = { { "5b0c7f0e-0000-4000-8000-000000000002", "hsm-partition-pin",
							"pin", 3 },
	{ VAULT_ID, "hsm-partition-pim", "pin", 3 }, { VAULT_ID, "hsm-partition-pin", "node", 3 },
	{ VAULT_ID, "hsm-partition-pin", "opaque", 3 }, { VAULT_ID, "hsm-partition-pin", "pin", 2 },
	{ VAULT_ID, "hsm-partition-pi", "npin", 3 }, { VAULT_ID, "hsm-partition-pinp", "in", 3 },
	{ VAULT_ID, "", "pin", 3 }, { VAULT_ID, "hsm-partition-pin", "", 3 },
	{ VAULT_ID, "hsm-partition-pin", "pin", 3 << 24 } };
enum { OTHERS = sizeof(others) / sizeof(others[0]) };

static void round_trips(void **state)
{
	static unsigned char plain[SECRET_BYTES_MAX], text[SECRET_BYTES_MAX + TAG_BYTES],
		opened[SECRET_BYTES_MAX];
	static const size_t lengths[] = { 1, 15, 16, 17, 1000, SECRET_BYTES_MAX };
	unsigned char nonce[NONCE_BYTES], before[NONCE_BYTES] = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(plain); i++)
		plain[i] = (unsigned char)(i * 5);
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		assert_true(envelope_seal(&label, key, (struct bytes){ plain, lengths[i] }, nonce, text));
		assert_memory_not_equal(nonce, before, sizeof(nonce));
		memcpy(before, nonce, sizeof(nonce));
		assert_true(envelope_open(
			&label, key, nonce, (struct bytes){ text, lengths[i] + TAG_BYTES }, opened));
		assert_memory_equal(opened, plain, lengths[i]);
	}
}

static void no_change_is_accepted(void **state)
{
	unsigned char plain[21] = "a secret of 20 bytes", text[21 + TAG_BYTES], nonce[NONCE_BYTES],
		      opened[21];
	unsigned char other_key[DATA_KEY_BYTES];
	const struct bytes whole = { text, sizeof(text) };
	static const unsigned char wiped[21];

	(void)state;
	assert_true(envelope_seal(&label, key, (struct bytes){ plain, sizeof(plain) }, nonce, text));
	for (size_t i = 0; i < sizeof(text) * 8; i++) {
		text[i / 8] ^= (unsigned char)(1 << i % 8);
		memset(opened, 0xee, sizeof(opened));
		assert_false(envelope_open(&label, key, nonce, whole, opened));
		assert_memory_equal(opened, wiped, sizeof(opened)); /* nothing unverified stays */
		text[i / 8] ^= (unsigned char)(1 << i % 8);
	}
	for (size_t i = 0; i < sizeof(nonce) * 8; i++) {
		nonce[i / 8] ^= (unsigned char)(1 << i % 8);
		assert_false(envelope_open(&label, key, nonce, whole, opened));
		nonce[i / 8] ^= (unsigned char)(1 << i % 8);
	}
	memcpy(other_key, key, sizeof(key));
	for (size_t i = 0; i < sizeof(key) * 8; i++) {
		other_key[i / 8] ^= (unsigned char)(1 << i % 8);
		assert_false(envelope_open(&label, other_key, nonce, whole, opened));
		other_key[i / 8] ^= (unsigned char)(1 << i % 8);
	}
	for (size_t i = 0; i < OTHERS; i++)
		assert_false(envelope_open(&others[i], key, nonce, whole, opened));
	for (size_t i = 0; i < sizeof(text); i++)
		assert_false(envelope_open(&label, key, nonce, (struct bytes){ text, i }, opened));
	assert_true(envelope_open(&label, key, nonce, whole, opened));
}

/* A wrap's associated data never equal an envelope's, nor another wrap's. */
static void associated_data_are_apart(void **state)
{
	struct aad a, b;

	(void)state;
	envelope_aad(&label, &a);
	wrap_aad(&label, "hsm-a", 1, &b);
	assert_true(a.length != b.length || memcmp(a.data, b.data, a.length) != 0);
	wrap_aad(&label, "hsm-b", 1, &a);
	assert_true(memcmp(a.data, b.data, b.length) != 0);
	wrap_aad(&label, "hsm-a", 2, &a);
	assert_true(memcmp(a.data, b.data, b.length) != 0);
	for (size_t i = 0; i < OTHERS; i++) {
		wrap_aad(&others[i], "hsm-a", 1, &a);
		assert_true(a.length != b.length || memcmp(a.data, b.data, a.length) != 0);
	}
	/* the longest names there are still fit */
	wrap_aad(&(struct envelope_label){ VAULT_ID,
			 "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijk", "x509-issue-long",
			 4294967295U },
		"abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijk", 4294967295U, &a);
	assert_true(a.length < AAD_MAX);
}

static bool unwraps(struct token_session *session, const struct envelope_label *as, const char *member,
	unsigned generation, struct bytes wrap)
{
	unsigned char opened[DATA_KEY_BYTES] = { 0 };
	struct complaint complaint;
	struct aad aad;

	wrap_aad(as, member, generation, &aad);
	return wrap_open(
		       session, IV_HOST, (struct bytes){ aad.data, aad.length }, wrap, opened, &complaint) &&
	       memcmp(opened, key, sizeof(key)) == 0;
}

static void wraps_are_bound_to_their_place(void **state)
{
	const struct bytes so_pin = { (const unsigned char *)"12345678", 8 },
			   pin = { (const unsigned char *)"123456", 6 };
	struct complaint complaint = { "" };
	char one[KEY_ID_SIZE], two[KEY_ID_SIZE];
	unsigned char wrap[WRAP_MAX];
	struct token_session *session;
	struct token *token;
	struct place place = { "" };
	size_t length = 0;
	struct aad aad;

	(void)state;
	place_make(&place);
	token = token_load(SOFTHSM, &complaint);
	assert_non_null(token);
	assert_int_equal(token_find(token, TOKEN, "", &complaint), TOKEN_BLANK);
	assert_true(token_initialise(token, TOKEN, so_pin, pin, &complaint));
	assert_int_equal(token_login(token, pin, &complaint), LOGIN_OK);
	session = token_session_open(token, &complaint);
	assert_non_null(session);
	assert_true(token_key_generate(session, "one", one, &complaint));
	wrap_aad(&label, MEMBER, 1, &aad);
	assert_true(wrap_seal(
		session, IV_HOST, (struct bytes){ aad.data, aad.length }, key, wrap, &length, &complaint));
	assert_int_equal(length, 60);
	assert_true(unwraps(session, &label, MEMBER, 1, (struct bytes){ wrap, length }));
	assert_false(unwraps(session, &label, "hsm-b", 1, (struct bytes){ wrap, length }));
	assert_false(unwraps(session, &label, MEMBER, 2, (struct bytes){ wrap, length }));
	for (size_t i = 0; i < OTHERS; i++)
		assert_false(unwraps(session, &others[i], MEMBER, 1, (struct bytes){ wrap, length }));
	for (size_t i = 0; i < length * 8; i++) {
		wrap[i / 8] ^= (unsigned char)(1 << i % 8);
		assert_false(unwraps(session, &label, MEMBER, 1, (struct bytes){ wrap, length }));
		wrap[i / 8] ^= (unsigned char)(1 << i % 8);
	}
	for (size_t i = 0; i < length; i++)
		assert_false(unwraps(session, &label, MEMBER, 1, (struct bytes){ wrap, i }));
	assert_true(token_key_generate(session, "two", two, &complaint));
	assert_string_not_equal(one, two);
	assert_false(
		unwraps(session, &label, MEMBER, 1, (struct bytes){ wrap, length })); /* by another key */
	assert_true(token_key_choose(session, one, &complaint));
	assert_true(unwraps(session, &label, MEMBER, 1, (struct bytes){ wrap, length }));
	token_session_close(session);
	token_close(token);
	place_remove(&place);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_trips),
		cmocka_unit_test(no_change_is_accepted),
		cmocka_unit_test(associated_data_are_apart),
		cmocka_unit_test(wraps_are_bound_to_their_place),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
