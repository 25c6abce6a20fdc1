/* vouchsafed's side of the vault. One monitor thread for each member keeps its state, and callers of
 * vault_seal use a few warm connections beside it. A member is believed to be up only while its canary opens.
 * Must never wait beyond a deadline, and never hold a plaintext but the node key's. */
#include "vault/client_inside.h"
#include "vault/exchange.h"
#include "vault/node_key.h"
#include "verifier/reasons.h"

#include <openssl/crypto.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

enum { RETRY_MS = 250 };
_Static_assert((int)VAULT_SEALS_MAX <= (int)EXCHANGE_MAX, "what is sealed at once is one exchange");
#define MILLISECOND 1000000LL

/* ---- connections to a member, and what is thought of it */

static int pool_pop(struct link *link)
{
	int socket = -1;

	pthread_mutex_lock(&link->lock);
	if (link->n_idle > 0)
		socket = link->idle[--link->n_idle];
	pthread_mutex_unlock(&link->lock);
	return socket;
}

/* One on which nothing has come since: neither its end, nor an answer that nobody had asked for. */
static int pool_take(struct link *link)
{
	char byte;
	int socket;

	while ((socket = pool_pop(link)) >= 0) {
		if (recv(socket, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN)
			break;
		close(socket);
	}
	return socket;
}

static void pool_put(struct link *link, int socket)
{
	pthread_mutex_lock(&link->lock);
	if (link->n_idle < POOL) {
		link->idle[link->n_idle++] = socket;
		socket = -1;
	}
	pthread_mutex_unlock(&link->lock);
	if (socket >= 0)
		close(socket);
}

static void pool_clear(struct link *link)
{
	int socket;

	while ((socket = pool_pop(link)) >= 0)
		close(socket);
}

long long link_try_until(const struct vault *vault, long long deadline)
{
	long long own = frame_clock() + vault->file.deadline_ms * MILLISECOND;

	return deadline != 0 && deadline < own ? deadline : own;
}

/* Wakes the monitor to look at the member; `down`: until it has, the member counts as down. */
static void link_suspect(struct link *link, bool down)
{
	const uint64_t one = 1;
	ssize_t n;

	if (down)
		atomic_store(&link->state, MEMBER_DOWN);
	n = write(link->wake, &one, sizeof(one));
	(void)n; /* full means awake */
}

/* An answer that is not what was asked for, as a reason: an error that the member tells of, or nonsense.
 * False: nonsense. */
static bool answered_in_vain(struct link *link, const struct frame *answer, struct reason *reason)
{
	enum frame_error error;
	char text[ANSWER_TEXT_SIZE];

	if (!answer_error(answer, &error, text)) {
		link_suspect(link, true);
		(void)unavailable(reason, REASON_VAULT, "%s: it answered with nonsense", link->place->name);
		return false;
	}
	if (error == ERROR_TOKEN)
		link_suspect(link, false);
	(void)unavailable(reason, REASON_VAULT, "%s: %.180s", link->place->name, text);
	return true;
}

static enum outcome not_answered(struct link *link, enum frame_result result, struct reason *reason)
{
	return unavailable(reason, REASON_VAULT, "%s: %s", link->place->name, frame_result_text(result));
}

enum outcome link_asked_in_vain(
	struct link *link, enum frame_result result, const struct frame *answer, struct reason *reason)
{
	if (result == FRAME_OK) {
		(void)answered_in_vain(link, answer, reason);
		return UNAVAILABLE;
	}
	link_suspect(link, result == FRAME_LATE);
	return not_answered(link, result, reason);
}

/* ---- the monitor */

static void told(struct link *link, enum member_state state, const char *why)
{
	struct vault *vault = link->vault;

	atomic_store(&link->state, state);
	if (link->told == (int)state)
		return;
	link->told = (int)state;
	if (state == MEMBER_UP) {
		pthread_mutex_lock(&vault->lock);
		pthread_cond_broadcast(&vault->up);
		pthread_mutex_unlock(&vault->lock);
	}
	if (vault->watcher.said != NULL)
		vault->watcher.said(vault->watcher.context, link->place->name, state, why);
}

/* True where the canary opens; otherwise why not. */
static bool canary_opens(struct link *link, int socket, char why[ANSWER_TEXT_SIZE])
{
	struct vault *vault = link->vault;
	struct frame request, answer;
	enum frame_error error;
	enum frame_result result;
	bool opens = false;

	frame_start(&request, FRAME_CANARY);
	frame_put_pin(&request, &link->pin);
	frame_put_envelope(&request, &vault->canary, link->canary_wrap);
	result = frame_exchange(socket, &request, &answer, link_try_until(vault, 0));
	if (result != FRAME_OK)
		snprintf(why, ANSWER_TEXT_SIZE, "%s", frame_result_text(result));
	else if (answer_plain(&answer, FRAME_DONE))
		opens = true;
	else if (!answer_error(&answer, &error, why))
		snprintf(why, ANSWER_TEXT_SIZE, "it answered with nonsense");
	frame_clear(&answer);
	frame_clear(&request);
	return opens;
}

/* May this member be used, after what it has signed? Asked once for each connection of the monitor: a member
 * process that was started anew may remember something else. */
static bool head_stands(struct link *link, int socket, char why[ANSWER_TEXT_SIZE])
{
	const struct vault_watcher *watcher = &link->vault->watcher;
	struct complaint complaint = { "" };
	struct signed_head last;

	if (watcher->judge == NULL)
		return true;
	if (!link_last_head(link, socket, &last, why))
		return false;
	if (watcher->judge(watcher->context, link->place->name, &last, &complaint))
		return true;
	snprintf(why, ANSWER_TEXT_SIZE, "%.*s", ANSWER_TEXT_SIZE - 1, complaint.text);
	return false;
}

/* Waits for one of: the member closes its end (false), we are woken, the time is over (true). */
static bool quiet(struct link *link, int socket, int timeout_ms)
{
	struct pollfd fds[] = { { .fd = socket, .events = POLLIN | POLLRDHUP },
		{ .fd = link->wake, .events = POLLIN } };
	uint64_t count;
	int n = poll(fds, 2, timeout_ms);

	if (n > 0 && fds[1].revents != 0 && read(link->wake, &count, sizeof(count)) < 0 && errno != EAGAIN)
		return false;
	/* nothing is asked, so nothing may come */
	return !(n > 0 && fds[0].revents != 0);
}

/* Keeps to one member process for as long as its canary opens; says why it does no more. */
static void watch(struct link *link, int socket, char why[ANSWER_TEXT_SIZE])
{
	bool judged = false;

	while (!atomic_load(&link->vault->stopping)) {
		if (atomic_load(&link->state) == MEMBER_DOWN && link->told == MEMBER_UP)
			told(link, MEMBER_DOWN, frame_result_text(FRAME_LATE));
		if (!canary_opens(link, socket, why) || (!judged && !head_stands(link, socket, why)))
			return;
		judged = true;
		told(link, MEMBER_UP, "its canary opens");
		if (!quiet(link, socket, (int)link->vault->file.poll_ms)) {
			snprintf(why, ANSWER_TEXT_SIZE, "%s", frame_result_text(FRAME_CLOSED));
			return;
		}
	}
}

static void *monitor_run(void *argument)
{
	struct link *link = argument;
	char why[ANSWER_TEXT_SIZE] = "";

	while (!atomic_load(&link->vault->stopping)) {
		enum frame_result result;
		int socket = frame_connect(link->place->socket, &result);

		if (socket >= 0) {
			watch(link, socket, why);
			close(socket);
		} else {
			snprintf(why, sizeof(why), "nobody answers at %s", link->place->socket);
		}
		if (atomic_load(&link->vault->stopping))
			break;
		told(link, MEMBER_DOWN, why);
		pool_clear(link);
		quiet(link, -1, RETRY_MS);
	}
	return NULL;
}

/* ---- opening and closing */

static bool link_start(
	struct vault *vault, unsigned i, const struct member_pin *pin, struct complaint *complaint)
{
	struct link *link = &vault->links[i];
	sigset_t all, before;

	link->vault = vault;
	link->place = &vault->file.members[i];
	link->told = -1;
	link->pin = *pin;
	link->canary_wrap = envelope_wrap(&vault->canary, pin);
	if (strcmp(pin->member, link->place->name) != 0 || strcmp(pin->vault, vault->file.id) != 0)
		return complain(complaint, "what is pinned for %s belongs to another vault or member",
			link->place->name);
	if (link->canary_wrap == NULL)
		return complain(complaint, "the canary is not sealed to %s: run `vouchsafe vault apply`",
			link->place->name);
	link->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (link->wake < 0)
		return complain(complaint, "no file descriptor for a monitor");
	sigfillset(&all); /* signals are the main thread's */
	pthread_sigmask(SIG_SETMASK, &all, &before);
	link->running = pthread_create(&link->monitor, NULL, monitor_run, link) == 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return link->running || complain(complaint, "no thread for a monitor");
}

static void vault_prepare(struct vault *vault)
{
	pthread_condattr_t attributes;

	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&vault->up, &attributes);
	pthread_condattr_destroy(&attributes);
	pthread_mutex_init(&vault->lock, NULL);
	for (unsigned i = 0; i < MEMBERS_MAX; i++) {
		vault->links[i].wake = -1;
		pthread_mutex_init(&vault->links[i].lock, NULL);
	}
}

