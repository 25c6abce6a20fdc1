/* Making a blank token ours: label, SO PIN, user PIN. Must never touch a token that anybody has initialised
 * under another label. */
#include "vault/token_inside.h"

#include <string.h>

/* An SO login for the single call C_InitPIN. */
static CK_RV user_pin_set(struct token *token, struct bytes so_pin, struct bytes pin, const char **step)
{
	CK_SESSION_HANDLE session;
	CK_RV rv;

	*step = "C_OpenSession";
	rv = token->p11->C_OpenSession(
		token->slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &session);
	if (rv != CKR_OK)
		return rv;
	*step = "C_Login with the SO PIN";
	rv = token->p11->C_Login(session, CKU_SO, (CK_UTF8CHAR *)so_pin.data, so_pin.length);
	if (rv == CKR_OK) {
		*step = "C_InitPIN";
		rv = token->p11->C_InitPIN(session, (CK_UTF8CHAR *)pin.data, pin.length);
		token->p11->C_Logout(session);
	}
	token->p11->C_CloseSession(session);
	return rv;
}

bool token_initialise(struct token *token, const char *label, struct bytes so_pin, struct bytes pin,
	struct complaint *complaint)
{
	CK_UTF8CHAR padded[32];
	const char *step = "C_InitToken";
	CK_RV rv;

	if (!token->found) {
		memset(padded, ' ', sizeof(padded));
		memcpy(padded, label, strnlen(label, sizeof(padded)));
		rv = token->p11->C_InitToken(token->slot, (CK_UTF8CHAR *)so_pin.data, so_pin.length, padded);
		if (rv != CKR_OK)
			return complain(complaint, "%s: %s", step, token_code(rv));
		/* it may have moved to another slot */
		if (token_find(token, label, "", complaint) == TOKEN_NOT_THERE || !token->found)
			return complain(complaint,
				"the token was initialised as %s, and is not there under that label", label);
	}
	rv = user_pin_set(token, so_pin, pin, &step);
	if (rv != CKR_OK)
		return complain(complaint, "%s: %s", step, token_code(rv));
	return true;
}
