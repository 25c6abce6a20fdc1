/* Wrapping of data keys with C_Encrypt and C_Decrypt. Must never hand out a wrap whose IV was not looked at:
 * under a repeated IV, GCM gives away its keys. */
#include "vault/wrap.h"
#include "vault/token_inside.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>

#include <string.h>

enum { KEY = 32, TAG = 16, SHORT_IV = 12, LONG_IV = 16 };

static size_t wrap_length(enum iv_mode mode)
{
	return KEY + TAG + (mode == IV_APPENDED ? LONG_IV : SHORT_IV);
}

static bool all_zero(const unsigned char *data, size_t length)
{
	unsigned char any = 0;

	for (size_t i = 0; i < length; i++)
		any |= data[i];
	return any == 0;
}

static CK_GCM_PARAMS gcm_parameters(unsigned char *iv, size_t iv_length, struct bytes aad)
{
	return (CK_GCM_PARAMS){ .pIv = iv,
		.ulIvLen = iv_length,
		.ulIvBits = iv_length * 8,
		.pAAD = (unsigned char *)aad.data,
		.ulAADLen = aad.length,
		.ulTagBits = TAG * 8 };
}

/* One single-part encryption; `out` has room for WRAP_MAX bytes. */
static CK_RV encrypt(struct token_session *session, CK_GCM_PARAMS *parameters, const unsigned char *key,
	unsigned char *out, CK_ULONG *length)
{
	CK_MECHANISM mechanism = { CKM_AES_GCM, parameters, sizeof(*parameters) };
	CK_RV rv = session->p11->C_EncryptInit(session->handle, &mechanism, session->key);

	return rv != CKR_OK
		       ? rv
		       : session->p11->C_Encrypt(session->handle, (unsigned char *)key, KEY, out, length);
}

bool wrap_seal(struct token_session *session, enum iv_mode mode, struct bytes aad,
	const unsigned char key[32], unsigned char *wrap, size_t *length, struct complaint *complaint)
{
	unsigned char given[SHORT_IV] = { 0 }, iv[SHORT_IV], out[WRAP_MAX];
	CK_GCM_PARAMS parameters = gcm_parameters(
		mode == IV_APPENDED ? NULL : iv, mode == IV_APPENDED ? 0 : sizeof(iv), aad);
	CK_ULONG n = sizeof(out);
	size_t head = mode == IV_APPENDED ? 0 : sizeof(iv);
	CK_RV rv;

	if (mode == IV_HOST && RAND_bytes(given, sizeof(given)) != 1)
		return complain(complaint, "no random bytes for an IV");
	memcpy(iv, given, sizeof(iv));
	rv = encrypt(session, &parameters, key, out, &n);
	if (rv != CKR_OK)
		return complain(complaint, "the token does not encrypt: %s", token_code(rv));
	if (head + n != wrap_length(mode))
		return complain(
			complaint, "the token made %lu bytes where %zu are due", n, wrap_length(mode) - head);
	if (mode == IV_HOST && memcmp(iv, given, sizeof(iv)) != 0)
		return complain(complaint, "the token put another IV in the place of ours");
	memcpy(wrap, iv, head);
	memcpy(wrap + head, out, n);
	*length = head + n;
	if (mode == IV_APPENDED ? all_zero(wrap + KEY + TAG, LONG_IV) : all_zero(wrap, SHORT_IV))
		return complain(complaint, "the token's IV is nothing but zeroes");
	return true;
}

bool wrap_open(struct token_session *session, enum iv_mode mode, struct bytes aad, struct bytes wrap,
	unsigned char key[32], struct complaint *complaint)
{
	bool appended = mode == IV_APPENDED;
	size_t iv_length = appended ? LONG_IV : SHORT_IV;
	unsigned char iv[LONG_IV], sealed[KEY + TAG];
	CK_GCM_PARAMS parameters = gcm_parameters(iv, iv_length, aad);
	CK_MECHANISM mechanism = { CKM_AES_GCM, &parameters, sizeof(parameters) };
	/* some tokens ask for room for the tag too */
	unsigned char *out;
	CK_ULONG n = KEY + TAG;
	CK_RV rv;

	if (wrap.length != wrap_length(mode))
		return complain(
			complaint, "a wrap of %zu bytes where %zu are due", wrap.length, wrap_length(mode));
	memcpy(iv, wrap.data + (appended ? KEY + TAG : 0), iv_length);
	memcpy(sealed, wrap.data + (appended ? 0 : SHORT_IV), sizeof(sealed));
	if (all_zero(iv, iv_length))
		return complain(complaint, "a wrap with an IV of zeroes");
	out = OPENSSL_secure_malloc(n);
	if (out == NULL)
		return complain(complaint, "locked memory is out");
	rv = session->p11->C_DecryptInit(session->handle, &mechanism, session->key);
	if (rv == CKR_OK)
		rv = session->p11->C_Decrypt(session->handle, sealed, sizeof(sealed), out, &n);
	if (rv == CKR_OK && n == KEY)
		memcpy(key, out, KEY);
	OPENSSL_secure_clear_free(out, KEY + TAG);
	if (rv != CKR_OK)
		return complain(complaint, "the token does not decrypt: %s", token_code(rv));
	if (n != KEY)
		return complain(complaint, "the token made %lu bytes where %d are due", n, KEY);
	return true;
}
