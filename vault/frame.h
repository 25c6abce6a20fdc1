#ifndef VAULT_FRAME_H
#define VAULT_FRAME_H
/* What passes between vouchsafed or the command line and a member process: frames over a UNIX stream socket.
 * A frame is a version byte, a type byte, the payload's length in 4 bytes, and the payload: fields by
 * position, each behind its length in 4 bytes, all big-endian. Each request has one answer. Whoever asks may
 * send further requests before the first answer has come: they are served one by one, and answered in their
 * order (exchange.h). */
#include "store/envelopes.h"

#include <stdint.h>

enum frame_type {
	/* what a serving member knows */
	FRAME_CANARY = 1, /* pin, envelope */
	FRAME_NODE_KEY, /* pin, envelope */
	FRAME_SEAL, /* pin, release id, instance id, SHA-256 of the assertion, ack, recipient, n, n envelopes
		     */
	/* what only a member process started for set-up knows */
	FRAME_SETUP_TOKEN, /* serial ("": none pinned), may it be initialised */
	FRAME_SETUP_KEY, /* generation, key id ("": none pinned) */
	FRAME_SETUP_IV, /* nothing */
	FRAME_SETUP_MAKE, /* IV mode, name, kind (node or canary), version */
	FRAME_SETUP_PUT, /* IV mode, name, kind, version; the value comes by file descriptor SETUP_INPUT */
	FRAME_SETUP_PROVE, /* IV mode, envelope */
	/* answers */
	FRAME_DONE, /* nothing */
	FRAME_ERROR, /* enum frame_error, a sentence */
	FRAME_KEY_BYTES, /* the node key: the only plaintext that ever passes */
	FRAME_SEALED, /* release id, CMS (DER) */
	FRAME_TOKEN_FOUND, /* serial, was it initialised just now */
	FRAME_KEY_FOUND, /* key id, was it generated just now */
	FRAME_IV_FOUND, /* IV mode */
	FRAME_INPUT_READ, /* nothing: the value is there, the envelope follows */
	FRAME_ENVELOPE, /* nonce, text, wrap */
	/* of a serving member, added later: numbers are never given anew */
	FRAME_CHECKPOINT, /* serial, key id, head: seq, hash, time in microseconds */
	FRAME_LAST, /* nothing: what was the last head? */
	/* of set-up */
	FRAME_SETUP_SIGNER, /* key id ("": none pinned) */
	FRAME_SETUP_LAST, /* nothing */
	FRAME_SETUP_ACCEPT, /* head, and when that was */
	/* answers */
	FRAME_SIGNED, /* seals, signature */
	FRAME_BEHIND, /* the last head: what was to be signed is older, or another one of that seq */
	FRAME_LAST_IS, /* enum last, head */
	FRAME_SIGNER_FOUND, /* key id, public key, was it generated just now */
	FRAME_TYPES_END
};

enum frame_error {
	ERROR_REQUEST = 1, /* this request cannot be done, the token is well */
	ERROR_TOKEN, /* the token is not well */
	ERROR_BUSY, /* too many connections */
	ERROR_STATE /* what the member has to remember cannot be read or written */
};

/* What a member knows of its last signed head. */
enum last {
	LAST_NONE, /* it has signed nothing, or somebody has removed its state */
	LAST_SIGNED,
	LAST_UNREADABLE /* to set-up alone; a serving member says ERROR_STATE */
};

enum {
	FRAME_HEAD = 6,
	FRAME_MAX = 5 << 19, /* 16 envelopes, or what they become when sealed */
	SEAL_ITEMS_MAX = 16,
	SERIAL_SIZE = 17,
	DATA_KEY_BYTES = 32,
	NONCE_BYTES = 12,
	TAG_BYTES = 16,
	SETUP_SOCKET = 3, /* file descriptors of a member process that was started for set-up */
	SETUP_INPUT = 4
};

enum frame_result {
	FRAME_OK,
	FRAME_CLOSED, /* the other side has gone */
	FRAME_LATE, /* the deadline */
	FRAME_BROKEN, /* not our language, or no memory */
	FRAME_PART /* without waiting, not all of it yet */
};
const char *frame_result_text(enum frame_result);

