/* Client certificates: whatever DER comes, with an intermediate authority beside it, only what the root's key
 * or the intermediate's has really signed is somebody (their keys were thrown away); and a name matches a
 * rule only where it stands in the certificate's own bytes. */
#include "server/certificate_rule.h"
#include "server/client_trust.h"
#include "server/config.h"
#include "tests/fuzz/fuzz.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include <string.h>

#define CORPUS "tests/fuzz/corpus/client_certificate/"

enum { NOW = 1800000000, GOOD = 2, DER_MAX = 1024 };

static struct client_trust *trust;
static unsigned char middle[DER_MAX], good[GOOD][DER_MAX];
static size_t middle_length, good_length[GOOD];

static size_t file_read(const char *path, unsigned char *data)
{
	FILE *file = fopen(path, "rb");
	size_t length = file ? fread(data, 1, DER_MAX, file) : 0;

	MUST_HOLD(file && fclose(file) == 0);
	return length;
}

static void world_make(void)
{
	static struct tls_files files = { .client_ca = "tests/fuzz/client_certificate.pem" };
	struct complaint complaint = { "" };

	trust = client_trust_load(&files, &complaint);
	MUST_HOLD(trust);
	middle_length = file_read(CORPUS "mid.der", middle);
	good_length[0] = file_read(CORPUS "leaf.der", good[0]);
	good_length[1] = file_read(CORPUS "below.der", good[1]);
	for (unsigned i = 0; i < GOOD; i++) {
		const struct bytes chain[2] = { { good[i], good_length[i] }, { middle, middle_length } };
		struct reason reason = { 0 };
		X509 *certificate = client_trust_verify(trust, chain, 2, NOW, &reason);

		MUST_HOLD(certificate);
		X509_free(certificate);
	}
}

/* What was signed: the signature itself has more than one spelling. */
static bool same_content(X509 *a, const unsigned char *der, size_t length)
{
	X509 *b = d2i_X509(NULL, &der, (long)length);
	unsigned char *of_a = NULL, *of_b = NULL;
	int n_a = i2d_re_X509_tbs(a, &of_a);
	int n_b = i2d_re_X509_tbs(b, &of_b);
	bool same = n_a > 0 && n_a == n_b && memcmp(of_a, of_b, (size_t)n_a) == 0;

	OPENSSL_free(of_a);
	OPENSSL_free(of_b);
	X509_free(b);
	return same;
}

/* The bytes hold the text, in any case. */
static bool holds(const uint8_t *data, size_t size, const char *text)
{
	size_t length = strlen(text);
	size_t i;

	for (i = 0; i + length <= size; i++)
		if (strncasecmp((const char *)data + i, text, length) == 0)
			return true;
	return false;
}

static void names_try(const uint8_t *data, size_t size)
{
	static const struct certificate_rule dns = { .dns = "*.audit.example.com" };
	static const struct certificate_rule email = { .email = "a@example.com" };
	static const struct certificate_rule uri = { .uri = "urn:a" };
	static const struct certificate_rule subject = { .subject = "CN=Leaf,O=Example" };
	const unsigned char *at = data;
	X509 *certificate = d2i_X509(NULL, &at, (long)size);

	if (!certificate)
		return;
	MUST_HOLD(!certificate_rule_matches(&dns, certificate) || holds(data, size, ".audit.example.com"));
	MUST_HOLD(!certificate_rule_matches(&email, certificate) || holds(data, size, "a@example.com"));
	MUST_HOLD(!certificate_rule_matches(&uri, certificate) || holds(data, size, "urn:a"));
	MUST_HOLD(!certificate_rule_matches(&subject, certificate) || holds(data, size, "Leaf"));
	X509_free(certificate);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes chain[2] = { { data, size }, { middle, 0 } };
	struct reason reason = { 0 };
	X509 *certificate;

	if (!trust)
		world_make();
	chain[1].length = middle_length;
	certificate = client_trust_verify(trust, chain, 2, NOW, &reason);
	if (certificate)
		MUST_HOLD(same_content(certificate, good[0], good_length[0]) ||
			  same_content(certificate, good[1], good_length[1]));
	X509_free(certificate);
	names_try(data, size);
	ERR_clear_error();
	return 0;
}
