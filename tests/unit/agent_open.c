/* Opening a release: one good case, and every single change to it refused for its own reason. */
#include "agent/open.h"
#include "tests/unit/unit.h"

#include <openssl/cms.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RELEASE_ID "01890a5d-ac96-774b-bcce-b302099a8057"

static const struct assertion assertion = { .instance_id = "i-0123456789abcdef0",
	.local_hostname = "ip-10-0-1-225.ec2.internal",
	.reservation_id = "r-0123456789abcdef0",
	.instance_type = "m5.large",
	.role = "web-tier",
	.source_ip = "10.0.1.225",
	.account_id = "123456789012",
	.region = "us-east-1" };

static EVP_PKEY *ours, *others;
static char hash_text[65];

static int set_up_keys(void **state)
{
	unsigned char hash[32];

	(void)state;
	ours = EVP_EC_gen("P-256");
	others = EVP_EC_gen("P-256");
	if (!ours || !others || !assertion_sha256(&assertion, hash))
		return -1;
	hex_encode((struct bytes){ hash, sizeof(hash) }, hash_text);
	return 0;
}

static int tear_down_keys(void **state)
{
	(void)state;
	EVP_PKEY_free(ours);
	EVP_PKEY_free(others);
	return 0;
}

/* ---- a server that seals */

/* A certificate around the bare key: OpenSSL takes recipients in no other form. */
static X509 *wrapper_make(EVP_PKEY *pair)
{
	X509 *wrapper = X509_new();
	X509V3_CTX context;
	X509_EXTENSION *extension;

	assert_non_null(wrapper);
	assert_int_equal(X509_set_version(wrapper, X509_VERSION_3), 1);
	assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(wrapper), 1), 1);
	assert_int_equal(X509_set_pubkey(wrapper, pair), 1);
	X509V3_set_ctx(&context, NULL, wrapper, NULL, NULL, 0);
	extension = X509V3_EXT_conf_nid(NULL, &context, NID_subject_key_identifier, "hash");
	assert_non_null(extension);
	assert_int_equal(X509_add_ext(wrapper, extension, -1), 1);
	X509_EXTENSION_free(extension);
	assert_non_null(X509_gmtime_adj(X509_getm_notBefore(wrapper), 0));
	assert_non_null(X509_gmtime_adj(X509_getm_notAfter(wrapper), 3600));
	assert_true(X509_sign(wrapper, pair, EVP_sha256()) > 0);
	return wrapper;
}

static void recipient_add(CMS_ContentInfo *envelope, EVP_PKEY *pair, unsigned flags)
{
	X509 *wrapper = wrapper_make(pair);

	assert_non_null(CMS_add1_recipient_cert(envelope, wrapper, flags));
	X509_free(wrapper);
}

struct sealed {
	unsigned char *data;
	int length;
};

static struct sealed envelope_finish(CMS_ContentInfo *envelope, const char *text, size_t length)
{
	struct sealed sealed = { NULL, 0 };
	BIO *content = BIO_new_mem_buf(text, (int)length);

	assert_int_equal(CMS_set_detached(envelope, 0), 1);
	assert_int_equal(CMS_final(envelope, content, NULL, CMS_BINARY), 1);
	sealed.length = i2d_CMS_ContentInfo(envelope, &sealed.data);
	assert_true(sealed.length > 0);
	BIO_free(content);
	CMS_ContentInfo_free(envelope);
	return sealed;
}

static struct sealed seal_with(EVP_PKEY *pair, const EVP_CIPHER *cipher, const char *text)
{
	CMS_ContentInfo *envelope = CMS_AuthEnvelopedData_create(cipher);

	recipient_add(envelope, pair, CMS_USE_KEYID);
	return envelope_finish(envelope, text, strlen(text));
}

static struct sealed seal(const char *text)
{
	return seal_with(ours, EVP_aes_256_gcm(), text);
}

