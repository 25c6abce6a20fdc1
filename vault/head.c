/* The text of a member's state: written in one way, and taken in no other. */
#include "vault/head.h"
#include "vault/checkpoint.h"
#include "verifier/encoding.h"

#include <openssl/evp.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- writing */

struct writer {
	char *text;
	size_t used;
};

static void put(struct writer *writer, const char *format, ...) PRINTF_LIKE(2, 3);
static void put(struct writer *writer, const char *format, ...)
{
	va_list arguments;
	int n;

	va_start(arguments, format);
	n = vsnprintf(writer->text + writer->used, HEAD_TEXT_MAX - writer->used, format, arguments);
	va_end(arguments);
	writer->used += n > 0 ? (size_t)n : 0;
}

static void put_head(struct writer *writer, const struct signed_head *head)
{
	char hash[HEX_SIZE(32)], time[TIMESTAMP_SIZE];

	hex_encode((struct bytes){ head->hash, sizeof(head->hash) }, hash);
	timestamp_encode(head->time_us, time);
	put(writer, "%lld %s %s", head->seq, hash, time);
}

size_t head_write(
	const struct head_state *state, const char *vault, const char *member, char text[HEAD_TEXT_MAX])
{
	struct writer writer = { .text = text };
	unsigned char sum[32] = { 0 };
	char hex[HEX_SIZE(32)], time[TIMESTAMP_SIZE];

	_Static_assert(HEAD_FORMER_MAX * 200 + 600 < HEAD_TEXT_MAX, "all lines fit");
	put(&writer, "vouchsafe head 1\nvault %s\nmember %s\nhead ", vault, member);
	put_head(&writer, &state->head);
	put(&writer, "\nseals %lld\n", state->seals);
	for (unsigned i = 0; i < state->n_former; i++) {
		timestamp_encode(state->former[i].accepted_us, time);
		put(&writer, "former ");
		put_head(&writer, &state->former[i].head);
		put(&writer, " given up %s\n", time);
	}
	if (EVP_Digest(text, writer.used, sum, NULL, EVP_sha256(), NULL) != 1)
		return 0;
	hex_encode((struct bytes){ sum, sizeof(sum) }, hex);
	put(&writer, "sha256 %s\n", hex);
	return writer.used;
}

/* ---- reading: fields one by one, and what they make is held against what came */

struct reader {
	const char *at; /* NUL-terminated */
	bool failed;
};

/* Passes over these very characters. */
static void pass(struct reader *reader, const char *text)
{
	size_t length = strlen(text);

	if (!reader->failed && strncmp(reader->at, text, length) == 0)
		reader->at += length;
	else
		reader->failed = true;
}

/* Up to a blank or the line's end, at most size - 1 characters. */
static void take_word(struct reader *reader, char *to, size_t size)
{
	size_t length = reader->failed ? 0 : strcspn(reader->at, " \n");

	if (length == 0 || length >= size) {
		reader->failed = true;
		length = 0;
	}
	memcpy(to, reader->at, length);
	to[length] = '\0';
	reader->at += length;
}

static long long take_number(struct reader *reader)
{
	char word[24];

	take_word(reader, word, sizeof(word));
	if (word[strspn(word, "0123456789")] != '\0' || strlen(word) > 19)
		reader->failed = true;
	return reader->failed ? 0 : strtoll(word, NULL, 10);
}

static long long take_time(struct reader *reader)
{
	char word[TIMESTAMP_SIZE];
	long long time = 0;

	take_word(reader, word, sizeof(word));
	reader->failed = reader->failed || !timestamp_decode(word, &time);
	return time;
}

static void take_head(struct reader *reader, struct signed_head *head)
{
	char hash[HEX_SIZE(32)];

	head->seq = take_number(reader);
	pass(reader, " ");
	take_word(reader, hash, sizeof(hash));
	reader->failed = reader->failed || !hex_decode(hash, head->hash, sizeof(head->hash));
	pass(reader, " ");
	head->time_us = take_time(reader);
}

static void take_former(struct reader *reader, struct head_state *state)
{
	struct head_former *former = &state->former[state->n_former];

	if (state->n_former == HEAD_FORMER_MAX) {
		reader->failed = true;
		return;
	}
	pass(reader, "former ");
	take_head(reader, &former->head);
	pass(reader, " given up ");
	former->accepted_us = take_time(reader);
	pass(reader, "\n");
	state->n_former++;
}

static void take_state(struct reader *reader, const char *vault, const char *member, struct head_state *state)
{
	pass(reader, "vouchsafe head 1\nvault ");
	pass(reader, vault);
	pass(reader, "\nmember ");
	pass(reader, member);
	pass(reader, "\nhead ");
	take_head(reader, &state->head);
	pass(reader, "\nseals ");
	state->seals = take_number(reader);
	pass(reader, "\n");
	while (!reader->failed && reader->at[0] == 'f')
		take_former(reader, state);
}

bool head_read(struct bytes bytes, const char *vault, const char *member, struct head_state *state,
	struct complaint *complaint)
{
	char text[HEAD_TEXT_MAX], again[HEAD_TEXT_MAX];
	struct reader reader = { .at = text };
	size_t length;

	memset(state, 0, sizeof(*state));
	if (bytes.length >= sizeof(text))
		return complain(complaint, "longer than it can be");
	memcpy(text, bytes.data, bytes.length);
	text[bytes.length] = '\0';
	take_state(&reader, vault, member, state);
	if (reader.failed || state->head.seq == 0) {
		memset(state, 0, sizeof(*state));
		return complain(complaint, "not a state of this vault's %s", member);
	}
	length = head_write(state, vault, member, again);
	if (length == bytes.length && memcmp(again, text, length) == 0)
		return true;
	memset(state, 0, sizeof(*state));
	return complain(complaint, "not what was written: its checksum does not fit");
}
