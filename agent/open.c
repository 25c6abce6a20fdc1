/* Opens a sealed release. Must never hand out a byte of the content before its tag was verified, nor a secret
 * before all checks on all of them have passed; plaintext is only ever in the secure heap. */
#include "agent/open.h"

#include "verifier/encoding.h"
#include "verifier/json.h"

#include <openssl/bio.h>
#include <openssl/cms.h>
#include <openssl/err.h>
#include <string.h>

void release_forget_secrets(struct release *release)
{
	size_t i;

	for (i = 0; i < release->n_secrets; i++)
		OPENSSL_secure_clear_free(release->secrets[i].data, release->secrets[i].length);
	OPENSSL_cleanse(release->secrets, sizeof(release->secrets));
	release->n_secrets = 0;
}

void release_clear(struct release *release)
{
	release_forget_secrets(release);
	OPENSSL_cleanse(release, sizeof(*release));
}

/* ---- the envelope */

/* All bytes, the right type, and in DER: so one message has one spelling. */
static CMS_ContentInfo *envelope_parse(struct bytes sealed)
{
	const unsigned char *at = sealed.data;
	CMS_ContentInfo *envelope = d2i_CMS_ContentInfo(NULL, &at, (long)sealed.length);
	unsigned char *again = NULL;
	int length = -1;

	if (envelope && at == sealed.data + sealed.length &&
		OBJ_obj2nid(CMS_get0_type(envelope)) == NID_id_smime_ct_authEnvelopedData &&
		OBJ_obj2nid(CMS_get0_eContentType(envelope)) == NID_pkcs7_data)
		length = i2d_CMS_ContentInfo(envelope, &again);
	if (length > 0 && (size_t)length == sealed.length && memcmp(again, sealed.data, sealed.length) == 0) {
		OPENSSL_free(again);
		return envelope;
	}
	OPENSSL_free(again);
	CMS_ContentInfo_free(envelope);
	return NULL;
}

/* One recipient by key agreement, named by key identifier. */
static bool recipient_fits(CMS_ContentInfo *envelope)
{
	STACK_OF(CMS_RecipientInfo) *recipients = CMS_get0_RecipientInfos(envelope);
	STACK_OF(CMS_RecipientEncryptedKey) * keys;
	CMS_RecipientInfo *recipient;
	ASN1_OCTET_STRING *identifier = NULL;

	if (sk_CMS_RecipientInfo_num(recipients) != 1)
		return false;
	recipient = sk_CMS_RecipientInfo_value(recipients, 0);
	if (CMS_RecipientInfo_type(recipient) != CMS_RECIPINFO_AGREE)
		return false;
	keys = CMS_RecipientInfo_kari_get0_reks(recipient);
	return sk_CMS_RecipientEncryptedKey_num(keys) == 1 &&
	       CMS_RecipientEncryptedKey_get0_id(sk_CMS_RecipientEncryptedKey_value(keys, 0), &identifier,
		       NULL, NULL, NULL, NULL) == 1 &&
	       identifier;
}

/* AES-256-GCM with all 16 bytes of its tag, and nothing else that OpenSSL might be talked into. */
static bool cipher_fits(BIO *content)
{
	EVP_CIPHER_CTX *context = NULL;

	if (BIO_get_cipher_ctx(content, &context) != 1 || !context)
		return false;
	return EVP_CIPHER_CTX_get_nid(context) == NID_aes_256_gcm &&
	       EVP_CIPHER_CTX_get_tag_length(context) == 16;
}

/* Reads to the end; true only where the tag was right. */
static bool content_read(BIO *content, unsigned char *text, size_t size, size_t *length)
{
	int got;

	*length = 0;
	while (*length < size && (got = BIO_read(content, text + *length, (int)(size - *length))) > 0)
		*length += (size_t)got;
	return *length < size && BIO_get_cipher_status(content) == 1;
}

static bool envelope_decrypt(
	CMS_ContentInfo *envelope, EVP_PKEY *pair, unsigned char *text, size_t size, size_t *length)
{
	BIO *content = NULL;
	bool decrypted = false;

	if (CMS_decrypt_set1_pkey(envelope, pair, NULL) == 1)
		content = CMS_dataInit(envelope, NULL);
	if (content)
		decrypted = cipher_fits(content) && content_read(content, text, size, length);
	BIO_free_all(content);
	return decrypted;
}

/* ---- what is inside */

static bool text_equals(const json_t *object, const char *name, const char *expected)
{
	const char *text = json_text(object, name);

	return text && strcmp(text, expected) == 0;
}

static bool meant_for_us(const json_t *inside, const struct expected *expected, struct complaint *complaint)
{
	unsigned char hash[32];
	char hash_text[HEX_SIZE(sizeof(hash))];

	if (!text_equals(inside, "release_id", expected->release_id))
		return complain(complaint, "its release id is not the answer's");
	if (!text_equals(inside, "instance-id", expected->assertion->instance_id))
		return complain(complaint, "it was sealed for another instance");
	if (!assertion_sha256(expected->assertion, hash))
		return complain(complaint, "the assertion could not be hashed");
	hex_encode((struct bytes){ hash, sizeof(hash) }, hash_text);
	if (!text_equals(inside, "assertion_sha256", hash_text))
		return complain(complaint, "it was sealed for another assertion");
	return true;
}

