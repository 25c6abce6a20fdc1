/* Setting up and storing. A new secret's plaintext comes by a file descriptor straight into locked memory, or
 * is random bytes made here, and leaves only as an envelope. Must never answer with a plaintext. */
#include "vault/setup_member.h"
#include "vault/envelope_crypto.h"
#include "vault/head.h"
#include "vault/log.h"
#include "vault/request.h"
#include "vault/sign.h"
#include "vault/token.h"
#include "vault/wrap.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct setup_member {
	const struct vault_file *file;
	const struct vault_file_member *self;
	const struct so_pin *so_pin;
	struct token *token;
	struct token_session *session; /* on the chosen key */
	unsigned generation; /* of that key; 0: none chosen */
	int socket;
};

#define ANSWER_SECONDS 10

/* ---- the token */

static bool log_in(struct setup_member *setup, const struct pin *pin, struct complaint *complaint)
{
	const struct vault_file_member *self = setup->self;
	struct complaint unmarked;
	enum token_login login;

	if (!pin_untried(pin, self->pin_file, self->socket, complaint))
		return false;
	login = token_login(setup->token, (struct bytes){ pin->data, pin->length }, complaint);
	if (login == LOGIN_PIN_REFUSED && !pin_mark_refused(pin, self->socket)) {
		unmarked = *complaint;
		complain(complaint,
			"%.400s; no mark could be left beside %s, so do not try again before it is right",
			unmarked.text, self->socket);
	}
	return login == LOGIN_OK;
}

void so_pin_read(struct so_pin *so_pin, const struct vault_file_member *self)
{
	if (!self->init_if_blank)
		complain(&so_pin->why, "\"init\": \"if-blank\" and a so_pin_file in the vault file would "
				       "have it initialised");
	else if (pin_read(self->so_pin_file, &so_pin->pin, &so_pin->why))
		so_pin->why.text[0] = '\0';
}

static bool initialise(struct setup_member *setup, const struct pin *pin, struct complaint *complaint)
{
	const struct pin *so_pin = &setup->so_pin->pin;

	if (so_pin->data == NULL)
		return complain(complaint, "no token has the label %s, and one is blank: %.400s",
			setup->self->token, setup->so_pin->why.text);
	return token_initialise(setup->token, setup->self->token,
		       (struct bytes){ so_pin->data, so_pin->length },
		       (struct bytes){ pin->data, pin->length }, complaint) &&
	       token_find(setup->token, setup->self->token, "", complaint) == TOKEN_THERE;
}

static bool token_open(struct setup_member *setup, const char *serial, bool may_initialise, bool *initialised,
	struct complaint *complaint)
{
	struct pin pin;
	bool opened = false;

	if (setup->token == NULL)
		setup->token = token_load(setup->self->module, complaint);
	if (setup->token == NULL || !pin_read(setup->self->pin_file, &pin, complaint))
		return false;
	switch (token_find(setup->token, setup->self->token, serial, complaint)) {
	case TOKEN_NOT_THERE:
		goto out;
	case TOKEN_BLANK:
		if (!may_initialise) {
			complain(complaint, "no token has the label %s", setup->self->token);
			goto out;
		}
		if (!initialise(setup, &pin, complaint))
			goto out;
		*initialised = true;
		break;
	case TOKEN_THERE:
		break;
	}
	opened = log_in(setup, &pin, complaint);
out:
	pin_clear(&pin);
	return opened;
}

static bool on_token(struct setup_member *setup, struct frame_reader *reader, struct frame *answer,
	struct complaint *complaint)
{
	char serial[SERIAL_SIZE];
	bool initialised = false, may_initialise;

	frame_take_text(reader, serial, sizeof(serial));
	may_initialise = frame_take_number(reader, 0, 1);
	if (!frame_finished(reader))
		return complain(complaint, "a malformed request");
	if (!token_open(setup, serial, may_initialise, &initialised, complaint))
		return false;
	frame_start(answer, FRAME_TOKEN_FOUND);
	frame_put_text(answer, token_serial(setup->token));
	frame_put_number(answer, initialised);
	return true;
}

static bool on_key(struct setup_member *setup, struct frame_reader *reader, struct frame *answer,
	struct complaint *complaint)
{
	char key_id[KEY_ID_SIZE], label[96];
	unsigned generation = frame_take_number(reader, 1, UINT32_MAX);
	bool generated = false;

