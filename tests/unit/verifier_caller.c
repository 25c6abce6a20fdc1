/* The caller's proof, offline: one spelling passes, and each other is refused for its own reason (ATTACKS 1,
 * 2, 4, 8, 28). */
#include "tests/unit/unit.h"
#include "verifier/caller.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BEFORE_ID "AWS4-HMAC-SHA256 Credential="
#define ID "ASIAIOSFODNN7EXAMPLE"
#define SCOPE "/20260102/us-east-1/sts/aws4_request"
#define HEADERS ", SignedHeaders=host;x-amz-date;x-amz-security-token;x-vouchsafe-binding"
#define HEX16 "0123456789abcdef"
#define SIGNATURE ", Signature=" HEX16 HEX16 HEX16 HEX16
#define GOOD BEFORE_ID ID SCOPE HEADERS SIGNATURE
#define DATE "20260102T030405Z"
#define TOKEN "IQoJb3JpZ2luX2VjEAoaCXVzLWVhc3QtMSJ+/w=="

enum { NOW = 1767323045 }; /* 2026-01-02T03:04:05Z */

static enum outcome parse(const char *authorization, const char *date, const char *token,
	struct caller_proof *proof, struct reason *reason)
{
	memset(reason, 0, sizeof(*reason));
	return caller_proof_parse(authorization, date, token, "us-east-1", NOW, proof, reason);
}

static void refused_as(const char *authorization, const char *date, const char *token, const char *why)
{
	struct caller_proof proof = { "", "", "", "binding" };
	struct reason reason;

	if (parse(authorization, date, token, &proof, &reason) != REFUSED)
		fail_msg("%s | %s | %s: not refused", authorization, date, token);
	assert_string_equal(reason.code, REASON_CALLER);
	if (!strstr(reason.text, why))
		fail_msg("%s: %s, not %s", authorization, reason.text, why);
	/* nothing came through */
	assert_string_equal(proof.authorization, "");
	assert_string_equal(proof.amz_date, "");
	assert_string_equal(proof.security_token, "");
}

static void authorization_refused(const char *authorization, const char *why)
{
	refused_as(authorization, DATE, TOKEN, why);
}

static void good_one(void **state)
{
	struct caller_proof proof = { "", "", "", "binding" };
	struct reason reason;

	(void)state;
	assert_int_equal(parse(GOOD, DATE, TOKEN, &proof, &reason), OK);
	assert_string_equal(proof.authorization, GOOD);
	assert_string_equal(proof.amz_date, DATE);
	assert_string_equal(proof.security_token, TOKEN);
	assert_string_equal(proof.binding, "binding"); /* is ours to compose */
}

static void binding(void **state)
{
	struct recipient recipient = { .spki_length = 0 };
	char challenge[CHALLENGE_SIZE], text[BINDING_SIZE];

	(void)state;
	memset(challenge, 'c', sizeof(challenge) - 1);
	challenge[sizeof(challenge) - 1] = '\0';
	for (unsigned i = 0; i < sizeof(recipient.sha256); i++)
		recipient.sha256[i] = (unsigned char)(248 + i);
	caller_binding(challenge, &recipient, text);
	assert_int_equal(strlen(text), BINDING_SIZE - 1);
	assert_memory_equal(text, challenge, CHALLENGE_SIZE - 1);
	/* base64.urlsafe_b64encode(bytes((248 + i) % 256 for i in range(32))) */
	assert_string_equal(text + CHALLENGE_SIZE - 1, ".-Pn6-_z9_v8AAQIDBAUGBwgJCgsMDQ4PEBESExQVFhc");
}

