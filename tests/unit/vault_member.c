/* The real vouchsafe-vault process and vouchsafed's side of it, with a real store: releases sealed, and every
 * way in which the process, its peer or its token can go away. */
#include "store/store.h"
#include "tests/unit/vault_fixture.h"
#include "vault/frame.h"
#include "vault/setup.h"
#include "vault/vault.h"
#include "verifier/encoding.h"
#include "verifier/reasons.h"

#include <dirent.h>
#include <errno.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sysexits.h>

#define SECOND 1000000000LL
static const long long T0 = 1767225600000000LL; /* 2026-01-01T00:00:00Z */

static struct place place;
static struct vault_file *file;
static struct store *store;
static struct member_pin pin;
static struct envelope canary, node;
static struct recipient recipient;
static pid_t member; /* vouchsafe-vault */
static int ready_socket; /* where it says READY=1 */
static char log_path[96];
static unsigned instances; /* one for each grant */

/* ---- the process */

static void ready_open(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	snprintf(address.sun_path, sizeof(address.sun_path), "%.60s/ready", place.folder);
	ready_socket = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(ready_socket, (struct sockaddr *)&address, sizeof(address)), 0);
	setenv("NOTIFY_SOCKET", address.sun_path, 1);
}

static void member_spawn(const char *allow)
{
	char *arguments[] = { place.program, (char *)"--member", (char *)MEMBER, (char *)"--vault",
		place.vault, allow != NULL ? (char *)"--allow-user" : NULL, (char *)allow, NULL };

	member = fork();
	assert_true(member >= 0);
	if (member == 0) {
		int log = open(log_path, O_WRONLY | O_CREAT | O_APPEND, 0600);

		dup2(log, 2);
		execv(place.program, arguments);
		_exit(127);
	}
}

/* Does it get ready? False: it ended; *status says how. */
static bool member_ready(int *status)
{
	for (;;) {
		struct pollfd fd = { .fd = ready_socket, .events = POLLIN };
		char text[64] = "";

		if (poll(&fd, 1, 20) > 0 && recv(ready_socket, text, sizeof(text) - 1, 0) > 0 &&
			strcmp(text, "READY=1") == 0)
			return true;
		if (waitpid(member, status, WNOHANG) == member) {
			member = 0;
			return false;
		}
	}
}

static void member_start(const char *allow)
{
	int status = 0;

	member_spawn(allow);
	if (!member_ready(&status))
		fail_msg("the member did not start: %d", status);
}

/* Ends it by a signal and returns its wait status. */
static int member_end(int how)
{
	int status = -1;

	if (member == 0)
		return 0;
	kill(member, SIGCONT); /* a test that failed may have left it stopped */
	kill(member, how);
	assert_int_equal(waitpid(member, &status, 0), member);
	member = 0;
	return status;
}

static unsigned log_count(const char *what)
{
	unsigned n = 0;
	char line[2000];
	FILE *log = fopen(log_path, "r");

	while (log != NULL && fgets(line, sizeof(line), log) != NULL)
		n += strstr(line, what) != NULL;
	if (log != NULL)
		fclose(log);
	return n;
}

/* ---- vouchsafed's side */

/* What the monitor said, in order, through a pipe. */
static int told[2];

static void said(void *context, const char *name, enum member_state state, const char *why)
{
	char letter = state == MEMBER_UP ? 'u' : 'd';

	(void)context;
	assert_string_equal(name, MEMBER);
	assert_true(why[0] != '\0');
	assert_int_equal(write(told[1], &letter, 1), 1);
}

/* What the member is to have signed last; seq -1: whatever it says. Counts how often it is asked. */
static struct signed_head judged = { .seq = -1 };
static _Atomic unsigned judgements;
static _Atomic bool judge_refuses;

static bool judge(
	void *context, const char *name, const struct signed_head *last, struct complaint *complaint)
{
	(void)context;
	assert_string_equal(name, MEMBER);
	if (judged.seq >= 0)
		assert_int_equal(last->seq, judged.seq);
	judgements++;
	return !judge_refuses || complain(complaint, "it knows more than we do");
}

static void await(char letter)
{
	struct pollfd fd = { .fd = told[0], .events = POLLIN };
	char got = 0;

	while (got != letter) {
		if (poll(&fd, 1, 30000) != 1)
			fail_msg("the member's state did not become %c", letter);
		assert_int_equal(read(told[0], &got, 1), 1);
	}
}

static struct vault *client_open(void)
{
	struct complaint complaint = { "" };
	const struct vault_watcher watcher = { .said = said, .judge = judge };
	struct vault *vault = vault_open(file, &pin, &canary, &watcher, &complaint);

