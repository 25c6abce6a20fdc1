/* Identity documents (ATTACKS 9 to 14): AWS's own passes with the certificate of its region and with no
 * other; whatever is bent in it, or put beside it, is refused for its own reason, and leaves no facts behind.
 */
#include "tests/unit/document_fixture.h"
#include "verifier/ber.h"
#include "verifier/encoding.h"
#include "verifier/memory.h"
#include "verifier/proof.h"
#include "verifier/reasons.h"

#include <openssl/cms.h>
#include <openssl/dsa.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <time.h>

#define REGION "us-east-1"

static const char good[] = "{\n"
			   "  \"accountId\" : \"123456789012\",\n"
			   "  \"architecture\" : \"x86_64\",\n"
			   "  \"availabilityZone\" : \"us-east-1a\",\n"
			   "  \"billingProducts\" : null,\n"
			   "  \"imageId\" : \"ami-0123456789abcdef0\",\n"
			   "  \"instanceId\" : \"i-0123456789abcdef0\",\n"
			   "  \"instanceType\" : \"m5.large\",\n"
			   "  \"kernelId\" : null,\n"
			   "  \"pendingTime\" : \"2026-01-02T03:04:05Z\",\n"
			   "  \"privateIp\" : \"10.0.1.225\",\n"
			   "  \"region\" : \"us-east-1\",\n"
			   "  \"version\" : \"2017-09-30\"\n"
			   "}";

static EVP_PKEY *key, *other_key;
static X509 *certificate;
static struct anchors *anchors; /* `certificate`, for REGION */

static int set_up(void **state)
{
	struct complaint complaint;
	char *pem;

	(void)state;
	key = EVP_RSA_gen(2048);
	other_key = EVP_RSA_gen(2048);
	certificate = certificate_make(key, key, 7, 365);
	anchors = anchors_new();
	pem = certificate_pem(certificate);
	assert_true(anchors_add_text(anchors, REGION, pem, &complaint));
	free(pem);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	anchors_free(anchors);
	X509_free(certificate);
	EVP_PKEY_free(other_key);
	EVP_PKEY_free(key);
	return 0;
}

/* ---- making blobs */

enum { BLOB_MAX = 16 * 1024, PLAIN = PKCS7_NOCERTS | PKCS7_BINARY | PKCS7_NOSMIMECAP };

struct blob {
	unsigned char der[BLOB_MAX];
	size_t length;
};

static BIO *content_bio(const char *content)
{
	return BIO_new_mem_buf(content, (int)strlen(content));
}

/* A signature over the content: whose, how, and what the maker of the blob may still do to it before the
 * signing. */
struct signing {
	X509 *certificate;
	EVP_PKEY *key;
	const EVP_MD *digest;
	int flags;
	void (*before)(PKCS7 *, PKCS7_SIGNER_INFO *);
};

static PKCS7 *sign_as(const char *content, struct signing as)
{
	BIO *bio = content_bio(content);
	PKCS7 *p7 = PKCS7_sign(NULL, NULL, NULL, bio, PLAIN | as.flags | PKCS7_PARTIAL);
	PKCS7_SIGNER_INFO *signer = PKCS7_sign_add_signer(p7, as.certificate ? as.certificate : certificate,
		as.key ? as.key : key, as.digest ? as.digest : EVP_sha256(), PLAIN | as.flags);

	assert_non_null(signer);
	if (as.before)
		as.before(p7, signer);
	assert_true(PKCS7_final(p7, bio, PLAIN | as.flags));
	BIO_free(bio);
	return p7;
}

static PKCS7 *sign(const char *content)
{
	return sign_as(content, (struct signing){ 0 });
}

static void encode(PKCS7 *p7, struct blob *blob)
{
	unsigned char *at = blob->der;

	assert_in_range(i2d_PKCS7(p7, NULL), 1, BLOB_MAX);
	blob->length = (size_t)i2d_PKCS7(p7, &at);
	PKCS7_free(p7);
}

/* ---- asking */

static enum outcome verify_text(
	const char *text, size_t length, struct document *document, struct reason *reason)
{
	enum outcome outcome = document_verify(anchors, REGION, text, length, document, reason);
	static const struct document nothing;

	assert_int_equal(ERR_peek_error(), 0);
	if (outcome != OK)
		assert_memory_equal(document, &nothing, sizeof(nothing));
	return outcome;
}

static enum outcome verify(
	const unsigned char *der, size_t length, struct document *document, struct reason *reason)
{
	static char text[BASE64_SIZE(BLOB_MAX)];

	base64_encode((struct bytes){ der, length }, text);
	return verify_text(text, strlen(text), document, reason);
}

static void refuse(const char *what, const unsigned char *der, size_t length, const char *words)
{
	struct document document;
	struct reason reason = { 0 };
	enum outcome outcome = verify(der, length, &document, &reason);

	if (outcome != REFUSED || strcmp(reason.code, REASON_DOCUMENT) != 0 || !strstr(reason.text, words))
		fail_msg("%s: %s, %s; expected: %s", what, outcome_name(outcome), reason.text, words);
}

/* Takes p7. */
static void refuse_p7(const char *what, PKCS7 *p7, const char *words)
{
	static struct blob blob;

	encode(p7, &blob);
	refuse(what, blob.der, blob.length, words);
}

static void assert_good(const struct document *document)
{
	assert_string_equal(document->instance_id, "i-0123456789abcdef0");
	assert_string_equal(document->account_id, "123456789012");
	assert_string_equal(document->region, REGION);
	assert_string_equal(document->availability_zone, "us-east-1a");
	assert_string_equal(document->instance_type, "m5.large");
	assert_string_equal(document->image_id, "ami-0123456789abcdef0");
	assert_string_equal(document->private_ip, "10.0.1.225");
	assert_int_equal(document->pending_time, 1767323045);
}

static void expect_good(const unsigned char *der, size_t length)
{
	struct document document;
	struct reason reason = { 0 };

	if (verify(der, length, &document, &reason) != OK)
		fail_msg("refused: %s", reason.text);
	assert_good(&document);
}

/* ---- good ones */

static void good_one(void **state)
{
	static struct blob blob;

	(void)state;
	encode(sign(good), &blob);
	expect_good(blob.der, blob.length);
}

