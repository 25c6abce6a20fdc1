#ifndef VAULT_TOKEN_INSIDE_H
#define VAULT_TOKEN_INSIDE_H
/* What only the files that speak PKCS#11 may know (token.c, token_setup.c, token_key.c, wrap.c, and tests
 * that put a misbehaving token in its place). */
#include "vault/token.h"

#include <pthread.h>
#include <stddef.h>

#include <p11-kit/pkcs11.h>

enum { KEY_ID_BYTES = (KEY_ID_SIZE - 1) / 2 };

struct token {
	CK_FUNCTION_LIST *p11;
	CK_SLOT_ID slot;
	CK_FLAGS flags; /* of the token found */
	bool found;
	char serial[17];
	CK_SESSION_HANDLE anchor; /* 0: none */
};

struct token_session {
	CK_FUNCTION_LIST *p11;
	struct token *token;
	CK_SESSION_HANDLE handle;
	CK_OBJECT_HANDLE key; /* 0: none chosen */
	char key_id[KEY_ID_SIZE];
	CK_OBJECT_HANDLE signer; /* 0: none chosen */
	char signer_id[KEY_ID_SIZE];
};

/* Looks for the one object that fits the template; *n how many there are (counted up to 2). */
CK_RV token_find_object(
	struct token_session *, CK_ATTRIBUTE *, CK_ULONG attributes, CK_OBJECT_HANDLE *, CK_ULONG *n);

/* A kind of key that a token keeps for us. */
struct token_kind {
	CK_OBJECT_CLASS class;
	const char *called, *has_to_be; /* "key"; "an AES-256 key that was ..." */
	bool (*is_ours)(
		struct token_session *, CK_OBJECT_HANDLE); /* made in the token, and never to leave it */
};
/* The only one of that id and, where given, label. False: the complaint says what there is instead. */
MUST_USE bool token_find_key(struct token_session *, const struct token_kind *, const char *key_id,
	const char *label, CK_OBJECT_HANDLE *, struct complaint *);
/* The id of the only one of that label; false where there is none that is ours. */
MUST_USE bool token_find_id(
	struct token_session *, const struct token_kind *, const char *label, char key_id[KEY_ID_SIZE]);

/* "C_Login: CKR_PIN_INCORRECT" as a complaint's words; static storage or the thread's own. */
const char *token_code(CK_RV);
/* Copies a blank-padded field without its padding. `size` is that of `to`: length + 1. */
void token_field(const CK_UTF8CHAR *field, size_t length, char *to);

#endif
