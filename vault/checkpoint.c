/* The text of a checkpoint, and its verification. Must never take a signature by another key, nor one over
 * another text, for a good one. */
#include "vault/checkpoint.h"
#include "verifier/encoding.h"

#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include <stdio.h>
#include <string.h>

size_t checkpoint_text(const char *vault, const struct checkpoint *checkpoint, char text[CHECKPOINT_TEXT_MAX])
{
	char hash[BASE64_SIZE(32)], time[TIMESTAMP_SIZE];
	int length;

	base64_encode((struct bytes){ checkpoint->head.hash, sizeof(checkpoint->head.hash) }, hash);
	timestamp_encode(checkpoint->head.time_us, time);
	length = snprintf(text, CHECKPOINT_TEXT_MAX, "vouchsafe/%s/%s\n%lld\n%s\ntime %s\nseals %lld\n",
		vault, checkpoint->member, checkpoint->head.seq, hash, time, checkpoint->seals);
	return length > 0 && length < CHECKPOINT_TEXT_MAX ? (size_t)length : 0;
}

bool checkpoint_digest(const char *vault, const struct checkpoint *checkpoint, unsigned char digest[32])
{
	char text[CHECKPOINT_TEXT_MAX];
	size_t length = checkpoint_text(vault, checkpoint, text);

	return length > 0 && EVP_Digest(text, length, digest, NULL, EVP_sha256(), NULL) == 1;
}

/* r and s, 32 bytes each, as DER; freed by OPENSSL_free. */
static int signature_der(const unsigned char signature[SIGNATURE_BYTES], unsigned char **der)
{
	ECDSA_SIG *pair = ECDSA_SIG_new();
	BIGNUM *r = BN_bin2bn(signature, SIGNATURE_BYTES / 2, NULL);
	BIGNUM *s = BN_bin2bn(signature + SIGNATURE_BYTES / 2, SIGNATURE_BYTES / 2, NULL);
	int length = -1;

	if (pair != NULL && r != NULL && s != NULL && ECDSA_SIG_set0(pair, r, s) == 1) {
		r = s = NULL;
		length = i2d_ECDSA_SIG(pair, der);
	}
	BN_free(r);
	BN_free(s);
	ECDSA_SIG_free(pair);
	return length;
}

/* In its one encoding only. NULL: it is none, or memory is out. */
static EVP_PKEY *key_take(const unsigned char public_key[SIGNER_KEY_BYTES])
{
	const unsigned char *at = public_key;
	EVP_PKEY *key = d2i_PUBKEY(NULL, &at, SIGNER_KEY_BYTES);
	unsigned char *again = NULL;
	bool same = key != NULL && EVP_PKEY_is_a(key, "EC") && i2d_PUBKEY(key, &again) == SIGNER_KEY_BYTES &&
		    memcmp(again, public_key, SIGNER_KEY_BYTES) == 0;

	OPENSSL_free(again);
	if (same)
		return key;
	EVP_PKEY_free(key);
	return NULL;
}

bool checkpoint_verify(const char *vault, const struct checkpoint *checkpoint,
	const unsigned char public_key[SIGNER_KEY_BYTES])
{
	EVP_PKEY *key = key_take(public_key);
	EVP_PKEY_CTX *context = key != NULL ? EVP_PKEY_CTX_new(key, NULL) : NULL;
	unsigned char digest[32], *der = NULL;
	int length = signature_der(checkpoint->signature, &der);
	bool verified = false;

	if (context != NULL && length > 0)
		verified = checkpoint_digest(vault, checkpoint, digest) &&
			   EVP_PKEY_verify_init(context) == 1 &&
			   EVP_PKEY_verify(context, der, (size_t)length, digest, sizeof(digest)) == 1;
	OPENSSL_free(der);
	EVP_PKEY_CTX_free(context);
	EVP_PKEY_free(key);
	return verified;
}
