/* Identity documents. What begins as DER is a blob, what begins as a JSON object is content, which is put
 * into a blob; all else is base64. Nobody here has a key, so what verifies must be one of the documents that
 * were signed for it; and with the signature waived, what is taken must be in form. */
#include "tests/fuzz/fuzz.h"
#include "verifier/document.h"
#include "verifier/encoding.h"

#include <openssl/err.h>
#include <openssl/pkcs7.h>
#include <string.h>

#define OWN_REGION "us-east-1" /* tests/fuzz/document.pem; its key was thrown away */
#define OWN_INSTANCE "i-0123456789abcdef0"
#define AWS_REGION "us-west-2" /* where the vectors are there */
#define AWS_INSTANCE "i-078517ca8a70a1dde"

static struct anchors *anchors;
static PKCS7 *skeleton; /* a signed blob, for other content */
static bool waived; /* the signature */

/* Linked in the place of OpenSSL's (-Wl,--wrap): behind a signature nothing can be reached by guessing. */
int __real_PKCS7_verify(PKCS7 *, STACK_OF(X509) *, X509_STORE *, BIO *, BIO *, int);
int __wrap_PKCS7_verify(PKCS7 *, STACK_OF(X509) *, X509_STORE *, BIO *, BIO *, int);

int __wrap_PKCS7_verify(
	PKCS7 *p7, STACK_OF(X509) * certificates, X509_STORE *store, BIO *in, BIO *out, int flags)
{
	int verified = __real_PKCS7_verify(p7, certificates, store, in, out, flags);

	return waived ? 1 : verified;
}

static size_t file_read(const char *path, unsigned char *data, size_t size)
{
	FILE *file = fopen(path, "rb");
	size_t length = file ? fread(data, 1, size, file) : 0;

	if (file)
		fclose(file);
	return length;
}

/* Else the target would be busy with the first clause alone, and nobody would notice. */
static void seed_verifies(const unsigned char *blob, size_t length)
{
	char text[BASE64_SIZE(ANCHOR_PEM_MAX)];
	struct document document;
	struct reason reason;

	base64_encode((struct bytes){ blob, length }, text);
	MUST_HOLD(document_verify(anchors, OWN_REGION, text, strlen(text), &document, &reason) == OK);
	MUST_HOLD(strcmp(document.instance_id, OWN_INSTANCE) == 0);
}

static void set_up(void)
{
	unsigned char data[ANCHOR_PEM_MAX];
	const unsigned char *at = data;
	struct complaint complaint;
	size_t length = file_read("tests/fuzz/document.pem", data, sizeof(data));

	anchors = anchors_new();
	MUST_HOLD(anchors_add(anchors, OWN_REGION, (struct bytes){ data, length }, &complaint));
	length = file_read("../shared/vectors/aws-certificates/" AWS_REGION ".pem", data, sizeof(data));
	if (length)
		MUST_HOLD(anchors_add(anchors, AWS_REGION, (struct bytes){ data, length }, &complaint));
	length = file_read("tests/fuzz/corpus/document/signed.der", data, sizeof(data));
	skeleton = d2i_PKCS7(NULL, &at, (long)length);
	MUST_HOLD(skeleton);
	seed_verifies(data, length);
}

static void facts_in_form(const struct document *document, const char *region)
{
	struct in_addr address;

	MUST_HOLD(strcmp(document->region, region) == 0);
	MUST_HOLD(instance_id_valid(document->instance_id));
	MUST_HOLD(account_id_valid(document->account_id));
	MUST_HOLD(instance_type_valid(document->instance_type));
	MUST_HOLD(resource_id_valid("ami-", document->image_id));
	MUST_HOLD(address_decode(document->private_ip, &address));
	MUST_HOLD(strncmp(document->availability_zone, region, strlen(region)) == 0);
}

static enum outcome verify(const char *region, const char *text, size_t length, struct document *document)
{
	static const struct document nothing;
	struct reason reason = { NULL, "" };
	enum outcome outcome = document_verify(anchors, region, text, length, document, &reason);

	MUST_HOLD(outcome == OK || outcome == REFUSED);
	MUST_HOLD(outcome == OK || (strcmp(reason.code, REASON_DOCUMENT) == 0 && reason.text[0]));
	MUST_HOLD(outcome == OK || memcmp(document, &nothing, sizeof(nothing)) == 0);
	MUST_HOLD(ERR_peek_error() == 0);
	return outcome;
}

static void verify_both_ways(const char *region, const char *instance, const char *text, size_t length)
{
	struct document document, again;

	waived = false;
	if (verify(region, text, length, &document) == OK) {
		MUST_HOLD(strcmp(document.instance_id, instance) == 0);
		waived = true;
		MUST_HOLD(verify(region, text, length, &again) == OK);
		MUST_HOLD(memcmp(&document, &again, sizeof(document)) == 0);
	}
	waived = true;
	if (verify(region, text, length, &document) == OK)
		facts_in_form(&document, region);
}

static void verify_text(const char *text, size_t length)
{
	verify_both_ways(OWN_REGION, OWN_INSTANCE, text, length);
	if (anchors_have(anchors, AWS_REGION))
		verify_both_ways(AWS_REGION, AWS_INSTANCE, text, length);
}

static void verify_blob(const unsigned char *blob, size_t length)
{
	char *text = malloc(BASE64_SIZE(length));

	base64_encode((struct bytes){ blob, length }, text);
	verify_text(text, strlen(text));
	free(text);
}

static void verify_content(const unsigned char *content, size_t length)
{
	unsigned char *blob = NULL;
	int blob_length;

	MUST_HOLD(ASN1_OCTET_STRING_set(skeleton->d.sign->contents->d.data, content, (int)length));
	blob_length = i2d_PKCS7(skeleton, &blob);
	MUST_HOLD(blob_length > 0);
	verify_blob(blob, (size_t)blob_length);
	OPENSSL_free(blob);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!anchors)
		set_up();
	if (size > INPUT_MAX)
		return 0;
	if (size && data[0] == 0x30)
		verify_blob(data, size);
	else if (size && data[0] == '{')
		verify_content(data, size);
	else
		verify_text((const char *)data, size);
	return 0;
}
