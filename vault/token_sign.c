/* The key pair that signs checkpoints. Must never accept a key that was brought in from outside or can be
 * taken out: a signature has to mean that this token has seen it. */
#include "vault/token_inside.h"
#include "verifier/encoding.h"

#include <openssl/rand.h>

#include <string.h>

enum { POINT_BYTES = 65 };

/* Object identifier prime256v1, DER; and what a SubjectPublicKeyInfo has before the point (RFC 5480). */
static const unsigned char p256[] = { 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07 };
static const unsigned char spki_head[TOKEN_PUBLIC_BYTES - POINT_BYTES] = { 0x30, 0x59, 0x30, 0x13, 0x06, 0x07,
	0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07,
	0x03, 0x42, 0x00 };

/* Was it generated in this token, sensitive and unextractable from its first moment, to sign with? */
static bool signer_is_ours(struct token_session *session, CK_OBJECT_HANDLE key)
{
	CK_BBOOL token = CK_FALSE, private = CK_FALSE, local = CK_FALSE, sensitive = CK_FALSE,
		 never = CK_FALSE, sign = CK_FALSE;
	CK_KEY_TYPE type = 0;
	CK_ATTRIBUTE attributes[] = {
		{ CKA_TOKEN, &token, sizeof(token) },
		{ CKA_PRIVATE, &private, sizeof(private) },
		{ CKA_LOCAL, &local, sizeof(local) },
		{ CKA_ALWAYS_SENSITIVE, &sensitive, sizeof(sensitive) },
		{ CKA_NEVER_EXTRACTABLE, &never, sizeof(never) },
		{ CKA_SIGN, &sign, sizeof(sign) },
		{ CKA_KEY_TYPE, &type, sizeof(type) },
	};

	return session->p11->C_GetAttributeValue(session->handle, key, attributes,
		       sizeof(attributes) / sizeof(attributes[0])) == CKR_OK &&
	       token && private && local && sensitive && never && sign && type == CKK_EC;
}

static const struct token_kind signer_kind = { .class = CKO_PRIVATE_KEY,
	.called = "key for checkpoints",
	.has_to_be = "a key pair that was generated in it and can never leave it",
	.is_ours = signer_is_ours };

bool token_signer_choose(
	struct token_session *session, const char *key_id, const char *label, struct complaint *complaint)
{
	CK_OBJECT_HANDLE key = 0;

	if (session->signer != 0 && strcmp(session->signer_id, key_id) == 0)
		return true;
	if (!token_find_key(session, &signer_kind, key_id, label, &key, complaint))
		return false;
	session->signer = key;
	memcpy(session->signer_id, key_id, KEY_ID_SIZE);
	return true;
}

bool token_signer_of_label(struct token_session *session, const char *label, char key_id[KEY_ID_SIZE])
{
	struct complaint ignored;

	return token_find_id(session, &signer_kind, label, key_id) &&
	       token_signer_choose(session, key_id, label, &ignored);
}

bool token_signer_generate(struct token_session *session, const char *label, char key_id[KEY_ID_SIZE],
	struct complaint *complaint)
{
	unsigned char id[KEY_ID_BYTES];
	CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
	CK_MECHANISM mechanism = { CKM_EC_KEY_PAIR_GEN, NULL, 0 };
	CK_ATTRIBUTE public[] = {
		{ CKA_LABEL, (void *)label, strlen(label) },
		{ CKA_ID, id, sizeof(id) },
		{ CKA_EC_PARAMS, (void *)p256, sizeof(p256) },
		{ CKA_TOKEN, &yes, sizeof(yes) },
		{ CKA_VERIFY, &yes, sizeof(yes) },
	};
	CK_ATTRIBUTE private[] = {
		{ CKA_LABEL, (void *)label, strlen(label) },
		{ CKA_ID, id, sizeof(id) },
		{ CKA_TOKEN, &yes, sizeof(yes) },
		{ CKA_PRIVATE, &yes, sizeof(yes) },
		{ CKA_SENSITIVE, &yes, sizeof(yes) },
		{ CKA_EXTRACTABLE, &no, sizeof(no) },
		{ CKA_SIGN, &yes, sizeof(yes) },
		{ CKA_DECRYPT, &no, sizeof(no) },
		{ CKA_UNWRAP, &no, sizeof(no) },
		{ CKA_DERIVE, &no, sizeof(no) },
	};
	CK_OBJECT_HANDLE keys[2] = { 0, 0 };
	CK_RV rv;

