#ifndef VERIFIER_JSON_H
#define VERIFIER_JSON_H
/* Strict JSON (RFC 8259) over jansson: one value, no repeated members, no NUL in strings, nothing after it.
 */
#include "verifier/outcome.h"

#include <jansson.h>

/* New reference, or NULL; whether it was memory, and not the text, memory.h says. On NULL `line` and
 * `column`, where given, say where (1-based). */
json_t *json_strict(struct bytes text, int *line, int *column, char *why, size_t why_size);

/* True when `object` is an object that has no member but those of the NULL-terminated list; otherwise
 * *stranger, where given, is the first other one (borrowed). */
bool json_only(const json_t *object, const char *const names[], const char **stranger);

/* The member's string, or NULL where it is absent or no string. Borrowed. */
const char *json_text(const json_t *object, const char *name);

#endif
