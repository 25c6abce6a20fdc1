/* Reads application/x-www-form-urlencoded strictly: what it cannot read it refuses and never guesses. */
#include "tests/aws-sim/form.h"

#include <stdlib.h>
#include <string.h>

static int hex_value(char c)
{
	static const char digits[] = "0123456789abcdef0123456789ABCDEF";
	const char *at = c ? strchr(digits, c) : NULL;

	return at ? (int)(at - digits) % 16 : -1;
}

/* Decodes in place. */
static bool text_unescape(char *text)
{
	char *to = text;

	for (const char *from = text; *from; from++) {
		int high, low;

		if (*from != '%') {
			*to++ = *from == '+' ? ' ' : *from;
			continue;
		}
		high = hex_value(from[1]);
		low = high < 0 ? -1 : hex_value(from[2]);
		if (low < 0 || !(high * 16 + low))
			return false;
		*to++ = (char)(high * 16 + low);
		from += 2;
	}
	*to = '\0';
	return true;
}

static bool form_add(struct form *form, char *pair)
{
	char *value = strchr(pair, '=');

	if (!value || form->n == FORM_MAX)
		return false;
	*value++ = '\0';
	if (!text_unescape(pair) || !text_unescape(value) || !*pair || form_value(form, pair))
		return false;
	form->pairs[form->n].name = pair;
	form->pairs[form->n++].value = value;
	return true;
}

static bool form_split(struct form *form)
{
	char *next = form->text;

	if (!*next)
		return true;
	while (next) {
		char *pair = next;

		next = strchr(pair, '&');
		if (next)
			*next++ = '\0';
		if (!form_add(form, pair))
			return false;
	}
	return true;
}

bool form_parse(const char *body, size_t length, struct form *form)
{
	*form = (struct form){ 0 };
	if (memchr(body, '\0', length))
		return false;
	form->text = strndup(body, length);
	form->pairs = calloc(FORM_MAX, sizeof *form->pairs);
	if (form->text && form->pairs && form_split(form))
		return true;
	form_clear(form);
	return false;
}

void form_clear(struct form *form)
{
	free(form->text);
	free(form->pairs);
	*form = (struct form){ 0 };
}

const char *form_value(const struct form *form, const char *name)
{
	for (unsigned i = 0; i < form->n; i++)
		if (!strcmp(form->pairs[i].name, name))
			return form->pairs[i].value;
	return NULL;
}

bool form_mentions(const void *form, const char *value)
{
	const struct form *f = form;

	for (unsigned i = 0; i < f->n; i++)
		if (!strcmp(f->pairs[i].value, value))
			return true;
	return false;
}
