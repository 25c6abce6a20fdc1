#ifndef TESTS_UNIT_DOCUMENT_FIXTURE_H
#define TESTS_UNIT_DOCUMENT_FIXTURE_H
/* Keys and certificates of the tests' own, and the vectors that AWS made. */
#include "tests/unit/unit.h"
#include "verifier/document.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/pkcs7.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SHARED static __attribute__((unused))
#define VECTORS "../shared/vectors"

/* Reads a file whole; false where it is not there. */
SHARED bool file_read(const char *path, unsigned char *data, size_t size, size_t *length)
{
	FILE *file = fopen(path, "rb");

	if (!file)
		return false;
	*length = fread(data, 1, size, file);
	assert_true(*length < size);
	fclose(file);
	return true;
}

/* An RSA public key that nobody has the other half of: any odd number will do for a modulus. */
SHARED EVP_PKEY *rsa_public(int bits)
{
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
	OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
	BIGNUM *n = BN_new(), *e = BN_new();
	OSSL_PARAM *parameters;
	EVP_PKEY *key = NULL;

	assert_true(BN_rand(n, bits, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ODD) && BN_set_word(e, 65537));
	OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, n);
	OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, e);
	parameters = OSSL_PARAM_BLD_to_param(build);
	assert_true(EVP_PKEY_fromdata_init(context) > 0);
	assert_true(EVP_PKEY_fromdata(context, &key, EVP_PKEY_PUBLIC_KEY, parameters) > 0);
	OSSL_PARAM_free(parameters);
	OSSL_PARAM_BLD_free(build);
	EVP_PKEY_CTX_free(context);
	BN_free(n);
	BN_free(e);
	return key;
}

/* A certificate for `key`, signed by `signer`; valid for `days` from now on. */
SHARED X509 *certificate_make(EVP_PKEY *key, EVP_PKEY *signer, long serial, long days)
{
	X509 *certificate = X509_new();
	X509_NAME *name = X509_get_subject_name(certificate);
	X509_EXTENSION *extension;
	X509V3_CTX context;

	X509_set_version(certificate, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(certificate), serial);
	X509_gmtime_adj(X509_getm_notBefore(certificate), -7200);
	X509_time_adj_ex(X509_getm_notAfter(certificate), (int)days, 0, NULL);
	X509_NAME_add_entry_by_txt(
		name, "O", MBSTRING_ASC, (const unsigned char *)"Of the Test's Own", -1, -1, 0);
	X509_set_issuer_name(certificate, name);
	X509_set_pubkey(certificate, key);
	X509V3_set_ctx(&context, certificate, certificate, NULL, NULL, 0);
	extension = X509V3_EXT_conf_nid(NULL, &context, NID_subject_key_identifier, "hash");
	assert_true(extension && X509_add_ext(certificate, extension, -1));
	X509_EXTENSION_free(extension);
	assert_true(X509_sign(certificate, signer, EVP_sha256()) > 0);
	return certificate;
}

/* The caller frees. */
SHARED char *certificate_pem(X509 *certificate)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *data, *text;
	long length;

	assert_true(PEM_write_bio_X509(bio, certificate));
	length = BIO_get_mem_data(bio, &data);
	text = strndup(data, (size_t)length);
	BIO_free(bio);
	return text;
}

SHARED bool anchors_add_text(
	struct anchors *anchors, const char *region, const char *pem, struct complaint *complaint)
{
	return anchors_add(
		anchors, region, (struct bytes){ (const unsigned char *)pem, strlen(pem) }, complaint);
}

/* AWS's own certificate of a region, from the vectors. False: they are not there. */
SHARED bool anchors_add_vector(struct anchors *anchors, const char *region)
{
	unsigned char pem[ANCHOR_PEM_MAX];
	struct complaint complaint;
	char path[200];
	size_t length;

	snprintf(path, sizeof(path), VECTORS "/aws-certificates/%s.pem", region);
	if (!file_read(path, pem, sizeof(pem), &length))
		return false;
	assert_true(anchors_add(anchors, region, (struct bytes){ pem, length }, &complaint));
	return true;
}

#endif
