/* The module, its slots, the login and the sessions. Must never try a PIN a second time by itself, and never
 * share a session between threads. */
#include "vault/token_inside.h"

#include <p11-kit/p11-kit.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SLOTS_MAX = 64 };

struct token *token_load(const char *module, struct complaint *complaint)
{
	/* p11_kit_module_initialize passes no arguments, and so promises the module a single thread */
	CK_C_INITIALIZE_ARGS threads = { .flags = CKF_OS_LOCKING_OK };
	struct token *token = calloc(1, sizeof(*token));
	CK_RV rv;

	if (token == NULL) {
		complain(complaint, "memory is out");
		return NULL;
	}
	token->p11 = p11_kit_module_load(module, P11_KIT_MODULE_UNMANAGED | P11_KIT_MODULE_CRITICAL);
	if (token->p11 == NULL) {
		const char *why = p11_kit_message();

		complain(complaint, "the PKCS#11 module %s cannot be loaded: %s", module,
			why ? why : "no reason given");
		free(token);
		return NULL;
	}
	rv = token->p11->C_Initialize(&threads);
	if (rv == CKR_OK)
		return token;
	complain(complaint,
		"the PKCS#11 module %s cannot be initialised: %s (for SoftHSM: does SOFTHSM2_CONF name a "
		"file, "
		"and is its token folder this user's?)",
		module, token_code(rv));
	p11_kit_module_release(token->p11);
	free(token);
	return NULL;
}

void token_close(struct token *token)
{
	if (token == NULL)
		return;
	if (token->anchor != 0)
		token->p11->C_CloseSession(token->anchor);
	token->p11->C_Finalize(NULL);
	p11_kit_module_release(token->p11);
	free(token);
}

const char *token_serial(const struct token *token)
{
	return token->serial;
}

void token_field(const CK_UTF8CHAR *field, size_t length, char *to)
{
	while (length > 0 && (field[length - 1] == ' ' || field[length - 1] == '\0'))
		length--;
	memcpy(to, field, length);
	to[length] = '\0';
}

struct search {
	const char *label, *serial;
	unsigned ours, blank;
	CK_SLOT_ID our_slot, blank_slot;
	CK_TOKEN_INFO info; /* of the one that is ours */
};

static void look_at(struct search *search, CK_SLOT_ID slot, const CK_TOKEN_INFO *info)
{
	char label[sizeof(info->label) + 1], serial[sizeof(info->serialNumber) + 1];

	if (!(info->flags & CKF_TOKEN_INITIALIZED)) {
		search->blank++;
		search->blank_slot = slot;
		return;
	}
	token_field(info->label, sizeof(info->label), label);
	token_field(info->serialNumber, sizeof(info->serialNumber), serial);
	if (strcmp(label, search->label) != 0)
		return;
	if (search->serial[0] != '\0' && strcmp(serial, search->serial) != 0)
		return;
	search->ours++;
	search->our_slot = slot;
	search->info = *info;
}

static bool look_at_all(struct token *token, struct search *search, struct complaint *complaint)
{
	CK_SLOT_ID slots[SLOTS_MAX];
	CK_ULONG n = 0;
	CK_TOKEN_INFO info;
	CK_RV rv;

	/* some modules see new tokens only when first asked how many there are */
	rv = token->p11->C_GetSlotList(CK_TRUE, NULL, &n);
	if (rv == CKR_OK && n > SLOTS_MAX)
		return complain(complaint, "the PKCS#11 module has more than %d tokens", SLOTS_MAX);
	n = SLOTS_MAX;
	if (rv == CKR_OK)
		rv = token->p11->C_GetSlotList(CK_TRUE, slots, &n);
	if (rv != CKR_OK)
		return complain(complaint, "the PKCS#11 module does not list its slots: %s", token_code(rv));
	for (CK_ULONG i = 0; i < n; i++)
		if (token->p11->C_GetTokenInfo(slots[i], &info) == CKR_OK)
			look_at(search, slots[i], &info);
	return true;
}

static enum token_search token_take(struct token *token, const struct search *search)
{
	token->slot = search->our_slot;
	token->flags = search->info.flags;
	token->found = true;
	token_field(search->info.serialNumber, sizeof(search->info.serialNumber), token->serial);
	/* ours, but without a user PIN: set-up was interrupted between the two */
	return token->flags & CKF_USER_PIN_INITIALIZED ? TOKEN_THERE : TOKEN_BLANK;
}

enum token_search token_find(
	struct token *token, const char *label, const char *serial, struct complaint *complaint)
{
	struct search search = { .label = label, .serial = serial };
	const char *with = serial[0] != '\0' ? " with the serial number " : "";

	token->found = false;
	if (!look_at_all(token, &search, complaint))
		return TOKEN_NOT_THERE;
	if (search.ours == 1)
		return token_take(token, &search);
	if (search.ours > 1) {
		complain(complaint, "%u tokens have the label %s%s%s: give each its own", search.ours, label,
			with, serial);
		return TOKEN_NOT_THERE;
	}
	complain(complaint, "no token has the label %s%s%s", label, with, serial);
	if (search.blank == 0 || serial[0] != '\0')
		return TOKEN_NOT_THERE;
	if (search.blank > 1) {
		complain(complaint,
			"no token has the label %s, and %u are blank: give the one that is meant this label",
			label, search.blank);
		return TOKEN_NOT_THERE;
	}
	token->slot = search.blank_slot;
	token->flags = 0;
	return TOKEN_BLANK;
}

static bool pin_refused(CK_RV rv)
{
	return rv == CKR_PIN_INCORRECT || rv == CKR_PIN_LOCKED || rv == CKR_PIN_INVALID ||
	       rv == CKR_PIN_LEN_RANGE || rv == CKR_PIN_EXPIRED;
}

