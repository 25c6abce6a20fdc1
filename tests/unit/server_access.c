/* Client certificates against client_ca and client_crl: the good case, and every single change to it refused
 * for its own reason. Then who it is: tokens, certificates, and the order of the entries. */
#include "server/access.h"
#include "server/config.h"
#include "tests/unit/certificate_fixture.h"

#include <openssl/err.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[] = "/tmp/vouchsafe-access-XXXXXX";
static struct tls_files files, files_with_list; /* of client_trust_load: root; and its empty list */
static struct issuer root, middle, stranger;
static struct client_trust *trust;

/* ---- files */

static const char *path_of(const char *name)
{
	static char path[100];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	return path;
}

static void text_write(const char *path, const char *text, size_t length)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_int_equal(fwrite(text, 1, length, file), length);
	assert_int_equal(fclose(file), 0);
}

/* Certificates, then lists; NULL-terminated both. */
static void pem_write(const char *path, X509 *const certificates[], X509_CRL *const lists[])
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	for (; certificates && *certificates; certificates++)
		assert_true(PEM_write_X509(file, *certificates));
	for (; lists && *lists; lists++)
		assert_true(PEM_write_X509_CRL(file, *lists));
	assert_int_equal(fclose(file), 0);
}

static struct client_trust *load(const struct tls_files *from)
{
	struct complaint complaint = { "" };
	struct client_trust *loaded = client_trust_load(from, &complaint);

	if (!loaded)
		fail_msg("%s", complaint.text);
	return loaded;
}

/* A trust with lists beside the root. */
static struct client_trust *trust_with_lists(X509_CRL *const lists[])
{
	struct client_trust *loaded;

	pem_write(files_with_list.client_crl, NULL, lists);
	loaded = load(&files_with_list);
	for (; *lists; lists++)
		X509_CRL_free(*lists);
	return loaded;
}

static int set_up(void **state)
{
	(void)state;
	if (!mkdtemp(folder))
		return -1;
	root = authority_of("Root", NULL);
	middle = authority_of("Middle", &root);
	stranger = authority_of("Root", NULL); /* of the same name */
	snprintf(files.client_ca, sizeof(files.client_ca), "%s/ca.pem", folder);
	files_with_list = files;
	snprintf(files_with_list.client_crl, sizeof(files.client_crl), "%s/crl.pem", folder);
	pem_write(files.client_ca, (X509 *[]){ root.certificate, NULL }, NULL);
	trust = load(&files);
	return 0;
}

static int tear_down(void **state)
{
	static const char *const names[] = { "ca.pem", "crl.pem", "other.pem", "own.pem", "own.key" };

	(void)state;
	client_trust_free(trust);
	issuer_clear(&root);
	issuer_clear(&middle);
	issuer_clear(&stranger);
	EVP_PKEY_free(shared_key());
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		unlink(path_of(names[i]));
	return rmdir(folder);
}

/* ---- chains */

struct chain {
	struct bytes certificates[CLIENT_CHAIN_MAX + 1];
	unsigned char *der[CLIENT_CHAIN_MAX + 1];
	size_t n;
};

static void chain_add(struct chain *chain, X509 *certificate)
{
	int length = i2d_X509(certificate, &chain->der[chain->n]);

	assert_true(length > 0);
	chain->certificates[chain->n] = (struct bytes){ chain->der[chain->n], (size_t)length };
	chain->n++;
}

static void chain_clear(struct chain *chain)
{
	while (chain->n > 0)
		OPENSSL_free(chain->der[--chain->n]);
	*chain = (struct chain){ .n = 0 };
}

/* NULL: verified. Otherwise the reason, good until the next call. */
static const char *verdict(struct client_trust *with, const struct chain *chain, time_t now)
{
	static struct reason reason;
	X509 *leaf;

	reason = (struct reason){ 0 };
	leaf = client_trust_verify(with, chain->certificates, chain->n, now, &reason);
	assert_int_equal(ERR_peek_error(), 0);
	assert_true(!leaf == (reason.code != NULL));
	X509_free(leaf);
	return leaf ? NULL : reason.text;
}

