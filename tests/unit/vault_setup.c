/* vault_apply, vault_status and vault_secret_put with the real program, a real store and SoftHSM: from a
 * blank token, again, from every half-way state, and with everything that a person can get wrong. */
#include "cli/accept.h"
#include "store/heads.h"
#include "store/store.h"
#include "tests/unit/vault_fixture.h"
#include "vault/frame.h"
#include "vault/head.h"
#include "vault/setup.h"
#include "vault/token_inside.h"

#include <sys/wait.h>

static struct place place;
static struct vault_file *file;
static char lines[4096];

static void said(void *context, const char *line)
{
	(void)context;
	snprintf(lines + strlen(lines), sizeof(lines) - strlen(lines), "%s\n", line);
}

static struct store *store_at(const char *name)
{
	struct complaint complaint = { "" };
	char uri[160];
	struct store *store;

	snprintf(uri, sizeof(uri), "sqlite:%s/%s", place.folder, name);
	store = store_open(
		&(struct store_settings){ .uri = uri, .use = STORE_TOOL, .node = "rp-1" }, &complaint);
	if (store == NULL)
		fail_msg("%s", complaint.text);
	return store;
}

static struct setup setup_with(struct store *store)
{
	lines[0] = '\0';
	return (struct setup){ .program = place.program,
		.vault_path = place.vault,
		.file = file,
		.store = store,
		.actor = "operator:test",
		.said = said };
}

static bool applies(struct store *store, struct complaint *complaint)
{
	const struct setup setup = setup_with(store);

	*complaint = (struct complaint){ "" };
	return vault_apply(&setup, complaint);
}

static void must_apply(struct store *store)
{
	struct complaint complaint;

	if (!applies(store, &complaint))
		fail_msg("%s", complaint.text);
}

static void must_refuse(struct store *store, const char *why)
{
	struct complaint complaint;

	assert_false(applies(store, &complaint));
	if (strstr(complaint.text, why) == NULL)
		fail_msg("not \"%s\" but: %s", why, complaint.text);
}

static void must_say(const char *what)
{
	if (strstr(lines, what) == NULL)
		fail_msg("not \"%s\" but: %s", what, lines);
}

static struct member_pin pin_in(struct store *store)
{
	struct member_pin pin;
	struct reason reason;

	assert_int_equal(store_member_get(store, MEMBER, &pin, &reason), OK);
	return pin;
}

/* Writes the value into a pipe, whose reading end it returns. */
static int piped(const void *value, size_t length)
{
	int ends[2];
	pid_t writer;

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	writer = fork(); /* it may be longer than the pipe */
	assert_true(writer >= 0);
	if (writer == 0) {
		const char *at = value;
		ssize_t n = 1;

		close(ends[0]);
		for (size_t done = 0; done < length && n > 0; done += (size_t)n)
			n = write(ends[1], at + done, length - done);
		_exit(0);
	}
	close(ends[1]);
	return ends[0];
}

static bool puts_value(struct store *store, const char *name, const char *kind, const void *value,
	size_t length, unsigned *version, struct complaint *complaint)
{
	const struct setup setup = setup_with(store);
	struct secret_put put = { name, kind, "for the test", piped(value, length) };
	bool stored = vault_secret_put(&setup, &put, version, complaint);

	close(put.input);
	while (wait(NULL) > 0)
		; /* the writer: it got its SIGPIPE, or is done */
	return stored;
}

static int begin(void **state)
{
	(void)state;
	place_make(&place);
	file = file_load(&place);
	return 0;
}

static int end(void **state)
{
	(void)state;
	free(file);
	place_remove(&place);
	return 0;
}

static void a_blank_token_becomes_a_vault(void **state)
{
	struct store *store = store_at("a.db");
	struct member_pin pin, again;
	struct envelope envelope;
	struct reason reason;
	struct complaint complaint;
	const struct setup setup = setup_with(store);

	(void)state;
	assert_false(vault_status(&setup, &complaint));
	must_say("not set up yet");
	must_apply(store);
	must_say("hsm-a: token vouchsafe-a initialised");
	must_say("generated, generation 1");
	must_say("hsm-a: IV made by the host (found by experiment)");
	must_say("hsm-a: key for checkpoints");
	must_say("hsm-a: canary stored");
	must_say("hsm-a: node stored");
	pin = pin_in(store);
	assert_string_equal(pin.vault, VAULT_ID);
	assert_int_equal(pin.generation, 1);
	assert_int_equal(pin.iv_mode, IV_HOST);
	assert_int_equal(strlen(pin.key_id), 32);
	assert_int_equal(store_envelope_get(store, "node", 0, &envelope, &reason), OK);
	assert_string_equal(envelope.kind, "node");
	assert_int_equal(envelope.version, 1);
	assert_int_equal(envelope.text_length, 32 + 16);
	envelope_clear(&envelope);
	must_apply(store); /* again: nothing is made anew */
	again = pin_in(store);
	assert_memory_equal(&pin, &again, sizeof(pin));
	setup_with(store);
	must_apply(store);
	must_say("canary opens");
	must_say("node opens");
	assert_null(strstr(lines, "stored"));
	setup_with(store);
	if (!vault_status(&setup, &complaint))
		fail_msg("%s", complaint.text);
	must_say("canary opens");
	store_close(store);
}

