/* The assertion: one good one, and every single change of it refused by its own field's name. */
#include "tests/unit/unit.h"
#include "verifier/assertion.h"
#include "verifier/encoding.h"
#include "verifier/json.h"
#include "verifier/reasons.h"

#include <stdio.h>
#include <string.h>

static const char *const members[] = { "instance-id", "public-hostname", "local-hostname", "reservation-id",
	"instance-type", "role", "source-ip", "account-id", "region" };

static json_t *good(void)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "instance-id",
		"i-0123456789abcdef0", "public-hostname", "ec2-203-0-113-25.compute-1.amazonaws.com",
		"local-hostname", "ip-10-0-1-225.ec2.internal", "reservation-id", "r-0123456789abcdef0",
		"instance-type", "m5.large", "role", "web-tier", "source-ip", "10.0.1.225", "account-id",
		"123456789012", "region", "us-east-1");
}

static enum outcome parse(json_t *object, struct reason *reason)
{
	struct assertion assertion;
	enum outcome outcome = assertion_parse(object, &assertion, reason);

	json_decref(object);
	return outcome;
}

static void good_one(void **state)
{
	struct assertion assertion;
	struct reason reason;
	json_t *object = good();
	json_t *again;

	(void)state;
	assert_int_equal(assertion_parse(object, &assertion, &reason), OK);
	assert_string_equal(assertion.instance_id, "i-0123456789abcdef0");
	assert_string_equal(assertion.region, "us-east-1");
	again = assertion_json(&assertion);
	assert_true(json_equal(object, again));
	json_decref(object);
	json_decref(again);
}

static void each_missing_or_wrong_type(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
		struct reason reason;
		json_t *object = good();
		char name[64];

		snprintf(name, sizeof(name), "assertion.%s:", members[i]);
		json_object_del(object, members[i]);
		assert_int_equal(parse(object, &reason), REFUSED);
		assert_string_equal(reason.code, REASON_MALFORMED);
		assert_non_null(strstr(reason.text, name));
		object = good();
		json_object_set_new(object, members[i], json_integer(7));
		assert_int_equal(parse(object, &reason), REFUSED);
		assert_non_null(strstr(reason.text, name));
	}
}

/* ATTACKS 28: other spellings of the same thing; and the refusal never repeats the input */
static void attack_28_each_wrong_spelling(void **state)
{
	static const struct {
		const char *member, *value;
	} bad[] = {
		{ "instance-id", "I-0123456789abcdef0" },
		{ "instance-id", "i-0123456789ABCDEF0" },
		{ "instance-id", " i-0123456789abcdef0" },
		{ "instance-id", "i-0123456789abcdef0 " },
		{ "instance-id", "i-0123456789abcdef" },
		{ "instance-id", "i-0123456789abcdef01" },
		{ "instance-id", "i-012345678" },
		{ "instance-id", "i-0123456789abcdef%00" },
		{ "instance-id", "i-\xef\xbc\x90"
				 "123456789abcdef0" },
		{ "instance-id", "i-*" },
		{ "instance-id", "" },
		{ "reservation-id", "i-0123456789abcdef0" },
		{ "reservation-id", "r-" },
		{ "public-hostname", "EC2-203-0-113-25.compute-1.amazonaws.com" },
		{ "public-hostname", "a..b" },
		{ "public-hostname", "a.b." },
		{ "public-hostname", "-a.b" },
		{ "public-hostname", "a-.b" },
		{ "public-hostname", "a_b" },
		{ "local-hostname", "" },
		{ "local-hostname", "a b" },
		{ "local-hostname", "a\nb" },
		{ "instance-type", "m5large" },
		{ "instance-type", "m5." },
		{ "instance-type", "M5.large" },
		{ "role", "" },
		{ "role", "a/web-tier" },
		{ "role", "web tier" },
		{ "role", "web*" },
		{ "source-ip", "010.0.1.225" },
		{ "source-ip", "10.0.1.225:80" },
		{ "source-ip", "::1" },
		{ "account-id", "12345678901" },
		{ "account-id", "1234567890123" },
		{ "account-id", "12345678901a" },
		{ "region", "us-east-1?" },
		{ "region", "US-EAST-1" },
		{ "region", "us-east" },
		{ "region", "1" },
		{ "region", "us-east-1.evil" },
		{ "region", "us--east-1" },
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct reason reason;
		json_t *object = good();

		json_object_set_new(object, bad[i].member, json_string(bad[i].value));
		assert_int_equal(parse(object, &reason), REFUSED);
		assert_non_null(strstr(reason.text, bad[i].member));
		if (strlen(bad[i].value) > 8)
			assert_null(strstr(reason.text, bad[i].value));
	}
}

