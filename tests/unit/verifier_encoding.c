/* Encodings: every value has one spelling, and only that one is taken. */
#include "tests/unit/unit.h"
#include "verifier/encoding.h"

#include <limits.h>
#include <string.h>

static struct bytes text_bytes(const char *text)
{
	return (struct bytes){ (const unsigned char *)text, strlen(text) };
}

static void base64_vectors(void **state)
{
	/* RFC 4648, section 10 */
	static const char *const pairs[][2] = { { "", "" }, { "f", "Zg==" }, { "fo", "Zm8=" },
		{ "foo", "Zm9v" }, { "foob", "Zm9vYg==" }, { "fooba", "Zm9vYmE=" },
		{ "foobar", "Zm9vYmFy" } };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		char text[16];
		unsigned char data[16];
		size_t length = sizeof(data);

		base64_encode(text_bytes(pairs[i][0]), text);
		assert_string_equal(text, pairs[i][1]);
		assert_true(base64_decode(text, strlen(text), data, &length));
		assert_int_equal(length, strlen(pairs[i][0]));
		assert_memory_equal(data, pairs[i][0], length);
	}
}

static void base64_refusals(void **state)
{
	static const char *const bad[] = { "Z", "Zg", "Zg=", "Zg===", "Zh==", "Zm9=", "Zm 8=", "Zm8=\n",
		"Zm8-", "====", "Zg==Zg==", "=Zg=" };
	unsigned char data[16];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		size_t length = sizeof(data);

		assert_false(base64_decode(bad[i], strlen(bad[i]), data, &length));
	}
}

static void base64_bounds(void **state)
{
	unsigned char data[3];
	size_t length = 2;

	(void)state;
	assert_false(base64_decode("Zm9v", 4, data, &length));
	length = 3;
	assert_true(base64_decode("Zm9v", 4, data, &length));
}

static void base64url_round_trip(void **state)
{
	unsigned char data[64], back[64];
	char text[BASE64_SIZE(64)];
	size_t n;

	(void)state;
	for (n = 0; n < sizeof(data); n++) {
		size_t length = sizeof(back);

		data[n] = (unsigned char)(n * 37 + 251);
		base64url_encode((struct bytes){ data, n }, text);
		assert_null(strpbrk(text, "+/="));
		assert_true(base64url_decode(text, strlen(text), back, &length));
		assert_int_equal(length, n);
		assert_memory_equal(back, data, n);
	}
}

static void hexadecimal(void **state)
{
	unsigned char data[3];
	char text[7];

	(void)state;
	hex_encode((struct bytes){ (const unsigned char *)"\x00\xab\xff", 3 }, text);
	assert_string_equal(text, "00abff");
	assert_true(hex_decode("00abff", data, 3));
	assert_false(hex_decode("00ABFF", data, 3));
	assert_false(hex_decode("00abf", data, 3));
	assert_false(hex_decode("00abff0", data, 3));
	assert_false(hex_decode("00abfg", data, 3));
}

static void timestamps(void **state)
{
	static const struct {
		const char *text;
		long long microseconds;
	} good[] = { { "1970-01-01T00:00:00Z", 0 }, { "2026-01-02T03:04:05.678901Z", 1767323045678901 },
		{ "2024-02-29T23:59:59.5Z", 1709251199500000 },
		{ "2013-03-12T01:55:59.000Z", 1363053359000000 },
		{ "2026-01-02T03:04:05.123456789Z", 1767323045123456 } };
	static const char *const bad[] = { "", "2026-01-02", "2026-01-02T03:04:05",
		"2026-01-02T03:04:05+00:00", "2026-01-02t03:04:05z", " 2026-01-02T03:04:05Z",
		"2026-01-02T03:04:05Z ", "2026-02-29T00:00:00Z", "2026-13-01T00:00:00Z",
		"2026-01-32T00:00:00Z", "2026-01-02T24:00:00Z", "2026-01-02T03:04:60Z",
		"2026-01-02T03:04:05.Z", "2026-01-02T03:04:05.1234567890Z", "26-01-02T03:04:05Z",
		"1969-12-31T23:59:59Z", "2026-1-2T3:4:5Z" };
	long long microseconds;
	char text[TIMESTAMP_SIZE];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_true(timestamp_decode(good[i].text, &microseconds));
		assert_int_equal(microseconds, good[i].microseconds);
	}
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(timestamp_decode(bad[i], &microseconds));
	timestamp_encode(1767323045678901, text);
	assert_string_equal(text, "2026-01-02T03:04:05.678901Z");
	timestamp_encode(253402300799999999, text);
	assert_string_equal(text, "9999-12-31T23:59:59.999999Z");
	timestamp_encode(253402300800000000, text);
	assert_string_equal(text, "9999-12-31T23:59:59.999999Z");
	timestamp_encode(LLONG_MAX, text);
	assert_string_equal(text, "9999-12-31T23:59:59.999999Z");
	timestamp_encode(-1, text);
	assert_string_equal(text, "1970-01-01T00:00:00.000000Z");
	timestamp_encode(LLONG_MIN, text);
	assert_string_equal(text, "1970-01-01T00:00:00.000000Z");
}

