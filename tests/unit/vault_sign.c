/* Signing the trail's head, in this process, over SoftHSM: what is signed and what never is, keys that are
 * none of ours, and what comes of a token or a disk that fails in the middle. */
#include "tests/unit/vault_fixture.h"
#include "vault/answer.h"
#include "vault/checkpoint.h"
#include "vault/head.h"
#include "vault/sign.h"
#include "vault/token_inside.h"
#include "verifier/encoding.h"

#define T0 1767225600000000LL /* 2026-01-01T00:00:00Z */

static struct place place;
static struct vault_file *file;
static struct service service;
static struct worker worker;
static struct signer signer;
static char serial[SERIAL_SIZE];
static CK_FUNCTION_LIST functions, *real; /* the module's, and a copy that tests may change */

/* ---- before and after each test */

static void service_begin(void)
{
	struct complaint complaint = { "" };

	if (!service_start(&service, file, &file->members[0], &complaint))
		fail_msg("%s", complaint.text);
	worker = (struct worker){ .service = &service };
	real = service.token->p11;
	functions = *real;
}

static void service_end(void)
{
	worker_clear(&worker);
	service.token->p11 = real;
	service_stop(&service);
}

static int begin(void **state)
{
	const struct bytes so_pin = { (const unsigned char *)"12345678", 8 },
			   user_pin = { (const unsigned char *)"123456", 6 };
	char label[SIGNER_LABEL_SIZE];
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
	signer_label(file, label);
	signer = (struct signer){ .member = MEMBER };
	assert_false(token_signer_of_label(session, label, signer.key_id));
	if (!token_signer_generate(session, label, signer.key_id, &complaint) ||
		!token_signer_public(session, signer.public_key, &complaint))
		fail_msg("%s", complaint.text);
	snprintf(serial, sizeof(serial), "%s", token_serial(token));
	token_session_close(session);
	token_close(token);
	service_begin();
	return 0;
}

static int end(void **state)
{
	(void)state;
	service_end();
	free(file);
	place_remove(&place);
	return 0;
}

static void functions_take(void)
{
	worker_clear(&worker);
	service.token->p11 = &functions;
}

/* ---- requests as vouchsafed would make them */

static struct signed_head head_of(long long seq, unsigned char first)
{
	return (struct signed_head){ .seq = seq, .hash = { first }, .time_us = T0 + seq % 1000 };
}

static void ask_for(const struct signed_head *head, const char *key_id, struct frame *answer)
{
	struct frame request;

	frame_start(&request, FRAME_CHECKPOINT);
	frame_put_text(&request, serial);
	frame_put_text(&request, key_id);
	frame_put_head(&request, head);
	assert_true(serve(&worker, &request, answer));
	frame_clear(&request);
}

static void must_sign(const struct signed_head *head, struct checkpoint *checkpoint)
{
	struct frame answer;
	char why[ANSWER_TEXT_SIZE] = "";
	enum frame_error error;

	*checkpoint = (struct checkpoint){ .member = MEMBER, .head = *head };
	ask_for(head, signer.key_id, &answer);
	if (!answer_signed(&answer, &checkpoint->seals, checkpoint->signature))
		fail_msg("%s", answer_error(&answer, &error, why) ? why : "nonsense");
	frame_clear(&answer);
	assert_true(checkpoint_verify(VAULT_ID, checkpoint, signer.public_key));
}

static void must_be_behind(const struct signed_head *head, const struct signed_head *expected)
{
	struct signed_head last;
	struct frame answer;

	ask_for(head, signer.key_id, &answer);
	assert_true(answer_behind(&answer, &last));
	assert_memory_equal(&last, expected, sizeof(last));
	frame_clear(&answer);
}

static void must_fail(
	const struct signed_head *head, const char *key_id, enum frame_error error, const char *why)
{
	char text[ANSWER_TEXT_SIZE] = "";
	enum frame_error got;
	struct frame answer;

	ask_for(head, key_id, &answer);
	assert_true(answer_error(&answer, &got, text));
	assert_int_equal(got, error);
	if (strstr(text, why) == NULL)
		fail_msg("not \"%s\" but: %s", why, text);
	frame_clear(&answer);
}

static struct signed_head last_told(void)
{
	struct frame request, answer;
	struct signed_head head;
	enum last last;

	frame_start(&request, FRAME_LAST);
	assert_true(serve(&worker, &request, &answer));
	assert_true(answer_last(&answer, &last, &head));
	assert_int_equal(last, head.seq > 0 ? LAST_SIGNED : LAST_NONE);
	frame_clear(&answer);
	frame_clear(&request);
	return head;
}