	if (vault == NULL)
		fail_msg("%s", complaint.text);
	return vault;
}

/* A vault that is up and has its node key. */
static struct vault *client_ready(void)
{
	struct vault *vault = client_open();
	struct reason reason = { "", "" };

	await('u');
	if (vault_take_node_key(vault, &node, frame_clock() + 10 * SECOND, &reason) != OK)
		fail_msg("%s", reason.text);
	return vault;
}

/* A committed grant of these secrets for a fresh instance. */
static struct grant *grant_new(const char *one, const char *two)
{
	struct assertion assertion = { .account_id = "123456789012",
		.region = "us-east-1",
		.role = "web-tier",
		.source_ip = "10.0.1.225" };
	struct decision decision = { .first_use_allowed = true,
		.retry_window = 900000,
		.n_secrets = two != NULL ? 2 : 1,
		.secrets = { one, two } };
	struct record record = { .kind = RECORD_RELEASE,
		.now_us = T0,
		.request_id = "r",
		.source = "10.0.1.225",
		.assertion = &assertion,
		.recipient = &recipient,
		.decision = &decision,
		.policy_sha256 = "aa",
		.rule = "web",
		.outcome = OK };
	struct record *batch[] = { &record };

	snprintf(assertion.instance_id, sizeof(assertion.instance_id), "i-%017x", ++instances);
	record.claims = claims_new();
	assert_non_null(record.claims);
	record.claims->facts.launch_time = T0 / 1000000 - 30;
	store_record(store, batch, 1);
	if (record.outcome != OK)
		fail_msg("%s", record.reason.text);
	claims_free(record.claims);
	return record.grant;
}

static void sealed_once(struct seal *its)
{
	assert_true((its->outcome == OK) == (its->sealed.data != NULL));
	if (its->outcome != OK)
		assert_string_equal(its->reason.code, REASON_VAULT);
	its->done = NULL;
}

/* What becomes of one release within that time. */
static struct seal seal_within(struct vault *vault, const struct grant *grant, long long time)
{
	struct seal one = { .grant = grant, .deadline = frame_clock() + time, .done = sealed_once };

	vault_seal(vault, (struct seal *[]){ &one }, 1);
	assert_null(one.done);
	return one;
}

static enum outcome seal(struct vault *vault, const struct grant *grant, struct reason *reason)
{
	struct seal one = seal_within(vault, grant, 20 * SECOND);

	*reason = one.reason;
	sealed_clear(&one.sealed);
	return one.outcome;
}

static void must_seal(struct vault *vault)
{
	struct grant *grant = grant_new("hsm-pin", NULL);
	struct reason reason = { "", "" };

	if (seal(vault, grant, &reason) != OK)
		fail_msg("%s", reason.text);
	grant_free(grant);
}

/* ---- one vault for all tests */

static void quiet_said(void *context, const char *line)
{
	(void)context;
	(void)line;
}

static struct setup setup_now(void)
{
	return (struct setup){ .program = place.program,
		.vault_path = place.vault,
		.file = file,
		.store = store,
		.actor = "operator:test",
		.said = quiet_said };
}

/* The plaintext that is searched for in memory: made only in processes that end. */
static void needle_make(char needle[65])
{
	unsigned char digest[32];

	EVP_Digest("the needle of vault_member", 26, digest, NULL, EVP_sha256(), NULL);
	hex_encode((struct bytes){ digest, 32 }, needle);
	OPENSSL_cleanse(digest, sizeof(digest));
}

static void put(const char *name, const char *kind, const char *value)
{
	const struct setup setup = setup_now();
	struct secret_put secret = { .name = name, .kind = kind };
	struct complaint complaint = { "" };
	unsigned version;
	int ends[2];

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	if (value != NULL) {
		assert_int_equal(write(ends[1], value, strlen(value)), strlen(value));
	} else {
		pid_t child = fork();

		if (child == 0) {
			char needle[65];

			needle_make(needle);
			_exit(write(ends[1], needle, 64) != 64);
		}
		assert_int_equal(waitpid(child, NULL, 0), child);
	}
	close(ends[1]);
	secret.input = ends[0];
	if (!vault_secret_put(&setup, &secret, &version, &complaint))
		fail_msg("%s", complaint.text);
	close(ends[0]);
}

