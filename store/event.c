/* Writes one event as canonical JSON. By hand, not over jansson: the members' order, the escapes and so the
 * hash must not change with a library's version, a value that is no UTF-8 must not make an owed event
 * impossible, nothing here may fail for want of memory, and this runs once for each request inside the write
 * lock. What it must never do is let a byte of a caller's text end the line or the string it stands in. */
#include "store/event.h"

#include "verifier/encoding.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

static void put(struct event_buffer *buffer, const char *text, size_t length)
{
	if (length > sizeof(buffer->data) - buffer->used) {
		buffer->overflowed = true;
		return;
	}
	memcpy(buffer->data + buffer->used, text, length);
	buffer->used += length;
}

static void put_text(struct event_buffer *buffer, const char *text)
{
	put(buffer, text, strlen(text));
}

static void put_unit(struct event_buffer *buffer, unsigned unit)
{
	char text[7];

	snprintf(text, sizeof(text), "\\u%04x", unit & 0xffff);
	put(buffer, text, 6);
}

static void put_escaped(struct event_buffer *buffer, unsigned point)
{
	if (point == '"' || point == '\\') {
		put(buffer, "\\", 1);
		put(buffer, point == '"' ? "\"" : "\\", 1);
	} else if (point >= 0x10000) {
		put_unit(buffer, 0xd7c0 + (point >> 10));
		put_unit(buffer, 0xdc00 + (point & 0x3ff));
	} else {
		put_unit(buffer, point);
	}
}

/* Reads one character (RFC 3629: shortest form, no surrogates, up to U+10FFFF); a byte that begins none is
 * U+FFFD. */
static size_t utf8_next(const unsigned char *text, size_t length, unsigned *point)
{
	static const unsigned least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t n = text[0] < 0x80   ? 1
		   : text[0] < 0xc2 ? 0
		   : text[0] < 0xe0 ? 2
		   : text[0] < 0xf0 ? 3
		   : text[0] < 0xf5 ? 4
				    : 0;
	unsigned value = n == 1 ? text[0] : text[0] & (0x7fu >> n);

	*point = 0xfffd;
	if (n == 0 || n > length)
		return 1;
	for (size_t i = 1; i < n; i++) {
		if ((text[i] & 0xc0) != 0x80)
			return 1;
		value = value << 6 | (text[i] & 0x3fu);
	}
	if (value < least[n] || value > 0x10ffff || (value >= 0xd800 && value < 0xe000))
		return 1;
	*point = value;
	return n;
}

