/* The experiment: SoftHSM wants its IV from the host; of the tokens that misbehave none is taken. */
#include "tests/unit/vault_fixture.h"
#include "vault/frame.h"
#include "vault/token_inside.h"
#include "vault/wrap.h"

#include <openssl/evp.h>
#include <openssl/rand.h>

/* ---- a token made of OpenSSL that can be made to misbehave */

enum manner {
	HONEST = 0, /* the IV comes from the host */
	APPENDS = 1 << 0, /* makes 16 bytes of IV and appends them; knows no IV from the host */
	FILLS = 1 << 1, /* fills the 12 bytes that it is given, when they are zeroes; else refuses */
	OVERWRITES = 1 << 2, /* puts its own IV over any given one */
	FIXED_IV = 1 << 3, /* says OK and uses a fixed IV */
	ZERO_IV = 1 << 4, /* its own IV is zeroes */
	NO_AAD = 1 << 5, /* does not look at associated data */
	NO_TAG = 1 << 6, /* does not look at tags */
	LONG = 1 << 7, /* one byte too many */
	SHORT = 1 << 8, /* one byte too few */
	GARBLES = 1 << 9, /* decrypts to something else */
	COUNTS = 1 << 10, /* its own IV is a counter of one byte: not random, but never twice the same */
	DEAD = 1 << 11
};
static unsigned manner;
static CK_GCM_PARAMS *parameters;
static const unsigned char key[32] = { 1, 2, 3 };

static CK_RV fake_init(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE object)
{
	(void)session;
	(void)object;
	if (manner & DEAD)
		return CKR_DEVICE_REMOVED;
	parameters = mechanism->pParameter;
	return CKR_OK;
}

static void gcm(bool encrypt, const unsigned char *iv, size_t iv_length, const unsigned char *in,
	unsigned char *out, unsigned char tag[16], bool *right)
{
	EVP_CIPHER_CTX *cipher = EVP_CIPHER_CTX_new();
	int n;

	assert_int_equal(EVP_CipherInit_ex(cipher, EVP_aes_256_gcm(), NULL, NULL, NULL, encrypt), 1);
	assert_int_equal(EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_GCM_SET_IVLEN, (int)iv_length, NULL), 1);
	assert_int_equal(EVP_CipherInit_ex(cipher, NULL, NULL, key, iv, encrypt), 1);
	if (!(manner & NO_AAD))
		assert_int_equal(
			EVP_CipherUpdate(cipher, NULL, &n, parameters->pAAD, (int)parameters->ulAADLen), 1);
	assert_int_equal(EVP_CipherUpdate(cipher, out, &n, in, 32), 1);
	if (!encrypt)
		EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_GCM_SET_TAG, 16, tag);
	*right = EVP_CipherFinal_ex(cipher, out + n, &n) == 1;
	if (encrypt)
		EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_GCM_GET_TAG, 16, tag);
	EVP_CIPHER_CTX_free(cipher);
}

/* The token's own IV. */
static void own_iv(unsigned char *iv, size_t length)
{
	static unsigned char count;

	memset(iv, 0, length);
	if (manner & COUNTS)
		iv[length - 1] = ++count;
	else if (manner & FIXED_IV)
		memset(iv, 0x5a, length);
	else if (!(manner & ZERO_IV))
		RAND_bytes(iv, (int)length);
}

static CK_RV fake_encrypt(CK_SESSION_HANDLE session, unsigned char *in, CK_ULONG in_length,
	unsigned char *out, CK_ULONG *out_length)
{
	unsigned char iv[16];
	size_t iv_length = parameters->ulIvLen;
	bool right;

	(void)session;
	assert_int_equal(in_length, 32);
	if (manner & APPENDS) {
		if (iv_length != 0)
			return CKR_MECHANISM_PARAM_INVALID;
		own_iv(iv, sizeof(iv));
		gcm(true, iv, sizeof(iv), in, out, out + 32, &right);
		memcpy(out + 48, iv, sizeof(iv));
		*out_length = 64;
	} else {
		static const unsigned char zeroes[12];

		if (iv_length != 12 && !(manner & FIXED_IV))
			return CKR_MECHANISM_PARAM_INVALID;
		if ((manner & FILLS) && iv_length == 12 && memcmp(parameters->pIv, zeroes, 12) != 0)
			return CKR_MECHANISM_PARAM_INVALID;
		if (manner & (FILLS | OVERWRITES | FIXED_IV | ZERO_IV))
			own_iv(iv, 12);
		else
			memcpy(iv, parameters->pIv, 12);
		if ((manner & (FILLS | OVERWRITES)) && iv_length == 12)
			memcpy(parameters->pIv, iv, 12);
		gcm(true, iv, 12, in, out, out + 32, &right);
		*out_length = 48;
	}
	*out_length += (manner & LONG) ? 1 : 0;
	*out_length -= (manner & SHORT) ? 1 : 0;
	return CKR_OK;
}

