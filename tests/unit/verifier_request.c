/* Bodies of requests: what is taken, and each mistake refused by its own field's name, never by its text. */
#include "tests/unit/unit.h"
#include "verifier/json.h"
#include "verifier/reasons.h"
#include "verifier/request.h"

#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <string.h>

static char csr[1024];

static int csr_make(void **state)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509_REQ *request = X509_REQ_new();
	BIO *bio = BIO_new(BIO_s_mem());
	int length;

	(void)state;
	X509_REQ_set_pubkey(request, key);
	X509_REQ_sign(request, key, EVP_sha256());
	PEM_write_bio_X509_REQ(bio, request);
	length = BIO_read(bio, csr, sizeof(csr) - 1);
	csr[length > 0 ? length : 0] = '\0';
	BIO_free(bio);
	X509_REQ_free(request);
	EVP_PKEY_free(key);
	return length > 0 ? 0 : -1;
}

static json_t *good(void)
{
	return json_pack("{s:{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s}, s:s}", "assertion", "instance-id",
		"i-0123456789abcdef0", "public-hostname", "", "local-hostname", "ip-10-0-1-225.ec2.internal",
		"reservation-id", "r-0123456789abcdef0", "instance-type", "m5.large", "role", "web-tier",
		"source-ip", "10.0.1.225", "account-id", "123456789012", "region", "us-east-1", "csr", csr);
}

struct parsed {
	enum outcome outcome;
	struct assertion assertion;
	struct recipient recipient;
	struct evidence evidence;
	struct reason reason;
};

static struct parsed parse_text(const char *text, size_t length)
{
	struct parsed p = { .outcome = FAULT };

	p.outcome = release_request_parse((struct bytes){ (const unsigned char *)text, length }, &p.assertion,
		&p.recipient, &p.evidence, &p.reason);
	return p;
}

/* Takes the object. */
static struct parsed parse(json_t *object)
{
	char *text = json_dumps(object, 0);
	struct parsed p = parse_text(text, strlen(text));

	free(text);
	json_decref(object);
	return p;
}

static void assert_refused(json_t *object, const char *field)
{
	struct parsed p = parse(object);

	assert_int_equal(p.outcome, REFUSED);
	assert_string_equal(p.reason.code, REASON_MALFORMED);
	if (strncmp(p.reason.text, field, strlen(field)) != 0)
		fail_msg("%s, not %s", p.reason.text, field);
	assert_null(strstr(p.reason.text, "zq9"));
	assert_null(p.evidence.challenge);
	assert_null(p.evidence.document);
	assert_null(p.evidence.authorization);
}

static json_t *with(const char *name, json_t *value)
{
	json_t *object = good();

	json_object_set_new(object, name, value);
	return object;
}

static void without_evidence(void **state)
{
	struct parsed p = parse(good());

	(void)state;
	assert_int_equal(p.outcome, OK);
	assert_string_equal(p.assertion.role, "web-tier");
	assert_int_equal(p.recipient.spki_length, 91);
	assert_null(p.evidence.challenge);
	evidence_clear(&p.evidence);
}

static void with_evidence(void **state)
{
	json_t *object = with("challenge", json_string("c"));
	struct parsed p;

	(void)state;
	json_object_set_new(object, "evidence",
		json_pack("{s:s, s:{s:s, s:s, s:s}}", "identity-document", "d", "caller-identity",
			"authorization", "a", "x-amz-date", "t", "x-amz-security-token", "k"));
	p = parse(object);
	assert_int_equal(p.outcome, OK);
	assert_string_equal(p.evidence.challenge, "c");
	assert_string_equal(p.evidence.document, "d");
	assert_string_equal(p.evidence.authorization, "a");
	assert_string_equal(p.evidence.amz_date, "t");
	assert_string_equal(p.evidence.security_token, "k");
	evidence_clear(&p.evidence);
	assert_null(p.evidence.challenge);
	p = parse(with("evidence", json_object()));
	assert_int_equal(p.outcome, OK);
	assert_null(p.evidence.document);
	evidence_clear(&p.evidence);
}

static void mistakes(void **state)
{
	(void)state;
	assert_refused(json_array(), "body:");
	assert_refused(json_object(), "assertion:");
	assert_refused(with("zq9", json_true()), "body:");
	assert_refused(with("csr", json_integer(7)), "csr:");
	assert_refused(with("csr", json_string("zq9")), "csr:");
	assert_refused(with("assertion", json_string("zq9")), "assertion:");
	assert_refused(with("challenge", json_integer(7)), "challenge:");
	assert_refused(with("evidence", json_array()), "evidence:");
	assert_refused(with("evidence", json_pack("{s:s}", "zq9", "x")), "evidence:");
	assert_refused(with("evidence", json_pack("{s:i}", "identity-document", 7)), "identity-document:");
	assert_refused(
		with("evidence", json_pack("{s:s}", "caller-identity", "zq9")), "evidence.caller-identity:");
	assert_refused(with("evidence", json_pack("{s:{s:s}}", "caller-identity", "zq9", "x")),
		"evidence.caller-identity:");
	assert_refused(with("evidence", json_pack("{s:{s:s, s:s}}", "caller-identity", "authorization", "zq9",
						"x-amz-date", "x")),
		"x-amz-security-token:");
	/* a refusal behind evidence that was taken leaves none behind */
	{
		json_t *object = with("challenge", json_string("c"));

		json_object_set_new(object, "csr", json_string("zq9"));
		assert_refused(object, "csr:");
	}
}

