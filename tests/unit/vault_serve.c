/* The serving member's three requests, in this process, over SoftHSM: what it answers, what it refuses, and
 * what it does when the token forgets its sessions, its login, or itself. */
#include "tests/unit/vault_fixture.h"
#include "vault/answer.h"
#include "vault/cms_seal.h"
#include "vault/envelope_crypto.h"
#include "vault/pin.h"
#include "vault/serve.h"
#include "vault/token_inside.h"
#include "vault/wrap.h"

#include <jansson.h>
#include <openssl/cms.h>
#include <openssl/ec.h>
#include <openssl/rand.h>
#include <openssl/x509.h>

static struct place place;
static struct vault_file *file;
static struct service service;
static struct worker worker;
static struct member_pin pin;
static EVP_PKEY *recipient;
static unsigned char *spki;
static CK_FUNCTION_LIST functions, *real; /* the module's, and a copy that tests may change */

#define RELEASE "01910000-0000-7000-8000-000000000000"
#define INSTANCE "i-0123456789abcdef0"
#define ACK "abcdefghijklmnopqrstuvwxyz0123456789-_ABCDE"

/* ---- requests as vouchsafed would make them */

static void text_set(char *to, size_t size, const char *text)
{
	assert_true(strlen(text) < size);
	strcpy(to, text);
}

/* An envelope that a set-up process would have made. */
static void envelope_make(
	struct envelope *envelope, const char *name, const char *kind, const void *value, size_t length)
{
	const struct envelope_label label = { VAULT_ID, name, kind, 1 };
	unsigned char key[DATA_KEY_BYTES];
	struct complaint complaint = { "" };
	struct token_session *session = token_session_open(service.token, &complaint);
	struct aad aad;

	assert_non_null(session);
	assert_true(token_key_choose(session, pin.key_id, &complaint));
	*envelope = (struct envelope){ .version = 1, .n_wraps = 1, .text_length = length + TAG_BYTES };
	text_set(envelope->name, NAME_SIZE, name);
	text_set(envelope->kind, KIND_SIZE, kind);
	text_set(envelope->wraps[0].member, NAME_SIZE, MEMBER);
	envelope->wraps[0].generation = 1;
	envelope->text = malloc(length + TAG_BYTES);
	assert_non_null(envelope->text);
	RAND_bytes(key, sizeof(key));
	assert_true(
		envelope_seal(&label, key, (struct bytes){ value, length }, envelope->nonce, envelope->text));
	wrap_aad(&label, MEMBER, 1, &aad);
	assert_true(wrap_seal(session, IV_HOST, (struct bytes){ aad.data, aad.length }, key,
		envelope->wraps[0].bytes, &envelope->wraps[0].length, &complaint));
	token_session_close(session);
}

static bool asked(enum frame_type type, const struct envelope *envelope, struct frame *answer)
{
	struct frame request;
	bool alive;

	frame_start(&request, type);
	frame_put_pin(&request, &pin);
	frame_put_envelope(&request, envelope, &envelope->wraps[0]);
	alive = serve(&worker, &request, answer);
	frame_clear(&request);
	return alive;
}

static void seal_start(struct frame *request, const char *release, const char *instance, const char *ack,
	struct bytes key, uint32_t n)
{
	static const unsigned char hash[32] = { 0xab };

	frame_start(request, FRAME_SEAL);
	frame_put_pin(request, &pin);
	frame_put_text(request, release);
	frame_put_text(request, instance);
	frame_put_bytes(request, (struct bytes){ hash, 32 });
	frame_put_text(request, ack);
	frame_put_bytes(request, key);
	frame_put_number(request, n);
}

static bool sealed(const struct envelope *const envelopes[], uint32_t n, struct frame *answer)
{
	struct frame request;
	bool alive;

	seal_start(&request, RELEASE, INSTANCE, ACK, (struct bytes){ spki, SPKI_P256 }, n);
	for (uint32_t i = 0; i < n; i++)
		frame_put_envelope(&request, envelopes[i], &envelopes[i]->wraps[0]);
	alive = serve(&worker, &request, answer);
	frame_clear(&request);
	return alive;
}