static void path_of(const char *end, char path[128])
{
	snprintf(path, 128, "%s/state/" MEMBER ".head%s", place.folder, end);
}

/* ---- tests */

static void the_text_is_as_said(void **state)
{
	struct checkpoint checkpoint = { .member = MEMBER, .head = { .seq = 42, .time_us = T0 }, .seals = 3 };
	char text[CHECKPOINT_TEXT_MAX];
	size_t length;

	(void)state;
	memset(checkpoint.head.hash, 0xff, 32);
	length = checkpoint_text(VAULT_ID, &checkpoint, text);
	assert_int_equal(length, strlen(text));
	assert_string_equal(text, "vouchsafe/" VAULT_ID "/" MEMBER "\n42\n"
				  "//////////////////////////////////////////8=\n"
				  "time 2026-01-01T00:00:00.000000Z\nseals 3\n");
}

static void attack_32_heads_are_signed_in_order(void **state)
{
	struct signed_head five = head_of(5, 1), six = head_of(6, 2), other = head_of(6, 3),
			   four = head_of(4, 1);
	struct checkpoint checkpoint;

	(void)state;
	assert_int_equal(last_told().seq, 0);
	must_sign(&five, &checkpoint);
	assert_int_equal(last_told().seq, 5);
	must_sign(&six, &checkpoint);
	/* once more the same: signed, at another time */
	six.time_us += 60000000;
	must_sign(&six, &checkpoint);
	must_be_behind(&five, &six);
	must_be_behind(&four, &six);
	must_be_behind(&other, &six);
	assert_int_equal(last_told().time_us, six.time_us);
	/* and so it is for the next process */
	service_end();
	service_begin();
	must_be_behind(&other, &six);
	other = head_of(HEAD_SEQ_MAX, 9);
	must_sign(&other, &checkpoint);
}

static void seals_are_counted_on(void **state)
{
	struct signed_head five = head_of(5, 1), six = head_of(6, 1);
	struct checkpoint checkpoint;

	(void)state;
	atomic_fetch_add(&service.seals, 17);
	must_sign(&five, &checkpoint);
	assert_int_equal(checkpoint.seals, 17);
	service_end();
	service_begin();
	atomic_fetch_add(&service.seals, 1);
	must_sign(&six, &checkpoint);
	assert_int_equal(checkpoint.seals, 18);
}

static void every_change_breaks_the_signature(void **state)
{
	struct signed_head five = head_of(5, 1);
	struct checkpoint checkpoint, changed;
	unsigned char key[SIGNER_KEY_BYTES];

	(void)state;
	must_sign(&five, &checkpoint);
	assert_false(
		checkpoint_verify("5b0c7f0e-0000-4000-8000-000000000002", &checkpoint, signer.public_key));
	changed = checkpoint;
	changed.member[4]++;
	assert_false(checkpoint_verify(VAULT_ID, &changed, signer.public_key));
	changed = checkpoint;
	changed.head.seq++;
	assert_false(checkpoint_verify(VAULT_ID, &changed, signer.public_key));
	changed = checkpoint;
	changed.head.time_us++;
	assert_false(checkpoint_verify(VAULT_ID, &changed, signer.public_key));
	changed = checkpoint;
	changed.seals++;
	assert_false(checkpoint_verify(VAULT_ID, &changed, signer.public_key));
	for (unsigned i = 0; i < 32; i++) {
		changed = checkpoint;
		changed.head.hash[i] ^= 1;
		assert_false(checkpoint_verify(VAULT_ID, &changed, signer.public_key));
	}
	for (unsigned i = 0; i < SIGNATURE_BYTES; i++) {
		changed = checkpoint;
		changed.signature[i] ^= 0x80;
		assert_false(checkpoint_verify(VAULT_ID, &changed, signer.public_key));
	}
	memset(changed.signature, 0, SIGNATURE_BYTES);
	assert_false(checkpoint_verify(VAULT_ID, &changed, signer.public_key));
	for (unsigned i = 0; i < SIGNER_KEY_BYTES; i++) {
		memcpy(key, signer.public_key, sizeof(key));
		key[i] ^= 1;
		assert_false(checkpoint_verify(VAULT_ID, &checkpoint, key));
	}
}