static void signature_named_rsa(PKCS7 *p7, PKCS7_SIGNER_INFO *signer)
{
	(void)p7;
	X509_ALGOR_set0(signer->digest_enc_alg, OBJ_nid2obj(NID_sha256WithRSAEncryption), V_ASN1_NULL, NULL);
}

/* The same thing has two names. */
static void both_names_of_rsa(void **state)
{
	static struct blob blob;

	(void)state;
	encode(sign_as(good, (struct signing){ .before = signature_named_rsa }), &blob);
	expect_good(blob.der, blob.length);
}

/* Takes the element at `der` apart; returns the length of its head. */
static size_t head(const unsigned char *der, size_t *length)
{
	size_t octets = der[1] & 0x80 ? der[1] & 0x7f : 0;
	size_t i;

	*length = octets ? 0 : der[1];
	for (i = 0; i < octets; i++)
		*length = *length << 8 | der[2 + i];
	return 2 + octets;
}

/* Writes the element again with indefinite lengths, as deep as `depth`; an octet string becomes pieces of
 * `piece` bytes. Returns where it ends. */
static unsigned char *indefinite(unsigned char *to, const unsigned char *der, unsigned depth, size_t piece)
{
	size_t length, skip = head(der, &length);
	const unsigned char *at = der + skip, *end = at + length;
	bool pieces = der[0] == V_ASN1_OCTET_STRING && piece;

	if (depth == 0 || !(der[0] & V_ASN1_CONSTRUCTED || pieces)) {
		memcpy(to, der, skip + length);
		return to + skip + length;
	}
	*to++ = der[0] | V_ASN1_CONSTRUCTED;
	*to++ = 0x80;
	while (at < end) {
		size_t n, inner;

		if (pieces) {
			n = (size_t)(end - at) < piece ? (size_t)(end - at) : piece;
			*to++ = V_ASN1_OCTET_STRING;
			*to++ = (unsigned char)n;
			memcpy(to, at, n);
			to += n;
			at += n;
			continue;
		}
		to = indefinite(to, at, depth - 1, piece);
		n = head(at, &inner);
		at += n + inner;
	}
	*to++ = 0;
	*to++ = 0;
	return to;
}

/* As AWS spells it, and in the same facts: ATTACKS 13. */
static void other_spellings(void **state)
{
	static unsigned char ber[2 * BLOB_MAX];
	static struct blob blob;
	unsigned depth;

	(void)state;
	encode(sign(good), &blob);
	for (depth = 1; depth <= 4; depth++)
		expect_good(ber, (size_t)(indefinite(ber, blob.der, depth, 0) - ber));
	expect_good(ber, (size_t)(indefinite(ber, blob.der, 6, 100) - ber));
	expect_good(ber, (size_t)(indefinite(ber, blob.der, 6, 1) - ber));
}

static void spell(char *to, const char *text, size_t every, const char *end)
{
	size_t i;

	*to = '\0';
	for (i = 0; i < strlen(text); i += every) {
		strncat(to, text + i, every);
		strcat(to, end);
	}
}

static void base64_forms(void **state)
{
	static const char *const bad[] = { " ", "\t", "\r", "\n ", "=", "-", "_", ".", "\v", "\xc2\xa0" };
	static char text[BASE64_SIZE(BLOB_MAX)], lines[4 * BLOB_MAX];
	static struct blob blob;
	struct document document;
	struct reason reason;
	size_t i;

	(void)state;
	encode(sign(good), &blob);
	base64_encode((struct bytes){ blob.der, blob.length }, text);
	spell(lines, text, 64, "\n");
	assert_int_equal(verify_text(lines, strlen(lines), &document, &reason), OK);
	assert_int_equal(verify_text(lines, strlen(lines) - 1, &document, &reason), OK);
	spell(lines, text, 76, "\r\n");
	assert_int_equal(verify_text(lines, strlen(lines), &document, &reason), OK);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		spell(lines, text, 64, bad[i]);
		assert_int_equal(verify_text(lines, strlen(lines), &document, &reason), REFUSED);
	}
	assert_int_equal(verify_text(text, strlen(text) + 1, &document, &reason), REFUSED); /* a NUL */
	snprintf(lines, sizeof(lines), "-----BEGIN PKCS7-----\n%s\n-----END PKCS7-----\n", text);
	assert_int_equal(verify_text(lines, strlen(lines), &document, &reason), REFUSED);
	assert_int_equal(verify_text("", 0, &document, &reason), REFUSED);
	assert_int_equal(verify_text("\n", 1, &document, &reason), REFUSED);
}

/* ---- what else a blob may bring */

static PKCS7 *with_certificate(void)
{
	PKCS7 *p7 = sign(good);

	assert_true(PKCS7_add_certificate(p7, certificate));
	return p7;
}

static PKCS7 *with_empty_certificates(void)
{
	PKCS7 *p7 = sign(good);

	p7->d.sign->cert = sk_X509_new_null();
	return p7;
}

/* The whole attack: the forger's certificate under the same issuer and serial number, and the forger's key.
 */
static PKCS7 *with_forgers_certificate(void)
{
	X509 *forged = certificate_make(other_key, other_key, 7, 365);
	PKCS7 *p7 = sign_as(good, (struct signing){ .certificate = forged, .key = other_key });

	assert_true(PKCS7_add_certificate(p7, forged));
	X509_free(forged);
	return p7;
}

static PKCS7 *by_forger(void)
{
	X509 *forged = certificate_make(other_key, other_key, 7, 365);
	PKCS7 *p7 = sign_as(good, (struct signing){ .certificate = forged, .key = other_key });

	X509_free(forged);
	return p7;
}

static PKCS7 *by_other_serial(void)
{
	X509 *other = certificate_make(key, key, 8, 365);
	PKCS7 *p7 = sign_as(good, (struct signing){ .certificate = other });

	X509_free(other);
	return p7;
}

static PKCS7 *with_revocation_list(void)
{
	PKCS7 *p7 = sign(good);
	X509_CRL *list = X509_CRL_new();
	ASN1_TIME *now = ASN1_TIME_set(NULL, 1767323045);

	X509_CRL_set_issuer_name(list, X509_get_subject_name(certificate));
	X509_CRL_set1_lastUpdate(list, now);
	assert_true(X509_CRL_sign(list, key, EVP_sha256()) > 0);
	assert_true(PKCS7_add_crl(p7, list));
	ASN1_TIME_free(now);
	X509_CRL_free(list);
	return p7;
}

