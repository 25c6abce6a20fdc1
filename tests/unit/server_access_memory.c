/* Memory runs out at every single allocation of OpenSSL's while a client certificate is verified and matched:
 * whoever it is not is nobody, and whoever it is is that one or nobody, never another. */
#include "server/access.h"
#include "server/config.h"
#include "tests/unit/certificate_fixture.h"

#include <openssl/err.h>
#include <unistd.h>

static long fails_at, count; /* 0: none does */

static void *counted_malloc(size_t size, const char *file, int line)
{
	(void)file;
	(void)line;
	return fails_at && ++count == fails_at ? NULL : malloc(size);
}

static void *counted_realloc(void *old, size_t size, const char *file, int line)
{
	(void)file;
	(void)line;
	return fails_at && ++count == fails_at ? NULL : realloc(old, size);
}

static void counted_free(void *block, const char *file, int line)
{
	(void)file;
	(void)line;
	free(block);
}

static struct config config;

struct scene {
	struct issuer root, middle;
	X509_CRL *lists[2];
	struct tls_files files;
	unsigned char *der[2];
	struct bytes chain[2];
};

/* One who is, by the second entry; the list has him or not. */
static void scene_open(struct scene *scene, bool revoked)
{
	const struct likeness like = { .san = "DNS:a.example.com", .serial = 7 };
	FILE *file;
	X509 *leaf;

	scene->root = authority_of("Root", NULL);
	scene->middle = authority_of("Middle", &scene->root);
	scene->lists[0] = list_of(&scene->root, 8, -DAY, DAY);
	scene->lists[1] = list_of(&scene->middle, revoked ? 7 : 8, -DAY, DAY);
	leaf = certificate_of(&like, &scene->middle);
	for (int i = 0; i < 2; i++) {
		scene->chain[i].length = (size_t)i2d_X509(
			i == 0 ? leaf : scene->middle.certificate, &scene->der[i]);
		scene->chain[i].data = scene->der[i];
	}
	X509_free(leaf);
	strcpy(scene->files.client_ca, "/tmp/vouchsafe-access-XXXXXX");
	strcpy(scene->files.client_crl, "/tmp/vouchsafe-access-XXXXXX");
	file = fdopen(mkstemp(scene->files.client_ca), "w");
	assert_true(file && PEM_write_X509(file, scene->root.certificate));
	assert_int_equal(fclose(file), 0);
	file = fdopen(mkstemp(scene->files.client_crl), "w");
	assert_true(file && PEM_write_X509_CRL(file, scene->lists[0]) &&
		    PEM_write_X509_CRL(file, scene->lists[1]));
	assert_int_equal(fclose(file), 0);
}

static void scene_close(struct scene *scene)
{
	unlink(scene->files.client_ca);
	unlink(scene->files.client_crl);
	for (int i = 0; i < 2; i++) {
		OPENSSL_free(scene->der[i]);
		X509_CRL_free(scene->lists[i]);
	}
	issuer_clear(&scene->root);
	issuer_clear(&scene->middle);
}

/* The allocation of that number fails, in what stands behind the comma. */
#define FAILING(number, call) (count = 0, fails_at = (number), (call), fails_at = 0, ERR_clear_error())

static const struct audit_access *ask(const struct scene *scene, struct client_trust *trust, long fail)
{
	const struct audit_access *access;

	FAILING(fail, access = access_by_certificate(&config, trust, scene->chain, 2, NOW));
	return access;
}

/* One trust for all of it: what failed once must not stay in its store. */
static void verifying(void **state)
{
	(void)state;
	for (int revoked = 0; revoked <= 1; revoked++) {
		const struct audit_access *expected = revoked ? NULL : &config.access[1];
		struct scene scene = { .der = { NULL } };
		struct complaint complaint;
		struct client_trust *trust;
		long last;

		scene_open(&scene, revoked);
		trust = client_trust_load(&scene.files, &complaint);
		assert_non_null(trust);
		assert_ptr_equal(ask(&scene, trust, LONG_MAX), expected);
		last = count;
		print_message("%ld allocations\n", last);
		assert_true(last > 500);
		for (long fail = 1; fail <= last; fail++) {
			const struct audit_access *access = ask(&scene, trust, fail);

			assert_true(!access || access == expected);
		}
		assert_ptr_equal(ask(&scene, trust, 0), expected);
		client_trust_free(trust);
		scene_close(&scene);
	}
}

/* What is loaded all the same is as good as ever. */
static void loading(void **state)
{
	(void)state;
	for (int revoked = 0; revoked <= 1; revoked++) {
		const struct audit_access *expected = revoked ? NULL : &config.access[1];
		struct scene scene = { .der = { NULL } };
		struct complaint complaint;
		struct client_trust *trust;
		unsigned loaded = 0;
		long last;

		scene_open(&scene, revoked);
		FAILING(LONG_MAX, trust = client_trust_load(&scene.files, &complaint));
		assert_non_null(trust);
		client_trust_free(trust);
		last = count;
		assert_true(last > 200);
		for (long fail = 1; fail <= last; fail++) {
			FAILING(fail, trust = client_trust_load(&scene.files, &complaint));
			if (!trust)
				continue;
			assert_ptr_equal(ask(&scene, trust, 0), expected);
			client_trust_free(trust);
			loaded++;
		}
		print_message("%ld allocations, %u got over\n", last, loaded);
		assert_true(loaded < last);
		scene_close(&scene);
	}
}

static int set_up(void **state)
{
	(void)state;
	config.n_access = 2;
	config.access[0].by_certificate = config.access[1].by_certificate = true;
	strcpy(config.access[0].certificate.dns, "b.example.com");
	strcpy(config.access[1].certificate.dns, "a.example.com");
	strcpy(config.access[1].certificate.issuer, "CN=Middle");
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	EVP_PKEY_free(shared_key());
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(verifying),
		cmocka_unit_test(loading),
	};

	if (!CRYPTO_set_mem_functions(counted_malloc, counted_realloc, counted_free))
		return 1;
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
