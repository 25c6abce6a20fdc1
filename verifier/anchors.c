/* AWS's certificates and the challenge key, in one snapshot. A certificate is only ever found by its region's
 * name: there is no way to ask for "any that fits". It is taken as a named key and nothing more: who issued
 * it and what its extensions say are never looked at, and its dates are only told. */
#include "verifier/anchors.h"

#include "verifier/encoding.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

struct anchor {
	char region[REGION_SIZE];
	unsigned char sha256[32];
	time_t not_after;
	bool published;
	X509 *certificate;
};

struct anchors {
	unsigned references;
	size_t n;
	struct anchor anchor[ANCHORS_MAX];
	const unsigned char *challenge_key; /* borrowed */
};

struct anchors *anchors_new(void)
{
	struct anchors *anchors = calloc(1, sizeof(*anchors));

	if (anchors)
		anchors->references = 1;
	return anchors;
}

struct anchors *anchors_dup(struct anchors *anchors)
{
	__atomic_add_fetch(&anchors->references, 1, __ATOMIC_RELAXED);
	return anchors;
}

void anchors_free(struct anchors *anchors)
{
	size_t i;

	if (!anchors || __atomic_sub_fetch(&anchors->references, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	for (i = 0; i < anchors->n; i++)
		X509_free(anchors->anchor[i].certificate);
	free(anchors);
}

void anchors_set_challenge_key(struct anchors *anchors, const unsigned char key[CHALLENGE_KEY_SIZE])
{
	anchors->challenge_key = key;
}

const unsigned char *anchors_challenge_key(const struct anchors *anchors)
{
	return anchors->challenge_key;
}

/* ---- reading a certificate */

static bool blank(unsigned char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static struct bytes trim(struct bytes text)
{
	while (text.length && blank(text.data[0])) {
		text.data++;
		text.length--;
	}
	while (text.length && blank(text.data[text.length - 1]))
		text.length--;
	return text;
}

/* Does the text hold one block, as far as its marks tell, and nothing around it? OpenSSL skips whatever
 * stands before a block and never looks behind it. */
static bool pem_alone(struct bytes pem)
{
	static const char begin[] = "-----BEGIN CERTIFICATE-----";
	static const char end[] = "-----END CERTIFICATE-----";
	const unsigned char *tail;

	if (pem.length < sizeof(begin) || memcmp(pem.data, begin, sizeof(begin) - 1) != 0)
		return false;
	tail = memmem(pem.data, pem.length, end, sizeof(end) - 1);
	return tail && tail + sizeof(end) - 1 == pem.data + pem.length;
}

/* The caller owns it. NULL: not one certificate, or one that says that it is encrypted. */
static X509 *certificate_read(struct bytes pem)
{
	X509 *certificate = NULL;
	char *name = NULL, *header = NULL;
	unsigned char *der = NULL;
	long length = 0;
	BIO *bio;

	pem = trim(pem);
	if (!pem_alone(pem))
		return NULL;
	bio = BIO_new_mem_buf(pem.data, (int)pem.length);
	if (bio && PEM_read_bio(bio, &name, &header, &der, &length) && strcmp(name, "CERTIFICATE") == 0 &&
		header[0] == '\0') {
		const unsigned char *at = der;

		certificate = d2i_X509(NULL, &at, length);
		if (certificate && at != der + length) {
			X509_free(certificate);
			certificate = NULL;
		}
	}
	OPENSSL_free(name);
	OPENSSL_free(header);
	OPENSSL_free(der);
	BIO_free(bio);
	return certificate;
}

static bool key_is_rsa2048(const X509 *certificate)
{
	const EVP_PKEY *key = X509_get0_pubkey(certificate);

	return key && EVP_PKEY_is_a(key, "RSA") && EVP_PKEY_get_bits(key) == 2048;
}

/* Fills in all but the region and the certificate. */
static bool anchor_describe(struct anchor *anchor, const char *region, const X509 *certificate)
{
	const char *published = published_certificate(region);
	char sha256[HEX_SIZE(sizeof(anchor->sha256))];
	unsigned length = 0;
	struct tm tm;

	if (!X509_digest(certificate, EVP_sha256(), anchor->sha256, &length) ||
		!ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &tm))
		return false;
	hex_encode((struct bytes){ anchor->sha256, length }, sha256);
	anchor->published = published && strcmp(published, sha256) == 0;
	anchor->not_after = timegm(&tm);
	return true;
}

bool anchors_add(struct anchors *anchors, const char *region, struct bytes pem, struct complaint *complaint)
{
	struct anchor *anchor = &anchors->anchor[anchors->n];
	X509 *certificate = NULL;
	bool added = false;

	if (!region_valid(region))
		complain(complaint, "not a region's name");
	else if (anchors_have(anchors, region))
		complain(complaint, "%s has a certificate already", region);
	else if (anchors->n == ANCHORS_MAX)
		complain(complaint, "more than %d certificates", ANCHORS_MAX);
	else if (pem.length > ANCHOR_PEM_MAX)
		complain(complaint, "larger than %d bytes", ANCHOR_PEM_MAX);
	else if (!(certificate = certificate_read(pem)))
		complain(complaint, "not one PEM block CERTIFICATE with nothing around it");
	else if (!key_is_rsa2048(certificate))
		complain(complaint, "its key is not RSA with 2,048 bits: AWS signs the rsa2048 form with one "
				    "such key for each region");
	else if (!anchor_describe(anchor, region, certificate))
		complain(complaint, "its dates cannot be read");
	else
		added = true;
	if (added) {
		strcpy(anchor->region, region);
		anchor->certificate = certificate;
		anchors->n++;
	} else {
		X509_free(certificate);
	}
	ERR_clear_error();
	return added;
}

/* ---- asking */

X509 *anchors_certificate(const struct anchors *anchors, const char *region)
{
	for (size_t i = 0; i < anchors->n; i++)
		if (strcmp(anchors->anchor[i].region, region) == 0)
			return anchors->anchor[i].certificate;
	return NULL;
}

bool anchors_have(const struct anchors *anchors, const char *region)
{
	return anchors_certificate(anchors, region) != NULL;
}

struct anchor_about anchors_about(const struct anchors *anchors, size_t i)
{
	struct anchor_about about = { 0 };
	const struct anchor *anchor;

	if (i >= anchors->n)
		return about;
	anchor = &anchors->anchor[i];
	about.region = anchor->region;
	memcpy(about.sha256, anchor->sha256, sizeof(about.sha256));
	about.not_after = anchor->not_after;
	about.published = anchor->published;
	return about;
}