static PKCS7 *with_empty_revocation_lists(void)
{
	PKCS7 *p7 = sign(good);

	p7->d.sign->crl = sk_X509_CRL_new_null();
	return p7;
}

static void add_second_signer(PKCS7 *p7, PKCS7_SIGNER_INFO *signer)
{
	X509 *second = certificate_make(other_key, other_key, 9, 365);

	(void)signer;
	assert_non_null(PKCS7_sign_add_signer(p7, second, other_key, EVP_sha256(), PLAIN));
	X509_free(second);
}

static PKCS7 *with_second_signer(void)
{
	return sign_as(good, (struct signing){ .before = add_second_signer });
}

static void add_same_signer(PKCS7 *p7, PKCS7_SIGNER_INFO *signer)
{
	(void)signer;
	assert_non_null(PKCS7_sign_add_signer(p7, certificate, key, EVP_sha256(), PLAIN));
}

static PKCS7 *with_signer_twice(void)
{
	return sign_as(good, (struct signing){ .before = add_same_signer });
}

static PKCS7 *without_signer(void)
{
	PKCS7 *p7 = sign(good);

	PKCS7_SIGNER_INFO_free(sk_PKCS7_SIGNER_INFO_pop(p7->d.sign->signer_info));
	return p7;
}

static PKCS7_SIGNER_INFO *signer_of(PKCS7 *p7)
{
	return sk_PKCS7_SIGNER_INFO_value(p7->d.sign->signer_info, 0);
}

static PKCS7 *with_unsigned_attribute(void)
{
	PKCS7 *p7 = sign(good);
	ASN1_OCTET_STRING *text = ASN1_OCTET_STRING_new();

	ASN1_OCTET_STRING_set(text, (const unsigned char *)good, 20);
	assert_true(
		PKCS7_add_attribute(signer_of(p7), NID_pkcs9_unstructuredName, V_ASN1_OCTET_STRING, text));
	return p7;
}

static PKCS7 *with_empty_unsigned_attributes(void)
{
	PKCS7 *p7 = sign(good);

	signer_of(p7)->unauth_attr = sk_X509_ATTRIBUTE_new_null();
	return p7;
}

static PKCS7 *detached(void)
{
	return sign_as(good, (struct signing){ .flags = PKCS7_DETACHED });
}

static PKCS7 *without_attributes(void)
{
	return sign_as(good, (struct signing){ .flags = PKCS7_NOATTR });
}

static PKCS7 *with_empty_attributes(void)
{
	PKCS7 *p7 = without_attributes();

	signer_of(p7)->auth_attr = sk_X509_ATTRIBUTE_new_null();
	return p7;
}

static PKCS7 *sha1(void)
{
	return sign_as(good, (struct signing){ .digest = EVP_sha1() });
}

static PKCS7 *sha512(void)
{
	return sign_as(good, (struct signing){ .digest = EVP_sha512() });
}

static void add_digest(PKCS7 *p7, PKCS7_SIGNER_INFO *signer)
{
	X509_ALGOR *second = X509_ALGOR_new();

	(void)signer;
	X509_ALGOR_set0(second, OBJ_nid2obj(NID_sha512), V_ASN1_NULL, NULL);
	sk_X509_ALGOR_push(p7->d.sign->md_algs, second);
}

static PKCS7 *with_second_digest(void)
{
	return sign_as(good, (struct signing){ .before = add_digest });
}

static PKCS7 *with_odd_parameters(void)
{
	PKCS7 *p7 = sign(good);

	X509_ALGOR_set0(
		signer_of(p7)->digest_alg, OBJ_nid2obj(NID_sha256), V_ASN1_OBJECT, OBJ_nid2obj(NID_sha1));
	return p7;
}

static PKCS7 *version_3(void)
{
	PKCS7 *p7 = sign(good);

	ASN1_INTEGER_set(p7->d.sign->version, 3);
	return p7;
}

static PKCS7 *signer_version_3(void)
{
	PKCS7 *p7 = sign(good);

	ASN1_INTEGER_set(signer_of(p7)->version, 3);
	return p7;
}

static PKCS7 *by_ec(void)
{
	EVP_PKEY *ec = EVP_EC_gen("P-256");
	X509 *forged = certificate_make(ec, ec, 7, 365);
	PKCS7 *p7 = sign_as(good, (struct signing){ .certificate = forged, .key = ec });

	X509_free(forged);
	EVP_PKEY_free(ec);
	return p7;
}

static PKCS7 *by_dsa(void)
{
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, "DSA", NULL);
	EVP_PKEY *parameters = NULL, *dsa = NULL;
	X509 *forged;
	PKCS7 *p7;

	assert_true(
		EVP_PKEY_paramgen_init(context) > 0 && EVP_PKEY_CTX_set_dsa_paramgen_bits(context, 1024) > 0);
	assert_true(EVP_PKEY_generate(context, &parameters) > 0);
	EVP_PKEY_CTX_free(context);
	context = EVP_PKEY_CTX_new_from_pkey(NULL, parameters, NULL);
	assert_true(EVP_PKEY_keygen_init(context) > 0 && EVP_PKEY_generate(context, &dsa) > 0);
	EVP_PKEY_CTX_free(context);
	forged = certificate_make(dsa, dsa, 7, 365);
	p7 = sign_as(good, (struct signing){ .certificate = forged, .key = dsa });
	X509_free(forged);
	EVP_PKEY_free(parameters);
	EVP_PKEY_free(dsa);
	return p7;
}

static PKCS7 *with_other_content(void)
{
	PKCS7 *p7 = sign(good);
	char *bent = strdup(good);

	strstr(bent, "i-0")[2] = '1';
	ASN1_OCTET_STRING_set(p7->d.sign->contents->d.data, (unsigned char *)bent, (int)strlen(bent));
	free(bent);
	return p7;
}

static PKCS7 *with_long_signature(void)
{
	static const unsigned char ones[2048] = { 1 };
	PKCS7 *p7 = sign(good);

	ASN1_OCTET_STRING_set(signer_of(p7)->enc_digest, ones, sizeof(ones));
	return p7;
}

