/* JSON files with complaints that a person can act on. jansson forgets where a value stood, so a complaint
 * finds the member again by walking the text, which is known to be valid JSON by then. */
#include "verifier/jsonfile.h"

#include "verifier/encoding.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct jsonfile {
	char *name;
	char *text; /* NUL-terminated */
	json_t *root;
};

struct jsonfile *jsonfile_parse(const char *name, struct bytes text, struct complaint *complaint)
{
	struct jsonfile *file = calloc(1, sizeof(*file));
	char why[160] = "out of memory";
	int line = 0;
	int column = 0;

	if (!file || !(file->name = strdup(name)) || !(file->text = malloc(text.length + 1))) {
		complain(complaint, "%s: out of memory", name);
		goto failed;
	}
	memcpy(file->text, text.data, text.length);
	file->text[text.length] = '\0';
	file->root = json_strict(text, &line, &column, why, sizeof(why));
	if (!file->root) {
		complain(complaint, "%s:%d:%d: not valid JSON: %s", name, line, column, why);
		goto failed;
	}
	return file;
failed:
	jsonfile_free(file);
	return NULL;
}

void jsonfile_free(struct jsonfile *file)
{
	if (!file)
		return;
	json_decref(file->root);
	free(file->text);
	free(file->name);
	free(file);
}

/* ---- finding a path again in the text */

static const char *skip_blanks(const char *at)
{
	return at + strspn(at, " \t\r\n");
}

static const char *skip_string(const char *at)
{
	for (at++; *at && *at != '"'; at++)
		if (*at == '\\' && at[1])
			at++;
	return *at ? at + 1 : at;
}

/* Behind the value at `at`. */
static const char *skip_value(const char *at)
{
	unsigned depth = 0;

	do {
		at = skip_blanks(at);
		if (*at == '"')
			at = skip_string(at);
		else if (*at == '{' || *at == '[')
			depth++, at++;
		else if (*at == '}' || *at == ']')
			depth--, at++;
		else if (*at == ',' || *at == ':')
			at++;
		else
			at += strcspn(at, ",:]}{[\" \t\r\n");
	} while (depth && *at);
	return at;
}

/* The value of the member `name` (or of element `index`, where name is NULL) of what begins at `at`; NULL if
 * it is not there. A name with a dot or a bracket in it can lead a path to a value that holds nothing. */
static const char *find_child(const char *at, const char *name, size_t length, size_t index)
{
	size_t i;

	if (*at != (name ? '{' : '['))
		return NULL;
	at = skip_blanks(at + 1);
	for (i = 0; *at && *at != '}' && *at != ']'; i++) {
		bool mine = !name && i == index;

		if (name) {
			const char *key = at + 1;

			at = skip_string(at);
			mine = (size_t)(at - key) == length + 1 && strncmp(key, name, length) == 0;
			at = skip_blanks(skip_blanks(at) + 1); /* behind the colon */
		}
		if (mine)
			return at;
		at = skip_blanks(skip_value(at));
		at = skip_blanks(at + (*at == ','));
	}
	return NULL;
}

/* As far down the path as the text goes: an absent member is complained of at its parent. */
static const char *find_path(const char *text, const char *path)
{
	const char *at = skip_blanks(text);

	while (*path) {
		const char *child;

		if (*path == '[') {
			char *end;
			size_t index = strtoul(path + 1, &end, 10);

			child = find_child(at, NULL, 0, index);
			path = *end ? end + 1 : end;
		} else {
			size_t length;

			path += *path == '.';
			length = strcspn(path, ".[");
			child = find_child(at, path, length, 0);
			path += length;
		}
		if (!child)
			break;
		at = child;
	}
	return at;
}

bool member_complain(const struct member *member, struct complaint *complaint, const char *format, ...)
{
	const char *at = find_path(member->file->text, member->path);
	char what[400];
	unsigned line = 1;
	const char *start = member->file->text;
	const char *next;
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(what, sizeof(what), format, arguments);
	va_end(arguments);
	while ((next = memchr(start, '\n', (size_t)(at - start)))) {
		start = next + 1;
		line++;
	}
	return complain(complaint, "%s:%u:%u: %s%s%s", member->file->name, line, (unsigned)(at - start + 1),
		member->path, member->path[0] ? ": " : "", what);
}

/* ---- reading */

struct member jsonfile_root(const struct jsonfile *file)
{
	return (struct member){ .file = file, .value = file->root };
}

struct member member_of(const struct member *object, const char *name)
{
	struct member member = { .file = object->file, .value = json_object_get(object->value, name) };