static void half_way_states_are_taken_up(void **state)
{
	struct store *first = store_at("a.db"), *second = store_at("b.db"), *third = store_at("c.db");
	struct member_pin pin, found;
	struct reason reason;

	(void)state;
	must_apply(first);
	pin = pin_in(first);
	/* the token and its key were made, the pin was not stored: the key is found again */
	must_apply(second);
	must_say("token vouchsafe-a found");
	must_say("key-encryption key");
	assert_null(strstr(lines, "generated"));
	found = pin_in(second);
	assert_string_equal(found.key_id, pin.key_id);
	/* the pin was stored, the canary and the node key were not */
	assert_int_equal(store_member_put(third, &pin, "operator:test", &reason), OK);
	must_apply(third);
	must_say("those that were pinned");
	must_say("canary stored");
	must_say("node stored");
	store_close(first);
	store_close(second);
	store_close(third);
}

static struct signer signer_in(struct store *store)
{
	struct signer signer;
	struct reason reason;

	assert_int_equal(store_signer_get(store, MEMBER, &signer, &reason), OK);
	return signer;
}

/* A vault of a version that made no such key; a key that was made, and not pinned; one that is another's. */
static void the_key_for_checkpoints_is_added(void **state)
{
	struct store *first = store_at("a.db"), *second = store_at("b.db"), *third = store_at("c.db");
	struct signer signer, found;
	struct member_pin pin;
	struct reason reason;

	(void)state;
	must_apply(first);
	signer = signer_in(first);
	pin = pin_in(first);
	assert_int_equal(strlen(signer.key_id), 32);
	must_apply(first);
	assert_null(strstr(lines, "checkpoints"));
	assert_int_equal(store_member_put(second, &pin, "operator:test", &reason), OK);
	must_apply(second);
	must_say("key for checkpoints");
	must_say("found");
	found = signer_in(second);
	assert_memory_equal(&found, &signer, sizeof(found));
	assert_int_equal(store_member_put(third, &pin, "operator:test", &reason), OK);
	signer.public_key[90] ^= 1;
	assert_int_equal(store_signer_put(third, &signer, "operator:test", &reason), OK);
	must_refuse(third, "is not the one that was pinned");
	store_close(first);
	store_close(second);
	store_close(third);
}

/* ---- restore --accept */

static void head_write_by_hand(long long seq, unsigned char first)
{
	struct head_state head = { .head = { .seq = seq, .hash = { first }, .time_us = 1767225600000000LL },
		.seals = 9 };
	struct complaint complaint = { "" };
	struct head_folder folder;

	assert_true(head_open(&folder, file->state, VAULT_ID, MEMBER, &complaint));
	assert_true(head_store(&folder, &head, &complaint));
	head_close(&folder);
}

static struct head_state head_by_hand(void)
{
	struct complaint complaint = { "" };
	struct head_folder folder;
	struct head_state head;

	assert_true(head_open(&folder, file->state, VAULT_ID, MEMBER, &complaint));
	assert_int_equal(head_load(&folder, &head, &complaint), HEAD_FOUND);
	head_close(&folder);
	return head;
}

static bool accepts(struct store *store, struct complaint *complaint)
{
	const struct setup setup = setup_with(store);

	*complaint = (struct complaint){ "" };
	return restore_accept(&setup, "disk lost", complaint);
}

static void must_accept(struct store *store)
{
	struct complaint complaint;
	struct signed_head newest;
	struct head_state head;
	struct reason reason;
	bool stands;

	if (!accepts(store, &complaint))
		fail_msg("%s", complaint.text);
	head = head_by_hand();
	assert_int_equal(store_head_stands(store, &head.head, &stands, &newest, &reason), OK);
	assert_true(stands);
	assert_false(accepts(store, &complaint));
	assert_non_null(strstr(complaint.text, "nothing to accept"));
}