struct vault *vault_open(const struct vault_file *file, const struct member_pin *pins,
	const struct envelope *canary, const struct vault_watcher *watcher, struct complaint *complaint)
{
	struct vault *vault = calloc(1, sizeof(*vault));

	if (vault == NULL) {
		complain(complaint, "memory is out");
		return NULL;
	}
	vault_prepare(vault);
	vault->file = *file;
	vault->watcher = *watcher;
	if (!envelope_copy(&vault->canary, canary)) {
		complain(complaint, "memory is out");
		goto fail;
	}
	for (unsigned i = 0; i < file->n_members; i++)
		if (!link_start(vault, i, &pins[i], complaint))
			goto fail;
	return vault;
fail:
	vault_close(vault);
	return NULL;
}

void vault_close(struct vault *vault)
{
	if (vault == NULL)
		return;
	atomic_store(&vault->stopping, true);
	for (unsigned i = 0; i < MEMBERS_MAX; i++) {
		struct link *link = &vault->links[i];

		if (link->running) {
			link_suspect(link, false);
			pthread_join(link->monitor, NULL);
		}
		pool_clear(link);
		if (link->wake >= 0)
			close(link->wake);
		pthread_mutex_destroy(&link->lock);
	}
	node_key_free(atomic_load(&vault->keys));
	envelope_clear(&vault->canary);
	pthread_cond_destroy(&vault->up);
	pthread_mutex_destroy(&vault->lock);
	free(vault);
}

