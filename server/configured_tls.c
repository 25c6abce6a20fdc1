/* The files of one listener's TLS, looked at before anything listens. Reads files, and nothing else; what it
 * reads of a key is wiped. */
#include "server/client_trust.h"
#include "server/config.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { TLS_FILE_MAX = 1 << 20 };

/* Called where a key is behind a passphrase: there is none, and nobody is asked. */
static int passphrase_none(char *text, int size, int writing, void *context)
{
	(void)text;
	(void)size;
	(void)writing;
	(void)context;
	return -1;
}

static X509 *certificate_load(const char *path, struct complaint *complaint)
{
	X509 *certificate = NULL;
	size_t length;
	unsigned char *text = config_file_read(path, TLS_FILE_MAX, &length, complaint);
	BIO *bio = text ? BIO_new_mem_buf(text, (int)length) : NULL;

	if (bio)
		certificate = PEM_read_bio_X509(bio, NULL, passphrase_none, NULL);
	if (text && !certificate)
		complain(complaint,
			"%s: no certificate in PEM; the server's own comes first, then those that lead to "
			"the "
			"root",
			path);
	BIO_free(bio);
	free(text);
	return certificate;
}

static EVP_PKEY *key_load(const char *path, struct complaint *complaint)
{
	EVP_PKEY *key = NULL;
	size_t length;
	unsigned char *text = config_file_read(path, TLS_FILE_MAX, &length, complaint);
	BIO *bio = text ? BIO_new_mem_buf(text, (int)length) : NULL;

	if (bio)
		key = PEM_read_bio_PrivateKey(bio, NULL, passphrase_none, NULL);
	if (text && !key)
		complain(complaint, "%s: no key in PEM without a passphrase", path);
	BIO_free(bio);
	if (text)
		OPENSSL_cleanse(text, length);
	free(text);
	return key;
}

static bool key_is_private(const char *path, struct complaint *complaint)
{
	struct stat status;

	return stat(path, &status) != 0 || !(status.st_mode & S_IRWXO) ||
	       complain(complaint, "%s: everybody may use this key; run: chmod o= %s", path, path);
}

static bool pair_check(
	const struct tls_files *files, time_t now, struct complaint *warning, struct complaint *complaint)
{
	X509 *certificate = certificate_load(files->certificate, complaint);
	EVP_PKEY *key = certificate && key_is_private(files->key, complaint) ? key_load(files->key, complaint)
									     : NULL;
	bool pair = key && X509_check_private_key(certificate, key) == 1;

	if (key && !pair)
		complain(complaint, "%s: not the key of the first certificate in %s", files->key,
			files->certificate);
	if (pair && X509_cmp_time(X509_get0_notAfter(certificate), &now) <= 0)
		complain(warning, "%s: the certificate has expired", files->certificate);
	X509_free(certificate);
	EVP_PKEY_free(key);
	return pair;
}

bool config_tls_check(
	const struct tls_files *files, time_t now, struct complaint *warning, struct complaint *complaint)
{
	struct client_trust *trust = NULL;
	bool good = pair_check(files, now, warning, complaint);

	if (good && files->client_ca[0]) {
		trust = client_trust_load(files, complaint);
		good = trust != NULL;
	}
	if (trust && !warning->text[0] && client_trust_ends(trust) <= now)
		complain(warning, "%s%s%s: an authority or a list is over", files->client_ca,
			files->client_crl[0] ? ", " : "", files->client_crl);
	client_trust_free(trust);
	ERR_clear_error();
	return good;
}
