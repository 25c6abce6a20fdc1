/* The payload's JSON: strict parsers read from it exactly what was put in. */
#include "tests/unit/unit.h"
#include "vault/payload.h"
#include "verifier/encoding.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

struct text {
	char data[600 * 1024];
	size_t length;
	size_t pieces;
};
static struct text text;

static bool keep(void *context, struct bytes piece)
{
	(void)context;
	assert_true(text.length + piece.length < sizeof(text.data));
	memcpy(text.data + text.length, piece.data, piece.length);
	text.length += piece.length;
	text.pieces++;
	return true;
}

static bool refuse(void *context, struct bytes piece)
{
	(void)context;
	(void)piece;
	return false;
}

static const unsigned char hash[32] = { 0xab, 1, 2 };
static const struct payload_head head = { "01910000-0000-7000-8000-000000000000", "i-0123456789abcdef0",
	"abcdefghijklmnopqrstuvwxyz0123456789-_ABCDE", hash };

/* The payload of one secret, parsed. */
static json_t *payload_of(struct bytes value)
{
	struct payload *payload = payload_new(keep, NULL, &head);
	json_t *root;

	text = (struct text){ .length = 0 };
	assert_non_null(payload);
	payload_secret(payload, "hsm-partition-pin", "pin", 3, value);
	assert_true(payload_finish(payload));
	payload_free(payload);
	root = json_loadb(text.data, text.length, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
	assert_non_null(root);
	return root;
}

static const char *member(const json_t *object, const char *name)
{
	const char *string = json_string_value(json_object_get(object, name));

	assert_non_null(string);
	return string;
}

static void expect(struct bytes value, bool as_text)
{
	json_t *root = payload_of(value);
	json_t *secret = json_array_get(json_object_get(root, "secrets"), 0);
	json_t *got = json_object_get(secret, "value");
	unsigned char decoded[96 * 1024];
	size_t length = sizeof(decoded);

	assert_string_equal(member(secret, "encoding"), as_text ? "utf-8" : "base64");
	if (as_text) {
		assert_int_equal(json_string_length(got), value.length);
		assert_memory_equal(json_string_value(got), value.data, value.length);
	} else {
		assert_true(base64_decode(json_string_value(got), json_string_length(got), decoded, &length));
		assert_int_equal(length, value.length);
		assert_memory_equal(decoded, value.data, length);
	}
	json_decref(root);
}

static void expect_text(const char *value, bool as_text)
{
	expect((struct bytes){ (const unsigned char *)value, strlen(value) }, as_text);
}

static void members_are_those_of_the_contract(void **state)
{
	json_t *root = payload_of((struct bytes){ (const unsigned char *)"1234", 4 });
	json_t *secret = json_array_get(json_object_get(root, "secrets"), 0);

	(void)state;
	assert_int_equal(json_object_size(root), 5);
	assert_string_equal(member(root, "release_id"), head.release_id);
	assert_string_equal(member(root, "instance-id"), head.instance_id);
	assert_string_equal(member(root, "ack"), head.acknowledgement);
	assert_string_equal(member(root, "assertion_sha256"),
		"ab01020000000000000000000000000000000000000000000000000000000000");
	assert_int_equal(json_object_size(secret), 5);
	assert_string_equal(member(secret, "name"), "hsm-partition-pin");
	assert_string_equal(member(secret, "kind"), "pin");
	assert_int_equal(json_integer_value(json_object_get(secret, "version")), 3);
	json_decref(root);
}

static void texts_are_escaped(void **state)
{
	(void)state;
	expect_text("1234", true);
	expect_text("\"", true);
	expect_text("a\"b\\c/d\b\f\n\r\t", true);
	expect_text("\xc3\xa4\xe2\x82\xac\xf0\x9f\x94\x91\xe2\x80\xa8", true);
	expect_text("\xf4\x8f\xbf\xbf\xee\x80\x80\xed\x9f\xbf", true);
	expect_text("a few words and a bell \a, \x1b[0m, \x7f", true);
	expect_text("-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEI\n-----END EC PRIVATE KEY-----\n", true);
}

static void other_bytes_are_base64(void **state)
{
	static const char *const values[] = { "\xff", "\x80", "\xc3", "\xc0\x80", "\xc1\xbf", "\xe0\x80\x80",
		"\xe0\x9f\xbf", "\xed\xa0\x80", "\xed\xbf\xbf", "\xf0\x80\x80\x80", "\xf4\x90\x80\x80",
		"\xf5\x80\x80\x80", "\xe2\x82",
		"\xe2\x82"
		"a",
		"\xf0\x9f\x94", "ok\xfe", "\x01\x02\x03\x04" /* six times as long, escaped */ };

	(void)state;
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
		expect_text(values[i], false);
	expect((struct bytes){ (const unsigned char *)"a\0b", 3 }, false);
}

/* Around the size of a piece, and the largest. */
static void lengths_are_kept(void **state)
{
	static unsigned char value[64 * 1024];
	static const size_t lengths[] = { 1, 2, 3, 47, 48, 49, 3600, 3601, 3999, 4000, 4001, 8000,
		sizeof(value) };

	(void)state;
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		memset(value, 'x', sizeof(value));
		value[lengths[i] / 2] = '\n';
		expect((struct bytes){ value, lengths[i] }, true);
		value[lengths[i] - 1] = 0xff;
		expect((struct bytes){ value, lengths[i] }, false);
	}
	memset(value, '"', sizeof(value));
	expect((struct bytes){ value, sizeof(value) }, true);
	assert_true(text.length < 2 * sizeof(value) + 1024);
	memset(value, 1, sizeof(value));
	expect((struct bytes){ value, sizeof(value) }, false);
}

static void several_secrets_follow_in_order(void **state)
{
	struct payload *payload = payload_new(keep, NULL, &head);
	json_t *root, *secrets;

	(void)state;
	text = (struct text){ .length = 0 };
	payload_secret(payload, "a", "pin", 1, (struct bytes){ (const unsigned char *)"one", 3 });
	payload_secret(payload, "b", "opaque", 2, (struct bytes){ (const unsigned char *)"\xff", 1 });
	payload_secret(
		payload, "c", "certificate", 4294967295U, (struct bytes){ (const unsigned char *)"3", 1 });
	assert_true(payload_finish(payload));
	payload_free(payload);
	root = json_loadb(text.data, text.length, JSON_REJECT_DUPLICATES, NULL);
	secrets = json_object_get(root, "secrets");
	assert_int_equal(json_array_size(secrets), 3);
	assert_string_equal(member(json_array_get(secrets, 1), "name"), "b");
	assert_int_equal(
		json_integer_value(json_object_get(json_array_get(secrets, 2), "version")), 4294967295LL);
	json_decref(root);
}

static void a_failing_sink_fails_the_whole(void **state)
{
	struct payload *payload = payload_new(refuse, NULL, &head);

	(void)state;
	payload_secret(payload, "a", "pin", 1, (struct bytes){ (const unsigned char *)"one", 3 });
	assert_false(payload_finish(payload));
	payload_free(payload);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(members_are_those_of_the_contract),
		cmocka_unit_test(texts_are_escaped),
		cmocka_unit_test(other_bytes_are_base64),
		cmocka_unit_test(lengths_are_kept),
		cmocka_unit_test(several_secrets_follow_in_order),
		cmocka_unit_test(a_failing_sink_fails_the_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
