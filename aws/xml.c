/* A strict pull of wanted elements over libxml2's SAX2 push parser; the only file that knows libxml2. The
 * answers decide who gets secrets, so whatever is odd is refused rather than understood. Must never open a
 * file or a connection, expand an entity, print, or repeat what it read in an error. */
#include "aws/xml.h"

#include "verifier/memory.h"

#include <libxml/parser.h>
#include <libxml/xmlerror.h>
#include <libxml/xmlmemory.h>
#include <openssl/crypto.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	NOTHING = -1, /* the current element is in no rule */
	ROOT = -2, /* the current element is the root */
	RULES_MAX = 64, /* bits of `seen` */
	PIECE = 16 * 1024 /* fed to the parser at a time, so that it stops early */
};

struct reading {
	const struct xml_outline *outline;
	const char *namespace;
	void *context;
	char *why;
	xmlParserCtxt *parser;
	bool refused, complete;
	int rules[XML_DEPTH_MAX + 1]; /* the rule of each open element */
	unsigned depth; /* how many are open */
	unsigned long long seen; /* rules that were met since their parent began */
	size_t text_length;
	char text[XML_TEXT_MAX + 1];
};

/* The first thing that is wrong is what is told. */
static void refuse(struct reading *reading, const char *what, const char *element)
{
	if (reading->refused)
		return;
	reading->refused = true;
	snprintf(reading->why, XML_WHY_SIZE, "%s%s%s", element ? element : "", element ? ": " : "", what);
	xmlStopParser(reading->parser);
}

static int rule_now(const struct reading *reading)
{
	return reading->depth ? reading->rules[reading->depth - 1] : NOTHING;
}

static const char *rule_name(const struct reading *reading, int rule)
{
	return rule >= 0 ? reading->outline->rules[rule].name : reading->outline->root;
}

static bool rule_is_container(const struct reading *reading, int rule)
{
	const struct xml_outline *outline = reading->outline;

	return rule == ROOT || ((unsigned)rule + 1 < outline->n_rules &&
				       outline->rules[rule + 1].depth > outline->rules[rule].depth);
}

/* The first rule of a container's own, and whether `rule` is still below it. */
static unsigned rule_first_below(int container)
{
	return container == ROOT ? 0 : (unsigned)container + 1;
}

static bool rule_is_below(const struct xml_outline *outline, unsigned rule, unsigned depth)
{
	return rule < outline->n_rules && outline->rules[rule].depth >= depth;
}

static int rule_find(const struct reading *reading, int container, const char *name)
{
	const struct xml_outline *outline = reading->outline;
	unsigned depth = container == ROOT ? 1 : outline->rules[container].depth + 1;

	for (unsigned i = rule_first_below(container); rule_is_below(outline, i, depth); i++)
		if (outline->rules[i].depth == depth && strcmp(outline->rules[i].name, name) == 0)
			return (int)i;
	return NOTHING;
}

/* A container that begins has met nothing yet. */
static void seen_forget(struct reading *reading, int container)
{
	const struct xml_outline *outline = reading->outline;
	unsigned depth = outline->rules[container].depth + 1;

	for (unsigned i = rule_first_below(container); rule_is_below(outline, i, depth); i++)
		reading->seen &= ~(1ULL << i);
}

static void rule_begin(struct reading *reading, int rule, int n_attributes)
{
	const struct xml_rule *wanted = &reading->outline->rules[rule];

	if (n_attributes > 0) {
		refuse(reading, "has attributes", wanted->name);
		return;
	}
	if (!wanted->many && (reading->seen & (1ULL << rule))) {
		refuse(reading, "is there twice", wanted->name);
		return;
	}
	reading->seen |= 1ULL << rule;
	if (rule_is_container(reading, rule))
		seen_forget(reading, rule);
	else
		reading->text_length = 0;
	if (wanted->begin && !wanted->begin(reading->context))
		refuse(reading, "must not stand here", wanted->name);
}

/* ---- what libxml2 calls */

