/* Setting up a vault and storing secrets, for the command line: it starts a member process of its own and
 * keeps in the store what that hands back. Must never see a plaintext, a PIN or a data key. */
#include "vault/answer.h"
#include "vault/setup.h"
#include "verifier/reasons.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { STEP_SECONDS = 60, END_SECONDS = 5, FREE_DESCRIPTORS = 16 };

extern char **environ;

/* A member process of our own. */
struct child {
	pid_t pid; /* 0: none */
	int socket;
};

static void say(const struct setup *setup, const char *member, const char *format, ...) PRINTF_LIKE(3, 4);
static void say(const struct setup *setup, const char *member, const char *format, ...)
{
	char what[400], line[500];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(what, sizeof(what), format, arguments);
	va_end(arguments);
	snprintf(line, sizeof(line), "%s: %s", member, what);
	if (setup->said != NULL)
		setup->said(setup->context, line);
}

/* ---- the process */

/* 0, 1, 2, the socket, the input: nothing else of ours reaches it. Both come in above the numbers they get.
 */
static int spawn(const struct setup *setup, const char *member, int socket, int input, pid_t *pid)
{
	char *arguments[] = { (char *)setup->program, (char *)"--setup", (char *)"3", (char *)"--member",
		(char *)member, (char *)"--vault", (char *)setup->vault_path, NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none, usual;
	int error;

	sigemptyset(&none);
	sigemptyset(&usual);
	sigaddset(&usual, SIGPIPE);
	error = posix_spawn_file_actions_init(&actions);
	if (error != 0)
		return error;
	error = posix_spawnattr_init(&attributes);
	if (error != 0)
		goto out;
	if ((error = posix_spawnattr_setsigmask(&attributes, &none)) == 0 &&
		(error = posix_spawnattr_setsigdefault(&attributes, &usual)) == 0 &&
		(error = posix_spawnattr_setflags(
			 &attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF)) == 0 &&
		(error = posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)) == 0 &&
		(error = posix_spawn_file_actions_adddup2(&actions, socket, SETUP_SOCKET)) == 0 &&
		(input < 0 ||
			(error = posix_spawn_file_actions_adddup2(&actions, input, SETUP_INPUT)) == 0) &&
		(error = posix_spawn_file_actions_addclosefrom_np(
			 &actions, input < 0 ? SETUP_INPUT : SETUP_INPUT + 1)) == 0)
		error = posix_spawn(pid, setup->program, &actions, &attributes, arguments, environ);
	posix_spawnattr_destroy(&attributes);
out:
	posix_spawn_file_actions_destroy(&actions);
	return error;
}

/* An error's sentence becomes the complaint. */
static bool answer_is(
	const struct frame *answer, enum frame_type expected, const char *member, struct complaint *complaint)
{
	char text[ANSWER_TEXT_SIZE];
	enum frame_error error;

	if (answer->type == expected &&
		((expected != FRAME_DONE && expected != FRAME_INPUT_READ) || answer_plain(answer, expected)))
		return true;
	return complain(complaint, "%s: %s", member,
		answer_error(answer, &error, text) ? text : "its process answers with nonsense");
}

/* Waits for one frame; 0 seconds: for as long as the process lives. */
static bool child_hear(struct child *child, const char *member, unsigned seconds, enum frame_type expected,
	struct frame *answer, struct complaint *complaint)
{
	enum frame_result result = frame_receive(
		child->socket, answer, seconds == 0 ? 0 : frame_clock() + seconds * 1000000000LL);

	if (result != FRAME_OK)
		return complain(complaint, "%s: the process that was started for it: %s", member,
			frame_result_text(result));
	if (answer_is(answer, expected, member, complaint))
		return true;
	frame_clear(answer);
	return false;
}

/* Sends the request, which it clears, and waits for the answer. */
static bool child_ask(struct child *child, const char *member, struct frame *request,
	enum frame_type expected, struct frame *answer, struct complaint *complaint)
{
	enum frame_result result = frame_send(
		child->socket, request, frame_clock() + STEP_SECONDS * 1000000000LL);

	frame_clear(request);
	if (result != FRAME_OK)
		return complain(complaint, "%s: the process that was started for it: %s", member,
			frame_result_text(result));
	return child_hear(child, member, STEP_SECONDS, expected, answer, complaint);
}

