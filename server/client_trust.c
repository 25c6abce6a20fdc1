/* The authorities of client_ca in a store of OpenSSL's, and chains verified against it. Must never trust what
 * a peer brings, nor take a certificate with bytes left over. The store does not change once it is loaded;
 * OpenSSL locks what it caches in it. */
#include "server/client_trust.h"

#include "server/answer.h"
#include "server/config.h"
#include "verifier/reasons.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

enum { SECURITY_LEVEL = 2, SECURITY_BITS = 112 }; /* of OpenSSL's security levels */

struct client_trust {
	X509_STORE *store;
	STACK_OF(X509) * authorities; /* those of the file, in its order */
	STACK_OF(X509_CRL) * lists;
	time_t ends; /* 0: nothing known yet */
};

/* ---- PEM files: blocks of one kind, and whatever text stands between them */

/* What one kind of block is, and where it goes. */
struct kind {
	const char *name; /* "CERTIFICATE" */
	bool (*add)(struct client_trust *, const unsigned char *der, long length);
};

static size_t marks_count(struct bytes text)
{
	static const char mark[] = "-----BEGIN";
	const unsigned char *at = text.data;
	const unsigned char *end = text.data + text.length;
	size_t n = 0;

	while ((at = memmem(at, (size_t)(end - at), mark, sizeof(mark) - 1))) {
		at += sizeof(mark) - 1;
		n++;
	}
	return n;
}

/* The next block of that kind, taken. False: there is none, or a bad one. */
static bool block_take(struct client_trust *trust, BIO *bio, const struct kind *kind)
{
	char *name = NULL, *header = NULL;
	unsigned char *der = NULL;
	long length = 0;
	bool taken;

	taken = PEM_read_bio(bio, &name, &header, &der, &length) && strcmp(name, kind->name) == 0 &&
		header[0] == '\0' && kind->add(trust, der, length);
	OPENSSL_free(name);
	OPENSSL_free(header);
	OPENSSL_free(der);
	return taken;
}

/* OpenSSL passes over what it does not take for a block, so the marks are counted too. */
static bool blocks_load(
	struct client_trust *trust, const char *path, const struct kind *kind, struct complaint *complaint)
{
	size_t marks, length, taken = 0;
	unsigned char *text = config_file_read(path, CLIENT_FILE_MAX, &length, complaint);
	BIO *bio;

	if (!text)
		return false;
	marks = marks_count((struct bytes){ text, length });
	bio = BIO_new_mem_buf(text, (int)length);
	while (bio && taken < CLIENT_AUTHORITIES_MAX && block_take(trust, bio, kind))
		taken++;
	BIO_free(bio);
	free(text);
	if (marks > CLIENT_AUTHORITIES_MAX)
		return complain(complaint, "%s: more than %d PEM blocks", path, CLIENT_AUTHORITIES_MAX);
	if (taken == 0 || taken != marks)
		return complain(complaint,
			"%s: block %zu is not a good PEM block %s, and nothing else may be in it", path,
			taken + 1, kind->name);
	return true;
}

/* ---- authorities and lists */

static void end_note(struct client_trust *trust, const ASN1_TIME *time)
{
	struct tm tm;
	time_t end;

	if (!time || !ASN1_TIME_to_tm(time, &tm))
		return;
	end = timegm(&tm);
	if (trust->ends == 0 || end < trust->ends)
		trust->ends = end;
}

static bool authority_add(struct client_trust *trust, const unsigned char *der, long length)
{
	const unsigned char *at = der;
	X509 *authority = d2i_X509(NULL, &at, length);
	bool added = false;

	if (authority && at == der + length && X509_STORE_add_cert(trust->store, authority) &&
		sk_X509_push(trust->authorities, authority)) {
		end_note(trust, X509_get0_notAfter(authority));
		added = true;
	}
	if (!added)
		X509_free(authority);
	return added;
}

static bool list_add(struct client_trust *trust, const unsigned char *der, long length)
{
	const unsigned char *at = der;
	X509_CRL *list = d2i_X509_CRL(NULL, &at, length);
	bool added = false;

	if (list && at == der + length && X509_STORE_add_crl(trust->store, list) &&
		sk_X509_CRL_push(trust->lists, list)) {
		end_note(trust, X509_CRL_get0_nextUpdate(list));
		added = true;
	}
	if (!added)
		X509_CRL_free(list);
	return added;
}

