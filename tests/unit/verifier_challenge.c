/* Challenges: what this key has made is good for two minutes, and nothing else ever is (ATTACKS 4, 44). */
#include "tests/unit/unit.h"
#include "verifier/challenge.h"
#include "verifier/encoding.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <string.h>

enum { MADE = 1767323045, BYTES = 55, SIGNED = 25 };

static unsigned char key[CHALLENGE_KEY_SIZE], random_bytes[CHALLENGE_RANDOM];

static int set_up(void **state)
{
	(void)state;
	for (unsigned i = 0; i < sizeof(key); i++)
		key[i] = (unsigned char)i;
	for (unsigned i = 0; i < sizeof(random_bytes); i++)
		random_bytes[i] = (unsigned char)(100 + i);
	return 0;
}

static void refused_as(const char *text, time_t now, const char *why)
{
	struct reason reason = { "", "" };

	assert_int_equal(challenge_verify(key, now, text, &reason), REFUSED);
	assert_string_equal(reason.code, REASON_CHALLENGE);
	if (!strstr(reason.text, why))
		fail_msg("%s: %s, not %s", text, reason.text, why);
}

static void made(char text[CHALLENGE_SIZE])
{
	assert_true(challenge_make(key, MADE, random_bytes, text));
	assert_int_equal(strlen(text), CHALLENGE_SIZE - 1);
}

/* By another implementation, once:
 *   k = bytes(range(32)); b = b"\1" + struct.pack(">q", 1767323045) + bytes(range(100, 116))
 *   base64.urlsafe_b64encode(b + hmac.new(k, b, hashlib.sha256).digest()[:30]).rstrip(b"=") */
static void vector(void **state)
{
	char text[CHALLENGE_SIZE];

	(void)state;
	made(text);
	assert_string_equal(
		text, "AQAAAABpVzWlZGVmZ2hpamtsbW5vcHFyc8VmlaZONZEznjbmDNG-Q0zJATspJ_BTfeW3KPtlAw");
}

static void attack_4_33_lifetime(void **state)
{
	static const int good[] = { -CHALLENGE_AHEAD, -1, 0, 1, CHALLENGE_SECONDS - 1 };
	char text[CHALLENGE_SIZE];
	struct reason reason;

	(void)state;
	made(text);
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_int_equal(challenge_verify(key, MADE + good[i], text, &reason), OK);
	refused_as(text, MADE + CHALLENGE_SECONDS, "is over");
	refused_as(text, MADE + 3600, "is over"); /* our clock an hour forward */
	refused_as(text, MADE + 86400, "is over");
	refused_as(text, MADE - CHALLENGE_AHEAD - 1, "a time to come");
	refused_as(text, MADE - 3600, "a time to come"); /* and back */
	refused_as(text, 0, "a time to come");
}

/* Many nodes make them at once: the random bytes tell them apart. */
static void random_tells_apart(void **state)
{
	char text[CHALLENGE_SIZE], other[CHALLENGE_SIZE];
	struct reason reason;

	(void)state;
	made(text);
	random_bytes[15] ^= 1;
	made(other);
	assert_string_not_equal(text, other);
	assert_int_equal(challenge_verify(key, MADE, text, &reason), OK);
	assert_int_equal(challenge_verify(key, MADE, other, &reason), OK);
}

/* Another node's key, another server's. */
static void attack_4_other_key(void **state)
{
	char text[CHALLENGE_SIZE];

	(void)state;
	made(text);
	for (unsigned i = 0; i < sizeof(key); i++) {
		key[i] ^= 0x80;
		refused_as(text, MADE, "none of ours");
		key[i] ^= 0x80;
	}
}

/* One bit of its 440 is another, or one character is: refused. */
static void attack_4_every_change(void **state)
{
	char text[CHALLENGE_SIZE], changed[CHALLENGE_SIZE];
	unsigned char bytes[BYTES];
	size_t length = sizeof(bytes);

	(void)state;
	made(text);
	assert_true(base64url_decode(text, strlen(text), bytes, &length));
	assert_int_equal(length, BYTES);
	for (unsigned bit = 0; bit < BYTES * 8; bit++) {
		bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
		base64url_encode((struct bytes){ bytes, BYTES }, changed);
		refused_as(changed, MADE, bit < 8 ? "not of its form" : "none of ours");
		bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
	}
	for (unsigned i = 0; i < CHALLENGE_SIZE - 1; i++) {
		for (int c = 1; c < 256; c++) {
			strcpy(changed, text);
			changed[i] = (char)c;
			if (strcmp(changed, text) != 0)
				refused_as(changed, MADE, "");
		}
	}
}

static void attack_4_other_forms(void **state)
{
	char text[CHALLENGE_SIZE], form[CHALLENGE_SIZE + 8];

	(void)state;
	made(text);
	for (size_t length = 0; length < strlen(text); length++) {
		snprintf(form, sizeof(form), "%.*s", (int)length, text);
		refused_as(form, MADE, "not of its form");
	}
	for (const char *more = "B=.\n "; *more; more++) {
		snprintf(form, sizeof(form), "%s%c", text, *more);
		refused_as(form, MADE, "not of its form");
		snprintf(form, sizeof(form), "%c%s", *more, text);
		refused_as(form, MADE, "not of its form");
		snprintf(form, sizeof(form), "%c%s", *more, text + 1); /* of the right length */
		refused_as(form, MADE, "");
	}
}

/* Versions to come have keys and forms of their own: this one's MAC does not make them good. */
static void other_version(void **state)
{
	char text[CHALLENGE_SIZE];
	unsigned char bytes[BYTES], mac[EVP_MAX_MD_SIZE];
	size_t length = sizeof(bytes);

	(void)state;
	made(text);
	assert_true(base64url_decode(text, strlen(text), bytes, &length));
	bytes[0] = 2;
	assert_non_null(HMAC(EVP_sha256(), key, sizeof(key), bytes, SIGNED, mac, NULL));
	memcpy(bytes + SIGNED, mac, BYTES - SIGNED);
	base64url_encode((struct bytes){ bytes, BYTES }, text);
	refused_as(text, MADE, "not of its form");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(vector, set_up),
		cmocka_unit_test_setup(attack_4_33_lifetime, set_up),
		cmocka_unit_test_setup(random_tells_apart, set_up),
		cmocka_unit_test_setup(attack_4_other_key, set_up),
		cmocka_unit_test_setup(attack_4_every_change, set_up),
		cmocka_unit_test_setup(attack_4_other_forms, set_up),
		cmocka_unit_test_setup(other_version, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
