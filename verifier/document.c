/* The identity document: hostile bytes, then a shape that allows no choice, then AWS's signature, and only
 * then facts. Must never let the blob say whom to believe (a certificate, a second signer, a revocation list
 * in it is refused before anything is verified), and never read the content before its signature holds: what
 * is parsed are the very bytes that were digested. */
#include "verifier/document.h"

#include "verifier/ber.h"
#include "verifier/encoding.h"
#include "verifier/json.h"
#include "verifier/reasons.h"

#include <openssl/err.h>
#include <openssl/objects.h>
#include <openssl/pkcs7.h>
#include <openssl/x509.h>
#include <string.h>

/* ---- base64 */

/* The metadata service breaks lines; a line end is LF or CR LF, and there are no other blanks. */
static size_t lines_join(const char *text, size_t length, char *joined)
{
	size_t n = 0;
	size_t i;

	for (i = 0; i < length; i++) {
		bool end = text[i] == '\n' || (text[i] == '\r' && i + 1 < length && text[i + 1] == '\n');

		if (!end)
			joined[n++] = text[i];
	}
	return n;
}

static bool blob_decode(const char *base64, size_t length, unsigned char *blob, size_t *blob_length)
{
	char joined[DOCUMENT_BASE64_MAX];

	return base64_decode(joined, lines_join(base64, length, joined), blob, blob_length);
}

/* ---- the shape of the blob */

/* NULL: no PKCS7 SignedData, or something behind it. The caller owns it. */
static PKCS7 *blob_read(const unsigned char *blob, size_t length)
{
	const unsigned char *at = blob;
	PKCS7 *p7;

	if (!ber_plain((struct bytes){ blob, length }))
		return NULL;
	p7 = d2i_PKCS7(NULL, &at, (long)length);
	if (p7 && at == blob + length && PKCS7_type_is_signed(p7) && p7->d.sign)
		return p7;
	PKCS7_free(p7);
	return NULL;
}

static const PKCS7_SIGNER_INFO *signer_of(const PKCS7_SIGNED *content)
{
	return sk_PKCS7_SIGNER_INFO_value(content->signer_info, 0);
}

/* The algorithm's number where its parameters are NULL or absent. */
static int algorithm(const X509_ALGOR *given)
{
	const ASN1_OBJECT *object;
	int type;

	X509_ALGOR_get0(&object, &type, NULL, given);
	return type == V_ASN1_NULL || type == V_ASN1_UNDEF ? OBJ_obj2nid(object) : NID_undef;
}

static bool no_certificate(const PKCS7_SIGNED *content)
{
	return !content->cert;
}

static bool no_revocation_list(const PKCS7_SIGNED *content)
{
	return !content->crl;
}

static bool one_signer(const PKCS7_SIGNED *content)
{
	return sk_PKCS7_SIGNER_INFO_num(content->signer_info) == 1;
}

static bool version_1(const PKCS7_SIGNED *content)
{
	return ASN1_INTEGER_get(content->version) == 1 && ASN1_INTEGER_get(signer_of(content)->version) == 1;
}

static bool digest_sha256(const PKCS7_SIGNED *content)
{
	return sk_X509_ALGOR_num(content->md_algs) == 1 &&
	       algorithm(sk_X509_ALGOR_value(content->md_algs, 0)) == NID_sha256 &&
	       algorithm(signer_of(content)->digest_alg) == NID_sha256;
}

/* Both names are in use for the one thing, RSA with PKCS #1 v1.5 padding (RFC 3370, section 3.2). */
static bool signature_rsa(const PKCS7_SIGNED *content)
{
	int given = algorithm(signer_of(content)->digest_enc_alg);

	return given == NID_sha256WithRSAEncryption || given == NID_rsaEncryption;
}

static bool no_unsigned_attributes(const PKCS7_SIGNED *content)
{
	return !signer_of(content)->unauth_attr;
}

static bool content_attached(const PKCS7_SIGNED *content)
{
	return OBJ_obj2nid(content->contents->type) == NID_pkcs7_data && content->contents->d.data;
}

static bool content_small(const PKCS7_SIGNED *content)
{
	return ASN1_STRING_length(content->contents->d.data) <= DOCUMENT_CONTENT_MAX;
}

/* AWS signs attributes, and the content's digest among them. Without the demand for them a signature over
 * attributes could be shown as one over a content that spells the same bytes. */
static bool attributes_signed(const PKCS7_SIGNED *content)
{
	const ASN1_TYPE *type = PKCS7_get_signed_attribute(signer_of(content), NID_pkcs9_contentType);

	return type && type->type == V_ASN1_OBJECT && OBJ_obj2nid(type->value.object) == NID_pkcs7_data;
}

/* The signed attribute CMSAlgorithmProtection (RFC 6211); NULL where there is none. OpenSSL 3.0 has no number
 * for it. */