static CK_RV fake_decrypt(CK_SESSION_HANDLE session, unsigned char *in, CK_ULONG in_length,
	unsigned char *out, CK_ULONG *out_length)
{
	unsigned char iv[16];
	size_t iv_length = parameters->ulIvLen;
	bool right;

	(void)session;
	if (in_length != 48 || iv_length < 12)
		return CKR_ENCRYPTED_DATA_LEN_RANGE;
	memcpy(iv, parameters->pIv, iv_length);
	if ((manner & (FIXED_IV | ZERO_IV)) && !(manner & (FILLS | OVERWRITES | APPENDS)))
		own_iv(iv, 12);
	gcm(false, iv, iv_length, in, out, in + 32, &right);
	if (!right && !(manner & NO_TAG))
		return CKR_GENERAL_ERROR;
	out[0] ^= (manner & GARBLES) ? 1 : 0;
	*out_length = 32;
	return CKR_OK;
}

static CK_FUNCTION_LIST fake = { .C_EncryptInit = fake_init,
	.C_Encrypt = fake_encrypt,
	.C_DecryptInit = fake_init,
	.C_Decrypt = fake_decrypt };

static bool tried(unsigned how, enum iv_mode *mode)
{
	struct token_session session = { .p11 = &fake, .handle = 1, .key = 1 };
	struct complaint complaint = { "" };
	bool found;

	manner = how;
	*mode = 0;
	found = iv_mode_find(&session, mode, &complaint);
	assert_true(found || complaint.text[0] != '\0');
	return found;
}

static void each_way_is_found(void **state)
{
	enum iv_mode mode;

	(void)state;
	assert_true(tried(HONEST, &mode));
	assert_int_equal(mode, IV_HOST);
	assert_true(tried(FILLS, &mode));
	assert_int_equal(mode, IV_FILLED);
	assert_true(tried(OVERWRITES, &mode)); /* it cannot be told what to use, but tells what it used */
	assert_int_equal(mode, IV_FILLED);
	assert_true(tried(APPENDS, &mode));
	assert_int_equal(mode, IV_APPENDED);
	assert_true(tried(FILLS | COUNTS, &mode));
	assert_int_equal(mode, IV_FILLED);
}

static void no_bad_token_is_taken(void **state)
{
	static const struct {
		unsigned manner;
		const char *name;
	} rows[] = { { FIXED_IV, "fixed IV" }, { ZERO_IV, "IV of zeroes" },
		{ FILLS | FIXED_IV, "fills a fixed IV" }, { FILLS | ZERO_IV, "fills zeroes" },
		{ OVERWRITES | FIXED_IV, "overwrites with a fixed IV" },
		{ OVERWRITES | ZERO_IV, "overwrites with zeroes" },
		{ APPENDS | FIXED_IV, "appends a fixed IV" }, { APPENDS | ZERO_IV, "appends zeroes" },
		{ NO_AAD, "no associated data" }, { FILLS | NO_AAD, "fills, no associated data" },
		{ APPENDS | NO_AAD, "appends, no associated data" }, { NO_TAG, "no tag" },
		{ FILLS | NO_TAG, "fills, no tag" }, { APPENDS | NO_TAG, "appends, no tag" },
		{ LONG, "a byte more" }, { SHORT, "a byte less" }, { APPENDS | LONG, "appends, a byte more" },
		{ APPENDS | SHORT, "appends, a byte less" }, { FILLS | SHORT, "fills, a byte less" },
		{ GARBLES, "garbles" }, { APPENDS | GARBLES, "appends, garbles" }, { DEAD, "dead" } };
	enum iv_mode mode;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (tried(rows[i].manner, &mode))
			fail_msg("taken, as mode %d: %s", mode, rows[i].name);
}

/* Every later nonce is checked too: a token that turns bad after set-up. */
static void later_nonces_are_checked(void **state)
{
	static const struct {
		enum iv_mode mode;
		unsigned manner;
	} rows[] = { { IV_HOST, OVERWRITES }, { IV_HOST, LONG }, { IV_HOST, APPENDS },
		{ IV_FILLED, FILLS | ZERO_IV }, { IV_FILLED, HONEST }, { IV_APPENDED, APPENDS | ZERO_IV },
		{ IV_APPENDED, HONEST }, { IV_HOST, DEAD } };
	struct token_session session = { .p11 = &fake, .handle = 1, .key = 1 };
	const struct bytes aad = { (const unsigned char *)"aad", 3 };
	unsigned char wrap[WRAP_MAX], data_key[32] = { 7 };
	struct complaint complaint;
	size_t length;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		manner = rows[i].manner;
		if (wrap_seal(&session, rows[i].mode, aad, data_key, wrap, &length, &complaint))
			fail_msg("row %zu was taken", i);
	}
}

