/* Writes the payload of a release by hand: jansson would leave copies of every value on the heap. What is
 * under way lies in one small locked buffer, wiped at the end. */
#include "vault/payload.h"
#include "verifier/encoding.h"

#include <openssl/crypto.h>

#include <stdio.h>
#include <string.h>

enum { PIECE = 4000, GROUP = 48 }; /* with its head one block of 4 KiB */

struct payload {
	bool (*sink)(void *context, struct bytes piece);
	void *context;
	bool failed;
	unsigned secrets;
	size_t used;
	unsigned char piece[PIECE];
};

static void piece_out(struct payload *payload)
{
	if (!payload->failed && payload->used > 0 &&
		!payload->sink(payload->context, (struct bytes){ payload->piece, payload->used }))
		payload->failed = true;
	payload->used = 0;
}

static void put(struct payload *payload, const void *data, size_t length)
{
	const unsigned char *from = data;

	while (length > 0) {
		size_t room = sizeof(payload->piece) - payload->used, n = length < room ? length : room;

		memcpy(payload->piece + payload->used, from, n);
		payload->used += n;
		from += n;
		length -= n;
		if (payload->used == sizeof(payload->piece))
			piece_out(payload);
	}
}

static void put_text(struct payload *payload, const char *text)
{
	put(payload, text, strlen(text));
}

/* Names, ids, hashes: grammars that hold nothing to escape. */
static void put_member(struct payload *payload, const char *name, const char *text, const char *after)
{
	put_text(payload, "\"");
	put_text(payload, name);
	put_text(payload, "\":\"");
	put_text(payload, text);
	put_text(payload, "\"");
	put_text(payload, after);
}

/* The length of the UTF-8 sequence at the start (RFC 3629: shortest form, no surrogates, up to U+10FFFF); 0:
 * none. */
static size_t utf8_length(const unsigned char *at, size_t left)
{
	static const struct {
		unsigned char first, last, second_first, second_last;
		size_t length;
	} rows[] = { { 0x01, 0x7f, 0, 0, 1 }, { 0xc2, 0xdf, 0x80, 0xbf, 2 }, { 0xe0, 0xe0, 0xa0, 0xbf, 3 },
		{ 0xe1, 0xec, 0x80, 0xbf, 3 }, { 0xed, 0xed, 0x80, 0x9f, 3 }, { 0xee, 0xef, 0x80, 0xbf, 3 },
		{ 0xf0, 0xf0, 0x90, 0xbf, 4 }, { 0xf1, 0xf3, 0x80, 0xbf, 4 }, { 0xf4, 0xf4, 0x80, 0x8f, 4 } };

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (at[0] < rows[i].first || at[0] > rows[i].last)
			continue;
		if (rows[i].length > left)
			return 0;
		if (rows[i].length > 1 && (at[1] < rows[i].second_first || at[1] > rows[i].second_last))
			return 0;
		for (size_t k = 2; k < rows[i].length; k++)
			if (at[k] < 0x80 || at[k] > 0xbf)
				return 0;
		return rows[i].length;
	}
	return 0;
}

/* The escape's letter for `byte`: 0 where it stands for itself, 'u' where only its number will do. */
static char escape_letter(unsigned char byte)
{
	switch (byte) {
	case '"':
	case '\\':
		return (char)byte;
	case '\b':
		return 'b';
	case '\f':
		return 'f';
	case '\n':
		return 'n';
	case '\r':
		return 'r';
	case '\t':
		return 't';
	default:
		return byte < ' ' || byte == 0x7f ? 'u' : '\0';
	}
}

static bool is_text(struct bytes value)
{
	size_t escaped = 0, n;

	for (size_t i = 0; i < value.length; i += n) {
		char letter = escape_letter(value.data[i]);

		n = utf8_length(value.data + i, value.length - i);
		if (n == 0)
			return false;
		escaped += letter == '\0' ? n : letter == 'u' ? 6 : 2;
	}
	return escaped <= 2 * value.length;
}

static void put_escaped(struct payload *payload, struct bytes value)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < value.length; i++) {
		unsigned char byte = value.data[i];
		char letter = escape_letter(byte);

		if (letter == '\0') {
			put(payload, &byte, 1);
			continue;
		}
		put(payload, "\\", 1);
		put(payload, &letter, 1);
		if (letter == 'u') {
			put(payload, "00", 2);
			put(payload, &digits[byte >> 4], 1);
			put(payload, &digits[byte & 15], 1);
		}
	}
}

static void put_base64(struct payload *payload, struct bytes value)
{
	for (size_t i = 0; i < value.length; i += GROUP) {
		size_t n = value.length - i < GROUP ? value.length - i : GROUP;

		/* encoded where it will stand, in locked memory */
		if (sizeof(payload->piece) - payload->used < BASE64_SIZE(GROUP))
			piece_out(payload);
		base64_encode((struct bytes){ value.data + i, n }, (char *)payload->piece + payload->used);
		payload->used += BASE64_SIZE(n) - 1;
	}
}

struct payload *payload_new(
	bool (*sink)(void *context, struct bytes piece), void *context, const struct payload_head *head)
{
	struct payload *payload = OPENSSL_secure_zalloc(sizeof(*payload));
	char hash[HEX_SIZE(32)];

	if (payload == NULL)
		return NULL;
	payload->sink = sink;
	payload->context = context;
	hex_encode((struct bytes){ head->assertion_sha256, 32 }, hash);
	put_text(payload, "{");
	put_member(payload, "release_id", head->release_id, ",");
	put_member(payload, "instance-id", head->instance_id, ",");
	put_member(payload, "assertion_sha256", hash, ",");
	put_member(payload, "ack", head->acknowledgement, ",");
	put_text(payload, "\"secrets\":[");
	return payload;
}

void payload_secret(
	struct payload *payload, const char *name, const char *kind, unsigned version, struct bytes value)
{
	bool text = is_text(value);
	char number[32];

	snprintf(number, sizeof(number), "\"version\":%u,", version);
	put_text(payload, payload->secrets++ > 0 ? ",{" : "{");
	put_member(payload, "name", name, ",");
	put_member(payload, "kind", kind, ",");
	put_text(payload, number);
	put_member(payload, "encoding", text ? "utf-8" : "base64", ",");
	put_text(payload, "\"value\":\"");
	if (text)
		put_escaped(payload, value);
	else
		put_base64(payload, value);
	put_text(payload, "\"}");
}

bool payload_finish(struct payload *payload)
{
	put_text(payload, "]}");
	piece_out(payload);
	return !payload->failed;
}

void payload_free(struct payload *payload)
{
	OPENSSL_secure_clear_free(payload, sizeof(*payload));
}
