/* Certificates that an operator brings: refused with the mend, or an RSA key of 2,048 bits whose certificate
 * has one hash however its PEM was spelled. What begins as DER is put into PEM first. */
#include "tests/fuzz/pem.h"
#include "verifier/anchors.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <string.h>

#define REGION "us-east-1"

/* In OpenSSL's spelling. */
static struct anchor_about written_again(X509 *certificate, struct anchors **anchors)
{
	BIO *bio = BIO_new(BIO_s_mem());
	struct complaint complaint;
	char *text;
	long length;

	MUST_HOLD(bio && PEM_write_bio_X509(bio, certificate) == 1);
	length = BIO_get_mem_data(bio, &text);
	*anchors = anchors_new();
	MUST_HOLD(anchors_add(
		*anchors, REGION, (struct bytes){ (const unsigned char *)text, (size_t)length }, &complaint));
	BIO_free(bio);
	return anchors_about(*anchors, 0);
}

static void anchor_fits(const struct anchors *anchors)
{
	X509 *certificate = anchors_certificate(anchors, REGION);
	struct anchor_about about = anchors_about(anchors, 0), again;
	struct anchors *others;

	MUST_HOLD(certificate && strcmp(about.region, REGION) == 0 && !anchors_about(anchors, 1).region);
	MUST_HOLD(EVP_PKEY_is_a(X509_get0_pubkey(certificate), "RSA"));
	MUST_HOLD(EVP_PKEY_get_bits(X509_get0_pubkey(certificate)) == 2048);
	again = written_again(certificate, &others);
	MUST_HOLD(memcmp(about.sha256, again.sha256, sizeof(about.sha256)) == 0);
	MUST_HOLD(about.not_after == again.not_after && about.published == again.published);
	anchors_free(others);
}

static void add(const unsigned char *pem, size_t length)
{
	struct anchors *anchors = anchors_new();
	struct complaint complaint = { "" };

	MUST_HOLD(anchors);
	if (anchors_add(anchors, REGION, (struct bytes){ pem, length }, &complaint)) {
		anchor_fits(anchors);
		MUST_HOLD(!anchors_add(anchors, REGION, (struct bytes){ pem, length }, &complaint));
	} else {
		MUST_HOLD(complaint.text[0] && !anchors_have(anchors, REGION));
	}
	MUST_HOLD(ERR_peek_error() == 0);
	anchors_free(anchors);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t used;
	char *pem;

	if (size > INPUT_MAX)
		return 0;
	if (size == 0 || data[0] != 0x30) {
		add(data, size);
		return 0;
	}
	pem = pem_of("CERTIFICATE", data, size, &used);
	add((const unsigned char *)pem, used);
	free(pem);
	return 0;
}