enum token_login token_login(struct token *token, struct bytes pin, struct complaint *complaint)
{
	CK_SESSION_INFO info;
	CK_RV rv = CKR_OK;

	if (token->anchor != 0 && token->p11->C_GetSessionInfo(token->anchor, &info) != CKR_OK)
		token->anchor = 0;
	if (token->anchor == 0)
		rv = token->p11->C_OpenSession(
			token->slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &token->anchor);
	if (rv != CKR_OK) {
		token->anchor = 0;
		complain(complaint, "the token opens no session: %s", token_code(rv));
		return LOGIN_FAILED;
	}
	rv = token->p11->C_Login(token->anchor, CKU_USER, (CK_UTF8CHAR *)pin.data, pin.length);
	if (rv == CKR_OK || rv == CKR_USER_ALREADY_LOGGED_IN)
		return LOGIN_OK;
	if (pin_refused(rv)) {
		complain(complaint, "the token refuses the PIN: %s", token_code(rv));
		return LOGIN_PIN_REFUSED;
	}
	complain(complaint, "the token lets nobody log in: %s", token_code(rv));
	return LOGIN_FAILED;
}

static CK_RV session_start(struct token_session *session)
{
	CK_RV rv = session->p11->C_OpenSession(
		session->token->slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &session->handle);

	if (rv != CKR_OK)
		session->handle = 0;
	session->key = session->signer = 0;
	return rv;
}

struct token_session *token_session_open(struct token *token, struct complaint *complaint)
{
	struct token_session *session = calloc(1, sizeof(*session));
	CK_RV rv;

	if (session == NULL) {
		complain(complaint, "memory is out");
		return NULL;
	}
	session->p11 = token->p11;
	session->token = token;
	rv = session_start(session);
	if (rv == CKR_OK)
		return session;
	complain(complaint, "the token opens no session: %s", token_code(rv));
	free(session);
	return NULL;
}

void token_session_close(struct token_session *session)
{
	if (session == NULL)
		return;
	if (session->handle != 0)
		session->p11->C_CloseSession(session->handle);
	free(session);
}

bool token_session_renew(struct token_session *session)
{
	CK_SESSION_INFO info;

	if (session->handle != 0)
		session->p11->C_CloseSession(session->handle);
	if (session_start(session) != CKR_OK)
		return false;
	return session->p11->C_GetSessionInfo(session->handle, &info) == CKR_OK &&
	       info.state == CKS_RW_USER_FUNCTIONS;
}

const char *token_code(CK_RV rv)
{
	static const struct {
		CK_RV rv;
		const char *name;
	} names[] = {
		{ CKR_HOST_MEMORY, "CKR_HOST_MEMORY" },
		{ CKR_GENERAL_ERROR, "CKR_GENERAL_ERROR" },
		{ CKR_FUNCTION_FAILED, "CKR_FUNCTION_FAILED" },
		{ CKR_DEVICE_ERROR, "CKR_DEVICE_ERROR" },
		{ CKR_DEVICE_MEMORY, "CKR_DEVICE_MEMORY" },
		{ CKR_DEVICE_REMOVED, "CKR_DEVICE_REMOVED" },
		{ CKR_ENCRYPTED_DATA_INVALID, "CKR_ENCRYPTED_DATA_INVALID" },
		{ CKR_KEY_HANDLE_INVALID, "CKR_KEY_HANDLE_INVALID" },
		{ CKR_MECHANISM_INVALID, "CKR_MECHANISM_INVALID" },
		{ CKR_MECHANISM_PARAM_INVALID, "CKR_MECHANISM_PARAM_INVALID" },
		{ CKR_OBJECT_HANDLE_INVALID, "CKR_OBJECT_HANDLE_INVALID" },
		{ CKR_PIN_INCORRECT, "CKR_PIN_INCORRECT" },
		{ CKR_PIN_INVALID, "CKR_PIN_INVALID" },
		{ CKR_PIN_LEN_RANGE, "CKR_PIN_LEN_RANGE" },
		{ CKR_PIN_EXPIRED, "CKR_PIN_EXPIRED" },
		{ CKR_PIN_LOCKED, "CKR_PIN_LOCKED" },
		{ CKR_SESSION_CLOSED, "CKR_SESSION_CLOSED" },
		{ CKR_SESSION_COUNT, "CKR_SESSION_COUNT" },
		{ CKR_SESSION_HANDLE_INVALID, "CKR_SESSION_HANDLE_INVALID" },
		{ CKR_SESSION_EXISTS, "CKR_SESSION_EXISTS" },
		{ CKR_TOKEN_NOT_PRESENT, "CKR_TOKEN_NOT_PRESENT" },
		{ CKR_TOKEN_NOT_RECOGNIZED, "CKR_TOKEN_NOT_RECOGNIZED" },
		{ CKR_TOKEN_WRITE_PROTECTED, "CKR_TOKEN_WRITE_PROTECTED" },
		{ CKR_USER_NOT_LOGGED_IN, "CKR_USER_NOT_LOGGED_IN" },
		{ CKR_USER_PIN_NOT_INITIALIZED, "CKR_USER_PIN_NOT_INITIALIZED" },
		{ CKR_CRYPTOKI_NOT_INITIALIZED, "CKR_CRYPTOKI_NOT_INITIALIZED" },
	};
	static _Thread_local char text[32];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (names[i].rv == rv)
			return names[i].name;
	snprintf(text, sizeof(text), "CKR 0x%08lx", (unsigned long)rv);
	return text;
}