/* 1: another request than ours, in any part of what is signed. */
static void attack_1_another_request(void **state)
{
	(void)state;
	authorization_refused("", "must begin with");
	authorization_refused(" " GOOD, "must begin with");
	authorization_refused("AWS4-HMAC-SHA512 Credential=" ID SCOPE HEADERS SIGNATURE, "must begin with");
	authorization_refused("AWS4-ECDSA-P256-SHA256 Credential=" ID SCOPE HEADERS SIGNATURE, "must begin");
	authorization_refused("aws4-hmac-sha256 Credential=" ID SCOPE HEADERS SIGNATURE, "must begin with");
	authorization_refused("AWS4-HMAC-SHA256  Credential=" ID SCOPE HEADERS SIGNATURE, "must begin with");
	authorization_refused("AWS4-HMAC-SHA256 credential=" ID SCOPE HEADERS SIGNATURE, "must begin with");
	authorization_refused("AWS4-HMAC-SHA256 SignedHeaders=host, Credential=" ID SCOPE, "must begin with");
	/* another service's request would be another action */
	authorization_refused(BEFORE_ID ID "/20260102/us-east-1/iam/aws4_request" HEADERS SIGNATURE, "scope");
	authorization_refused(BEFORE_ID ID "/20260102/us-east-1/STS/aws4_request" HEADERS SIGNATURE, "scope");
	authorization_refused(BEFORE_ID ID "/20260102/us-east-1/sts/aws5_request" HEADERS SIGNATURE, "scope");
	authorization_refused(
		BEFORE_ID ID "/20260102/us-east-1/sts/aws4_request/" HEADERS SIGNATURE, "SignedHeaders");
	authorization_refused(BEFORE_ID ID "/20260103/us-east-1/sts/aws4_request" HEADERS SIGNATURE, "scope");
	authorization_refused(BEFORE_ID ID "/2026012/us-east-1/sts/aws4_request" HEADERS SIGNATURE, "scope");
	authorization_refused(BEFORE_ID ID "//us-east-1/sts/aws4_request" HEADERS SIGNATURE, "scope");
}

/* 1, 4: the binding must be under the signature, and nothing else beside. */
static void attack_4_signed_headers(void **state)
{
	static const char *const lists[] = {
		"host;x-amz-date;x-amz-security-token",
		"host;x-amz-date;x-vouchsafe-binding",
		"host;x-vouchsafe-binding;x-amz-date;x-amz-security-token",
		"host;x-amz-date;x-amz-security-token;x-vouchsafe-binding;",
		"host;x-amz-date;x-amz-security-token;x-vouchsafe-binding;x-vouchsafe-binding",
		"host;x-amz-date;x-amz-security-token;x-vouchsafe-bindings",
		"host;x-amz-date;x-amz-security-token;X-Vouchsafe-Binding",
		"host;host;x-amz-date;x-amz-security-token;x-vouchsafe-binding",
		"accept;host;x-amz-date;x-amz-security-token;x-vouchsafe-binding",
		"content-type;host;x-amz-date;x-amz-security-token;x-vouchsafe-binding",
		"host;x-amz-date;x-amz-security-token;x-other-binding",
		"",
	};
	char text[1024];

	(void)state;
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		snprintf(text, sizeof(text), BEFORE_ID ID SCOPE ", SignedHeaders=%s" SIGNATURE, lists[i]);
		authorization_refused(text, "SignedHeaders");
	}
	authorization_refused(BEFORE_ID ID SCOPE SIGNATURE, "SignedHeaders");
	authorization_refused(BEFORE_ID ID SCOPE HEADERS HEADERS SIGNATURE, "SignedHeaders");
	authorization_refused(BEFORE_ID ID SCOPE "," HEADERS SIGNATURE, "SignedHeaders");
}

/* 2: a host or region of the caller's. */
static void attack_2_region(void **state)
{
	static const char *const regions[] = { "attacker.example?", "us-east-1.attacker.example", "x#",
		"u@host", "us-east-1%2f", "US-EAST-1",
		"us\xe2\x80\x90"
		"east-1",
		"us-east-1 ", " us-east-1", "us-east-11", "us-west-2", "us-east-1/..", "", "*", "aws-global",
		"us-east-1\n" };
	char text[1024];
	char *huge = malloc(65537);

	(void)state;
	assert_non_null(huge);
	for (size_t i = 0; i < sizeof(regions) / sizeof(regions[0]); i++) {
		snprintf(text, sizeof(text), BEFORE_ID ID "/20260102/%s/sts/aws4_request" HEADERS SIGNATURE,
			regions[i]);
		authorization_refused(text, "scope");
	}
	memset(huge, 'A', 65536);
	huge[65536] = '\0';
	authorization_refused(huge, "must begin with");
	memcpy(huge, BEFORE_ID "ASIA", strlen(BEFORE_ID "ASIA"));
	authorization_refused(huge, "access key id");
	memcpy(huge, BEFORE_ID ID "/20260102/us-east-1", strlen(BEFORE_ID ID "/20260102/us-east-1"));
	authorization_refused(huge, "scope");
	refused_as(GOOD, DATE, huge + 100, "x-amz-security-token");
	free(huge);
}

