/* A walk over BER that keeps nothing. OpenSSL takes a sequence that is marked as primitive, and pieces of an
 * octet string that are marked as anything: harmless, but then one blob has many spellings, and another
 * reader may see another thing in them. */
#include "verifier/ber.h"

enum { CONSTRUCTED = 0x20, CONTEXT = 0x80, CLASS = 0xc0, NUMBER = 0x1f };
enum { OCTET_STRING = 0x04, SEQUENCE = 0x10, SET = 0x11 };

struct element {
	unsigned char tag;
	bool indefinite;
	struct bytes content; /* to the end of what there is, where it is indefinite */
};

/* Tag and length at the front of *rest; leaves *rest behind them. */
static bool head_take(struct bytes *rest, struct element *element)
{
	size_t length, octets;

	if (rest->length < 2)
		return false;
	element->tag = rest->data[0];
	length = rest->data[1];
	rest->data += 2;
	rest->length -= 2;
	element->indefinite = length == 0x80;
	if (length > 0x80) {
		octets = length & 0x7f;
		if (octets > 3 || octets > rest->length)
			return false;
		for (length = 0; octets; octets--, rest->data++, rest->length--)
			length = length << 8 | rest->data[0];
	}
	if (element->indefinite)
		length = rest->length;
	element->content = (struct bytes){ rest->data, length };
	return length <= rest->length;
}

/* The tag of an end of contents is zero: it is never an element here. */
static bool tag_plain(const struct element *element, bool piece)
{
	bool constructed = element->tag & CONSTRUCTED;
	unsigned number = element->tag & NUMBER;

	if (piece)
		return element->tag == OCTET_STRING;
	if (number == NUMBER || element->tag == 0 || (element->indefinite && !constructed))
		return false;
	if ((element->tag & CLASS) == CONTEXT)
		return constructed;
	if (element->tag & CLASS)
		return false;
	if (number == SEQUENCE || number == SET)
		return constructed;
	return !constructed || number == OCTET_STRING;
}

static void skip(struct bytes *rest, size_t length)
{
	rest->data += length;
	rest->length -= length;
}

/* Takes one element off the front of *rest; `piece`: of an octet string. */
static bool element_take(struct bytes *rest, unsigned depth, bool piece)
{
	struct element element;
	struct bytes inside;
	bool pieces;

	if (!head_take(rest, &element) || !tag_plain(&element, piece))
		return false;
	if (!(element.tag & CONSTRUCTED)) {
		skip(rest, element.content.length);
		return true;
	}
	pieces = element.tag == (OCTET_STRING | CONSTRUCTED);
	for (inside = element.content; inside.length;) {
		if (element.indefinite && inside.length >= 2 && !inside.data[0] && !inside.data[1])
			break;
		if (depth == BER_DEPTH_MAX || !element_take(&inside, depth + 1, pieces))
			return false;
	}
	if (element.indefinite && inside.length < 2)
		return false;
	skip(rest, element.content.length - inside.length + (element.indefinite ? 2 : 0));
	return true;
}

bool ber_plain(struct bytes blob)
{
	return blob.length <= BER_BYTES_MAX && element_take(&blob, 1, false) && blob.length == 0;
}
