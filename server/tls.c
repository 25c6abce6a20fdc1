/* Certificates for GnuTLS. Its callback is told nothing but the session, so there is one for each listener,
 * with a place of its own. A handshake keeps pointing into the pair that it was given: an old pair is freed
 * only when no handshake of its time can be under way any more. */
#include "server/tls.h"

#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <openssl/crypto.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

enum {
	FILE_MAX = 256 * 1024,
	RETIRED_SECONDS = 300 /* longer than any handshake: connections have a deadline of seconds */
};

const char tls_priorities[] = "SECURE128:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:-RSA:-CIPHER-ALL:"
			      "+AES-256-GCM:+AES-128-GCM:+CHACHA20-POLY1305:-MAC-ALL:+AEAD";

struct pair {
	gnutls_pcert_st chain[TLS_CHAIN_MAX];
	unsigned n_chain;
	gnutls_privkey_t key;
	long long not_after;
	time_t retired;
	struct pair *next; /* retired before it */
};

struct tls {
	unsigned place;
	struct tls_files files;
	pthread_mutex_t lock; /* of the two pointers */
	struct pair *pair;
	struct pair *retired;
};

static struct tls *places[TLS_LISTENERS];

/* ---- a pair */

static void pair_free(struct pair *pair)
{
	unsigned i;

	if (!pair)
		return;
	for (i = 0; i < pair->n_chain; i++)
		gnutls_pcert_deinit(&pair->chain[i]);
	if (pair->key)
		gnutls_privkey_deinit(pair->key);
	free(pair);
}

static bool chain_load(struct pair *pair, const char *path, struct complaint *complaint)
{
	size_t length = 0;
	unsigned char *text = config_file_read(path, FILE_MAX, &length, complaint);
	const gnutls_datum_t pem = { text, (unsigned)length };
	gnutls_x509_crt_t leaf = NULL;
	bool loaded = false;

	if (!text)
		return false;
	pair->n_chain = TLS_CHAIN_MAX;
	if (gnutls_pcert_list_import_x509_raw(pair->chain, &pair->n_chain, &pem, GNUTLS_X509_FMT_PEM, 0) <
		0) {
		pair->n_chain = 0;
	} else if (gnutls_pcert_export_x509(&pair->chain[0], &leaf) == 0) {
		pair->not_after = gnutls_x509_crt_get_expiration_time(leaf);
		gnutls_x509_crt_deinit(leaf);
		loaded = true;
	}
	free(text);
	return loaded ||
	       complain(complaint,
		       "%s: not 1 to %d certificates in PEM; put the server's own first, then those "
		       "that lead to its CA",
		       path, TLS_CHAIN_MAX);
}

static bool key_load(struct pair *pair, const char *path, struct complaint *complaint)
{
	size_t length = 0;
	unsigned char *text = config_file_read(path, FILE_MAX, &length, complaint);
	gnutls_datum_t pem;
	int error;

	if (!text)
		return false;
	pem = (gnutls_datum_t){ text, (unsigned)length };
	error = gnutls_privkey_init(&pair->key);
	if (error == 0)
		error = gnutls_privkey_import_x509_raw(pair->key, &pem, GNUTLS_X509_FMT_PEM, NULL, 0);
	OPENSSL_cleanse(text, length);
	free(text);
	return error == 0 || complain(complaint, "%s: not a private key in PEM without a passphrase (%s)",
				     path, gnutls_strerror(error));
}

static struct pair *pair_load(const struct tls_files *files, struct complaint *complaint)
{
	struct pair *pair = calloc(1, sizeof(*pair));
	struct complaint over = { "" }; /* who opened it says so: tls_not_after */

	if (!pair)
		complain(complaint, "out of memory");
	else if (config_tls_check(files, time(NULL), &over, complaint) &&
		 chain_load(pair, files->certificate, complaint) && key_load(pair, files->key, complaint))
		return pair;
	pair_free(pair);
	return NULL;
}

/* ---- handshakes */

