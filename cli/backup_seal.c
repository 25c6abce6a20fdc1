/* CMS for pieces of a backup. Must never fall back to OpenSSL's default for RSA, PKCS #1 v1.5, never take a
 * cipher without a tag, and never say that a piece is open before its tag was right. */
#include "cli/backup_seal.h"

#include "verifier/encoding.h"

#include <openssl/cms.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct recipients {
	unsigned n;
	X509 *certificates[RECIPIENTS_MAX];
};

/* ---- certificates */

static bool key_fits(const char *path, X509 *certificate, struct complaint *complaint)
{
	EVP_PKEY *key = X509_get0_pubkey(certificate);

	if (key && EVP_PKEY_is_a(key, "RSA") && EVP_PKEY_get_bits(key) >= 2048)
		return true;
	if (key && EVP_PKEY_is_a(key, "EC") && EVP_PKEY_get_bits(key) >= 256)
		return true;
	return complain(
		complaint, "%s: its key is neither EC of 256 bits or more nor RSA of 2048 or more", path);
}

static X509 *certificate_load(const char *path, struct complaint *complaint)
{
	FILE *file = fopen(path, "re");
	X509 *certificate;

	if (!file) {
		complain(complaint, "%s: %s", path, strerror(errno));
		return NULL;
	}
	certificate = PEM_read_X509(file, NULL, NULL, NULL);
	fclose(file);
	if (!certificate)
		complain(complaint, "%s: no certificate in PEM is in it", path);
	else if (key_fits(path, certificate, complaint))
		return certificate;
	X509_free(certificate);
	return NULL;
}

struct recipients *recipients_load(const char *const paths[], unsigned n, struct complaint *complaint)
{
	struct recipients *recipients = calloc(1, sizeof(*recipients));

	if (!recipients) {
		complain(complaint, "out of memory");
		return NULL;
	}
	for (unsigned i = 0; i < n && i < RECIPIENTS_MAX; i++) {
		recipients->certificates[i] = certificate_load(paths[i], complaint);
		if (!recipients->certificates[i]) {
			recipients_free(recipients);
			return NULL;
		}
		recipients->n++;
	}
	return recipients;
}

void recipients_free(struct recipients *recipients)
{
	for (unsigned i = 0; recipients && i < recipients->n; i++)
		X509_free(recipients->certificates[i]);
	free(recipients);
}

void recipients_name(const struct recipients *recipients, char *text, size_t size)
{
	unsigned char hash[32];
	char hex[HEX_SIZE(sizeof(hash))];
	size_t used = 0;

	text[0] = '\0';
	for (unsigned i = 0; i < recipients->n && used < size; i++) {
		if (X509_digest(recipients->certificates[i], EVP_sha256(), hash, NULL) != 1)
			continue;
		hex_encode((struct bytes){ hash, sizeof(hash) }, hex);
		used += (size_t)snprintf(text + used, size - used, "%s%s", i > 0 ? ", " : "", hex);
	}
}

/* ---- sealing */

/* The X9.63 KDF is CMS's own choice for EC. */
static bool agree_set(EVP_PKEY_CTX *key)
{
	return EVP_PKEY_CTX_set_ecdh_kdf_md(key, EVP_sha256()) > 0;
}

static bool transport_set(EVP_PKEY_CTX *key)
{
	return EVP_PKEY_CTX_set_rsa_padding(key, RSA_PKCS1_OAEP_PADDING) > 0 &&
	       EVP_PKEY_CTX_set_rsa_oaep_md(key, EVP_sha256()) > 0 &&
	       EVP_PKEY_CTX_set_rsa_mgf1_md(key, EVP_sha256()) > 0;
}

static bool recipient_add(CMS_ContentInfo *cms, X509 *certificate)
{
	CMS_RecipientInfo *recipient = CMS_add1_recipient_cert(cms, certificate, CMS_KEY_PARAM);
	EVP_PKEY_CTX *key = recipient ? CMS_RecipientInfo_get0_pkey_ctx(recipient) : NULL;

	if (!key)
		return false;
	return EVP_PKEY_is_a(X509_get0_pubkey(certificate), "RSA") ? transport_set(key) : agree_set(key);
}

