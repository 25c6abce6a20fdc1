/* A PKCS#11 module that passes every call on to another one and misbehaves on demand: error codes, hangs,
 * crashes, wrong lengths, garbage; and it always leaves copies of the PIN and of what it decrypts on the
 * heap. A vault file names it where it would name the vendor's module.
 *
 *   VOUCHSAFE_PKCS11_MODULE=path       the module behind it (default: SoftHSM's)
 *   VOUCHSAFE_PKCS11_FAULT=C_Decrypt:2:0x30        armed from the start, as in shim.c; numbers are CKR_ codes
 *   VOUCHSAFE_PKCS11_FAULT_FILE=path   the shared page of control.h
 *
 * Only what vouchsafe-vault calls is wrapped; all else goes to the module behind directly. */
#include "tests/fault/control.h"

#include <dlfcn.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <p11-kit/pkcs11.h>

#define EXPORT __attribute__((visibility("default")))

enum row {
	INITIALIZE,
	FINALIZE,
	GET_SLOT_LIST,
	GET_TOKEN_INFO,
	OPEN_SESSION,
	CLOSE_SESSION,
	GET_SESSION_INFO,
	LOGIN,
	FIND_OBJECTS_INIT,
	FIND_OBJECTS,
	FIND_OBJECTS_FINAL,
	GET_ATTRIBUTE_VALUE,
	DECRYPT_INIT,
	DECRYPT,
	ENCRYPT_INIT,
	ENCRYPT,
	GENERATE_KEY,
	ROWS
};

static const char *const names[ROWS] = { "C_Initialize", "C_Finalize", "C_GetSlotList", "C_GetTokenInfo",
	"C_OpenSession", "C_CloseSession", "C_GetSessionInfo", "C_Login", "C_FindObjectsInit",
	"C_FindObjects", "C_FindObjectsFinal", "C_GetAttributeValue", "C_DecryptInit", "C_Decrypt",
	"C_EncryptInit", "C_Encrypt", "C_GenerateKey" };

static struct control *control;
static CK_FUNCTION_LIST ours;
static CK_FUNCTION_LIST_PTR behind;
static CK_FUNCTION_LIST careless; /* the module behind, with a vendor's carelessness */

/* ---- what can be spoilt */

static void data_spoil(CK_BYTE *data, const CK_ULONG *length)
{
	for (CK_ULONG i = 0; data && length && i < *length; i++)
		data[i] = (CK_BYTE)(data[i] ^ 0x5a);
}

static void length_change(CK_ULONG *length, long long by)
{
	if (length)
		*length = (CK_ULONG)((long long)*length + by);
}

/* As careless as a vendor may be: a copy on the ordinary heap, freed as it is. Behind what an allocator
 * writes into free blocks. */
static void copy_leave(const CK_BYTE *secret, CK_ULONG length)
{
	enum { HEAD = 64 };
	volatile CK_BYTE *copy = malloc(HEAD + length);

	for (CK_ULONG i = 0; copy && i < length; i++)
		copy[HEAD + i] = secret[i];
	free((void *)copy);
}

static CK_RV careless_login(CK_SESSION_HANDLE session, CK_USER_TYPE user, CK_UTF8CHAR *pin, CK_ULONG length)
{
	copy_leave(pin, length);
	return behind->C_Login(session, user, pin, length);
}

static CK_RV careless_decrypt(
	CK_SESSION_HANDLE session, CK_BYTE *in, CK_ULONG size, CK_BYTE *out, CK_ULONG *length)
{
	CK_RV rv = behind->C_Decrypt(session, in, size, out, length);

	if (rv == CKR_OK && out)
		copy_leave(out, *length);
	return rv;
}

/* `DATA` and `LENGTH` are what the call gives out, or NULL. */
#define CALL(ROW, NAME, PARAMETERS, ARGUMENTS, DATA, LENGTH)                                                 \
	static CK_RV NAME PARAMETERS                                                                         \
	{                                                                                                    \
		struct fault fault = control_meet(control, ROW);                                             \
		CK_RV rv;                                                                                    \
                                                                                                             \
		if (fault_before(control, &fault))                                                           \
			return (CK_RV)fault.number;                                                          \
		rv = careless.C_##NAME ARGUMENTS;                                                            \
		if (fault_after(&fault))                                                                     \
			return (CK_RV)fault.number;                                                          \
		if (rv == CKR_OK && fault.action == ACTION_GARBAGE)                                          \
			data_spoil(DATA, LENGTH);                                                            \
		if (rv == CKR_OK && fault.action == ACTION_LENGTH)                                           \
			length_change(LENGTH, fault.number);                                                 \
		return rv;                                                                                   \
	}
#define PLAIN(ROW, NAME, PARAMETERS, ARGUMENTS) CALL(ROW, NAME, PARAMETERS, ARGUMENTS, NULL, NULL)

PLAIN(INITIALIZE, Initialize, (void *arguments), (arguments))
PLAIN(FINALIZE, Finalize, (void *reserved), (reserved))
CALL(GET_SLOT_LIST, GetSlotList, (CK_BBOOL present, CK_SLOT_ID *slots, CK_ULONG *n), (present, slots, n),
	NULL, n)