/* Closing the socket ends it; if not, it is killed. */
static void child_end(struct child *child)
{
	struct pollfd ended = { .events = POLLIN };

	if (child->pid == 0)
		return;
	close(child->socket);
	ended.fd = pidfd_open(child->pid, 0);
	if (ended.fd < 0 || poll(&ended, 1, END_SECONDS * 1000) != 1)
		kill(child->pid, SIGKILL);
	if (ended.fd >= 0)
		close(ended.fd);
	while (waitpid(child->pid, NULL, 0) < 0 && errno == EINTR)
		;
	child->pid = 0;
}

static bool child_start(struct child *child, const struct setup *setup, const char *member, int input,
	struct complaint *complaint)
{
	int pair[2], far = -1, far_input = -1, error;
	struct frame here;

	*child = (struct child){ .socket = -1 };
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0)
		return complain(complaint, "no socket for a member process: %s", strerror(errno));
	far = fcntl(pair[1], F_DUPFD_CLOEXEC, FREE_DESCRIPTORS);
	far_input = input < 0 ? -1 : fcntl(input, F_DUPFD_CLOEXEC, FREE_DESCRIPTORS);
	error = far < 0 || (input >= 0 && far_input < 0) ? errno
							 : spawn(setup, member, far, far_input, &child->pid);
	if (far >= 0)
		close(far);
	if (far_input >= 0)
		close(far_input);
	close(pair[1]);
	child->socket = pair[0];
	if (error != 0) {
		close(pair[0]);
		child->pid = 0;
		return complain(complaint, "%s cannot be started: %s", setup->program, strerror(error));
	}
	if (!child_hear(child, member, STEP_SECONDS, FRAME_DONE, &here, complaint)) {
		child_end(child);
		return false;
	}
	frame_clear(&here);
	return true;
}

/* ---- one step each */

struct step {
	const struct setup *setup;
	const struct vault_file_member *member;
	struct child *child;
};

/* Finds the token, or makes a blank one ours; fills in the pin's serial. */
static bool step_token(
	const struct step *step, struct member_pin *pin, bool may_initialise, struct complaint *complaint)
{
	struct frame request, answer;
	bool initialised, done;

	frame_start(&request, FRAME_SETUP_TOKEN);
	frame_put_text(&request, pin->token_serial);
	frame_put_number(&request, may_initialise);
	if (!child_ask(step->child, step->member->name, &request, FRAME_TOKEN_FOUND, &answer, complaint))
		return false;
	done = answer_token(&answer, pin->token_serial, &initialised) ||
	       complain(complaint, "%s: a malformed answer", step->member->name);
	frame_clear(&answer);
	if (done && initialised)
		say(step->setup, step->member->name, "token %s initialised, serial %s", step->member->token,
			pin->token_serial);
	else if (done && may_initialise)
		say(step->setup, step->member->name, "token %s found, serial %s", step->member->token,
			pin->token_serial);
	return done;
}

/* Finds the pinned key, or makes one; fills in its id. */
static bool step_key(const struct step *step, struct member_pin *pin, struct complaint *complaint)
{
	struct frame request, answer;
	bool was_pinned = pin->key_id[0] != '\0', generated, done;

	frame_start(&request, FRAME_SETUP_KEY);
	frame_put_number(&request, pin->generation);
	frame_put_text(&request, pin->key_id);
	if (!child_ask(step->child, step->member->name, &request, FRAME_KEY_FOUND, &answer, complaint))
		return false;
	done = answer_key(&answer, pin->key_id, &generated) ||
	       complain(complaint, "%s: a malformed answer", step->member->name);
	frame_clear(&answer);
	if (done && !was_pinned)
		say(step->setup, step->member->name, "key-encryption key %s %s, generation %u", pin->key_id,
			generated ? "generated" : "found", pin->generation);
	return done;
}