/* Only role credentials are temporary. */
static void key_ids(void **state)
{
	static const char *const ids[] = { "AKIAIOSFODNN7EXAMPLE", "AROAIOSFODNN7EXAMPLE",
		"asiaiosfodnn7example", "ASIAiosfodnn7example", "ASIA", "ASIA56789012345", "",
		"ASIAIOSFODNN7EXAMPL\xc3\x89", "ASIAIOSFODNN7 EXAMPLE", "ASIAIOSFODNN7%2FEXAMPLE",
		"ASIAIOSFODNN7EXAMPLE\r\nHost: x", " ASIAIOSFODNN7EXAMPLE", "XASIAIOSFODNN7EXAMPLE" };
	struct caller_proof proof;
	struct reason reason;
	char text[1024], id[140];

	(void)state;
	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		snprintf(text, sizeof(text), BEFORE_ID "%s" SCOPE HEADERS SIGNATURE, ids[i]);
		if (strstr(ids[i], "ASIAIOSFODNN7") == ids[i])
			authorization_refused(text, "");
		else
			authorization_refused(text, "access key id");
	}
	for (int length = 14; length <= 130; length++) {
		snprintf(id, sizeof(id), "ASIA%0*d", length - 4, 7);
		snprintf(text, sizeof(text), BEFORE_ID "%s" SCOPE HEADERS SIGNATURE, id);
		if (length >= 16 && length <= 128)
			assert_int_equal(parse(text, DATE, TOKEN, &proof, &reason), OK);
		else
			authorization_refused(text, "access key id");
	}
}

static void signatures(void **state)
{
	(void)state;
	authorization_refused(BEFORE_ID ID SCOPE HEADERS, "SignedHeaders");
	authorization_refused(BEFORE_ID ID SCOPE HEADERS ", Signature=", "signature");
	authorization_refused(BEFORE_ID ID SCOPE HEADERS ", Signature=" HEX16 HEX16 HEX16, "signature");
	authorization_refused(GOOD "0", "signature");
	authorization_refused(GOOD "\r\nX-Evil: 1", "signature");
	authorization_refused(GOOD "\n", "signature");
	authorization_refused(GOOD " ", "signature");
	authorization_refused(GOOD SIGNATURE, "signature");
	authorization_refused(GOOD ", Foo=bar", "signature");
	authorization_refused(
		BEFORE_ID ID SCOPE HEADERS ", Signature=0123456789ABCDEF" HEX16 HEX16 HEX16, "signature");
	authorization_refused(
		BEFORE_ID ID SCOPE HEADERS ", Signature=0123456789abcdeg" HEX16 HEX16 HEX16, "signature");
}