static void an_older_store_is_accepted(void **state)
{
	struct store *store = store_at("a.db");
	struct complaint complaint;
	struct head_state head;
	struct signed_head stands;
	char path[128];

	(void)state;
	assert_false(accepts(store, &complaint));
	assert_non_null(strstr(complaint.text, "vault apply"));
	must_apply(store);
	assert_false(
		accepts(store, &complaint)); /* it has signed nothing, and the store holds no signature */
	assert_non_null(strstr(complaint.text, "nothing to accept"));
	store_head_seen(store, &stands);
	head_write_by_hand(4000, 1);
	must_accept(store);
	head = head_by_hand();
	assert_int_equal(head.head.seq, stands.seq + 1);
	assert_int_equal(head.n_former, 1);
	assert_int_equal(head.former[0].head.seq, 4000);
	assert_int_equal(head.seals, 9);
	/* another event of a seq that the store has */
	head_write_by_hand(1, 0xee);
	must_accept(store);
	/* one that cannot be read is kept aside */
	snprintf(path, sizeof(path), "%s/state/" MEMBER ".head", place.folder);
	text_write(path, "vouchsafe", 0600);
	must_accept(store);
	head = head_by_hand();
	assert_int_equal(head.former[0].head.seq, 0);
	strcat(path, ".unreadable");
	assert_int_equal(access(path, F_OK), 0);
	store_close(store);
}

static void a_state_that_was_removed_is_accepted(void **state)
{
	struct store *store = store_at("a.db");
	struct checkpoint checkpoint = { .member = MEMBER, .seals = 1 };
	struct complaint complaint;
	struct reason reason;
	char path[128];

	(void)state;
	must_apply(store);
	store_head_seen(store, &checkpoint.head);
	checkpoint.head.time_us = 1767225600000000LL;
	assert_int_equal(store_checkpoint_put(store, &checkpoint, &reason), OK);
	must_accept(store); /* the store holds its signature: it has signed something */
	/* and an older state is put back in its place */
	store_head_seen(store, &checkpoint.head);
	assert_int_equal(store_checkpoint_put(store, &checkpoint, &reason), OK);
	head_write_by_hand(1, 0);
	must_accept(store);
	/* no folder: said, with the mend */
	snprintf(path, sizeof(path), "rm -r %s/state", place.folder);
	assert_int_equal(system(path), 0);
	assert_false(accepts(store, &complaint));
	assert_non_null(strstr(complaint.text, "install -d"));
	store_close(store);
}

/* The event was written, and the member was not told. */
static void an_interrupted_restore_goes_on(void **state)
{
	struct store *store = store_at("a.db");
	struct lost_head lost = { .member = MEMBER,
		.head = { .seq = 4000, .hash = { 1 }, .time_us = 1767225600000000LL } };
	struct restore restore = { .actor = "operator:test",
		.reason = "disk lost",
		.lost = &lost,
		.n_lost = 1,
		.now_us = 1767225600000000LL };
	struct signed_head head;
	struct reason reason;
	bool again;

	(void)state;
	must_apply(store);
	head_write_by_hand(4000, 1);
	assert_int_equal(store_restore(store, &restore, &head, &again, &reason), OK);
	must_accept(store);
	assert_int_equal(head_by_hand().head.seq, head.seq); /* no second event */
	store_close(store);
}