static void expect_error(struct frame *answer, enum frame_error expected, const char *what)
{
	struct frame_reader reader = frame_read(answer);
	char text[600];

	assert_int_equal(answer->type, FRAME_ERROR);
	assert_int_equal(frame_take_number(&reader, 1, 9), expected);
	frame_take_text(&reader, text, sizeof(text));
	if (strstr(text, what) == NULL)
		fail_msg("not \"%s\" but \"%s\"", what, text);
	frame_clear(answer);
}

/* ---- before and after each test */

static int begin(void **state)
{
	const struct bytes so_pin = { (const unsigned char *)"12345678", 8 },
			   user_pin = { (const unsigned char *)"123456", 6 };
	struct complaint complaint = { "" };
	struct token_session *session;
	struct token *token;

	(void)state;
	place_make(&place);
	file = file_load(&place);
	token = token_load(SOFTHSM, &complaint);
	assert_non_null(token);
	assert_int_equal(token_find(token, TOKEN, "", &complaint), TOKEN_BLANK);
	assert_true(token_initialise(token, TOKEN, so_pin, user_pin, &complaint));
	assert_int_equal(token_login(token, user_pin, &complaint), LOGIN_OK);
	session = token_session_open(token, &complaint);
	pin = (struct member_pin){ .generation = 1, .iv_mode = IV_HOST };
	assert_true(token_key_generate(session, "kek", pin.key_id, &complaint));
	text_set(pin.token_serial, sizeof(pin.token_serial), token_serial(token));
	token_session_close(session);
	token_close(token);
	if (!service_start(&service, file, &file->members[0], &complaint))
		fail_msg("%s", complaint.text);
	worker = (struct worker){ .service = &service };
	real = service.token->p11;
	functions = *real;
	recipient = EVP_EC_gen("P-256");
	spki = NULL;
	assert_int_equal(i2d_PUBKEY(recipient, &spki), SPKI_P256);
	return 0;
}

static int end(void **state)
{
	(void)state;
	worker_clear(&worker);
	service.token->p11 = real;
	service_stop(&service);
	EVP_PKEY_free(recipient);
	OPENSSL_free(spki);
	free(file);
	place_remove(&place);
	return 0;
}

/* From now on the module's functions are those of `functions`. */
static void functions_take(void)
{
	worker_clear(&worker);
	service.token->p11 = &functions;
}

/* ---- tests */

