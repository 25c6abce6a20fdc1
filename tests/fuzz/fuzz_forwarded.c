/* X-Forwarded-For and what resembles it. The input: flags, hops, then lines "name: value". Whose request it
 * is must come out the same as by a second reading that joins all headers into one list. */
#include "server/forwarded.h"
#include "tests/fuzz/fuzz.h"
#include "verifier/encoding.h"
#include "verifier/reasons.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

enum { TRUSTED = 1, BY_HEADER = 2 };

static const struct network proxies = { { 0 }, 28 };

static struct forwarding forwarding_of(uint8_t flags, uint8_t hops)
{
	struct forwarding forwarding = { .by = flags & BY_HEADER ? FORWARDED_BY_HEADER
								 : FORWARDED_BY_PROXY_PROTOCOL,
		.hops = 1 + hops % PROXY_HOPS_MAX,
		.n_proxies = 1,
		.proxies = { proxies } };

	inet_pton(AF_INET, "10.0.255.0", &forwarding.proxies[0].address);
	return forwarding;
}

/* Takes a line off; false behind the last. */
static bool line_next(struct bytes *rest, char *name, size_t size, struct bytes *value)
{
	const unsigned char *end = memchr(rest->data, '\n', rest->length);
	size_t length = end ? (size_t)(end - rest->data) : rest->length;
	const unsigned char *colon = memchr(rest->data, ':', length);
	size_t n = colon ? (size_t)(colon - rest->data) : length;

	if (rest->length == 0)
		return false;
	snprintf(name, size, "%.*s", (int)(n < size ? n : size - 1), (const char *)rest->data);
	*value = (struct bytes){ colon ? colon + 1 : rest->data + n, colon ? length - n - 1 : 0 };
	rest->data += length + (end ? 1 : 0);
	rest->length -= length + (end ? 1 : 0);
	return true;
}

/* All values of the one header, joined by commas. */
struct list {
	char text[INPUT_MAX + 1];
	size_t length;
	bool any;
};

static void list_add(struct list *list, struct bytes value)
{
	if (list->any)
		list->text[list->length++] = ',';
	memcpy(list->text + list->length, value.data, value.length);
	list->length += value.length;
	list->any = true;
}

/* The entry `hops` from the right, by the last comma; false where it is none in canonical form. */
static bool list_entry(const struct list *list, unsigned hops, struct in_addr *address)
{
	size_t end = list->length, start;
	char text[INET_ADDRSTRLEN];

	for (;; end = start - 1) {
		for (start = end; start > 0 && list->text[start - 1] != ','; start--)
			;
		if (--hops == 0)
			break;
		if (start == 0)
			return false;
	}
	while (start < end && strchr(" \t", list->text[start]) && list->text[start])
		start++;
	while (end > start && strchr(" \t", list->text[end - 1]) && list->text[end - 1])
		end--;
	if (end - start >= sizeof(text) || memchr(list->text + start, '\0', end - start))
		return false;
	snprintf(text, sizeof(text), "%.*s", (int)(end - start), list->text + start);
	return address_decode(text, address);
}

static void speaker_fits(const struct forwarding *forwarding, const struct list *list, struct in_addr peer,
	enum speaker speaker, struct in_addr address, const struct reason *reason)
{
	struct in_addr wanted = peer;

	if (speaker == SPEAKER_UNCLEAR) {
		MUST_HOLD(strcmp(reason->code, REASON_MALFORMED) == 0 && reason->text[0]);
		return;
	}
	if (list->any) {
		MUST_HOLD(forwarding->by == FORWARDED_BY_HEADER && forwarding_trusts(forwarding, peer));
		MUST_HOLD(list_entry(list, forwarding->hops, &wanted));
	}
	MUST_HOLD(address.s_addr == wanted.s_addr);
	MUST_HOLD((speaker == SPEAKER_PROXY) == forwarding_trusts(forwarding, address));
}

/* One header that holds the list is the same as many. */
static void joined_same(const struct forwarding *forwarding, const struct list *list, struct in_addr peer,
	enum speaker speaker, struct in_addr address)
{
	struct forwarded forwarded = { 0 };
	struct reason reason;
	struct bytes value = { (const unsigned char *)list->text, list->length };

	if (list->any)
		forwarded_header(&forwarded, "X-Forwarded-For", value);
	MUST_HOLD(speaker == SPEAKER_UNCLEAR ||
		  (forwarded_resolve(forwarding, &forwarded, &peer, &reason) == speaker &&
			  peer.s_addr == address.s_addr));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct list list;
	struct bytes rest, value;
	struct forwarded forwarded = { 0 };
	struct forwarding forwarding;
	struct in_addr peer, address;
	struct reason reason = { NULL, "" };
	enum speaker speaker;
	char name[64];

	if (size < 2 || size > INPUT_MAX)
		return 0;
	rest = (struct bytes){ data + 2, size - 2 };
	forwarding = forwarding_of(data[0], data[1]);
	inet_pton(AF_INET, data[0] & TRUSTED ? "10.0.255.7" : "10.0.1.225", &peer);
	list.length = list.any = 0;
	while (line_next(&rest, name, sizeof(name), &value)) {
		forwarded_header(&forwarded, name, value);
		if (strcasecmp(name, "X-Forwarded-For") == 0)
			list_add(&list, value);
	}
	address = peer;
	speaker = forwarded_resolve(&forwarding, &forwarded, &address, &reason);
	speaker_fits(&forwarding, &list, peer, speaker, address, &reason);
	joined_same(&forwarding, &list, peer, speaker, address);
	return 0;
}
