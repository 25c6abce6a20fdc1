/* A certificate request becomes a public key. Names, extensions and attributes in it are never looked at. */
#include "verifier/recipient.h"

#include "verifier/memory.h"
#include "verifier/reasons.h"

#include <openssl/asn1t.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/objects.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <string.h>

/* RFC 2986, section 4, and no more of it decoded than is looked at: OpenSSL's own X509_REQ makes a key of
 * what it finds by asking each of its decoders, which costs more than all the rest of a release. */
struct key_info {
	X509_ALGOR *algorithm;
	ASN1_BIT_STRING *key;
};

struct request_info {
	ASN1_ENCODING encoding; /* as it came: what is signed */
	ASN1_INTEGER *version;
	X509_NAME *subject;
	struct key_info *key;
	STACK_OF(X509_ATTRIBUTE) * attributes;
};

struct request {
	struct request_info *info;
	X509_ALGOR *algorithm;
	ASN1_BIT_STRING *signature;
};

typedef struct key_info KEY_INFO;
typedef struct request_info REQUEST_INFO;
typedef struct request REQUEST;

/* clang-format off */
ASN1_SEQUENCE(KEY_INFO) = {
	ASN1_SIMPLE(KEY_INFO, algorithm, X509_ALGOR),
	ASN1_SIMPLE(KEY_INFO, key, ASN1_BIT_STRING),
} static_ASN1_SEQUENCE_END(KEY_INFO)

ASN1_SEQUENCE_enc(REQUEST_INFO, encoding, NULL) = {
	ASN1_SIMPLE(REQUEST_INFO, version, ASN1_INTEGER),
	ASN1_SIMPLE(REQUEST_INFO, subject, X509_NAME),
	ASN1_SIMPLE(REQUEST_INFO, key, KEY_INFO),
	ASN1_IMP_SET_OF_OPT(REQUEST_INFO, attributes, X509_ATTRIBUTE, 0),
} static_ASN1_SEQUENCE_END_ref(REQUEST_INFO, REQUEST_INFO)

ASN1_SEQUENCE(REQUEST) = {
	ASN1_SIMPLE(REQUEST, info, REQUEST_INFO),
	ASN1_SIMPLE(REQUEST, algorithm, X509_ALGOR),
	ASN1_SIMPLE(REQUEST, signature, ASN1_BIT_STRING),
} static_ASN1_SEQUENCE_END(REQUEST)
/* clang-format on */

static void request_free(struct request *request)
{
	ASN1_item_free((ASN1_VALUE *)request, ASN1_ITEM_rptr(REQUEST));
}

/* All of the DER, or NULL. */
static struct request *request_decode(const unsigned char *der, long length)
{
	const unsigned char *at = der;
	struct request *request = (struct request *)ASN1_item_d2i(NULL, &at, length, ASN1_ITEM_rptr(REQUEST));

	if (!request || at == der + length)
		return request;
	request_free(request);
	return NULL;
}

/* The one PEM block of the text; NULL where there is none, or anything else besides. One that says in a
 * header that it is encrypted is none: OpenSSL would ask the terminal, or standard input, for a passphrase,
 * and whoever sends a request must never make this process wait for anyone. */
