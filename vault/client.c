/* vouchsafed's side of the vault. One monitor thread for each member keeps its state, and callers of
 * vault_seal use a few warm connections beside it. A member is believed to be up only while its canary opens.
 * Must never wait beyond a deadline, and never hold a plaintext but the node key's. */
#include "vault/client_inside.h"
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
#include <unistd.h>

enum { RETRY_MS = 250 };
#define MILLISECOND 1000000LL

/* ---- asking a member */

static int pool_take(struct link *link)
{
	int socket = -1;

	pthread_mutex_lock(&link->lock);
	if (link->n_idle > 0)
		socket = link->idle[--link->n_idle];
	pthread_mutex_unlock(&link->lock);
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

	while ((socket = pool_take(link)) >= 0)
		close(socket);
}

static enum frame_result ask_on(
	struct link *link, int socket, struct frame *request, struct frame *answer, long long deadline)
{
	enum frame_result result = frame_exchange(socket, request, answer, deadline);

	if (result == FRAME_OK)
		pool_put(link, socket);
	else
		close(socket); /* never used again: an answer may still come, and would be taken for another's
				*/
	return result;
}

/* A warm connection may belong to a member process that has ended since: then a fresh one is tried, once. */
enum frame_result link_ask(struct link *link, struct frame *request, struct frame *answer, long long deadline)
{
	int socket = pool_take(link);
	enum frame_result result = FRAME_CLOSED;

	*answer = (struct frame){ .failed = true };
	if (socket >= 0)
		result = ask_on(link, socket, request, answer, deadline);
	if (result != FRAME_CLOSED)
		return result;
	socket = frame_connect(link->place->socket, &result);
	return socket < 0 ? result : ask_on(link, socket, request, answer, deadline);
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

enum outcome link_asked_in_vain(struct link *link, enum frame_result result, const struct frame *answer,
	bool whole_time, struct reason *reason)
{
	enum frame_error error;
	char text[ANSWER_TEXT_SIZE];

	if (result != FRAME_OK) {
		/* a caller who left it less than the usual time has proved nothing against it */
		link_suspect(link, result == FRAME_LATE && whole_time);
		return unavailable(
			reason, REASON_VAULT, "%s: %s", link->place->name, frame_result_text(result));
	}
	if (!answer_error(answer, &error, text)) {
		link_suspect(link, true);
		return unavailable(reason, REASON_VAULT, "%s: it answered with nonsense", link->place->name);
	}
	if (error == ERROR_TOKEN)
		link_suspect(link, false);
	return unavailable(reason, REASON_VAULT, "%s: %.180s", link->place->name, text);
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
	if (result == FRAME_OK && answer.type == FRAME_KEY_BYTES)
		outcome = keys_take(vault, &answer, reason);
	else
		outcome = link_asked_in_vain(link, result, &answer, false, reason);
	frame_clear(&answer);
	frame_clear(&request);
	return outcome;
}

void sealed_clear(struct sealed *sealed)
{
	free(sealed->data);
	*sealed = (struct sealed){ .data = NULL };
}

/* The grant as one member is asked to seal it. False: a secret is not sealed to that member. */
static bool seal_request(
	struct vault *vault, struct link *link, const struct grant *grant, struct frame *request)
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
	return true;
}

static enum outcome sealed_take(const struct frame *answer, struct sealed *sealed, struct reason *reason)
{
	struct bytes der;

	if (!answer_sealed(answer, &der))
		return unavailable(reason, REASON_VAULT, "a sealed answer that is none");
	sealed->data = malloc(der.length);
	if (sealed->data == NULL)
		return unavailable(reason, REASON_VAULT, "memory is out");
	memcpy(sealed->data, der.data, der.length);
	sealed->length = der.length;
	return OK;
}

static enum outcome seal_by(struct vault *vault, struct link *link, const struct grant *grant,
	long long deadline, struct sealed *sealed, struct reason *reason)
{
	long long until = link_try_until(vault, deadline);
	struct frame request, answer;
	enum frame_result result;
	enum outcome outcome = FAULT;

	if (!seal_request(vault, link, grant, &request)) {
		frame_clear(&request);
		return unavailable(reason, REASON_VAULT, "a secret of this release is not sealed to %s",
			link->place->name);
	}
	result = link_ask(link, &request, &answer, until);
	if (result == FRAME_OK && answer.type == FRAME_SEALED)
		outcome = sealed_take(&answer, sealed, reason);
	else
		outcome = link_asked_in_vain(link, result, &answer, until != deadline, reason);
	frame_clear(&answer);
	frame_clear(&request);
	return outcome;
}

enum outcome vault_seal(struct vault *vault, const struct grant *grant, long long deadline,
	struct sealed *sealed, struct reason *reason)
{
	enum outcome outcome = unavailable(reason, REASON_VAULT, "no member of the vault is up");

	*sealed = (struct sealed){ .data = NULL };
	if (atomic_load(&vault->keys) == NULL)
		return unavailable(reason, REASON_VAULT, "the node key has not been fetched yet");
	for (unsigned i = 0; outcome != OK && i < vault->file.n_members; i++)
		if (atomic_load(&vault->links[i].state) == MEMBER_UP)
			outcome = seal_by(vault, &vault->links[i], grant, deadline, sealed, reason);
	return outcome;
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
