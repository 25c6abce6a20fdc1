/* Each allocation failing in its turn: no crash, no leak, no secret from a broken
 * envelope. */
#include "agent/key.h"
#include "agent/open.h"
#include "tests/unit/unit.h"

#include <openssl/cms.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- the Nth allocation fails */

static long left = -1; /* allocations that still succeed; below 0: all */

static bool fails(void)
{
	return left >= 0 && left-- == 0;
}

static void *json_allocate(size_t size)
{
	return fails() ? NULL : malloc(size);
}

/* OpenSSL 3.0's key derivations use their context before they have looked whether there is one. */
static bool openssl_would_crash(const char *file)
{
	return strstr(file, "/kdfs/") != NULL;
}

static void *crypto_allocate(size_t size, const char *file, int line)
{
	(void)line;
	return size == 0 || (!openssl_would_crash(file) && fails()) ? NULL : malloc(size);
}

static void *crypto_reallocate(void *block, size_t size, const char *file, int line)
{
	(void)file;
	(void)line;
	return fails() ? NULL : realloc(block, size);
}

static void crypto_free(void *block, const char *file, int line)
{
	(void)file;
	(void)line;
	free(block);
}

/* Before OpenSSL's own first allocation, or it would be refused. */
__attribute__((constructor)) static void take_allocators(void)
{
	if (CRYPTO_set_mem_functions(crypto_allocate, crypto_reallocate, crypto_free) != 1)
		abort();
}

#define RELEASE_ID "01890a5d-ac96-774b-bcce-b302099a8057"

static const struct assertion assertion = { .instance_id = "i-0123456789abcdef0" };

static X509 *wrapper_make(EVP_PKEY *pair)
{
	X509 *wrapper = X509_new();
	X509V3_CTX context;
	X509_EXTENSION *extension;

	assert_non_null(wrapper);
	assert_int_equal(X509_set_version(wrapper, X509_VERSION_3), 1);
	assert_int_equal(X509_set_pubkey(wrapper, pair), 1);
	X509V3_set_ctx(&context, NULL, wrapper, NULL, NULL, 0);
	extension = X509V3_EXT_conf_nid(NULL, &context, NID_subject_key_identifier, "hash");
	assert_int_equal(X509_add_ext(wrapper, extension, -1), 1);
	X509_EXTENSION_free(extension);
	assert_true(X509_sign(wrapper, pair, EVP_sha256()) > 0);
	return wrapper;
}

static int seal(EVP_PKEY *pair, unsigned char **der)
{
	CMS_ContentInfo *envelope = CMS_AuthEnvelopedData_create(EVP_aes_256_gcm());
	X509 *wrapper = wrapper_make(pair);
	unsigned char hash[32];
	char hash_text[65], text[700];
	BIO *content;
	int length;

	assert_true(assertion_sha256(&assertion, hash));
	hex_encode((struct bytes){ hash, sizeof(hash) }, hash_text);
	snprintf(text, sizeof(text),
		"{\"release_id\": \"" RELEASE_ID
		"\", \"instance-id\": \"%s\", \"assertion_sha256\": \"%s\", \"ack\": \"a\", "
		"\"secrets\": [{\"name\": \"a\", \"kind\": \"pin\", \"version\": 1, \"encoding\": \"utf-8\", "
		"\"value\": \"v\"}, "
		"{\"name\": \"b\", \"kind\": \"pin\", \"version\": 1, \"encoding\": \"base64\", \"value\": "
		"\"AAEC\"}]}",
		assertion.instance_id, hash_text);
	content = BIO_new_mem_buf(text, -1);
	assert_non_null(CMS_add1_recipient_cert(envelope, wrapper, CMS_USE_KEYID));
	assert_int_equal(CMS_set_detached(envelope, 0), 1);
	assert_int_equal(CMS_final(envelope, content, NULL, CMS_BINARY), 1);
	length = i2d_CMS_ContentInfo(envelope, der);
	BIO_free(content);
	X509_free(wrapper);
	CMS_ContentInfo_free(envelope);
	return length;
}