static json_t *opened(const struct frame *answer)
{
	BIO *out = BIO_new(BIO_s_mem());
	const unsigned char *at;
	CMS_ContentInfo *cms;
	struct bytes der;
	char *text;
	json_t *root;

	assert_true(answer_sealed(answer, RELEASE, &der));
	at = der.data;
	cms = d2i_CMS_ContentInfo(NULL, &at, (long)der.length);
	assert_non_null(cms);
	assert_int_equal(CMS_decrypt_set1_pkey(cms, recipient, NULL), 1);
	assert_int_equal(CMS_decrypt(cms, NULL, NULL, NULL, out, 0), 1);
	root = json_loadb(text, (size_t)BIO_get_mem_data(out, &text), JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(root);
	BIO_free(out);
	CMS_ContentInfo_free(cms);
	return root;
}

static const char *value_of(const json_t *root, size_t i)
{
	return json_string_value(
		json_object_get(json_array_get(json_object_get(root, "secrets"), i), "value"));
}

static void grants_are_sealed(void **state)
{
	struct envelope one, two;
	struct frame answer;
	json_t *root;

	(void)state;
	envelope_make(&one, "hsm-pin", "pin", "1234", 4);
	envelope_make(&two, "blob", "opaque", "\xff\x00\x01", 3);
	assert_true(sealed((const struct envelope *[]){ &one, &two }, 2, &answer));
	root = opened(&answer);
	assert_string_equal(json_string_value(json_object_get(root, "release_id")), RELEASE);
	assert_string_equal(json_string_value(json_object_get(root, "instance-id")), INSTANCE);
	assert_string_equal(json_string_value(json_object_get(root, "ack")), ACK);
	assert_string_equal(value_of(root, 0), "1234");
	assert_string_equal(value_of(root, 1), "/wAB");
	assert_int_equal(service.seals, 1);
	json_decref(root);
	frame_clear(&answer);
	envelope_clear(&one);
	envelope_clear(&two);
}

static void only_its_own_kinds_are_opened(void **state)
{
	struct envelope node, canary, secret;
	struct frame answer;

	(void)state;
	envelope_make(&node, "node", "node", "0123456789abcdef0123456789abcdef", 32);
	envelope_make(&canary, "canary", "canary", "0123456789abcdef0123456789abcdef", 32);
	envelope_make(&secret, "key", "opaque", "0123456789abcdef0123456789abcdef", 32);
	assert_true(asked(FRAME_CANARY, &canary, &answer));
	assert_int_equal(answer.type, FRAME_DONE);
	frame_clear(&answer);
	assert_true(asked(FRAME_NODE_KEY, &node, &answer));
	assert_int_equal(answer.type, FRAME_KEY_BYTES);
	assert_int_equal(answer.length, FRAME_HEAD + 4 + 32);
	assert_memory_equal(answer.data + FRAME_HEAD + 4, "0123456789abcdef0123456789abcdef", 32);
	frame_clear(&answer);
	/* never a secret as a node key, neither under its own name nor under a false one */
	assert_true(asked(FRAME_NODE_KEY, &secret, &answer));
	expect_error(&answer, ERROR_REQUEST, "a kind");
	strcpy(secret.kind, "node");
	assert_true(asked(FRAME_NODE_KEY, &secret, &answer));
	expect_error(&answer, ERROR_REQUEST, "");
	/* never the node key or the canary as a secret */
	assert_true(sealed((const struct envelope *[]){ &node }, 1, &answer));
	expect_error(&answer, ERROR_REQUEST, "a kind");
	strcpy(node.kind, "opaque");
	assert_true(sealed((const struct envelope *[]){ &node }, 1, &answer));
	expect_error(&answer, ERROR_REQUEST, "");
	assert_true(sealed((const struct envelope *[]){ &canary }, 1, &answer));
	expect_error(&answer, ERROR_REQUEST, "a kind");
	assert_true(asked(FRAME_CANARY, &node, &answer));
	expect_error(&answer, ERROR_REQUEST, "a kind");
	assert_int_equal(service.seals, 0);
	envelope_clear(&node);
	envelope_clear(&canary);
	envelope_clear(&secret);
}

static void changed_envelopes_are_refused(void **state)
{
	struct envelope canary, one, two;
	struct frame answer;

	(void)state;
	envelope_make(&canary, "canary", "canary", "c", 1);
	envelope_make(&one, "one", "opaque", "1111", 4);
	envelope_make(&two, "two", "opaque", "2222", 4);
	assert_true(asked(FRAME_CANARY, &canary, &answer));
	frame_clear(&answer);
	one.text[0] ^= 1;
	assert_true(sealed((const struct envelope *[]){ &two, &one }, 2, &answer));
	expect_error(&answer, ERROR_REQUEST, "one version 1 is not what was sealed");
	one.text[0] ^= 1;
	one.version = 2;
	assert_true(sealed((const struct envelope *[]){ &one }, 1, &answer));
	expect_error(&answer, ERROR_REQUEST, "");
	one.version = 1;
	strcpy(one.name, "two"); /* one row passed off as the other */
	assert_true(sealed((const struct envelope *[]){ &one }, 1, &answer));
	expect_error(&answer, ERROR_REQUEST, "");
	strcpy(one.name, "one");
	one.wraps[0] = two.wraps[0];
	assert_true(sealed((const struct envelope *[]){ &one }, 1, &answer));
	expect_error(&answer, ERROR_REQUEST, "");
	pin.generation = 2;
	assert_true(sealed((const struct envelope *[]){ &two }, 1, &answer));
	expect_error(&answer, ERROR_REQUEST, "");
	pin.generation = 1;
	pin.key_id[0] ^= 1;
	assert_true(sealed((const struct envelope *[]){ &two }, 1, &answer));
	expect_error(&answer, ERROR_REQUEST, "");
	pin.key_id[0] ^= 1;
	pin.token_serial[0] ^= 1;
	assert_true(sealed((const struct envelope *[]){ &two }, 1, &answer));
	expect_error(&answer, ERROR_REQUEST, "serial");
	pin.token_serial[0] ^= 1;
	assert_true(sealed(
		(const struct envelope *[]){ &two }, 1, &answer)); /* the token was well all the time */
	assert_int_equal(answer.type, FRAME_SEALED);
	frame_clear(&answer);
	assert_int_equal(service.seals, 1);
	envelope_clear(&canary);
	envelope_clear(&one);
	envelope_clear(&two);
}

static void refuse_seal(const char *release, const char *instance, const char *ack, struct bytes key,
	uint32_t n, const struct envelope *envelope, const char *what)
{
	struct frame request, answer;

	seal_start(&request, release, instance, ack, key, n);
	frame_put_envelope(&request, envelope, &envelope->wraps[0]);
	assert_true(serve(&worker, &request, &answer));
	expect_error(&answer, ERROR_REQUEST, what);
	frame_clear(&request);
}

static void malformed_requests_are_refused(void **state)
{
	const struct bytes key = { spki, SPKI_P256 };
	struct frame request, answer, cut;
	struct envelope one;

	(void)state;
	envelope_make(&one, "one", "opaque", "1111", 4);
	refuse_seal("", INSTANCE, ACK, key, 1, &one, "malformed");
	refuse_seal(RELEASE "0", INSTANCE, ACK, key, 1, &one, "malformed");
	refuse_seal("01910000-0000-7000-8000-00000000000\"", INSTANCE, ACK, key, 1, &one, "malformed");
	refuse_seal("01910000-0000-7000-8000-00000000000\n", INSTANCE, ACK, key, 1, &one, "malformed");
	refuse_seal(RELEASE, "i-0123456789abcdeg0", ACK, key, 1, &one, "malformed");
	refuse_seal(RELEASE, INSTANCE, "short", key, 1, &one, "malformed");
	refuse_seal(
		RELEASE, INSTANCE, "abcdefghijklmnopqrstuvwxyz0123456789-_ABCD\"", key, 1, &one, "malformed");
	refuse_seal(RELEASE, INSTANCE, ACK, key, 0, &one, "malformed");
	refuse_seal(RELEASE, INSTANCE, ACK, key, 2, &one, "malformed");
	refuse_seal(RELEASE, INSTANCE, ACK, key, 17, &one, "malformed");
	refuse_seal(RELEASE, INSTANCE, ACK, (struct bytes){ spki, 90 }, 1, &one, "no key on P-256");
	spki[SPKI_P256 - 1] ^= 1;
	refuse_seal(RELEASE, INSTANCE, ACK, key, 1, &one, "no key on P-256");
	spki[SPKI_P256 - 1] ^= 1;
	strcpy(one.name, "One");
	refuse_seal(RELEASE, INSTANCE, ACK, key, 1, &one, "malformed");
	strcpy(one.name, "one");
	/* what only set-up knows, what is an answer, and every cut of a good request */
	for (int type = FRAME_SETUP_TOKEN; type < FRAME_TYPES_END; type++) {
		if (type == FRAME_CHECKPOINT || type == FRAME_LAST)
			continue; /* vault_sign.c */
		frame_start(&request, (enum frame_type)type);
		assert_true(serve(&worker, &request, &answer));
		expect_error(&answer, ERROR_REQUEST, "does not know");
		frame_clear(&request);
	}
	seal_start(&request, RELEASE, INSTANCE, ACK, key, 1);
	frame_put_envelope(&request, &one, &one.wraps[0]);
	for (size_t n = FRAME_HEAD; n < request.length; n++) {
		frame_start(&cut, FRAME_SEAL);
		assert_true(frame_copy(&cut, &request));
		cut.length = n;
		assert_true(serve(&worker, &cut, &answer));
		expect_error(&answer, ERROR_REQUEST, "malformed");
		frame_clear(&cut);
	}
	assert_true(serve(&worker, &request, &answer));
	assert_int_equal(answer.type, FRAME_SEALED);
	frame_clear(&answer);
	frame_put_number(&request, 1);
	assert_true(serve(&worker, &request, &answer));
	expect_error(&answer, ERROR_REQUEST, "malformed");
	frame_clear(&request);
	envelope_clear(&one);
}

static void the_largest_release_is_sealed(void **state)
{
	static unsigned char value[SECRET_BYTES_MAX];
	struct envelope one;
	const struct envelope *all[SEAL_ITEMS_MAX];
	struct frame answer;
	json_t *root;

	(void)state;
	memset(value, '"', sizeof(value));
	envelope_make(&one, "one", "opaque", value, sizeof(value));
	for (int i = 0; i < SEAL_ITEMS_MAX; i++)
		all[i] = &one;
	assert_true(sealed(all, SEAL_ITEMS_MAX, &answer));
	root = opened(&answer);
	assert_memory_equal(value_of(root, SEAL_ITEMS_MAX - 1), value, sizeof(value));
	json_decref(root);
	frame_clear(&answer);
	envelope_clear(&one);
}

static void lost_sessions_are_opened_again(void **state)
{
	struct envelope canary, one;
	struct frame answer;

	(void)state;
	envelope_make(&canary, "canary", "canary", "c", 1);
	envelope_make(&one, "one", "opaque", "1111", 4);
	for (int with_canary = 0; with_canary < 2; with_canary++) {
		/* a session gone, then all of them, and with the anchor the login */
		assert_true(sealed((const struct envelope *[]){ &one }, 1, &answer));
		frame_clear(&answer);
		assert_int_equal(real->C_CloseSession(worker.session->handle), CKR_OK);
		assert_true(sealed((const struct envelope *[]){ &one }, 1, &answer));
		assert_int_equal(answer.type, FRAME_SEALED);
		frame_clear(&answer);
		assert_int_equal(real->C_CloseAllSessions(service.token->slot), CKR_OK);
		assert_true(sealed((const struct envelope *[]){ &one }, 1, &answer));
		assert_int_equal(answer.type, FRAME_SEALED);
		frame_clear(&answer);
		assert_int_equal(real->C_Logout(worker.session->handle), CKR_OK);
		assert_true(asked(FRAME_CANARY, &canary, &answer));
		assert_int_equal(answer.type, FRAME_DONE);
		frame_clear(&answer);
	}
	envelope_clear(&canary);
	envelope_clear(&one);
}

static int logins;
static CK_RV count_login(CK_SESSION_HANDLE session, CK_USER_TYPE user, CK_UTF8CHAR *text, CK_ULONG length)
{
	logins++;
	return real->C_Login(session, user, text, length);
}

/* The token's PIN was changed behind our back; then the login is lost. */
static void a_refused_pin_is_never_tried_again(void **state)
{
	struct envelope canary;
	struct frame answer;
	struct complaint complaint;
	struct pin same;

	(void)state;
	envelope_make(&canary, "canary", "canary", "c", 1);
	functions.C_Login = count_login;
	functions_take();
	logins = 0;
	assert_true(asked(FRAME_CANARY, &canary, &answer));
	frame_clear(&answer);
	assert_int_equal(real->C_SetPIN(worker.session->handle, (CK_UTF8CHAR *)"123456", 6,
				 (CK_UTF8CHAR *)"654321", 6),
		CKR_OK);
	assert_int_equal(real->C_CloseAllSessions(service.token->slot), CKR_OK);
	for (int i = 0; i < 3; i++) {
		assert_false(asked(FRAME_CANARY, &canary, &answer)); /* this process should end */
		expect_error(&answer, ERROR_TOKEN, "");
	}
	assert_int_equal(logins, 1);
	assert_true(service.pin_refused);
	/* nor by the process that is started next: it finds the mark */
	assert_true(pin_read(place.pin, &same, &complaint));
	assert_false(pin_untried(&same, place.pin, place.socket, &complaint));
	assert_non_null(strstr(complaint.text, "not tried again"));
	pin_clear(&same);
	envelope_clear(&canary);
}

static CK_RV broken(CK_SESSION_HANDLE session, unsigned char *in, CK_ULONG in_length, unsigned char *out,
	CK_ULONG *out_length)
{
	(void)session;
	(void)in;
	(void)in_length;
	(void)out;
	(void)out_length;
	return CKR_GENERAL_ERROR;
}

/* A bad tag and a dead token answer alike: the canary tells them apart. */
static void a_dead_token_ends_the_process(void **state)
{
	struct envelope canary, one;
	struct frame answer;

	(void)state;
	envelope_make(&canary, "canary", "canary", "c", 1);
	envelope_make(&one, "one", "opaque", "1111", 4);
	functions.C_Decrypt = broken;
	functions_take();
	/* with no canary that ever opened nobody can tell: it stays */
	assert_true(sealed((const struct envelope *[]){ &one }, 1, &answer));
	expect_error(&answer, ERROR_TOKEN, "CKR_GENERAL_ERROR");
	functions.C_Decrypt = real->C_Decrypt;
	worker_clear(&worker);
	assert_true(asked(FRAME_CANARY, &canary, &answer));
	assert_int_equal(answer.type, FRAME_DONE);
	frame_clear(&answer);
	functions.C_Decrypt = broken;
	assert_false(sealed((const struct envelope *[]){ &one }, 1, &answer));
	expect_error(&answer, ERROR_TOKEN, "CKR_GENERAL_ERROR");
	envelope_clear(&canary);
	envelope_clear(&one);
}

/* Let the Nth call into the module fail, for every N: an error or a good answer, and the next request works.
 */
static int calls_left;
static CK_RV failing_decrypt_init(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key)
{
	return calls_left-- == 0 ? CKR_DEVICE_ERROR : real->C_DecryptInit(session, mechanism, key);
}
static CK_RV failing_decrypt(CK_SESSION_HANDLE session, unsigned char *in, CK_ULONG in_length,
	unsigned char *out, CK_ULONG *out_length)
{
	return calls_left-- == 0 ? CKR_GENERAL_ERROR
				 : real->C_Decrypt(session, in, in_length, out, out_length);
}
static CK_RV failing_open(
	CK_SLOT_ID slot, CK_FLAGS flags, void *application, CK_NOTIFY notify, CK_SESSION_HANDLE *session)
{
	return calls_left-- == 0 ? CKR_SESSION_COUNT
				 : real->C_OpenSession(slot, flags, application, notify, session);
}
static CK_RV failing_find(CK_SESSION_HANDLE session, CK_ATTRIBUTE *attributes, CK_ULONG n)
{
	return calls_left-- == 0 ? CKR_HOST_MEMORY : real->C_FindObjectsInit(session, attributes, n);
}

static void any_failing_call_is_survived(void **state)
{
	struct envelope canary, one;
	struct frame answer;

	(void)state;
	envelope_make(&canary, "canary", "canary", "c", 1);
	envelope_make(&one, "one", "opaque", "1111", 4);
	functions.C_DecryptInit = failing_decrypt_init;
	functions.C_Decrypt = failing_decrypt;
	functions.C_OpenSession = failing_open;
	functions.C_FindObjectsInit = failing_find;
	for (int with_canary = 0; with_canary < 2; with_canary++) {
		calls_left = 1000;
		functions_take();
		if (with_canary) {
			assert_true(asked(FRAME_CANARY, &canary, &answer));
			frame_clear(&answer);
		}
		for (int n = 0; n < 8; n++) {
			worker_clear(&worker);
			calls_left = n;
			assert_true(sealed((const struct envelope *[]){ &one, &one }, 2, &answer));
			assert_true(answer.type == FRAME_SEALED || answer.type == FRAME_ERROR);
			frame_clear(&answer);
			calls_left = 1000;
			assert_true(sealed((const struct envelope *[]){ &one, &one }, 2, &answer));
			assert_int_equal(answer.type, FRAME_SEALED);
			frame_clear(&answer);
		}
	}
	envelope_clear(&canary);
	envelope_clear(&one);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(grants_are_sealed, begin, end),
		cmocka_unit_test_setup_teardown(only_its_own_kinds_are_opened, begin, end),
		cmocka_unit_test_setup_teardown(changed_envelopes_are_refused, begin, end),
		cmocka_unit_test_setup_teardown(malformed_requests_are_refused, begin, end),
		cmocka_unit_test_setup_teardown(the_largest_release_is_sealed, begin, end),
		cmocka_unit_test_setup_teardown(lost_sessions_are_opened_again, begin, end),
		cmocka_unit_test_setup_teardown(a_refused_pin_is_never_tried_again, begin, end),
		cmocka_unit_test_setup_teardown(a_dead_token_ends_the_process, begin, end),
		cmocka_unit_test_setup_teardown(any_failing_call_is_survived, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