	frame_take_text(reader, key_id, sizeof(key_id));
	if (!frame_finished(reader) || setup->token == NULL || setup->session != NULL)
		return complain(complaint, "a malformed request");
	setup->session = token_session_open(setup->token, complaint);
	if (setup->session == NULL)
		return false;
	snprintf(label, sizeof(label), "vouchsafe %s %u", setup->file->id, generation);
	if (key_id[0] != '\0') {
		if (!token_key_choose(setup->session, key_id, complaint))
			return false;
	} else if (!token_key_of_label(setup->session, label, key_id)) {
		/* none that an interrupted set-up left behind */
		if (!token_key_generate(setup->session, label, key_id, complaint))
			return false;
		generated = true;
	}
	setup->generation = generation;
	frame_start(answer, FRAME_KEY_FOUND);
	frame_put_text(answer, key_id);
	frame_put_number(answer, generated);
	return true;
}

static bool on_iv(struct setup_member *setup, struct frame_reader *reader, struct frame *answer,
	struct complaint *complaint)
{
	enum iv_mode mode;

	if (!frame_finished(reader) || setup->generation == 0)
		return complain(complaint, "a malformed request");
	if (!iv_mode_find(setup->session, &mode, complaint))
		return false;
	frame_start(answer, FRAME_IV_FOUND);
	frame_put_number(answer, mode);
	return true;
}

/* ---- what it signs */

static bool on_signer(struct setup_member *setup, struct frame_reader *reader, struct frame *answer,
	struct complaint *complaint)
{
	char key_id[KEY_ID_SIZE], label[SIGNER_LABEL_SIZE];
	unsigned char spki[TOKEN_PUBLIC_BYTES];
	bool generated = false;

	frame_take_text(reader, key_id, sizeof(key_id));
	if (!frame_finished(reader) || setup->generation == 0)
		return complain(complaint, "a malformed request");
	signer_label(setup->file, label);
	if (key_id[0] != '\0') {
		if (!token_signer_choose(setup->session, key_id, label, complaint))
			return false;
	} else if (!token_signer_of_label(setup->session, label, key_id)) {
		/* none that an interrupted set-up left behind */
		if (!token_signer_generate(setup->session, label, key_id, complaint))
			return false;
		generated = true;
	}
	if (!token_signer_public(setup->session, spki, complaint))
		return false;
	frame_start(answer, FRAME_SIGNER_FOUND);
	frame_put_text(answer, key_id);
	frame_put_bytes(answer, (struct bytes){ spki, sizeof(spki) });
	frame_put_number(answer, generated);
	return true;
}

static bool on_last(struct setup_member *setup, struct frame_reader *reader, struct frame *answer,
	struct complaint *complaint)
{
	static const enum last lasts[] = {
		[HEAD_NONE] = LAST_NONE, [HEAD_FOUND] = LAST_SIGNED, [HEAD_UNREADABLE] = LAST_UNREADABLE
	};
	struct head_folder folder;
	struct head_state state;
	enum head_found found;

	if (!frame_finished(reader) || setup->generation == 0)
		return complain(complaint, "a malformed request");
	if (!head_open(&folder, setup->file->state, setup->file->id, setup->self->name, complaint))
		return false;
	found = head_load(&folder, &state, complaint);
	head_close(&folder);
	frame_start(answer, FRAME_LAST_IS);
	frame_put_number(answer, lasts[found]);
	frame_put_head(answer, &state.head);
	return true;
}

/* The new head first among what it remembers, the one that it gives up behind it. */
static void head_accept(
	struct head_state *state, enum head_found found, const struct signed_head *head, long long now_us)
{
	unsigned kept = state->n_former < HEAD_FORMER_MAX ? state->n_former : HEAD_FORMER_MAX - 1;

	memmove(&state->former[1], &state->former[0], kept * sizeof(state->former[0]));
	state->former[0] = (struct head_former){ .accepted_us = now_us };
	if (found == HEAD_FOUND)
		state->former[0].head = state->head;
	state->n_former = kept + 1;
	state->head = *head;
}

static bool on_accept(struct setup_member *setup, struct frame_reader *reader, struct frame *answer,
	struct complaint *complaint)
{
	struct head_folder folder;
	struct head_state state;
	struct signed_head head;
	enum head_found found;
	long long now_us;
	bool accepted;

	frame_take_head(reader, &head, false);
	now_us = frame_take_long(reader, 0, HEAD_TIME_MAX);
	if (!frame_finished(reader) || setup->generation == 0)
		return complain(complaint, "a malformed request");
	if (!head_open(&folder, setup->file->state, setup->file->id, setup->self->name, complaint))
		return false;
	found = head_load(&folder, &state, complaint);
	accepted = found != HEAD_UNREADABLE || head_set_aside(&folder, complaint);
	if (accepted) {
		head_accept(&state, found, &head, now_us);
		accepted = head_store(&folder, &state, complaint);
	}
	head_close(&folder);
	if (accepted)
		frame_start(answer, FRAME_DONE);
	return accepted;
}

/* ---- envelopes */