static const ASN1_TYPE *algorithms_signed(const PKCS7_SIGNER_INFO *signer)
{
	static const unsigned char name[] = { 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x34 };
	int i;

	for (i = 0; i < sk_X509_ATTRIBUTE_num(signer->auth_attr); i++) {
		X509_ATTRIBUTE *attribute = sk_X509_ATTRIBUTE_value(signer->auth_attr, i);
		const ASN1_OBJECT *object = X509_ATTRIBUTE_get0_object(attribute);

		if (OBJ_length(object) == sizeof(name) &&
			memcmp(OBJ_get0_data(object), name, sizeof(name)) == 0)
			return X509_ATTRIBUTE_get0_type(attribute, 0);
	}
	return NULL;
}

/* Where AWS has signed which algorithms it used, those are named, and by the same names. */
static bool algorithms_protected(const PKCS7_SIGNED *content)
{
	const PKCS7_SIGNER_INFO *signer = signer_of(content);
	const ASN1_TYPE *attribute = algorithms_signed(signer);
	unsigned char expected[128] = { V_ASN1_SEQUENCE | V_ASN1_CONSTRUCTED };
	unsigned char *at = expected + 2;
	int digest = i2d_X509_ALGOR(signer->digest_alg, NULL);
	int signature = i2d_X509_ALGOR(signer->digest_enc_alg, NULL);

	if (!attribute)
		return true;
	if (digest <= 0 || signature <= 0 || digest + signature > 0x7f - 2)
		return false;
	expected[1] = (unsigned char)(digest + signature);
	i2d_X509_ALGOR(signer->digest_alg, &at);
	i2d_X509_ALGOR(signer->digest_enc_alg, &at);
	expected[2 + digest] = V_ASN1_CONTEXT_SPECIFIC | V_ASN1_CONSTRUCTED | 1; /* [1] IMPLICIT */
	return attribute->type == V_ASN1_SEQUENCE &&
	       ASN1_STRING_length(attribute->value.sequence) == 2 + digest + signature &&
	       memcmp(ASN1_STRING_get0_data(attribute->value.sequence), expected,
		       (size_t)(2 + digest + signature)) == 0;
}

/* In order: a clause may rely on those above it. */
static const struct clause {
	bool (*holds)(const PKCS7_SIGNED *);
	const char *broken;
} clauses[] = {
	{ no_certificate, "the blob brings a certificate" },
	{ no_revocation_list, "the blob brings a revocation list" },
	{ one_signer, "not exactly one signer" },
	{ version_1, "not version 1" },
	{ digest_sha256, "the digest is not SHA-256" },
	{ signature_rsa, "the signature is not RSA" },
	{ no_unsigned_attributes, "there are unsigned attributes" },
	{ content_attached, "the content is not attached data" },
	{ content_small, "the content is too large" },
	{ attributes_signed, "the content's type is not among signed attributes" },
	{ algorithms_protected, "the algorithms are not those that were signed" },
};

/* The clause that is broken; NULL: none. */
static const char *shape_check(const PKCS7 *p7)
{
	for (size_t i = 0; i < sizeof(clauses) / sizeof(clauses[0]); i++)
		if (!clauses[i].holds(p7->d.sign))
			return clauses[i].broken;
	return NULL;
}

/* ---- the signature */

/* AWS names the signer by issuer and serial number, and those are the certificate's own; the issuer byte for
 * byte, where OpenSSL would fold case and blanks. */
static bool signer_is(const PKCS7 *p7, const X509 *certificate)
{
	const PKCS7_ISSUER_AND_SERIAL *signer = signer_of(p7->d.sign)->issuer_and_serial;
	const unsigned char *named, *own;
	size_t named_length, own_length;

	return X509_NAME_get0_der(signer->issuer, &named, &named_length) &&
	       X509_NAME_get0_der(X509_get_issuer_name(certificate), &own, &own_length) &&
	       named_length == own_length && memcmp(named, own, own_length) == 0 &&
	       ASN1_INTEGER_cmp(signer->serial, X509_get0_serialNumber(certificate)) == 0;
}

/* By this certificate and no other. It is an anchor: no chain above it is built. */
static bool signature_holds(PKCS7 *p7, X509 *certificate)
{
	STACK_OF(X509) *only = sk_X509_new_null();
	bool holds = only && sk_X509_push(only, certificate) > 0 &&
		     PKCS7_verify(p7, only, NULL, NULL, NULL, PKCS7_NOINTERN | PKCS7_NOVERIFY) == 1;

	sk_X509_free(only);
	return holds;
}

/* ---- the content */

static bool zone_valid(const char *zone)
{
	return zone[strspn(zone, "abcdefghijklmnopqrstuvwxyz0123456789-")] == '\0';
}

static bool image_valid(const char *image)
{
	return resource_id_valid("ami-", image);
}

static const struct field {
	const char *name;
	bool (*valid)(const char *);
	size_t offset, size;
} fields[] = {
#define FIELD(name, member, valid)                                                                           \
	{                                                                                                    \
		name, valid, offsetof(struct document, member), sizeof(((struct document *)0)->member)       \
	}
	FIELD("instanceId", instance_id, instance_id_valid),
	FIELD("accountId", account_id, account_id_valid),
	FIELD("region", region, region_valid),
	FIELD("availabilityZone", availability_zone, zone_valid),
	FIELD("instanceType", instance_type, instance_type_valid),
	FIELD("imageId", image_id, image_valid),
	FIELD("privateIp", private_ip, address_valid),
#undef FIELD
};

