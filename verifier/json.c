/* Strict JSON over jansson. Must never accept two readings of one text: repeated members, trailing bytes and
 * NUL are errors. */
#include "verifier/json.h"

#include "verifier/memory.h"

#include <stdio.h>
#include <string.h>

json_t *json_strict(struct bytes text, int *line, int *column, char *why, size_t why_size)
{
	json_error_t error = { 0 };
	json_t *value;

	memory_begin();
	value = json_loadb((const char *)text.data, text.length, JSON_REJECT_DUPLICATES, &error);
	if (value && !memory_was_out())
		return value;
	json_decref(value);
	if (line)
		*line = error.line;
	if (column)
		*column = error.column;
	if (why)
		snprintf(why, why_size, "%s", memory_was_out() ? "out of memory" : error.text);
	return NULL;
}

bool json_only(const json_t *object, const char *const names[], const char **stranger)
{
	const char *name;
	json_t *value;

	if (!json_is_object(object))
		return false;
	json_object_foreach((json_t *)object, name, value)
	{
		size_t i = 0;

		while (names[i] && strcmp(names[i], name) != 0)
			i++;
		if (names[i])
			continue;
		if (stranger)
			*stranger = name;
		return false;
	}
	return true;
}

const char *json_text(const json_t *object, const char *name)
{
	return json_string_value(json_object_get(object, name));
}
