/* CSRs: only a P-256 key with its own signature comes through (ATTACKS 42). */
#include "tests/unit/unit.h"
#include "verifier/reasons.h"
#include "verifier/recipient.h"

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* A request in PEM for `key`, signed by `signer`; the caller frees. */
static char *request_pem(EVP_PKEY *key, EVP_PKEY *signer, const char *name)
{
	X509_REQ *request = X509_REQ_new();
	BIO *bio = BIO_new(BIO_s_mem());
	char *text;
	char *data;
	long length;

	X509_REQ_set_pubkey(request, key);
	if (name)
		X509_NAME_add_entry_by_txt(X509_REQ_get_subject_name(request), "CN", MBSTRING_ASC,
			(const unsigned char *)name, -1, -1, 0);
	assert_true(
		X509_REQ_sign(request, signer, EVP_PKEY_is_a(signer, "ED25519") ? NULL : EVP_sha256()) > 0);
	PEM_write_bio_X509_REQ(bio, request);
	length = BIO_get_mem_data(bio, &data);
	text = strndup(data, (size_t)length);
	BIO_free(bio);
	X509_REQ_free(request);
	return text;
}

/* The same with a subject, basic constraints and alternative names. */
static char *request_pem_with(EVP_PKEY *key, const char *constraints, const char *names)
{
	X509_REQ *request = X509_REQ_new();
	STACK_OF(X509_EXTENSION) *extensions = sk_X509_EXTENSION_new_null();
	BIO *bio = BIO_new(BIO_s_mem());
	char *data, *text;
	long length;

	X509_REQ_set_pubkey(request, key);
	X509_NAME_add_entry_by_txt(X509_REQ_get_subject_name(request), "CN", MBSTRING_ASC,
		(const unsigned char *)"root", -1, -1, 0);
	sk_X509_EXTENSION_push(
		extensions, X509V3_EXT_conf_nid(NULL, NULL, NID_basic_constraints, constraints));
	sk_X509_EXTENSION_push(extensions, X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, names));
	assert_int_equal(X509_REQ_add_extensions(request, extensions), 1);
	assert_true(X509_REQ_sign(request, key, EVP_sha256()) > 0);
	PEM_write_bio_X509_REQ(bio, request);
	length = BIO_get_mem_data(bio, &data);
	text = strndup(data, (size_t)length);
	sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
	BIO_free(bio);
	X509_REQ_free(request);
	return text;
}

static enum outcome parse(const char *pem, struct recipient *recipient, struct reason *reason)
{
	return recipient_parse(pem, strlen(pem), recipient, reason);
}

static void good_one(void **state)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	char *plain = request_pem(key, key, NULL);
	char *named = request_pem(key, key, "root; CA:TRUE");
	unsigned char *der = NULL;
	struct recipient a, b;
	struct reason reason;
	int length;

	(void)state;
	assert_int_equal(parse(plain, &a, &reason), OK);
	assert_int_equal(parse(named, &b, &reason), OK);
	length = i2d_PUBKEY(key, &der);
	assert_int_equal(a.spki_length, length);
	assert_memory_equal(a.spki, der, (size_t)length);
	assert_memory_equal(a.sha256, b.sha256, 32); /* names change nothing */
	OPENSSL_free(der);
	free(plain);
	free(named);
	EVP_PKEY_free(key);
}

/* The same key in compressed form is the same recipient. */
static void one_key_one_hash(void **state)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	char *uncompressed = request_pem(key, key, NULL);
	char *compressed;
	struct recipient a, b;
	struct reason reason;

	(void)state;
	assert_true(EVP_PKEY_set_utf8_string_param(key, "point-format", "compressed"));
	compressed = request_pem(key, key, NULL);
	assert_string_not_equal(compressed, uncompressed);
	assert_int_equal(parse(uncompressed, &a, &reason), OK);
	assert_int_equal(parse(compressed, &b, &reason), OK);
	assert_int_equal(a.spki_length, b.spki_length);
	assert_memory_equal(a.sha256, b.sha256, 32);
	free(compressed);
	free(uncompressed);
	EVP_PKEY_free(key);
}

static void refuse_key(EVP_PKEY *key)
{
	struct recipient recipient;
	struct reason reason;
	char *pem = request_pem(key, key, NULL);

	assert_int_equal(parse(pem, &recipient, &reason), REFUSED);
	assert_string_equal(reason.code, REASON_MALFORMED);
	free(pem);
	EVP_PKEY_free(key);
}