/* A name for a complaint: printable whatever it holds. */
static bool dn_complain(const X509_NAME *name, const char *path, const char *what, const char *mend,
	struct complaint *complaint)
{
	BIO *bio = BIO_new(BIO_s_mem());
	const char *text = NULL;
	long length = 0;

	if (bio && X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253) > 0)
		length = BIO_get_mem_data(bio, &text);
	complain(complaint, "%s: %s \"%.*s\"; %s", path, what, length > 200 ? 200 : (int)length,
		text ? text : "", mend);
	BIO_free(bio);
	return false;
}

/* Authorities, each and every one, and somewhere for a chain to end. */
static bool authorities_check(const struct client_trust *trust, const char *path, struct complaint *complaint)
{
	bool rooted = false;
	int i;

	for (i = 0; i < sk_X509_num(trust->authorities); i++) {
		X509 *authority = sk_X509_value(trust->authorities, i);
		const EVP_PKEY *key = X509_get0_pubkey(authority);

		if (X509_check_ca(authority) != 1)
			return dn_complain(X509_get_subject_name(authority), path,
				"no authority's:", "name authorities here, and who may come in audit_access",
				complaint);
		if (!key || EVP_PKEY_get_security_bits(key) < SECURITY_BITS)
			return dn_complain(X509_get_subject_name(authority), path,
				"a key of no known kind, or too weak:",
				"RSA from 2,048 bits or P-256 is wanted", complaint);
		rooted = rooted || (X509_get_extension_flags(authority) & EXFLAG_SS);
	}
	return rooted || complain(complaint,
				 "%s: no root in it, so no chain can end; add the authority that has signed "
				 "itself",
				 path);
}

static bool lists_check(const struct client_trust *trust, const char *path, struct complaint *complaint)
{
	int i, j;

	for (i = 0; i < sk_X509_num(trust->authorities); i++) {
		const X509_NAME *name = X509_get_subject_name(sk_X509_value(trust->authorities, i));
		bool found = false;

		for (j = 0; j < sk_X509_CRL_num(trust->lists); j++)
			found = found ||
				X509_NAME_cmp(
					name, X509_CRL_get_issuer(sk_X509_CRL_value(trust->lists, j))) == 0;
		if (!found)
			return dn_complain(name, path, "no list of",
				"add it, one PEM block behind the other: each authority of client_ca needs "
				"one",
				complaint);
	}
	return true;
}

/* ---- the store */

static bool store_set_up(struct client_trust *trust, bool lists)
{
	X509_VERIFY_PARAM *param = X509_STORE_get0_param(trust->store);

	X509_VERIFY_PARAM_set_depth(param, CLIENT_CHAIN_MAX);
	X509_VERIFY_PARAM_set_auth_level(param, SECURITY_LEVEL);
	return X509_VERIFY_PARAM_set_purpose(param, X509_PURPOSE_SSL_CLIENT) &&
	       X509_VERIFY_PARAM_set_trust(param, X509_TRUST_SSL_CLIENT) &&
	       (!lists ||
		       X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL));
}

static struct client_trust *client_trust_new(bool lists)
{
	struct client_trust *trust = calloc(1, sizeof(*trust));

	if (!trust)
		return NULL;
	trust->store = X509_STORE_new();
	trust->authorities = sk_X509_new_null();
	trust->lists = sk_X509_CRL_new_null();
	if (!trust->store || !trust->authorities || !trust->lists || !store_set_up(trust, lists)) {
		client_trust_free(trust);
		return NULL;
	}
	return trust;
}

struct client_trust *client_trust_load(const struct tls_files *files, struct complaint *complaint)
{
	static const struct kind certificates = { "CERTIFICATE", authority_add };
	static const struct kind lists = { "X509 CRL", list_add };
	bool with_lists = files->client_crl[0] != '\0';
	struct client_trust *trust = client_trust_new(with_lists);
	bool loaded;

	if (!trust) {
		complain(complaint, "out of memory");
		return NULL;
	}
	loaded = blocks_load(trust, files->client_ca, &certificates, complaint) &&
		 authorities_check(trust, files->client_ca, complaint) &&
		 (!with_lists || (blocks_load(trust, files->client_crl, &lists, complaint) &&
					 lists_check(trust, files->client_crl, complaint)));
	ERR_clear_error();
	if (loaded)
		return trust;
	client_trust_free(trust);
	return NULL;
}

