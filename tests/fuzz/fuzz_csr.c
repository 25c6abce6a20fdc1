/* Certificate requests. What begins as DER is put into PEM first. What is taken is a P-256 key in our own
 * encoding. */
#include "tests/fuzz/pem.h"
#include "verifier/reasons.h"
#include "verifier/recipient.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <string.h>

static void key_in_form(const struct recipient *recipient)
{
	const unsigned char *at = recipient->spki;
	EVP_PKEY *key = d2i_PUBKEY(NULL, &at, (long)recipient->spki_length);
	unsigned char sha256[32];

	MUST_HOLD(key && at == recipient->spki + recipient->spki_length);
	MUST_HOLD(EVP_PKEY_is_a(key, "EC") && EVP_PKEY_get_bits(key) == 256);
	MUST_HOLD(recipient->spki_length == 91);
	MUST_HOLD(EVP_Digest(recipient->spki, recipient->spki_length, sha256, NULL, EVP_sha256(), NULL));
	MUST_HOLD(memcmp(sha256, recipient->sha256, sizeof(sha256)) == 0);
	EVP_PKEY_free(key);
}

static bool parse(const char *pem, size_t length)
{
	struct recipient recipient;
	struct reason reason = { NULL, "" };
	enum outcome outcome = recipient_parse(pem, length, &recipient, &reason);

	MUST_HOLD(outcome == OK || outcome == REFUSED);
	MUST_HOLD(outcome == OK || (strcmp(reason.code, REASON_MALFORMED) == 0 && reason.text[0]));
	MUST_HOLD(ERR_peek_error() == 0);
	if (outcome == OK)
		key_in_form(&recipient);
	return outcome == OK;
}

static void parse_der(const unsigned char *der, size_t length)
{
	size_t used;
	char *pem = pem_of("CERTIFICATE REQUEST", der, length, &used);
	const unsigned char *at = der;
	X509_REQ *request;

	if (parse(pem, used)) {
		request = d2i_X509_REQ(NULL, &at, (long)length);
		MUST_HOLD(request && at == der + length);
		X509_REQ_free(request);
	}
	free(pem);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size > INPUT_MAX)
		return 0;
	if (size && data[0] == 0x30)
		parse_der(data, size);
	else
		(void)parse((const char *)data, size);
	return 0;
}