static void attack_42_weak_and_other_keys(void **state)
{
	EVP_PKEY *spelled_out = EVP_EC_gen("P-256");

	(void)state;
	assert_true(EVP_PKEY_set_utf8_string_param(spelled_out, "encoding", "explicit"));
	refuse_key(spelled_out);
	refuse_key(EVP_EC_gen("P-384"));
	refuse_key(EVP_EC_gen("secp256k1"));
	refuse_key(EVP_EC_gen("P-224"));
	refuse_key(EVP_EC_gen("brainpoolP256r1"));
	refuse_key(EVP_RSA_gen(2048));
	refuse_key(EVP_RSA_gen(512));
	refuse_key(EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"));
}

/* What a request asks for beside its key changes nothing, and goes nowhere. */
static void attack_42_names_and_ca_flags(void **state)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	char *plain = request_pem(key, key, NULL);
	char *greedy = request_pem_with(key, "CA:TRUE", "DNS:vouchsafe.example.com,DNS:*,IP:10.0.0.1");
	struct recipient a, b;
	struct reason reason;

	(void)state;
	assert_int_equal(parse(plain, &a, &reason), OK);
	assert_int_equal(parse(greedy, &b, &reason), OK);
	assert_memory_equal(&a, &b, sizeof(a));
	free(plain);
	free(greedy);
	EVP_PKEY_free(key);
}

/* The request's DER with its public point replaced, and so many zeros behind it, in PEM. */
static char *pem_with_point(
	const char *pem, const unsigned char *old, const unsigned char *new, size_t behind)
{
	BIO *in = BIO_new_mem_buf(pem, -1), *out = BIO_new(BIO_s_mem());
	char *name, *header, *data, *text;
	unsigned char *der, *at;
	long length;

	assert_int_equal(PEM_read_bio(in, &name, &header, &der, &length), 1);
	at = memmem(der, (size_t)length, old, 65);
	assert_non_null(at);
	memcpy(at, new, 65);
	der = OPENSSL_realloc(der, (size_t)length + behind);
	memset(der + length, 0, behind);
	assert_true(PEM_write_bio(out, name, "", der, length + (long)behind) > 0);
	length = BIO_get_mem_data(out, &data);
	text = strndup(data, (size_t)length);
	OPENSSL_free(name);
	OPENSSL_free(header);
	OPENSSL_free(der);
	BIO_free(in);
	BIO_free(out);
	return text;
}

/* A point of another curve would let whoever sees the sealed answer guess the key of it. */
static void attack_42_off_curve_points(void **state)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	char *pem = request_pem(key, key, NULL);
	unsigned char point[65], other[65];
	struct recipient recipient;
	struct reason reason;
	size_t length;

	(void)state;
	assert_true(EVP_PKEY_get_octet_string_param(key, "encoded-pub-key", point, sizeof(point), &length));
	for (int i = 0; i < 6; i++) {
		char *bent;

		memcpy(other, point, sizeof(other));
		if (i == 0)
			other[64] ^= 1; /* beside the curve */
		else if (i == 1)
			memset(other + 1, 0, 64);
		else if (i == 2)
			memset(other + 1, 0xff, 64); /* beyond the field */
		else if (i == 3)
			other[0] = 0x05; /* no form that there is */
		else if (i == 4)
			other[0] = 0x00; /* the point at infinity, and more behind it */
		else
			other[0] = (unsigned char)(0x07 - (point[64] & 1)); /* hybrid, of the wrong sign */
		bent = pem_with_point(pem, point, other, 0);
		assert_int_equal(parse(bent, &recipient, &reason), REFUSED);
		assert_non_null(strstr(reason.text, "P-256"));
		free(bent);
	}
	free(pem);
	EVP_PKEY_free(key);
}

static void attack_42_foreign_signature(void **state)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	EVP_PKEY *other = EVP_EC_gen("P-256");
	char *pem = request_pem(key, other, NULL);
	struct recipient recipient;
	struct reason reason;

	(void)state;
	assert_int_equal(parse(pem, &recipient, &reason), REFUSED);
	assert_non_null(strstr(reason.text, "signature"));
	free(pem);
	EVP_PKEY_free(key);
	EVP_PKEY_free(other);
}

static void what_stands_around(void **state)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	char *pem = request_pem(key, key, NULL);
	char text[4096];
	struct recipient recipient;
	struct reason reason;
	size_t i;

	(void)state;
	snprintf(text, sizeof(text), "%s\r\n \n", pem);
	assert_int_equal(parse(text, &recipient, &reason), OK);
	snprintf(text, sizeof(text), "x\n%s", pem);
	assert_int_equal(parse(text, &recipient, &reason), REFUSED);
	snprintf(text, sizeof(text), "%sx", pem);
	assert_int_equal(parse(text, &recipient, &reason), REFUSED);
	snprintf(text, sizeof(text), "%s%s", pem, pem);
	assert_int_equal(parse(text, &recipient, &reason), REFUSED);
	assert_int_equal(parse("", &recipient, &reason), REFUSED);
	/* cut anywhere */
	for (i = 0; i + 2 < strlen(pem); i++)
		assert_int_equal(recipient_parse(pem, i, &recipient, &reason), REFUSED);
	free(pem);
	EVP_PKEY_free(key);
}

