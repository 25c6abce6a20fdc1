/* Releases sealed several at a time, by members that are played here and go wrong at any one of them: each
 * release gets its own answer or another member's, once, and nobody waits for what does not come. */
#include "store/store.h"
#include "tests/unit/vault_fixture.h"
#include "vault/request.h"
#include "vault/vault.h"
#include "verifier/reasons.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>

#define SECOND 1000000000LL
static const long long T0 = 1767225600000000LL; /* 2026-01-01T00:00:00Z */

enum { PLAYED = 2, LONG = 5, CONNECTIONS = 16, SEALS = VAULT_SEALS_MAX };

/* What a member does when the Nth request to seal has come. */
enum way {
	WELL, /* answers it, as it does all others */
	HOLDS, /* answers none before that one has come, nor before it is let go on */
	SAYS_NO, /* an error, for that one alone */
	SAYS_TOKEN, /* the same, of its token */
	SAYS_BUSY, /* the same, and closes the connection */
	/* from here on it is not to be believed, or not to be heard, any more */
	CLOSES, /* the connection, and serves the next one */
	DIES, /* closes all connections, and its listener */
	CUTS, /* closes within the answer */
	STARES, /* answers nothing any more, no canary either */
	STRANGE, /* an answer of another type */
	SKIPS, /* goes on with the one after it */
	REPEATS, /* the answer before it, once more */
	DOUBLES, /* its own, twice */
	RAVES, /* no frame at all */
	WAYS
};

struct played {
	const char *name;
	char path[108];
	pthread_t thread;
	int stop; /* eventfd */
	int go; /* eventfd: what is held may be answered */
	_Atomic int way;
	_Atomic unsigned at; /* at which request, from 0 */
	_Atomic unsigned came; /* requests to seal since it was told */
	_Atomic size_t size; /* of an answer */
	bool stares;
	int fds[2 + CONNECTIONS]; /* stop, listener, connections; -1: none */
	/* of one connection, what is held */
	unsigned n_held;
	char held[SEALS][UUID_SIZE];
	char last[UUID_SIZE]; /* whose request came before */
};

static struct place place;
static struct vault_file file;
static struct member_pin pins[PLAYED];
static struct played played[PLAYED] = { { .name = "hsm-a" }, { .name = "hsm-b" } };
static struct envelope canary, node;
static struct store *store;
static struct vault *vault;
static struct grant *grants[SEALS];

/* ---- a member that is played */

static int member_listen(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	unlink(path);
	memcpy(address.sun_path, path, strlen(path) + 1);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 16), 0);
	return fd;
}