static void recipient_make(void)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	unsigned char *at = recipient.spki;
	char path[96];
	FILE *pem;

	recipient.spki_length = (size_t)i2d_PUBKEY(key, &at);
	assert_int_equal(recipient.spki_length, 91);
	EVP_Digest(recipient.spki, recipient.spki_length, recipient.sha256, NULL, EVP_sha256(), NULL);
	snprintf(path, sizeof(path), "%s/key.pem", place.folder);
	pem = fopen(path, "w");
	assert_non_null(pem);
	assert_int_equal(PEM_write_PrivateKey(pem, key, NULL, NULL, 0, NULL, NULL), 1);
	fclose(pem);
	EVP_PKEY_free(key);
}

static int group_begin(void **state)
{
	struct complaint complaint = { "" };
	struct setup setup;
	struct reason reason;

	(void)state;
	place_make(&place);
	vault_write(&place, "\"deadline\": \"3s\", \"poll\": \"30s\",");
	file = file_load(&place);
	snprintf(log_path, sizeof(log_path), "%s/log", place.folder);
	store = store_open(&(struct store_settings){ .uri = place.store, .use = STORE_SERVE, .node = "rp-1" },
		&complaint);
	assert_non_null(store);
	setup = setup_now();
	if (!vault_apply(&setup, &complaint))
		fail_msg("%s", complaint.text);
	put("hsm-pin", "pin", "1234\n");
	put("needle", "opaque", NULL);
	assert_int_equal(store_member_get(store, MEMBER, &pin, &reason), OK);
	assert_int_equal(store_envelope_get(store, "canary", 0, &canary, &reason), OK);
	assert_int_equal(store_envelope_get(store, "node", 0, &node, &reason), OK);
	recipient_make();
	ready_open();
	return 0;
}

static int group_end(void **state)
{
	(void)state;
	envelope_clear(&canary);
	envelope_clear(&node);
	store_close(store);
	close(ready_socket);
	free(file);
	place_remove(&place);
	return 0;
}

static int begin(void **state)
{
	(void)state;
	unlink(log_path);
	return pipe2(told, O_CLOEXEC);
}

/* Every process ends with 0 after SIGTERM (leaks of the sanitized one would show), and leaves no socket
 * behind. */
static int end(void **state)
{
	int status = member_end(SIGTERM);

	(void)state;
	close(told[0]);
	close(told[1]);
	if (status != 0)
		print_error("the member ended with %d\n", status);
	return status != 0 || access(place.socket, F_OK) == 0;
}

/* ---- tests */

static void a_release_is_sealed_and_opens(void **state)
{
	char path[96], command[300], opened[2000], expected[64];
	struct vault *vault;
	struct grant *grant = grant_new("hsm-pin", NULL);
	struct seal one;
	const char *ack;
	size_t n;
	FILE *out;

	(void)state;
	member_start(NULL);
	vault = client_ready();
	assert_true(vault_ready(vault));
	assert_int_equal(vault_member_state(vault, MEMBER), MEMBER_UP);
	assert_int_equal(vault_member_state(vault, "hsm-b"), MEMBER_DOWN);
	one = seal_within(vault, grant, 20 * SECOND);
	assert_int_equal(one.outcome, OK);
	snprintf(path, sizeof(path), "%s/sealed", place.folder);
	out = fopen(path, "w");
	assert_int_equal(fwrite(one.sealed.data, 1, one.sealed.length, out), one.sealed.length);
	fclose(out);
	snprintf(command, sizeof(command),
		"openssl cms -decrypt -binary -inform DER -inkey %s/key.pem -in %s", place.folder, path);
	out = popen(command, "r");
	n = fread(opened, 1, sizeof(opened) - 1, out);
	opened[n] = '\0';
	assert_int_equal(pclose(out), 0);
	assert_non_null(strstr(opened, "\"name\":\"hsm-pin\",\"kind\":\"pin\",\"version\":1,"
				       "\"encoding\":\"utf-8\",\"value\":\"1234\""));
	assert_non_null(strstr(opened, grant_release_id(grant)));
	assert_non_null(strstr(opened, grant_instance_id(grant)));
	ack = strstr(opened, "\"ack\":\"");
	assert_non_null(ack);
	snprintf(expected, sizeof(expected), "%.43s", ack + 7);
	assert_true(vault_acknowledgement_valid(vault, grant_release_id(grant), expected));
	assert_false(vault_acknowledgement_valid(vault, "01910000-0000-7000-8000-000000000000", expected));
	expected[5] ^= 1;
	assert_false(vault_acknowledgement_valid(vault, grant_release_id(grant), expected));
	expected[5] ^= 1;
	expected[42] = '\0';
	assert_false(vault_acknowledgement_valid(vault, grant_release_id(grant), expected));
	assert_false(vault_acknowledgement_valid(vault, grant_release_id(grant), ""));
	snprintf(command, sizeof(command),
		"\"release_id\":\"%s\",\"secrets\":\"hsm-pin:1\",\"recipient\":", grant_release_id(grant));
	assert_int_equal(log_count(command), 1);
	assert_int_equal(log_count("\"count\":\"1\""), 1);
	sealed_clear(&one.sealed);
	grant_free(grant);
	vault_close(vault);
}

