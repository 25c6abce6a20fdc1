/* Seals and opens envelopes with OpenSSL's EVP. Must never hand out plaintext whose tag was not verified. */
#include "vault/envelope_crypto.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include <string.h>

/* All lengths are bounded by the names' grammar; what does not fit is a fault of ours and changes the data,
 * so that nothing opens. */
static void aad_put(struct aad *aad, const void *data, size_t length)
{
	if (length > AAD_MAX || aad->length + 4 + length > AAD_MAX) {
		*aad = (struct aad){ .length = AAD_MAX };
		return;
	}
	aad->data[aad->length++] = 0;
	aad->data[aad->length++] = 0;
	aad->data[aad->length++] = (unsigned char)(length >> 8);
	aad->data[aad->length++] = (unsigned char)length;
	memcpy(aad->data + aad->length, data, length);
	aad->length += length;
}

static void aad_put_number(struct aad *aad, unsigned number)
{
	const unsigned char bytes[] = { (unsigned char)(number >> 24), (unsigned char)(number >> 16),
		(unsigned char)(number >> 8), (unsigned char)number };

	aad_put(aad, bytes, sizeof(bytes));
}

static void aad_start(struct aad *aad, const char *use, const struct envelope_label *label)
{
	aad->length = 0;
	aad_put(aad, use, strlen(use));
	aad_put(aad, label->vault, strlen(label->vault));
	aad_put(aad, label->name, strlen(label->name));
	aad_put_number(aad, label->version);
	aad_put(aad, label->kind, strlen(label->kind));
}

void envelope_aad(const struct envelope_label *label, struct aad *aad)
{
	aad_start(aad, "vouchsafe envelope v1", label);
}

void wrap_aad(const struct envelope_label *label, const char *member, unsigned generation, struct aad *aad)
{
	aad_start(aad, "vouchsafe wrap v1", label);
	aad_put(aad, member, strlen(member));
	aad_put_number(aad, generation);
}

bool envelope_seal(const struct envelope_label *label, const unsigned char key[DATA_KEY_BYTES],
	struct bytes plain, unsigned char nonce[NONCE_BYTES], unsigned char *text)
{
	EVP_CIPHER_CTX *cipher = EVP_CIPHER_CTX_new();
	struct aad aad;
	int n = 0, rest = 0;
	bool sealed = false;

	envelope_aad(label, &aad);
	if (cipher == NULL || plain.length > SECRET_BYTES_MAX || RAND_bytes(nonce, NONCE_BYTES) != 1)
		goto out;
	if (EVP_EncryptInit_ex(cipher, EVP_aes_256_gcm(), NULL, key, nonce) != 1 ||
		EVP_EncryptUpdate(cipher, NULL, &n, aad.data, (int)aad.length) != 1 ||
		EVP_EncryptUpdate(cipher, text, &n, plain.data, (int)plain.length) != 1 ||
		EVP_EncryptFinal_ex(cipher, text + n, &rest) != 1 || (size_t)(n + rest) != plain.length)
		goto out;
	if (EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_GCM_GET_TAG, TAG_BYTES, text + plain.length) != 1)
		goto out;
	sealed = true;
out:
	EVP_CIPHER_CTX_free(cipher);
	return sealed;
}

bool envelope_open(const struct envelope_label *label, const unsigned char key[DATA_KEY_BYTES],
	const unsigned char nonce[NONCE_BYTES], struct bytes text, unsigned char *plain)
{
	EVP_CIPHER_CTX *cipher = NULL;
	unsigned char tag[TAG_BYTES];
	struct aad aad;
	size_t length = text.length - TAG_BYTES;
	int n = 0, rest = 0;
	bool opened = false;

	if (text.length <= TAG_BYTES || length > SECRET_BYTES_MAX)
		return false;
	envelope_aad(label, &aad);
	memcpy(tag, text.data + length, sizeof(tag));
	cipher = EVP_CIPHER_CTX_new();
	if (cipher == NULL || EVP_DecryptInit_ex(cipher, EVP_aes_256_gcm(), NULL, key, nonce) != 1 ||
		EVP_DecryptUpdate(cipher, NULL, &n, aad.data, (int)aad.length) != 1 ||
		EVP_DecryptUpdate(cipher, plain, &n, text.data, (int)length) != 1 || (size_t)n != length ||
		EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_GCM_SET_TAG, TAG_BYTES, tag) != 1 ||
		EVP_DecryptFinal_ex(cipher, plain + n, &rest) != 1)
		goto out;
	opened = true;
out:
	EVP_CIPHER_CTX_free(cipher);
	if (!opened)
		OPENSSL_cleanse(plain, length);
	return opened;
}