void client_trust_free(struct client_trust *trust)
{
	if (!trust)
		return;
	sk_X509_pop_free(trust->authorities, X509_free);
	sk_X509_CRL_pop_free(trust->lists, X509_CRL_free);
	X509_STORE_free(trust->store);
	free(trust);
}

time_t client_trust_ends(const struct client_trust *trust)
{
	return trust->ends;
}

/* ---- a chain */

static X509 *certificate_parse(struct bytes der)
{
	const unsigned char *at = der.data;
	X509 *certificate = NULL;

	if (der.length <= CLIENT_CERTIFICATE_MAX)
		certificate = d2i_X509(NULL, &at, (long)der.length);
	if (certificate && at != der.data + der.length) {
		X509_free(certificate);
		certificate = NULL;
	}
	return certificate;
}

/* All of them, the peer's own first; NULL with the reason. */
static STACK_OF(X509) * chain_parse(const struct bytes chain[], size_t n, struct reason *reason)
{
	STACK_OF(X509) *certificates = NULL;
	size_t parsed = 0;

	if (n < 1 || n > CLIENT_CHAIN_MAX) {
		(void)refused(reason, REASON_UNAUTHORIZED, "client certificates: %zu, not 1 to %d", n,
			CLIENT_CHAIN_MAX);
		return NULL;
	}
	certificates = sk_X509_new_null();
	while (certificates && parsed < n) {
		X509 *certificate = certificate_parse(chain[parsed]);

		if (!certificate || !sk_X509_push(certificates, certificate)) {
			X509_free(certificate);
			break;
		}
		parsed++;
	}
	if (parsed == n)
		return certificates;
	(void)refused(reason, REASON_UNAUTHORIZED, "client certificate %zu: none, or larger than %d bytes",
		parsed + 1, CLIENT_CERTIFICATE_MAX);
	sk_X509_pop_free(certificates, X509_free);
	return NULL;
}

/* Path validation leaves these open: to it an authority's own certificate is as good as another, and one
 * without extensions is fit for everything. */
static bool leaf_check(X509 *leaf, struct reason *reason)
{
	if (X509_check_purpose(leaf, -1, 0) != 1)
		(void)refused(reason, REASON_UNAUTHORIZED, "client certificate: unreadable extensions");
	else if (X509_get_version(leaf) != X509_VERSION_3)
		(void)refused(reason, REASON_UNAUTHORIZED, "client certificate: not version 3");
	else if (X509_check_ca(leaf) != 0)
		(void)refused(reason, REASON_UNAUTHORIZED, "client certificate: an authority's own");
	else
		return true;
	return false;
}

static bool chain_verify(
	struct client_trust *trust, STACK_OF(X509) * certificates, time_t now, struct reason *reason)
{
	X509_STORE_CTX *context = X509_STORE_CTX_new();
	bool verified = false;
	int error;

	if (!context ||
		!X509_STORE_CTX_init(context, trust->store, sk_X509_value(certificates, 0), certificates)) {
		(void)fault(reason, REASON_INTERNAL, "client certificate: out of memory");
		goto out;
	}
	X509_STORE_CTX_set_time(context, 0, now);
	if (X509_verify_cert(context) != 1) {
		error = X509_STORE_CTX_get_error(context);
		(void)refused(reason, REASON_UNAUTHORIZED, "client certificate: %s (%d, depth %d)",
			X509_verify_cert_error_string(error), error, X509_STORE_CTX_get_error_depth(context));
		goto out;
	}
	verified = true;
out:
	X509_STORE_CTX_free(context);
	return verified;
}

X509 *client_trust_verify(
	struct client_trust *trust, const struct bytes chain[], size_t n, time_t now, struct reason *reason)
{
	STACK_OF(X509) *certificates = chain_parse(chain, n, reason);
	X509 *leaf = NULL;

	if (certificates && leaf_check(sk_X509_value(certificates, 0), reason) &&
		chain_verify(trust, certificates, now, reason)) {
		leaf = sk_X509_value(certificates, 0);
		X509_up_ref(leaf);
	}
	sk_X509_pop_free(certificates, X509_free);
	ERR_clear_error();
	return leaf;
}