/* Seals and wraps, and opens the wrap again before anyone relies on it. */
static bool make_envelope(struct setup_member *setup, enum iv_mode mode, const struct envelope_label *label,
	struct bytes plain, struct frame *answer, struct complaint *complaint)
{
	unsigned char nonce[NONCE_BYTES], wrap[WRAP_MAX], *text = malloc(plain.length + TAG_BYTES);
	unsigned char *keys = OPENSSL_secure_malloc(
		2 * DATA_KEY_BYTES); /* the key, and what its wrap opens to */
	size_t wrap_length = 0;
	struct aad aad;
	bool made = false;

	complain(complaint, "the envelope cannot be made");
	wrap_aad(label, setup->self->name, setup->generation, &aad);
	if (text == NULL || keys == NULL || RAND_priv_bytes(keys, DATA_KEY_BYTES) != 1 ||
		!envelope_seal(label, keys, plain, nonce, text))
		goto out;
	if (!wrap_seal(setup->session, mode, (struct bytes){ aad.data, aad.length }, keys, wrap, &wrap_length,
		    complaint) ||
		!wrap_open(setup->session, mode, (struct bytes){ aad.data, aad.length },
			(struct bytes){ wrap, wrap_length }, keys + DATA_KEY_BYTES, complaint))
		goto out;
	if (CRYPTO_memcmp(keys, keys + DATA_KEY_BYTES, DATA_KEY_BYTES) != 0) {
		complain(complaint, "the token's wrap opens to another key");
		goto out;
	}
	frame_start(answer, FRAME_ENVELOPE);
	frame_put_bytes(answer, (struct bytes){ nonce, sizeof(nonce) });
	frame_put_bytes(answer, (struct bytes){ text, plain.length + TAG_BYTES });
	frame_put_bytes(answer, (struct bytes){ wrap, wrap_length });
	made = true;
out:
	OPENSSL_secure_clear_free(keys, 2 * DATA_KEY_BYTES);
	free(text);
	return made;
}

struct wanted {
	enum iv_mode mode;
	char name[NAME_SIZE], kind[KIND_SIZE];
	unsigned version;
};

static bool wanted_take(struct setup_member *setup, struct frame_reader *reader, struct wanted *wanted)
{
	wanted->mode = iv_mode_take(reader);
	frame_take_text(reader, wanted->name, sizeof(wanted->name));
	frame_take_text(reader, wanted->kind, sizeof(wanted->kind));
	wanted->version = frame_take_number(reader, 1, UINT32_MAX);
	return frame_finished(reader) && setup->generation != 0 && name_valid(wanted->name);
}

static bool on_make(struct setup_member *setup, struct frame_reader *reader, struct frame *answer,
	struct complaint *complaint)
{
	struct wanted wanted;
	struct envelope_label label;
	unsigned char *plain;
	bool made = false;

	if (!wanted_take(setup, reader, &wanted) ||
		(strcmp(wanted.kind, "node") != 0 && strcmp(wanted.kind, "canary") != 0))
		return complain(complaint, "a malformed request");
	plain = OPENSSL_secure_malloc(DATA_KEY_BYTES);
	if (plain == NULL || RAND_priv_bytes(plain, DATA_KEY_BYTES) != 1) {
		complain(complaint, "no random bytes, or no locked memory");
		goto out;
	}
	label = (struct envelope_label){ setup->file->id, wanted.name, wanted.kind, wanted.version };
	made = make_envelope(
		setup, wanted.mode, &label, (struct bytes){ plain, DATA_KEY_BYTES }, answer, complaint);
out:
	OPENSSL_secure_clear_free(plain, DATA_KEY_BYTES);
	return made;
}

/* Until the input's end; one byte too many is read, to know. */
static bool input_read(unsigned char *value, size_t *length, struct complaint *complaint)
{
	ssize_t n;

	*length = 0;
	for (;;) {
		n = read(SETUP_INPUT, value + *length, SECRET_BYTES_MAX + 1 - *length);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return complain(complaint, "the value cannot be read: %s", strerror(errno));
		if (n == 0)
			return true;
		*length += (size_t)n;
		if (*length > SECRET_BYTES_MAX)
			return complain(complaint, "the value is longer than %d bytes", SECRET_BYTES_MAX);
	}
}

static bool input_told(struct setup_member *setup)
{
	struct frame told;
	bool sent;

	frame_start(&told, FRAME_INPUT_READ);
	sent = frame_send(setup->socket, &told, frame_clock() + ANSWER_SECONDS * 1000000000LL) == FRAME_OK;
	frame_clear(&told);
	return sent;
}

static bool on_put(struct setup_member *setup, struct frame_reader *reader, struct frame *answer,
	struct complaint *complaint)
{
	struct wanted wanted;
	struct envelope_label label;
	unsigned char *value = NULL;
	size_t length = 0;
	bool made = false;