static void only_its_own_key_signs(void **state)
{
	struct signed_head five = head_of(5, 1);
	char other[KEY_ID_SIZE];
	struct complaint complaint = { "" };
	struct token_session *session = token_session_open(service.token, &complaint);
	struct frame request, answer;
	char text[ANSWER_TEXT_SIZE] = "";
	enum frame_error error;

	(void)state;
	must_fail(&five, "00112233445566778899aabbccddeeff", ERROR_TOKEN, "has no key for checkpoints");
	must_fail(&five, "xx", ERROR_TOKEN, "hexadecimal");
	/* a key-encryption key, and a key pair of the same token under another label */
	assert_true(token_key_generate(session, "kek", other, &complaint));
	must_fail(&five, other, ERROR_TOKEN, "has no key for checkpoints");
	assert_true(token_signer_generate(session, "vouchsafe issuer", other, &complaint));
	must_fail(&five, other, ERROR_TOKEN, "has no key for checkpoints");
	token_session_close(session);
	frame_start(&request, FRAME_CHECKPOINT);
	frame_put_text(&request, "0123456789abcdef");
	frame_put_text(&request, signer.key_id);
	frame_put_head(&request, &five);
	assert_true(serve(&worker, &request, &answer));
	assert_true(answer_error(&answer, &error, text));
	assert_non_null(strstr(text, "another serial number"));
	frame_clear(&answer);
	frame_clear(&request);
	assert_int_equal(last_told().seq, 0); /* none of it was remembered */
}

static void keys_from_outside_are_refused(void **state)
{
	CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
	CK_KEY_TYPE type = CKK_EC;
	CK_BBOOL yes = CK_TRUE;
	unsigned char id[16] = { 1 }, p256[] = { 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7 },
		      value[32] = { 9 };
	char label[SIGNER_LABEL_SIZE], key_id[KEY_ID_SIZE];
	CK_ATTRIBUTE template[] = { { CKA_CLASS, &class, sizeof(class) },
		{ CKA_KEY_TYPE, &type, sizeof(type) }, { CKA_TOKEN, &yes, 1 }, { CKA_PRIVATE, &yes, 1 },
		{ CKA_SENSITIVE, &yes, 1 }, { CKA_SIGN, &yes, 1 }, { CKA_ID, id, sizeof(id) },
		{ CKA_LABEL, label, 0 }, { CKA_EC_PARAMS, p256, sizeof(p256) },
		{ CKA_VALUE, value, sizeof(value) } };
	struct complaint complaint = { "" };
	struct token_session *session = token_session_open(service.token, &complaint);
	CK_OBJECT_HANDLE handle;

	(void)state;
	signer_label(file, label);
	template[7].ulValueLen = strlen(label);
	assert_int_equal(real->C_CreateObject(session->handle, template, 10, &handle), CKR_OK);
	hex_encode((struct bytes){ id, sizeof(id) }, key_id);
	assert_false(token_signer_choose(session, key_id, label, &complaint));
	assert_non_null(strstr(complaint.text, "generated in it"));
	/* two of one label are none */
	assert_false(token_signer_of_label(session, label, key_id));
	token_session_close(session);
}

static void malformed_requests_are_refused(void **state)
{
	const struct signed_head zero = { .seq = 0 }, late = { .seq = 1, .time_us = HEAD_TIME_MAX + 1 };
	struct signed_head five = head_of(5, 1);
	struct frame request, cut, answer;
	char text[ANSWER_TEXT_SIZE] = "";
	enum frame_error error;

	(void)state;
	must_fail(&zero, signer.key_id, ERROR_REQUEST, "malformed");
	must_fail(&late, signer.key_id, ERROR_REQUEST, "malformed");
	frame_start(&request, FRAME_CHECKPOINT);
	frame_put_text(&request, serial);
	frame_put_text(&request, signer.key_id);
	frame_put_head(&request, &five);
	for (size_t n = FRAME_HEAD; n < request.length; n++) {
		frame_start(&cut, FRAME_CHECKPOINT);
		assert_true(frame_copy(&cut, &request));
		cut.length = n;
		assert_true(serve(&worker, &cut, &answer));
		assert_true(answer_error(&answer, &error, text));
		assert_int_equal(error, ERROR_REQUEST);
		frame_clear(&answer);
		frame_clear(&cut);
	}
	frame_clear(&request);
	frame_start(&request, FRAME_LAST);
	frame_put_number(&request, 1);
	assert_true(serve(&worker, &request, &answer));
	assert_true(answer_error(&answer, &error, text));
	frame_clear(&answer);
	frame_clear(&request);
	assert_int_equal(last_told().seq, 0);
}

