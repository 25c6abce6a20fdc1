/* Anchors: which certificates are taken, what is told of them, and that the compiled fingerprints are those
 * of the certificates that AWS has published. */
#include "tests/unit/document_fixture.h"
#include "verifier/encoding.h"

#include <dirent.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <sys/wait.h>
#include <unistd.h>

static EVP_PKEY *own_key;
static X509 *own;
static char *own_pem;

static int set_up(void **state)
{
	(void)state;
	own_key = EVP_RSA_gen(2048);
	own = certificate_make(own_key, own_key, 7, 365);
	own_pem = certificate_pem(own);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	free(own_pem);
	X509_free(own);
	EVP_PKEY_free(own_key);
	return 0;
}

static void what_is_told(void **state)
{
	struct anchors *anchors = anchors_new();
	struct complaint complaint = { "" };
	struct anchor_about about;
	unsigned char sha256[32];
	time_t now = time(NULL);

	(void)state;
	assert_false(anchors_have(anchors, "us-east-1"));
	assert_null(anchors_about(anchors, 0).region);
	assert_true(anchors_add_text(anchors, "us-east-1", own_pem, &complaint));
	assert_true(anchors_have(anchors, "us-east-1"));
	assert_false(anchors_have(anchors, "us-east-2"));
	assert_null(anchors_certificate(anchors, "us-east-2"));
	about = anchors_about(anchors, 0);
	assert_string_equal(about.region, "us-east-1");
	assert_true(X509_digest(own, EVP_sha256(), sha256, NULL));
	assert_memory_equal(about.sha256, sha256, 32);
	assert_false(about.published);
	assert_in_range(about.not_after, now + 364 * 86400, now + 366 * 86400);
	assert_null(anchors_about(anchors, 1).region);
	assert_null(anchors_about(anchors, (size_t)-1).region);
	anchors_free(anchors);
}

static void challenge_key(void **state)
{
	static const unsigned char key[CHALLENGE_KEY_SIZE] = "a key of the test's own, 32 long";
	struct anchors *anchors = anchors_new();
	struct anchors *again = anchors_dup(anchors);

	(void)state;
	assert_null(anchors_challenge_key(anchors));
	anchors_set_challenge_key(anchors, key);
	anchors_free(anchors);
	assert_memory_equal(anchors_challenge_key(again), key, sizeof(key));
	anchors_free(again);
	anchors_free(NULL);
}

/* One certificate with `key` under its own signature's name; `signer` where the key itself cannot sign. */
static void refuse_key(EVP_PKEY *key, EVP_PKEY *signer)
{
	X509 *certificate = certificate_make(key, signer, 1, 365);
	struct anchors *anchors = anchors_new();
	struct complaint complaint = { "" };
	char *pem = certificate_pem(certificate);

	assert_false(anchors_add_text(anchors, "us-east-1", pem, &complaint));
	assert_non_null(strstr(complaint.text, "2,048"));
	assert_false(anchors_have(anchors, "us-east-1"));
	assert_int_equal(ERR_peek_error(), 0);
	anchors_free(anchors);
	free(pem);
	X509_free(certificate);
	EVP_PKEY_free(key);
}

static void other_keys(void **state)
{
	static const int bits[] = { 1024, 2040, 2047, 2049, 2056, 3072, 4096, 16384 };
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, "RSA-PSS", NULL);
	EVP_PKEY *pss = NULL;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bits) / sizeof(bits[0]); i++)
		refuse_key(rsa_public(bits[i]), own_key);
	refuse_key(EVP_EC_gen("P-256"), own_key);
	refuse_key(EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"), own_key);
	assert_true(EVP_PKEY_keygen_init(context) > 0 &&
		    EVP_PKEY_CTX_set_rsa_keygen_bits(context, 2048) > 0 &&
		    EVP_PKEY_generate(context, &pss) > 0);
	EVP_PKEY_CTX_free(context);
	refuse_key(pss, own_key);
}

