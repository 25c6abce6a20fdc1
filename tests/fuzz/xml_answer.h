#ifndef TESTS_FUZZ_XML_ANSWER_H
#define TESTS_FUZZ_XML_ANSWER_H
/* What the targets for AWS's answers share: pages, and where a text that was taken must have stood. */
#include "tests/fuzz/fuzz.h"
#include "verifier/outcome.h"

#include <ctype.h>
#include <string.h>

/* No XML holds it. */
#define PAGE_END 0x1e

/* Takes the next page off; false behind the last one. */
static inline bool page_next(struct bytes *rest, struct bytes *page)
{
	const unsigned char *end;

	if (!rest->data)
		return false;
	end = memchr(rest->data, PAGE_END, rest->length);
	*page = (struct bytes){ rest->data, end ? (size_t)(end - rest->data) : rest->length };
	rest->length -= end ? page->length + 1 : rest->length;
	rest->data = end ? end + 1 : NULL;
	return true;
}

static inline bool holds(struct bytes text, const char *part)
{
	return memmem(text.data, text.length, part, strlen(part)) != NULL;
}

/* References and line ends are read as other bytes than those that stand there. */
static inline bool rewritten(struct bytes answer)
{
	return memchr(answer.data, '&', answer.length) || memchr(answer.data, '\r', answer.length);
}

/* Was it, in one piece, an element's whole text? */
static inline bool stood(struct bytes answer, const char *text)
{
	char element[9000];

	if (text[0] == '\0' || rewritten(answer))
		return true;
	snprintf(element, sizeof(element), ">%s</", text);
	return holds(answer, element);
}

/* What people read of a refusal. */
static inline bool is_said(const char *why)
{
	const char *at = why;

	while (isprint((unsigned char)*at))
		at++;
	return why[0] != '\0' && *at == '\0';
}

#endif