/* ---- what is inside: the good text, with one piece of it replaced */

static const char good_secrets[] = "[{\"name\": \"hsm-pin\", \"kind\": \"pin\", \"version\": 3, "
				   "\"encoding\": \"utf-8\", \"value\": \"1234\\u00e4\"}, "
				   "{\"name\": \"hsm-key\", \"kind\": \"private-key\", \"version\": 1, "
				   "\"encoding\": \"base64\", \"value\": "
				   "\"AAECAwQ=\"}]";

static char *inside_make(const char *release_id, const char *instance_id, const char *hash, const char *rest)
{
	static char text[4096];

	snprintf(text, sizeof(text),
		"{\"release_id\": \"%s\", \"instance-id\": \"%s\", \"assertion_sha256\": \"%s\", %s}",
		release_id, instance_id, hash, rest);
	return text;
}

static char *inside_with_secrets(const char *secrets)
{
	static char rest[3000];

	snprintf(rest, sizeof(rest), "\"ack\": \"bWFj_-\", \"secrets\": %s", secrets);
	return inside_make(RELEASE_ID, assertion.instance_id, hash_text, rest);
}

static enum agent_exit open_with(
	struct sealed sealed, EVP_PKEY *pair, struct release *release, struct complaint *complaint)
{
	const struct expected expected = { RELEASE_ID, &assertion };

	memset(complaint, 0, sizeof(*complaint));
	return release_open(
		(struct bytes){ sealed.data, (size_t)sealed.length }, pair, &expected, release, complaint);
}

static enum agent_exit open_once(struct sealed sealed, struct release *release, struct complaint *complaint)
{
	enum agent_exit status = open_with(sealed, ours, release, complaint);

	OPENSSL_free(sealed.data);
	return status;
}

static void assert_clear(const struct release *release)
{
	static const struct release clear;

	assert_memory_equal(release, &clear, sizeof(clear));
}

static void assert_refused(struct sealed sealed, const char *why)
{
	struct complaint complaint;
	struct release release;

	assert_int_equal(open_once(sealed, &release, &complaint), AGENT_PROTOCOL);
	if (!strstr(complaint.text, why))
		fail_msg("not '%s' but: %s", why, complaint.text);
	assert_clear(&release);
}

static void assert_good(const struct release *release)
{
	assert_string_equal(release->acknowledgement, "bWFj_-");
	assert_int_equal(release->n_secrets, 2);
	assert_string_equal(release->secrets[0].name, "hsm-pin");
	assert_int_equal(release->secrets[0].length, 6);
	assert_memory_equal(release->secrets[0].data, "1234\xc3\xa4", 6);
	assert_string_equal(release->secrets[1].name, "hsm-key");
	assert_int_equal(release->secrets[1].length, 5);
	assert_memory_equal(release->secrets[1].data, "\0\1\2\3\4", 5);
}

static void test_good(void **state)
{
	struct complaint complaint;
	struct release release;

	(void)state;
	if (open_once(seal(inside_with_secrets(good_secrets)), &release, &complaint) != AGENT_DONE)
		fail_msg("%s", complaint.text);
	assert_good(&release);
	release_clear(&release);
	assert_clear(&release);
}

/* A newer server may say more. */
static void test_unknown_members(void **state)
{
	struct complaint complaint;
	struct release release;
	char rest[3000];

	(void)state;
	snprintf(rest, sizeof(rest), "\"more\": 1, \"ack\": \"bWFj_-\", \"secrets\": %s", good_secrets);
	assert_int_equal(open_once(seal(inside_make(RELEASE_ID, assertion.instance_id, hash_text, rest)),
				 &release, &complaint),
		AGENT_DONE);
	assert_good(&release);
	release_clear(&release);
}

