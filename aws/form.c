/* Composes the body of an AWS Query API call. Every value is encoded, whatever it is, so that none can add a
 * parameter of its own. */
#include "aws/form.h"

#include <openssl/crypto.h>
#include <string.h>

/* Room for `more` characters and a NUL. Moves by hand: a web identity token is a secret, and realloc would
 * leave a copy behind. */
static bool form_reserve(struct form *form, size_t more)
{
	size_t size = form->size < 256 ? 256 : form->size;
	char *text;

	while (size < form->length + more + 1)
		size *= 2;
	if (size == form->size)
		return true;
	text = OPENSSL_malloc(size);
	if (text == NULL) {
		form->failed = true;
		return false;
	}
	if (form->length > 0)
		memcpy(text, form->text, form->length);
	OPENSSL_clear_free(form->text, form->size);
	form->text = text;
	form->size = size;
	return true;
}

static bool unreserved(unsigned char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
	       (c != '\0' && strchr("-._~", c) != NULL);
}

void form_add(struct form *form, const char *name, const char *value)
{
	static const char digits[] = "0123456789ABCDEF";
	char *to;

	/* one for '&', one for '=', three for each encoded byte */
	if (form->failed || !form_reserve(form, strlen(name) + 3 * strlen(value) + 2))
		return;
	to = form->text + form->length;
	if (form->length > 0)
		*to++ = '&';
	to = stpcpy(to, name);
	*to++ = '=';
	for (const unsigned char *c = (const unsigned char *)value; *c != '\0'; c++) {
		if (unreserved(*c)) {
			*to++ = (char)*c;
			continue;
		}
		*to++ = '%';
		*to++ = digits[*c >> 4];
		*to++ = digits[*c & 15];
	}
	*to = '\0';
	form->length = (size_t)(to - form->text);
}

void form_clear(struct form *form)
{
	OPENSSL_clear_free(form->text, form->size);
	memset(form, 0, sizeof(*form));
}
