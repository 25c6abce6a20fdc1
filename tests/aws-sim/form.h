#ifndef AWS_SIM_FORM_H
#define AWS_SIM_FORM_H
/* A body of the form name=value&name=value, as AWS's Query protocol sends it. */
#include <stdbool.h>
#include <stddef.h>

enum { FORM_MAX = 2048 };

struct form {
	char *text; /* owned: the decoded names and values, each with a NUL */
	unsigned n;
	struct {
		const char *name, *value;
	} * pairs;
};

/* False: not a form (a bad escape, a NUL, a name twice, too many), or memory is out. Then *form is empty. */
bool form_parse(const char *body, size_t length, struct form *);
void form_clear(struct form *);
/* NULL where there is none. */
const char *form_value(const struct form *, const char *name);
/* Whether some value is exactly this one; `form` is a struct form. */
bool form_mentions(const void *form, const char *value);

#endif