static void attack_43_not_for_us(void **state)
{
	static const char rest[] = "\"ack\": \"bWFj\", \"secrets\": []";
	char other_hash[65];

	(void)state;
	assert_refused(seal(inside_make("01890a5d-ac96-774b-bcce-b302099a8058", assertion.instance_id,
			       hash_text, rest)),
		"release id");
	assert_refused(seal(inside_make("", assertion.instance_id, hash_text, rest)), "release id");
	assert_refused(
		seal(inside_make(RELEASE_ID, "i-0123456789abcdef1", hash_text, rest)), "another instance");
	memcpy(other_hash, hash_text, sizeof(other_hash));
	other_hash[63] = other_hash[63] == '0' ? '1' : '0';
	assert_refused(
		seal(inside_make(RELEASE_ID, assertion.instance_id, other_hash, rest)), "another assertion");
	other_hash[63] = '\0';
	assert_refused(
		seal(inside_make(RELEASE_ID, assertion.instance_id, other_hash, rest)), "another assertion");
	assert_refused(seal("{\"release_id\": \"" RELEASE_ID "\"}"), "another instance");
}

static void test_other_key(void **state)
{
	struct sealed sealed = seal(inside_with_secrets(good_secrets));
	struct complaint complaint;
	struct release release;

	(void)state;
	assert_int_equal(open_with(sealed, others, &release, &complaint), AGENT_PROTOCOL);
	assert_non_null(strstr(complaint.text, "our key"));
	assert_clear(&release);
	OPENSSL_free(sealed.data);
}

/* Each byte flipped in turn. In the ciphertext and the tag, which come last, always refused; before them
 * refused or, where it says nothing that counts (version numbers, the key identifier, unused bits of the
 * ephemeral point), without any effect. Never another content. */
static void test_flipped(void **state)
{
	const char *text = inside_with_secrets(good_secrets);
	struct sealed sealed = seal(text);
	int protected = sealed.length - (int)strlen(text) - 16 - 2;
	struct complaint complaint;
	struct release release;
	unsigned harmless = 0;
	int i;

	(void)state;
	for (i = 0; i < sealed.length; i++) {
		sealed.data[i] ^= 1;
		if (open_with(sealed, ours, &release, &complaint) == AGENT_DONE) {
			assert_good(&release);
			release_clear(&release);
			harmless++;
			assert_true(i < protected);
		} else {
			assert_clear(&release);
		}
		sealed.data[i] ^= 1;
	}
	assert_in_range(harmless, 20, 30);
	OPENSSL_free(sealed.data);
}

static void test_cut_and_trailing(void **state)
{
	struct sealed sealed = seal(inside_with_secrets(good_secrets));
	struct sealed longer = { malloc((size_t)sealed.length + 1), sealed.length + 1 };
	struct complaint complaint;
	struct release release;
	int whole = sealed.length;

	(void)state;
	assert_non_null(longer.data);
	memcpy(longer.data, sealed.data, (size_t)whole);
	longer.data[whole] = 0;
	assert_int_equal(open_with(longer, ours, &release, &complaint), AGENT_PROTOCOL);
	free(longer.data);
	for (sealed.length = 0; sealed.length < whole; sealed.length += 7)
		assert_int_equal(open_with(sealed, ours, &release, &complaint), AGENT_PROTOCOL);
	sealed.length = whole;
	assert_int_equal(open_with(sealed, ours, &release, &complaint), AGENT_DONE);
	release_clear(&release);
	OPENSSL_free(sealed.data);
}

