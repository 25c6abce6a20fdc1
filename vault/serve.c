/* What a serving member does when asked. It opens an envelope only to seal it again to the recipient, with
 * the one exception of the node key, and must never answer with anything else that it unsealed. */
#include "vault/serve.h"
#include "vault/cms_seal.h"
#include "vault/envelope_crypto.h"
#include "vault/log.h"
#include "vault/payload.h"
#include "vault/pin.h"
#include "vault/sign.h"
#include "vault/wrap.h"
#include "verifier/encoding.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the token */

/* Reads the PIN anew and tries it, once; a refused one is marked, and never tried again. */
static bool log_in(struct service *service, struct complaint *complaint)
{
	const struct vault_file_member *self = service->self;
	enum token_login login = LOGIN_FAILED;
	struct pin pin;

	if (service->pin_refused)
		return complain(complaint, "the token has refused the PIN, and it is not tried again");
	if (!pin_read(self->pin_file, &pin, complaint))
		return false;
	if (!pin_untried(&pin, self->pin_file, self->socket, complaint)) {
		service->pin_refused = true;
		goto out;
	}
	login = token_login(service->token, (struct bytes){ pin.data, pin.length }, complaint);
	if (login == LOGIN_PIN_REFUSED) {
		service->pin_refused = true;
		if (!pin_mark_refused(&pin, self->socket))
			log_line(LOG_ERROR, "pin-not-marked", "member", self->name, "socket", self->socket,
				"mend", "do not start this again before the PIN is right", NULL);
	}
out:
	pin_clear(&pin);
	return login == LOGIN_OK;
}

bool service_start(struct service *service, const struct vault_file *file,
	const struct vault_file_member *self, struct complaint *complaint)
{
	*service = (struct service){ .file = file, .self = self, .canary = { .failed = true } };
	pthread_mutex_init(&service->lock, NULL);
	if (!cms_seal_ready())
		return complain(complaint, "OpenSSL does not seal: memory is out");
	if (!sign_start(service, complaint))
		return false;
	service->token = token_load(self->module, complaint);
	if (service->token == NULL)
		return false;
	switch (token_find(service->token, self->token, "", complaint)) {
	case TOKEN_THERE:
		return log_in(service, complaint);
	case TOKEN_BLANK:
		return complain(
			complaint, "no token has the label %s yet: run `vouchsafe vault apply`", self->token);
	case TOKEN_NOT_THERE:
		break;
	}
	return false;
}

void service_stop(struct service *service)
{
	frame_clear(&service->canary);
	token_close(service->token);
	service->token = NULL;
	pthread_mutex_destroy(&service->lock);
}

void worker_clear(struct worker *worker)
{
	token_session_close(worker->session);
	OPENSSL_secure_clear_free(worker->value, SECRET_BYTES_MAX);
	worker->session = NULL;
	worker->value = NULL;
}

/* A session on the key that the request means. */
static bool get_ready(struct worker *worker, const struct member_pin *pin, struct complaint *complaint)
{
	if (strcmp(pin->token_serial, token_serial(worker->service->token)) != 0)
		return complain(complaint,
			"the token of that label has another serial number than the one that was pinned");
	if (worker->session == NULL)
		worker->session = token_session_open(worker->service->token, complaint);
	return worker->session != NULL && token_key_choose(worker->session, pin->key_id, complaint);
}

/* ---- envelopes */

static bool open_once(struct worker *worker, const struct member_pin *pin, const struct item *item,
	unsigned char *plain, struct complaint *complaint)
{
	const struct service *service = worker->service;
	const struct envelope_label label = { service->file->id, item->name, item->kind, item->version };
	unsigned char *key = OPENSSL_secure_malloc(DATA_KEY_BYTES);
	struct aad aad;
	bool opened = false;

	if (key == NULL)
		return complain(complaint, "locked memory is out");
	wrap_aad(&label, service->self->name, pin->generation, &aad);
	if (!get_ready(worker, pin, complaint) ||
		!wrap_open(worker->session, pin->iv_mode, (struct bytes){ aad.data, aad.length }, item->wrap,
			key, complaint))
		goto out;
	opened = envelope_open(&label, key, item->nonce, item->text, plain);
	if (!opened)
		complain(complaint, "the envelope %s version %u is not what was sealed", item->name,
			item->version);
out:
	OPENSSL_secure_clear_free(key, DATA_KEY_BYTES);
	return opened;
}