/* Did the last run meet its failing allocation? Ends it. */
static bool failed_one(void)
{
	bool failed = left < 0;

	left = -1;
	return failed;
}

static void assert_opened(struct release *release)
{
	assert_int_equal(release->n_secrets, 2);
	assert_memory_equal(release->secrets[0].data, "v", 1);
	assert_memory_equal(release->secrets[1].data, "\0\1\2", 3);
	release_clear(release);
}

static void folder_make(struct folder *folder)
{
	char path[] = "/tmp/agent-memory-XXXXXX";
	struct complaint complaint;

	assert_non_null(mkdtemp(path));
	assert_true(folder_open(path, folder, &complaint));
}

static void folder_unmake(struct folder *folder)
{
	struct complaint complaint;

	assert_true(key_forget(folder, &complaint));
	assert_int_equal(rmdir(folder->path), 0);
	folder_close(folder);
}

/* Opened whole (OpenSSL can do without some of its allocations), or not at all. */
static void test_open_nth_allocation(void **state)
{
	static const struct release clear;
	const struct expected expected = { RELEASE_ID, &assertion };
	EVP_PKEY *pair = EVP_EC_gen("P-256");
	bool failed = true;
	struct complaint complaint;
	struct release release;
	unsigned char *der = NULL;
	struct bytes sealed;
	long n;

	(void)state;
	sealed.length = (size_t)seal(pair, &der);
	sealed.data = der;
	json_set_alloc_funcs(json_allocate, free);
	for (n = 0; failed; n += n < 50 ? 1 : 3) {
		enum agent_exit status;

		complaint.text[0] = '\0';
		left = n;
		status = release_open(sealed, pair, &expected, &release, &complaint);
		failed = failed_one();
		if (status == AGENT_DONE)
			assert_opened(&release);
		else
			assert_memory_equal(&release, &clear, sizeof(clear));
		assert_true(failed ? status == AGENT_DONE || complaint.text[0] : status == AGENT_DONE);
	}
	assert_true(n > 50);
	OPENSSL_free(der);
	EVP_PKEY_free(pair);
}

/* A key is whole and durable, or there is none. */
static void test_key_made_nth_allocation(void **state)
{
	struct folder folder;
	bool failed = true;
	long n;

	(void)state;
	for (n = 0; failed; n += n < 50 ? 1 : 7) {
		struct complaint complaint;
		enum agent_exit status;
		struct key key, again;

		folder_make(&folder);
		left = n;
		status = key_keep(&folder, &key, &complaint);
		failed = failed_one();
		assert_true(status == AGENT_DONE ? key.pair != NULL : failed && !key.pair);
		if (status == AGENT_DONE) {
			assert_int_equal(key_keep(&folder, &again, &complaint), AGENT_DONE);
			assert_memory_equal(key.recipient.sha256, again.recipient.sha256, 32);
			key_clear(&again);
		}
		key_clear(&key);
		folder_unmake(&folder);
	}
	assert_true(n > 50);
}

/* Once there it is never another. */
static void test_key_kept_nth_allocation(void **state)
{
	struct complaint complaint;
	struct folder folder;
	struct key key, again;
	bool failed = true;
	long n;

	(void)state;
	folder_make(&folder);
	assert_int_equal(key_keep(&folder, &key, &complaint), AGENT_DONE);
	for (n = 0; failed; n += n < 50 ? 1 : 7) {
		left = n;
		if (key_keep(&folder, &again, &complaint) == AGENT_DONE)
			assert_memory_equal(key.recipient.sha256, again.recipient.sha256, 32);
		failed = failed_one();
		key_clear(&again);
	}
	assert_true(n > 50);
	key_clear(&key);
	folder_unmake(&folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_open_nth_allocation),
		cmocka_unit_test(test_key_made_nth_allocation),
		cmocka_unit_test(test_key_kept_nth_allocation) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
