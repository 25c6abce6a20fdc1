/* Facts and checks. Copies what it is given and never decides anything. */
#include "verifier/claims.h"

#include "verifier/encoding.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool facts_add_tag(struct facts *facts, const char *key, const char *value)
{
	struct tag tag = { strdup(key), strdup(value) };

	if (!facts->tags)
		facts->tags = calloc(TAGS_MAX, sizeof(*facts->tags));
	if (!facts->tags || facts->n_tags == TAGS_MAX || !tag.key || !tag.value) {
		free(tag.key);
		free(tag.value);
		return false;
	}
	facts->tags[facts->n_tags++] = tag;
	return true;
}

bool facts_copy(struct facts *to, const struct facts *from)
{
	unsigned i;

	*to = *from;
	to->tags = NULL;
	to->n_tags = 0;
	for (i = 0; i < from->n_tags; i++) {
		if (!facts_add_tag(to, from->tags[i].key, from->tags[i].value)) {
			facts_clear(to);
			return false;
		}
	}
	return true;
}

void facts_clear(struct facts *facts)
{
	unsigned i;

	for (i = 0; i < facts->n_tags; i++) {
		free(facts->tags[i].key);
		free(facts->tags[i].value);
	}
	free(facts->tags);
	memset(facts, 0, sizeof(*facts));
}

const char *facts_tag(const struct facts *facts, const char *key)
{
	unsigned i;

	for (i = 0; i < facts->n_tags; i++)
		if (strcmp(facts->tags[i].key, key) == 0)
			return facts->tags[i].value;
	return NULL;
}

struct claims *claims_new(void)
{
	struct claims *claims = malloc(sizeof(*claims));

	if (!claims)
		return NULL;
	/* the texts are written before they are read: no need to touch their pages here */
	memset(claims, 0, offsetof(struct claims, text));
	claims->text[0] = '\0';
	claims->text_used = 1; /* offset 0 is the empty text */
	return claims;
}

void claims_free(struct claims *claims)
{
	if (!claims)
		return;
	facts_clear(&claims->facts);
	free(claims);
}

/* Cut where it is too long, but never inside a UTF-8 sequence: the event has to stay valid JSON. */
static unsigned short text_keep(struct claims *claims, const char *text)
{
	char kept[CHECK_VALUE_MAX + 4];
	unsigned at = claims->text_used;
	size_t length;

	snprintf(kept, CHECK_VALUE_MAX - 2, "%s", text);
	utf8_trim(kept);
	if (strlen(text) > strlen(kept))
		strcat(kept, "...");
	length = strlen(kept);
	if (length == 0)
		return 0;
	if (at + length + 1 > sizeof(claims->text)) {
		claims->overflowed = true;
		return 0;
	}
	strcpy(claims->text + at, kept);
	claims->text_used = (unsigned)(at + length + 1);
	return (unsigned short)at;
}

void check_add(struct claims *claims, const char *name, const char *by, bool passed, const char *expected,
	const char *observed)
{
	struct check *check;

	if (claims->n_checks == CHECKS_MAX) {
		claims->overflowed = true;
		return;
	}
	check = &claims->checks[claims->n_checks++];
	check->name = name;
	check->by = by;
	check->result = passed ? CHECK_PASSED : CHECK_FAILED;
	check->expected = text_keep(claims, expected);
	check->observed = text_keep(claims, observed);
}

void check_equal(
	struct claims *claims, const char *name, const char *by, const char *expected, const char *observed)
{
	check_add(claims, name, by, observed[0] && strcmp(expected, observed) == 0, expected, observed);
}

const char *check_expected(const struct claims *claims, const struct check *check)
{
	return claims->text + check->expected;
}

const char *check_observed(const struct claims *claims, const struct check *check)
{
	return claims->text + check->observed;
}

const char *check_result_name(enum check_result result)
{
	static const char *const names[] = { "failed", "passed", "waived" };

	return names[result];
}

const struct check *claims_first_failed(const struct claims *claims)
{
	unsigned i;

	for (i = 0; i < claims->n_checks; i++)
		if (claims->checks[i].result == CHECK_FAILED)
			return &claims->checks[i];
	return NULL;
}

struct check *claims_check(struct claims *claims, const char *name)
{
	unsigned i;

	for (i = 0; i < claims->n_checks; i++)
		if (strcmp(claims->checks[i].name, name) == 0)
			return &claims->checks[i];
	return NULL;
}
