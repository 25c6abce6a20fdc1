/* CMS AuthEnvelopedData around OpenSSL's CMS, in the one order of calls that leaves no copy of the plaintext:
 * the content goes through BIO_write piece by piece, straight from locked memory. CMS_encrypt and CMS_final
 * must not be used here. */
#include "vault/cms_seal.h"

#include <openssl/cms.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <openssl/x509.h>

#include <limits.h>
#include <stdlib.h>
#include <string.h>

struct cms_seal {
	CMS_ContentInfo *cms;
	BIO *content;
};

/* CMS_add1_recipient_cert wants a certificate. This one is nothing but a coat around the bare key: no names,
 * no signature; the key and its identifier. Nobody ever sees it. */
static const unsigned char coat_head[] = {
	0x30, 0x81, 0xc8, 0x30, 0x81, 0xb6, 0xa0, 0x03, 0x02, 0x01, 0x02, 0x02, 0x01,
	0x01, /* version 3, number 1 */
	0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02, /* ecdsa-with-SHA256 */
	0x30, 0x00, 0x30, 0x1e, /* no issuer; valid from and to: */
	0x17, 0x0d, '7', '0', '0', '1', '0', '1', '0', '0', '0', '0', '0', '0', 'Z', /* an instant in 1970 */
	0x17, 0x0d, '7', '0', '0', '1', '0', '1', '0', '0', '0', '0', '0', '0', 'Z', 0x30,
	0x00, /* no subject */
};
static const unsigned char coat_identifier[] = { 0xa3, 0x21, 0x30, 0x1f, 0x30, 0x1d, 0x06, 0x03, 0x55, 0x1d,
	0x0e, 0x04, 0x16, 0x04, 0x14 }; /* subjectKeyIdentifier, 20 bytes */
static const unsigned char coat_tail[] = { 0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03,
	0x02, 0x03, 0x01, 0x00 }; /* the empty signature */

/* SubjectPublicKeyInfo of every uncompressed point on P-256 up to the point's first byte, 4. */
static const unsigned char spki_head[] = { 0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d,
	0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04 };

enum {
	POINT = SPKI_P256 - sizeof(spki_head) + 1,
	COAT = sizeof(coat_head) + SPKI_P256 + sizeof(coat_identifier) + SHA_DIGEST_LENGTH + sizeof(coat_tail)
};

static unsigned char *append(unsigned char *at, const void *data, size_t length)
{
	memcpy(at, data, length);
	return at + length;
}

/* NULL where the point is not on the curve: importing the key checks that. */
static X509 *coat_new(struct bytes spki)
{
	unsigned char coat[COAT], identifier[SHA_DIGEST_LENGTH], *at = coat;
	const unsigned char *from = coat;
	X509 *certificate;

	if (spki.length != SPKI_P256 || memcmp(spki.data, spki_head, sizeof(spki_head)) != 0)
		return NULL;
	if (EVP_Digest(spki.data + SPKI_P256 - POINT, POINT, identifier, NULL, EVP_sha1(), NULL) != 1)
		return NULL;
	at = append(at, coat_head, sizeof(coat_head));
	at = append(at, spki.data, SPKI_P256);
	at = append(at, coat_identifier, sizeof(coat_identifier));
	at = append(at, identifier, sizeof(identifier));
	append(at, coat_tail, sizeof(coat_tail));
	certificate = d2i_X509(NULL, &from, sizeof(coat));
	if (certificate != NULL && X509_get0_pubkey(certificate) == NULL) {
		X509_free(certificate);
		return NULL;
	}
	return certificate;
}

static bool recipient_add(CMS_ContentInfo *cms, X509 *certificate)
{
	CMS_RecipientInfo *recipient = CMS_add1_recipient_cert(
		cms, certificate, CMS_USE_KEYID | CMS_KEY_PARAM);
	EVP_PKEY_CTX *key;

	if (recipient == NULL)
		return false;
	key = CMS_RecipientInfo_get0_pkey_ctx(recipient);
	/* the X9.63 KDF is CMS's own choice; set here, OpenSSL 3.0.19 would take it for an unknown one */
	return key != NULL && EVP_PKEY_CTX_set_ecdh_kdf_md(key, EVP_sha256()) > 0;
}

struct cms_seal *cms_seal_new(struct bytes spki)
{
	struct cms_seal *seal = calloc(1, sizeof(*seal));
	X509 *certificate = coat_new(spki);

	if (seal == NULL || certificate == NULL)
		goto fail;
	seal->cms = CMS_AuthEnvelopedData_create_ex(EVP_aes_256_gcm(), NULL, NULL);
	if (seal->cms == NULL || CMS_set_detached(seal->cms, 0) != 1 ||
		!recipient_add(seal->cms, certificate))
		goto fail;
	seal->content = CMS_dataInit(seal->cms, NULL);
	if (seal->content == NULL)
		goto fail;
	X509_free(certificate);
	return seal;
fail:
	X509_free(certificate);
	cms_seal_free(seal);
	return NULL;
}

bool cms_seal_write(struct cms_seal *seal, struct bytes plain)
{
	return plain.length <= INT_MAX &&
	       (plain.length == 0 ||
		       BIO_write(seal->content, plain.data, (int)plain.length) == (int)plain.length);
}

bool cms_seal_finish(struct cms_seal *seal, unsigned char **der, size_t *length)
{
	int n;

	if (BIO_flush(seal->content) != 1 || CMS_dataFinal(seal->cms, seal->content) != 1)
		return false;
	*der = NULL;
	n = i2d_CMS_ContentInfo(seal->cms, der);
	if (n <= 0)
		return false;
	*length = (size_t)n;
	return true;
}

void cms_seal_free(struct cms_seal *seal)
{
	if (seal == NULL)
		return;
	BIO_free_all(seal->content);
	CMS_ContentInfo_free(seal->cms);
	free(seal);
}

bool cms_seal_ready(void)
{
	/* the curve's base point: the key of a private key that all know */
	static const unsigned char base_point[POINT - 1] = { 0x6b, 0x17, 0xd1, 0xf2, 0xe1, 0x2c, 0x42, 0x47,
		0xf8, 0xbc, 0xe6, 0xe5, 0x63, 0xa4, 0x40, 0xf2, 0x77, 0x03, 0x7d, 0x81, 0x2d, 0xeb, 0x33,
		0xa0, 0xf4, 0xa1, 0x39, 0x45, 0xd8, 0x98, 0xc2, 0x96, 0x4f, 0xe3, 0x42, 0xe2, 0xfe, 0x1a,
		0x7f, 0x9b, 0x8e, 0xe7, 0xeb, 0x4a, 0x7c, 0x0f, 0x9e, 0x16, 0x2b, 0xce, 0x33, 0x57, 0x6b,
		0x31, 0x5e, 0xce, 0xcb, 0xb6, 0x40, 0x68, 0x37, 0xbf, 0x51, 0xf5 };
	unsigned char spki[SPKI_P256], *der = NULL;
	struct cms_seal *seal;
	size_t length;
	bool ready;

	append(append(spki, spki_head, sizeof(spki_head)), base_point, sizeof(base_point));
	seal = cms_seal_new((struct bytes){ spki, sizeof(spki) });
	ready = seal != NULL && cms_seal_write(seal, (struct bytes){ spki, 1 }) &&
		cms_seal_finish(seal, &der, &length);
	OPENSSL_free(der);
	cms_seal_free(seal);
	return ready;
}
