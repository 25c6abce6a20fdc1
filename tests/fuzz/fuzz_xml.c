/* The XML layer under an outline of our own, and AWS's error answers: elements begin and end in pairs, below
 * their own parent, no more often than the outline says; what is refused is said in words of ours. */
#include "aws/errors.h"
#include "tests/fuzz/xml_answer.h"

#define NAMESPACE "http://example.com/doc/"

enum { ITEMS_MOST = 50 };

struct seen {
	char word[16];
	unsigned words, boxes, items, items_ended, names, open;
	bool in_item, named;
};

static bool word_text(void *context, const char *text)
{
	struct seen *seen = context;

	MUST_HOLD(!seen->words && !seen->open && strlen(text) < sizeof(seen->word));
	seen->words++;
	return true;
}

static bool box_begin(void *context)
{
	struct seen *seen = context;

	MUST_HOLD(!seen->open && !seen->boxes);
	seen->boxes++;
	seen->open = 1;
	return true;
}

static bool box_end(void *context)
{
	struct seen *seen = context;

	MUST_HOLD(seen->open && !seen->in_item);
	seen->open = 0;
	return true;
}

static bool item_begin(void *context)
{
	struct seen *seen = context;

	MUST_HOLD(seen->open && !seen->in_item);
	seen->in_item = true;
	seen->named = false;
	return seen->items++ < ITEMS_MOST;
}

static bool item_end(void *context)
{
	struct seen *seen = context;

	MUST_HOLD(seen->in_item);
	seen->in_item = false;
	seen->items_ended++;
	return true;
}

static bool name_text(void *context, const char *text)
{
	struct seen *seen = context;

	MUST_HOLD(seen->in_item && !seen->named && strlen(text) <= XML_TEXT_MAX);
	seen->named = true;
	seen->names++;
	return strcmp(text, "bad") != 0;
}

static const struct xml_rule rules[] = {
	{ 1, "word", XML_STORE(struct seen, word), .text = word_text },
	{ 1, "box", .begin = box_begin, .end = box_end },
	{ 2, "item", .many = true, .begin = item_begin, .end = item_end },
	{ 3, "name", .text = name_text },
};

static const struct xml_outline outline = { "Answer", rules, sizeof(rules) / sizeof(rules[0]) };

/* Where neither a comment nor CDATA may hold them. */
static bool plain(struct bytes text)
{
	return !holds(text, "<!--") && !holds(text, "<![CDATA[");
}

static void outline_read(struct bytes text)
{
	struct seen seen = { "" }, again = { "" };
	char why[XML_WHY_SIZE] = "", why_again[XML_WHY_SIZE] = "";
	bool read = xml_read(&outline, NAMESPACE, text, &seen, why);

	MUST_HOLD(xml_read(&outline, NAMESPACE, text, &again, why_again) == read);
	MUST_HOLD(strcmp(why, why_again) == 0);
	if (!read) {
		MUST_HOLD(is_said(why));
		return;
	}
	MUST_HOLD(memcmp(&seen, &again, sizeof(seen)) == 0);
	MUST_HOLD(!seen.open && !seen.in_item && seen.items == seen.items_ended && seen.names <= seen.items);
	MUST_HOLD(text.data[0] == '<' && !memchr(text.data, '\0', text.length));
	MUST_HOLD(rewritten(text) || holds(text, NAMESPACE));
	MUST_HOLD(stood(text, seen.word));
	MUST_HOLD(!plain(text) || (!holds(text, "<!") && !holds(text, "<?xml-")));
}

static void error_read(struct bytes text, const char *namespace)
{
	char code[AWS_CODE_SIZE];

	if (!aws_error_read(text, namespace, code)) {
		MUST_HOLD(code[0] == '\0');
		return;
	}
	for (const char *at = code; *at; at++)
		MUST_HOLD(isalnum((unsigned char)*at) || *at == '.');
	MUST_HOLD(code[0] && stood(text, code));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes text = { data, size };

	outline_read(text);
	error_read(text, "https://iam.amazonaws.com/doc/2010-05-08/");
	error_read(text, "");
	return 0;
}