const char *iv_mode_text(enum iv_mode); /* "IV made by the host" */

/* Monotonic nanoseconds: the clock of all deadlines here. A deadline of 0 is none. */
long long frame_clock(void);

/* One frame in memory. Its bytes are wiped when it is cleared; FRAME_KEY_BYTES is kept in locked memory. */
struct frame {
	enum frame_type type;
	unsigned char *data; /* head and payload */
	size_t length, room;
	bool failed; /* memory is out, or it grew too long: frame_send says FRAME_BROKEN */
};
void frame_start(struct frame *, enum frame_type);
/* FRAME_ERROR with its sentence. */
void frame_start_error(struct frame *, enum frame_error, const char *text);
void frame_clear(struct frame *);
/* The payload of another frame, into one that was just started. */
MUST_USE bool frame_copy(struct frame *to, const struct frame *from);
void frame_put_bytes(struct frame *, struct bytes);
void frame_put_text(struct frame *, const char *);
void frame_put_number(struct frame *, uint32_t);
void frame_put_long(struct frame *, long long); /* 8 bytes; 0 and more */
void frame_put_head(struct frame *, const struct signed_head *);
/* Serial, generation, key id, IV mode. */
void frame_put_pin(struct frame *, const struct member_pin *);
/* Name, kind, version, nonce, text, and that one wrap. */
void frame_put_envelope(struct frame *, const struct envelope *, const struct wrap *);

/* Whole, or not FRAME_OK. Never raises SIGPIPE. The socket is non-blocking. */
MUST_USE enum frame_result frame_send(int socket, struct frame *, long long deadline);
/* On FRAME_OK the frame is the caller's to clear; otherwise it is empty. */
MUST_USE enum frame_result frame_receive(int socket, struct frame *, long long deadline);
/* Sends the one and receives the other; both within the deadline. */
MUST_USE enum frame_result frame_exchange(
	int socket, struct frame *request, struct frame *answer, long long deadline);

/* Until the socket is ready for these events of poll(2), or has ended. */
MUST_USE enum frame_result frame_wait(int socket, short events, long long deadline);
/* As much as passes without waiting: FRAME_PART where that is not all, to be called again once the socket is
 * ready. *sent starts at 0. */
MUST_USE enum frame_result frame_send_some(int socket, struct frame *, size_t *sent);

/* What has come of a frame. Starts as zeros, and is zeros again after any result but FRAME_PART. */
struct frame_part {
	unsigned char head[FRAME_HEAD];
	size_t received; /* of head and payload */
	struct frame frame; /* once the head is whole */
};
void frame_part_clear(struct frame_part *);
/* Never waits. As frame_receive does, or FRAME_PART. */
MUST_USE enum frame_result frame_receive_some(int socket, struct frame_part *, struct frame *);

/* Takes fields off one by one. What does not fit sets `failed`, and everything after it is empty: ask once,
 * at the end, with frame_finished. Bytes are borrowed from the frame. */
struct frame_reader {
	struct bytes rest;
	bool failed;
};
struct frame_reader frame_read(const struct frame *);
struct bytes frame_take_bytes(struct frame_reader *, size_t min, size_t max);
void frame_take_copy(struct frame_reader *, unsigned char *to, size_t length); /* exactly that many */
void frame_take_text(struct frame_reader *, char *to, size_t size); /* printable ASCII, at most size - 1 */
uint32_t frame_take_number(struct frame_reader *, uint32_t min, uint32_t max);
long long frame_take_long(struct frame_reader *, long long min, long long max);
/* A head that can be: seq from 1 (from 0 with `none`), a year up to 9999. */
void frame_take_head(struct frame_reader *, struct signed_head *, bool none);
/* Nothing failed, and nothing is left. */
MUST_USE bool frame_finished(const struct frame_reader *);

/* A connected, non-blocking, close-on-exec socket, or -1 with *result. */
int frame_connect(const char *path, enum frame_result *result);

#endif
