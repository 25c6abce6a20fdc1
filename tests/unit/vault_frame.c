/* Frames: what is written whole is read whole; everything else is an error, at every byte. */
#include "tests/unit/unit.h"
#include "vault/answer.h"
#include "vault/request.h"

#include <openssl/crypto.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define SECOND 1000000000LL

static void pair_open(int pair[2])
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
}

/* The frame that the tests below mutilate: a text, a number, bytes. */
static void sample_put(struct frame *frame)
{
	frame_start(frame, FRAME_SEALED);
	frame_put_text(frame, "hsm-a");
	frame_put_number(frame, 7);
	frame_put_bytes(frame, (struct bytes){ (const unsigned char *)"\0\1\2", 3 });
}

static bool sample_take(const struct frame *frame)
{
	struct frame_reader reader = frame_read(frame);
	char text[NAME_SIZE];
	struct bytes bytes;
	uint32_t number;

	frame_take_text(&reader, text, sizeof(text));
	number = frame_take_number(&reader, 1, 9);
	bytes = frame_take_bytes(&reader, 0, 3);
	if (!frame_finished(&reader))
		return false;
	assert_string_equal(text, "hsm-a");
	assert_int_equal(number, 7);
	assert_int_equal(bytes.length, 3);
	assert_memory_equal(bytes.data, "\0\1\2", 3);
	return true;
}

/* What a receiver makes of these bytes, followed by the connection's end. */
static enum frame_result received(const unsigned char *data, size_t length, struct frame *frame)
{
	enum frame_result result;
	int pair[2];

	pair_open(pair);
	assert_int_equal(send(pair[0], data, length, MSG_NOSIGNAL), length);
	close(pair[0]);
	result = frame_receive(pair[1], frame, frame_clock() + 10 * SECOND);
	close(pair[1]);
	return result;
}

/* The sample's bytes as they go over the wire. */
static size_t sample_bytes(unsigned char *data, size_t size)
{
	struct frame frame;
	ssize_t n;
	int pair[2];

	pair_open(pair);
	sample_put(&frame);
	assert_int_equal(frame_send(pair[0], &frame, frame_clock() + 10 * SECOND), FRAME_OK);
	n = recv(pair[1], data, size, 0);
	assert_int_equal(n, frame.length);
	frame_clear(&frame);
	close(pair[0]);
	close(pair[1]);
	return (size_t)n;
}

static void whole_frames_pass(void **state)
{
	unsigned char data[128];
	size_t length = sample_bytes(data, sizeof(data));
	struct frame frame;

	(void)state;
	assert_int_equal(received(data, length, &frame), FRAME_OK);
	assert_int_equal(frame.type, FRAME_SEALED);
	assert_true(sample_take(&frame));
	frame_clear(&frame);
}

static void cut_frames_are_refused(void **state)
{
	unsigned char data[128];
	size_t length = sample_bytes(data, sizeof(data));
	struct frame frame;

	(void)state;
	for (size_t i = 0; i < length; i++) {
		assert_int_equal(received(data, i, &frame), FRAME_CLOSED);
		assert_null(frame.data);
	}
}

/* The payload cut short or made longer, with a head that agrees. */
static void payloads_are_exact(void **state)
{
	unsigned char data[128];
	size_t length = sample_bytes(data, sizeof(data));
	struct frame frame;

	(void)state;
	for (size_t n = FRAME_HEAD; n <= length + 1; n++) {
		data[5] = (unsigned char)(n - FRAME_HEAD);
		assert_int_equal(received(data, n, &frame), FRAME_OK);
		assert_int_equal(sample_take(&frame), n == length);
		frame_clear(&frame);
	}
}

/* Every single byte of the payload changed: lengths no longer fit, numbers leave their bounds, texts their
 * set. */
static void lengths_are_exact(void **state)
{
	static const size_t places[] = { 6, 7, 8, 9, 15, 16, 17, 18, 23, 24, 25, 26 };
	unsigned char data[128];
	size_t length = sample_bytes(data, sizeof(data));
	struct frame frame;

	(void)state;
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		for (int bit = 0; bit < 8; bit++) {
			data[places[i]] ^= (unsigned char)(1 << bit);
			assert_int_equal(received(data, length, &frame), FRAME_OK);
			assert_false(sample_take(&frame));
			frame_clear(&frame);
			data[places[i]] ^= (unsigned char)(1 << bit);
		}
	}
}

