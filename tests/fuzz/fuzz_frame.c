/* Frames as they come from the other side of a socket, to a member as requests and to those who ask it as
 * answers: what is taken, put together again, is the same frame, byte for byte; so nothing has two readings.
 */
#include "tests/fuzz/fuzz.h"
#include "vault/answer.h"
#include "vault/request.h"

#include <ctype.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const struct envelope no_envelope;

static void same(struct frame *made, const struct frame *came)
{
	MUST_HOLD(!made->failed && made->type == came->type && made->length == came->length);
	MUST_HOLD(memcmp(made->data + FRAME_HEAD, came->data + FRAME_HEAD, came->length - FRAME_HEAD) == 0);
	frame_clear(made);
}

static void printable(const char *text)
{
	for (; *text; text++)
		MUST_HOLD(isprint((unsigned char)*text));
}

/* ---- requests */

static void item_put(struct frame *made, const struct item *item)
{
	struct envelope envelope = no_envelope;
	struct wrap wrap = { .length = item->wrap.length };

	MUST_HOLD(name_valid(item->name) && item->version >= 1);
	MUST_HOLD(item->text.length > TAG_BYTES && item->text.length <= SECRET_BYTES_MAX + TAG_BYTES);
	MUST_HOLD(item->wrap.length >= 1 && item->wrap.length <= WRAP_MAX);
	strcpy(envelope.name, item->name);
	strcpy(envelope.kind, item->kind);
	envelope.version = item->version;
	memcpy(envelope.nonce, item->nonce, sizeof(envelope.nonce));
	envelope.text = (unsigned char *)item->text.data;
	envelope.text_length = item->text.length;
	memcpy(wrap.bytes, item->wrap.data, item->wrap.length);
	frame_put_envelope(made, &envelope, &wrap);
}

static void seal_put(struct frame *made, const struct request *request)
{
	MUST_HOLD(uuid_valid(request->release_id) && instance_id_valid(request->instance_id));
	frame_put_text(made, request->release_id);
	frame_put_text(made, request->instance_id);
	frame_put_bytes(made, (struct bytes){ request->assertion_sha256, 32 });
	frame_put_text(made, request->acknowledgement);
	frame_put_bytes(made, request->recipient);
	frame_put_number(made, request->n_items);
}

static void head_request(struct frame *made, const struct request *request)
{
	if (request->type == FRAME_LAST)
		return;
	printable(request->pin.token_serial);
	printable(request->pin.key_id);
	MUST_HOLD(request->head.seq >= 1 && request->head.time_us >= 0 &&
		  request->head.time_us <= HEAD_TIME_MAX);
	frame_put_text(made, request->pin.token_serial);
	frame_put_text(made, request->pin.key_id);
	frame_put_head(made, &request->head);
}

static void as_request(const struct frame *frame)
{
	struct complaint complaint = { "" };
	struct request request;
	struct frame made;

	if (!request_read(frame, &request, &complaint)) {
		MUST_HOLD(complaint.text[0]);
		return;
	}
	frame_start(&made, request.type);
	if (request.type == FRAME_CHECKPOINT || request.type == FRAME_LAST) {
		head_request(&made, &request);
		same(&made, frame);
		return;
	}
	frame_put_pin(&made, &request.pin);
	if (request.type == FRAME_SEAL)
		seal_put(&made, &request);
	MUST_HOLD(request.n_items >= 1 && request.n_items <= SEAL_ITEMS_MAX);
	for (unsigned i = 0; i < request.n_items; i++) {
		const char *kind = request.items[i].kind;

		MUST_HOLD(secret_kind_valid(kind) == (request.type == FRAME_SEAL));
		item_put(&made, &request.items[i]);
	}
	same(&made, frame);
}

/* ---- answers */

static bool answers_to_setup(const struct frame *frame, struct frame *made)
{
	char text[ANSWER_TEXT_SIZE];
	struct answer_envelope envelope;
	enum iv_mode mode;
	bool flag;

	if (answer_token(frame, text, &flag) || answer_key(frame, text, &flag)) {
		printable(text);
		frame_put_text(made, text);
		frame_put_number(made, flag);
	} else if (answer_iv(frame, &mode)) {
		MUST_HOLD(strncmp(iv_mode_text(mode), "IV made by", 10) == 0);
		frame_put_number(made, mode);
	} else if (answer_envelope(frame, &envelope)) {
		frame_put_bytes(made, (struct bytes){ envelope.nonce, sizeof(envelope.nonce) });
		frame_put_bytes(made, envelope.text);
		frame_put_bytes(made, envelope.wrap);
	} else {
		return false;
	}
	return true;
}

