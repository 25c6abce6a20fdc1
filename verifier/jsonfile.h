#ifndef VERIFIER_JSONFILE_H
#define VERIFIER_JSONFILE_H
/* JSON that a person wrote: configuration, policy, vault file. Every complaint says file:line:column, the
 * path of the member, what is wrong and what would be right. The bytes come from the caller: this folder
 * opens no file. */
#include "verifier/json.h"

struct jsonfile;

/* `name` is what complaints call the file. Copies both. NULL: the complaint says where the text stops being
 * JSON. */
struct jsonfile *jsonfile_parse(const char *name, struct bytes text, struct complaint *);
void jsonfile_free(struct jsonfile *);

/* A value in the file, with the way to it. `value` is NULL for a member that is absent. Borrows from the
 * file. */
struct member {
	const struct jsonfile *file;
	const json_t *value;
	char path[200]; /* "rules[0].secrets" */
};

struct member jsonfile_root(const struct jsonfile *);

/* False, always: fills in the complaint with the member's place (its parent's, where it is absent). */
bool member_complain(const struct member *, struct complaint *, const char *format, ...) PRINTF_LIKE(3, 4);

/* Is it an object with no members but these (NULL-terminated)? A stranger is named, with the nearest known
 * name. */
MUST_USE bool member_object(const struct member *, const char *const names[], struct complaint *);
/* The member of an object; value NULL where absent. */
struct member member_of(const struct member *object, const char *name);
/* Element i of an array. */
struct member member_at(const struct member *array, size_t i);

/* Typed readers: false with a complaint where the value is absent, of another type, or out of bounds. */
MUST_USE bool member_string(
	const struct member *, size_t max, const char **, struct complaint *); /* 1..max bytes */
MUST_USE bool member_integer(
	const struct member *, long long min, long long max, long long *, struct complaint *);
MUST_USE bool member_boolean(const struct member *, bool *, struct complaint *);
/* In milliseconds, min..max. */
MUST_USE bool member_duration(
	const struct member *, long long min, long long max, long long *, struct complaint *);
/* An array of 1..max elements. */
MUST_USE bool member_array(const struct member *, size_t max, size_t *length, struct complaint *);
/* One of the words of a NULL-terminated list; *index is its place. */
MUST_USE bool member_word(
	const struct member *, const char *const words[], unsigned *index, struct complaint *);

#endif