static void strange_heads_are_refused(void **state)
{
	static const struct {
		unsigned char head[FRAME_HEAD];
		const char *why;
	} heads[] = { { { 0, 1, 0, 0, 0, 0 }, "version 0" }, { { 1, 1, 0, 0, 0, 0 }, "version 1" },
		{ { 3, 1, 0, 0, 0, 0 }, "version 3" }, { { 2, 0, 0, 0, 0, 0 }, "type 0" },
		{ { 2, FRAME_TYPES_END, 0, 0, 0, 0 }, "type beyond" }, { { 2, 255, 0, 0, 0, 0 }, "type 255" },
		{ { 2, 1, 0xff, 0xff, 0xff, 0xff }, "4 GiB" },
		{ { 2, 1, 0, 0x28, 0, 1 }, "one byte too long" },
		{ { 2, FRAME_KEY_BYTES, 0, 0, 1, 0 }, "a key of 256 bytes" } };
	struct frame frame;

	(void)state;
	for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
		if (received(heads[i].head, FRAME_HEAD, &frame) != FRAME_BROKEN)
			fail_msg("%s was not refused", heads[i].why);
		assert_null(frame.data);
	}
}

static void fields_keep_their_bounds(void **state)
{
	struct frame frame;
	struct frame_reader reader;
	unsigned char copy[4] = { 9, 9, 9, 9 };
	char text[6];

	(void)state;
	sample_put(&frame);
	reader = frame_read(&frame);
	frame_take_text(&reader, text, 5); /* one too short */
	assert_true(reader.failed);
	assert_string_equal(text, "");
	reader = frame_read(&frame);
	frame_take_text(&reader, text, 6);
	assert_false(reader.failed);
	assert_int_equal(frame_take_number(&reader, 8, 9), 0);
	assert_true(reader.failed);
	frame_take_copy(&reader, copy, 4);
	assert_memory_equal(copy, "\0\0\0\0", 4);
	assert_int_equal(frame_take_bytes(&reader, 0, 9).length, 0);
	assert_false(frame_finished(&reader));
	frame_clear(&frame);
	frame_start(&frame, FRAME_DONE);
	frame_put_text(&frame, "a\nb");
	reader = frame_read(&frame);
	frame_take_text(&reader, text, 6);
	assert_true(reader.failed);
	frame_clear(&frame);
	reader = frame_read(&frame); /* a frame that is not there */
	assert_true(reader.failed);
}

static void frames_do_not_grow_without_end(void **state)
{
	static unsigned char much[FRAME_MAX / 2];
	struct frame frame;
	int pair[2];

	(void)state;
	pair_open(pair);
	frame_start(&frame, FRAME_SEAL);
	frame_put_bytes(&frame, (struct bytes){ much, sizeof(much) });
	assert_false(frame.failed);
	frame_put_bytes(&frame, (struct bytes){ much, sizeof(much) });
	assert_true(frame.failed);
	assert_int_equal(frame_send(pair[0], &frame, frame_clock() + SECOND), FRAME_BROKEN);
	frame_clear(&frame);
	frame_start(&frame, FRAME_KEY_BYTES); /* never copied, so never longer */
	frame_put_bytes(&frame, (struct bytes){ much, 200 });
	assert_true(frame.failed);
	frame_clear(&frame);
	close(pair[0]);
	close(pair[1]);
}

static void *echo(void *argument)
{
	int socket = *(int *)argument;
	struct frame frame;

	if (frame_receive(socket, &frame, frame_clock() + 20 * SECOND) == FRAME_OK &&
		frame_send(socket, &frame, frame_clock() + 20 * SECOND) == FRAME_OK)
		frame_clear(&frame);
	return NULL;
}

/* Longer than any socket's buffer, so both sides go through many short writes and reads. */
static void long_frames_pass(void **state)
{
	static unsigned char much[FRAME_MAX - 4];
	struct frame request, answer;
	struct frame_reader reader;
	pthread_t thread;
	int pair[2];

	(void)state;
	pair_open(pair);
	for (size_t i = 0; i < sizeof(much); i++)
		much[i] = (unsigned char)(i * 31 + i / 251);
	assert_int_equal(pthread_create(&thread, NULL, echo, &pair[1]), 0);
	frame_start(&request, FRAME_SEAL);
	frame_put_bytes(&request, (struct bytes){ much, sizeof(much) });
	assert_int_equal(frame_exchange(pair[0], &request, &answer, frame_clock() + 20 * SECOND), FRAME_OK);
	reader = frame_read(&answer);
	assert_memory_equal(frame_take_bytes(&reader, 0, FRAME_MAX).data, much, sizeof(much));
	pthread_join(thread, NULL);
	frame_clear(&answer);
	frame_clear(&request);
	close(pair[0]);
	close(pair[1]);
}

static void deadlines_hold(void **state)
{
	static unsigned char much[FRAME_MAX / 2];
	struct frame frame, answer;
	long long began = frame_clock();
	int pair[2];

	(void)state;
	pair_open(pair);
	frame_start(&frame, FRAME_SEAL);
	assert_int_equal(frame_exchange(pair[0], &frame, &answer, began + SECOND / 50), FRAME_LATE);
	assert_null(answer.data);
	frame_put_bytes(&frame, (struct bytes){ much, sizeof(much) }); /* nobody reads */
	assert_int_equal(frame_send(pair[0], &frame, frame_clock() + SECOND / 50), FRAME_LATE);
	assert_true(frame_clock() - began >= SECOND / 25);
	assert_true(frame_clock() - began < 5 * SECOND);
	close(pair[1]);
	assert_int_equal(
		frame_send(pair[0], &frame, frame_clock() + SECOND), FRAME_CLOSED); /* and no SIGPIPE */
	frame_clear(&frame);
	close(pair[0]);
}