/* CMSAlgorithmProtection (RFC 6211) over SHA-256 and this kind of signature. */
static void protect(PKCS7_SIGNER_INFO *signer, int nid)
{
	X509_ALGOR *algorithm = X509_ALGOR_new();
	unsigned char text[100] = { V_ASN1_SEQUENCE | V_ASN1_CONSTRUCTED };
	unsigned char *at = text + 2;
	ASN1_STRING *value = ASN1_STRING_type_new(V_ASN1_SEQUENCE);
	int protection = OBJ_txt2nid("1.2.840.113549.1.9.52");
	int second;

	if (protection == NID_undef)
		protection = OBJ_create("1.2.840.113549.1.9.52", "protection", "CMS algorithm protection");

	X509_ALGOR_set0(algorithm, OBJ_nid2obj(NID_sha256), V_ASN1_NULL, NULL);
	second = i2d_X509_ALGOR(algorithm, &at);
	X509_ALGOR_set0(algorithm, OBJ_nid2obj(nid), V_ASN1_NULL, NULL);
	i2d_X509_ALGOR(algorithm, &at);
	text[1] = (unsigned char)(at - text - 2);
	text[2 + second] = 0xa1;
	ASN1_STRING_set(value, text, (int)(at - text));
	assert_true(PKCS7_add_signed_attribute(signer, protection, V_ASN1_SEQUENCE, value));
	X509_ALGOR_free(algorithm);
}

static void protect_rsa(PKCS7 *p7, PKCS7_SIGNER_INFO *signer)
{
	(void)p7;
	protect(signer, NID_rsaEncryption);
}

static void protect_other(PKCS7 *p7, PKCS7_SIGNER_INFO *signer)
{
	(void)p7;
	protect(signer, NID_sha256WithRSAEncryption); /* and OpenSSL names the other one outside */
}

static PKCS7 *with_wrong_protection(void)
{
	return sign_as(good, (struct signing){ .before = protect_other });
}

static void as_aws_does(PKCS7 *p7, PKCS7_SIGNER_INFO *signer)
{
	signature_named_rsa(p7, signer);
	protect(signer, NID_sha256WithRSAEncryption);
}

static void right_protection(void **state)
{
	static struct blob blob;

	(void)state;
	encode(sign_as(good, (struct signing){ .before = protect_rsa }), &blob);
	expect_good(blob.der, blob.length);
	encode(sign_as(good, (struct signing){ .before = as_aws_does }), &blob);
	expect_good(blob.der, blob.length);
}

static void say_other_type(PKCS7 *p7, PKCS7_SIGNER_INFO *signer)
{
	(void)p7;
	assert_true(PKCS7_add_signed_attribute(
		signer, NID_pkcs9_contentType, V_ASN1_OBJECT, OBJ_nid2obj(NID_pkcs7_enveloped)));
}

static PKCS7 *with_other_signed_type(void)
{
	return sign_as(good, (struct signing){ .before = say_other_type });
}

/* ---- content types that are no signed data */

static PKCS7 *plain_data(void)
{
	PKCS7 *p7 = PKCS7_new();

	PKCS7_set_type(p7, NID_pkcs7_data);
	ASN1_OCTET_STRING_set(p7->d.data, (const unsigned char *)good, (int)strlen(good));
	return p7;
}

static PKCS7 *enveloped(void)
{
	STACK_OF(X509) *to = sk_X509_new_null();
	BIO *bio = content_bio(good);
	PKCS7 *p7;

	sk_X509_push(to, certificate);
	p7 = PKCS7_encrypt(to, bio, EVP_aes_128_cbc(), PKCS7_BINARY);
	BIO_free(bio);
	sk_X509_free(to);
	return p7;
}

static PKCS7 *digested(void)
{
	PKCS7 *p7 = PKCS7_new();

	assert_true(PKCS7_set_type(p7, NID_pkcs7_digest));
	assert_true(PKCS7_set_digest(p7, EVP_sha256()));
	assert_true(PKCS7_content_new(p7, NID_pkcs7_data));
	ASN1_OCTET_STRING_set(p7->d.digest->contents->d.data, (const unsigned char *)good, (int)strlen(good));
	ASN1_OCTET_STRING_set(p7->d.digest->digest, (const unsigned char *)good, 32);
	return p7;
}

static void attack_10_what_a_blob_may_not_bring(void **state)
{
	static const struct {
		const char *what;
		PKCS7 *(*make)(void);
		const char *words;
	} cases[] = {
		{ "the certificate itself", with_certificate, "brings a certificate" },
		{ "an empty set of certificates", with_empty_certificates, "brings a certificate" },
		{ "the forger's certificate", with_forgers_certificate, "brings a certificate" },
		{ "the forger's signature", by_forger, "signature is not by" },
		{ "another serial number", by_other_serial, "signer is not" },
		{ "a revocation list", with_revocation_list, "revocation list" },
		{ "an empty set of lists", with_empty_revocation_lists, "revocation list" },
		{ "a second signer", with_second_signer, "one signer" },
		{ "the signer twice", with_signer_twice, "one signer" },
		{ "no signer", without_signer, "one signer" },
		{ "an unsigned attribute", with_unsigned_attribute, "unsigned attributes" },
		{ "no unsigned attributes, but a set", with_empty_unsigned_attributes,
			"unsigned attributes" },
		{ "detached content", detached, "attached" },
		{ "no signed attributes", without_attributes, "signed attributes" },
		{ "an empty set of signed attributes", with_empty_attributes, "signed attributes" },
		{ "SHA-1", sha1, "SHA-256" },
		{ "SHA-512", sha512, "SHA-256" },
		{ "a second digest", with_second_digest, "SHA-256" },
		{ "odd parameters", with_odd_parameters, "SHA-256" },
		{ "version 3", version_3, "version 1" },
		{ "a signer of version 3", signer_version_3, "version 1" },
		{ "an EC key", by_ec, "not RSA" },
		{ "a DSA key", by_dsa, "not RSA" },
		{ "other content", with_other_content, "signature is not by" },
		{ "a signature of 16,384 bits", with_long_signature, "signature is not by" },
		{ "other algorithms than signed", with_wrong_protection, "algorithms" },
		{ "another type than signed", with_other_signed_type, "content's type" },
		{ "plain data", plain_data, "not PKCS7 signed data" },
		{ "enveloped data", enveloped, "not PKCS7 signed data" },
		{ "digested data", digested, "not PKCS7 signed data" },
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		refuse_p7(cases[i].what, cases[i].make(), cases[i].words);
}

/* Genuine in every way but that the content says it is no data; and signed data without anything in it. */
static void content_of_another_type(void **state)
{
	static const unsigned char data[] = { 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01 };
	static const unsigned char hollow[] = { 0x30, 0x0b, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d,
		0x01, 0x07, 0x02 };
	static struct blob blob;
	unsigned char *at;

	(void)state;
	encode(sign(good), &blob);
	at = memmem(blob.der, blob.length, data, sizeof(data));
	assert_non_null(at);
	at[8] = 7;
	refuse("another type", blob.der, blob.length, "attached data");
	refuse("hollow", hollow, sizeof(hollow), "not PKCS7 signed data");
}

static CMS_ContentInfo *cms(int flags, bool pss)
{
	BIO *bio = content_bio(good);
	CMS_ContentInfo *info = CMS_sign(NULL, NULL, NULL, bio, CMS_PARTIAL | CMS_BINARY | CMS_NOCERTS);
	CMS_SignerInfo *signer = CMS_add1_signer(
		info, certificate, key, EVP_sha256(), CMS_NOCERTS | CMS_NOSMIMECAP | CMS_KEY_PARAM | flags);

	assert_non_null(signer);
	if (pss)
		EVP_PKEY_CTX_set_rsa_padding(CMS_SignerInfo_get0_pkey_ctx(signer), RSA_PKCS1_PSS_PADDING);
	assert_true(CMS_final(info, bio, NULL, CMS_BINARY));
	BIO_free(bio);
	return info;
}

/* What CMS (RFC 5652) has beyond PKCS #7. */
static void younger_forms(void **state)
{
	static const struct {
		const char *what;
		int flags;
		bool pss;
		const char *words; /* NULL: taken */
	} cases[] = { { "plain", 0, false, NULL }, { "by key identifier", CMS_USE_KEYID, false, "not PKCS7" },
		{ "PSS", 0, true, "not RSA" } };
	unsigned char der[BLOB_MAX], *at;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		CMS_ContentInfo *info = cms(cases[i].flags, cases[i].pss);

		at = der;
		assert_in_range(i2d_CMS_ContentInfo(info, NULL), 1, sizeof(der));
		i2d_CMS_ContentInfo(info, &at);
		CMS_ContentInfo_free(info);
		if (cases[i].words)
			refuse(cases[i].what, der, (size_t)(at - der), cases[i].words);
		else
			expect_good(der, (size_t)(at - der));
	}
}

