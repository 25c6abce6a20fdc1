/* Frames between a member process and those who ask it: written whole, read strictly. Each side takes the
 * other for hostile: lengths are capped before memory is taken, and what is unknown, short, long or left over
 * is an error. Must never wait beyond its deadline, and never keep a copy of what a frame carried. */
#include "vault/frame.h"

#include <openssl/crypto.h>

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { VERSION = 2, ROOM_FIRST = 512, ROOM_SECRET = 128 };

const char *frame_result_text(enum frame_result result)
{
	static const char *const texts[] = { "fine", "it closed the connection", "it did not answer in time",
		"it does not speak this version's language", "it stopped in the middle of a frame" };

	return texts[result];
}

const char *iv_mode_text(enum iv_mode mode)
{
	switch (mode) {
	case IV_HOST:
		return "IV made by the host";
	case IV_APPENDED:
		return "IV made by the token, behind the text";
	case IV_FILLED:
		return "IV made by the token, in our buffer";
	}
	return "no IV mode";
}

long long frame_clock(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static void number_put(unsigned char *to, uint32_t number)
{
	to[0] = (unsigned char)(number >> 24);
	to[1] = (unsigned char)(number >> 16);
	to[2] = (unsigned char)(number >> 8);
	to[3] = (unsigned char)number;
}

static uint32_t number_get(const unsigned char *from)
{
	return (uint32_t)from[0] << 24 | (uint32_t)from[1] << 16 | (uint32_t)from[2] << 8 | from[3];
}

/* The node key goes to locked memory, where the process has some. */
static bool is_secret(enum frame_type type)
{
	return type == FRAME_KEY_BYTES;
}

static unsigned char *room_new(enum frame_type type, size_t room)
{
	return is_secret(type) ? OPENSSL_secure_malloc(room) : malloc(room);
}

static void room_free(enum frame_type type, unsigned char *data, size_t room)
{
	if (is_secret(type)) {
		OPENSSL_secure_clear_free(data, room);
	} else if (data != NULL) {
		OPENSSL_cleanse(data, room);
		free(data);
	}
}

void frame_start(struct frame *frame, enum frame_type type)
{
	*frame = (struct frame){ .type = type, .room = is_secret(type) ? ROOM_SECRET : ROOM_FIRST };
	frame->data = room_new(type, frame->room);
	frame->failed = frame->data == NULL;
	if (frame->failed) {
		frame->room = 0;
		return;
	}
	frame->data[0] = VERSION;
	frame->data[1] = (unsigned char)type;
	frame->length = FRAME_HEAD;
}

void frame_start_error(struct frame *frame, enum frame_error error, const char *text)
{
	frame_start(frame, FRAME_ERROR);
	frame_put_number(frame, error);
	frame_put_text(frame, text);
}

void frame_clear(struct frame *frame)
{
	room_free(frame->type, frame->data, frame->room);
	*frame = (struct frame){ .failed = true };
}

/* Makes room for `more` bytes; a secret frame never grows, so that it is never copied. */
static bool grow(struct frame *frame, size_t more)
{
	size_t room = frame->room;
	unsigned char *data;

	if (frame->failed || more > FRAME_MAX || frame->length + more > FRAME_HEAD + FRAME_MAX)
		return false;
	while (room < frame->length + more)
		room *= 2;
	if (room == frame->room)
		return true;
	data = is_secret(frame->type) ? NULL : malloc(room);
	if (data == NULL)
		return false;
	memcpy(data, frame->data, frame->length);
	room_free(frame->type, frame->data, frame->room);
	frame->data = data;
	frame->room = room;
	return true;
}

bool frame_copy(struct frame *to, const struct frame *from)
{
	if (from->failed || !grow(to, from->length - FRAME_HEAD)) {
		to->failed = true;
		return false;
	}
	memcpy(to->data + FRAME_HEAD, from->data + FRAME_HEAD, from->length - FRAME_HEAD);
	to->length = from->length;
	return true;
}

void frame_put_bytes(struct frame *frame, struct bytes bytes)
{
	if (bytes.length > FRAME_MAX || !grow(frame, 4 + bytes.length)) {
		frame->failed = true;
		return;
	}
	number_put(frame->data + frame->length, (uint32_t)bytes.length);
	if (bytes.length > 0)
		memcpy(frame->data + frame->length + 4, bytes.data, bytes.length);
	frame->length += 4 + bytes.length;
}

void frame_put_text(struct frame *frame, const char *text)
{
	frame_put_bytes(frame, (struct bytes){ (const unsigned char *)text, strlen(text) });
}

void frame_put_number(struct frame *frame, uint32_t number)
{
	unsigned char bytes[4];

	number_put(bytes, number);
	frame_put_bytes(frame, (struct bytes){ bytes, sizeof(bytes) });
}

void frame_put_long(struct frame *frame, long long number)
{
	unsigned char bytes[8];

	number_put(bytes, (uint32_t)((unsigned long long)number >> 32));
	number_put(bytes + 4, (uint32_t)number);
	frame_put_bytes(frame, (struct bytes){ bytes, sizeof(bytes) });
}

void frame_put_head(struct frame *frame, const struct signed_head *head)
{
	frame_put_long(frame, head->seq);
	frame_put_bytes(frame, (struct bytes){ head->hash, sizeof(head->hash) });
	frame_put_long(frame, head->time_us);
}

void frame_put_pin(struct frame *frame, const struct member_pin *pin)
{
	frame_put_text(frame, pin->token_serial);
	frame_put_number(frame, pin->generation);
	frame_put_text(frame, pin->key_id);
	frame_put_number(frame, pin->iv_mode);
}

void frame_put_envelope(struct frame *frame, const struct envelope *envelope, const struct wrap *wrap)
{
	frame_put_text(frame, envelope->name);
	frame_put_text(frame, envelope->kind);
	frame_put_number(frame, envelope->version);
	frame_put_bytes(frame, (struct bytes){ envelope->nonce, sizeof(envelope->nonce) });
	frame_put_bytes(frame, (struct bytes){ envelope->text, envelope->text_length });
	frame_put_bytes(frame, (struct bytes){ wrap->bytes, wrap->length });
}

/* Rounds up, so that the last millisecond is not spun away. */
enum frame_result frame_wait(int socket, short events, long long deadline)
{
	for (;;) {
		struct pollfd ready = { .fd = socket, .events = events };
		int timeout = -1, n;

		if (deadline != 0) {
			long long left = deadline - frame_clock();

			if (left <= 0)
				return FRAME_LATE;
			left = (left + 999999) / 1000000;
			timeout = left > 3600000 ? 3600000 : (int)left;
		}
		n = poll(&ready, 1, timeout);
		if (n > 0)
			return FRAME_OK;
		if (n < 0 && errno != EINTR)
			return FRAME_BROKEN;
	}
}

enum frame_result frame_send_some(int socket, struct frame *frame, size_t *sent)
{
	if (frame->failed)
		return FRAME_BROKEN;
	number_put(frame->data + 2, (uint32_t)(frame->length - FRAME_HEAD));
	while (*sent < frame->length) {
		ssize_t n = send(
			socket, frame->data + *sent, frame->length - *sent, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n > 0)
			*sent += (size_t)n;
		else if (n == 0 || errno == EAGAIN)
			return FRAME_PART;
		else if (errno != EINTR)
			return FRAME_CLOSED;
	}
	return FRAME_OK;
}

enum frame_result frame_send(int socket, struct frame *frame, long long deadline)
{
	enum frame_result result;
	size_t sent = 0;

	while ((result = frame_send_some(socket, frame, &sent)) == FRAME_PART) {
		result = frame_wait(socket, POLLOUT, deadline);
		if (result != FRAME_OK)
			return result;
	}
	return result;
}

/* On until `length` are received. */
static enum frame_result receive_some(int socket, unsigned char *data, size_t length, size_t *received)
{
	while (*received < length) {
		ssize_t n = recv(socket, data + *received, length - *received, MSG_DONTWAIT);

		if (n > 0)
			*received += (size_t)n;
		else if (n < 0 && errno == EAGAIN)
			return FRAME_PART;
		else if (n == 0 || errno != EINTR)
			return FRAME_CLOSED;
	}
	return FRAME_OK;
}

void frame_part_clear(struct frame_part *part)
{
	if (part->received >= FRAME_HEAD)
		frame_clear(&part->frame);
	*part = (struct frame_part){ .received = 0 };
}

/* Room for what the head announces, and no more than may be. */
static enum frame_result part_start(struct frame_part *part)
{
	const unsigned char *head = part->head;
	uint32_t length = number_get(head + 2);

	if (head[0] != VERSION || head[1] == 0 || head[1] >= FRAME_TYPES_END || length > FRAME_MAX)
		return FRAME_BROKEN;
	frame_start(&part->frame, head[1]);
	return grow(&part->frame, length) ? FRAME_OK : FRAME_BROKEN;
}

enum frame_result frame_receive_some(int socket, struct frame_part *part, struct frame *frame)
{
	enum frame_result result = FRAME_OK;

	*frame = (struct frame){ .failed = true };
	if (part->received < FRAME_HEAD) {
		result = receive_some(socket, part->head, FRAME_HEAD, &part->received);
		if (result == FRAME_OK)
			result = part_start(part);
	}
	if (result == FRAME_OK)
		result = receive_some(
			socket, part->frame.data, FRAME_HEAD + number_get(part->head + 2), &part->received);
	if (result == FRAME_PART)
		return result;
	if (result == FRAME_OK) {
		*frame = part->frame;
		frame->length = part->received;
		part->frame = (struct frame){ .failed = true };
	}
	frame_part_clear(part);
	return result;
}

enum frame_result frame_receive(int socket, struct frame *frame, long long deadline)
{
	struct frame_part part = { .received = 0 };
	enum frame_result result;

	while ((result = frame_receive_some(socket, &part, frame)) == FRAME_PART) {
		result = frame_wait(socket, POLLIN, deadline);
		if (result != FRAME_OK)
			break;
	}
	frame_part_clear(&part);
	return result;
}

enum frame_result frame_exchange(int socket, struct frame *request, struct frame *answer, long long deadline)
{
	enum frame_result result = frame_send(socket, request, deadline);

	*answer = (struct frame){ .failed = true };
	return result == FRAME_OK ? frame_receive(socket, answer, deadline) : result;
}

struct frame_reader frame_read(const struct frame *frame)
{
	if (frame->failed || frame->length < FRAME_HEAD)
		return (struct frame_reader){ .failed = true };
	return (struct frame_reader){ .rest = { frame->data + FRAME_HEAD, frame->length - FRAME_HEAD } };
}

struct bytes frame_take_bytes(struct frame_reader *reader, size_t min, size_t max)
{
	struct bytes bytes = { NULL, 0 };
	size_t length;

	if (reader->failed || reader->rest.length < 4)
		goto fail;
	length = number_get(reader->rest.data);
	if (length > reader->rest.length - 4 || length < min || length > max)
		goto fail;
	bytes = (struct bytes){ reader->rest.data + 4, length };
	reader->rest.data += 4 + length;
	reader->rest.length -= 4 + length;
	return bytes;
fail:
	*reader = (struct frame_reader){ .failed = true };
	return bytes;
}

void frame_take_copy(struct frame_reader *reader, unsigned char *to, size_t length)
{
	struct bytes bytes = frame_take_bytes(reader, length, length);

	if (reader->failed)
		memset(to, 0, length);
	else
		memcpy(to, bytes.data, length);
}

void frame_take_text(struct frame_reader *reader, char *to, size_t size)
{
	struct bytes bytes = frame_take_bytes(reader, 0, size - 1);

	for (size_t i = 0; i < bytes.length; i++)
		if (bytes.data[i] < ' ' || bytes.data[i] > '~') {
			*reader = (struct frame_reader){ .failed = true };
			bytes.length = 0;
		}
	if (bytes.length > 0)
		memcpy(to, bytes.data, bytes.length);
	to[bytes.length] = '\0';
}

uint32_t frame_take_number(struct frame_reader *reader, uint32_t min, uint32_t max)
{
	struct bytes bytes = frame_take_bytes(reader, 4, 4);
	uint32_t number = reader->failed ? 0 : number_get(bytes.data);

	if (reader->failed || number < min || number > max) {
		*reader = (struct frame_reader){ .failed = true };
		return 0;
	}
	return number;
}

long long frame_take_long(struct frame_reader *reader, long long min, long long max)
{
	struct bytes bytes = frame_take_bytes(reader, 8, 8);
	uint64_t number = 0;

	if (!reader->failed)
		number = (uint64_t)number_get(bytes.data) << 32 | number_get(bytes.data + 4);
	if (reader->failed || number > INT64_MAX || (long long)number < min || (long long)number > max) {
		*reader = (struct frame_reader){ .failed = true };
		return 0;
	}
	return (long long)number;
}

void frame_take_head(struct frame_reader *reader, struct signed_head *head, bool none)
{
	head->seq = frame_take_long(reader, none ? 0 : 1, HEAD_SEQ_MAX);
	frame_take_copy(reader, head->hash, sizeof(head->hash));
	head->time_us = frame_take_long(reader, 0, HEAD_TIME_MAX);
	if (reader->failed)
		*head = (struct signed_head){ 0 };
}

bool frame_finished(const struct frame_reader *reader)
{
	return !reader->failed && reader->rest.length == 0;
}

int frame_connect(const char *path, enum frame_result *result)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd;

	*result = FRAME_BROKEN;
	if (strlen(path) >= sizeof(address.sun_path))
		return -1;
	memcpy(address.sun_path, path, strlen(path));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -1;
	/* a full backlog is EAGAIN at once: whoever has that many waiting does not answer */
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
		*result = errno == EAGAIN ? FRAME_LATE : FRAME_CLOSED;
		close(fd);
		return -1;
	}
	*result = FRAME_OK;
	return fd;
}