/* Does the canary that opened before open now? */
static bool canary_opens(struct worker *worker, const struct frame *canary)
{
	struct request request;
	struct complaint ignored;
	unsigned char plain[64];
	bool opens = request_read(canary, &request, &ignored) &&
		     request.items[0].text.length <= sizeof(plain) + TAG_BYTES &&
		     open_once(worker, &request.pin, &request.items[0], plain, &ignored);

	OPENSSL_cleanse(plain, sizeof(plain));
	return opens;
}

/* A new session, and where that has no login, a new login. Under the service's lock. */
static bool token_revive(struct worker *worker)
{
	struct complaint complaint = { "" };

	if (worker->session == NULL)
		worker->session = token_session_open(worker->service->token, &complaint);
	else if (token_session_renew(worker->session))
		return true;
	if (!log_in(worker->service, &complaint)) {
		log_line(LOG_ERROR, "token-lost", "member", worker->service->self->name, "text",
			complaint.text, NULL);
		return false;
	}
	return worker->session != NULL && token_session_renew(worker->session);
}

enum opened { OPENED, ENVELOPE_BAD, TOKEN_BAD, TOKEN_DEAD };

/* A bad tag and a dead token answer alike, so after a failure the canary decides. With a canary that does not
 * open any more, after a new session too, the token is dead. */
static enum opened open_again(struct worker *worker, const struct member_pin *pin, const struct item *item,
	unsigned char *plain, struct complaint *complaint)
{
	struct service *service = worker->service;
	enum opened opened = TOKEN_DEAD;

	pthread_mutex_lock(&service->lock);
	if (service->has_canary && canary_opens(worker, &service->canary)) {
		opened = ENVELOPE_BAD;
		goto out;
	}
	if (!token_revive(worker) || (service->has_canary && !canary_opens(worker, &service->canary)))
		goto out;
	if (open_once(worker, pin, item, plain, complaint))
		opened = OPENED;
	else
		opened = service->has_canary ? ENVELOPE_BAD : TOKEN_BAD;
out:
	pthread_mutex_unlock(&service->lock);
	return opened;
}

static enum opened open_item(struct worker *worker, const struct member_pin *pin, const struct item *item,
	unsigned char *plain, struct complaint *complaint)
{
	if (open_once(worker, pin, item, plain, complaint))
		return OPENED;
	return open_again(worker, pin, item, plain, complaint);
}

/* Makes the error's answer; false where the process should end. */
static bool not_opened(enum opened opened, const struct complaint *why, struct frame *answer)
{
	frame_start_error(answer, opened == ENVELOPE_BAD ? ERROR_REQUEST : ERROR_TOKEN, why->text);
	return opened != TOKEN_DEAD;
}

/* ---- the requests */

static bool serve_canary(
	struct worker *worker, const struct frame *frame, const struct request *request, struct frame *answer)
{
	struct service *service = worker->service;
	struct complaint why = { "" };
	unsigned char plain[64];
	enum opened opened = ENVELOPE_BAD;

	if (request->items[0].text.length <= sizeof(plain) + TAG_BYTES)
		opened = open_item(worker, &request->pin, &request->items[0], plain, &why);
	OPENSSL_cleanse(plain, sizeof(plain));
	if (opened != OPENED)
		return not_opened(opened, &why, answer);
	pthread_mutex_lock(&service->lock);
	if (!service->has_canary) {
		frame_start(&service->canary, FRAME_CANARY);
		service->has_canary = frame_copy(&service->canary, frame);
		if (!service->has_canary)
			frame_clear(&service->canary);
	}
	pthread_mutex_unlock(&service->lock);
	frame_start(answer, FRAME_DONE);
	return true;
}

static bool serve_node_key(struct worker *worker, const struct request *request, struct frame *answer)
{
	struct complaint why = { "a node key has 32 bytes" };
	unsigned char *key = OPENSSL_secure_malloc(DATA_KEY_BYTES);
	enum opened opened = ENVELOPE_BAD;
	bool alive = true;

	if (key != NULL && request->items[0].text.length == DATA_KEY_BYTES + TAG_BYTES)
		opened = open_item(worker, &request->pin, &request->items[0], key, &why);
	if (opened == OPENED) {
		frame_start(answer, FRAME_KEY_BYTES);
		frame_put_bytes(answer, (struct bytes){ key, DATA_KEY_BYTES });
		log_line(LOG_INFO, "node-key-given", "member", worker->service->self->name, NULL);
	} else {
		alive = not_opened(opened, &why, answer);
	}
	OPENSSL_secure_clear_free(key, DATA_KEY_BYTES);
	return alive;
}