static void attack_32_a_state_that_cannot_be_read_signs_nothing(void **state)
{
	struct signed_head five = head_of(5, 1), six = head_of(6, 1);
	struct checkpoint checkpoint;
	struct complaint complaint = { "" };
	char path[128];

	(void)state;
	must_sign(&five, &checkpoint);
	path_of("", path);
	text_write(path, "vouchsafe head 1\n", 0600);
	must_fail(&six, signer.key_id, ERROR_STATE, "restore --accept");
	service_end();
	assert_false(service_start(&service, file, &file->members[0], &complaint));
	assert_true(service.state_refused);
	assert_non_null(strstr(complaint.text, "put the file back"));
	service_stop(&service);
	/* nor does one without a folder begin */
	snprintf(file->state, sizeof(file->state), "%s/none", place.folder);
	assert_false(service_start(&service, file, &file->members[0], &complaint));
	assert_non_null(strstr(complaint.text, "install -d"));
	service_stop(&service);
	snprintf(file->state, sizeof(file->state), "%s/state", place.folder);
	unlink(path);
	service_begin();
}

static void a_state_that_cannot_be_written_gives_no_signature(void **state)
{
	struct signed_head five = head_of(5, 1), six = head_of(6, 1);
	struct checkpoint checkpoint;
	char path[128];

	(void)state;
	must_sign(&five, &checkpoint);
	path_of(".new", path);
	assert_int_equal(mkdir(path, 0700), 0);
	must_fail(&six, signer.key_id, ERROR_STATE, "temporary file");
	assert_int_equal(last_told().seq, 5);
	assert_int_equal(rmdir(path), 0);
	must_sign(&six, &checkpoint);
}

static int failures;

static CK_RV failing_sign(CK_SESSION_HANDLE session, CK_BYTE_PTR data, CK_ULONG length, CK_BYTE_PTR signature,
	CK_ULONG_PTR signature_length)
{
	if (failures-- > 0)
		return CKR_DEVICE_ERROR;
	return real->C_Sign(session, data, length, signature, signature_length);
}

static CK_RV short_sign(CK_SESSION_HANDLE session, CK_BYTE_PTR data, CK_ULONG length, CK_BYTE_PTR signature,
	CK_ULONG_PTR signature_length)
{
	CK_RV rv = real->C_Sign(session, data, length, signature, signature_length);

	*signature_length = 63;
	return rv;
}

static CK_RV failing_init(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism, CK_OBJECT_HANDLE key)
{
	(void)session;
	(void)mechanism;
	(void)key;
	return CKR_SESSION_HANDLE_INVALID;
}

static void a_failing_token_is_asked_again(void **state)
{
	struct signed_head five = head_of(5, 1);
	struct checkpoint checkpoint;

	(void)state;
	functions.C_Sign = failing_sign;
	functions_take();
	failures = 1;
	must_fail(&five, signer.key_id, ERROR_TOKEN, "CKR_DEVICE_ERROR");
	assert_int_equal(last_told().seq, 0);
	must_sign(&five, &checkpoint);
	functions.C_Sign = short_sign;
	must_fail(&five, signer.key_id, ERROR_TOKEN, "63 bytes");
	functions.C_Sign = real->C_Sign;
	functions.C_SignInit = failing_init;
	must_fail(&five, signer.key_id, ERROR_TOKEN, "CKR_SESSION_HANDLE_INVALID");
	functions.C_SignInit = real->C_SignInit;
	must_sign(&five, &checkpoint);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_text_is_as_said),
		cmocka_unit_test_setup_teardown(attack_32_heads_are_signed_in_order, begin, end),
		cmocka_unit_test_setup_teardown(seals_are_counted_on, begin, end),
		cmocka_unit_test_setup_teardown(every_change_breaks_the_signature, begin, end),
		cmocka_unit_test_setup_teardown(only_its_own_key_signs, begin, end),
		cmocka_unit_test_setup_teardown(keys_from_outside_are_refused, begin, end),
		cmocka_unit_test_setup_teardown(malformed_requests_are_refused, begin, end),
		cmocka_unit_test_setup_teardown(
			attack_32_a_state_that_cannot_be_read_signs_nothing, begin, end),
		cmocka_unit_test_setup_teardown(
			a_state_that_cannot_be_written_gives_no_signature, begin, end),
		cmocka_unit_test_setup_teardown(a_failing_token_is_asked_again, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
