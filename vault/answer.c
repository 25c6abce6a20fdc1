/* Reads a member's answers. Must never take one for another's, nor a byte behind its fields. */
#include "vault/answer.h"
#include "verifier/encoding.h"

#include <string.h>

/* A reader that has failed already where the answer is of another type. */
static struct frame_reader answer_read(const struct frame *answer, enum frame_type type)
{
	if (answer->type != type)
		return (struct frame_reader){ .failed = true };
	return frame_read(answer);
}

bool answer_error(const struct frame *answer, enum frame_error *error, char text[ANSWER_TEXT_SIZE])
{
	struct frame_reader reader = answer_read(answer, FRAME_ERROR);

	*error = frame_take_number(&reader, ERROR_REQUEST, ERROR_STATE);
	frame_take_text(&reader, text, ANSWER_TEXT_SIZE);
	if (frame_finished(&reader))
		return true;
	*error = 0;
	text[0] = '\0';
	return false;
}

bool answer_plain(const struct frame *answer, enum frame_type type)
{
	struct frame_reader reader = answer_read(answer, type);

	return frame_finished(&reader);
}

bool answer_node_key(const struct frame *answer, struct bytes *key)
{
	struct frame_reader reader = answer_read(answer, FRAME_KEY_BYTES);

	*key = frame_take_bytes(&reader, DATA_KEY_BYTES, DATA_KEY_BYTES);
	if (frame_finished(&reader))
		return true;
	*key = (struct bytes){ NULL, 0 };
	return false;
}

bool answer_sealed(const struct frame *answer, const char *release_id, struct bytes *der)
{
	struct frame_reader reader = answer_read(answer, FRAME_SEALED);
	char id[UUID_SIZE];

	frame_take_text(&reader, id, sizeof(id));
	*der = frame_take_bytes(&reader, 1, FRAME_MAX);
	if (frame_finished(&reader) && strcmp(id, release_id) == 0)
		return true;
	*der = (struct bytes){ NULL, 0 };
	return false;
}

bool answer_signed(const struct frame *answer, long long *seals, unsigned char signature[SIGNATURE_BYTES])
{
	struct frame_reader reader = answer_read(answer, FRAME_SIGNED);

	*seals = frame_take_long(&reader, 0, INT64_MAX);
	frame_take_copy(&reader, signature, SIGNATURE_BYTES);
	if (frame_finished(&reader))
		return true;
	*seals = 0;
	memset(signature, 0, SIGNATURE_BYTES);
	return false;
}

bool answer_behind(const struct frame *answer, struct signed_head *last)
{
	struct frame_reader reader = answer_read(answer, FRAME_BEHIND);

	frame_take_head(&reader, last, false);
	if (frame_finished(&reader))
		return true;
	*last = (struct signed_head){ 0 };
	return false;
}

bool answer_last(const struct frame *answer, enum last *last, struct signed_head *head)
{
	static const struct signed_head none;
	struct frame_reader reader = answer_read(answer, FRAME_LAST_IS);

	*last = frame_take_number(&reader, LAST_NONE, LAST_UNREADABLE);
	frame_take_head(&reader, head, true);
	if (frame_finished(&reader) && (*last == LAST_SIGNED) == (head->seq > 0) &&
		(head->seq > 0 || memcmp(head, &none, sizeof(none)) == 0))
		return true;
	*last = LAST_NONE;
	*head = none;
	return false;
}

bool answer_signer(const struct frame *answer, struct signer *signer, bool *generated)
{
	struct frame_reader reader = answer_read(answer, FRAME_SIGNER_FOUND);

	*signer = (struct signer){ 0 };
	frame_take_text(&reader, signer->key_id, sizeof(signer->key_id));
	frame_take_copy(&reader, signer->public_key, sizeof(signer->public_key));
	*generated = frame_take_number(&reader, 0, 1) == 1;
	if (frame_finished(&reader) && strlen(signer->key_id) == KEY_ID_SIZE - 1)
		return true;
	*signer = (struct signer){ 0 };
	*generated = false;
	return false;
}

/* A name, and whether what it names was made just now. */
static bool name_and_made(
	const struct frame *answer, enum frame_type type, char *name, size_t size, bool *made)
{
	struct frame_reader reader = answer_read(answer, type);

	frame_take_text(&reader, name, size);
	*made = frame_take_number(&reader, 0, 1) == 1;
	if (frame_finished(&reader))
		return true;
	name[0] = '\0';
	*made = false;
	return false;
}

bool answer_token(const struct frame *answer, char serial[SERIAL_SIZE], bool *initialised)
{
	return name_and_made(answer, FRAME_TOKEN_FOUND, serial, SERIAL_SIZE, initialised);
}

bool answer_key(const struct frame *answer, char key_id[KEY_ID_SIZE], bool *generated)
{
	return name_and_made(answer, FRAME_KEY_FOUND, key_id, KEY_ID_SIZE, generated);
}

bool answer_iv(const struct frame *answer, enum iv_mode *mode)
{
	struct frame_reader reader = answer_read(answer, FRAME_IV_FOUND);

	*mode = frame_take_number(&reader, IV_HOST, IV_FILLED);
	if (frame_finished(&reader))
		return true;
	*mode = 0;
	return false;
}

bool answer_envelope(const struct frame *answer, struct answer_envelope *envelope)
{
	struct frame_reader reader = answer_read(answer, FRAME_ENVELOPE);

	frame_take_copy(&reader, envelope->nonce, sizeof(envelope->nonce));
	envelope->text = frame_take_bytes(&reader, TAG_BYTES + 1, SECRET_BYTES_MAX + TAG_BYTES);
	envelope->wrap = frame_take_bytes(&reader, 1, WRAP_MAX);
	if (frame_finished(&reader))
		return true;
	*envelope = (struct answer_envelope){ .text = { NULL, 0 } };
	return false;
}