/* An answer is of the type that was asked for, and holds its fields and nothing behind them. */
static void answers_are_exact(void **state)
{
	char text[ANSWER_TEXT_SIZE] = "before";
	enum frame_error error;
	struct frame frame;
	struct bytes bytes;

	(void)state;
	frame_start(&frame, FRAME_DONE);
	assert_true(answer_plain(&frame, FRAME_DONE));
	assert_false(answer_plain(&frame, FRAME_INPUT_READ));
	assert_false(answer_error(&frame, &error, text));
	assert_string_equal(text, "");
	frame_put_number(&frame, 1);
	assert_false(answer_plain(&frame, FRAME_DONE));
	frame_clear(&frame);
	frame_start(&frame, FRAME_SEALED);
	frame_put_text(&frame, "01890a5d-ac96-774b-bcce-b302099a8057");
	assert_false(answer_sealed(&frame, "01890a5d-ac96-774b-bcce-b302099a8057", &bytes));
	frame_put_text(&frame, "der");
	assert_true(answer_sealed(&frame, "01890a5d-ac96-774b-bcce-b302099a8057", &bytes));
	assert_int_equal(bytes.length, 3);
	assert_false(answer_sealed(&frame, "01890a5d-ac96-774b-bcce-b302099a8058", &bytes));
	assert_null(bytes.data);
	assert_false(answer_node_key(&frame, &bytes));
	frame_put_text(&frame, "more");
	assert_false(answer_sealed(&frame, "01890a5d-ac96-774b-bcce-b302099a8057", &bytes));
	assert_null(bytes.data);
	frame_clear(&frame);
}

/* A release id is a UUID, and not just made of its characters: it stands in the member's log. */
static void release_ids_are_uuids(void **state)
{
	static const char *const ids[] = { "01890a5d-ac96-774b-bcce-b302099a8057",
		"------------------------------------", "01890a5dac96774bbcceb302099a80570000",
		"01890A5D-ac96-774b-bcce-b302099a8057" };
	static const struct member_pin pin = { "v", "hsm-a", "s", 1, "00", IV_HOST };
	static const unsigned char zeros[100];
	struct wrap wrap = { .length = 60 };
	struct envelope envelope = { .name = "pin", .kind = "pin", .version = 1, .text_length = 40 };
	struct complaint complaint;

	(void)state;
	envelope.text = (unsigned char *)zeros;
	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		struct request request;
		struct frame frame;

		frame_start(&frame, FRAME_SEAL);
		frame_put_pin(&frame, &pin);
		frame_put_text(&frame, ids[i]);
		frame_put_text(&frame, "i-0123456789abcdef0");
		frame_put_bytes(&frame, (struct bytes){ zeros, 32 });
		frame_put_text(&frame, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
		frame_put_bytes(&frame, (struct bytes){ zeros, 91 });
		frame_put_number(&frame, 1);
		frame_put_envelope(&frame, &envelope, &wrap);
		assert_true(request_read(&frame, &request, &complaint) == (i == 0));
		frame_clear(&frame);
	}
}

static void connecting_tells_why_not(void **state)
{
	char folder[] = "/tmp/vouchsafe-frame-XXXXXX", path[64], longer[200];
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	enum frame_result result;
	int listener, sockets[64], n = 0;

	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/s", folder);
	assert_int_equal(frame_connect(path, &result), -1);
	assert_int_equal(result, FRAME_CLOSED);
	memset(longer, 'a', sizeof(longer));
	longer[sizeof(longer) - 1] = '\0';
	assert_int_equal(frame_connect(longer, &result), -1);
	assert_int_equal(result, FRAME_BROKEN);
	memcpy(address.sun_path, path, strlen(path) + 1);
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(listener, 1), 0);
	/* a full backlog must not make anyone wait */
	while (n < 64 && (sockets[n] = frame_connect(path, &result)) >= 0)
		n++;
	assert_true(n > 0 && n < 64);
	assert_int_equal(result, FRAME_LATE);
	while (n > 0)
		close(sockets[--n]);
	close(listener);
	unlink(path);
	rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_frames_pass),
		cmocka_unit_test(cut_frames_are_refused),
		cmocka_unit_test(payloads_are_exact),
		cmocka_unit_test(lengths_are_exact),
		cmocka_unit_test(strange_heads_are_refused),
		cmocka_unit_test(fields_keep_their_bounds),
		cmocka_unit_test(frames_do_not_grow_without_end),
		cmocka_unit_test(long_frames_pass),
		cmocka_unit_test(deadlines_hold),
		cmocka_unit_test(answers_are_exact),
		cmocka_unit_test(release_ids_are_uuids),
		cmocka_unit_test(connecting_tells_why_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