static void nothing_works_before_the_node_key(void **state)
{
	struct vault *vault = client_open();
	struct grant *grant = grant_new("hsm-pin", NULL);
	struct reason reason;
	unsigned char mac[32] = { 0 }, again[32] = { 0 };

	(void)state;
	assert_false(vault_ready(vault));
	assert_int_equal(
		vault_take_node_key(vault, &node, frame_clock() + SECOND / 100, &reason), UNAVAILABLE);
	assert_int_equal(seal(vault, grant, &reason), UNAVAILABLE);
	assert_false(vault_acknowledgement_valid(vault, grant_release_id(grant), ""));
	vault_cursor_mac(vault, (struct bytes){ mac, 3 }, mac);
	vault_cursor_mac(vault, (struct bytes){ mac, 3 }, again);
	assert_memory_not_equal(mac, again, 32);
	member_start(NULL);
	assert_int_equal(vault_take_node_key(vault, &node, frame_clock() + 20 * SECOND, &reason), OK);
	assert_int_equal(vault_take_node_key(vault, &node, frame_clock() + 20 * SECOND, &reason), OK);
	assert_int_equal(seal(vault, grant, &reason), OK);
	vault_cursor_mac(vault, (struct bytes){ (const unsigned char *)"abc", 3 }, again);
	vault_cursor_mac(vault, (struct bytes){ (const unsigned char *)"abc", 3 }, mac);
	assert_memory_equal(mac, again, 32);
	grant_free(grant);
	vault_close(vault);
}

static void a_killed_member_is_found_again(void **state)
{
	struct grant *grant = grant_new("hsm-pin", NULL);
	struct vault *vault;
	struct reason reason;
	long long began;

	(void)state;
	member_start(NULL);
	vault = client_ready();
	must_seal(vault);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(member_end(SIGKILL), SIGKILL);
		await('d');
		assert_false(vault_ready(vault));
		began = frame_clock();
		assert_int_equal(seal(vault, grant, &reason), UNAVAILABLE);
		assert_true(frame_clock() - began < SECOND); /* at once, not at a deadline */
		member_start(NULL);
		await('u');
		assert_true(vault_ready(vault));
		assert_int_equal(seal(vault, grant, &reason), OK);
	}
	grant_free(grant);
	vault_close(vault);
}

static void attack_32_a_member_is_judged_before_it_is_used(void **state)
{
	struct vault *vault;
	struct reason reason;
	unsigned before = judgements;

	(void)state;
	judge_refuses = true;
	member_start(NULL);
	vault = client_open();
	await('d');
	assert_false(vault_ready(vault));
	assert_int_equal(
		vault_take_node_key(vault, &node, frame_clock() + SECOND / 100, &reason), UNAVAILABLE);
	judge_refuses = false; /* it is asked again by itself */
	await('u');
	assert_true(judgements > before + 1);
	assert_int_equal(vault_take_node_key(vault, &node, frame_clock() + 20 * SECOND, &reason), OK);
	must_seal(vault);
	/* a process that was started anew may remember something else */
	judge_refuses = true;
	assert_int_equal(member_end(SIGKILL), SIGKILL);
	await('d');
	before = judgements;
	member_start(NULL);
	while (judgements < before + 2)
		poll(NULL, 0, 10);
	assert_false(vault_ready(vault));
	judge_refuses = false;
	await('u');
	must_seal(vault);
	vault_close(vault);
}

