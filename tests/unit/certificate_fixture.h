#ifndef TESTS_UNIT_CERTIFICATE_FIXTURE_H
#define TESTS_UNIT_CERTIFICATE_FIXTURE_H
/* Client certificates of the tests' own, their authorities and revocation lists, at fixed times. */
#include "server/client_trust.h"
#include "tests/unit/unit.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SHARED static __attribute__((unused))

enum { NOW = 1800000000, DAY = 86400 };

struct attribute {
	const char *type; /* "CN" */
	const char *value;
	int string; /* V_ASN1_..., 0: UTF8String */
	bool joins; /* the set of the attribute before */
};

/* What a certificate is like; zero is the usual. */
struct likeness {
	struct attribute subject[4]; /* none: CN=tester,O=Example */
	const char *san; /* as in OpenSSL's configuration: "DNS:a.example.com,email:a@example.com" */
	const char *constraints; /* "critical,CA:TRUE"; NULL: no such extension */
	const char *usage, *extended; /* NULL: none, and clientAuth; "": none */
	const char *names; /* name constraints */
	const char *comment;
	EVP_PKEY *key; /* NULL: a key of the fixture */
	const EVP_MD *digest; /* NULL: SHA-256 */
	long from, until; /* seconds from NOW; 0, 0: a day around it */
	long serial;
	bool version_1;
};

struct issuer {
	X509 *certificate;
	EVP_PKEY *key;
};

/* One key is enough where nothing is about keys; made at the first call. */
SHARED EVP_PKEY *shared_key(void)
{
	static EVP_PKEY *key;

	if (!key)
		key = EVP_EC_gen("P-256");
	assert_non_null(key);
	return key;
}

SHARED X509_NAME *name_make(const struct attribute attributes[4])
{
	static const struct attribute usual[4] = { { "O", "Example" }, { "CN", "tester" } };
	X509_NAME *name = X509_NAME_new();

	if (!attributes[0].type)
		attributes = usual;
	for (size_t i = 0; i < 4 && attributes[i].type; i++) {
		const struct attribute *attribute = &attributes[i];

		assert_true(X509_NAME_add_entry_by_txt(name, attribute->type,
			attribute->string ? attribute->string : V_ASN1_UTF8STRING,
			(const unsigned char *)attribute->value, -1, -1, attribute->joins ? -1 : 0));
	}
	return name;
}

SHARED void extension_add(X509 *certificate, int nid, const char *value)
{
	X509V3_CTX context;
	X509_EXTENSION *extension;

	if (!value || !value[0])
		return;
	X509V3_set_ctx(&context, certificate, certificate, NULL, NULL, 0);
	extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
	assert_non_null(extension);
	assert_true(X509_add_ext(certificate, extension, -1));
	X509_EXTENSION_free(extension);
}

SHARED void certificate_sign(X509 *certificate, EVP_PKEY *key, const EVP_MD *digest)
{
	assert_true(X509_sign(certificate, key, digest ? digest : EVP_sha256()) > 0);
}

/* Unsigned yet. NULL issuer: its own. */
SHARED X509 *certificate_form(const struct likeness *like, const struct issuer *issuer)
{
	X509 *certificate = X509_new();
	X509_NAME *name = name_make(like->subject);
	long from = like->from || like->until ? like->from : -DAY;
	long until = like->from || like->until ? like->until : DAY;

	assert_true(X509_set_version(certificate, like->version_1 ? X509_VERSION_1 : X509_VERSION_3));
	ASN1_INTEGER_set(X509_get_serialNumber(certificate), like->serial ? like->serial : 1);
	assert_true(X509_set_subject_name(certificate, name));
	assert_true(X509_set_issuer_name(
		certificate, issuer ? X509_get_subject_name(issuer->certificate) : name));
	assert_non_null(ASN1_TIME_set(X509_getm_notBefore(certificate), NOW + from));
	assert_non_null(ASN1_TIME_set(X509_getm_notAfter(certificate), NOW + until));
	assert_true(X509_set_pubkey(certificate, like->key ? like->key : shared_key()));
	X509_NAME_free(name);
	if (!like->version_1) {
		extension_add(certificate, NID_basic_constraints, like->constraints);
		extension_add(certificate, NID_key_usage, like->usage);
		extension_add(certificate, NID_ext_key_usage, like->extended ? like->extended : "clientAuth");
		extension_add(certificate, NID_subject_alt_name, like->san);
		extension_add(certificate, NID_name_constraints, like->names);
		extension_add(certificate, NID_netscape_comment, like->comment);
	}
	return certificate;
}

/* NULL issuer: signs itself. The caller frees. */
SHARED X509 *certificate_of(const struct likeness *like, const struct issuer *issuer)
{
	X509 *certificate = certificate_form(like, issuer);

	certificate_sign(certificate,
		issuer      ? issuer->key
		: like->key ? like->key
			    : shared_key(),
		like->digest);
	return certificate;
}

SHARED struct issuer authority_of(const char *name, const struct issuer *above)
{
	struct issuer issuer = { NULL, EVP_EC_gen("P-256") };
	const struct likeness like = { .subject = { { "CN", name } },
		.constraints = "critical,CA:TRUE",
		.usage = "critical,keyCertSign,cRLSign",
		.extended = "",
		.key = issuer.key,
		.from = -10 * DAY,
		.until = 10 * DAY,
		.serial = 77 };

	issuer.certificate = certificate_of(&like, above);
	return issuer;
}

SHARED void issuer_clear(struct issuer *issuer)
{
	X509_free(issuer->certificate);
	EVP_PKEY_free(issuer->key);
}

/* A list of one serial number, or none (0), good from NOW + from to NOW + until. */
SHARED X509_CRL *list_of(const struct issuer *issuer, long serial, long from, long until)
{
	ASN1_INTEGER *number = ASN1_INTEGER_new();
	X509_REVOKED *entry = X509_REVOKED_new();
	X509_CRL *list = X509_CRL_new();
	ASN1_TIME *time = ASN1_TIME_set(NULL, NOW + from);

	assert_true(X509_CRL_set_version(list, X509_CRL_VERSION_2));
	assert_true(X509_CRL_set_issuer_name(list, X509_get_subject_name(issuer->certificate)));
	assert_true(X509_CRL_set1_lastUpdate(list, time));
	if (serial) {
		ASN1_INTEGER_set(number, serial);
		assert_true(X509_REVOKED_set_serialNumber(entry, number));
		assert_true(X509_REVOKED_set_revocationDate(entry, time));
		assert_true(X509_CRL_add0_revoked(list, entry));
	} else {
		X509_REVOKED_free(entry);
	}
	assert_non_null(ASN1_TIME_set(time, NOW + until));
	assert_true(X509_CRL_set1_nextUpdate(list, time));
	assert_true(X509_CRL_sign(list, issuer->key, EVP_sha256()) > 0);
	ASN1_TIME_free(time);
	ASN1_INTEGER_free(number);
	return list;
}

#endif