/* ---- what the server asks */

static struct link *link_up(struct vault *vault, unsigned from)
{
	for (unsigned i = from; i < vault->file.n_members; i++)
		if (atomic_load(&vault->links[i].state) == MEMBER_UP)
			return &vault->links[i];
	return NULL;
}

bool vault_ready(struct vault *vault)
{
	return link_up(vault, 0) != NULL;
}

const char *vault_member_name(const struct vault *vault, size_t i)
{
	return i < vault->file.n_members ? vault->file.members[i].name : NULL;
}

enum member_state vault_member_state(struct vault *vault, const char *member)
{
	for (unsigned i = 0; i < vault->file.n_members; i++)
		if (strcmp(vault->file.members[i].name, member) == 0)
			return (enum member_state)atomic_load(&vault->links[i].state);
	return MEMBER_DOWN;
}

/* At the server's start: the monitors have only just begun. */
static struct link *link_await(struct vault *vault, long long deadline)
{
	const struct timespec until = { deadline / 1000000000, deadline % 1000000000 };
	struct link *link;

	pthread_mutex_lock(&vault->lock);
	while ((link = link_up(vault, 0)) == NULL)
		if (pthread_cond_timedwait(&vault->up, &vault->lock, &until) != 0)
			break;
	pthread_mutex_unlock(&vault->lock);
	return link;
}

/* Out of the answer, into keys of their own. */
static enum outcome keys_take(struct vault *vault, const struct frame *answer, struct reason *reason)
{
	struct bytes bytes;
	struct node_key *none = NULL, *keys;
	struct complaint complaint;

	if (!answer_node_key(answer, &bytes))
		return unavailable(reason, REASON_VAULT, "a node key that is none");
	keys = node_key_new(bytes.data, &complaint);
	if (keys == NULL)
		return fault(reason, REASON_INTERNAL, "%s", complaint.text);
	if (!atomic_compare_exchange_strong(&vault->keys, &none, keys))
		node_key_free(keys); /* another thread was first; they are the same */
	return OK;
}

/* One request on a connection of its own. */
enum frame_result link_ask(struct link *link, struct frame *request, struct frame *answer, long long deadline)
{
	enum frame_result result;
	int socket = frame_connect(link->place->socket, &result);

	*answer = (struct frame){ .failed = true };
	if (socket < 0)
		return result;
	result = frame_exchange(socket, request, answer, deadline);
	close(socket);
	return result;
}

