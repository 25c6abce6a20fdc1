/* Forwarded addresses: a claim that counts from a configured proxy alone, in one spelling, at one place of
 * the list. Never skips an entry because of its range, and never takes the best of several readings: what is
 * not clear is refused. */
#include "server/forwarded.h"

#include "verifier/encoding.h"
#include "verifier/reasons.h"
#include "verifier/request.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

static const char header_name[] = "X-Forwarded-For";

bool network_holds(const struct network *network, struct in_addr address)
{
	uint32_t mask = network->bits ? UINT32_MAX << (32 - network->bits) : 0;

	return ((ntohl(address.s_addr) ^ ntohl(network->address.s_addr)) & mask) == 0;
}

bool forwarding_trusts(const struct forwarding *forwarding, struct in_addr peer)
{
	unsigned i;

	for (i = 0; i < forwarding->n_proxies; i++)
		if (network_holds(&forwarding->proxies[i], peer))
			return true;
	return false;
}

/* ---- the headers */

/* Equal but for case, and for '_' in place of '-': some programs on the way cannot tell the two. */
static bool name_resembles(const char *name, size_t length, const char *wanted)
{
	size_t i;

	if (length != strlen(wanted))
		return false;
	for (i = 0; i < length; i++) {
		char c = name[i] == '_' ? '-' : name[i];

		if (strncasecmp(&c, &wanted[i], 1) != 0)
			return false;
	}
	return true;
}

static bool name_forwards(const char *name, size_t length)
{
	return name_resembles(name, length, header_name) || name_resembles(name, length, "Forwarded");
}

static bool is_blank(unsigned char c)
{
	return c == ' ' || c == '\t';
}

/* The next element of a comma-separated list without the blanks around it; false behind the last one. An
 * empty list has one empty element. */
static bool list_next(struct bytes *list, struct bytes *element)
{
	const unsigned char *comma;

	if (!list->data)
		return false;
	comma = memchr(list->data, ',', list->length);
	element->data = list->data;
	element->length = comma ? (size_t)(comma - list->data) : list->length;
	list->length -= element->length + (comma ? 1 : 0);
	list->data = comma ? comma + 1 : NULL;
	while (element->length && is_blank(element->data[0])) {
		element->data++;
		element->length--;
	}
	while (element->length && is_blank(element->data[element->length - 1]))
		element->length--;
	return true;
}

static bool entry_decode(struct bytes entry, struct in_addr *address)
{
	char text[ADDRESS_SIZE];

	if (entry.length >= sizeof(text) || memchr(entry.data, '\0', entry.length))
		return false;
	memcpy(text, entry.data, entry.length);
	text[entry.length] = '\0';
	return address_decode(text, address);
}

static void entries_take(struct forwarded *forwarded, struct bytes value)
{
	struct bytes entry;

	while (!forwarded->refused && list_next(&value, &entry)) {
		struct in_addr *place = &forwarded->last[forwarded->n % PROXY_HOPS_MAX];

		forwarded->refused = !entry_decode(entry, place);
		forwarded->n++;
	}
}

/* "Connection: X-Forwarded-For" asks a proxy on the way to take out what it has put in. */
static bool connection_names(struct bytes value)
{
	struct bytes token;

	while (list_next(&value, &token))
		if (name_forwards((const char *)token.data, token.length))
			return true;
	return false;
}

void forwarded_header(struct forwarded *forwarded, const char *name, struct bytes value)
{
	if (strcasecmp(name, header_name) == 0)
		entries_take(forwarded, value);
	else if (name_forwards(name, strlen(name)))
		forwarded->refused = true;
	else if (strcasecmp(name, "Connection") == 0 && connection_names(value))
		forwarded->refused = true;
}

/* ---- whose request it is */

static enum speaker unclear(struct reason *reason, const char *text)
{
	(void)refused(reason, REASON_MALFORMED, "%s", text);
	return SPEAKER_UNCLEAR;
}

enum speaker forwarded_resolve(const struct forwarding *forwarding, const struct forwarded *forwarded,
	struct in_addr *address, struct reason *reason)
{
	bool trusted = forwarding_trusts(forwarding, *address);

	if (forwarded->refused)
		return unclear(reason, "headers: a forwarded address that cannot be read in one way");
	if (forwarded->n > 0) {
		if (forwarding->by != FORWARDED_BY_HEADER || !trusted)
			return unclear(reason, "headers: no forwarded address is taken from this peer");
		if (forwarded->n < forwarding->hops)
			return unclear(reason, "headers: fewer forwarded addresses than proxies on the way");
		*address = forwarded->last[(forwarded->n - forwarding->hops) % PROXY_HOPS_MAX];
	}
	return forwarding_trusts(forwarding, *address) ? SPEAKER_PROXY : SPEAKER_AGENT;
}