static bool to_cms(void *seal, struct bytes piece)
{
	return cms_seal_write(seal, piece);
}

/* Every secret in turn: out of its envelope, into the payload, wiped. */
static enum opened put_secrets(
	struct worker *worker, const struct request *request, struct payload *payload, struct complaint *why)
{
	enum opened opened = OPENED;

	for (unsigned i = 0; opened == OPENED && i < request->n_items; i++) {
		const struct item *item = &request->items[i];

		opened = open_item(worker, &request->pin, item, worker->value, why);
		if (opened == OPENED)
			payload_secret(payload, item->name, item->kind, item->version,
				(struct bytes){ worker->value, item->text.length - TAG_BYTES });
		OPENSSL_cleanse(worker->value, item->text.length - TAG_BYTES);
	}
	return opened;
}

/* The member's own line for each seal, on one line; all texts were held to their grammars. */
static void log_seal(struct service *service, const struct request *request)
{
	char secrets[SEAL_ITEMS_MAX * (NAME_SIZE + 12)] = "", hash[HEX_SIZE(32)] = "?";
	char count[24];
	unsigned char digest[32];
	size_t used = 0;

	for (unsigned i = 0; i < request->n_items && used < sizeof(secrets); i++)
		used += (size_t)snprintf(secrets + used, sizeof(secrets) - used, "%s%s:%u", i > 0 ? "," : "",
			request->items[i].name, request->items[i].version);
	if (EVP_Digest(request->recipient.data, request->recipient.length, digest, NULL, EVP_sha256(),
		    NULL) == 1)
		hex_encode((struct bytes){ digest, sizeof(digest) }, hash);
	snprintf(count, sizeof(count), "%lld", atomic_fetch_add(&service->seals, 1) + 1);
	log_line(LOG_INFO, "sealed", "member", service->self->name, "release_id", request->release_id,
		"secrets", secrets, "recipient", hash, "count", count, NULL);
}

static bool serve_seal(struct worker *worker, const struct request *request, struct frame *answer)
{
	const struct payload_head head = { request->release_id, request->instance_id,
		request->acknowledgement, request->assertion_sha256 };
	struct cms_seal *seal = cms_seal_new(request->recipient);
	struct payload *payload = NULL;
	struct complaint why = { "the release could not be sealed" };
	enum opened opened = ENVELOPE_BAD;
	unsigned char *der = NULL;
	size_t length = 0;

	if (worker->value == NULL)
		worker->value = OPENSSL_secure_malloc(SECRET_BYTES_MAX);
	if (seal == NULL)
		complain(&why, "the recipient is no key on P-256");
	else if (worker->value == NULL || (payload = payload_new(to_cms, seal, &head)) == NULL)
		complain(&why, "locked memory is out");
	else
		opened = put_secrets(worker, request, payload, &why);
	if (opened == OPENED && !(payload_finish(payload) && cms_seal_finish(seal, &der, &length)))
		opened = ENVELOPE_BAD;
	payload_free(payload);
	cms_seal_free(seal);
	if (opened != OPENED)
		return not_opened(opened, &why, answer);
	log_seal(worker->service, request);
	frame_start(answer, FRAME_SEALED);
	frame_put_text(answer, request->release_id);
	frame_put_bytes(answer, (struct bytes){ der, length });
	OPENSSL_free(der);
	return true;
}

bool serve(struct worker *worker, const struct frame *frame, struct frame *answer)
{
	struct request request;
	struct complaint why = { "" };

	if (!request_read(frame, &request, &why)) {
		frame_start_error(answer, ERROR_REQUEST, why.text);
		return true;
	}
	switch (request.type) {
	case FRAME_CANARY:
		return serve_canary(worker, frame, &request, answer);
	case FRAME_NODE_KEY:
		return serve_node_key(worker, &request, answer);
	case FRAME_CHECKPOINT:
		serve_checkpoint(worker, &request, answer);
		return true;
	case FRAME_LAST:
		serve_last(worker->service, answer);
		return true;
	default:
		return serve_seal(worker, &request, answer);
	}
}