	snprintf(member.path, sizeof(member.path), "%.130s%s%.60s", object->path, object->path[0] ? "." : "",
		name);
	return member;
}

struct member member_at(const struct member *array, size_t i)
{
	struct member member = { .file = array->file, .value = json_array_get(array->value, i) };

	snprintf(member.path, sizeof(member.path), "%.180s[%zu]", array->path, i);
	return member;
}

/* Letters that differ, roughly: enough to tell a slip of the finger. */
static unsigned distance(const char *a, const char *b)
{
	unsigned counts[256] = { 0 };
	unsigned sum = 0;
	size_t i;

	for (; *a; a++)
		counts[(unsigned char)*a]++;
	for (; *b; b++)
		counts[(unsigned char)*b]--;
	for (i = 0; i < 256; i++)
		sum += (unsigned)abs((int)counts[i]);
	return sum;
}

static const char *nearest(const char *const names[], const char *name)
{
	const char *best = NULL;
	unsigned least = 4; /* farther than this it is no slip */

	for (; *names; names++) {
		unsigned d = distance(*names, name);

		if (d < least) {
			least = d;
			best = *names;
		}
	}
	return best;
}

bool member_object(const struct member *member, const char *const names[], struct complaint *complaint)
{
	const char *stranger = NULL;
	const char *meant;
	struct member at;

	if (!json_is_object(member->value))
		return member_complain(member, complaint, "%s; write an object {...}",
			member->value ? "not an object" : "missing");
	if (json_only(member->value, names, &stranger))
		return true;
	at = member_of(member, stranger);
	meant = nearest(names, stranger);
	if (meant)
		return member_complain(&at, complaint, "no such setting; did you mean \"%s\"?", meant);
	return member_complain(&at, complaint, "no such setting in this version; take it out");
}

bool member_string(const struct member *member, size_t max, const char **text, struct complaint *complaint)
{
	if (!member->value)
		return member_complain(member, complaint, "missing; write a string");
	if (!json_is_string(member->value))
		return member_complain(member, complaint, "not a string");
	*text = json_string_value(member->value);
	if (**text == '\0')
		return member_complain(member, complaint, "empty");
	if (strlen(*text) > max)
		return member_complain(member, complaint, "longer than %zu bytes", max);
	return true;
}

bool member_integer(const struct member *member, long long min, long long max, long long *number,
	struct complaint *complaint)
{
	if (!member->value)
		return member_complain(member, complaint, "missing; write a whole number");
	*number = json_integer_value(member->value);
	if (!json_is_integer(member->value) || *number < min || *number > max)
		return member_complain(member, complaint, "not a whole number from %lld to %lld", min, max);
	return true;
}

bool member_boolean(const struct member *member, bool *yes, struct complaint *complaint)
{
	if (!json_is_boolean(member->value))
		return member_complain(member, complaint, "%s; write true or false",
			member->value ? "not a boolean" : "missing");
	*yes = json_is_true(member->value);
	return true;
}

bool member_duration(const struct member *member, long long min, long long max, long long *milliseconds,
	struct complaint *complaint)
{
	const char *text = json_string_value(member->value);

	if (!member->value)
		return member_complain(member, complaint, "missing; write a duration such as \"10m\"");
	if (!text || !duration_decode(text, milliseconds))
		return member_complain(member, complaint,
			"not a duration; write a number and ms, s, m, h or d in quotes, such as \"10m\"");
	if (*milliseconds < min || *milliseconds > max)
		return member_complain(member, complaint, "out of bounds: from %lldms to %lldms (%llds)", min,
			max, max / 1000);
	return true;
}

bool member_array(const struct member *member, size_t max, size_t *length, struct complaint *complaint)
{
	if (!json_is_array(member->value))
		return member_complain(member, complaint, "%s; write a list [...]",
			member->value ? "not a list" : "missing");
	*length = json_array_size(member->value);
	if (*length == 0)
		return member_complain(
			member, complaint, "an empty list; name at least one, or leave the member out");
	if (*length > max)
		return member_complain(member, complaint, "more than %zu elements", max);
	return true;
}

bool member_word(
	const struct member *member, const char *const words[], unsigned *index, struct complaint *complaint)
{
	const char *text = json_string_value(member->value);
	char list[200] = "";
	unsigned i;

	for (i = 0; words[i]; i++) {
		if (text && strcmp(text, words[i]) == 0) {
			*index = i;
			return true;
		}
		snprintf(list + strlen(list), sizeof(list) - strlen(list), "%s\"%s\"", i ? ", " : "",
			words[i]);
	}
	return member_complain(
		member, complaint, "%s; write one of %s", member->value ? "no such word" : "missing", list);
}