/* UTF-8 and nothing else, also where the declaration says so of something else. */
static void document_began(void *context)
{
	struct reading *reading = context;
	const xmlParserCtxt *parser = reading->parser;
	const char *encoding = (const char *)parser->encoding;

	if ((encoding && strcasecmp(encoding, "UTF-8") != 0) || (parser->input && parser->input->encoding))
		refuse(reading, "is not in UTF-8", "the answer");
}

static void root_began(struct reading *reading, const char *name)
{
	if (strcmp(name, reading->outline->root) != 0)
		refuse(reading, "is not the root element", reading->outline->root);
	reading->rules[reading->depth++] = ROOT;
}

static void element_began(void *context, const xmlChar *name, const xmlChar *prefix, const xmlChar *uri,
	int n_namespaces, const xmlChar **namespaces, int n_attributes, int n_defaulted,
	const xmlChar **attributes)
{
	struct reading *reading = context;
	int parent = rule_now(reading), rule = NOTHING;

	(void)n_namespaces;
	(void)namespaces;
	(void)n_defaulted;
	(void)attributes;
	if (reading->refused)
		return;
	if (prefix || strcmp(uri ? (const char *)uri : "", reading->namespace) != 0) {
		refuse(reading, "an element is in another namespace", NULL);
		return;
	}
	if (reading->depth == XML_DEPTH_MAX) {
		refuse(reading, "is nested too deep", "the answer");
		return;
	}
	if (reading->depth == 0) {
		root_began(reading, (const char *)name);
		return;
	}
	if (parent >= 0 && !rule_is_container(reading, parent)) {
		refuse(reading, "has elements inside", rule_name(reading, parent));
		return;
	}
	if (parent != NOTHING)
		rule = rule_find(reading, parent, (const char *)name);
	reading->rules[reading->depth++] = rule;
	if (rule >= 0)
		rule_begin(reading, rule, n_attributes);
}

static void text_end(struct reading *reading, const struct xml_rule *rule)
{
	reading->text[reading->text_length] = '\0';
	if (rule->size > 0 && reading->text_length >= rule->size) {
		refuse(reading, "is too long", rule->name);
		return;
	}
	if (rule->size > 0)
		memcpy((char *)reading->context + rule->offset, reading->text, reading->text_length + 1);
	if (rule->text && !rule->text(reading->context, reading->text))
		refuse(reading, "is not of its form", rule->name);
}

static void element_ended(void *context, const xmlChar *name, const xmlChar *prefix, const xmlChar *uri)
{
	struct reading *reading = context;
	int rule = rule_now(reading);
	const struct xml_rule *wanted;

	(void)name;
	(void)prefix;
	(void)uri;
	if (reading->refused)
		return;
	reading->depth--;
	if (reading->depth == 0)
		reading->complete = true;
	if (rule < 0)
		return;
	wanted = &reading->outline->rules[rule];
	if (!rule_is_container(reading, rule))
		text_end(reading, wanted);
	if (!reading->refused && wanted->end && !wanted->end(reading->context))
		refuse(reading, "does not fit together", wanted->name);
}

static void text_came(void *context, const xmlChar *text, int length)
{
	struct reading *reading = context;
	int rule = rule_now(reading);

	if (reading->refused || rule == NOTHING)
		return;
	if (rule_is_container(reading, rule)) {
		/* not a byte more is read after a refusal: it ends the parser, and with it the text */
		for (int i = 0; i < length && !reading->refused; i++)
			if (!strchr(" \t\r\n", text[i]))
				refuse(reading, "has text inside", rule_name(reading, rule));
		return;
	}
	if ((size_t)length > XML_TEXT_MAX - reading->text_length) {
		refuse(reading, "is too long", rule_name(reading, rule));
		return;
	}
	memcpy(reading->text + reading->text_length, text, (size_t)length);
	reading->text_length += (size_t)length;
}

/* Two parsers may disagree about what a text is that has one of these in it. */
static void oddity_came(struct reading *reading, const char *what)
{
	int rule = rule_now(reading);

	if (rule != NOTHING && !reading->refused)
		refuse(reading, what, rule_name(reading, rule));
}