static struct request *request_read(const char *pem, size_t length)
{
	static const char begin[] = "-----BEGIN CERTIFICATE REQUEST-----";
	static const char end[] = "-----END CERTIFICATE REQUEST-----";
	char *name = NULL, *header = NULL;
	unsigned char *der = NULL;
	struct request *request = NULL;
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

/* ---- the key */

/* RFC 5480: SubjectPublicKeyInfo of a P-256 key by the curve's name, up to the uncompressed point. */
static const unsigned char spki_begin[] = { 0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d,
	0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00 };

enum { POINT_SIZE = 65 };

/* By its name: a curve that is spelled out in its parameters may be the same one, but has another encoding.
 */
static bool algorithm_is_p256(const X509_ALGOR *algorithm)
{
	const ASN1_OBJECT *name, *curve;
	const void *parameters;
	int type;

	X509_ALGOR_get0(&name, &type, &parameters, algorithm);
	curve = parameters;
	return OBJ_obj2nid(name) == NID_X9_62_id_ecPublicKey && type == V_ASN1_OBJECT &&
	       OBJ_obj2nid(curve) == NID_X9_62_prime256v1;
}

/* Bytes, to the last bit. */
static bool bits_whole(const ASN1_BIT_STRING *bits)
{
	return (bits->flags & ASN1_STRING_FLAG_BITS_LEFT) == 0 || (bits->flags & 7) == 0;
}

/* The curve without a key, made once: finding it by its name costs as much as using it. */
static EVP_PKEY *curve_get(void)
{
	static EVP_PKEY *curve; /* atomic; whoever comes second throws his own away */
	EVP_PKEY *made = __atomic_load_n(&curve, __ATOMIC_ACQUIRE);
	EVP_PKEY *before = NULL;
	EVP_PKEY_CTX *context;

	if (made)
		return made;
	context = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
	if (context && EVP_PKEY_paramgen_init(context) == 1 &&
		EVP_PKEY_CTX_set_group_name(context, SN_X9_62_prime256v1) == 1 &&
		EVP_PKEY_paramgen(context, &made) == 1 &&
		!__atomic_compare_exchange_n(
			&curve, &before, made, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
		EVP_PKEY_free(made);
		made = before;
	}
	EVP_PKEY_CTX_free(context);
	return made;
}

/* NULL: not a P-256 key, or no point of the curve (which OpenSSL checks when it takes it in). */
static EVP_PKEY *key_decode(const struct key_info *info)
{
	const ASN1_BIT_STRING *point = info->key;
	EVP_PKEY *curve = curve_get();
	EVP_PKEY *key;

	if (!curve || !algorithm_is_p256(info->algorithm) || !bits_whole(point) ||
		(point->length != POINT_SIZE && point->length != POINT_SIZE / 2 + 1))
		return NULL;
	key = EVP_PKEY_dup(curve);
	if (key && EVP_PKEY_set1_encoded_public_key(key, point->data, (size_t)point->length) == 1)
		return key;
	EVP_PKEY_free(key);
	return NULL;
}

/* Our own encoding of the key, uncompressed, so that one key has one hash. */
static bool spki_encode(EVP_PKEY *key, struct recipient *recipient)
{
	unsigned char *point = recipient->spki + sizeof(spki_begin);
	size_t length = 0;

	memcpy(recipient->spki, spki_begin, sizeof(spki_begin));
	/* importing a compressed point keeps that form */
	if (!EVP_PKEY_set_utf8_string_param(key, "point-format", "uncompressed") ||
		!EVP_PKEY_get_octet_string_param(key, "encoded-pub-key", point, POINT_SIZE, &length) ||
		length != POINT_SIZE || point[0] != POINT_CONVERSION_UNCOMPRESSED)
		return false;
	recipient->spki_length = sizeof(spki_begin) + POINT_SIZE;
	return EVP_Digest(
		recipient->spki, recipient->spki_length, recipient->sha256, NULL, EVP_sha256(), NULL);
}

/* ---- its signature */

/* The digest of an ECDSA signature (RFC 5758, section 3.2); NULL for any other. */
static const EVP_MD *signature_digest(const X509_ALGOR *algorithm)
{
	const ASN1_OBJECT *name;
	int type;

	X509_ALGOR_get0(&name, &type, NULL, algorithm);
	if (type != V_ASN1_UNDEF)
		return NULL;
	switch (OBJ_obj2nid(name)) {
	case NID_ecdsa_with_SHA256:
		return EVP_sha256();
	case NID_ecdsa_with_SHA384:
		return EVP_sha384();
	case NID_ecdsa_with_SHA512:
		return EVP_sha512();
	default:
		return NULL;
	}
}

static bool request_verify(const struct request *request, EVP_PKEY *key)
{
	const EVP_MD *digest = signature_digest(request->algorithm);
	const ASN1_ENCODING *content = &request->info->encoding;
	const ASN1_BIT_STRING *signature = request->signature;
	EVP_MD_CTX *context;
	bool good;

	if (!digest || !bits_whole(signature) || signature->length <= 0)
		return false;
	context = EVP_MD_CTX_new();
	good = context && EVP_DigestVerifyInit(context, NULL, digest, NULL, key) == 1 &&
	       EVP_DigestVerify(context, signature->data, (size_t)signature->length, content->enc,
		       (size_t)content->len) == 1;
	EVP_MD_CTX_free(context);
	return good;
}

enum outcome recipient_parse(
	const char *pem, size_t length, struct recipient *recipient, struct reason *reason)
{
	enum outcome outcome = FAULT;
	struct request *request = NULL;
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
	key = key_decode(request->info->key);
	if (!key) {
		outcome = refused(reason, REASON_MALFORMED, "csr: the key is not EC P-256");
		goto out;
	}
	if (!request_verify(request, key)) {
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
	request_free(request);
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