enum outcome vault_take_node_key(
	struct vault *vault, const struct envelope *node_key, long long deadline, struct reason *reason)
{
	struct link *link = link_await(vault, deadline);
	const struct wrap *wrap = link != NULL ? envelope_wrap(node_key, &link->pin) : NULL;
	struct frame request, answer;
	enum frame_result result;
	enum outcome outcome;

	if (link == NULL)
		return unavailable(reason, REASON_VAULT, "no member of the vault is up");
	if (wrap == NULL)
		return fault(reason, REASON_INTERNAL, "the node key is not sealed to %s", link->place->name);
	frame_start(&request, FRAME_NODE_KEY);
	frame_put_pin(&request, &link->pin);
	frame_put_envelope(&request, node_key, wrap);
	result = link_ask(link, &request, &answer, link_try_until(vault, deadline));
	if (result != FRAME_OK) {
		link_suspect(link, false);
		outcome = not_answered(link, result, reason);
	} else if (answer.type == FRAME_KEY_BYTES) {
		outcome = keys_take(vault, &answer, reason);
	} else {
		outcome = UNAVAILABLE;
		answered_in_vain(link, &answer, reason);
	}
	frame_clear(&answer);
	frame_clear(&request);
	return outcome;
}

void sealed_clear(struct sealed *sealed)
{
	free(sealed->data);
	*sealed = (struct sealed){ .data = NULL };
}

/* ---- sealing */

/* Releases on their way to one member. */
struct turn {
	struct vault *vault;
	struct link *link;
	unsigned n;
	struct seal *seals[VAULT_SEALS_MAX]; /* NULL: done, and no more ours */
};

static void seal_done(struct turn *turn, unsigned i, enum outcome outcome)
{
	struct seal *seal = turn->seals[i];

	turn->seals[i] = NULL;
	seal->outcome = outcome;
	seal->done(seal);
}

/* The grant as one member is asked to seal it. False: a secret is not sealed to that member, or no memory. */
static bool grant_put(
	struct vault *vault, const struct link *link, const struct grant *grant, struct frame *request)
{
	const struct recipient *recipient = grant_recipient(grant);
	const struct node_key *keys = atomic_load(&vault->keys);
	const struct envelope *envelope;
	char acknowledgement[ACKNOWLEDGEMENT_SIZE];
	size_t n = 0;

	frame_start(request, FRAME_SEAL);
	if (!node_key_acknowledgement(keys, grant_release_id(grant), acknowledgement))
		return false;
	while (grant_envelope(grant, n) != NULL)
		n++;
	frame_put_pin(request, &link->pin);
	frame_put_text(request, grant_release_id(grant));
	frame_put_text(request, grant_instance_id(grant));
	frame_put_bytes(request, (struct bytes){ grant_assertion_sha256(grant), 32 });
	frame_put_text(request, acknowledgement);
	OPENSSL_cleanse(acknowledgement, sizeof(acknowledgement));
	frame_put_bytes(request, (struct bytes){ recipient->spki, recipient->spki_length });
	frame_put_number(request, (uint32_t)n);
	for (size_t i = 0; (envelope = grant_envelope(grant, i)) != NULL; i++) {
		const struct wrap *wrap = envelope_wrap(envelope, &link->pin);

		if (wrap == NULL)
			return false;
		frame_put_envelope(request, envelope, wrap);
	}
	return !request->failed;
}

static bool turn_request(void *context, unsigned i, struct frame *request)
{
	struct turn *turn = context;
	struct seal *seal = turn->seals[i];

	if (grant_put(turn->vault, turn->link, seal->grant, request))
		return true;
	(void)unavailable(&seal->reason, REASON_VAULT,
		request->failed ? "%s: memory is out" : "a secret of this release is not sealed to %s",
		turn->link->place->name);
	return false;
}

static bool sealed_take(struct bytes der, struct sealed *sealed)
{
	sealed->data = malloc(der.length);
	if (sealed->data == NULL)
		return false;
	memcpy(sealed->data, der.data, der.length);
	sealed->length = der.length;
	return true;
}

static bool turn_answer(void *context, unsigned i, const struct frame *answer)
{
	struct turn *turn = context;
	struct seal *seal = turn->seals[i];
	struct bytes der;

	if (!answer_sealed(answer, grant_release_id(seal->grant), &der))
		return answered_in_vain(turn->link, answer, &seal->reason);
	if (sealed_take(der, &seal->sealed))
		seal_done(turn, i, OK);
	else
		(void)unavailable(&seal->reason, REASON_VAULT, "memory is out");
	return true;
}