static void drop(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* "hsm-a 019…" and dots up to the size. */
static void sealed_put(const struct played *member, struct frame *answer, const char *id)
{
	size_t size = atomic_load(&member->size);
	char *text = malloc(size + 64);
	int length = snprintf(text, 64, "%s %s", member->name, id);

	if ((size_t)length < size)
		memset(text + length, '.', size - (size_t)length);
	frame_start(answer, FRAME_SEALED);
	frame_put_text(answer, id);
	frame_put_bytes(answer,
		(struct bytes){ (unsigned char *)text, (size_t)length < size ? size : (size_t)length });
	free(text);
}

static void error_put(struct frame *answer, enum frame_error error)
{
	frame_start(answer, FRAME_ERROR);
	frame_put_number(answer, error);
	frame_put_text(answer, "as it was told");
}

static void answer_send(int *fd, struct frame *answer)
{
	if (frame_send(*fd, answer, frame_clock() + 20 * SECOND) != FRAME_OK)
		drop(fd);
	frame_clear(answer);
}

static void sealed_send(const struct played *member, int *fd, const char *id)
{
	struct frame answer;

	sealed_put(member, &answer, id);
	answer_send(fd, &answer);
}

static void held_send(struct played *member, int *fd)
{
	for (unsigned i = 0; i < member->n_held && *fd >= 0; i++)
		sealed_send(member, fd, member->held[i]);
	member->n_held = 0;
}

static void hold(struct played *member, int *fd, const char *id, bool last)
{
	eventfd_t ignored;

	memcpy(member->held[member->n_held++], id, UUID_SIZE);
	if (!last)
		return;
	assert_int_equal(eventfd_read(member->go, &ignored), 0);
	held_send(member, fd);
	atomic_store(&member->way, WELL);
}

static void go_wrong(struct played *member, enum way way, int *fd, const char *id)
{
	struct frame answer = { .failed = true };

	switch (way) {
	case SAYS_NO:
	case SAYS_TOKEN:
	case SAYS_BUSY:
		error_put(&answer, way == SAYS_NO     ? ERROR_REQUEST
				   : way == SAYS_BUSY ? ERROR_BUSY
						      : ERROR_TOKEN);
		answer_send(fd, &answer);
		if (way == SAYS_BUSY)
			drop(fd);
		break;
	case CLOSES:
		drop(fd);
		break;
	case DIES:
		for (size_t i = 1; i < 2 + CONNECTIONS; i++)
			drop(&member->fds[i]);
		break;
	case CUTS:
		sealed_put(member, &answer, id);
		assert_int_equal(send(*fd, "\2\15\0\0\0\100a", 7, MSG_NOSIGNAL), 7);
		frame_clear(&answer);
		drop(fd);
		break;
	case STARES:
		member->stares = true;
		break;
	case STRANGE:
		frame_start(&answer, FRAME_DONE);
		answer_send(fd, &answer);
		break;
	case REPEATS:
		sealed_send(member, fd, member->last);
		break;
	case DOUBLES:
		sealed_send(member, fd, id);
		if (*fd >= 0)
			sealed_send(member, fd, id);
		break;
	case RAVES:
		assert_int_equal(send(*fd, "HTTP/1.1 200 OK\r\n\r\n", 19, MSG_NOSIGNAL), 19);
		break;
	default: /* SKIPS */
		break;
	}
}

static void seal_serve(struct played *member, int *fd, const struct frame *frame)
{
	unsigned number = atomic_fetch_add(&member->came, 1);
	enum way way = (enum way)atomic_load(&member->way);
	bool at = number == atomic_load(&member->at);
	struct complaint complaint;
	struct request request;

	assert_true(request_read(frame, &request, &complaint));
	if (way == HOLDS)
		hold(member, fd, request.release_id, at);
	else if (at && way != WELL)
		go_wrong(member, way, fd, request.release_id);
	else
		sealed_send(member, fd, request.release_id);
	memcpy(member->last, request.release_id, UUID_SIZE);
}

static void connection_serve(struct played *member, int *fd)
{
	static const unsigned char key[DATA_KEY_BYTES] = { 7 };
	struct frame request, answer;

	if (frame_receive(*fd, &request, frame_clock() + 20 * SECOND) != FRAME_OK) {
		drop(fd);
		return;
	}
	if (request.type == FRAME_SEAL) {
		seal_serve(member, fd, &request);
	} else {
		frame_start(&answer, request.type == FRAME_CANARY ? FRAME_DONE : FRAME_KEY_BYTES);
		if (request.type == FRAME_NODE_KEY)
			frame_put_bytes(&answer, (struct bytes){ key, sizeof(key) });
		answer_send(fd, &answer);
	}
	frame_clear(&request);
}

static void connection_accept(struct played *member)
{
	int fd = accept4(member->fds[1], NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	for (size_t i = 2; fd >= 0 && i < 2 + CONNECTIONS; i++)
		if (member->fds[i] < 0) {
			member->fds[i] = fd;
			return;
		}
	drop(&fd);
}

static void *member_run(void *argument)
{
	struct played *member = argument;

	for (;;) {
		struct pollfd fds[2 + CONNECTIONS];

		for (size_t i = 0; i < 2 + CONNECTIONS; i++)
			fds[i] = (struct pollfd){ .fd = member->stares && i > 0 ? -1 : member->fds[i],
				.events = POLLIN };
		assert_true(poll(fds, 2 + CONNECTIONS, -1) > 0);
		if (fds[0].revents != 0)
			return NULL;
		for (size_t i = 2; i < 2 + CONNECTIONS; i++)
			if (fds[i].revents != 0 && member->fds[i] >= 0)
				connection_serve(member, &member->fds[i]);
		if (fds[1].revents != 0 && member->fds[1] >= 0)
			connection_accept(member);
	}
}

static void member_start(struct played *member, enum way way, unsigned at)
{
	atomic_store(&member->way, way);
	atomic_store(&member->at, at);
	atomic_store(&member->came, 0);
	member->stares = false;
	member->last[0] = '\0';
	member->n_held = 0;
	for (size_t i = 1; i < 2 + CONNECTIONS; i++)
		member->fds[i] = -1;
	member->stop = eventfd(0, EFD_CLOEXEC);
	member->go = eventfd(0, EFD_CLOEXEC);
	member->fds[0] = member->stop;
	member->fds[1] = member_listen(member->path);
	assert_int_equal(pthread_create(&member->thread, NULL, member_run, member), 0);
}

static void member_end(struct played *member)
{
	assert_int_equal(eventfd_write(member->stop, 1), 0);
	pthread_join(member->thread, NULL);
	for (size_t i = 0; i < 2 + CONNECTIONS; i++)
		drop(&member->fds[i]);
	close(member->go);
}

/* ---- vouchsafed's side */

static int told[2];

static void said(void *context, const char *name, enum member_state state, const char *why)
{
	char letter = (char)((state == MEMBER_UP ? 'A' : 'a') + (strcmp(name, "hsm-b") == 0));

	(void)context;
	assert_true(why[0] != '\0');
	assert_int_equal(write(told[1], &letter, 1), 1);
}

static void await(const char *letters)
{
	struct pollfd fd = { .fd = told[0], .events = POLLIN };
	char missing[8], *found, got;

	strcpy(missing, letters);
	while (missing[0] != '\0') {
		if (poll(&fd, 1, 30000) != 1)
			fail_msg("no member's state became %s", missing);
		assert_int_equal(read(told[0], &got, 1), 1);
		found = strchr(missing, got);
		if (found != NULL)
			memmove(found, found + 1, strlen(found));
	}
}

/* Both members up; the first goes wrong at that request. A connection to it is warm. */
static void scene_begin(enum way way, unsigned at, long long deadline_ms)
{
	struct complaint complaint = { "" };
	struct reason reason;

	file.deadline_ms = deadline_ms;
	assert_int_equal(pipe2(told, O_CLOEXEC), 0);
	member_start(&played[0], way, at);
	member_start(&played[1], WELL, 0);
	vault = vault_open(&file, pins, &canary, &(struct vault_watcher){ .said = said }, &complaint);
	assert_non_null(vault);
	await("AB");
	assert_int_equal(vault_take_node_key(vault, &node, frame_clock() + 20 * SECOND, &reason), OK);
}

static void scene_end(void)
{
	vault_close(vault);
	member_end(&played[0]);
	member_end(&played[1]);
	close(told[0]);
	close(told[1]);
}

/* ---- what is sealed */

struct asked {
	struct seal seal; /* first */
	unsigned done; /* times */
	long long when;
	void (*then)(void);
};

static void asked_done(struct seal *seal)
{
	struct asked *asked = (struct asked *)seal;

	asked->done++;
	asked->when = frame_clock();
	assert_true((seal->outcome == OK) == (seal->sealed.data != NULL));
	if (asked->then)
		asked->then();
}

static void all_ask(struct asked asked[SEALS], unsigned n)
{
	struct seal *seals[SEALS] = { NULL };

	for (unsigned i = 0; i < n; i++) {
		struct seal *seal = &asked[i].seal;

		if (seal->grant == NULL)
			seal->grant = grants[i];
		seal->done = asked_done;
		if (seal->deadline == 0)
			seal->deadline = frame_clock() + 60 * SECOND;
		seals[i] = seal;
	}
	vault_seal(vault, seals, n);
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(asked[i].done, 1);
}

/* Its own release, sealed by that member (NULL: either). */
static void is_sealed(const struct asked *asked, const char *by)
{
	const struct sealed *sealed = &asked->seal.sealed;

	if (asked->seal.outcome != OK)
		fail_msg("%s", asked->seal.reason.text);
	assert_true(sealed->length >= 42);
	assert_memory_equal(sealed->data + 6, grant_release_id(asked->seal.grant), 36);
	assert_memory_equal(sealed->data, by != NULL ? by : "hsm-", by != NULL ? 5 : 4);
}

static void all_clear(struct asked asked[SEALS])
{
	for (unsigned i = 0; i < SEALS; i++)
		sealed_clear(&asked[i].seal.sealed);
}

/* ---- tests */

static void go_on(void)
{
	assert_int_equal(eventfd_write(played[0].go, 1), 0);
}

/* The member has all of them before it answers the first. */
static void they_travel_together(void **state)
{
	struct asked asked[SEALS] = { 0 };

	(void)state;
	scene_begin(HOLDS, SEALS - 1, 20000);
	go_on();
	all_ask(asked, SEALS);
	for (unsigned i = 0; i < SEALS; i++)
		is_sealed(&asked[i], "hsm-a");
	assert_int_equal(atomic_load(&played[1].came), 0);
	for (unsigned i = 1; i < SEALS; i++)
		assert_true(asked[i].when >= asked[i - 1].when);
	all_clear(asked);
	scene_end();
}

/* How many of them the first member answers well. */
static void gone_wrong_once(enum way way, unsigned at, bool warm)
{
	bool alone = way == SAYS_NO || way == SAYS_TOKEN; /* the others are served */
	struct asked first[SEALS] = { 0 }, asked[SEALS] = { 0 };

	scene_begin(way, at + warm, way == STARES ? 200 : 20000);
	first[0].seal.grant = grants[SEALS - 1];
	if (warm) {
		all_ask(first, 1);
		is_sealed(&first[0], "hsm-a");
	}
	all_ask(asked, SEALS);
	for (unsigned i = 0; i < SEALS; i++) {
		bool by_first = alone ? i != at : i < at + (way == DOUBLES);

		/* behind a closed connection a new one is tried, where it was not new itself */
		if (warm && (way == CLOSES || way == CUTS || (way == SAYS_BUSY && i != at)))
			is_sealed(&asked[i], "hsm-a");
		else
			is_sealed(&asked[i], by_first ? "hsm-a" : "hsm-b");
	}
	if (way == STARES || way == STRANGE || way == SKIPS || way == REPEATS ||
		(way == DOUBLES && at < SEALS - 1))
		await("a"); /* nobody asks it for more before it has proved itself */
	all_clear(first);
	all_clear(asked);
	scene_end();
}

static void a_member_goes_wrong(void **state)
{
	(void)state;
	for (enum way way = SAYS_NO; way < WAYS; way++)
		for (unsigned at = 0; at < SEALS; at += way == STARES ? 3 : 1) {
			if (way == SKIPS && at == SEALS - 1)
				continue; /* behind the last there is nothing to go on with */
			gone_wrong_once(way, at, false);
			gone_wrong_once(way, at, true);
		}
}

/* Nobody is left: each is told so, once, and those before it have theirs. */
static void both_members_die(void **state)
{
	struct asked asked[SEALS] = { 0 };

	(void)state;
	scene_begin(DIES, 3, 20000);
	atomic_store(&played[1].at, 2);
	atomic_store(&played[1].way, DIES);
	all_ask(asked, SEALS);
	for (unsigned i = 0; i < SEALS; i++) {
		if (i < 5) {
			is_sealed(&asked[i], i < 3 ? "hsm-a" : "hsm-b");
			continue;
		}
		assert_int_equal(asked[i].seal.outcome, UNAVAILABLE);
		assert_string_equal(asked[i].seal.reason.code, REASON_VAULT);
	}
	all_clear(asked);
	scene_end();
}

/* One whose own deadline passes is told so at once; the others, behind and before it, get their own answers,
 * and the connection stays good. */
static void one_is_in_a_hurry(void **state)
{
	(void)state;
	for (unsigned hurried = 0; hurried < SEALS; hurried++) {
		struct asked asked[SEALS] = { 0 };

		scene_begin(HOLDS, SEALS - 1, 20000);
		asked[hurried].seal.deadline = frame_clock() + SECOND / 20;
		asked[hurried].then = go_on; /* the member holds all answers until then */
		all_ask(asked, SEALS);
		for (unsigned i = 0; i < SEALS; i++) {
			if (i != hurried)
				is_sealed(&asked[i], "hsm-a");
			else
				assert_int_equal(asked[i].seal.outcome, UNAVAILABLE);
		}
		assert_true(asked[hurried].when >= asked[hurried].seal.deadline);
		assert_int_equal(vault_member_state(vault, "hsm-a"), MEMBER_UP);
		all_clear(asked);
		scene_end();
	}
}

/* All are in a hurry: nothing is proved against the member, but the connection is not used again, on which
 * answers may still come. */
static void all_are_in_a_hurry(void **state)
{
	struct asked hurried[SEALS] = { 0 }, asked[SEALS] = { 0 };

	(void)state;
	scene_begin(HOLDS, SEALS - 1, 20000);
	for (unsigned i = 0; i < SEALS; i++)
		hurried[i].seal.deadline = frame_clock() + SECOND / 20;
	all_ask(hurried, SEALS);
	for (unsigned i = 0; i < SEALS; i++)
		assert_int_equal(hurried[i].seal.outcome, UNAVAILABLE);
	assert_int_equal(vault_member_state(vault, "hsm-a"), MEMBER_UP);
	go_on();
	all_ask(asked, SEALS);
	for (unsigned i = 0; i < SEALS; i++)
		is_sealed(&asked[i], NULL);
	all_clear(asked);
	scene_end();
}

/* Who was late already costs nobody anything. */
static void late_from_the_start(void **state)
{
	struct asked asked[SEALS] = { 0 };

	(void)state;
	scene_begin(WELL, 0, 20000);
	asked[2].seal.deadline = 1;
	all_ask(asked, SEALS);
	assert_int_equal(atomic_load(&played[0].came), SEALS - 1);
	for (unsigned i = 0; i < SEALS; i++)
		if (i != 2)
			is_sealed(&asked[i], "hsm-a");
	assert_int_equal(asked[2].seal.outcome, UNAVAILABLE);
	all_clear(asked);
	scene_end();
}

/* Requests and answers longer than any socket's buffer, while the member reads nothing before its answer is
 * gone.
 */
static void full_buffers_hold_nobody_up(void **state)
{
	struct asked asked[SEALS] = { 0 };

	(void)state;
	scene_begin(WELL, 0, 20000);
	atomic_store(&played[0].size, 2 << 20);
	all_ask(asked, SEALS);
	for (unsigned i = 0; i < SEALS; i++) {
		is_sealed(&asked[i], "hsm-a");
		assert_int_equal(asked[i].seal.sealed.length, 2 << 20);
	}
	atomic_store(&played[0].size, 0);
	all_clear(asked);
	scene_end();
}

/* An answer too many, behind the last: the next who ask get their own all the same. */
static void an_answer_too_many(void **state)
{
	struct asked first[SEALS] = { 0 }, asked[SEALS] = { 0 };

	(void)state;
	scene_begin(DOUBLES, SEALS - 1, 20000);
	all_ask(first, SEALS);
	all_ask(asked, SEALS);
	for (unsigned i = 0; i < SEALS; i++) {
		is_sealed(&first[i], "hsm-a");
		is_sealed(&asked[i], NULL);
	}
	all_clear(first);
	all_clear(asked);
	scene_end();
}

static void *ask_often(void *argument)
{
	(void)argument;
	for (unsigned round = 0; round < 40; round++) {
		struct asked asked[SEALS] = { 0 };
		unsigned n = 1 + round % SEALS;

		all_ask(asked, n);
		for (unsigned i = 0; i < n; i++)
			is_sealed(&asked[i], NULL);
		all_clear(asked);
	}
	return NULL;
}

/* While one of the members loses connections. */
static void many_threads_ask(void **state)
{
	pthread_t threads[4];

	(void)state;
	scene_begin(CLOSES, 50, 20000);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, ask_often, NULL), 0);
	for (size_t i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	assert_true(atomic_load(&played[0].came) > 50);
	scene_end();
}

/* ---- one store for all tests */

static void envelope_make(struct envelope *envelope, const char *name, const char *kind, size_t length)
{
	*envelope = (struct envelope){ .version = 1, .n_wraps = PLAYED, .text_length = length };
	snprintf(envelope->name, sizeof(envelope->name), "%s", name);
	snprintf(envelope->kind, sizeof(envelope->kind), "%s", kind);
	envelope->text = calloc(1, length);
	assert_non_null(envelope->text);
	for (size_t i = 0; i < PLAYED; i++) {
		struct wrap *wrap = &envelope->wraps[i];

		snprintf(wrap->member, sizeof(wrap->member), "%s", played[i].name);
		wrap->generation = 1;
		wrap->length = 60;
	}
}

static struct grant *grant_make(unsigned number)
{
	struct assertion assertion = { .account_id = "123456789012",
		.region = "us-east-1",
		.role = "web-tier",
		.source_ip = "10.0.1.225" };
	struct recipient recipient = { .spki_length = 91 };
	/* half of them are longer than a socket's buffer */
	struct decision decision = {
		.first_use_allowed = true, .retry_window = 900000, .n_secrets = number % 2 ? LONG : 1
	};
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
	static char names[LONG][8];

	for (unsigned i = 0; i < decision.n_secrets; i++) {
		snprintf(names[i], sizeof(names[i]), "long%u", i);
		decision.secrets[i] = decision.n_secrets == 1 ? "short" : names[i];
	}
	snprintf(assertion.instance_id, sizeof(assertion.instance_id), "i-%017x", number + 1);
	record.claims = claims_new();
	record.claims->facts.launch_time = T0 / 1000000 - 30;
	store_record(store, (struct record *[]){ &record }, 1);
	if (record.outcome != OK)
		fail_msg("%s", record.reason.text);
	claims_free(record.claims);
	return record.grant;
}

static void secret_put(const char *name, size_t length)
{
	struct envelope envelope;
	struct reason reason;

	envelope_make(&envelope, name, "opaque", length);
	assert_int_equal(store_envelope_put(store, &envelope, "operator:test", "", &reason), OK);
	envelope_clear(&envelope);
}

static int group_begin(void **state)
{
	struct complaint complaint = { "" };
	char name[8];

	(void)state;
	place_make(&place);
	file = (struct vault_file){ .id = VAULT_ID, .poll_ms = 30000, .n_members = PLAYED };
	for (size_t i = 0; i < PLAYED; i++) {
		struct member_pin *pin = &pins[i];

		snprintf(played[i].path, sizeof(played[i].path), "%s/%s", place.folder, played[i].name);
		snprintf(file.members[i].name, NAME_SIZE, "%s", played[i].name);
		strcpy(file.members[i].socket, played[i].path);
		*pin = (struct member_pin){ .vault = VAULT_ID, .generation = 1, .iv_mode = IV_HOST };
		strcpy(pin->member, played[i].name);
	}
	envelope_make(&canary, "canary", "canary", 40);
	envelope_make(&node, "node", "node", DATA_KEY_BYTES + TAG_BYTES);
	store = store_open(&(struct store_settings){ .uri = place.store, .use = STORE_SERVE, .node = "rp-1" },
		&complaint);
	assert_non_null(store);
	secret_put("short", 40);
	for (unsigned i = 0; i < LONG; i++) {
		snprintf(name, sizeof(name), "long%u", i);
		secret_put(name, SECRET_BYTES_MAX + TAG_BYTES);
	}
	for (unsigned i = 0; i < SEALS; i++)
		grants[i] = grant_make(i);
	return 0;
}

static int group_end(void **state)
{
	(void)state;
	for (unsigned i = 0; i < SEALS; i++)
		grant_free(grants[i]);
	envelope_clear(&canary);
	envelope_clear(&node);
	store_close(store);
	place_remove(&place);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(they_travel_together),
		cmocka_unit_test(a_member_goes_wrong),
		cmocka_unit_test(both_members_die),
		cmocka_unit_test(one_is_in_a_hurry),
		cmocka_unit_test(all_are_in_a_hurry),
		cmocka_unit_test(late_from_the_start),
		cmocka_unit_test(full_buffers_hold_nobody_up),
		cmocka_unit_test(an_answer_too_many),
		cmocka_unit_test(many_threads_ask),
	};

	return cmocka_run_group_tests(tests, group_begin, group_end);
}