	if (!wanted_take(setup, reader, &wanted) || !secret_kind_valid(wanted.kind))
		return complain(complaint, "a malformed request");
	value = OPENSSL_secure_malloc(SECRET_BYTES_MAX + 1);
	if (value == NULL)
		return complain(complaint, "locked memory is out");
	if (!input_read(value, &length, complaint))
		goto out;
	if (strcmp(wanted.kind, "pin") == 0 && length > 0 && value[length - 1] == '\n')
		length--;
	if (length == 0) {
		complain(complaint, "the value is empty");
		goto out;
	}
	label = (struct envelope_label){ setup->file->id, wanted.name, wanted.kind, wanted.version };
	made = input_told(setup) &&
	       make_envelope(setup, wanted.mode, &label, (struct bytes){ value, length }, answer, complaint);
out:
	OPENSSL_secure_clear_free(value, SECRET_BYTES_MAX + 1);
	return made;
}

static bool on_prove(struct setup_member *setup, struct frame_reader *reader, struct frame *answer,
	struct complaint *complaint)
{
	struct item item;
	struct envelope_label label;
	unsigned char *secret = NULL; /* the key, then the plaintext */
	enum iv_mode mode = iv_mode_take(reader);
	struct aad aad;
	bool opened = false;

	item_take(reader, &item);
	if (!frame_finished(reader) || setup->generation == 0)
		return complain(complaint, "a malformed request");
	secret = OPENSSL_secure_malloc(DATA_KEY_BYTES + SECRET_BYTES_MAX);
	if (secret == NULL)
		return complain(complaint, "locked memory is out");
	label = (struct envelope_label){ setup->file->id, item.name, item.kind, item.version };
	wrap_aad(&label, setup->self->name, setup->generation, &aad);
	if (!wrap_open(setup->session, mode, (struct bytes){ aad.data, aad.length }, item.wrap, secret,
		    complaint))
		goto out;
	opened = envelope_open(&label, secret, item.nonce, item.text, secret + DATA_KEY_BYTES);
	if (!opened)
		complain(complaint, "the envelope %s version %u is not what was sealed", item.name,
			item.version);
	else
		frame_start(answer, FRAME_DONE);
out:
	OPENSSL_secure_clear_free(secret, DATA_KEY_BYTES + SECRET_BYTES_MAX);
	return opened;
}

/* ---- the conversation */

typedef bool handler(struct setup_member *, struct frame_reader *, struct frame *answer, struct complaint *);

static handler *handler_of(enum frame_type type)
{
	switch (type) {
	case FRAME_SETUP_TOKEN:
		return on_token;
	case FRAME_SETUP_KEY:
		return on_key;
	case FRAME_SETUP_IV:
		return on_iv;
	case FRAME_SETUP_MAKE:
		return on_make;
	case FRAME_SETUP_PUT:
		return on_put;
	case FRAME_SETUP_PROVE:
		return on_prove;
	case FRAME_SETUP_SIGNER:
		return on_signer;
	case FRAME_SETUP_LAST:
		return on_last;
	case FRAME_SETUP_ACCEPT:
		return on_accept;
	default:
		return NULL;
	}
}

static bool say(int socket, struct frame *frame)
{
	bool sent = frame_send(socket, frame, frame_clock() + ANSWER_SECONDS * 1000000000LL) == FRAME_OK;

	frame_clear(frame);
	return sent;
}

static bool say_error(int socket, const char *why)
{
	struct frame frame;

	frame_start_error(&frame, ERROR_REQUEST, why);
	return say(socket, &frame);
}

void setup_refuse(int socket, const char *why)
{
	if (!say_error(socket, why))
		log_line(LOG_ERROR, "not-started", "text", why, NULL);
}

static bool answer_one(struct setup_member *setup, const struct frame *request)
{
	handler *handle = handler_of(request->type);
	struct frame_reader reader = frame_read(request);
	struct frame answer = { .failed = true };
	struct complaint complaint = { "a member process for set-up does not know this request" };

	if (handle != NULL && handle(setup, &reader, &answer, &complaint))
		return say(setup->socket, &answer);
	frame_clear(&answer);
	return say_error(setup->socket, complaint.text);
}

int setup_serve(int socket, const struct vault_file *file, const struct vault_file_member *self,
	const struct so_pin *so_pin)
{
	struct setup_member setup = { .file = file, .self = self, .so_pin = so_pin, .socket = socket };
	struct frame frame;
	bool go_on;

	frame_start(&frame, FRAME_DONE); /* we are here */
	go_on = say(socket, &frame);
	while (go_on && frame_receive(socket, &frame, 0) == FRAME_OK) {
		go_on = answer_one(&setup, &frame);
		frame_clear(&frame);
	}
	token_session_close(setup.session);
	token_close(setup.token);
	return go_on ? 0 : 1;
}
