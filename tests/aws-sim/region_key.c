/* Makes regions' keys, and certificates with the names, dates and extensions that AWS's own have, so that
 * nothing but the key tells them apart. */
#include "tests/aws-sim/region_key.h"

#include "tests/aws-sim/account.h"
#include "tests/aws-sim/instance.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <string.h>

enum { KEY_BITS = 2048, SERIAL_SIZE = 8 };

static bool name_add(X509_NAME *name, int nid, const char *text)
{
	return X509_NAME_add_entry_by_NID(
		name, nid, V_ASN1_PRINTABLESTRING, (const unsigned char *)text, -1, -1, 0);
}

/* Subject and issuer are one; AWS's serials have 64 bits. */
static bool names_set(X509 *certificate)
{
	X509_NAME *name = X509_get_subject_name(certificate);
	unsigned char random[SERIAL_SIZE];
	BIGNUM *serial;
	bool set;

	if (RAND_bytes(random, sizeof random) != 1)
		return false;
	random[0] |= 0x80;
	serial = BN_bin2bn(random, sizeof random, NULL);
	set = serial && BN_to_ASN1_INTEGER(serial, X509_get_serialNumber(certificate)) &&
	      name_add(name, NID_countryName, "US") &&
	      name_add(name, NID_stateOrProvinceName, "Washington State") &&
	      name_add(name, NID_localityName, "Seattle") &&
	      name_add(name, NID_organizationName, "Amazon Web Services LLC") &&
	      X509_set_issuer_name(certificate, name);
	BN_free(serial);
	return set;
}

static bool extension_add(X509 *certificate, int nid, const char *value)
{
	X509V3_CTX context;
	X509_EXTENSION *extension;
	bool added;

	X509V3_set_ctx(&context, certificate, certificate, NULL, NULL, 0);
	extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
	added = extension && X509_add_ext(certificate, extension, -1);
	X509_EXTENSION_free(extension);
	return added;
}

static X509 *certificate_make(EVP_PKEY *key)
{
	X509 *certificate = X509_new();

	if (certificate && X509_set_version(certificate, X509_VERSION_3) && names_set(certificate) &&
		ASN1_TIME_set_string(X509_getm_notBefore(certificate), "150814090132Z") &&
		ASN1_TIME_set_string(X509_getm_notAfter(certificate), "21950117090132Z") &&
		X509_set_pubkey(certificate, key) &&
		extension_add(certificate, NID_key_usage, "digitalSignature") &&
		extension_add(certificate, NID_subject_key_identifier, "hash") &&
		extension_add(certificate, NID_authority_key_identifier, "keyid,issuer:always") &&
		extension_add(certificate, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
		X509_sign(certificate, key, EVP_sha256()))
		return certificate;
	X509_free(certificate);
	return NULL;
}

/* What has been written to memory, as a JSON string; frees the BIO. */
static json_t *bio_json(BIO *bio, bool written)
{
	char *text = NULL;
	long length = written ? BIO_get_mem_data(bio, &text) : 0;
	json_t *json = length > 0 ? json_stringn(text, (size_t)length) : NULL;

	BIO_free(bio);
	return json;
}

static json_t *key_pem(EVP_PKEY *key)
{
	BIO *bio = BIO_new(BIO_s_mem());

	return bio_json(bio, bio && PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL));
}

static json_t *certificate_pem(X509 *certificate)
{
	BIO *bio = BIO_new(BIO_s_mem());

	return bio_json(bio, bio && PEM_write_bio_X509(bio, certificate));
}

static bool region_key_make(struct state *state, const char *region, struct region_key *made)
{
	made->key = EVP_RSA_gen(KEY_BITS);
	made->certificate = made->key ? certificate_make(made->key) : NULL;
	if (!made->certificate)
		return false;
	state_mark_changed(state);
	return state_put_region(state, region,
		json_pack("{so so}", "key", key_pem(made->key), "certificate",
			certificate_pem(made->certificate)));
}

static bool region_key_read(const json_t *kept, struct region_key *read)
{
	BIO *key = BIO_new_mem_buf(text_of(kept, "key"), -1);
	BIO *certificate = BIO_new_mem_buf(text_of(kept, "certificate"), -1);

	if (key && certificate) {
		read->key = PEM_read_bio_PrivateKey(key, NULL, NULL, NULL);
		read->certificate = PEM_read_bio_X509(certificate, NULL, NULL, NULL);
	}
	BIO_free(key);
	BIO_free(certificate);
	return read->key && read->certificate;
}

bool region_key_open(struct state *state, const char *region, struct region_key *opened)
{
	const json_t *kept = state_region(state, region);

	*opened = (struct region_key){ 0 };
	return kept ? region_key_read(kept, opened) : region_key_make(state, region, opened);
}

void region_key_close(struct region_key *opened)
{
	EVP_PKEY_free(opened->key);
	X509_free(opened->certificate);
	*opened = (struct region_key){ 0 };
}

json_t *region_certificate(struct state *state, const json_t *arguments, struct refusal *refusal)
{
	static const char *const known[] = { "region", NULL };
	const char *region = text_of(arguments, "region");
	struct region_key opened;
	bool open;

	if (!arguments_known(arguments, known, refusal))
		return NULL;
	if (!region_plausible(region))
		return refuse(refusal, 400, "'region' is no region");
	open = region_key_open(state, region, &opened);
	region_key_close(&opened);
	return open ? json_pack("{ss ss}", "region", region, "pem",
			      text_of(state_region(state, region), "certificate"))
		    : NULL;
}