static void refuse_text(const char *region, const char *text, const char *words)
{
	struct anchors *anchors = anchors_new();
	struct complaint complaint = { "" };

	if (anchors_add_text(anchors, region, text, &complaint))
		fail_msg("taken: %s", text);
	if (!strstr(complaint.text, words))
		fail_msg("complaint: %s; expected: %s", complaint.text, words);
	anchors_free(anchors);
}

static void what_stands_around(void **state)
{
	struct anchors *anchors = anchors_new();
	struct complaint complaint = { "" };
	char text[ANCHOR_PEM_MAX + 10];

	(void)state;
	snprintf(text, sizeof(text), "\r\n \t%s \r\n\n", own_pem);
	assert_true(anchors_add_text(anchors, "us-east-1", text, &complaint));
	anchors_free(anchors);
	snprintf(text, sizeof(text), "# us-east-1\n%s", own_pem);
	refuse_text("us-east-1", text, "one PEM block");
	snprintf(text, sizeof(text), "%s%s", own_pem, own_pem);
	refuse_text("us-east-1", text, "one PEM block");
	snprintf(text, sizeof(text), "%sx", own_pem);
	refuse_text("us-east-1", text, "one PEM block");
	refuse_text("us-east-1", "", "one PEM block");
	refuse_text("us-east-1", "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n", "one PEM block");
	memset(text, ' ', sizeof(text) - 1);
	memcpy(text, own_pem, strlen(own_pem));
	text[sizeof(text) - 1] = '\0';
	refuse_text("us-east-1", text, "larger than 16384");
}

/* Cut anywhere, it is refused; with another mark, too; with one more byte inside the block, behind the DER.
 */
static void cut_and_bent(void **state)
{
	unsigned char der[4096], *at = der;
	char text[8192];
	size_t length = strlen(own_pem);
	int der_length;
	size_t i;

	(void)state;
	for (i = 0; i + 2 < length; i += 1 + (i > 64 && i + 64 < length) * 6) {
		snprintf(text, sizeof(text), "%.*s", (int)i, own_pem);
		refuse_text("us-east-1", text, "one PEM block");
	}
	snprintf(text, sizeof(text), "-----BEGIN TRUSTED CERTIFICATE-----\n%s", strchr(own_pem, '\n') + 1);
	refuse_text("us-east-1", text, "one PEM block");
	der_length = i2d_X509(own, &at);
	*at = 0;
	strcpy(text, "-----BEGIN CERTIFICATE-----\n");
	EVP_EncodeBlock((unsigned char *)text + strlen(text), der, der_length + 1);
	strcat(text, "\n-----END CERTIFICATE-----\n");
	refuse_text("us-east-1", text, "one PEM block");
}

/* In a process without a terminal, whose standard input holds "x": does it come back for it? */
static int left_of_input(const char *pem)
{
	struct anchors *anchors = anchors_new();
	struct complaint complaint;
	int ends[2];
	char c = '-';

	if (pipe(ends) != 0 || write(ends[1], "x\n", 2) != 2 || dup2(ends[0], STDIN_FILENO) < 0)
		return '!';
	close(ends[1]);
	if (anchors_add_text(anchors, "us-east-1", pem, &complaint) || read(STDIN_FILENO, &c, 1) < 0)
		return '?';
	return c;
}

/* A block that says that it is encrypted must not make anyone wait for a passphrase. */
static void encrypted_block(void **state)
{
	char *encrypted;
	int status = 0;
	pid_t child;

	(void)state;
	assert_true(asprintf(&encrypted,
			    "-----BEGIN CERTIFICATE-----\nProc-Type: 4,ENCRYPTED\n"
			    "DEK-Info: AES-128-CBC,00112233445566778899AABBCCDDEEFF\n\n%s",
			    strchr(own_pem, '\n') + 1) > 0);
	child = fork();
	if (child == 0) {
		setsid();
		_exit(left_of_input(encrypted));
	}
	assert_true(child > 0 && waitpid(child, &status, 0) == child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 'x');
	free(encrypted);
}

