/* The requests of the command line to a member process for set-up, one frame after the other, with no token
 * behind it: each is answered once, in order, and says why not in printable text. */
#include "tests/fuzz/fuzz.h"
#include "vault/answer.h"
#include "vault/setup_member.h"

#include <ctype.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CONVERSATION_MAX = 4096 }; /* its answers fit a socket's buffer */

/* Whole frames at the input's start, up to the first that is none. */
static unsigned frames_whole(const uint8_t *data, size_t size)
{
	unsigned n = 0;

	while (size >= FRAME_HEAD) {
		size_t length = (size_t)data[2] << 24 | (size_t)data[3] << 16 | (size_t)data[4] << 8 |
				data[5];

		if (data[0] != 2 || data[1] == 0 || data[1] >= FRAME_TYPES_END || length > size - FRAME_HEAD)
			break;
		if (data[1] == FRAME_KEY_BYTES && length > 128 - FRAME_HEAD)
			break; /* a secret's room does not grow */
		n++;
		data += FRAME_HEAD + length;
		size -= FRAME_HEAD + length;
	}
	return n;
}

/* What comes back: first that the process is there, then an answer to each. */
static unsigned answers_read(int socket)
{
	struct frame frame;
	unsigned n = 0;

	while (frame_receive(socket, &frame, 0) == FRAME_OK) {
		char text[ANSWER_TEXT_SIZE];
		enum frame_error error;

		if (n++ == 0) {
			MUST_HOLD(answer_plain(&frame, FRAME_DONE));
		} else {
			MUST_HOLD(answer_error(&frame, &error, text) && error == ERROR_REQUEST && text[0]);
			for (const char *at = text; *at; at++)
				MUST_HOLD(isprint((unsigned char)*at));
		}
		frame_clear(&frame);
	}
	return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct vault_file file = { .id = "5b0c7f0e-0000-4000-8000-000000000001",
		.n_members = 1,
		.members = { { .name = "hsm-a", .module = "/nonexistent/module.so", .token = "t" } } };
	static const struct so_pin none;
	int pair[2];

	if (size > CONVERSATION_MAX)
		return 0;
	MUST_HOLD(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0);
	MUST_HOLD(size == 0 || send(pair[1], data, size, MSG_NOSIGNAL) == (ssize_t)size);
	shutdown(pair[1], SHUT_WR);
	MUST_HOLD(setup_serve(pair[0], &file, &file.members[0], &none) == 0);
	close(pair[0]);
	MUST_HOLD(answers_read(pair[1]) == 1 + frames_whole(data, size));
	close(pair[1]);
	return 0;
}
