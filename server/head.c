/* The guard of heads. A line feed alone, a folded line, a NUL or a line without a name leave a trace that no
 * header shows by itself: the parts do not stand where they would, had the lines been well-formed. The sums
 * lean on how libmicrohttpd 0.9.75 keeps a head; tests/e2e/test_raw.py fails loudly where another does not.
 */
#include "server/head.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char version_wanted[] = "HTTP/1.1";
enum { VERSION_LENGTH = sizeof(version_wanted) - 1, LINE_END = 2 };

static bool token_valid(struct bytes name)
{
	static const char marks[] = "!#$%&'*+-.^_`|~";
	size_t i;

	for (i = 0; i < name.length; i++) {
		unsigned char c = name.data[i];
		bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');

		if (!letter && (c == '\0' || !strchr(marks, c)))
			return false;
	}
	return name.length > 0;
}

/* VCHAR, obs-text, blanks (RFC 9110, 5.5). */
static bool value_valid(struct bytes value)
{
	size_t i;

	for (i = 0; i < value.length; i++)
		if ((value.data[i] < 0x20 && value.data[i] != '\t') || value.data[i] == 0x7f)
			return false;
	return true;
}

/* What a target is made of here; it is matched byte for byte later. */
static bool target_valid(const char *target)
{
	if (!*target)
		return false;
	for (; *target; target++)
		if ((unsigned char)*target <= 0x20 || (unsigned char)*target >= 0x7f)
			return false;
	return true;
}

static bool digits_decode(struct bytes value, unsigned long long *number)
{
	size_t i;

	*number = 0;
	for (i = 0; i < value.length; i++) {
		if (value.data[i] < '0' || value.data[i] > '9')
			return false;
		*number = *number * 10 + (unsigned)(value.data[i] - '0');
	}
	return value.length > 0 && value.length <= 12;
}

static bool media_type_json(const char *value)
{
	static const char type[] = "application/json";

	if (strncasecmp(value, type, sizeof(type) - 1) != 0)
		return false;
	value += sizeof(type) - 1;
	value += strspn(value, " \t");
	return *value == '\0' || *value == ';';
}

void head_begin(
	struct head *head, const char *method, const char *place, const char *target, const char *version)
{
	*head = (struct head){ .begin = method, .end = version + VERSION_LENGTH };
	head->refused = strcmp(version, version_wanted) != 0 || !target_valid(target) ||
			!token_valid((struct bytes){ (const unsigned char *)method, strlen(method) }) ||
			(uintptr_t)place != (uintptr_t)method + strlen(method) + 1 ||
			(uintptr_t)version != (uintptr_t)place + strlen(target) + 1;
}

/* Where a header of that name has to begin and its value to end, if what is between is a colon and blanks. */
static bool layout_valid(const struct head *head, struct bytes name, struct bytes value)
{
	const char *colon = (const char *)name.data + name.length;
	uintptr_t gap = (uintptr_t)value.data - (uintptr_t)colon;

	/* the colon itself has been overwritten */
	return (uintptr_t)name.data == (uintptr_t)head->end + LINE_END && gap >= 1 && gap <= 16 &&
	       strspn(colon + 1, " \t") >= gap - 1;
}

static void name_take(struct head *head, const char *name, const char *text, struct bytes value)
{
	if (strcasecmp(name, "Transfer-Encoding") == 0) {
		head->refused = true;
	} else if (strcasecmp(name, "Content-Length") == 0) {
		head->lengths++;
		head->refused = head->refused || !digits_decode(value, &head->length);
	} else if (strcasecmp(name, "Host") == 0) {
		head->hosts++;
	} else if (strcasecmp(name, "Content-Type") == 0) {
		head->json = media_type_json(text);
	} else if (strcasecmp(name, "Authorization") == 0) {
		head->authorizations++;
		if (value.length < sizeof(head->authorization))
			memcpy(head->authorization, text, value.length + 1);
	} else {
		forwarded_header(&head->forwarded, name, value);
	}
}

void head_header(struct head *head, struct bytes name, struct bytes value)
{
	if (head->refused)
		return;
	if (!value.data || !token_valid(name) || !value_valid(value) || !layout_valid(head, name, value)) {
		head->refused = true;
		return;
	}
	head->end = (const char *)value.data + value.length;
	name_take(head, (const char *)name.data, (const char *)value.data, value);
}

void head_end(struct head *head, size_t size)
{
	head->refused = head->refused || head->lengths > 1 || head->hosts != 1 || head->authorizations > 1 ||
			(uintptr_t)head->end + 2 * LINE_END != (uintptr_t)head->begin + size;
}
