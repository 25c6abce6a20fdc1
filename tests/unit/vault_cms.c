/* Sealed answers: the command of DESIGN.md section 4 opens them, with the right key and with no other. */
#include "tests/unit/unit.h"
#include "vault/cms_seal.h"

#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[] = "/tmp/vouchsafe-cms-XXXXXX";

static EVP_PKEY *key_write(const char *name, const char *curve, unsigned char **spki, int *length)
{
	EVP_PKEY *key = EVP_EC_gen(curve);
	char path[128];
	FILE *file;

	assert_non_null(key);
	snprintf(path, sizeof(path), "%s/%s", folder, name);
	file = fopen(path, "w");
	assert_non_null(file);
	assert_int_equal(PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL), 1);
	fclose(file);
	*spki = NULL;
	*length = i2d_PUBKEY(key, spki);
	assert_true(*length > 0);
	return key;
}

static bool seal(struct bytes spki, struct bytes plain, unsigned char **der, size_t *length)
{
	struct cms_seal *cms = cms_seal_new(spki);
	bool sealed;

	if (cms == NULL)
		return false;
	sealed = cms_seal_write(cms, (struct bytes){ plain.data, plain.length / 2 }) &&
		 cms_seal_write(cms, (struct bytes){ plain.data, 0 }) &&
		 cms_seal_write(cms,
			 (struct bytes){ plain.data + plain.length / 2, plain.length - plain.length / 2 }) &&
		 cms_seal_finish(cms, der, length);
	cms_seal_free(cms);
	return sealed;
}

static void file_write(const char *name, const unsigned char *data, size_t length)
{
	char path[128];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	file = fopen(path, "w");
	assert_non_null(file);
	assert_int_equal(fwrite(data, 1, length, file), length);
	fclose(file);
}

/* True where the openssl program opens "sealed" with that key; the plaintext is then in `plain`. */
static bool opens(const char *key, char *plain, size_t *length)
{
	char command[512];
	FILE *pipe;
	size_t size = *length;

	snprintf(command, sizeof(command),
		"openssl cms -decrypt -binary -inform DER -inkey %s/%s -in %s/sealed 2>/dev/null", folder,
		key, folder);
	pipe = popen(command, "r");
	assert_non_null(pipe);
	*length = fread(plain, 1, size, pipe);
	return pclose(pipe) == 0;
}

static int prepare(void **state)
{
	(void)state;
	return mkdtemp(folder) == NULL;
}

static int remove_all(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	return system(command);
}

static void only_the_right_key_opens(void **state)
{
	static unsigned char plain[100000];
	static char opened[sizeof(plain) + 1];
	unsigned char *spki, *other_spki, *der = NULL;
	size_t length = 0, opened_length = sizeof(opened);
	int n, other_n;
	EVP_PKEY *key = key_write("right.pem", "P-256", &spki, &n),
		 *other = key_write("wrong.pem", "P-256", &other_spki, &other_n);

	(void)state;
	for (size_t i = 0; i < sizeof(plain); i++)
		plain[i] = (unsigned char)(i * 7 + i / 255);
	assert_true(seal(
		(struct bytes){ spki, (size_t)n }, (struct bytes){ plain, sizeof(plain) }, &der, &length));
	file_write("sealed", der, length);
	assert_true(opens("right.pem", opened, &opened_length));
	assert_int_equal(opened_length, sizeof(plain));
	assert_memory_equal(opened, plain, sizeof(plain));
	opened_length = sizeof(opened);
	assert_false(opens("wrong.pem", opened, &opened_length));
	der[length - 20] ^= 1; /* the tag, or the text before it */
	file_write("sealed", der, length);
	opened_length = sizeof(opened);
	assert_false(opens("right.pem", opened, &opened_length));
	OPENSSL_free(der);
	OPENSSL_free(spki);
	OPENSSL_free(other_spki);
	EVP_PKEY_free(key);
	EVP_PKEY_free(other);
}

/* The algorithms of DESIGN.md section 4, by what openssl's own printer says. */
static void algorithms_are_those_of_the_contract(void **state)
{
	static const char *const wanted[] = { "id-smime-ct-authEnvelopedData", "aes-256-gcm",
		"id-aes256-wrap", "dhSinglePass-stdDH-sha256kdf-scheme", "rKeyId" };
	unsigned char *spki, *der = NULL;
	static char printed[20000];
	char command[256];
	size_t length = 0;
	FILE *pipe;
	int n;
	EVP_PKEY *key = key_write("right.pem", "P-256", &spki, &n);

	(void)state;
	assert_true(seal((struct bytes){ spki, (size_t)n }, (struct bytes){ spki, 16 }, &der, &length));
	file_write("sealed", der, length);
	snprintf(command, sizeof(command), "openssl cms -cmsout -print -noout -inform DER -in %s/sealed",
		folder);
	pipe = popen(command, "r");
	length = fread(printed, 1, sizeof(printed) - 1, pipe);
	printed[length] = '\0';
	assert_int_equal(pclose(pipe), 0);
	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
		if (strstr(printed, wanted[i]) == NULL)
			fail_msg("no %s in %s", wanted[i], printed);
	OPENSSL_free(der);
	OPENSSL_free(spki);
	EVP_PKEY_free(key);
}

static void other_keys_are_refused(void **state)
{
	unsigned char *spki, *der = NULL;
	size_t length;
	int n;
	EVP_PKEY *key = key_write("p384.pem", "P-384", &spki, &n);

	(void)state;
	assert_false(seal((struct bytes){ spki, (size_t)n }, (struct bytes){ spki, 16 }, &der, &length));
	assert_false(seal((struct bytes){ spki, 91 }, (struct bytes){ spki, 16 }, &der, &length));
	OPENSSL_free(spki);
	EVP_PKEY_free(key);
	key = key_write("right.pem", "P-256", &spki, &n);
	assert_int_equal(n, SPKI_P256);
	assert_null(cms_seal_new((struct bytes){ spki, 90 }));
	assert_null(cms_seal_new((struct bytes){ spki, 0 }));
	for (int i = 0; i < n;
		i++) { /* a changed head is another key type; a changed point is off the curve */
		spki[i] ^= 1;
		assert_null(cms_seal_new((struct bytes){ spki, SPKI_P256 }));
		spki[i] ^= 1;
	}
	OPENSSL_free(spki);
	EVP_PKEY_free(key);
}

/* Its own recipient is a point on the curve, and a whole seal to it comes out. */
static void sealing_is_made_ready(void **state)
{
	(void)state;
	assert_true(cms_seal_ready());
	assert_true(cms_seal_ready());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_the_right_key_opens),
		cmocka_unit_test(algorithms_are_those_of_the_contract),
		cmocka_unit_test(other_keys_are_refused),
		cmocka_unit_test(sealing_is_made_ready),
	};

	return cmocka_run_group_tests(tests, prepare, remove_all);
}
