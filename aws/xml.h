#ifndef AWS_XML_H
#define AWS_XML_H
/* Takes the wanted elements out of one of AWS's XML answers, and nothing that is not exactly as we know it:
 * the root's name, its namespace on every element, UTF-8, each wanted element at most once below its parent.
 * Refused are: DOCTYPE, entities beyond the five predefined ones, processing instructions, prefixes;
 * attributes, comments, CDATA or elements inside a wanted text; text inside a wanted container; more than
 * XML_BYTES_MAX, XML_DEPTH_MAX, XML_TEXT_MAX. */
#include "verifier/outcome.h"

enum { XML_BYTES_MAX = 8 * 1024 * 1024, XML_DEPTH_MAX = 32, XML_TEXT_MAX = 8191, XML_WHY_SIZE = 120 };

/* What is wanted, as an outline: a rule belongs to the nearest one above it that is one less deep. A rule
 * with deeper ones below it is a container, the others are texts. Elements that are in no rule are skipped,
 * with all that is in them. */
struct xml_rule {
	unsigned depth; /* 1: a child of the root */
	const char *name;
	bool many; /* may stand more than once below its parent */
	/* For any rule; false: the answer is refused. May be NULL. */
	bool (*begin)(void *context);
	bool (*end)(void *context);
	/* For texts: stored as a string at `offset` of the context, where it must fit `size` with its NUL ...
	 */
	size_t offset, size;
	/* ... or (also) handed over. */
	bool (*text)(void *context, const char *text);
};

/* Where a text is to be stored: .name = "...", XML_STORE(struct reading, facts.image_id) */
#define XML_STORE(type, member) .offset = offsetof(type, member), .size = sizeof(((type *)0)->member)

struct xml_outline {
	const char *root;
	const struct xml_rule *rules;
	unsigned n_rules;
};

/* Reads a whole document; `namespace` "" means none. On false `why` says what is wrong, in our words alone
 * (never any of the answer's), and the context may be half filled. */
MUST_USE bool xml_read(const struct xml_outline *, const char *namespace, struct bytes document,
	void *context, char why[XML_WHY_SIZE]);

#endif