/* Whoever left it less than the usual time has proved nothing against the member. */
static void turn_late(void *context, unsigned i)
{
	struct turn *turn = context;

	link_suspect(turn->link, false);
	seal_done(turn, i, not_answered(turn->link, FRAME_LATE, &turn->seals[i]->reason));
}

static enum frame_result turn_on(const struct turn *turn, int socket, struct exchange *exchange)
{
	enum frame_result result = exchange_run(socket, exchange);

	if (result == FRAME_OK)
		pool_put(turn->link, socket);
	else
		close(socket); /* never used again: an answer may still come, and would be taken for another's
				*/
	return result;
}

/* A warm connection may belong to a member process that has ended since: then a fresh one is tried, once. */
static enum frame_result turn_connected(const struct turn *turn, struct exchange *exchange)
{
	int socket = pool_take(turn->link);
	enum frame_result result = FRAME_CLOSED;

	if (socket >= 0)
		result = turn_on(turn, socket, exchange);
	if (result != FRAME_CLOSED)
		return result;
	socket = frame_connect(turn->link->place->socket, &result);
	return socket < 0 ? result : turn_on(turn, socket, exchange);
}

/* Asks one member for all that are not done. */
static void turn_take(struct turn *turn, struct link *link)
{
	struct exchange exchange = { .n = turn->n,
		.patience = turn->vault->file.deadline_ms * MILLISECOND,
		.context = turn,
		.request = turn_request,
		.answer = turn_answer,
		.late = turn_late };
	enum frame_result result;
	bool waiting = false;

	turn->link = link;
	for (unsigned i = 0; i < turn->n; i++) {
		exchange.over[i] = turn->seals[i] == NULL;
		exchange.deadlines[i] = exchange.over[i] ? 0 : turn->seals[i]->deadline;
	}
	result = turn_connected(turn, &exchange);
	for (unsigned i = 0; i < turn->n; i++)
		if (!exchange.over[i]) {
			waiting = true;
			(void)not_answered(link, result, &turn->seals[i]->reason);
		}
	if (result != FRAME_OK)
		link_suspect(link, result == FRAME_LATE && waiting);
}

static bool turn_over(const struct turn *turn)
{
	for (unsigned i = 0; i < turn->n; i++)
		if (turn->seals[i] != NULL)
			return false;
	return true;
}

void vault_seal(struct vault *vault, struct seal *const seals[], size_t n)
{
	struct turn turn = { .vault = vault, .n = (unsigned)n };
	bool keys = atomic_load(&vault->keys) != NULL;

	for (unsigned i = 0; i < turn.n; i++) {
		turn.seals[i] = seals[i];
		seals[i]->sealed = (struct sealed){ .data = NULL };
		(void)unavailable(&seals[i]->reason, REASON_VAULT,
			keys ? "no member of the vault is up" : "the node key has not been fetched yet");
	}
	for (unsigned i = 0; keys && !turn_over(&turn) && i < vault->file.n_members; i++)
		if (atomic_load(&vault->links[i].state) == MEMBER_UP)
			turn_take(&turn, &vault->links[i]);
	for (unsigned i = 0; i < turn.n; i++)
		if (turn.seals[i] != NULL)
			seal_done(&turn, i, UNAVAILABLE);
}

bool vault_acknowledgement_valid(
	const struct vault *vault, const char *release_id, const char *acknowledgement)
{
	const struct node_key *keys = atomic_load(&((struct vault *)vault)->keys);
	char right[ACKNOWLEDGEMENT_SIZE];
	bool valid = keys != NULL && strlen(acknowledgement) == ACKNOWLEDGEMENT_SIZE - 1 &&
		     node_key_acknowledgement(keys, release_id, right) &&
		     CRYPTO_memcmp(right, acknowledgement, ACKNOWLEDGEMENT_SIZE - 1) == 0;

	OPENSSL_cleanse(right, sizeof(right));
	return valid;
}

const unsigned char *vault_challenge_key(const struct vault *vault)
{
	const struct node_key *keys = atomic_load(&((struct vault *)vault)->keys);

	return keys != NULL ? node_key_challenge(keys) : NULL;
}

void vault_cursor_mac(const struct vault *vault, struct bytes cursor, unsigned char mac[32])
{
	const struct node_key *keys = atomic_load(&((struct vault *)vault)->keys);

	if (keys != NULL && node_key_cursor_mac(keys, cursor, mac))
		return;
	/* no key, or no memory: a MAC that fits nothing, and that nobody can foresee */
	while (getrandom(mac, 32, 0) != 32)
		;
}