/* Every byte, changed to every other: refused, unless it is one of the key id's or the signature's own. */
static void every_change(void **state)
{
	size_t id = strlen(BEFORE_ID "ASIA"), id_end = strlen(BEFORE_ID ID);
	size_t signature = strlen(GOOD) - 64;
	struct caller_proof proof;
	struct reason reason;
	char text[] = GOOD;

	(void)state;
	for (size_t i = 0; i < strlen(GOOD); i++) {
		for (int c = 0; c < 256; c++) {
			bool upper = (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
			bool hex = (c >= 'a' && c <= 'f') || (c >= '0' && c <= '9');
			bool good = (char)c == GOOD[i] || (i >= id && i < id_end && upper) ||
				    (i >= signature && hex);

			text[i] = (char)c;
			assert_int_equal(parse(text, DATE, TOKEN, &proof, &reason), good ? OK : REFUSED);
		}
		text[i] = GOOD[i];
	}
}

static void dates(void **state)
{
	static const char *const bad[] = { "", "20260102", "2026-01-02T03:04:05Z", "20260102T030405",
		"20260102T030405z", "20260102t030405Z", "20260102T030405+", "20260102T030405ZZ",
		"20260102T030405Z\n", " 20260102T030405Z", "20260102 030405Z", "20260102T0304 5Z",
		"20260132T030405Z", "20260229T030405Z", "20260102T240000Z", "20260102T030460Z",
		"2026010aT030405Z", "20260102T03040.Z", "+0260102T030405Z", "19690102T030405Z",
		"00000102T030405Z", "99991332T030405Z", "Fri, 02 Jan 2026" };

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		refused_as(GOOD, bad[i], TOKEN, "x-amz-date: must be a time");
	/* good ones, but too far away, or not of the scope's day */
	refused_as(GOOD, "20260102T031906Z", TOKEN, "15 minutes");
	refused_as(GOOD, "20260102T024904Z", TOKEN, "15 minutes");
	refused_as(GOOD, "99991231T235959Z", TOKEN, "15 minutes");
	refused_as(GOOD, "19700101T000000Z", TOKEN, "15 minutes");
}

static void date_edges(void **state)
{
	struct caller_proof proof;
	struct reason reason;

	(void)state;
	assert_int_equal(parse(GOOD, "20260102T031905Z", TOKEN, &proof, &reason), OK);
	assert_int_equal(parse(GOOD, "20260102T024905Z", TOKEN, &proof, &reason), OK);
	/* over midnight: the day is that of the date, not of the clock */
	assert_int_equal(caller_proof_parse(BEFORE_ID ID SCOPE HEADERS SIGNATURE, "20260102T235959Z", TOKEN,
				 "us-east-1", 1767398400, &proof, &reason),
		OK);
	assert_int_equal(caller_proof_parse(BEFORE_ID ID SCOPE HEADERS SIGNATURE, "20260103T000001Z", TOKEN,
				 "us-east-1", 1767398400, &proof, &reason),
		REFUSED);
	assert_non_null(strstr(reason.text, "scope"));
}

static void tokens(void **state)
{
	static const char *const bad[] = { "", " ", "a b", "a\r\nX-Evil: 1", "a\n", "\ta", "a-b", "a_b",
		"a%2B", "a\x7f", "\xc3\xa9", "a,b", "a;b" };
	struct caller_proof proof;
	struct reason reason;
	char *token = calloc(1, SECURITY_TOKEN_MAX + 2);

	(void)state;
	assert_non_null(token);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		refused_as(GOOD, DATE, bad[i], "x-amz-security-token");
	memset(token, 'A', SECURITY_TOKEN_MAX);
	assert_int_equal(parse(GOOD, DATE, token, &proof, &reason), OK);
	assert_string_equal(proof.security_token, token);
	token[SECURITY_TOKEN_MAX] = 'A';
	refused_as(GOOD, DATE, token, "x-amz-security-token");
	assert_int_equal(parse(GOOD, DATE, "=", &proof, &reason), OK);
	free(token);
}

/* A reason stands in the trail: none of the values may. */
static void nothing_repeated(void **state)
{
	struct caller_proof proof;
	struct reason reason;

	(void)state;
	assert_int_equal(parse(BEFORE_ID "canary", DATE, TOKEN, &proof, &reason), REFUSED);
	assert_null(strstr(reason.text, "canary"));
	assert_int_equal(parse(GOOD, "canary", TOKEN, &proof, &reason), REFUSED);
	assert_null(strstr(reason.text, "canary"));
	assert_int_equal(parse(GOOD, DATE, "canary!", &proof, &reason), REFUSED);
	assert_null(strstr(reason.text, "canary"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_one),
		cmocka_unit_test(binding),
		cmocka_unit_test(attack_1_another_request),
		cmocka_unit_test(attack_4_signed_headers),
		cmocka_unit_test(attack_2_region),
		cmocka_unit_test(key_ids),
		cmocka_unit_test(signatures),
		cmocka_unit_test(every_change),
		cmocka_unit_test(dates),
		cmocka_unit_test(date_edges),
		cmocka_unit_test(tokens),
		cmocka_unit_test(nothing_repeated),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