static void checkpoints_are_signed_and_verified(void **state)
{
	struct signed_head head = { .seq = 1000, .hash = { 1 }, .time_us = T0 }, older = head, last;
	struct signer signer, wrong;
	struct checkpoint checkpoint;
	struct reason reason;
	struct vault *vault;

	(void)state;
	assert_int_equal(store_signer_get(store, MEMBER, &signer, &reason), OK);
	member_start(NULL);
	vault = client_ready();
	must_seal(vault);
	assert_int_equal(vault_last_head(vault, 0, &last, &reason), OK);
	assert_int_equal(last.seq, 0);
	assert_int_equal(vault_checkpoint(vault, 0, &signer, &head, &checkpoint, &last, &reason), OK);
	assert_int_equal(vault_last_head(vault, 0, &last, &reason), OK);
	assert_memory_equal(&last, &head, sizeof(last));
	assert_string_equal(checkpoint.member, MEMBER);
	assert_int_equal(checkpoint.head.seq, 1000);
	assert_true(checkpoint.seals >= 1);
	older.seq = 999;
	assert_int_equal(vault_checkpoint(vault, 0, &signer, &older, &checkpoint, &last, &reason), REFUSED);
	assert_memory_equal(&last, &head, sizeof(last));
	older.seq = 1000;
	older.hash[0] = 2;
	assert_int_equal(vault_checkpoint(vault, 0, &signer, &older, &checkpoint, &last, &reason), REFUSED);
	/* a signature is nothing without the pinned key */
	wrong = signer;
	memcpy(wrong.public_key, recipient.spki, SIGNER_KEY_BYTES);
	assert_int_equal(vault_checkpoint(vault, 0, &wrong, &head, &checkpoint, &last, &reason), UNAVAILABLE);
	assert_non_null(strstr(reason.text, "pinned"));
	/* the next monitor hears what was signed */
	vault_close(vault);
	judged.seq = 1000;
	vault = client_ready();
	assert_int_equal(member_end(SIGTERM), 0);
	await('d');
	assert_int_equal(
		vault_checkpoint(vault, 0, &signer, &head, &checkpoint, &last, &reason), UNAVAILABLE);
	assert_int_equal(vault_last_head(vault, 0, &last, &reason), UNAVAILABLE);
	vault_close(vault);
	judged.seq = -1;
}

struct given {
	struct vault *vault;
	struct grant *grant;
};

static void *seal_given(void *argument)
{
	struct given *given = argument;
	struct reason reason;
	size_t good = 0;

	for (int i = 0; i < 25; i++)
		good += seal(given->vault, given->grant, &reason) == OK;
	return (void *)good;
}

static void many_threads_seal(void **state)
{
	struct given given[8];
	pthread_t threads[8];
	struct vault *vault;
	void *good;

	(void)state;
	member_start(NULL);
	vault = client_ready();
	for (int i = 0; i < 8; i++) {
		given[i].vault = vault;
		given[i].grant = grant_new("hsm-pin", i % 2 ? "needle" : NULL);
		assert_int_equal(pthread_create(&threads[i], NULL, seal_given, &given[i]), 0);
	}
	for (int i = 0; i < 8; i++) {
		pthread_join(threads[i], &good);
		assert_int_equal((size_t)good, 25);
		grant_free(given[i].grant);
	}
	assert_int_equal(log_count("\"event\":\"sealed\""), 200);
	assert_int_equal(log_count("\"count\":\"200\""), 1);
	vault_close(vault);
}

/* Eight at once, and the member is gone when that many are sealed. */
struct interrupted {
	struct seal seal; /* first */
	int how; /* the signal; 0: none */
};

static void interrupt(struct seal *its)
{
	int how = ((struct interrupted *)its)->how;

	sealed_once(its);
	if (how != 0)
		kill(member, how);
}

static unsigned sealed_before(struct vault *vault, struct grant *const grants[VAULT_SEALS_MAX], int how)
{
	struct interrupted all[VAULT_SEALS_MAX];
	struct seal *seals[VAULT_SEALS_MAX];
	unsigned good = 0;

	for (unsigned i = 0; i < VAULT_SEALS_MAX; i++) {
		all[i] = (struct interrupted){ .seal = { .grant = grants[i],
						       .deadline = frame_clock() + 20 * SECOND,
						       .done = interrupt },
			.how = i == 2 ? how : 0 };
		seals[i] = &all[i].seal;
	}
	vault_seal(vault, seals, VAULT_SEALS_MAX);
	for (unsigned i = 0; i < VAULT_SEALS_MAX; i++) {
		assert_null(all[i].seal.done);
		assert_true(i > 2 || all[i].seal.outcome == OK);
		good += all[i].seal.outcome == OK;
		sealed_clear(&all[i].seal.sealed);
	}
	return good;
}

static void a_member_ends_among_several(void **state)
{
	struct grant *grants[VAULT_SEALS_MAX];
	struct vault *vault;

	(void)state;
	member_start(NULL);
	vault = client_ready();
	for (unsigned i = 0; i < VAULT_SEALS_MAX; i++)
		grants[i] = grant_new("hsm-pin", i % 2 ? "needle" : NULL);
	assert_int_equal(sealed_before(vault, grants, 0), VAULT_SEALS_MAX);
	for (int i = 0; i < 6; i++) {
		int how = i % 2 ? SIGTERM : SIGKILL, status = 0;

		assert_true(sealed_before(vault, grants, how) >= 3);
		assert_int_equal(waitpid(member, &status, 0), member);
		assert_int_equal(status, how == SIGTERM ? 0 : SIGKILL);
		await('d');
		member_start(NULL);
		await('u');
		assert_int_equal(sealed_before(vault, grants, 0), VAULT_SEALS_MAX);
	}
	for (unsigned i = 0; i < VAULT_SEALS_MAX; i++)
		grant_free(grants[i]);
	vault_close(vault);
}