PLAIN(GET_TOKEN_INFO, GetTokenInfo, (CK_SLOT_ID slot, CK_TOKEN_INFO *info), (slot, info))
PLAIN(OPEN_SESSION, OpenSession,
	(CK_SLOT_ID slot, CK_FLAGS flags, void *context, CK_NOTIFY notify, CK_SESSION_HANDLE *session),
	(slot, flags, context, notify, session))
PLAIN(CLOSE_SESSION, CloseSession, (CK_SESSION_HANDLE session), (session))
PLAIN(GET_SESSION_INFO, GetSessionInfo, (CK_SESSION_HANDLE session, CK_SESSION_INFO *info), (session, info))
PLAIN(LOGIN, Login, (CK_SESSION_HANDLE session, CK_USER_TYPE user, CK_UTF8CHAR *pin, CK_ULONG length),
	(session, user, pin, length))
PLAIN(FIND_OBJECTS_INIT, FindObjectsInit, (CK_SESSION_HANDLE session, CK_ATTRIBUTE *attributes, CK_ULONG n),
	(session, attributes, n))
CALL(FIND_OBJECTS, FindObjects,
	(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE *objects, CK_ULONG most, CK_ULONG *n),
	(session, objects, most, n), NULL, n)
PLAIN(FIND_OBJECTS_FINAL, FindObjectsFinal, (CK_SESSION_HANDLE session), (session))
CALL(GET_ATTRIBUTE_VALUE, GetAttributeValue,
	(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *attributes, CK_ULONG n),
	(session, object, attributes, n), attributes[0].pValue, &attributes[0].ulValueLen)
PLAIN(DECRYPT_INIT, DecryptInit, (CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key),
	(session, mechanism, key))
CALL(DECRYPT, Decrypt,
	(CK_SESSION_HANDLE session, CK_BYTE *in, CK_ULONG size, CK_BYTE *out, CK_ULONG *length),
	(session, in, size, out, length), out, length)
PLAIN(ENCRYPT_INIT, EncryptInit, (CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key),
	(session, mechanism, key))
CALL(ENCRYPT, Encrypt,
	(CK_SESSION_HANDLE session, CK_BYTE *in, CK_ULONG size, CK_BYTE *out, CK_ULONG *length),
	(session, in, size, out, length), out, length)
PLAIN(GENERATE_KEY, GenerateKey,
	(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_ATTRIBUTE *attributes, CK_ULONG n,
		CK_OBJECT_HANDLE *key),
	(session, mechanism, attributes, n, key))

/* ---- the module */

static CK_FUNCTION_LIST_PTR module_behind(void)
{
	const char *path = getenv("VOUCHSAFE_PKCS11_MODULE");
	void *module = dlopen(path ? path : "/usr/lib/softhsm/libsofthsm2.so", RTLD_NOW | RTLD_LOCAL);
	CK_FUNCTION_LIST_PTR list = NULL;
	CK_RV (*get)(CK_FUNCTION_LIST_PTR_PTR);

	if (!module) {
		fprintf(stderr, "pkcs11 shim: %s\n", dlerror());
		return NULL;
	}
	*(void **)&get = dlsym(module, "C_GetFunctionList");
	return get && get(&list) == CKR_OK ? list : NULL;
}

static void ours_fill(void)
{
	careless = *behind;
	careless.C_Login = careless_login;
	careless.C_Decrypt = careless_decrypt;
	ours = *behind;
	ours.C_GetFunctionList = C_GetFunctionList;
	ours.C_Initialize = Initialize;
	ours.C_Finalize = Finalize;
	ours.C_GetSlotList = GetSlotList;
	ours.C_GetTokenInfo = GetTokenInfo;
	ours.C_OpenSession = OpenSession;
	ours.C_CloseSession = CloseSession;
	ours.C_GetSessionInfo = GetSessionInfo;
	ours.C_Login = Login;
	ours.C_FindObjectsInit = FindObjectsInit;
	ours.C_FindObjects = FindObjects;
	ours.C_FindObjectsFinal = FindObjectsFinal;
	ours.C_GetAttributeValue = GetAttributeValue;
	ours.C_DecryptInit = DecryptInit;
	ours.C_Decrypt = Decrypt;
	ours.C_EncryptInit = EncryptInit;
	ours.C_Encrypt = Encrypt;
	ours.C_GenerateKey = GenerateKey;
}

static bool begin(void)
{
	const char *path = getenv("VOUCHSAFE_PKCS11_FAULT_FILE");
	const char *text = getenv("VOUCHSAFE_PKCS11_FAULT");

	behind = module_behind();
	if (!behind)
		return false;
	ours_fill();
	if (!path && !text)
		return true;
	control = control_open(path, names, ROWS);
	if (control && text && !control_arm(control, text)) {
		fprintf(stderr, "pkcs11 shim: VOUCHSAFE_PKCS11_FAULT=%s is not understood\n", text);
		return false;
	}
	return control != NULL;
}

/* Called once, by whoever loads the module, before there are threads. */
EXPORT CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR list)
{
	if (!behind && !begin())
		return CKR_GENERAL_ERROR;
	*list = &ours;
	return CKR_OK;
}