static bool content_seal(CMS_ContentInfo *cms, struct bytes plain)
{
	BIO *content = CMS_dataInit(cms, NULL);
	bool sealed = content && plain.length <= INT_MAX &&
		      BIO_write(content, plain.data, (int)plain.length) == (int)plain.length &&
		      BIO_flush(content) == 1 && CMS_dataFinal(cms, content) == 1;

	BIO_free_all(content);
	return sealed;
}

bool piece_seal(const struct recipients *recipients, struct bytes plain, unsigned char **der, size_t *length)
{
	CMS_ContentInfo *cms = CMS_AuthEnvelopedData_create_ex(EVP_aes_256_gcm(), NULL, NULL);
	bool good = cms && CMS_set_detached(cms, 0) == 1;
	int n = -1;

	*der = NULL;
	for (unsigned i = 0; i < recipients->n && good; i++)
		good = recipient_add(cms, recipients->certificates[i]);
	if (good && content_seal(cms, plain))
		n = i2d_CMS_ContentInfo(cms, der);
	CMS_ContentInfo_free(cms);
	*length = n > 0 ? (size_t)n : 0;
	return n > 0;
}

/* ---- opening */

struct operator_key {
	EVP_PKEY *pair;
};

struct operator_key *operator_key_load(const char *path, struct complaint *complaint)
{
	struct operator_key *key = calloc(1, sizeof(*key));
	FILE *file = fopen(path, "re");

	if (!key || !file) {
		complain(complaint, "%s: %s", path, strerror(errno));
		goto fail;
	}
	key->pair = PEM_read_PrivateKey(file, NULL, NULL, NULL);
	if (!key->pair) {
		complain(complaint, "%s: no private key in PEM is in it, or its passphrase is another", path);
		goto fail;
	}
	fclose(file);
	return key;
fail:
	if (file)
		fclose(file);
	free(key);
	return NULL;
}

void operator_key_free(struct operator_key *key)
{
	if (!key)
		return;
	EVP_PKEY_free(key->pair);
	free(key);
}

/* AES-256-GCM with all 16 bytes of its tag, and nothing else that OpenSSL might be talked into. */
static bool cipher_fits(BIO *content)
{
	EVP_CIPHER_CTX *context = NULL;

	return BIO_get_cipher_ctx(content, &context) == 1 && context &&
	       EVP_CIPHER_CTX_get_nid(context) == NID_aes_256_gcm &&
	       EVP_CIPHER_CTX_get_tag_length(context) == 16;
}

/* Reads to the end; true only where the tag was right. */
static bool content_read(BIO *content, unsigned char *plain, size_t room, size_t *length)
{
	unsigned char more;
	int got;

	*length = 0;
	while (*length < room && (got = BIO_read(content, plain + *length, (int)(room - *length))) > 0)
		*length += (size_t)got;
	if (*length == room && BIO_read(content, &more, 1) > 0)
		return false;
	return BIO_get_cipher_status(content) == 1;
}

static CMS_ContentInfo *envelope_parse(struct bytes der)
{
	const unsigned char *at = der.data;
	CMS_ContentInfo *envelope = d2i_CMS_ContentInfo(NULL, &at, (long)der.length);

	if (envelope && at == der.data + der.length &&
		OBJ_obj2nid(CMS_get0_type(envelope)) == NID_id_smime_ct_authEnvelopedData)
		return envelope;
	CMS_ContentInfo_free(envelope);
	return NULL;
}

bool piece_open(const struct operator_key *key, struct bytes der, unsigned char *plain, size_t *length)
{
	CMS_ContentInfo *envelope = envelope_parse(der);
	BIO *content = NULL;
	bool opened = false;

	if (envelope && CMS_decrypt_set1_pkey(envelope, key->pair, NULL) == 1)
		content = CMS_dataInit(envelope, NULL);
	if (content)
		opened = cipher_fits(content) && content_read(content, plain, *length, length);
	BIO_free_all(content);
	CMS_ContentInfo_free(envelope);
	ERR_clear_error();
	return opened;
}
