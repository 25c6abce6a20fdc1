/* Setting up a vault and storing secrets, for the command line: it starts a member process of its own and
 * keeps in the store what that hands back. Must never see a plaintext, a PIN or a data key. */
#include "vault/setup_child.h"
#include "verifier/reasons.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
		setup_say(step->setup, step->member->name, "token %s initialised, serial %s",
			step->member->token, pin->token_serial);
	else if (done && may_initialise)
		setup_say(step->setup, step->member->name, "token %s found, serial %s", step->member->token,
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
		setup_say(step->setup, step->member->name, "key-encryption key %s %s, generation %u",
			pin->key_id, generated ? "generated" : "found", pin->generation);
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
		setup_say(step->setup, step->member->name, "%s (found by experiment)",
			iv_mode_text(pin->iv_mode));
	return done;
}

/* The key pair for checkpoints: the pinned one, or one that is made and pinned now. */
static bool step_signer(const struct step *step, struct complaint *complaint)
{
	const char *member = step->member->name;
	struct signer pinned, found;
	struct frame request, answer;
	struct reason reason;
	enum outcome outcome = store_signer_get(step->setup->store, member, &pinned, &reason);
	bool generated, taken;

	if (outcome != OK && (outcome != REFUSED || strcmp(reason.code, REASON_NOT_FOUND) != 0))
		return complain(complaint, "%s", reason.text);
	frame_start(&request, FRAME_SETUP_SIGNER);
	frame_put_text(&request, outcome == OK ? pinned.key_id : "");
	if (!child_ask(step->child, member, &request, FRAME_SIGNER_FOUND, &answer, complaint))
		return false;
	taken = answer_signer(&answer, &found, &generated);
	frame_clear(&answer);
	if (!taken)
		return complain(complaint, "%s: a malformed answer", member);
	if (outcome == OK)
		return memcmp(found.public_key, pinned.public_key, sizeof(found.public_key)) == 0 ||
		       complain(complaint, "%s: the public key of %s is not the one that was pinned", member,
			       found.key_id);
	snprintf(found.member, sizeof(found.member), "%s", member);
	if (store_signer_put(step->setup->store, &found, step->setup->actor, &reason) != OK)
		return complain(
			complaint, "%s: its key for checkpoints cannot be pinned: %s", member, reason.text);
	setup_say(step->setup, member, "key for checkpoints %s %s", found.key_id,
		generated ? "generated" : "found");
	return true;
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
		setup_say(step->setup, pin->member, "%s %s", name, there ? "opens" : "stored");
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
		setup_say(setup, member->name, "token %s and its key are those that were pinned",
			member->token);
	} else if (!member_pin_make(&step, &pin, complaint)) {
		goto out;
	}
	done = step_signer(&step, complaint) && step_own(&step, &pin, "canary", complaint) &&
	       step_own(&step, &pin, "node", complaint);
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

bool member_start(const struct setup *setup, const struct vault_file_member *member, int input,
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
		setup_say(setup, member->name,
			"token %s (serial %s), key %s, generation %u, %s: canary opens", member->token,
			pin.token_serial, pin.key_id, pin.generation, iv_mode_text(pin.iv_mode));
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