/* Set-up was cut short between C_InitToken and C_InitPIN. In a process of its own: the module is loaded. */
static void a_token_without_user_pin_is_taken_up(void **state)
{
	struct store *store;
	int status = -1;
	pid_t child = fork();

	(void)state;
	assert_true(child >= 0);
	if (child == 0) {
		struct complaint complaint;
		struct token *token = token_load(SOFTHSM, &complaint);
		CK_UTF8CHAR label[32];

		memset(label, ' ', sizeof(label));
		memcpy(label, TOKEN, strlen(TOKEN));
		if (token == NULL || token_find(token, TOKEN, "", &complaint) != TOKEN_BLANK ||
			token->p11->C_InitToken(token->slot, (CK_UTF8CHAR *)"12345678", 8, label) != CKR_OK)
			_exit(1);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	store = store_at("a.db");
	must_apply(store);
	must_say("token vouchsafe-a initialised");
	must_say("node stored");
	store_close(store);
}

static void blank_tokens_stay_blank_unless_told(void **state)
{
	struct store *store = store_at("a.db");

	(void)state;
	text_write(place.vault,
		"{ \"vault\": \"" VAULT_ID "\", \"members\": [ { \"name\": \"" MEMBER
		"\", \"module\": \"" SOFTHSM "\", \"token\": \"" TOKEN
		"\", \"socket\": \"s\", \"pin_file\": \"pin\" } ] }",
		0644);
	must_refuse(store, "if-blank");
	vault_write(&place, "");
	unlink(place.so_pin);
	must_refuse(store, "so-pin");
	text_write(place.so_pin, "12345678", 0444);
	must_refuse(store, "chmod");
	text_write(place.so_pin, "12345678", 0400);
	must_apply(store);
	unlink(place.so_pin); /* not needed any more */
	must_apply(store);
	store_close(store);
}

static void secrets_are_stored_as_versions(void **state)
{
	static char huge[SECRET_BYTES_MAX + 1];
	struct store *store = store_at("a.db");
	struct complaint complaint = { "" };
	struct envelope envelope;
	struct reason reason;
	unsigned version = 0;

	(void)state;
	assert_false(puts_value(store, "x", "pin", "1", 1, &version, &complaint));
	assert_non_null(strstr(complaint.text, "vault apply"));
	must_apply(store);
	assert_true(puts_value(store, "hsm-pin", "pin", "1234\n", 5, &version, &complaint));
	assert_int_equal(version, 1);
	assert_true(puts_value(store, "hsm-pin", "pin", "1234", 4, &version, &complaint));
	assert_int_equal(version, 2);
	for (unsigned i = 1; i <= 2; i++) { /* the line feed of a pin is dropped, one */
		assert_int_equal(store_envelope_get(store, "hsm-pin", i, &envelope, &reason), OK);
		assert_int_equal(envelope.text_length, 4 + 16);
		assert_int_equal(envelope.n_wraps, 1);
		assert_string_equal(envelope.wraps[0].member, MEMBER);
		envelope_clear(&envelope);
	}
	assert_true(puts_value(store, "blob", "opaque", "1234\n", 5, &version, &complaint));
	assert_int_equal(store_envelope_get(store, "blob", 0, &envelope, &reason), OK);
	assert_int_equal(envelope.text_length, 5 + 16);
	envelope_clear(&envelope);
	memset(huge, 'x', sizeof(huge));
	assert_true(puts_value(store, "huge", "opaque", huge, SECRET_BYTES_MAX, &version, &complaint));
	assert_false(puts_value(store, "huge", "opaque", huge, sizeof(huge), &version, &complaint));
	assert_non_null(strstr(complaint.text, "longer"));
	assert_false(puts_value(store, "empty", "opaque", "", 0, &version, &complaint));
	assert_false(puts_value(store, "empty", "pin", "\n", 1, &version, &complaint));
	assert_non_null(strstr(complaint.text, "empty"));
	assert_false(puts_value(store, "hsm-pin", "opaque", "1", 1, &version, &complaint)); /* another kind */
	assert_false(puts_value(store, "Name", "opaque", "1", 1, &version, &complaint));
	assert_false(puts_value(store, "node", "opaque", "1", 1, &version, &complaint));
	assert_false(puts_value(store, "canary", "canary", "1", 1, &version, &complaint));
	assert_false(puts_value(store, "key", "node", "1", 1, &version, &complaint));
	assert_non_null(strstr(complaint.text, "no such kind"));
	store_close(store);
}

static void a_wrong_pin_is_tried_once(void **state)
{
	struct store *store = store_at("a.db");
	char mark[128];

	(void)state;
	must_apply(store);
	text_write(place.pin, "654321", 0400);
	must_refuse(store, "the token refuses the PIN: CKR_PIN_INCORRECT");
	must_refuse(store, "not tried again");
	must_refuse(store, "not tried again");
	text_write(place.pin, "123456", 0400);
	must_apply(store);
	text_write(place.pin, "654321", 0400); /* another file of the same words is another try */
	must_refuse(store, "CKR_PIN_INCORRECT");
	must_refuse(store, "not tried again");
	snprintf(mark, sizeof(mark), "%s.pin-refused", place.socket);
	assert_int_equal(unlink(mark), 0);
	must_refuse(store, "CKR_PIN_INCORRECT");
	store_close(store);
}

static void pin_files_are_looked_at(void **state)
{
	static const char long_pin[300] = { [0 ... 298] = '1' };
	struct store *store = store_at("a.db");

	(void)state;
	unlink(place.pin);
	must_refuse(store, "pin: No such file");
	text_write(place.pin, "123456", 0440);
	must_refuse(store, "chmod 400");
	text_write(place.pin, "", 0400);
	must_refuse(store, "1 to 256");
	text_write(place.pin, "\n", 0400);
	must_refuse(store, "no PIN");
	text_write(place.pin, long_pin, 0400);
	must_refuse(store, "1 to 256");
	unlink(place.pin);
	assert_int_equal(mkdir(place.pin, 0700), 0);
	must_refuse(store, "regular file");
	assert_int_equal(rmdir(place.pin), 0);
	store_close(store);
}

static void what_is_pinned_is_held_to(void **state)
{
	struct store *store = store_at("a.db");
	struct complaint complaint;
	char command[200], tokens[96];
	const struct setup setup = setup_with(store);

	(void)state;
	must_apply(store);
	file->id[0] = '6';
	must_refuse(store, "vault 5b0c7f0e");
	file->id[0] = '5';
	/* a token of the same label in the place of the old one */
	snprintf(tokens, sizeof(tokens), "%s/tokens", place.folder);
	snprintf(command, sizeof(command), "rm -rf %s/*", tokens);
	assert_int_equal(system(command), 0);
	must_refuse(store, "no token has the label vouchsafe-a with the serial number");
	assert_false(vault_status(&setup, &complaint));
	assert_non_null(strstr(complaint.text, "serial number"));
	/* and a member of another name is no member */
	strcpy(file->members[0].name, "hsm-b");
	must_refuse(store, "another member's vault");
	store_close(store);
}

static void programs_that_fail_are_told(void **state)
{
	struct store *store = store_at("a.db");
	char script[128], seen[128], text[200] = "";
	FILE *list;
	int stranger;

	(void)state;
	snprintf(script, sizeof(script), "%s/script", place.folder);
	snprintf(place.program, sizeof(place.program), "%s/absent", place.folder);
	must_refuse(store, "absent cannot be started: No such file");
	/* it ends before it says anything; and sees no file descriptor that is not meant for it */
	snprintf(text, sizeof(text), "#!/bin/sh\nls /proc/$$/fd > %s/seen\nexit 3\n", place.folder);
	text_write(script, text, 0700);
	snprintf(place.program, sizeof(place.program), "%s", script);
	stranger = fcntl(0, F_DUPFD, 50);
	assert_true(stranger >= 50);
	must_refuse(store, "it closed the connection");
	snprintf(seen, sizeof(seen), "%s/seen", place.folder);
	list = fopen(seen, "r");
	assert_non_null(list);
	while (fgets(text, sizeof(text), list) != NULL)
		if (atoi(text) > SETUP_SOCKET &&
			(atoi(text) < 10 || atoi(text) >= 50)) /* 10 and on: the shell's */
			fail_msg("the child has descriptor %s", text);
	fclose(list);
	close(stranger);
	store_close(store);
}

/* Started by root, the process for set-up becomes the owner of the PIN file before it loads the module. */
static void root_is_left(void **state)
{
	struct store *store;
	struct stat status;
	char command[512];

	(void)state;
	if (geteuid() != 0)
		skip();
	snprintf(command, sizeof(command), "chmod 755 %s && chown -R nobody %s/tokens %s %s", place.folder,
		place.folder, place.pin, place.so_pin);
	assert_int_equal(system(command), 0);
	assert_int_equal(chown(place.so_pin, 0, 0), 0); /* root's alone: read before */
	store = store_at("a.db");
	must_apply(store);
	snprintf(command, sizeof(command), "test -z \"$(find %s/tokens ! -user nobody)\"", place.folder);
	assert_int_equal(system(command), 0);
	assert_int_equal(stat(place.pin, &status), 0);
	store_close(store);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_blank_token_becomes_a_vault, begin, end),
		cmocka_unit_test_setup_teardown(half_way_states_are_taken_up, begin, end),
		cmocka_unit_test_setup_teardown(the_key_for_checkpoints_is_added, begin, end),
		cmocka_unit_test_setup_teardown(an_older_store_is_accepted, begin, end),
		cmocka_unit_test_setup_teardown(a_state_that_was_removed_is_accepted, begin, end),
		cmocka_unit_test_setup_teardown(an_interrupted_restore_goes_on, begin, end),
		cmocka_unit_test_setup_teardown(a_token_without_user_pin_is_taken_up, begin, end),
		cmocka_unit_test_setup_teardown(blank_tokens_stay_blank_unless_told, begin, end),
		cmocka_unit_test_setup_teardown(secrets_are_stored_as_versions, begin, end),
		cmocka_unit_test_setup_teardown(a_wrong_pin_is_tried_once, begin, end),
		cmocka_unit_test_setup_teardown(pin_files_are_looked_at, begin, end),
		cmocka_unit_test_setup_teardown(what_is_pinned_is_held_to, begin, end),
		cmocka_unit_test_setup_teardown(programs_that_fail_are_told, begin, end),
		cmocka_unit_test_setup_teardown(root_is_left, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