static void test_other_envelopes(void **state)
{
	const char *text = inside_with_secrets(good_secrets);
	CMS_ContentInfo *envelope;

	(void)state;
	assert_refused(seal_with(ours, EVP_aes_128_gcm(), text), "our key");
	assert_refused(seal_with(ours, EVP_aes_192_gcm(), text), "our key");
	envelope = CMS_EnvelopedData_create(EVP_aes_256_cbc());
	recipient_add(envelope, ours, CMS_USE_KEYID);
	assert_refused(envelope_finish(envelope, text, strlen(text)), "AuthEnvelopedData");
	envelope = CMS_AuthEnvelopedData_create(EVP_aes_256_gcm());
	recipient_add(envelope, ours, 0); /* by issuer and serial number */
	assert_refused(envelope_finish(envelope, text, strlen(text)), "AuthEnvelopedData");
	envelope = CMS_AuthEnvelopedData_create(EVP_aes_256_gcm());
	recipient_add(envelope, ours, CMS_USE_KEYID);
	recipient_add(envelope, others, CMS_USE_KEYID);
	assert_refused(envelope_finish(envelope, text, strlen(text)), "AuthEnvelopedData");
	envelope = CMS_AuthEnvelopedData_create(EVP_aes_256_gcm());
	assert_refused(envelope_finish(envelope, text, strlen(text)), "AuthEnvelopedData");
}

static void test_not_json(void **state)
{
	(void)state;
	assert_refused(seal(""), "JSON");
	assert_refused(seal("{"), "JSON");
	assert_refused(seal("{} x"), "JSON");
	assert_refused(seal("{\"a\": 1, \"a\": 1}"), "JSON");
	assert_refused(seal("[]"), "release id");
	assert_refused(seal("\"text\""), "JSON");
}

static void test_bad_acknowledgements(void **state)
{
	static const char *const rests[] = { "\"secrets\": []", "\"ack\": 1", "\"ack\": \"\"",
		"\"ack\": \"a b\"", "\"ack\": \"a=\"", "\"ack\": \"a\\n\"" };
	char longest[300] = "\"ack\": \"";
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rests) / sizeof(rests[0]); i++)
		assert_refused(seal(inside_make(RELEASE_ID, assertion.instance_id, hash_text, rests[i])),
			"acknowledgement");
	memset(longest + 8, 'a', 129);
	longest[8 + 129] = '"';
	assert_refused(
		seal(inside_make(RELEASE_ID, assertion.instance_id, hash_text, longest)), "acknowledgement");
}

#define SECRET(name, rest) "{\"name\": " name ", \"kind\": \"opaque\", \"version\": 1" rest "}"
#define VALUE ", \"encoding\": \"utf-8\", \"value\": \"v\""

static void test_bad_secrets(void **state)
{
	static const char *const cases[][2] = { { "[]", "no secrets" }, { "{}", "no secrets" },
		{ "1", "no secrets" }, { "[1]", "name" }, { "[{}]", "name" },
		{ "[" SECRET("\"../x\"", VALUE) "]", "name" }, { "[" SECRET("\"\"", VALUE) "]", "name" },
		{ "[" SECRET("\".\"", VALUE) "]", "name" }, { "[" SECRET("\".x\"", VALUE) "]", "name" },
		{ "[" SECRET("\"a/b\"", VALUE) "]", "name" }, { "[" SECRET("\"-a\"", VALUE) "]", "name" },
		{ "[" SECRET("\"A\"", VALUE) "]", "name" }, { "[" SECRET("\"a\\nb\"", VALUE) "]", "name" },
		{ "[" SECRET("1", VALUE) "]", "name" },
		{ "[" SECRET(
			  "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"", VALUE) "]",
			"name" },
		{ "[" SECRET("\"a\"", VALUE) ", " SECRET("\"b\"", VALUE) ", " SECRET("\"a\"", VALUE) "]",
			"twice" },
		{ "[{\"name\": \"a\", \"version\": 1" VALUE "}]", "kind" },
		{ "[{\"name\": \"a\", \"kind\": \"pin\"" VALUE "}]", "version" },
		{ "[{\"name\": \"a\", \"kind\": \"pin\", \"version\": 0" VALUE "}]", "version" },
		{ "[{\"name\": \"a\", \"kind\": \"pin\", \"version\": \"1\"" VALUE "}]", "version" },
		{ "[" SECRET("\"a\"", ", \"value\": \"v\"") "]", "encoding" },
		{ "[" SECRET("\"a\"", ", \"encoding\": \"hex\", \"value\": \"00\"") "]", "encoding" },
		{ "[" SECRET("\"a\"", ", \"encoding\": \"utf-8\"") "]", "value" },
		{ "[" SECRET("\"a\"", ", \"encoding\": \"utf-8\", \"value\": \"\"") "]", "value" },
		{ "[" SECRET("\"a\"", ", \"encoding\": \"utf-8\", \"value\": 1234") "]", "value" },
		{ "[" SECRET("\"a\"", ", \"encoding\": \"base64\", \"value\": \"AAE\"") "]", "value" },
		{ "[" SECRET("\"a\"", ", \"encoding\": \"base64\", \"value\": \"AAE*\"") "]", "value" },
		{ "[" SECRET("\"a\"", ", \"encoding\": \"base64\", \"value\": \"AAF=\"") "]", "value" },
		{ "[" SECRET("\"a\"", ", \"encoding\": \"base64\", \"value\": \"AA E=\"") "]", "value" },
		{ "[" SECRET("\"a\"", ", \"encoding\": \"base64\", \"value\": \"====\"") "]", "value" },
		{ "[" SECRET("\"a\"", ", \"encoding\": \"utf-8\", \"value\": \"a\\u0000b\"") "]", "JSON" } };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_refused(seal(inside_with_secrets(cases[i][0])), cases[i][1]);
}