static void a_stopped_member_costs_one_deadline(void **state)
{
	struct grant *grant = grant_new("hsm-pin", NULL);
	long long began, took;
	struct vault *vault;
	struct reason reason;

	(void)state;
	file->deadline_ms = 1000;
	member_start(NULL);
	vault = client_ready();
	kill(member, SIGSTOP);
	/* a caller in more of a hurry than that proves nothing against the member */
	assert_int_equal(seal_within(vault, grant, SECOND / 100).outcome, UNAVAILABLE);
	began = frame_clock();
	assert_int_equal(seal(vault, grant, &reason), UNAVAILABLE);
	took = frame_clock() - began;
	assert_true(took < 5 * SECOND);
	assert_false(vault_ready(vault));
	await('d');
	began = frame_clock();
	assert_int_equal(seal(vault, grant, &reason), UNAVAILABLE);
	assert_true(frame_clock() - began < SECOND / 2); /* known to be down */
	kill(member, SIGCONT);
	file->deadline_ms = 3000;
	await('u');
	while (seal(vault, grant, &reason) !=
		OK) /* with such a deadline a slow machine may need another try */
		assert_true(frame_clock() - began < 60 * SECOND);
	grant_free(grant);
	vault_close(vault);
}

/* A frame to the member over a connection of its own. */
static enum frame_result ask(enum frame_type type, const struct envelope *envelope, struct frame *answer)
{
	enum frame_result result;
	struct frame request;
	int fd = frame_connect(place.socket, &result);

	*answer = (struct frame){ .failed = true };
	if (fd < 0)
		return result;
	frame_start(&request, type);
	frame_put_pin(&request, &pin);
	frame_put_envelope(&request, envelope, &envelope->wraps[0]);
	result = frame_exchange(fd, &request, answer, frame_clock() + 10 * SECOND);
	frame_clear(&request);
	close(fd);
	return result;
}

/* What a process of another user gets for a canary. */
static enum frame_result asked_by_nobody(void)
{
	int status = -1;
	pid_t child = fork();