	if (RAND_bytes(id, sizeof(id)) != 1)
		return complain(complaint, "no random bytes");
	hex_encode((struct bytes){ id, sizeof(id) }, key_id);
	rv = session->p11->C_GenerateKeyPair(session->handle, &mechanism, public,
		sizeof(public) / sizeof(public[0]), private, sizeof(private) / sizeof(private[0]), &keys[0],
		&keys[1]);
	if (rv != CKR_OK)
		return complain(complaint, "the token generates no key pair on P-256: %s", token_code(rv));
	/* found again as it will be found every day: by its id, with what it must be */
	return token_signer_choose(session, key_id, label, complaint);
}

/* CKA_EC_POINT is an octet string in DER (PKCS#11 3.0, 2.3.3); some tokens leave that out. */
static bool point_take(const unsigned char *der, size_t length, unsigned char spki[TOKEN_PUBLIC_BYTES])
{
	if (length == POINT_BYTES + 2 && der[0] == 0x04 && der[1] == POINT_BYTES) {
		der += 2;
		length -= 2;
	}
	if (length != POINT_BYTES || der[0] != 0x04)
		return false;
	memcpy(spki, spki_head, sizeof(spki_head));
	memcpy(spki + sizeof(spki_head), der, POINT_BYTES);
	return true;
}

bool token_signer_public(
	struct token_session *session, unsigned char spki[TOKEN_PUBLIC_BYTES], struct complaint *complaint)
{
	unsigned char id[KEY_ID_BYTES], parameters[sizeof(p256)], point[POINT_BYTES + 2];
	CK_OBJECT_CLASS class = CKO_PUBLIC_KEY;
	CK_ATTRIBUTE template[] = { { CKA_CLASS, &class, sizeof(class) }, { CKA_ID, id, sizeof(id) } };
	CK_ATTRIBUTE wanted[] = { { CKA_EC_PARAMS, parameters, sizeof(parameters) },
		{ CKA_EC_POINT, point, sizeof(point) } };
	CK_OBJECT_HANDLE key = 0;
	CK_ULONG n = 0;

	if (session->signer == 0 || !hex_decode(session->signer_id, id, sizeof(id)))
		return complain(complaint, "no key for checkpoints is chosen");
	if (token_find_object(session, template, 2, &key, &n) != CKR_OK || n != 1 ||
		session->p11->C_GetAttributeValue(session->handle, key, wanted, 2) != CKR_OK)
		return complain(
			complaint, "the token does not show the public key of %s", session->signer_id);
	if (wanted[0].ulValueLen != sizeof(p256) || memcmp(parameters, p256, sizeof(p256)) != 0 ||
		!point_take(point, wanted[1].ulValueLen, spki))
		return complain(complaint, "the public key of %s is not one on P-256", session->signer_id);
	return true;
}

bool token_sign(struct token_session *session, const unsigned char digest[32],
	unsigned char signature[TOKEN_SIGNATURE_BYTES], struct complaint *complaint)
{
	CK_MECHANISM mechanism = { CKM_ECDSA, NULL, 0 };
	CK_ULONG length = TOKEN_SIGNATURE_BYTES;
	CK_RV rv;

	if (session->signer == 0)
		return complain(complaint, "no key for checkpoints is chosen");
	rv = session->p11->C_SignInit(session->handle, &mechanism, session->signer);
	if (rv == CKR_OK)
		rv = session->p11->C_Sign(session->handle, (CK_BYTE *)digest, 32, signature, &length);
	if (rv != CKR_OK)
		return complain(complaint, "the token does not sign: %s", token_code(rv));
	return length == TOKEN_SIGNATURE_BYTES ||
	       complain(complaint, "the token's signature has %lu bytes", (unsigned long)length);
}