static void regions_and_room(void **state)
{
	struct anchors *anchors = anchors_new();
	struct complaint complaint = { "" };
	char region[REGION_SIZE];
	int i;

	(void)state;
	refuse_text("../us-east-1", own_pem, "region");
	refuse_text("", own_pem, "region");
	for (i = 0; i < ANCHORS_MAX; i++) {
		snprintf(region, sizeof(region), "%c%c-test-%d", 'a' + i / 26, 'a' + i % 26, 1 + i % 9);
		assert_true(anchors_add_text(anchors, region, own_pem, &complaint));
	}
	assert_false(anchors_add_text(anchors, region, own_pem, &complaint));
	assert_non_null(strstr(complaint.text, "already"));
	assert_false(anchors_add_text(anchors, "us-east-1", own_pem, &complaint));
	assert_non_null(strstr(complaint.text, "more than 64"));
	assert_string_equal(anchors_about(anchors, ANCHORS_MAX - 1).region, region);
	assert_null(anchors_about(anchors, ANCHORS_MAX).region);
	anchors_free(anchors);
}

/* Every certificate in the vectors is in the table under its own region, and under no other. */
static size_t folder_is_in_table(DIR *folder)
{
	const struct dirent *entry;
	size_t n = 0;

	while ((entry = readdir(folder))) {
		struct anchors *anchors = anchors_new();
		struct anchor_about about;
		char region[REGION_SIZE], sha256[HEX_SIZE(32)];
		size_t i;

		snprintf(region, sizeof(region), "%.*s", (int)strcspn(entry->d_name, "."), entry->d_name);
		if (region[0] == '\0') {
			anchors_free(anchors);
			continue;
		}
		assert_true(anchors_add_vector(anchors, region));
		about = anchors_about(anchors, 0);
		assert_true(about.published);
		hex_encode((struct bytes){ about.sha256, 32 }, sha256);
		for (i = 0; published_region(i); i++)
			assert_int_equal(strcmp(published_certificate(published_region(i)), sha256) == 0,
				strcmp(published_region(i), region) == 0);
		anchors_free(anchors);
		n++;
	}
	return n;
}

static void published_table(void **state)
{
	DIR *folder = opendir(VECTORS "/aws-certificates");
	struct anchors *anchors = anchors_new();
	size_t files, i;

	(void)state;
	for (i = 0; published_region(i); i++) {
		assert_int_equal(strspn(published_certificate(published_region(i)), "0123456789abcdef"), 64);
		assert_int_equal(strlen(published_certificate(published_region(i))), 64);
	}
	assert_int_equal(i, 39);
	assert_null(published_certificate("us-east-3"));
	if (!folder) {
		anchors_free(anchors);
		print_message("# no " VECTORS "\n");
		skip();
	}
	files = folder_is_in_table(folder);
	closedir(folder);
	assert_int_equal(files, i);
	for (i = 0; published_region(i); i++) /* and each line of the table has its file */
		assert_true(anchors_add_vector(anchors, published_region(i)));
	anchors_free(anchors);
}

/* AWS's own certificate of one region is a stranger's in another. */
static void published_elsewhere(void **state)
{
	struct anchors *anchors = anchors_new();
	struct complaint complaint;
	unsigned char pem[ANCHOR_PEM_MAX];
	size_t length;

	(void)state;
	if (!file_read(VECTORS "/aws-certificates/us-west-2.pem", pem, sizeof(pem), &length)) {
		anchors_free(anchors);
		print_message("# no " VECTORS "\n");
		skip();
	}
	assert_true(anchors_add(anchors, "us-west-1", (struct bytes){ pem, length }, &complaint));
	assert_false(anchors_about(anchors, 0).published);
	assert_true(anchors_add(anchors, "us-west-2", (struct bytes){ pem, length }, &complaint));
	assert_true(anchors_about(anchors, 1).published);
	anchors_free(anchors);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_told),
		cmocka_unit_test(challenge_key),
		cmocka_unit_test(other_keys),
		cmocka_unit_test(what_stands_around),
		cmocka_unit_test(cut_and_bent),
		cmocka_unit_test(encrypted_block),
		cmocka_unit_test(regions_and_room),
		cmocka_unit_test(published_table),
		cmocka_unit_test(published_elsewhere),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