/* What comes of a leaf like that, issued by `issuer` (NULL: itself), with `more` behind it. */
static const char *verdict_of(struct client_trust *with, const struct likeness *like,
	const struct issuer *issuer, X509 *more, time_t now)
{
	X509 *leaf = certificate_of(like, issuer);
	struct chain chain = { 0 };
	const char *text;

	chain_add(&chain, leaf);
	if (more)
		chain_add(&chain, more);
	text = verdict(with, &chain, now);
	chain_clear(&chain);
	X509_free(leaf);
	return text;
}

static void assert_verdict(const char *text, const char *words)
{
	if (!words && text)
		fail_msg("refused: %s", text);
	if (words && (!text || !strstr(text, words)))
		fail_msg("%s, expected: %s", text ? text : "verified", words);
}

static void good_ones(void **state)
{
	static const struct likeness usual = { .san = "DNS:a.example.com" };
	static const struct likeness free_use = { .extended = "" };
	static const struct likeness both = { .extended = "serverAuth,clientAuth" };
	static const struct likeness plain = { .constraints = "critical,CA:FALSE",
		.usage = "critical,digitalSignature" };

	(void)state;
	assert_verdict(verdict_of(trust, &usual, &root, NULL, NOW), NULL);
	assert_verdict(verdict_of(trust, &free_use, &root, NULL, NOW), NULL);
	assert_verdict(verdict_of(trust, &both, &root, NULL, NOW), NULL);
	assert_verdict(verdict_of(trust, &plain, &root, NULL, NOW), NULL);
	assert_verdict(verdict_of(trust, &usual, &root, root.certificate, NOW), NULL);
	assert_verdict(verdict_of(trust, &usual, &root, stranger.certificate, NOW), NULL);
	assert_verdict(verdict_of(trust, &usual, &middle, middle.certificate, NOW), NULL);
	assert_verdict(verdict_of(trust, &usual, &root, NULL, NOW - DAY), NULL);
	assert_verdict(verdict_of(trust, &usual, &root, NULL, NOW + DAY - 1), NULL);
}

