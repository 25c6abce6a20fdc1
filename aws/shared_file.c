/* Reads one profile out of a shared credentials file's text. Must never repeat a value. */
#include "aws/shared_file.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { ID, SECRET, TOKEN, N_NAMES };

static const char *const names[N_NAMES] = { "aws_access_key_id", "aws_secret_access_key",
	"aws_session_token" };

struct file_reading {
	const char *profile;
	struct keys *keys;
	char *why;
	unsigned line;
	bool inside; /* the wanted profile */
	bool found;
	bool had[N_NAMES];
};

static bool wrong(struct file_reading *reading, const char *format, ...) PRINTF_LIKE(2, 3);
static bool wrong(struct file_reading *reading, const char *format, ...)
{
	va_list arguments;
	int length = snprintf(reading->why, KEYS_WHY_SIZE, "line %u: ", reading->line);

	va_start(arguments, format);
	vsnprintf(reading->why + length, KEYS_WHY_SIZE - (size_t)length, format, arguments);
	va_end(arguments);
	return false;
}

static bool blank(char c)
{
	return c == ' ' || c == '\t';
}

/* Without blanks at either end. */
static char *trim(char *text)
{
	size_t length;

	while (blank(*text))
		text++;
	length = strlen(text);
	while (length > 0 && blank(text[length - 1]))
		text[--length] = '\0';
	return text;
}

/* Cuts " # ..." and " ; ..." off. */
static void comment_cut(char *text)
{
	for (char *c = text; *c; c++)
		if ((*c == '#' || *c == ';') && c > text && blank(c[-1])) {
			*c = '\0';
			return;
		}
}

static bool section_read(struct file_reading *reading, char *line)
{
	char *end = strchr(line, ']');
	char *rest = end ? trim(end + 1) : NULL;

	if (!end || (*rest && *rest != '#' && *rest != ';'))
		return wrong(reading, "not a section: write [profile]");
	*end = '\0';
	reading->inside = strcmp(trim(line + 1), reading->profile) == 0;
	if (reading->inside && reading->found)
		return wrong(reading, "the profile is there twice");
	reading->found |= reading->inside;
	return true;
}

/* Would the keys come from elsewhere? */
static bool name_is_other_way(const char *name)
{
	static const char *const others[] = { "role_arn", "source_profile", "credential_source",
		"credential_process", "web_identity_token_file", "sso_", "login_session" };

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (strncmp(name, others[i], strlen(others[i])) == 0)
			return true;
	return false;
}

static bool value_take(struct file_reading *reading, unsigned name, const char *value)
{
	struct keys *keys = reading->keys;
	char *const to[N_NAMES] = { keys->id, keys->secret, keys->token };
	static bool (*const valid[N_NAMES])(
		const char *) = { key_id_valid, secret_key_valid, session_token_valid };

	if (reading->had[name])
		return wrong(reading, "%s is there twice", names[name]);
	if (!valid[name](value))
		return wrong(reading, "%s is not of its form", names[name]);
	reading->had[name] = true;
	strcpy(to[name], value);
	return true;
}

static bool setting_read(struct file_reading *reading, char *line)
{
	char *equals = strchr(line, '=');
	char *name, *value;

	if (!equals)
		return wrong(reading, "not a setting: write name = value");
	*equals = '\0';
	name = trim(line);
	comment_cut(equals + 1);
	value = trim(equals + 1);
	if (name_is_other_way(name))
		return wrong(reading, "this version takes keys alone from the file, no role or process");
	for (unsigned i = 0; i < N_NAMES; i++)
		if (strcmp(name, names[i]) == 0)
			return value_take(reading, i, value);
	return true;
}

static bool line_read(struct file_reading *reading, char *line)
{
	size_t length = strlen(line);
	bool continued = blank(line[0]);

	if (length > 0 && line[length - 1] == '\r')
		line[length - 1] = '\0';
	line = trim(line);
	if (*line == '\0' || *line == '#' || *line == ';')
		return true;
	if (*line == '[' && !continued)
		return section_read(reading, line);
	if (!reading->inside)
		return true;
	if (continued)
		return wrong(reading, "begins with a blank: write each setting on a line of its own");
	return setting_read(reading, line);
}

static bool lines_read(struct file_reading *reading, char *text)
{
	while (text) {
		char *line = strsep(&text, "\n");

		reading->line++;
		if (!line_read(reading, line))
			return false;
	}
	if (!reading->found)
		snprintf(reading->why, KEYS_WHY_SIZE, "has no profile [%.100s]", reading->profile);
	else if (!reading->had[ID] || !reading->had[SECRET])
		snprintf(reading->why, KEYS_WHY_SIZE, "[%.80s] lacks %s", reading->profile,
			names[reading->had[ID] ? SECRET : ID]);
	return reading->found && reading->had[ID] && reading->had[SECRET];
}

bool shared_file_parse(char *text, const char *profile, struct keys *keys, char why[KEYS_WHY_SIZE])
{
	struct file_reading reading = { .profile = profile, .keys = keys, .why = why };

	memset(keys, 0, sizeof(*keys));
	if (lines_read(&reading, text))
		return true;
	keys_wipe(keys);
	return false;
}