static enum outcome field_read(
	const json_t *object, const struct field *field, struct document *document, struct reason *reason)
{
	const char *text = json_text(object, field->name);

	if (!text)
		return refused(reason, REASON_DOCUMENT, "%s: missing, or not a string", field->name);
	if (strlen(text) >= field->size || !field->valid(text))
		return refused(reason, REASON_DOCUMENT, "%s: not in its form", field->name);
	strcpy((char *)document + field->offset, text);
	return OK;
}

static enum outcome pending_time_read(const json_t *object, struct document *document, struct reason *reason)
{
	const char *text = json_text(object, "pendingTime");
	long long microseconds;

	if (!text || !timestamp_decode(text, &microseconds))
		return refused(reason, REASON_DOCUMENT, "pendingTime: missing, or not a time");
	document->pending_time = (time_t)(microseconds / 1000000);
	return OK;
}

/* A zone's name begins with its region's: "us-west-2a", "us-west-2-lax-1a". */
static bool zone_fits(const char *zone, const char *region)
{
	size_t length = strlen(region);

	return strncmp(zone, region, length) == 0 && zone[length] != '\0' &&
	       !strchr("0123456789", zone[length]);
}

/* AWS adds members as it pleases: those that are not asked for are not looked at, but none may stand there
 * twice. */
static enum outcome facts_read(
	const json_t *object, const char *region, struct document *document, struct reason *reason)
{
	enum outcome outcome = OK;
	size_t i;

	for (i = 0; i < sizeof(fields) / sizeof(fields[0]) && outcome == OK; i++)
		outcome = field_read(object, &fields[i], document, reason);
	if (outcome == OK)
		outcome = pending_time_read(object, document, reason);
	if (outcome == OK && strcmp(document->region, region) != 0)
		return refused(reason, REASON_DOCUMENT, "region: not that of the certificate");
	if (outcome == OK && !zone_fits(document->availability_zone, region))
		return refused(reason, REASON_DOCUMENT, "availabilityZone: not one of the region");
	return outcome;
}

static enum outcome content_read(
	const PKCS7 *p7, const char *region, struct document *document, struct reason *reason)
{
	const ASN1_OCTET_STRING *content = p7->d.sign->contents->d.data;
	struct bytes text = { ASN1_STRING_get0_data(content), (size_t)ASN1_STRING_length(content) };
	json_t *object = json_strict(text, NULL, NULL, NULL, 0);
	enum outcome outcome;

	if (json_is_object(object))
		outcome = facts_read(object, region, document, reason);
	else
		outcome = refused(reason, REASON_DOCUMENT,
			"the content is not one JSON object, or holds a member twice");
	json_decref(object);
	return outcome;
}

/* ---- all of it */

/* What OpenSSL could not do for lack of memory is no proof against the caller. Empties the error queue. */
static enum outcome not_so(struct reason *reason, const char *text)
{
	unsigned long error;

	while ((error = ERR_get_error())) {
		if (ERR_GET_REASON(error) == ERR_R_MALLOC_FAILURE)
			return fault(reason, REASON_INTERNAL, "out of memory");
	}
	return refused(reason, REASON_DOCUMENT, "%s", text);
}

static enum outcome blob_verify(
	PKCS7 *p7, X509 *certificate, const char *region, struct document *document, struct reason *reason)
{
	const char *broken = shape_check(p7);

	if (broken)
		return not_so(reason, broken);
	if (!signer_is(p7, certificate))
		return refused(reason, REASON_DOCUMENT, "the signer is not the region's certificate");
	if (!signature_holds(p7, certificate))
		return not_so(reason, "the signature is not by the region's certificate");
	return content_read(p7, region, document, reason);
}

enum outcome document_verify(const struct anchors *anchors, const char *region, const char *base64,
	size_t length, struct document *document, struct reason *reason)
{
	X509 *certificate = anchors_certificate(anchors, region);
	unsigned char blob[DOCUMENT_BASE64_MAX / 4 * 3];
	size_t blob_length = sizeof(blob);
	enum outcome outcome = FAULT;
	struct document facts = { 0 };
	PKCS7 *p7 = NULL;

	memset(document, 0, sizeof(*document));
	if (!certificate)
		outcome = fault(reason, REASON_INTERNAL, "there is no certificate for the region");
	else if (length > DOCUMENT_BASE64_MAX)
		outcome = refused(reason, REASON_DOCUMENT, "larger than %d characters", DOCUMENT_BASE64_MAX);
	else if (!blob_decode(base64, length, blob, &blob_length))
		outcome = refused(reason, REASON_DOCUMENT, "not base64");
	else if (!(p7 = blob_read(blob, blob_length)))
		outcome = not_so(reason, "not PKCS7 signed data, or not that alone");
	else
		outcome = blob_verify(p7, certificate, region, &facts, reason);
	if (outcome == OK)
		*document = facts;
	PKCS7_free(p7);
	ERR_clear_error();
	return outcome;
}