static bool step_iv(const struct step *step, struct member_pin *pin, struct complaint *complaint)
{
	struct frame request, answer;
	bool done;

	frame_start(&request, FRAME_SETUP_IV);
	if (!child_ask(step->child, step->member->name, &request, FRAME_IV_FOUND, &answer, complaint))
		return false;
	done = answer_iv(&answer, &pin->iv_mode) ||
	       complain(complaint, "%s: a malformed answer", step->member->name);
	frame_clear(&answer);
	if (done)
		say(step->setup, step->member->name, "%s (found by experiment)", iv_mode_text(pin->iv_mode));
	return done;
}

static bool text_copy(char *to, size_t size, const char *text)
{
	size_t length = strlen(text);

	if (length >= size)
		return false;
	memcpy(to, text, length + 1);
	return true;
}

/* Out of an answer, into an envelope that the caller clears. */
static bool envelope_take(const struct frame *answer, const struct member_pin *pin, struct envelope *envelope,
	struct complaint *complaint)
{
	struct answer_envelope made;

	if (!answer_envelope(answer, &made))
		return complain(complaint, "%s: a malformed answer", pin->member);
	envelope->text = malloc(made.text.length);
	if (envelope->text == NULL)
		return complain(complaint, "memory is out");
	memcpy(envelope->nonce, made.nonce, sizeof(envelope->nonce));
	memcpy(envelope->text, made.text.data, made.text.length);
	envelope->text_length = made.text.length;
	envelope->n_wraps = 1;
	memcpy(envelope->wraps[0].member, pin->member, sizeof(pin->member));
	envelope->wraps[0].generation = pin->generation;
	memcpy(envelope->wraps[0].bytes, made.wrap.data, made.wrap.length);
	envelope->wraps[0].length = made.wrap.length;
	return true;
}

/* A request for a new envelope of the name, kind and version that *envelope has. */
static void wanted_put(
	struct frame *request, enum frame_type type, enum iv_mode mode, const struct envelope *envelope)
{
	frame_start(request, type);
	frame_put_number(request, mode);
	frame_put_text(request, envelope->name);
	frame_put_text(request, envelope->kind);
	frame_put_number(request, envelope->version);
}

/* Does it open? */
static bool own_prove(const struct step *step, const struct member_pin *pin, const struct envelope *envelope,
	struct complaint *complaint)
{
	const struct wrap *wrap = envelope_wrap(envelope, pin);
	struct frame request, answer;

	if (wrap == NULL)
		return complain(
			complaint, "%s: the %s is not sealed to its key", pin->member, envelope->name);
	frame_start(&request, FRAME_SETUP_PROVE);
	frame_put_number(&request, pin->iv_mode);
	frame_put_envelope(&request, envelope, wrap);
	if (!child_ask(step->child, pin->member, &request, FRAME_DONE, &answer, complaint))
		return false;
	frame_clear(&answer);
	return true;
}

/* Has the member make the envelope whose name, kind and version are filled in, and stores it. */
static bool own_make(const struct step *step, const struct member_pin *pin, struct envelope *envelope,
	struct complaint *complaint)
{
	struct frame request, answer;
	struct reason reason;
	bool taken;

	wanted_put(&request, FRAME_SETUP_MAKE, pin->iv_mode, envelope);
	if (!child_ask(step->child, pin->member, &request, FRAME_ENVELOPE, &answer, complaint))
		return false;
	taken = envelope_take(&answer, pin, envelope, complaint);
	frame_clear(&answer);
	if (!taken)
		return false;
	if (store_envelope_put(step->setup->store, envelope, step->setup->actor, NULL, &reason) != OK)
		return complain(complaint, "the %s cannot be stored: %s", envelope->name, reason.text);
	return true;
}

/* One of the vault's own two envelopes, canary or node, which are of the kind of their name: there, and it
 * opens; or made now. */
static bool step_own(
	const struct step *step, const struct member_pin *pin, const char *name, struct complaint *complaint)
{
	struct envelope envelope = { .version = 1 };
	struct reason reason;
	enum outcome outcome = store_envelope_get(step->setup->store, name, 1, &envelope, &reason);
	bool there = outcome == OK, done = false;

	if (there) {
		done = own_prove(step, pin, &envelope, complaint);
	} else if (outcome == REFUSED && strcmp(reason.code, REASON_NOT_FOUND) == 0) {
		envelope = (struct envelope){ .version = 1 };
		text_copy(envelope.name, sizeof(envelope.name), name);
		text_copy(envelope.kind, sizeof(envelope.kind), name);
		done = own_make(step, pin, &envelope, complaint);
	} else {
		complain(complaint, "%s", reason.text);
	}
	if (done)
		say(step->setup, pin->member, "%s %s", name, there ? "opens" : "stored");
	envelope_clear(&envelope);
	return done;
}