static void durations(void **state)
{
	static const char *const bad[] = { "", "10", "m", "-1s", "+1s", "1.5s", "1 s", "1S", "1w", "367d",
		"99999999999999999999s", "1s " };
	long long ms;
	size_t i;

	(void)state;
	assert_true(duration_decode("500ms", &ms) && ms == 500);
	assert_true(duration_decode("90s", &ms) && ms == 90000);
	assert_true(duration_decode("10m", &ms) && ms == 600000);
	assert_true(duration_decode("2h", &ms) && ms == 7200000);
	assert_true(duration_decode("366d", &ms) && ms == 366LL * 86400000);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(duration_decode(bad[i], &ms));
}

/* ATTACKS 15: spellings of an address */
static void addresses(void **state)
{
	static const char *const bad[] = { "", "a", "10.0.0.1:80", "::ffff:10.0.0.1", "010.0.0.1",
		"0xa000001", "10.0.1", "10.0.0.256", " 10.0.0.1", "10.0.0.1 ", "10.0.0.01", "167772161" };
	struct in_addr address;
	size_t i;

	(void)state;
	assert_true(address_decode("10.0.0.1", &address));
	assert_int_equal(ntohl(address.s_addr), 0x0a000001);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(address_decode(bad[i], &address));
}

static void utf8_cuts(void **state)
{
	static const struct {
		const char *cut, *kept;
	} cases[] = { { "abc", "abc" }, { "a\xc3\xa9", "a\xc3\xa9" }, { "a\xc3", "a" }, { "a\xe2\x82", "a" },
		{ "a\xe2", "a" }, { "\xf0\x9f\x98", "" }, { "\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80" },
		{ "", "" } };
	char text[16];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		strcpy(text, cases[i].cut);
		utf8_trim(text);
		assert_string_equal(text, cases[i].kept);
	}
}

static void uuids(void **state)
{
	/* the time of RFC 9562's example, appendix A.6 */
	static const unsigned char random[10] = { 0x0c, 0xc3, 0x18, 0xc4, 0xdc, 0x0c, 0x0c, 0x07, 0x39,
		0x8f };
	char text[UUID_SIZE];

	(void)state;
	uuid7_encode(0x017F22E279B0, random, text);
	assert_string_equal(text, "017f22e2-79b0-7cc3-98c4-dc0c0c07398f");
	assert_true(uuid_valid(text));
	assert_false(uuid_valid("017F22E2-79b0-7cc3-98c4-dc0c0c07398f"));
	assert_false(uuid_valid("017f22e2-79b0-7cc3-98c4-dc0c0c07398"));
	assert_false(uuid_valid("017f22e2-79b0-7cc3-98c4-dc0c0c07398ff"));
	assert_false(uuid_valid("017f22e2x79b0-7cc3-98c4-dc0c0c07398f"));
	assert_false(uuid_valid(""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(base64_vectors),
		cmocka_unit_test(base64_refusals),
		cmocka_unit_test(base64_bounds),
		cmocka_unit_test(base64url_round_trip),
		cmocka_unit_test(hexadecimal),
		cmocka_unit_test(timestamps),
		cmocka_unit_test(durations),
		cmocka_unit_test(addresses),
		cmocka_unit_test(utf8_cuts),
		cmocka_unit_test(uuids),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
