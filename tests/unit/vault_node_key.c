/* The node key's children, against HKDF and HMAC computed by the openssl command line. */
#include "tests/unit/unit.h"
#include "vault/node_key.h"
#include "verifier/encoding.h"

#include <openssl/crypto.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <string.h>

static const unsigned char root[32] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19,
	20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31 };

/* HKDF-SHA-256 of `root` without salt, by a second implementation. */
static void hkdf(const char *info, unsigned char key[32])
{
	char command[400], hex[100] = "";
	size_t used = 0;
	FILE *pipe;

	snprintf(command, sizeof(command),
		"openssl kdf -keylen 32 -kdfopt digest:SHA2-256 -kdfopt "
		"hexkey:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f -kdfopt 'info:%s' "
		"HKDF",
		info);
	pipe = popen(command, "r");
	assert_non_null(pipe);
	for (int c; (c = fgetc(pipe)) != EOF && used < 64;)
		if (c != ':' && c != '\n')
			hex[used++] = (char)(c >= 'A' && c <= 'F' ? c - 'A' + 'a' : c);
	pclose(pipe);
	assert_true(hex_decode(hex, key, 32));
}

static void keys_are_those_of_the_contract(void **state)
{
	const char *release = "01910000-0000-7000-8000-000000000000";
	unsigned char key[32], mac[32], got[32];
	struct complaint complaint = { "" };
	struct node_key *keys = node_key_new(root, &complaint);
	char text[ACKNOWLEDGEMENT_SIZE], expected[ACKNOWLEDGEMENT_SIZE];

	(void)state;
	assert_non_null(keys);
	hkdf("vouchsafe ack v1", key);
	HMAC(EVP_sha256(), key, 32, (const unsigned char *)release, strlen(release), mac, NULL);
	base64url_encode((struct bytes){ mac, 32 }, expected);
	assert_true(node_key_acknowledgement(keys, release, text));
	assert_string_equal(text, expected);
	hkdf("vouchsafe cursor v1", key);
	HMAC(EVP_sha256(), key, 32, (const unsigned char *)"abc", 3, mac, NULL);
	assert_true(node_key_cursor_mac(keys, (struct bytes){ (const unsigned char *)"abc", 3 }, got));
	assert_memory_equal(got, mac, 32);
	node_key_free(keys);
}

static void they_are_the_same_in_both_memories(void **state)
{
	struct complaint complaint = { "" };
	struct node_key *page = node_key_new(root, &complaint), *heap;
	unsigned char one[32], two[32];

	(void)state;
	assert_int_equal(CRYPTO_secure_malloc_init(65536, 32), 1);
	heap = node_key_new(root, &complaint);
	assert_non_null(page);
	assert_non_null(heap);
	assert_true(CRYPTO_secure_allocated(heap));
	assert_false(CRYPTO_secure_allocated(page));
	assert_true(node_key_cursor_mac(page, (struct bytes){ root, 3 }, one));
	assert_true(node_key_cursor_mac(heap, (struct bytes){ root, 3 }, two));
	assert_memory_equal(one, two, 32);
	node_key_free(page);
	node_key_free(heap);
	CRYPTO_secure_malloc_done();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys_are_those_of_the_contract),
		cmocka_unit_test(they_are_the_same_in_both_memories),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