/* ---- apply */

/* *pinned: whether this member was set up before. */
static bool pin_get(const struct setup *setup, const struct vault_file_member *member, struct member_pin *pin,
	bool *pinned, struct complaint *complaint)
{
	struct reason reason;
	enum outcome outcome = store_member_get(setup->store, member->name, pin, &reason);

	*pinned = outcome == OK;
	if (outcome == OK && strcmp(pin->vault, setup->file->id) != 0)
		return complain(complaint, "%s is pinned as a member of the vault %s; this file says %s",
			member->name, pin->vault, setup->file->id);
	if (outcome == OK)
		return true;
	if (outcome != REFUSED || strcmp(reason.code, REASON_NOT_FOUND) != 0)
		return complain(complaint, "%s", reason.text);
	*pin = (struct member_pin){ .generation = 1 };
	text_copy(pin->vault, sizeof(pin->vault), setup->file->id);
	text_copy(pin->member, sizeof(pin->member), member->name);
	return true;
}

/* A store that already has a vault takes no new member in this version: its secrets are not sealed to it. */
static bool store_is_new(const struct setup *setup, const char *member, struct complaint *complaint)
{
	struct envelope envelope = { .version = 1 };
	struct reason reason;
	enum outcome outcome = store_envelope_get(setup->store, "canary", 0, &envelope, &reason);

	if (outcome == OK) {
		envelope_clear(&envelope);
		return complain(complaint,
			"the store holds another member's vault, and %s is not in it: use that member's name "
			"and token, or an "
			"empty store",
			member);
	}
	return (outcome == REFUSED && strcmp(reason.code, REASON_NOT_FOUND) == 0) ||
	       complain(complaint, "%s", reason.text);
}

/* Everything up to the pin; the pin is stored before anything is sealed to the key that it names. */
static bool member_pin_make(const struct step *step, struct member_pin *pin, struct complaint *complaint)
{
	struct reason reason;

	if (!step_token(step, pin, true, complaint) || !step_key(step, pin, complaint) ||
		!step_iv(step, pin, complaint))
		return false;
	if (store_member_put(step->setup->store, pin, step->setup->actor, &reason) != OK)
		return complain(complaint, "%s cannot be pinned: %s", pin->member, reason.text);
	return true;
}

static bool member_apply(
	const struct setup *setup, const struct vault_file_member *member, struct complaint *complaint)
{
	struct child child;
	const struct step step = { setup, member, &child };
	struct member_pin pin;
	bool pinned = false, done = false;

	if (!pin_get(setup, member, &pin, &pinned, complaint) ||
		(!pinned && !store_is_new(setup, member->name, complaint)) ||
		!child_start(&child, setup, member->name, -1, complaint))
		return false;
	if (pinned) {
		if (!step_token(&step, &pin, false, complaint) || !step_key(&step, &pin, complaint))
			goto out;
		say(setup, member->name, "token %s and its key are those that were pinned", member->token);
	} else if (!member_pin_make(&step, &pin, complaint)) {
		goto out;
	}
	done = step_own(&step, &pin, "canary", complaint) && step_own(&step, &pin, "node", complaint);
out:
	child_end(&child);
	return done;
}

bool vault_apply(const struct setup *setup, struct complaint *complaint)
{
	for (unsigned i = 0; i < setup->file->n_members; i++)
		if (!member_apply(setup, &setup->file->members[i], complaint))
			return false;
	return true;
}

/* ---- status */

/* A started process whose token and key are the pinned ones. */
static bool member_start(const struct setup *setup, const struct vault_file_member *member, int input,
	struct child *child, struct member_pin *pin, struct complaint *complaint)
{
	const struct step step = { setup, member, child };
	bool pinned = false;