static bool plain(unsigned char c)
{
	return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

/* Not into the middle of a character. */
static size_t text_cut(const char *text, size_t length)
{
	if (length <= EVENT_TEXT_MAX)
		return length;
	length = EVENT_TEXT_MAX;
	while (length > EVENT_TEXT_MAX - 4 && ((unsigned char)text[length] & 0xc0) == 0x80)
		length--;
	return length;
}

static void put_string(struct event_buffer *buffer, const char *text)
{
	const unsigned char *bytes = (const unsigned char *)text;
	size_t whole = strlen(text), length = text_cut(text, whole), run;
	unsigned point;

	put(buffer, "\"", 1);
	for (size_t i = 0; i < length;) {
		for (run = i; run < length && plain(bytes[run]); run++)
			;
		put(buffer, text + i, run - i);
		if (run < length) {
			run += utf8_next(bytes + run, length - run, &point);
			put_escaped(buffer, point);
		}
		i = run;
	}
	put_text(buffer, length < whole ? "...\"" : "\"");
}

/* ---- members; `name` comes with its comma, quotes and colon */

static void member_text(struct event_buffer *buffer, const char *name, const char *value)
{
	if (!value || !value[0])
		return;
	put_text(buffer, name);
	put_string(buffer, value);
}

static void member_hash(struct event_buffer *buffer, const char *name, const unsigned char *hash)
{
	char text[HEX_SIZE(32)];

	if (!hash)
		return;
	hex_encode((struct bytes){ hash, 32 }, text);
	member_text(buffer, name, text);
}

static void member_policy(struct event_buffer *buffer, const struct event *event)
{
	size_t before;

	if (!event->policy_sha256 && !event->rule && !event->unbound_key)
		return;
	put_text(buffer, ",\"policy\":{");
	before = buffer->used;
	member_text(buffer, "\"hash\":", event->policy_sha256);
	member_text(buffer, buffer->used > before ? ",\"rule\":" : "\"rule\":", event->rule);
	if (event->unbound_key)
		put_text(buffer, buffer->used > before ? ",\"unbound_key\":true" : "\"unbound_key\":true");
	put(buffer, "}", 1);
}

static void member_checks(struct event_buffer *buffer, const struct claims *claims)
{
	if (!claims || claims->n_checks == 0)
		return;
	put_text(buffer, ",\"checks\":[");
	for (unsigned i = 0; i < claims->n_checks; i++) {
		const struct check *check = &claims->checks[i];

		put_text(buffer, i > 0 ? ",{\"name\":" : "{\"name\":");
		put_string(buffer, check->name);
		put_text(buffer, ",\"result\":");
		put_string(buffer, check_result_name(check->result));
		put_text(buffer, ",\"expected\":");
		put_string(buffer, check_expected(claims, check));
		put_text(buffer, ",\"observed\":");
		put_string(buffer, check_observed(claims, check));
		put_text(buffer, ",\"by\":");
		put_string(buffer, check->by);
		put(buffer, "}", 1);
	}
	put(buffer, "]", 1);
}

static void member_secrets(struct event_buffer *buffer, const struct event *event)
{
	char text[24];

	if (event->n_secrets == 0)
		return;
	put_text(buffer, ",\"secrets\":[");
	for (size_t i = 0; i < event->n_secrets; i++) {
		put_text(buffer, i > 0 ? ",{\"name\":" : "{\"name\":");
		put_string(buffer, event->secrets[i].name);
		snprintf(text, sizeof(text), ",\"version\":%u}", event->secrets[i].version);
		put_text(buffer, text);
	}
	put(buffer, "]", 1);
}

static void members_who(struct event_buffer *buffer, const struct event *event)
{
	member_text(buffer, ",\"event\":", event->event);
	member_text(buffer, ",\"outcome\":", event->outcome);
	member_text(buffer, ",\"reason\":", event->reason);
	member_text(buffer, ",\"comment\":", event->comment);
	member_text(buffer, ",\"actor\":", event->actor);
	member_text(buffer, ",\"request_id\":", event->request_id);
	member_text(buffer, ",\"release_id\":", event->release_id);
	member_text(buffer, ",\"node\":", event->node);
	member_text(buffer, ",\"instance-id\":", event->instance_id);
	member_text(buffer, ",\"account-id\":", event->account_id);
	member_text(buffer, ",\"region\":", event->region);
	member_text(buffer, ",\"role\":", event->role);
	member_text(buffer, ",\"source\":", event->source);
}

bool event_write(struct event_buffer *buffer, const struct event *event)
{
	char time[TIMESTAMP_SIZE], text[32];

	buffer->used = 0;
	buffer->overflowed = false;
	snprintf(text, sizeof(text), "{\"seq\":%lld", event->seq);
	put_text(buffer, text);
	timestamp_encode(event->time_us, time);
	member_text(buffer, ",\"time\":", time);
	members_who(buffer, event);
	member_hash(buffer, ",\"one_time_hash\":", event->one_time_hash);
	member_hash(buffer, ",\"assertion_sha256\":", event->assertion_sha256);
	member_hash(buffer, ",\"recipient\":", event->recipient_sha256);
	member_policy(buffer, event);
	member_checks(buffer, event->claims);
	member_secrets(buffer, event);
	member_hash(buffer, ",\"previous\":", event->previous);
	put(buffer, "}", 1);
	return !buffer->overflowed;
}

bool event_hash(struct bytes text, unsigned char hash[32])
{
	static const unsigned char leaf = 0;
	EVP_MD_CTX *digest = EVP_MD_CTX_new();
	bool done = digest && EVP_DigestInit_ex(digest, EVP_sha256(), NULL) == 1 &&
		    EVP_DigestUpdate(digest, &leaf, 1) == 1 &&
		    EVP_DigestUpdate(digest, text.data, text.length) == 1 &&
		    EVP_DigestFinal_ex(digest, hash, NULL) == 1;

	EVP_MD_CTX_free(digest);
	return done;
}
