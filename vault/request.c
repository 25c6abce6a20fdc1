/* Strict reading of what vouchsafed asks of a member. Texts end up in the member's log, so each is held to
 * its grammar here. */
#include "vault/request.h"

#include <string.h>

enum iv_mode iv_mode_take(struct frame_reader *reader)
{
	return frame_take_number(reader, IV_HOST, IV_FILLED);
}

void pin_take(struct frame_reader *reader, struct member_pin *pin)
{
	frame_take_text(reader, pin->token_serial, sizeof(pin->token_serial));
	pin->generation = frame_take_number(reader, 1, UINT32_MAX);
	frame_take_text(reader, pin->key_id, sizeof(pin->key_id));
	pin->iv_mode = iv_mode_take(reader);
}

void item_take(struct frame_reader *reader, struct item *item)
{
	frame_take_text(reader, item->name, sizeof(item->name));
	frame_take_text(reader, item->kind, sizeof(item->kind));
	item->version = frame_take_number(reader, 1, UINT32_MAX);
	frame_take_copy(reader, item->nonce, sizeof(item->nonce));
	item->text = frame_take_bytes(reader, TAG_BYTES + 1, SECRET_BYTES_MAX + TAG_BYTES);
	item->wrap = frame_take_bytes(reader, 1, WRAP_MAX);
}

static bool only_of(const char *text, const char *set, size_t length)
{
	return strlen(text) == length && strspn(text, set) == length;
}

static bool texts_fit(const struct request *request)
{
	return uuid_valid(request->release_id) && instance_id_valid(request->instance_id) &&
	       only_of(request->acknowledgement,
		       "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", ACK_SIZE - 1);
}

static void seal_take(struct frame_reader *reader, struct request *request)
{
	frame_take_text(reader, request->release_id, sizeof(request->release_id));
	frame_take_text(reader, request->instance_id, sizeof(request->instance_id));
	frame_take_copy(reader, request->assertion_sha256, sizeof(request->assertion_sha256));
	frame_take_text(reader, request->acknowledgement, sizeof(request->acknowledgement));
	request->recipient = frame_take_bytes(reader, 1, SPKI_MAX);
	request->n_items = frame_take_number(reader, 1, SEAL_ITEMS_MAX);
}

/* The kinds that this type of request may open. */
static bool kind_fits(enum frame_type type, const char *kind)
{
	if (type == FRAME_SEAL)
		return secret_kind_valid(kind);
	return strcmp(kind, type == FRAME_NODE_KEY ? "node" : "canary") == 0;
}

/* The two requests that open no envelope. */
static bool head_request(const struct frame *frame, struct request *request, struct complaint *complaint)
{
	struct frame_reader reader = frame_read(frame);

	if (frame->type == FRAME_CHECKPOINT) {
		frame_take_text(&reader, request->pin.token_serial, sizeof(request->pin.token_serial));
		frame_take_text(&reader, request->pin.key_id, sizeof(request->pin.key_id));
		frame_take_head(&reader, &request->head, false);
	}
	return frame_finished(&reader) || complain(complaint, "a malformed request");
}

bool request_read(const struct frame *frame, struct request *request, struct complaint *complaint)
{
	struct frame_reader reader = frame_read(frame);

	memset(request, 0, sizeof(*request));
	request->type = frame->type;
	if (frame->type == FRAME_CHECKPOINT || frame->type == FRAME_LAST)
		return head_request(frame, request, complaint);
	if (frame->type != FRAME_CANARY && frame->type != FRAME_NODE_KEY && frame->type != FRAME_SEAL)
		return complain(complaint, "a serving member does not know this request");
	pin_take(&reader, &request->pin);
	request->n_items = 1;
	if (frame->type == FRAME_SEAL)
		seal_take(&reader, request);
	for (unsigned i = 0; i < request->n_items; i++)
		item_take(&reader, &request->items[i]);
	if (!frame_finished(&reader))
		return complain(complaint, "a malformed request");
	if (frame->type == FRAME_SEAL && !texts_fit(request))
		return complain(complaint, "a malformed release");
	for (unsigned i = 0; i < request->n_items; i++) {
		if (!name_valid(request->items[i].name))
			return complain(complaint, "a malformed name");
		if (!kind_fits(frame->type, request->items[i].kind))
			return complain(complaint, "an envelope of a kind that this request never opens");
	}
	return true;
}