static int certificate_give(struct tls *tls, gnutls_session_t session, gnutls_pcert_st **chain,
	unsigned *n_chain, gnutls_privkey_t *key)
{
	pthread_mutex_lock(&tls->lock);
	*chain = tls->pair->chain;
	*n_chain = tls->pair->n_chain;
	*key = tls->pair->key;
	pthread_mutex_unlock(&tls->lock);
	if (tls->files.client_ca[0])
		gnutls_certificate_server_set_request(session, GNUTLS_CERT_REQUEST);
	return 0;
}

#define CALLBACK(n)                                                                                          \
	static int certificate_##n(gnutls_session_t session, const struct gnutls_cert_retr_st *info,         \
		gnutls_pcert_st **chain, unsigned *n_chain, gnutls_ocsp_data_st **ocsp, unsigned *n_ocsp,    \
		gnutls_privkey_t *key, unsigned *flags)                                                      \
	{                                                                                                    \
		(void)info;                                                                                  \
		*ocsp = NULL;                                                                                \
		*n_ocsp = 0;                                                                                 \
		*flags = 0; /* all of it stays ours */                                                       \
		return certificate_give(places[n], session, chain, n_chain, key);                            \
	}
CALLBACK(0)
CALLBACK(1)

void *tls_certificate_callback(struct tls *tls)
{
	static gnutls_certificate_retrieve_function3 *const callbacks[TLS_LISTENERS] = { certificate_0,
		certificate_1 };

	return (void *)callbacks[tls->place];
}

size_t tls_peer_chain(void *session, struct bytes chain[TLS_CHAIN_MAX])
{
	unsigned n = 0;
	const gnutls_datum_t *shown = gnutls_certificate_get_peers(session, &n);
	unsigned i;

	if (!shown || n > TLS_CHAIN_MAX)
		return 0;
	for (i = 0; i < n; i++)
		chain[i] = (struct bytes){ shown[i].data, shown[i].size };
	return n;
}

/* ---- open, reload, close */

struct tls *tls_open(const struct tls_files *files, struct complaint *complaint)
{
	struct tls *tls = calloc(1, sizeof(*tls));

	if (!tls) {
		complain(complaint, "out of memory");
		return NULL;
	}
	tls->files = *files;
	while (tls->place < TLS_LISTENERS && places[tls->place])
		tls->place++;
	if (tls->place < TLS_LISTENERS)
		tls->pair = pair_load(files, complaint);
	if (!tls->pair) {
		free(tls);
		return NULL;
	}
	pthread_mutex_init(&tls->lock, NULL);
	places[tls->place] = tls;
	return tls;
}

/* Frees those that were retired so long ago that nobody can be using them; `now` 0: all. */
static struct pair *retired_free(struct pair *pair, time_t now)
{
	if (!pair)
		return NULL;
	pair->next = retired_free(pair->next, now);
	if (now && now - pair->retired < RETIRED_SECONDS)
		return pair;
	pair_free(pair);
	return NULL;
}

bool tls_reload(struct tls *tls, struct complaint *complaint)
{
	struct pair *pair = pair_load(&tls->files, complaint);
	struct timespec now;

	if (!pair)
		return false;
	clock_gettime(CLOCK_MONOTONIC, &now);
	pthread_mutex_lock(&tls->lock);
	tls->pair->retired = now.tv_sec;
	tls->pair->next = retired_free(tls->retired, now.tv_sec);
	tls->retired = tls->pair;
	tls->pair = pair;
	pthread_mutex_unlock(&tls->lock);
	return true;
}

void tls_close(struct tls *tls)
{
	if (!tls)
		return;
	places[tls->place] = NULL;
	(void)retired_free(tls->retired, 0);
	pair_free(tls->pair);
	pthread_mutex_destroy(&tls->lock);
	free(tls);
}

long long tls_not_after(struct tls *tls)
{
	long long not_after;

	pthread_mutex_lock(&tls->lock);
	not_after = tls->pair->not_after;
	pthread_mutex_unlock(&tls->lock);
	return not_after;
}