/* Every single bit of the request: refused, or the same key still (a bit of the PEM's armour). */
static void attack_42_every_bit(void **state)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	char *pem = request_pem(key, key, NULL);
	struct recipient good, recipient;
	struct reason reason;
	size_t i;

	(void)state;
	assert_int_equal(parse(pem, &good, &reason), OK);
	for (i = 0; pem[i]; i++) {
		char kept = pem[i];

		pem[i] = (char)(pem[i] ^ 1);
		if (parse(pem, &recipient, &reason) == OK)
			assert_memory_equal(recipient.sha256, good.sha256, 32);
		pem[i] = kept;
	}
	free(pem);
	EVP_PKEY_free(key);
}

/* In a process without a terminal, whose standard input somebody could type into: reads it and exits with
 * what is left of "x". */
static int left_of_input(const char *pem)
{
	struct recipient recipient;
	struct reason reason;
	int ends[2];
	char c = '-';

	if (pipe(ends) != 0 || write(ends[1], "x\n", 2) != 2 || dup2(ends[0], STDIN_FILENO) < 0)
		return '!';
	close(ends[1]);
	if (parse(pem, &recipient, &reason) != REFUSED || read(STDIN_FILENO, &c, 1) < 0)
		return '?';
	return c;
}

/* One request has one spelling: no bytes behind it, no headers in its block. */
static void attack_42_more_in_the_block(void **state)
{
	static const char head[] = "-----BEGIN CERTIFICATE REQUEST-----\n";
	EVP_PKEY *key = EVP_EC_gen("P-256");
	char *pem = request_pem(key, key, NULL), *longer, *headed, *same;
	unsigned char point[65];
	struct recipient recipient;
	struct reason reason;
	size_t length;

	(void)state;
	assert_true(EVP_PKEY_get_octet_string_param(key, "encoded-pub-key", point, sizeof(point), &length));
	same = pem_with_point(pem, point, point, 0);
	assert_int_equal(parse(same, &recipient, &reason), OK);
	longer = pem_with_point(pem, point, point, 1);
	assert_int_equal(parse(longer, &recipient, &reason), REFUSED);
	assert_true(asprintf(&headed, "%sComment: x\n\n%s", head, pem + sizeof(head) - 1) > 0);
	assert_int_equal(parse(headed, &recipient, &reason), REFUSED);
	free(headed);
	free(longer);
	free(same);
	free(pem);
	EVP_PKEY_free(key);
}

/* OpenSSL would ask for a passphrase, on the terminal or on standard input, and wait. */
static void attack_42_encrypted_block(void **state)
{
	static const char head[] = "-----BEGIN CERTIFICATE REQUEST-----\n";
	EVP_PKEY *key = EVP_EC_gen("P-256");
	char *pem = request_pem(key, key, NULL);
	char *encrypted;
	int status = 0;
	pid_t child;

	(void)state;
	assert_true(asprintf(&encrypted,
			    "%sProc-Type: 4,ENCRYPTED\n"
			    "DEK-Info: AES-128-CBC,00112233445566778899AABBCCDDEEFF\n\n%s",
			    head, pem + sizeof(head) - 1) > 0);
	child = fork();
	if (child == 0) {
		setsid();
		_exit(left_of_input(encrypted));
	}
	assert_true(child > 0 && waitpid(child, &status, 0) == child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 'x');
	free(encrypted);
	free(pem);
	EVP_PKEY_free(key);
}

static void too_large(void **state)
{
	static char text[CSR_PEM_MAX + 2];
	struct recipient recipient;
	struct reason reason;

	(void)state;
	memset(text, 'A', sizeof(text) - 1);
	assert_int_equal(recipient_parse(text, sizeof(text) - 1, &recipient, &reason), REFUSED);
	assert_non_null(strstr(reason.text, "larger"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_one),
		cmocka_unit_test(one_key_one_hash),
		cmocka_unit_test(attack_42_weak_and_other_keys),
		cmocka_unit_test(attack_42_names_and_ca_flags),
		cmocka_unit_test(attack_42_off_curve_points),
		cmocka_unit_test(attack_42_foreign_signature),
		cmocka_unit_test(what_stands_around),
		cmocka_unit_test(attack_42_every_bit),
		cmocka_unit_test(attack_42_more_in_the_block),
		cmocka_unit_test(attack_42_encrypted_block),
		cmocka_unit_test(too_large),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