/* ---- the content */

/* The good content with one text in the place of another; the caller frees. */
static char *changed(const char *from, const char *to)
{
	const char *at = strstr(good, from);
	char *text;

	assert_non_null(at);
	assert_true(asprintf(&text, "%.*s%s%s", (int)(at - good), good, to, at + strlen(from)) > 0);
	return text;
}

static void refuse_content(const char *from, const char *to, const char *words)
{
	char *text = changed(from, to);

	refuse_p7(to, sign(text), words);
	free(text);
}

static void members_that_are_needed(void **state)
{
	static const char *const values[] = { "accountId\" : \"123456789012\"",
		"availabilityZone\" : \"us-east-1a\"", "imageId\" : \"ami-0123456789abcdef0\"",
		"instanceId\" : \"i-0123456789abcdef0\"", "instanceType\" : \"m5.large\"",
		"pendingTime\" : \"2026-01-02T03:04:05Z\"", "privateIp\" : \"10.0.1.225\"",
		"region\" : \"us-east-1\"" };
	static const char *const wrong[] = { "null", "7", "true", "[]", "{}", "1.5", "\"\"", "\"x\"",
		"\"us-east-1\\n\"", "[\"us-east-1\"]" };
	size_t i, j;

	(void)state;
	for (i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		char name[40], text[120];

		snprintf(name, sizeof(name), "%.*s", (int)strcspn(values[i], "\""), values[i]);
		snprintf(text, sizeof(text), "x%s",
			values[i]); /* absent: there is another name in its place */
		refuse_content(values[i], text, name);
		for (j = 0; j < sizeof(wrong) / sizeof(wrong[0]); j++) {
			snprintf(text, sizeof(text), "%s\" : %s", name, wrong[j]);
			refuse_content(values[i], text, name);
		}
		snprintf(text, sizeof(text), "%s, \"%s", values[i], values[i]);
		refuse_content(values[i], text, "twice");
	}
}

static void spellings_of_values(void **state)
{
	static const char *const cases[][3] = {
		{ "\"i-0123456789abcdef0", "\"i-0123456789ABCDEF0", "instanceId" },
		{ "\"i-0123456789abcdef0", "\"i-0123456789abcdef01", "instanceId" },
		{ "\"i-0123456789abcdef0", "\"r-0123456789abcdef0", "instanceId" },
		{ "\"i-0123456789abcdef0", "\"i-0123456789abcdef0\\u0000", "not one JSON object" },
		{ "123456789012", "12345678901", "accountId" },
		{ "123456789012", "\\uff11\\uff12\\uff13\\uff14\\uff15\\uff16", "accountId" },
		{ "ami-0", "aki-0", "imageId" },
		{ "m5.large", "m5 large", "instanceType" },
		{ "10.0.1.225", "010.0.1.225", "privateIp" },
		{ "10.0.1.225", "::ffff:10.0.1.225", "privateIp" },
		{ "2026-01-02T03:04:05Z", "2026-01-02T03:04:05+00:00", "pendingTime" },
		{ "2026-01-02T03:04:05Z", "2026-02-30T03:04:05Z", "pendingTime" },
		{ "us-east-1a", "us-west-1a", "availabilityZone" },
		{ "us-east-1a", "us-east-1", "availabilityZone" },
		{ "us-east-1a", "us-east-12a", "availabilityZone" },
		{ "us-east-1a", "us-east-1a ", "availabilityZone" },
		{ "us-east-1a", "us-east-1-aaaaaaaaaaaaaaaaaaaaaaaaaa", "availabilityZone" },
		{ "us-east-1\"", "us-east-2\"", "region" },
		{ "us-east-1\"", "US-EAST-1\"", "region" },
		{ "us-east-1\"", "us-east-1/\"", "region" },
	};
	char *zone = changed("us-east-1a", "us-east-1-bos-1a");
	static struct blob blob;
	struct document document;
	struct reason reason;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		refuse_content(cases[i][0], cases[i][1], cases[i][2]);
	encode(sign(zone), &blob);
	assert_int_equal(verify(blob.der, blob.length, &document, &reason), OK);
	assert_string_equal(document.availability_zone, "us-east-1-bos-1a");
	free(zone);
}