static void attack_41_single_changes(void **state)
{
	EVP_PKEY *rsa1024 = EVP_RSA_gen(1024);
	const struct {
		struct likeness like;
		const struct issuer *issuer;
		X509 *more;
		const char *words;
	} cases[] = {
		{ { .from = -2, .until = -1 }, &root, NULL, "certificate has expired" },
		{ { .from = 1, .until = 2 }, &root, NULL, "not yet valid" },
		{ { .extended = "serverAuth" }, &root, NULL, "unsuitable certificate purpose" },
		{ { .extended = "anyExtendedKeyUsage" }, &root, NULL, "unsuitable certificate purpose" },
		{ { .extended = "emailProtection,codeSigning" }, &root, NULL, "unsuitable certificate" },
		{ { .usage = "critical,keyEncipherment" }, &root, NULL, "unsuitable certificate purpose" },
		{ { .key = rsa1024 }, &root, NULL, "key too weak" },
		{ { .digest = EVP_sha1() }, &root, NULL, "digest algorithm too weak" },
		{ { .version_1 = true }, &root, NULL, "not version 3" },
		{ { .constraints = "critical,CA:TRUE" }, &root, NULL, "an authority's own" },
		{ { .usage = "keyCertSign,digitalSignature" }, &root, NULL, "an authority's own" },
		{ { .san = NULL }, &stranger, NULL, "certificate signature failure" },
		{ { .san = NULL }, &stranger, stranger.certificate, "certificate signature failure" },
		{ { .san = NULL }, NULL, NULL, "self-signed certificate" },
		{ { .subject = { { "CN", "Root" } } }, NULL, NULL, "self-signed certificate" },
		{ { .san = NULL }, &middle, NULL, "unable to get local issuer" },
		{ { .san = NULL }, &middle, root.certificate, "unable to get local issuer" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_verdict(verdict_of(trust, &cases[i].like, cases[i].issuer, cases[i].more, NOW),
			cases[i].words);
	EVP_PKEY_free(rsa1024);
}

/* What is wrong stands in between. */
static void bad_issuers(void **state)
{
	static const struct likeness leaf = { .san = "DNS:a.example.com" };
	const struct {
		struct likeness like;
		const char *words;
	} cases[] = {
		{ { .constraints = "critical,CA:TRUE", .extended = "" }, NULL },
		{ { .constraints = "critical,CA:FALSE", .extended = "" }, "invalid CA certificate" },
		{ { .extended = "" }, "invalid CA certificate" },
		{ { .usage = "keyCertSign", .extended = "" }, "invalid CA certificate" },
		{ { .constraints = "critical,CA:TRUE", .usage = "cRLSign", .extended = "" },
			"invalid CA certificate" },
		{ { .constraints = "critical,CA:TRUE", .extended = "serverAuth" }, "unsuitable certificate" },
		{ { .constraints = "critical,CA:TRUE", .extended = "", .from = -2, .until = -1 },
			"certificate has expired (10, depth 1)" },
		{ { .constraints = "critical,CA:TRUE", .extended = "", .digest = EVP_sha1() },
			"digest algorithm too weak" },
		{ { .constraints = "critical,CA:TRUE", .extended = "", .names = "permitted;DNS:example.com" },
			NULL },
		{ { .constraints = "critical,CA:TRUE", .extended = "", .names = "permitted;DNS:example.org" },
			"permitted subtree violation" },
		{ { .version_1 = true }, "invalid CA certificate" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct likeness like = cases[i].like;
		struct issuer between = { NULL, shared_key() };

		like.subject[0] = (struct attribute){ "CN", "Between" };
		between.certificate = certificate_of(&like, &root);
		assert_verdict(verdict_of(trust, &leaf, &between, between.certificate, NOW), cases[i].words);
		X509_free(between.certificate);
	}
}

static void path_length(void **state)
{
	static const struct likeness leaf = { 0 };
	const struct likeness last = {
		.subject = { { "CN", "Last" } }, .constraints = "critical,CA:TRUE,pathlen:0", .extended = ""
	};
	const struct likeness beyond = {
		.subject = { { "CN", "Beyond" } }, .constraints = "critical,CA:TRUE", .extended = ""
	};
	struct issuer one = { certificate_of(&last, &root), shared_key() };
	struct issuer two = { certificate_of(&beyond, &one), shared_key() };
	X509 *end = certificate_of(&leaf, &two);
	struct chain chain = { 0 };

	(void)state;
	chain_add(&chain, end);
	chain_add(&chain, two.certificate);
	chain_add(&chain, one.certificate);
	assert_verdict(verdict(trust, &chain, NOW), "path length");
	chain_clear(&chain);
	X509_free(end);
	X509_free(two.certificate);
	X509_free(one.certificate);
}

static void critical_stranger(void **state)
{
	static const struct likeness like = { 0 };
	X509 *leaf = certificate_form(&like, &root);
	struct chain chain = { 0 };

	(void)state;
	extension_add(leaf, OBJ_create("1.3.6.1.4.1.99999.1", "strange", "strange"), "critical,DER:05:00");
	certificate_sign(leaf, root.key, NULL);
	chain_add(&chain, leaf);
	assert_verdict(verdict(trust, &chain, NOW), "unhandled critical extension");
	chain_clear(&chain);
	X509_free(leaf);
}

/* An authority's own certificate names it, and it holds the key: still nobody. */
static void authorities_as_leaves(void **state)
{
	struct chain chain = { 0 };

	(void)state;
	chain_add(&chain, root.certificate);
	assert_verdict(verdict(trust, &chain, NOW), "an authority's own");
	chain_clear(&chain);
	chain_add(&chain, middle.certificate);
	assert_verdict(verdict(trust, &chain, NOW), "an authority's own");
	chain_clear(&chain);
}

static void sizes(void **state)
{
	static const struct likeness like = { 0 };
	X509 *leaf = certificate_of(&like, &root);
	struct chain chain = { 0 };
	unsigned char *longer;
	size_t length;

	(void)state;
	assert_verdict(verdict(trust, &chain, NOW), "client certificates: 0, not 1 to 8");
	chain_add(&chain, leaf);
	while (chain.n < CLIENT_CHAIN_MAX)
		chain_add(&chain, middle.certificate);
	assert_verdict(verdict(trust, &chain, NOW), NULL);
	chain_add(&chain, middle.certificate);
	assert_verdict(verdict(trust, &chain, NOW), "client certificates: 9, not 1 to 8");
	chain_clear(&chain);

	chain_add(&chain, leaf);
	length = chain.certificates[0].length;
	longer = calloc(1, length + 1);
	memcpy(longer, chain.der[0], length);
	chain.certificates[0] = (struct bytes){ longer, length + 1 };
	assert_verdict(verdict(trust, &chain, NOW), "client certificate 1: none");
	chain.certificates[0].length = length;
	assert_verdict(verdict(trust, &chain, NOW), NULL);
	chain.certificates[0].length = length - 1;
	assert_verdict(verdict(trust, &chain, NOW), "client certificate 1: none");
	chain.certificates[0].length = 0;
	assert_verdict(verdict(trust, &chain, NOW), "client certificate 1: none");
	chain_clear(&chain);
	free(longer);
	X509_free(leaf);
}

/* A good leaf of exactly so many bytes. */
static X509 *leaf_of_size(int size)
{
	static char comment[CLIENT_CERTIFICATE_MAX];
	const struct likeness like = { .comment = comment };
	int length = 0;

	memset(comment, 0, sizeof(comment));
	memset(comment, 'x', 16000);
	for (;;) {
		X509 *leaf = certificate_of(&like, &root); /* signatures are of various lengths */

		length = i2d_X509(leaf, NULL);
		if (length == size)
			return leaf;
		X509_free(leaf);
		if (length < size - 3)
			memset(comment + 16000, 'x', (size_t)(size - length));
	}
}

static void largest(void **state)
{
	(void)state;
	for (int more = 0; more <= 1; more++) {
		X509 *leaf = leaf_of_size(CLIENT_CERTIFICATE_MAX + more);
		struct chain chain = { .n = 0 };

		chain_add(&chain, leaf);
		assert_verdict(verdict(trust, &chain, NOW), more ? "larger than 16384 bytes" : NULL);
		chain_clear(&chain);
		X509_free(leaf);
	}
}

static void second_bad(void **state)
{
	static const struct likeness like = { 0 };
	X509 *leaf = certificate_of(&like, &root);
	struct chain chain = { 0 };

	(void)state;
	chain_add(&chain, leaf);
	chain_add(&chain, middle.certificate);
	chain.certificates[1].length--;
	assert_verdict(verdict(trust, &chain, NOW), "client certificate 2: none");
	chain_clear(&chain);
	X509_free(leaf);
}

/* ---- revocation */

static void attack_41_revoked(void **state)
{
	static const struct likeness seven = { .serial = 7 }, eight = { .serial = 8 };
	struct client_trust *with = trust_with_lists((X509_CRL *[]){ list_of(&root, 7, -DAY, DAY), NULL });

	(void)state;
	assert_verdict(verdict_of(with, &seven, &root, NULL, NOW), "certificate revoked");
	assert_verdict(verdict_of(with, &eight, &root, NULL, NOW), NULL);
	assert_verdict(verdict_of(trust, &seven, &root, NULL, NOW), NULL);
	client_trust_free(with);
}

static void lists_of_another_time(void **state)
{
	static const struct likeness like = { 0 };
	struct client_trust *with = trust_with_lists((X509_CRL *[]){ list_of(&root, 7, -2, -1), NULL });

	(void)state;
	assert_verdict(verdict_of(with, &like, &root, NULL, NOW), "CRL has expired");
	assert_int_equal(client_trust_ends(with), NOW - 1);
	client_trust_free(with);
	with = trust_with_lists((X509_CRL *[]){ list_of(&root, 7, 1, 2), NULL });
	assert_verdict(verdict_of(with, &like, &root, NULL, NOW), "CRL is not yet valid");
	client_trust_free(with);
	assert_int_equal(client_trust_ends(trust), NOW + 10 * DAY);
}

/* Of the right name, signed by another. */
static void list_of_a_stranger(void **state)
{
	static const struct likeness like = { 0 };
	struct client_trust *with = trust_with_lists(
		(X509_CRL *[]){ list_of(&stranger, 7, -DAY, DAY), NULL });

	(void)state;
	assert_verdict(verdict_of(with, &like, &root, NULL, NOW), "CRL signature failure");
	client_trust_free(with);
}

static void attack_41_issuers_revoked(void **state)
{
	static const struct likeness like = { .serial = 5 };
	struct client_trust *with = trust_with_lists((X509_CRL *[]){ list_of(&root, 7, -DAY, DAY), NULL });

	(void)state;
	assert_verdict(verdict_of(with, &like, &middle, middle.certificate, NOW),
		"unable to get certificate CRL (3, depth 0)");
	client_trust_free(with);
	with = trust_with_lists(
		(X509_CRL *[]){ list_of(&root, 7, -DAY, DAY), list_of(&middle, 7, -DAY, DAY), NULL });
	assert_verdict(verdict_of(with, &like, &middle, middle.certificate, NOW), NULL);
	client_trust_free(with);
	with = trust_with_lists(
		(X509_CRL *[]){ list_of(&root, 77, -DAY, DAY), list_of(&middle, 7, -DAY, DAY), NULL });
	assert_verdict(verdict_of(with, &like, &middle, middle.certificate, NOW),
		"certificate revoked (23, depth 1)");
	client_trust_free(with);
}

/* ---- files that are not what they should be */

static void assert_not_loaded(const struct tls_files *from, const char *words)
{
	struct complaint complaint = { "" };

	assert_null(client_trust_load(from, &complaint));
	if (strncmp(complaint.text, "/tmp/", 5) != 0 || !strstr(complaint.text, words))
		fail_msg("%s, expected: %s", complaint.text, words);
	assert_int_equal(ERR_peek_error(), 0);
}

static struct tls_files other_ca(void)
{
	struct tls_files other = files;

	strcpy(other.client_ca, path_of("other.pem"));
	return other;
}

static void authorities_in_files(void **state)
{
	static const struct likeness like = { 0 };
	const struct tls_files other = other_ca();
	EVP_PKEY *rsa1024 = EVP_RSA_gen(1024);
	const struct likeness frail = {
		.subject = { { "CN", "Weak" } }, .constraints = "critical,CA:TRUE", .key = rsa1024
	};
	X509 *leaf = certificate_of(&like, &root), *alone = certificate_of(&like, NULL);
	X509 *weak = certificate_of(&frail, NULL);
	X509 *many[CLIENT_AUTHORITIES_MAX + 2] = { NULL };
	struct client_trust *with;

	(void)state;
	pem_write(other.client_ca, (X509 *[]){ root.certificate, middle.certificate, NULL }, NULL);
	with = load(&other);
	assert_verdict(verdict_of(with, &like, &middle, NULL, NOW), NULL);
	client_trust_free(with);
	pem_write(other.client_ca, (X509 *[]){ middle.certificate, NULL }, NULL);
	assert_not_loaded(&other, "no root in it");
	pem_write(other.client_ca, (X509 *[]){ root.certificate, leaf, NULL }, NULL);
	assert_not_loaded(&other, "no authority's: \"CN=tester,O=Example\"");
	pem_write(other.client_ca, (X509 *[]){ alone, NULL }, NULL);
	assert_not_loaded(&other, "no authority's: \"CN=tester,O=Example\"");
	pem_write(other.client_ca, (X509 *[]){ weak, NULL }, NULL);
	assert_not_loaded(&other, "too weak: \"CN=Weak\"");
	for (size_t i = 0; i <= CLIENT_AUTHORITIES_MAX; i++)
		many[i] = root.certificate;
	pem_write(other.client_ca, many, NULL);
	assert_not_loaded(&other, "more than 64");
	many[CLIENT_AUTHORITIES_MAX] = NULL;
	pem_write(other.client_ca, many, NULL);
	client_trust_free(load(&other));
	X509_free(leaf);
	X509_free(alone);
	X509_free(weak);
	EVP_PKEY_free(rsa1024);
}

/* One byte of the file is another, or the file something else. */
static void broken_files(void **state)
{
	struct tls_files other = other_ca();
	static char text[20000];
	X509_CRL *list = list_of(&root, 0, -DAY, DAY);
	size_t length;
	FILE *file;

	(void)state;
	text_write(other.client_ca, "", 0);
	assert_not_loaded(&other, "block 1 is not a good PEM block CERTIFICATE");
	text_write(other.client_ca, "nothing\n", 8);
	assert_not_loaded(&other, "block 1 is not");
	pem_write(other.client_ca, (X509 *[]){ root.certificate, NULL }, (X509_CRL *[]){ list, NULL });
	assert_not_loaded(&other, "block 2 is not");
	pem_write(other.client_ca, NULL, (X509_CRL *[]){ list, NULL });
	assert_not_loaded(&other, "block 1 is not");
	pem_write(other.client_ca, (X509 *[]){ root.certificate, root.certificate, NULL }, NULL);
	file = fopen(other.client_ca, "r");
	length = fread(text, 1, sizeof(text), file);
	fclose(file);
	text_write(other.client_ca, text, length - 30); /* without its end */
	assert_not_loaded(&other, "block 2 is not");
	text_write(other.client_ca, text, length);
	client_trust_free(load(&other));
	text[length / 2 + 40] = '!';
	text_write(other.client_ca, text, length);
	assert_not_loaded(&other, "block 2 is not");
	unlink(other.client_ca);
	assert_not_loaded(&other, "No such file");
	strcpy(other.client_ca, folder);
	assert_not_loaded(&other, "not a regular file");
	X509_CRL_free(list);
}

static void broken_lists(void **state)
{
	struct tls_files both = other_ca();
	X509_CRL *list = list_of(&root, 0, -DAY, DAY);

	(void)state;
	strcpy(both.client_crl, files_with_list.client_crl);
	pem_write(both.client_ca, (X509 *[]){ root.certificate, middle.certificate, NULL }, NULL);
	pem_write(both.client_crl, NULL, (X509_CRL *[]){ list, NULL });
	assert_not_loaded(&both, "no list of \"CN=Middle\"");
	pem_write(both.client_crl, (X509 *[]){ root.certificate, NULL }, NULL);
	assert_not_loaded(&both, "block 1 is not a good PEM block X509 CRL");
	text_write(both.client_crl, "", 0);
	assert_not_loaded(&both, "block 1 is not");
	unlink(both.client_crl);
	assert_not_loaded(&both, "No such file");
	X509_CRL_free(list);
}

/* ---- the listener's own pair beside them */

static void assert_check(
	const struct tls_files *from, time_t now, const char *warned, const char *refused_for)
{
	struct complaint complaint = { "" }, warning = { "" };
	bool good = config_tls_check(from, now, &warning, &complaint);

	if (good != !refused_for || !strstr(complaint.text, refused_for ? refused_for : "") ||
		!warning.text[0] != !warned || !strstr(warning.text, warned ? warned : ""))
		fail_msg("%s: %s; warned: %s", good ? "good" : "bad", complaint.text, warning.text);
	assert_int_equal(ERR_peek_error(), 0);
}

static void key_write(const char *path, EVP_PKEY *key, const EVP_CIPHER *cipher)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_true(PEM_write_PrivateKey(file, key, cipher, (const unsigned char *)"x", 1, NULL, NULL));
	assert_int_equal(fclose(file), 0);
	assert_int_equal(chmod(path, 0640), 0);
}

static void pairs(void **state)
{
	static const struct likeness like = { .extended = "serverAuth", .until = 20 * DAY };
	X509 *certificate = certificate_of(&like, &root);
	struct tls_files own = files;

	(void)state;
	strcpy(own.certificate, path_of("own.pem"));
	strcpy(own.key, path_of("own.key"));
	assert_check(&own, NOW, NULL, "own.pem: No such file");
	pem_write(own.certificate, (X509 *[]){ certificate, root.certificate, NULL }, NULL);
	assert_check(&own, NOW, NULL, "own.key: No such file");
	key_write(own.key, shared_key(), NULL);
	assert_check(&own, NOW, NULL, NULL);
	assert_int_equal(chmod(own.key, 0641), 0);
	assert_check(&own, NOW, NULL, "everybody may use this key; run: chmod o=");
	assert_int_equal(chmod(own.key, 0600), 0);
	assert_check(&own, NOW + 20 * DAY, "own.pem: the certificate has expired", NULL);
	assert_check(&own, NOW + 11 * DAY, "an authority or a list is over", NULL);
	strcpy(own.client_ca, path_of("none.pem"));
	assert_check(&own, NOW, NULL, "none.pem: No such file");
	own.client_ca[0] = '\0';
	assert_check(&own, NOW, NULL, NULL);
	key_write(own.key, root.key, NULL);
	assert_check(&own, NOW, NULL, "own.key: not the key of the first certificate in");
	key_write(own.key, shared_key(), EVP_aes_256_cbc());
	assert_check(&own, NOW, NULL, "without a passphrase");
	text_write(own.certificate, "nothing\n", 8);
	assert_check(&own, NOW, NULL, "no certificate in PEM");
	unlink(own.certificate);
	unlink(own.key);
	X509_free(certificate);
}

/* ---- who it is */

static struct config config;

static struct audit_access *entry_add(const char *name, enum access_role role)
{
	struct audit_access *access = &config.access[config.n_access++];

	*access = (struct audit_access){ .role = role };
	strcpy(access->name, name);
	return access;
}

static void token_add(const char *name, enum access_role role, const char *token)
{
	assert_true(EVP_Digest(
		token, strlen(token), entry_add(name, role)->token_sha256, NULL, EVP_sha256(), NULL));
}

static void rule_add(const char *name, enum access_role role, const char *dns)
{
	struct audit_access *access = entry_add(name, role);

	access->by_certificate = true;
	strcpy(access->certificate.dns, dns);
}

static void attack_41_tokens(void **state)
{
	(void)state;
	config.n_access = 0;
	rule_add("rule", ACCESS_OPERATOR, "a.example.com");
	token_add("first", ACCESS_AUDITOR, "t1");
	token_add("second", ACCESS_ON_CALL, "t2");
	token_add("shadow", ACCESS_OPERATOR, "t1");
	assert_ptr_equal(access_by_token(&config, "Bearer t1"), &config.access[1]);
	assert_ptr_equal(access_by_token(&config, "Bearer t2"), &config.access[2]);
	assert_null(access_by_token(&config, "Bearer t3"));
	assert_null(access_by_token(&config, "Bearer t1 "));
	assert_null(access_by_token(&config, "Bearer  t1"));
	assert_null(access_by_token(&config, "Bearer "));
	assert_null(access_by_token(&config, "bearer t1"));
	assert_null(access_by_token(&config, "Basic t1"));
	assert_null(access_by_token(&config, "t1"));
	assert_null(access_by_token(&config, ""));
	config.n_access = 1;
	memset(config.access[0].token_sha256, 0, 32);
	assert_true(EVP_Digest("t1", 2, config.access[0].token_sha256, NULL, EVP_sha256(), NULL));
	assert_null(access_by_token(&config, "Bearer t1")); /* an entry is one or the other */
	config.n_access = 0;
	assert_null(access_by_token(&config, "Bearer t1"));
}

static const struct audit_access *who(const char *san, const struct issuer *issuer, time_t now)
{
	const struct likeness like = { .san = san };
	X509 *leaf = certificate_of(&like, issuer);
	const struct audit_access *access;
	struct chain chain = { 0 };

	chain_add(&chain, leaf);
	access = access_by_certificate(&config, trust, chain.certificates, chain.n, now);
	assert_null(access_by_certificate(&config, NULL, chain.certificates, chain.n, now));
	chain_clear(&chain);
	X509_free(leaf);
	return access;
}

static void attack_41_certificates(void **state)
{
	(void)state;
	config.n_access = 0;
	token_add("token", ACCESS_OPERATOR, "t1");
	rule_add("one", ACCESS_ON_CALL, "a.example.com");
	rule_add("any", ACCESS_AUDITOR, "*.example.com");
	rule_add("shadow", ACCESS_OPERATOR, "a.example.com");
	assert_ptr_equal(who("DNS:a.example.com", &root, NOW), &config.access[1]);
	assert_ptr_equal(who("DNS:b.example.com", &root, NOW), &config.access[2]);
	assert_ptr_equal(who("DNS:b.example.com,DNS:a.example.com", &root, NOW), &config.access[1]);
	assert_null(who("DNS:b.example.org", &root, NOW));
	assert_null(who(NULL, &root, NOW));
	assert_null(who("DNS:a.example.com", &stranger, NOW));
	assert_null(who("DNS:a.example.com", NULL, NOW));
	assert_null(who("DNS:a.example.com", &root, NOW + 2 * DAY));
	assert_null(access_by_certificate(&config, trust, NULL, 0, NOW));
}

/* ---- many at once */

static void *verify_often(void *context)
{
	const struct chain *chain = context;
	intptr_t good = 0;

	for (int i = 0; i < 50; i++)
		good += access_by_certificate(&config, trust, chain->certificates, chain->n, NOW) ==
			&config.access[0];
	return (void *)good;
}

static void threads(void **state)
{
	static const struct likeness like = { .san = "DNS:a.example.com" };
	X509 *leaf = certificate_of(&like, &middle);
	struct chain chain = { 0 };
	pthread_t thread[4];

	(void)state;
	config.n_access = 0;
	rule_add("one", ACCESS_AUDITOR, "a.example.com");
	chain_add(&chain, leaf);
	chain_add(&chain, middle.certificate);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, verify_often, &chain), 0);
	for (size_t i = 0; i < 4; i++) {
		void *good;

		assert_int_equal(pthread_join(thread[i], &good), 0);
		assert_int_equal((intptr_t)good, 50);
	}
	chain_clear(&chain);
	X509_free(leaf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_ones),
		cmocka_unit_test(attack_41_single_changes),
		cmocka_unit_test(bad_issuers),
		cmocka_unit_test(path_length),
		cmocka_unit_test(critical_stranger),
		cmocka_unit_test(authorities_as_leaves),
		cmocka_unit_test(sizes),
		cmocka_unit_test(largest),
		cmocka_unit_test(second_bad),
		cmocka_unit_test(attack_41_revoked),
		cmocka_unit_test(lists_of_another_time),
		cmocka_unit_test(list_of_a_stranger),
		cmocka_unit_test(attack_41_issuers_revoked),
		cmocka_unit_test(authorities_in_files),
		cmocka_unit_test(broken_files),
		cmocka_unit_test(broken_lists),
		cmocka_unit_test(pairs),
		cmocka_unit_test(attack_41_tokens),
		cmocka_unit_test(attack_41_certificates),
		cmocka_unit_test(threads),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