	if (child == 0) {
		struct frame answer;

		if (setgid(65534) != 0 || setuid(65534) != 0)
			_exit(99);
		_exit((int)ask(FRAME_CANARY, &canary, &answer));
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void strangers_are_refused(void **state)
{
	struct stat status;
	struct frame answer;

	(void)state;
	if (geteuid() != 0)
		skip();
	member_start(NULL);
	assert_int_equal(stat(place.socket, &status), 0);
	assert_int_equal(status.st_mode & 07777, 0660);
	assert_int_equal(chmod(place.folder, 0755), 0);
	assert_int_equal(asked_by_nobody(), FRAME_CLOSED); /* by the socket's mode */
	assert_int_equal(chmod(place.socket, 0666), 0);
	assert_int_equal(asked_by_nobody(), FRAME_CLOSED); /* by its user */
	assert_int_equal(log_count("\"stranger-refused\",\"member\":\"hsm-a\",\"uid\":\"65534\""), 1);
	assert_int_equal(ask(FRAME_CANARY, &canary, &answer), FRAME_OK);
	assert_int_equal(answer.type, FRAME_DONE);
	frame_clear(&answer);
	assert_int_equal(member_end(SIGTERM), 0);
	member_start("65534");
	assert_int_equal(chmod(place.socket, 0666), 0);
	assert_int_equal(asked_by_nobody(), FRAME_OK);
	assert_int_equal(member_end(SIGTERM), 0);
	member_start("nobody");
	assert_int_equal(stat(place.socket, &status), 0);
	assert_int_equal(status.st_gid, 65534); /* so that this user can open it */
	assert_int_equal(asked_by_nobody(), FRAME_OK);
}

static void connections_are_counted(void **state)
{
	int sockets[24], n = 0, busy = 0;
	enum frame_result result;
	struct frame answer;

	(void)state;
	member_start(NULL);
	for (; n < 24; n++) {
		sockets[n] = frame_connect(place.socket, &result);
		assert_true(sockets[n] >= 0);
	}
	for (int i = 16; i < n; i++)
		if (frame_receive(sockets[i], &answer, frame_clock() + 10 * SECOND) == FRAME_OK) {
			busy += answer.type == FRAME_ERROR;
			frame_clear(&answer);
		}
	assert_int_equal(busy, 8);
	while (n > 0)
		close(sockets[--n]);
	/* and room again, as soon as the threads have noticed */
	do {
		result = ask(FRAME_CANARY, &canary, &answer);
		busy = result == FRAME_OK && answer.type == FRAME_ERROR;
		frame_clear(&answer);
	} while (busy || result == FRAME_CLOSED);
	assert_int_equal(result, FRAME_OK);
}

static void nonsense_is_answered_by_closing(void **state)
{
	static const char *const texts[] = { "GET / HTTP/1.1\r\n\r\n", "\2\3\0\0\0\0", "\2\1\xff\xff\xff\xff",
		"\0", "\2\4\0\0\0\0" };
	enum frame_result result;
	struct frame answer;

	(void)state;
	member_start(NULL);
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		int fd = frame_connect(place.socket, &result);

		assert_true(fd >= 0);
		assert_true(
			send(fd, texts[i], i == 1 || i == 4 ? 6 : strlen(texts[i]) + 1, MSG_NOSIGNAL) > 0);
		shutdown(fd, SHUT_WR);
		result = frame_receive(fd, &answer, frame_clock() + 10 * SECOND);
		assert_true(result == FRAME_CLOSED || (result == FRAME_OK && answer.type == FRAME_ERROR));
		frame_clear(&answer);
		close(fd);
	}
	/* the node's key is for its own envelope alone, and set-up is not served here */
	assert_int_equal(ask(FRAME_NODE_KEY, &canary, &answer), FRAME_OK);
	assert_int_equal(answer.type, FRAME_ERROR);
	frame_clear(&answer);
	assert_int_equal(ask(FRAME_SETUP_PROVE, &canary, &answer), FRAME_OK);
	assert_int_equal(answer.type, FRAME_ERROR);
	frame_clear(&answer);
}

static void bad_starts_are_told(void **state)
{
	int status = 0;

	(void)state;
	/* a wrong PIN: tried once, by all processes together */
	text_write(place.pin, "000000", 0400);
	for (int i = 0; i < 3; i++) {
		member_spawn(NULL);
		assert_false(member_ready(&status));
		assert_true(WIFEXITED(status));
		assert_int_equal(WEXITSTATUS(status), EX_CONFIG);
	}
	assert_int_equal(log_count("the token refuses the PIN"), 1);
	assert_int_equal(log_count("not tried again"), 2);
	text_write(place.pin, "123456", 0400);
	/* a second process on one socket */
	member_start(NULL);
	{
		pid_t first = member;

		member_spawn(NULL);
		assert_false(member_ready(&status));
		assert_int_equal(WEXITSTATUS(status), EX_CONFIG);
		assert_int_equal(log_count("another process serves it"), 1);
		member = first;
	}
	assert_int_equal(member_end(SIGTERM), 0);
	/* something else in the socket's place */
	text_write(place.socket, "", 0600);
	member_spawn(NULL);
	assert_false(member_ready(&status));
	assert_int_equal(WEXITSTATUS(status), EX_CONFIG);
	assert_int_equal(log_count("is no socket"), 1);
	unlink(place.socket);
	/* a stale socket of a killed process is replaced */
	member_start(NULL);
	assert_int_equal(member_end(SIGKILL), SIGKILL);
	assert_int_equal(access(place.socket, F_OK), 0);
	member_start(NULL);
}

/* With less memory to lock than the secure heap needs it refuses to start, and says what to raise. */
static void unlocked_memory_is_refused(void **state)
{
	const struct rlimit little = { 65536, 65536 };
	int program = open(
		place.program, O_RDONLY | O_CLOEXEC); /* the build may be in a folder of root's own */
	int status = -1;
	pid_t child;

	(void)state;
	assert_int_equal(chmod(place.folder, 0777), 0);
	child = fork();
	if (child == 0) {
		char *const arguments[] = { place.program, (char *)"--version", NULL };
		int log = open(log_path, O_WRONLY | O_CREAT | O_APPEND, 0600);

		dup2(log, 2);
		if (setrlimit(RLIMIT_MEMLOCK, &little) != 0 || (geteuid() == 0 && setuid(65534) != 0))
			_exit(99);
		fexecve(program, arguments, environ);
		_exit(98);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	close(program);
	assert_int_equal(chmod(place.folder, 0700), 0);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), EX_OSERR);
	assert_int_equal(log_count("raise RLIMIT_MEMLOCK, which is 64 KiB"), 1);
}