static void no_json(void **state)
{
	static const char *const cases[] = { "", " ", "null", "[]", "\"x\"", "7", "{", "{}x", "{} {}",
		"{\"a\":1,}", "\xef\xbb\xbf{}", "{'a':1}", "{\"a\":NaN}", "{\"a\":\"\xff\"}",
		"{\"a\":1e400}" };
	char *twice = changed("\"kernelId\" : null", "\"kernelId\" : null, \"\\u006bernelId\" : 1");
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		refuse_p7(cases[i], sign(cases[i]), "not one JSON object");
	refuse_p7("twice, of those that are not asked for", sign(twice), "twice");
	refuse_p7("empty", sign("{}"), "missing");
	free(twice);
}

/* A member of nothing but `n` letters; `fill` over the maximum by one is refused. */
static void sizes_of_content(void **state)
{
	size_t room = DOCUMENT_CONTENT_MAX - strlen(good) - strlen(", \"fill\" : \"\"");
	char *letters = malloc(6000), *member = malloc(6100), *text;
	static struct blob blob;

	(void)state;
	memset(letters, 'x', 6000);
	sprintf(member, "\"2017-09-30\", \"fill\" : \"%.*s\"", (int)room, letters);
	text = changed("\"2017-09-30\"", member);
	assert_int_equal(strlen(text), DOCUMENT_CONTENT_MAX);
	encode(sign(text), &blob);
	expect_good(blob.der, blob.length);
	free(text);
	sprintf(member, "\"2017-09-30\", \"fill\" : \"%.*s\"", (int)room + 1, letters);
	refuse_content("\"2017-09-30\"", member, "too large");
	sprintf(member, "\"2017-09-30\", \"fill\" : \"%.*s\"", 5000, letters);
	refuse_content("\"2017-09-30\"", member, "too large");
	memset(letters, '[', 4000);
	sprintf(member, "%.*s", 3000, letters);
	refuse_content("\"2017-09-30\"", member, "not one JSON object");
	free(letters);
	free(member);
}

/* ---- bytes in general */

static void attack_13_cut_and_appended(void **state)
{
	static unsigned char twice[2 * BLOB_MAX];
	static struct blob blob;
	size_t i;

	(void)state;
	encode(sign(good), &blob);
	for (i = 0; i < blob.length; i++)
		refuse("cut", blob.der, i, "not PKCS7");
	memcpy(twice, blob.der, blob.length);
	for (i = 1; i < 4; i++)
		refuse("zeroes behind", twice, blob.length + i, "that alone");
	memcpy(twice + blob.length, blob.der, blob.length);
	refuse("twice", twice, 2 * blob.length, "that alone");
}

/* Every value of every byte is tried where the blob has structure, every bit where it is content or
 * signature. Nothing passes: not even what OpenSSL takes for another spelling of the same. */
static void every_byte(const struct anchors *by, const char *region, const unsigned char *der, size_t length,
	size_t content, size_t content_length, bool exhaustive)
{
	unsigned char copy[BLOB_MAX];
	char text[BASE64_SIZE(BLOB_MAX)];
	struct document document;
	struct reason reason;
	unsigned value;
	size_t i;

	memcpy(copy, der, length);
	for (i = 0; i < length; i++) {
		bool structure = exhaustive &&
				 (i < content || (i >= content + content_length && i + 262 < length) ||
					 i + 6 >= length);

		for (value = 0; value < 256; value++) {
			unsigned change = value ^ der[i];

			if (change == 0 || (!structure && (change & (change - 1))))
				continue;
			copy[i] = (unsigned char)value;
			base64_encode((struct bytes){ copy, length }, text);
			if (document_verify(by, region, text, strlen(text), &document, &reason) != REFUSED)
				fail_msg("byte %zu: %02x taken for %02x", i, value, der[i]);
		}
		copy[i] = der[i];
	}
}

static void every_byte_of_ours(void **state)
{
	static struct blob blob;
	const unsigned char *content;

	(void)state;
	encode(sign_as(good, (struct signing){ .before = as_aws_does }), &blob);
	content = memmem(blob.der, blob.length, good, strlen(good));
	assert_non_null(content);
	every_byte(anchors, REGION, blob.der, blob.length, (size_t)(content - blob.der), strlen(good), false);
}

static void no_anchor(void **state)
{
	struct document document;
	struct reason reason;

	(void)state;
	assert_int_equal(document_verify(anchors, "us-east-2", "", 0, &document, &reason), FAULT);
	assert_string_equal(reason.code, REASON_INTERNAL);
}

/* ---- ATTACKS 14: what refusing may cost */

static double cpu_milliseconds(const char *text, size_t length)
{
	struct timespec from, to;
	struct document document;
	struct reason reason;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
	assert_int_equal(verify_text(text, length, &document, &reason), REFUSED);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
	return (double)(to.tv_sec - from.tv_sec) * 1e3 + (double)(to.tv_nsec - from.tv_nsec) / 1e6;
}

static void assert_cheap(const char *what, const unsigned char *der, size_t length)
{
	char *text = malloc(BASE64_SIZE(length));
	double spent;

	base64_encode((struct bytes){ der, length }, text);
	spent = cpu_milliseconds(text, strlen(text));
	if (spent >= 50)
		fail_msg("%s: %.1f ms", what, spent);
	free(text);
}

static void attack_14_cost_of_nesting(void **state)
{
	static const unsigned char heads[][2] = { { 0x30, 0x80 }, { 0x31, 0x80 }, { 0x24, 0x80 },
		{ 0xa0, 0x80 }, { 0x30, 0x82 } };
	/* the first is refused for its size; the second is the most that is looked at */
	static const size_t sizes[] = { 20000, DOCUMENT_BASE64_MAX / 4 * 3 };
	unsigned char *der = malloc(20000);
	size_t i, j, k;

	(void)state;
	for (i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
		for (k = 0; k < 20000; k++)
			der[k] = heads[i][k % 2];
		for (j = 0; j < 2; j++)
			assert_cheap("nesting", der, sizes[j]);
	}
	free(der);
}