static void softhsm_wants_its_iv_from_the_host(void **state)
{
	struct complaint complaint = { "" };
	struct token_session *session;
	char key_id[KEY_ID_SIZE], again[KEY_ID_SIZE];
	enum iv_mode mode = 0;
	struct place place = { "" };
	struct token *token;
	const struct bytes so_pin = { (const unsigned char *)"12345678", 8 },
			   pin = { (const unsigned char *)"123456", 6 };

	(void)state;
	place_make(&place);
	token = token_load(SOFTHSM, &complaint);
	assert_non_null(token);
	assert_int_equal(token_find(token, TOKEN, "", &complaint), TOKEN_BLANK);
	assert_true(token_initialise(token, TOKEN, so_pin, pin, &complaint));
	assert_int_equal(token_find(token, TOKEN, "", &complaint), TOKEN_THERE);
	assert_int_equal(token_find(token, TOKEN, token_serial(token), &complaint), TOKEN_THERE);
	assert_int_equal(token_find(token, TOKEN, "another", &complaint), TOKEN_NOT_THERE);
	assert_int_equal(token_find(token, TOKEN, "", &complaint), TOKEN_THERE);
	assert_int_equal(token_login(token, (struct bytes){ pin.data, 5 }, &complaint), LOGIN_PIN_REFUSED);
	assert_int_equal(token_login(token, pin, &complaint), LOGIN_OK);
	session = token_session_open(token, &complaint);
	assert_non_null(session);
	assert_false(token_key_of_label(session, "kek", key_id));
	assert_true(token_key_generate(session, "kek", key_id, &complaint));
	assert_true(token_key_of_label(session, "kek", again));
	assert_string_equal(key_id, again);
	if (!iv_mode_find(session, &mode, &complaint))
		fail_msg("%s", complaint.text);
	assert_int_equal(mode, IV_HOST);
	token_session_close(session);
	token_close(token);
	place_remove(&place);
}

/* Neither one that was brought in from outside, nor one that is not there. */
static void keys_that_can_leave_are_refused(void **state)
{
	CK_OBJECT_CLASS class = CKO_SECRET_KEY;
	CK_KEY_TYPE type = CKK_AES;
	CK_BBOOL yes = CK_TRUE;
	unsigned char id[16] = { 0xaa }, value[32] = { 1 };
	CK_ATTRIBUTE brought[] = { { CKA_CLASS, &class, sizeof(class) },
		{ CKA_KEY_TYPE, &type, sizeof(type) }, { CKA_TOKEN, &yes, 1 }, { CKA_PRIVATE, &yes, 1 },
		{ CKA_SENSITIVE, &yes, 1 }, { CKA_ENCRYPT, &yes, 1 }, { CKA_DECRYPT, &yes, 1 },
		{ CKA_ID, id, sizeof(id) }, { CKA_LABEL, (void *)"kek", 3 },
		{ CKA_VALUE, value, sizeof(value) } };
	const struct bytes so_pin = { (const unsigned char *)"12345678", 8 },
			   pin = { (const unsigned char *)"123456", 6 };
	struct complaint complaint = { "" };
	struct token_session *session;
	CK_OBJECT_HANDLE object;
	char key_id[KEY_ID_SIZE];
	struct place place = { "" };
	struct token *token;

	(void)state;
	place_make(&place);
	token = token_load(SOFTHSM, &complaint);
	assert_non_null(token);
	assert_int_equal(token_find(token, TOKEN, "", &complaint), TOKEN_BLANK);
	assert_true(token_initialise(token, TOKEN, so_pin, pin, &complaint));
	assert_int_equal(token_login(token, pin, &complaint), LOGIN_OK);
	session = token_session_open(token, &complaint);
	assert_non_null(session);
	assert_int_equal(session->p11->C_CreateObject(
				 session->handle, brought, sizeof(brought) / sizeof(brought[0]), &object),
		CKR_OK);
	assert_false(token_key_choose(session, "aa000000000000000000000000000000", &complaint));
	assert_non_null(strstr(complaint.text, "can never leave"));
	assert_false(token_key_of_label(session, "kek", key_id));
	assert_false(token_key_choose(session, "bb000000000000000000000000000000", &complaint));
	assert_false(token_key_choose(session, "nonsense", &complaint));
	token_session_close(session);
	token_close(token);
	place_remove(&place);
}

static void modules_that_are_none_are_refused(void **state)
{
	struct complaint complaint = { "" };

	(void)state;
	assert_null(token_load("/nowhere/module.so", &complaint));
	assert_non_null(strstr(complaint.text, "/nowhere/module.so"));
	assert_null(token_load("/etc/hostname", &complaint));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_way_is_found),
		cmocka_unit_test(no_bad_token_is_taken),
		cmocka_unit_test(later_nonces_are_checked),
		cmocka_unit_test(softhsm_wants_its_iv_from_the_host),
		cmocka_unit_test(keys_that_can_leave_are_refused),
		cmocka_unit_test(modules_that_are_none_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
