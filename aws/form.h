#ifndef AWS_FORM_H
#define AWS_FORM_H
/* The body of an AWS Query API call: application/x-www-form-urlencoded, percent-encoded as RFC 3986 says
 * (which is what SigV4 wants of forms). */
#include "verifier/outcome.h"

struct form {
	char *text; /* NUL-terminated, owned; NULL while empty */
	size_t length, size;
	bool failed; /* memory ran out: everything after is ignored */
};

/* Appends name=value. The name is ours and stands as it is; the value is encoded. */
void form_add(struct form *, const char *name, const char *value);
/* Wipes. */
void form_clear(struct form *);

#endif