/* A blob with a certificate that holds a key of 16,384 bits, and a signature as long. */
static void attack_14_cost_of_keys(void **state)
{
	EVP_PKEY *large = rsa_public(16384);
	X509 *heavy = certificate_make(large, key, 7, 365);
	PKCS7 *p7 = with_long_signature();
	static struct blob blob;

	(void)state;
	assert_true(PKCS7_add_certificate(p7, heavy));
	encode(p7, &blob);
	assert_in_range(blob.length, 4096, DOCUMENT_BASE64_MAX / 4 * 3);
	assert_cheap("a key of 16,384 bits", blob.der, blob.length);
	encode(with_long_signature(), &blob);
	assert_cheap("a signature of 16,384 bits", blob.der, blob.length);
	X509_free(heavy);
	EVP_PKEY_free(large);
}

static void attack_14_cost_of_size(void **state)
{
	char *text = malloc(1 << 20);

	(void)state;
	memset(text, 'A', 1 << 20);
	assert_true(cpu_milliseconds(text, 1 << 20) < 50);
	memset(text, '\n', 1 << 20);
	assert_true(cpu_milliseconds(text, 1 << 20) < 50);
	assert_true(cpu_milliseconds(text, DOCUMENT_BASE64_MAX) < 50);
	free(text);
}

/* ---- memory that is out */

static long allocations_left = -1; /* -1: without end */

static bool allocation_fails(void)
{
	if (allocations_left < 0)
		return false;
	if (allocations_left == 0)
		return true;
	allocations_left--;
	return false;
}

static void *failing_malloc(size_t size, const char *file, int line)
{
	(void)file;
	(void)line;
	return memory_noted(allocation_fails() ? NULL : malloc(size));
}

static void *failing_realloc(void *old, size_t size, const char *file, int line)
{
	(void)file;
	(void)line;
	return memory_noted(allocation_fails() ? NULL : realloc(old, size));
}

static void plain_free(void *old, const char *file, int line)
{
	(void)file;
	(void)line;
	free(old);
}

static void *failing_json_malloc(size_t size)
{
	return memory_noted(allocation_fails() ? NULL : malloc(size));
}

/* From the Nth allocation on each one fails, for every N until there are enough: never a yes to something
 * else, nothing lost, and the next one is right again. */
static void every_allocation(void **state)
{
	static char text[BASE64_SIZE(BLOB_MAX)];
	static struct blob blob;
	struct document document;
	struct reason reason;
	enum outcome outcome = FAULT;
	unsigned faults = 0;
	long n;

	(void)state;
	encode(sign_as(good, (struct signing){ .before = as_aws_does }), &blob);
	base64_encode((struct bytes){ blob.der, blob.length }, text);
	for (n = 0; outcome != OK; n++) {
		assert_true(n < 5000);
		allocations_left = n;
		outcome = document_verify(anchors, REGION, text, strlen(text), &document, &reason);
		allocations_left = -1;
		faults += outcome == FAULT;
		if (outcome == OK)
			assert_good(&document);
	}
	assert_in_range(n, 50, 5000);
	print_message("# %ld allocations; %u were told as ours\n", n, faults);
	expect_good(blob.der, blob.length);
}

/* The same through the proof: a good document is proved, or the failure is ours, but it is never refused. */
static void every_allocation_of_a_proof(void **state)
{
	static char text[BASE64_SIZE(BLOB_MAX)];
	static struct blob blob;
	const struct demand demand = { .document = true };
	struct assertion assertion = { .region = REGION };
	struct evidence evidence = { .document = text };
	const struct question_offline question = {
		.anchors = anchors, .demand = &demand, .assertion = &assertion, .evidence = &evidence
	};
	enum outcome outcome = FAULT;
	struct reason reason;
	struct proof proof;
	long n;

	(void)state;
	encode(sign_as(good, (struct signing){ .before = as_aws_does }), &blob);
	base64_encode((struct bytes){ blob.der, blob.length }, text);
	for (n = 0; outcome != OK; n++) {
		assert_true(n < 5000);
		allocations_left = n;
		outcome = proof_verify(&question, &proof, &reason);
		allocations_left = -1;
		if (outcome != OK && outcome != FAULT)
			fail_msg("allocation %ld: %s: %s", n, reason.code, reason.text);
		proof_clear(&proof);
	}
	assert_in_range(n, 50, 5000);
	text[100] ^= 1;
	assert_int_equal(proof_verify(&question, &proof, &reason), REFUSED);
	proof_clear(&proof);
}

/* ---- the look from outside alone */

static void plain_ber(void **state)
{
	static const struct {
		const char *bytes;
		size_t length;
		bool plain;
	} cases[] = {
#define BER(bytes, plain) { bytes, sizeof(bytes) - 1, plain }
		BER("", false),
		BER("\x05", false),
		BER("\x05\x00", true),
		BER("\x05\x00\x00", false),
		BER("\x30\x00", true),
		BER("\x10\x00", false),
		BER("\x11\x00", false),
		BER("\x25\x00", false),
		BER("\x30\x02\x05\x00", true),
		BER("\x30\x03\x05\x00", false),
		BER("\x30\x01\x05\x00", false),
		BER("\x30\x80\x05\x00\x00\x00", true),
		BER("\x30\x80\x05\x00\x00", false),
		BER("\x30\x80\x05\x00", false),
		BER("\x30\x80", false),
		BER("\x30\x80\x00\x00\x00", false),
		BER("\x04\x80\x00\x00", false),
		BER("\x24\x80\x00\x00", true),
		BER("\x24\x03\x04\x01x", true),
		BER("\x24\x03\x0c\x01x", false),
		BER("\x24\x05\x24\x03\x04\x01x", false),
		BER("\x04\x81\x01x", true),
		BER("\x04\x83\x00\x00\x01x", true),
		BER("\x04\x84\x00\x00\x00\x01x", false),
		BER("\x04\x82\x01", false),
		BER("\x04\xff", false),
		BER("\x80\x01x", false),
		BER("\xa0\x02\x05\x00", true),
		BER("\xc4\x01x", false),
		BER("\x1f\x01\x00", false),
		BER("\x00\x00", false),
		BER("\x30\x02\x00\x00", false),
		BER("\x30\x04\x30\x80\x00\x00", true),
		BER("\x30\x02\x30\x80\x00\x00", false),
		BER("\x04\x83\xff\xff\xffx", false),
#undef BER
	};
	unsigned char deep[2 * (BER_DEPTH_MAX + 1)];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct bytes bytes = { (const unsigned char *)cases[i].bytes, cases[i].length };

		if (ber_plain(bytes) != cases[i].plain)
			fail_msg("case %zu", i);
	}
	for (i = 0; i <= BER_DEPTH_MAX; i++) {
		deep[2 * i] = 0x30;
		deep[2 * i + 1] = (unsigned char)(2 * (BER_DEPTH_MAX - i));
	}
	assert_false(ber_plain((struct bytes){ deep, sizeof(deep) }));
	assert_true(ber_plain((struct bytes){ deep + 2, sizeof(deep) - 2 }));
}