/* No text of a secret, nor of an impostor, stands in a complaint. */
static void test_complaint_says_nothing(void **state)
{
	struct complaint complaint;
	struct release release;

	(void)state;
	assert_int_equal(open_once(seal(inside_with_secrets("[" SECRET("\"EVIL/name\"", VALUE) "]")),
				 &release, &complaint),
		AGENT_PROTOCOL);
	assert_null(strstr(complaint.text, "EVIL"));
	assert_int_equal(open_once(seal(inside_with_secrets("[" SECRET("\"a\"",
					   ", \"encoding\": \"base64\", \"value\": \"CANARY\"") "]")),
				 &release, &complaint),
		AGENT_PROTOCOL);
	assert_null(strstr(complaint.text, "CANARY"));
}

static void test_too_many(void **state)
{
	static char secrets[16384];
	size_t length = 0;
	unsigned i;
	struct complaint complaint;
	struct release release;
	char *text;

	(void)state;
	for (i = 0; i <= RELEASE_SECRETS_MAX; i++)
		length += (size_t)snprintf(secrets + length, sizeof(secrets) - length,
			"%s{\"name\": \"s%u\", \"kind\": \"pin\", \"version\": 1" VALUE "}", i ? ", " : "[",
			i);
	snprintf(secrets + length, sizeof(secrets) - length, "]");
	text = malloc(2 * sizeof(secrets));
	assert_non_null(text);
	snprintf(text, 2 * sizeof(secrets),
		"{\"release_id\": \"" RELEASE_ID
		"\", \"instance-id\": \"%s\", \"assertion_sha256\": \"%s\", \"ack\": \"a\", "
		"\"secrets\": %s}",
		assertion.instance_id, hash_text, secrets);
	assert_int_equal(open_once(seal(text), &release, &complaint), AGENT_PROTOCOL);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_good),
		cmocka_unit_test(test_unknown_members), cmocka_unit_test(attack_43_not_for_us),
		cmocka_unit_test(test_other_key), cmocka_unit_test(test_flipped),
		cmocka_unit_test(test_cut_and_trailing), cmocka_unit_test(test_other_envelopes),
		cmocka_unit_test(test_not_json), cmocka_unit_test(test_bad_acknowledgements),
		cmocka_unit_test(test_bad_secrets), cmocka_unit_test(test_complaint_says_nothing),
		cmocka_unit_test(test_too_many) };

	return cmocka_run_group_tests(tests, set_up_keys, tear_down_keys);
}
