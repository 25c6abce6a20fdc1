/* The key-encryption key: generated in its token, never readable outside it, found by its id. Must never
 * accept a key that was brought in from outside or can be taken out. */
#include "vault/token_inside.h"
#include "verifier/encoding.h"

#include <openssl/rand.h>

#include <string.h>

enum { KEY_BYTES = 32 };

CK_RV token_find_object(struct token_session *session, CK_ATTRIBUTE *template, CK_ULONG attributes,
	CK_OBJECT_HANDLE *object, CK_ULONG *n)
{
	CK_OBJECT_HANDLE found[2] = { 0, 0 };
	CK_RV rv = session->p11->C_FindObjectsInit(session->handle, template, attributes);

	*n = 0;
	if (rv != CKR_OK)
		return rv;
	rv = session->p11->C_FindObjects(session->handle, found, 2, n);
	session->p11->C_FindObjectsFinal(session->handle);
	*object = found[0];
	return rv;
}

/* Was it generated in this token, sensitive and unextractable from its first moment? */
static bool key_is_ours(struct token_session *session, CK_OBJECT_HANDLE key)
{
	CK_BBOOL token = CK_FALSE, private = CK_FALSE, local = CK_FALSE, sensitive = CK_FALSE,
		 never = CK_FALSE;
	CK_KEY_TYPE type = 0;
	CK_ULONG length = 0;
	CK_ATTRIBUTE attributes[] = {
		{ CKA_TOKEN, &token, sizeof(token) },
		{ CKA_PRIVATE, &private, sizeof(private) },
		{ CKA_LOCAL, &local, sizeof(local) },
		{ CKA_ALWAYS_SENSITIVE, &sensitive, sizeof(sensitive) },
		{ CKA_NEVER_EXTRACTABLE, &never, sizeof(never) },
		{ CKA_KEY_TYPE, &type, sizeof(type) },
		{ CKA_VALUE_LEN, &length, sizeof(length) },
	};

	return session->p11->C_GetAttributeValue(session->handle, key, attributes,
		       sizeof(attributes) / sizeof(attributes[0])) == CKR_OK &&
	       token && private && local && sensitive && never && type == CKK_AES && length == KEY_BYTES;
}

bool token_find_key(struct token_session *session, const struct token_kind *kind, const char *key_id,
	const char *label, CK_OBJECT_HANDLE *key, struct complaint *complaint)
{
	unsigned char id[KEY_ID_BYTES];
	CK_OBJECT_CLASS class = kind->class;
	CK_ATTRIBUTE template[] = { { CKA_CLASS, &class, sizeof(class) }, { CKA_ID, id, sizeof(id) },
		{ CKA_LABEL, (void *)label, label ? strlen(label) : 0 } };
	CK_ULONG n = 0;
	CK_RV rv;

	if (!hex_decode(key_id, id, sizeof(id)))
		return complain(complaint, "a key id is %d lower-case hexadecimal digits", KEY_ID_SIZE - 1);
	rv = token_find_object(session, template, label ? 3 : 2, key, &n);
	if (rv != CKR_OK)
		return complain(complaint, "the token does not look for its key: %s", token_code(rv));
	if (n != 1)
		return complain(complaint, "the token has %s %s with the id %s",
			n == 0 ? "no" : "more than one", kind->called, key_id);
	return kind->is_ours(session, *key) ||
	       complain(complaint, "the token's key %s is not %s", key_id, kind->has_to_be);
}

bool token_find_id(struct token_session *session, const struct token_kind *kind, const char *label,
	char key_id[KEY_ID_SIZE])
{
	unsigned char id[KEY_ID_BYTES];
	CK_OBJECT_CLASS class = kind->class;
	CK_ATTRIBUTE template[] = { { CKA_CLASS, &class, sizeof(class) },
		{ CKA_LABEL, (void *)label, strlen(label) } };
	CK_ATTRIBUTE wanted = { CKA_ID, id, sizeof(id) };
	CK_OBJECT_HANDLE key = 0;
	CK_ULONG n = 0;

	if (token_find_object(session, template, 2, &key, &n) != CKR_OK || n != 1 ||
		!kind->is_ours(session, key))
		return false;
	if (session->p11->C_GetAttributeValue(session->handle, key, &wanted, 1) != CKR_OK ||
		wanted.ulValueLen != sizeof(id))
		return false;
	hex_encode((struct bytes){ id, sizeof(id) }, key_id);
	return true;
}

static const struct token_kind key_kind = { .class = CKO_SECRET_KEY,
	.called = "key",
	.has_to_be = "an AES-256 key that was generated in it and can never leave it",
	.is_ours = key_is_ours };

bool token_key_choose(struct token_session *session, const char *key_id, struct complaint *complaint)
{
	CK_OBJECT_HANDLE key = 0;

	if (session->key != 0 && strcmp(session->key_id, key_id) == 0)
		return true;
	if (!token_find_key(session, &key_kind, key_id, NULL, &key, complaint))
		return false;
	session->key = key;
	memcpy(session->key_id, key_id, KEY_ID_SIZE);
	return true;
}

bool token_key_of_label(struct token_session *session, const char *label, char key_id[KEY_ID_SIZE])
{
	struct complaint ignored;

	return token_find_id(session, &key_kind, label, key_id) &&
	       token_key_choose(session, key_id, &ignored);
}

bool token_key_generate(struct token_session *session, const char *label, char key_id[KEY_ID_SIZE],
	struct complaint *complaint)
{
	unsigned char id[KEY_ID_BYTES];
	CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
	CK_ULONG length = KEY_BYTES;
	CK_MECHANISM mechanism = { CKM_AES_KEY_GEN, NULL, 0 };
	CK_ATTRIBUTE template[] = {
		{ CKA_LABEL, (void *)label, strlen(label) },
		{ CKA_ID, id, sizeof(id) },
		{ CKA_VALUE_LEN, &length, sizeof(length) },
		{ CKA_TOKEN, &yes, sizeof(yes) },
		{ CKA_PRIVATE, &yes, sizeof(yes) },
		{ CKA_SENSITIVE, &yes, sizeof(yes) },
		{ CKA_EXTRACTABLE, &no, sizeof(no) },
		{ CKA_ENCRYPT, &yes, sizeof(yes) },
		{ CKA_DECRYPT, &yes, sizeof(yes) },
		{ CKA_SIGN, &no, sizeof(no) },
		{ CKA_VERIFY, &no, sizeof(no) },
		{ CKA_WRAP, &no, sizeof(no) },
		{ CKA_UNWRAP, &no, sizeof(no) },
		{ CKA_DERIVE, &no, sizeof(no) },
	};
	CK_OBJECT_HANDLE key = 0;
	CK_RV rv;

	if (RAND_bytes(id, sizeof(id)) != 1)
		return complain(complaint, "no random bytes");
	hex_encode((struct bytes){ id, sizeof(id) }, key_id);
	rv = session->p11->C_GenerateKey(
		session->handle, &mechanism, template, sizeof(template) / sizeof(template[0]), &key);
	if (rv != CKR_OK)
		return complain(complaint, "the token generates no AES-256 key: %s", token_code(rv));
	/* found again as it will be found every day: by its id, with what it must be */
	return token_key_choose(session, key_id, complaint);
}
