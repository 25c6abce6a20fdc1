/* Writes SignedData by hand, element by element as in a document that AWS signed: OpenSSL's own writer
 * chooses other lengths, other algorithm identifiers and other attributes. */
#include "tests/aws-sim/pkcs7.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

enum { HASH_SIZE = 32, SET = 0x31, SEQUENCE = 0x30, OCTET_STRING = 0x04, ATTRIBUTES = 0xa0 };

#define OID_SIGNED_DATA "\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02"
#define OID_DATA "\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01"
#define OID_CONTENT_TYPE "\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x09\x03"
#define OID_MESSAGE_DIGEST "\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x09\x04"
#define OID_SIGNING_TIME "\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x09\x05"
#define OID_ALGORITHM_PROTECTION "\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x09\x34"
#define OID_SHA256 "\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01"
#define OID_SHA256_WITH_RSA "\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b"
#define ALGORITHM_SHA256 "\x30\x0d" OID_SHA256 "\x05\x00"
#define ALGORITHM_SHA256_WITH_RSA "\x30\x0d" OID_SHA256_WITH_RSA "\x05\x00"

#define BYTES(literal) literal, sizeof(literal) - 1

/* Tag, length and what is inside, which is emptied. */
static void element(struct buffer *out, unsigned char tag, struct buffer *inside)
{
	size_t length = inside->length;
	unsigned char head[4] = { tag, (unsigned char)length };
	size_t size = 2;

	if (length > 0xff) {
		head[1] = 0x82;
		head[2] = (unsigned char)(length >> 8);
		head[3] = (unsigned char)length;
		size = 4;
	} else if (length > 0x7f) {
		head[1] = 0x81;
		head[2] = (unsigned char)length;
		size = 3;
	}
	out->failed |= inside->failed || length > 0xffff;
	buffer_add(out, (const char *)head, size);
	buffer_add(out, inside->data ? inside->data : "", length);
	buffer_clear(inside);
}

static void attribute_time(struct buffer *out, time_t time)
{
	char text[16]; /* UTCTime leaves out the century */
	struct tm tm = { 0 };

	gmtime_r(&time, &tm);
	strftime(text, sizeof text, "%Y%m%d%H%M%SZ", &tm);
	buffer_add(out, BYTES("\x30\x1c" OID_SIGNING_TIME "\x31\x0f\x17\x0d"));
	buffer_add(out, text + 2, 13);
}

/* In the order that DER wants of a set. */
static void attributes_write(struct buffer *out, const unsigned char hash[HASH_SIZE], time_t doneat)
{
	buffer_add(out, BYTES("\x30\x18" OID_CONTENT_TYPE "\x31\x0b" OID_DATA));
	attribute_time(out, doneat);
	buffer_add(out, BYTES("\x30\x2d" OID_ALGORITHM_PROTECTION "\x31\x20\x30\x1e" ALGORITHM_SHA256
			      "\xa1\x0d" OID_SHA256_WITH_RSA "\x05\x00"));
	buffer_add(out, BYTES("\x30\x2f" OID_MESSAGE_DIGEST "\x31\x22\x04\x20"));
	buffer_add(out, (const char *)hash, HASH_SIZE);
}

/* The signature over the attributes, which are signed as the set that they are. */
static bool signature_make(const struct buffer *attributes, EVP_PKEY *key, struct buffer *signature)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	struct buffer copy = { 0 }, set = { 0 };
	unsigned char made[512];
	size_t length = sizeof made;
	bool done;

	buffer_add(&copy, attributes->data, attributes->length);
	element(&set, SET, &copy);
	done = context && !set.failed && EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, key) == 1 &&
	       EVP_DigestSign(context, made, &length, (const unsigned char *)set.data, set.length) == 1;
	if (done)
		buffer_add(signature, (const char *)made, length);
	buffer_clear(&set);
	EVP_MD_CTX_free(context);
	return done;
}

/* Takes what an i2d function made. */
static void der_take(struct buffer *out, unsigned char *der, int length)
{
	out->failed |= length <= 0;
	if (length > 0)
		buffer_add(out, (const char *)der, (size_t)length);
	OPENSSL_free(der);
}

static void issuer_write(struct buffer *out, const X509 *certificate)
{
	struct buffer inside = { 0 };
	unsigned char *name = NULL, *serial = NULL;
	int name_length = i2d_X509_NAME(X509_get_issuer_name(certificate), &name);
	int serial_length = i2d_ASN1_INTEGER(X509_get0_serialNumber(certificate), &serial);

	der_take(&inside, name, name_length);
	der_take(&inside, serial, serial_length);
	element(out, SEQUENCE, &inside);
}

/* The set of signers, of whom there is one. */
static bool signers_write(struct buffer *out, const struct buffer *content, time_t doneat,
	const X509 *certificate, EVP_PKEY *key)
{
	struct buffer attributes = { 0 }, signature = { 0 }, signer = { 0 }, signers = { 0 };
	unsigned char hash[HASH_SIZE];
	bool made;

	if (!EVP_Digest(content->data, content->length, hash, NULL, EVP_sha256(), NULL))
		return false;
	attributes_write(&attributes, hash, doneat);
	made = !attributes.failed && signature_make(&attributes, key, &signature);
	buffer_add(&signer, BYTES("\x02\x01\x01"));
	issuer_write(&signer, certificate);
	buffer_add(&signer, BYTES(ALGORITHM_SHA256));
	element(&signer, ATTRIBUTES, &attributes);
	buffer_add(&signer, BYTES(ALGORITHM_SHA256_WITH_RSA));
	element(&signer, OCTET_STRING, &signature);
	element(&signers, SEQUENCE, &signer);
	element(out, SET, &signers);
	return made;
}

bool pkcs7_sign(struct buffer *out, const struct buffer *content, time_t doneat, const X509 *certificate,
	EVP_PKEY *key)
{
	struct buffer copy = { 0 };
	bool made;

	if (content->failed)
		return false;
	buffer_add(&copy, content->data, content->length);
	buffer_add(
		out, BYTES("\x30\x80" OID_SIGNED_DATA "\xa0\x80\x30\x80\x02\x01\x01\x31\x0f" ALGORITHM_SHA256
			   "\x30\x80" OID_DATA "\xa0\x80\x24\x80"));
	element(out, OCTET_STRING, &copy);
	buffer_add(out, BYTES("\0\0\0\0\0\0"));
	made = signers_write(out, content, doneat, certificate, key);
	buffer_add(out, BYTES("\0\0\0\0\0\0"));
	return made && !out->failed;
}