static void body_refused(const char *text, size_t length)
{
	struct parsed p = parse_text(text, length);

	if (p.outcome != REFUSED || strncmp(p.reason.text, "body:", 5) != 0)
		fail_msg("%.*s: %s", (int)(length < 200 ? length : 200), text, p.reason.text);
	assert_string_equal(p.reason.code, REASON_MALFORMED);
	assert_null(p.evidence.challenge);
}

static void attack_36_no_json(void **state)
{
	static const char *const texts[] = { "", "{", "{}{}", "{\"csr\":1,\"csr\":2}", "\xff" };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct parsed p = parse_text(texts[i], strlen(texts[i]));

		assert_int_equal(p.outcome, REFUSED);
		assert_int_equal(strncmp(p.reason.text, "body:", 5), 0);
	}
}

/* In a body that is good but for this one piece of it, and alone. */
static void attack_36_texts_with_two_readings(void **state)
{
	static const char *const pieces[] = { "\"csr\":\"a\",\"csr\":\"b\"",
		"\"csr\":\"a\",\"\\u0063sr\":\"b\"", "\"csr\":\"\\u0000\"", "\"c\\u0000sr\":\"a\"",
		"\"csr\":\"\\ud800\"", "\"csr\":\"\\udc00\\ud800\"", "\"csr\":\"\xed\xa0\x80\"",
		"\"csr\":\"\xc0\xaf\"", "\"csr\":NaN", "\"csr\":-Infinity", "\"csr\":1e400", "\"csr\":01",
		"\"csr\":0x1", "\"csr\":'a'", "csr:\"a\"", "\"csr\":\"a\",", "\"csr\":\"a\"/**/",
		"\"csr\":\"a\nb\"", "\"csr\":\"\\x41\"", "\"csr\":tRue" };
	static const char *const wholes[] = { "\xef\xbb\xbf{}", "{}x", "{}{}", "{} {}", "{},", "[{}]", "null",
		"\"\"", "7", "\xff\xfe{\0}\0",
		"--b\r\nContent-Disposition: form-data; name=\"csr\"\r\n\r\na\r\n--b--\r\n", "\x1f\x8b\x08",
		"assertion=a&csr=b", "<a/>" };
	char text[200];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
		snprintf(text, sizeof(text), "{%s}", pieces[i]);
		body_refused(text, strlen(text));
	}
	for (i = 0; i < sizeof(wholes) / sizeof(wholes[0]); i++)
		body_refused(wholes[i], strlen(wholes[i]));
	body_refused("{}\0", 3);
	body_refused("{\0}", 3);
}

static void attack_36_brackets(void **state)
{
	enum { BRACKETS = REQUEST_BODY_MAX };
	char *text = malloc(BRACKETS);
	static const char starts[] = { '[', '{' };

	(void)state;
	assert_non_null(text);
	for (size_t i = 0; i < sizeof(starts); i++) {
		memset(text, starts[i], BRACKETS);
		body_refused(text, BRACKETS);
	}
	for (size_t i = 0; i + 5 <= BRACKETS; i += 5)
		memcpy(text + i, "{\"a\":", 5);
	body_refused(text, BRACKETS);
	free(text);
}

static void acknowledgements(void **state)
{
	static const struct {
		const char *text;
		enum outcome outcome;
	} cases[] = { { "{\"ack\":\"abc\"}", OK }, { "{\"ack\":\"\"}", OK },
		{ "{\"ack\":\"abcd\"}", REFUSED }, { "{\"ack\":7}", REFUSED }, { "{}", REFUSED },
		{ "[]", REFUSED }, { "{\"ack\":\"a\",\"b\":1}", REFUSED }, { "x", REFUSED } };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct reason reason;
		char ack[4] = "?";

		assert_int_equal(acknowledgement_parse((struct bytes){ (const unsigned char *)cases[i].text,
							       strlen(cases[i].text) },
					 ack, sizeof(ack), &reason),
			cases[i].outcome);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_evidence),
		cmocka_unit_test(with_evidence),
		cmocka_unit_test(mistakes),
		cmocka_unit_test(attack_36_no_json),
		cmocka_unit_test(attack_36_texts_with_two_readings),
		cmocka_unit_test(attack_36_brackets),
		cmocka_unit_test(acknowledgements),
	};

	return cmocka_run_group_tests(tests, csr_make, NULL);
}