static void lengths(void **state)
{
	char name[300];
	struct reason reason;
	json_t *object = good();

	(void)state;
	memset(name, 'a', sizeof(name));
	name[64] = '\0';
	json_object_set_new(object, "role", json_string(name));
	assert_int_equal(parse(object, &reason), OK);
	name[64] = 'a';
	name[65] = '\0';
	object = good();
	json_object_set_new(object, "role", json_string(name));
	assert_int_equal(parse(object, &reason), REFUSED);
	name[65] = 'a';
	name[299] = '\0';
	object = good();
	json_object_set_new(object, "local-hostname", json_string(name));
	assert_int_equal(parse(object, &reason), REFUSED);
}

static void strangers(void **state)
{
	struct reason reason;
	json_t *object = good();

	(void)state;
	json_object_set_new(object, "admin", json_true());
	assert_int_equal(parse(object, &reason), REFUSED);
	assert_null(strstr(reason.text, "admin"));
	assert_int_equal(parse(json_array(), &reason), REFUSED);
	assert_int_equal(assertion_parse(NULL, &(struct assertion){ 0 }, &reason), REFUSED);
}

static void assert_hash(const unsigned char hash[32], const char *expected)
{
	char text[HEX_SIZE(32)];

	hex_encode((struct bytes){ hash, 32 }, text);
	assert_string_equal(text, expected);
}

/* The framing of DESIGN.md section 4; the expected hashes come from Python: hashlib over
 * b"".join(struct.pack(">I", len(v)) + v for v in values) */
/* The last character of each field to the front of its neighbour: the text in a row stays the same. */
static void attack_29_every_boundary(void **state)
{
	static const size_t fields[] = { offsetof(struct assertion, instance_id),
		offsetof(struct assertion, public_hostname), offsetof(struct assertion, local_hostname),
		offsetof(struct assertion, reservation_id), offsetof(struct assertion, instance_type),
		offsetof(struct assertion, role), offsetof(struct assertion, source_ip),
		offsetof(struct assertion, account_id), offsetof(struct assertion, region) };
	enum { N = sizeof(fields) / sizeof(fields[0]) };
	unsigned char first[32], moved[N][32];
	struct assertion a, b;
	int i, j;

	(void)state;
	memset(&a, 0, sizeof(a));
	for (i = 0; i < N; i++)
		strcpy((char *)&a + fields[i], "abc"); /* fits each */
	assert_true(assertion_sha256(&a, first));
	for (i = 0; i + 1 < N; i++) {
		b = a;
		strcpy((char *)&b + fields[i], "ab");
		strcpy((char *)&b + fields[i + 1], "cabc");
		assert_true(assertion_sha256(&b, moved[i]));
		assert_memory_not_equal(first, moved[i], 32);
		for (j = 0; j < i; j++)
			assert_memory_not_equal(moved[i], moved[j], 32);
	}
	print_message("# came: %d x another hash\n", i);
}

static void attack_29_hash_framing(void **state)
{
	struct assertion a, b;
	unsigned char first[32], second[32];
	struct reason reason;
	json_t *object = good();

	(void)state;
	assert_int_equal(assertion_parse(object, &a, &reason), OK);
	json_decref(object);
	assert_true(assertion_sha256(&a, first));
	assert_hash(first, "73de86bf2b2a45c208c5f62b2f90ed93b8854150ecbbe12e8fe17036f930045a");
	/* a character moved across a boundary */
	b = a;
	strcpy(b.local_hostname, "ip-10-0-1-225.ec2.interna");
	strcpy(b.reservation_id, "lr-0123456789abcdef");
	assert_true(assertion_sha256(&b, second));
	assert_memory_not_equal(first, second, 32);
	assert_true(one_time_hash("123456789012", "us-east-1", "i-0123456789abcdef0", first));
	assert_hash(first, "2b47cc97a68a271e6b9c4e2315b289d2b06e94b9364ce65321be5d5a93bccb62");
	assert_true(one_time_hash("123456789012u", "s-east-1", "i-0123456789abcdef0", second));
	assert_memory_not_equal(first, second, 32);
}

/* Strict JSON as the server reads it (ATTACKS 36). */
static void strict_json(void **state)
{
	static const char *const bad[] = { "{\"a\":1,\"a\":2}", "{\"a\":1,\"\\u0061\":2}", "{} {}", "{}x", "",
		"{", "\"\\u0000\"", "\"\\ud800\"", "\xef\xbb\xbf{}", "NaN", "{\"a\":1e400}", "['a']",
		"{\"a\":01}", "\"\xff\"" };
	static char brackets[200000];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_null(json_strict((struct bytes){ (const unsigned char *)bad[i], strlen(bad[i]) }, NULL,
			NULL, NULL, 0));
	memset(brackets, '[', sizeof(brackets) - 1);
	assert_null(json_strict((struct bytes){ (const unsigned char *)brackets, sizeof(brackets) - 1 }, NULL,
		NULL, NULL, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_one),
		cmocka_unit_test(each_missing_or_wrong_type),
		cmocka_unit_test(attack_28_each_wrong_spelling),
		cmocka_unit_test(lengths),
		cmocka_unit_test(strangers),
		cmocka_unit_test(attack_29_every_boundary),
		cmocka_unit_test(attack_29_hash_framing),
		cmocka_unit_test(strict_json),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
