/* A certificate request becomes a public key. Names, extensions and attributes in it are never looked at. */
#include "verifier/recipient.h"

#include "verifier/memory.h"
#include "verifier/reasons.h"

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/objects.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <string.h>

/* All of the DER, or NULL. */
static X509_REQ *request_decode(const unsigned char *der, long length)
{
	const unsigned char *at = der;
	X509_REQ *request = d2i_X509_REQ(NULL, &at, length);

	if (!request || at == der + length)
		return request;
	X509_REQ_free(request);
	return NULL;
}

/* The one PEM block of the text; NULL where there is none, or anything else besides. One that says in a
 * header that it is encrypted is none: OpenSSL would ask the terminal, or standard input, for a passphrase,
 * and whoever sends a request must never make this process wait for anyone. */
static X509_REQ *request_read(const char *pem, size_t length)
{
	static const char begin[] = "-----BEGIN CERTIFICATE REQUEST-----";
	static const char end[] = "-----END CERTIFICATE REQUEST-----";
	char *name = NULL, *header = NULL;
	unsigned char *der = NULL;
	X509_REQ *request = NULL;
	const char *tail;
	long der_length;
	BIO *bio;

	if (length < sizeof(begin) || memcmp(pem, begin, sizeof(begin) - 1) != 0)
		return NULL;
	tail = memmem(pem, length, end, sizeof(end) - 1);
	if (!tail)
		return NULL;
	tail += sizeof(end) - 1;
	while (tail < pem + length && strchr("\r\n\t ", *tail) && *tail)
		tail++;
	if (tail != pem + length)
		return NULL;
	bio = BIO_new_mem_buf(pem, (int)length);
	if (bio && PEM_read_bio(bio, &name, &header, &der, &der_length) == 1 && header[0] == '\0')
		request = request_decode(der, der_length);
	OPENSSL_free(name);
	OPENSSL_free(header);
	OPENSSL_free(der);
	BIO_free(bio);
	return request;
}

/* By its name: a curve that is spelled out in its parameters may be the same one, but has another encoding.
 */
static bool key_is_p256(EVP_PKEY *key)
{
	char group[32], encoding[32];
	size_t length;

	return EVP_PKEY_is_a(key, "EC") && EVP_PKEY_get_group_name(key, group, sizeof(group), &length) &&
	       strcmp(group, SN_X9_62_prime256v1) == 0 &&
	       EVP_PKEY_get_utf8_string_param(key, "encoding", encoding, sizeof(encoding), &length) &&
	       strcmp(encoding, "named_curve") == 0;
}

/* Our own encoding of the key, uncompressed, so that one key has one hash. */
static bool spki_encode(EVP_PKEY *key, struct recipient *recipient)
{
	unsigned char *at = recipient->spki;
	unsigned char point[65];
	size_t point_length;
	int length;

	/* importing a compressed point keeps that form: read the point out and in again */
	if (!EVP_PKEY_set_utf8_string_param(key, "point-format", "uncompressed") ||
		!EVP_PKEY_get_octet_string_param(key, "encoded-pub-key", point, sizeof(point), &point_length))
		return false;
	length = i2d_PUBKEY(key, NULL);
	if (length <= 0 || (size_t)length > sizeof(recipient->spki) || point_length != sizeof(point))
		return false;
	if (i2d_PUBKEY(key, &at) != length)
		return false;
	recipient->spki_length = (size_t)length;
	return EVP_Digest(
		recipient->spki, recipient->spki_length, recipient->sha256, NULL, EVP_sha256(), NULL);
}

enum outcome recipient_parse(
	const char *pem, size_t length, struct recipient *recipient, struct reason *reason)
{
	enum outcome outcome = FAULT;
	X509_REQ *request = NULL;
	EVP_PKEY *key = NULL;

	memory_begin();
	memset(recipient, 0, sizeof(*recipient));
	if (length > CSR_PEM_MAX) {
		outcome = refused(reason, REASON_MALFORMED, "csr: larger than %d bytes", CSR_PEM_MAX);
		goto out;
	}
	request = request_read(pem, length);
	if (!request) {
		outcome = refused(reason, REASON_MALFORMED, "csr: not one PEM block CERTIFICATE REQUEST");
		goto out;
	}
	key = X509_REQ_get_pubkey(request); /* checks that the point is on the curve */
	if (!key || !key_is_p256(key)) {
		outcome = refused(reason, REASON_MALFORMED, "csr: the key is not EC P-256");
		goto out;
	}
	if (X509_REQ_verify(request, key) != 1) {
		outcome = refused(reason, REASON_MALFORMED, "csr: its signature is not by its own key");
		goto out;
	}
	if (!spki_encode(key, recipient)) {
		outcome = fault(reason, REASON_INTERNAL, "csr: the key could not be encoded");
		goto out;
	}
	outcome = OK;
out:
	if (outcome == REFUSED && memory_was_out())
		outcome = fault(reason, REASON_INTERNAL, "csr: out of memory");
	ERR_clear_error();
	EVP_PKEY_free(key);
	X509_REQ_free(request);
	return outcome;
}

bool recipient_ready(void)
{
	/* of a key that nobody has kept */
	static const char request[] = "-----BEGIN CERTIFICATE REQUEST-----\n"
				      "MIG6MGICAQAwADBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABKSblB9mJYYNd/Vp\n"
				      "b6XxnpgyMP8lhbKS4vM4POunyw1pxFDqVPCc1DE6vKJsiaQyzWZZrM9FjnwB4qJs\n"
				      "0QB1MCagADAKBggqhkjOPQQDAgNIADBFAiAMrf75H1+6+SQfybfMbN6Rbi2hwkUA\n"
				      "qG9eGf1KpGsDjQIhANXU48a86on6Z+/qJSBmqn80c6DfIBzJ7QFcBSplcf5J\n"
				      "-----END CERTIFICATE REQUEST-----\n";
	struct recipient recipient;
	struct reason reason;

	return recipient_parse(request, sizeof(request) - 1, &recipient, &reason) == OK;
}
