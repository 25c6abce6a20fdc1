#ifndef VAULT_PAYLOAD_H
#define VAULT_PAYLOAD_H
/* The JSON inside a sealed release (DESIGN.md section 4), written piece by piece in locked memory, so that a
 * release of any size needs little of it. */
#include "verifier/outcome.h"

struct payload;

/* What is the same for all secrets of a release; text without anything that JSON escapes. */
struct payload_head {
	const char *release_id, *instance_id, *acknowledgement;
	const unsigned char *assertion_sha256; /* 32 bytes */
};

/* `sink` takes each piece at once and keeps no copy; false ends it all. NULL when locked memory is out. */
struct payload *payload_new(
	bool (*sink)(void *context, struct bytes piece), void *context, const struct payload_head *);
/* A value that is UTF-8 without NUL is written as that; any other, and one that escaping would make more than
 * twice as long, as base64. */
void payload_secret(
	struct payload *, const char *name, const char *kind, unsigned version, struct bytes value);
/* Writes the end. False: something failed on the way; what the sink has is worthless. */
MUST_USE bool payload_finish(struct payload *);
void payload_free(struct payload *);

#endif