static bool acknowledgement_take(const json_t *inside, struct release *release, struct complaint *complaint)
{
	const char *text = json_text(inside, "ack");
	size_t length =
		text ? strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") : 0;

	if (length == 0 || length > ACKNOWLEDGEMENT_MAX || text[length] != '\0')
		return complain(complaint, "its acknowledgement is not base64url");
	memcpy(release->acknowledgement, text, length + 1);
	return true;
}

static bool name_taken(const struct release *release, const char *name)
{
	size_t i;

	for (i = 0; i < release->n_secrets; i++) {
		if (strcmp(release->secrets[i].name, name) == 0)
			return true;
	}
	return false;
}

/* The value's bytes into the secure heap. */
static bool value_take(const json_t *object, struct secret *secret)
{
	const json_t *value = json_object_get(object, "value");
	const char *text = json_string_value(value);
	size_t length = json_string_length(value);
	bool binary = text_equals(object, "encoding", "base64");

	if (!text || length == 0 || (!binary && !text_equals(object, "encoding", "utf-8")))
		return false;
	secret->length = binary ? length / 4 * 3 : length;
	secret->data = OPENSSL_secure_malloc(secret->length);
	if (!secret->data)
		return false;
	if (binary)
		return base64_decode(text, length, secret->data, &secret->length) && secret->length > 0;
	memcpy(secret->data, text, length);
	return true;
}

static bool secret_take(const json_t *object, struct release *release, struct complaint *complaint)
{
	struct secret *secret = &release->secrets[release->n_secrets];
	const char *name = json_text(object, "name");
	const char *kind = json_text(object, "kind");

	/* the name becomes a file's: nothing of it is printed before it has passed */
	if (!name || !name_valid(name))
		return complain(complaint, "a secret's name is not one");
	if (name_taken(release, name))
		return complain(complaint, "the secret %s is in it twice", name);
	if (!kind || !name_valid(kind) || json_integer_value(json_object_get(object, "version")) < 1)
		return complain(complaint, "the secret %s has no kind or version", name);
	memcpy(secret->name, name, strlen(name) + 1);
	release->n_secrets++; /* from here on release_clear frees it */
	return value_take(object, secret) ||
	       complain(complaint, "the secret %s has no value in a known encoding", name);
}

static bool secrets_take(const json_t *inside, struct release *release, struct complaint *complaint)
{
	const json_t *secrets = json_object_get(inside, "secrets");
	size_t n = json_array_size(secrets);
	size_t i;

	if (n == 0 || n > RELEASE_SECRETS_MAX)
		return complain(complaint, "it holds no secrets, or more than %d", RELEASE_SECRETS_MAX);
	for (i = 0; i < n; i++) {
		if (!secret_take(json_array_get(secrets, i), release, complaint))
			return false;
	}
	return true;
}

/* Members that we do not know are left alone: a newer server may say more. */
static bool inside_take(struct bytes text, const struct expected *expected, struct release *release,
	struct complaint *complaint)
{
	json_t *inside = json_strict(text, NULL, NULL, NULL, 0);
	bool taken;

	if (!inside)
		return complain(complaint, "its content is not JSON");
	taken = meant_for_us(inside, expected, complaint) &&
		acknowledgement_take(inside, release, complaint) && secrets_take(inside, release, complaint);
	json_decref(inside);
	return taken;
}

enum agent_exit release_open(struct bytes sealed, EVP_PKEY *pair, const struct expected *expected,
	struct release *release, struct complaint *complaint)
{
	enum agent_exit status = AGENT_FAULT;
	CMS_ContentInfo *envelope = NULL;
	unsigned char *text = OPENSSL_secure_malloc(sealed.length + 1);
	struct bytes inside = { .data = text };

	*release = (struct release){ 0 };
	if (!text) {
		complain(complaint, "out of memory");
		goto out;
	}
	status = AGENT_PROTOCOL;
	envelope = envelope_parse(sealed);
	if (!envelope || !recipient_fits(envelope)) {
		complain(complaint, "it is not an AuthEnvelopedData for one recipient by key identifier");
		goto out;
	}
	if (!envelope_decrypt(envelope, pair, text, sealed.length + 1, &inside.length)) {
		complain(complaint, "our key does not open it");
		goto out;
	}
	if (!inside_take(inside, expected, release, complaint))
		goto out;
	status = AGENT_DONE;
out:
	if (status != AGENT_DONE)
		release_clear(release);
	ERR_clear_error();
	CMS_ContentInfo_free(envelope);
	OPENSSL_secure_clear_free(text, sealed.length + 1);
	return status;
}