/* ---- AWS's own */

/* base64 as the metadata service gave it; skips where it is not there. */
static size_t vector(const char *name, char *text, size_t size)
{
	char path[200];
	size_t length;

	snprintf(path, sizeof(path), VECTORS "/identity-documents/%s", name);
	if (!file_read(path, (unsigned char *)text, size, &length)) {
		print_message("# no " VECTORS "\n");
		skip();
	}
	return length;
}

static void attack_11_genuine_by_its_region_alone(void **state)
{
	struct anchors *all;
	struct document document;
	struct reason reason;
	char text[4096];
	size_t length, i;

	(void)state;
	length = vector("us-west-2-rsa2048/pkcs7.b64", text, sizeof(text));
	all = anchors_new();
	for (i = 0; published_region(i); i++)
		assert_true(anchors_add_vector(all, published_region(i)));
	for (i = 0; published_region(i); i++) {
		bool own = strcmp(published_region(i), "us-west-2") == 0;

		assert_int_equal(document_verify(all, published_region(i), text, length, &document, &reason),
			own ? OK : REFUSED);
		if (!own)
			continue;
		assert_string_equal(document.instance_id, "i-078517ca8a70a1dde");
		assert_string_equal(document.account_id, "278576220453");
		assert_string_equal(document.region, "us-west-2");
		assert_string_equal(document.availability_zone, "us-west-2a");
		assert_string_equal(document.instance_type, "t2.medium");
		assert_string_equal(document.image_id, "ami-0fa9e1f64142cde17");
		assert_string_equal(document.private_ip, "10.0.0.209");
		assert_int_equal(document.pending_time, 1630704344);
	}
	assert_int_equal(i, 39);
	anchors_free(all);
}

/* The same certificate under another region's name proves nothing of that region. */
static void genuine_by_a_misnamed_certificate(void **state)
{
	struct anchors *misnamed;
	unsigned char pem[ANCHOR_PEM_MAX];
	struct complaint complaint;
	struct document document;
	struct reason reason;
	char text[4096];
	size_t length, pem_length;

	(void)state;
	length = vector("us-west-2-rsa2048/pkcs7.b64", text, sizeof(text));
	assert_true(file_read(VECTORS "/aws-certificates/us-west-2.pem", pem, sizeof(pem), &pem_length));
	misnamed = anchors_new();
	assert_true(anchors_add(misnamed, REGION, (struct bytes){ pem, pem_length }, &complaint));
	assert_int_equal(document_verify(misnamed, REGION, text, length, &document, &reason), REFUSED);
	assert_non_null(strstr(reason.text, "region: not that"));
	anchors_free(misnamed);
}

static void genuine_bent(void **state)
{
	struct anchors *own;
	unsigned char blob[2048];
	char text[4096], document[2048];
	size_t length, document_length, blob_length = sizeof(blob);
	const unsigned char *content;

	(void)state;
	length = vector("us-west-2-rsa2048/pkcs7.b64", text, sizeof(text));
	document_length = vector("us-west-2-rsa2048/document.json", document, sizeof(document));
	while (document_length && document[document_length - 1] == '\n')
		document_length--;
	own = anchors_new();
	assert_true(anchors_add_vector(own, "us-west-2"));
	for (char *at; (at = memchr(text, '\n', length)); length--)
		memmove(at, at + 1, (size_t)(text + length - at - 1));
	assert_true(base64_decode(text, length, blob, &blob_length));
	content = memmem(blob, blob_length, document, document_length);
	assert_non_null(content);
	every_byte(own, "us-west-2", blob, blob_length, (size_t)(content - blob), document_length, true);
	for (length = 0; length < blob_length; length++) {
		struct document facts;
		struct reason reason;

		base64_encode((struct bytes){ blob, length }, text);
		assert_int_equal(
			document_verify(own, "us-west-2", text, strlen(text), &facts, &reason), REFUSED);
	}
	anchors_free(own);
}

/* ATTACKS 11: authentic, and yet refused */
static void attack_11_genuine_dsa(void **state)
{
	struct anchors *own;
	struct document document;
	struct reason reason;
	char text[4096];
	size_t length;

	(void)state;
	length = vector("us-west-2-dsa/pkcs7.b64", text, sizeof(text));
	own = anchors_new();
	assert_true(anchors_add_vector(own, "us-west-2"));
	assert_int_equal(document_verify(own, "us-west-2", text, length, &document, &reason), REFUSED);
	assert_non_null(strstr(reason.text, "SHA-256"));
	anchors_free(own);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_one),
		cmocka_unit_test(both_names_of_rsa),
		cmocka_unit_test(right_protection),
		cmocka_unit_test(other_spellings),
		cmocka_unit_test(base64_forms),
		cmocka_unit_test(attack_10_what_a_blob_may_not_bring),
		cmocka_unit_test(content_of_another_type),
		cmocka_unit_test(younger_forms),
		cmocka_unit_test(members_that_are_needed),
		cmocka_unit_test(spellings_of_values),
		cmocka_unit_test(no_json),
		cmocka_unit_test(sizes_of_content),
		cmocka_unit_test(attack_13_cut_and_appended),
		cmocka_unit_test(every_byte_of_ours),
		cmocka_unit_test(no_anchor),
		cmocka_unit_test(attack_14_cost_of_nesting),
		cmocka_unit_test(attack_14_cost_of_keys),
		cmocka_unit_test(attack_14_cost_of_size),
		cmocka_unit_test(every_allocation),
		cmocka_unit_test(every_allocation_of_a_proof),
		cmocka_unit_test(plain_ber),
		cmocka_unit_test(attack_11_genuine_by_its_region_alone),
		cmocka_unit_test(genuine_by_a_misnamed_certificate),
		cmocka_unit_test(genuine_bent),
		cmocka_unit_test(attack_11_genuine_dsa),
	};

	if (!CRYPTO_set_mem_functions(failing_malloc, failing_realloc, plain_free))
		return 1;
	json_set_alloc_funcs(failing_json_malloc, free);
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