static void cdata_came(void *context, const xmlChar *text, int length)
{
	(void)text;
	(void)length;
	oddity_came(context, "has CDATA inside");
}

static void comment_came(void *context, const xmlChar *text)
{
	struct reading *reading = context;
	int rule = rule_now(reading);

	(void)text;
	if (rule >= 0 && !rule_is_container(reading, rule))
		oddity_came(reading, "has a comment inside");
}

static void instruction_came(void *context, const xmlChar *target, const xmlChar *data)
{
	(void)target;
	(void)data;
	refuse(context, "has a processing instruction", "the answer");
}

static void doctype_came(
	void *context, const xmlChar *name, const xmlChar *public_id, const xmlChar *system_id)
{
	(void)name;
	(void)public_id;
	(void)system_id;
	refuse(context, "has a DOCTYPE", "the answer");
}

static void reference_came(void *context, const xmlChar *name)
{
	(void)name;
	refuse(context, "has an entity", "the answer");
}

/* libxml2 would print otherwise. That the document is broken is seen at its end. */
static void error_swallow(void *context, xmlErrorPtr error)
{
	(void)context;
	(void)error;
}

static const xmlSAXHandler handlers = {
	.initialized = XML_SAX2_MAGIC,
	.startDocument = document_began,
	.internalSubset = doctype_came,
	.startElementNs = element_began,
	.endElementNs = element_ended,
	.characters = text_came,
	.ignorableWhitespace = text_came,
	.cdataBlock = cdata_came,
	.comment = comment_came,
	.processingInstruction = instruction_came,
	.reference = reference_came,
	.serror = error_swallow,
};

/* Answers with credentials pass through libxml2, so what it frees is wiped. */
static void memory_set(void)
{
	(void)xmlMemSetup(memory_free, malloc, memory_reallocate, strdup);
}

/* ---- reading */

static void document_feed(struct reading *reading, struct bytes document)
{
	size_t at = 0;

	while (at < document.length && !reading->refused) {
		size_t length = document.length - at < PIECE ? document.length - at : PIECE;

		if (xmlParseChunk(reading->parser, (const char *)document.data + at, (int)length, 0) != 0)
			break;
		at += length;
	}
	if (!reading->refused)
		xmlParseChunk(reading->parser, NULL, 0, 1);
}

bool xml_read(const struct xml_outline *outline, const char *namespace, struct bytes document, void *context,
	char why[XML_WHY_SIZE])
{
	static pthread_once_t memory_once = PTHREAD_ONCE_INIT;
	struct reading reading;
	xmlSAXHandler own = handlers;
	bool read = false;

	pthread_once(&memory_once, memory_set);
	memset(&reading, 0, offsetof(struct reading, text));
	reading.outline = outline;
	reading.namespace = namespace;
	reading.context = context;
	reading.why = why;
	if (document.length > XML_BYTES_MAX || outline->n_rules > RULES_MAX) {
		snprintf(why, XML_WHY_SIZE, "the answer is too large");
		return false;
	}
	/* a byte order mark, and any encoding of more bytes than one to a character */
	if (document.length == 0 || document.data[0] != '<' || memchr(document.data, '\0', document.length)) {
		snprintf(why, XML_WHY_SIZE, "the answer is not XML in UTF-8");
		return false;
	}
	xmlSetStructuredErrorFunc(NULL, error_swallow); /* this thread's alone */
	reading.parser = xmlCreatePushParserCtxt(&own, &reading, NULL, 0, NULL);
	if (!reading.parser) {
		snprintf(why, XML_WHY_SIZE, "out of memory");
		return false;
	}
	xmlCtxtUseOptions(reading.parser, XML_PARSE_NONET);
	document_feed(&reading, document);
	read = !reading.refused && reading.complete && reading.parser->wellFormed;
	if (!read && !reading.refused)
		snprintf(why, XML_WHY_SIZE, "the answer is not well-formed");
	xmlFreeParserCtxt(reading.parser);
	OPENSSL_cleanse(reading.text, sizeof(reading.text));
	return read;
}
