#ifndef STORE_GRANT_H
#define STORE_GRANT_H
/* Permission to release, in writing: made by store/ alone, and only by a transaction that committed. */
#include "store/envelopes.h"
#include "verifier/recipient.h"

enum { RELEASE_ID_SIZE = 37 }; /* UUIDv7 (RFC 9562), lower case, and NUL */

struct grant; /* opaque on purpose */

const char *grant_release_id(const struct grant *);
const char *grant_instance_id(const struct grant *);
const unsigned char *grant_assertion_sha256(const struct grant *); /* 32 bytes */
const struct recipient *grant_recipient(const struct grant *);
/* Did this key have the same release before? */
bool grant_repeated(const struct grant *);
/* In the rule's order; NULL after the last. */
const struct envelope *grant_envelope(const struct grant *, size_t i);
void grant_free(struct grant *);

#endif