	if (!pin_get(setup, member, pin, &pinned, complaint))
		return false;
	if (!pinned)
		return complain(complaint, "%s: not set up yet: run `vouchsafe vault apply`", member->name);
	if (!child_start(child, setup, member->name, input, complaint))
		return false;
	if (step_token(&step, pin, false, complaint) && step_key(&step, pin, complaint))
		return true;
	child_end(child);
	return false;
}

static bool member_status(
	const struct setup *setup, const struct vault_file_member *member, struct complaint *complaint)
{
	struct child child;
	const struct step step = { setup, member, &child };
	struct envelope canary = { .version = 1 };
	struct member_pin pin;
	struct reason reason;
	bool well = false;

	if (!member_start(setup, member, -1, &child, &pin, complaint))
		return false;
	if (store_envelope_get(setup->store, "canary", 0, &canary, &reason) == OK) {
		well = own_prove(&step, &pin, &canary, complaint);
		envelope_clear(&canary);
	} else {
		complain(complaint, "%s: %s: run `vouchsafe vault apply`", member->name, reason.text);
	}
	child_end(&child);
	if (well)
		say(setup, member->name, "token %s (serial %s), key %s, generation %u, %s: canary opens",
			member->token, pin.token_serial, pin.key_id, pin.generation,
			iv_mode_text(pin.iv_mode));
	return well;
}

bool vault_status(const struct setup *setup, struct complaint *complaint)
{
	bool well = true;

	for (unsigned i = 0; i < setup->file->n_members; i++)
		if (!member_status(setup, &setup->file->members[i], complaint)) {
			if (setup->said != NULL)
				setup->said(setup->context, complaint->text);
			well = false;
		}
	return well;
}

/* ---- secrets */

static bool put_fits(const struct secret_put *put, struct complaint *complaint)
{
	if (!secret_name_valid(put->name))
		return complain(complaint, "not a secret's name; write [a-z0-9][a-z0-9-]{0,62} (node and "
					   "canary are the vault's own)");
	return secret_kind_valid(put->kind) ||
	       complain(complaint, "%s: no such kind; pin, private-key, certificate or opaque", put->kind);
}

/* The value goes from the input to the member; what comes back is the envelope. */
static bool put_ask(const struct step *step, const struct member_pin *pin, struct envelope *envelope,
	struct complaint *complaint)
{
	struct frame request, answer;
	bool taken;

	wanted_put(&request, FRAME_SETUP_PUT, pin->iv_mode, envelope);
	if (frame_send(step->child->socket, &request, frame_clock() + STEP_SECONDS * 1000000000LL) !=
		FRAME_OK) {
		frame_clear(&request);
		return complain(complaint, "%s: the process that was started for it has ended", pin->member);
	}
	frame_clear(&request);
	/* somebody may be typing */
	if (!child_hear(step->child, pin->member, 0, FRAME_INPUT_READ, &answer, complaint))
		return false;
	frame_clear(&answer);
	if (!child_hear(step->child, pin->member, STEP_SECONDS, FRAME_ENVELOPE, &answer, complaint))
		return false;
	taken = envelope_take(&answer, pin, envelope, complaint);
	frame_clear(&answer);
	return taken;
}

bool vault_secret_put(const struct setup *setup, const struct secret_put *put, unsigned *version,
	struct complaint *complaint)
{
	const struct vault_file_member *member = &setup->file->members[0];
	struct child child;
	const struct step step = { setup, member, &child };
	struct envelope envelope = { .version = 0 };
	struct member_pin pin;
	struct reason reason = { "", "" };
	bool stored = false;

	if (!put_fits(put, complaint) || !text_copy(envelope.name, sizeof(envelope.name), put->name) ||
		!text_copy(envelope.kind, sizeof(envelope.kind), put->kind))
		return false;
	if (store_next_version(setup->store, put->name, &envelope.version, &reason) != OK)
		return complain(complaint, "%s", reason.text);
	if (!member_start(setup, member, put->input, &child, &pin, complaint))
		return false;
	if (!put_ask(&step, &pin, &envelope, complaint))
		goto out;
	if (store_envelope_put(setup->store, &envelope, setup->actor, put->comment, &reason) != OK) {
		complain(complaint, "%s", reason.text);
		goto out;
	}
	*version = envelope.version;
	stored = true;
out:
	child_end(&child);
	envelope_clear(&envelope);
	return stored;
}