/* ---- where plaintext is */

/* Does this process's memory hold the needle? In a child that makes the needle itself. -1: it may not look.
 */
static int memory_holds_needle(pid_t pid)
{
	int status = -1;
	pid_t child = fork();

	if (child == 0) {
		char needle[65], path[64], line[512];
		static char page[1 << 20];
		int memory, found = 0;
		FILE *maps;

		snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
		maps = fopen(path, "r");
		snprintf(path, sizeof(path), "/proc/%d/mem", (int)pid);
		memory = open(path, O_RDONLY | O_CLOEXEC);
		if (maps == NULL || memory < 0)
			_exit(2);
		needle_make(needle);
		while (fgets(line, sizeof(line), maps) != NULL) {
			unsigned long long from, to;
			char rights[8];

			/* what ASan keeps for itself is terabytes of nothing; what can hold data is writable
			 * and private */
			if (sscanf(line, "%llx-%llx %7s", &from, &to, rights) != 3 || rights[0] != 'r' ||
				rights[1] != 'w' || to - from > (1ULL << 30))
				continue;
			for (; from < to; from += sizeof(page) - 64) {
				size_t size = to - from < sizeof(page) ? (size_t)(to - from) : sizeof(page);
				ssize_t n = pread(memory, page, size, (off_t)from);

				if (n > 64 && memmem(page, (size_t)n, needle, 64) != NULL)
					found = 1;
			}
		}
		_exit(found);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status) == 2 ? -1 : WEXITSTATUS(status);
}

static void plaintext_stays_nowhere(void **state)
{
	struct grant *grant = grant_new("needle", "hsm-pin");
	struct vault *vault;
	struct reason reason;
	char *copy = malloc(65);
	int found;

	(void)state;
	prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0); /* where Yama would have it so */
	member_start(NULL);
	vault = client_ready();
	for (int i = 0; i < 3; i++)
		assert_int_equal(seal(vault, grant, &reason), OK);
	assert_int_equal(memory_holds_needle(getpid()), 0);
	found = memory_holds_needle(member);
	assert_int_equal(
		found, geteuid() == 0 ? 0 : -1); /* wiped when the answer was out; only root may look */
	/* the search does find what is there */
	needle_make(copy);
	assert_int_equal(memory_holds_needle(getpid()), 1);
	OPENSSL_cleanse(copy, 65);
	free(copy);
	grant_free(grant);
	vault_close(vault);
}

/* None of a member's descriptors leads anywhere it should not. */
static void descriptors_are_its_own(void **state)
{
	char path[64], target[PATH_MAX];
	struct dirent *entry;
	DIR *folder;
	ssize_t n;

	(void)state;
	member_start(NULL);
	snprintf(path, sizeof(path), "/proc/%d/fd", (int)member);
	folder = opendir(path);
	if (folder == NULL)
		skip();
	while ((entry = readdir(folder)) != NULL) {
		n = readlinkat(dirfd(folder), entry->d_name, target, sizeof(target) - 1);
		target[n > 0 ? n : 0] = '\0';
		assert_null(strstr(target, "store.db")); /* ours was not inherited */
		assert_null(strstr(target, "/pin"));
	}
	closedir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_release_is_sealed_and_opens, begin, end),
		cmocka_unit_test_setup_teardown(nothing_works_before_the_node_key, begin, end),
		cmocka_unit_test_setup_teardown(a_killed_member_is_found_again, begin, end),
		cmocka_unit_test_setup_teardown(attack_32_a_member_is_judged_before_it_is_used, begin, end),
		cmocka_unit_test_setup_teardown(checkpoints_are_signed_and_verified, begin, end),
		cmocka_unit_test_setup_teardown(many_threads_seal, begin, end),
		cmocka_unit_test_setup_teardown(a_member_ends_among_several, begin, end),
		cmocka_unit_test_setup_teardown(a_stopped_member_costs_one_deadline, begin, end),
		cmocka_unit_test_setup_teardown(strangers_are_refused, begin, end),
		cmocka_unit_test_setup_teardown(connections_are_counted, begin, end),
		cmocka_unit_test_setup_teardown(nonsense_is_answered_by_closing, begin, end),
		cmocka_unit_test_setup_teardown(bad_starts_are_told, begin, end),
		cmocka_unit_test_setup_teardown(unlocked_memory_is_refused, begin, end),
		cmocka_unit_test_setup_teardown(plaintext_stays_nowhere, begin, end),
		cmocka_unit_test_setup_teardown(descriptors_are_its_own, begin, end),
	};

	return cmocka_run_group_tests(tests, group_begin, group_end);
}