/* Whose answer it says that it is. */
static const char *id_first(const struct frame *frame, char id[UUID_SIZE])
{
	struct frame_reader reader = frame_read(frame);

	frame_take_text(&reader, id, UUID_SIZE);
	return id;
}

static bool answers_about_heads(const struct frame *frame, struct frame *made)
{
	unsigned char signature[SIGNATURE_BYTES];
	struct signed_head head;
	struct signer signer;
	enum last last;
	long long seals;
	bool flag;

	if (answer_signed(frame, &seals, signature)) {
		MUST_HOLD(seals >= 0);
		frame_put_long(made, seals);
		frame_put_bytes(made, (struct bytes){ signature, sizeof(signature) });
	} else if (answer_behind(frame, &head)) {
		MUST_HOLD(head.seq >= 1);
		frame_put_head(made, &head);
	} else if (answer_last(frame, &last, &head)) {
		MUST_HOLD((last == LAST_SIGNED) == (head.seq > 0));
		frame_put_number(made, last);
		frame_put_head(made, &head);
	} else if (answer_signer(frame, &signer, &flag)) {
		printable(signer.key_id);
		frame_put_text(made, signer.key_id);
		frame_put_bytes(made, (struct bytes){ signer.public_key, sizeof(signer.public_key) });
		frame_put_number(made, flag);
	} else {
		return false;
	}
	return true;
}

static void as_answer(const struct frame *frame)
{
	char text[ANSWER_TEXT_SIZE];
	enum frame_error error;
	char id[UUID_SIZE];
	struct bytes bytes;
	struct frame made;

	frame_start(&made, frame->type);
	if (answer_error(frame, &error, text)) {
		MUST_HOLD(error >= ERROR_REQUEST && error <= ERROR_STATE);
		printable(text);
		frame_put_number(&made, error);
		frame_put_text(&made, text);
	} else if (answer_node_key(frame, &bytes)) {
		MUST_HOLD(bytes.length == DATA_KEY_BYTES);
		frame_put_bytes(&made, bytes);
	} else if (answer_sealed(frame, id_first(frame, id), &bytes)) {
		MUST_HOLD(bytes.length > 0);
		frame_put_text(&made, id);
		frame_put_bytes(&made, bytes);
	} else if (!answer_plain(frame, FRAME_DONE) && !answer_plain(frame, FRAME_INPUT_READ) &&
		   !answers_to_setup(frame, &made) && !answers_about_heads(frame, &made)) {
		frame_clear(&made);
		return;
	}
	same(&made, frame);
}

/* ---- the socket */

static enum frame_result receive(const uint8_t *data, size_t size, struct frame *frame)
{
	enum frame_result result;
	int pair[2];

	MUST_HOLD(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0);
	MUST_HOLD(size == 0 || send(pair[1], data, size, MSG_NOSIGNAL) == (ssize_t)size);
	close(pair[1]);
	result = frame_receive(pair[0], frame, 0);
	close(pair[0]);
	return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct frame frame;
	enum frame_result result = size > INPUT_MAX ? FRAME_CLOSED : receive(data, size, &frame);

	MUST_HOLD(result == FRAME_OK || result == FRAME_CLOSED || result == FRAME_BROKEN);
	if (size > INPUT_MAX)
		return 0;
	if (result != FRAME_OK) {
		MUST_HOLD(frame.failed && !frame.data);
		return 0;
	}
	MUST_HOLD(frame.length >= FRAME_HEAD && frame.length <= size && data[0] == 2);
	MUST_HOLD(frame.type >= FRAME_CANARY && frame.type < FRAME_TYPES_END && frame.type == data[1]);
	MUST_HOLD(memcmp(frame.data + FRAME_HEAD, data + FRAME_HEAD, frame.length - FRAME_HEAD) == 0);
	as_request(&frame);
	as_answer(&frame);
	frame_clear(&frame);
	return 0;
}
