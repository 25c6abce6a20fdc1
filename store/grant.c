/* The permission to release. Nothing outside store/ can make one, and record.c hands it out only behind a
 * COMMIT that succeeded. It copies what it needs, so that it outlives the request and the transaction. */
#include "store/grant.h"

#include "store/shelf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct grant {
	char release_id[RELEASE_ID_SIZE];
	char instance_id[INSTANCE_ID_SIZE];
	unsigned char assertion_sha256[32];
	struct recipient recipient;
	bool repeated;
	size_t n;
	struct envelope *envelopes[SECRETS_MAX];
};

struct grant *grant_new(const char *release_id, const struct assertion *assertion,
	const unsigned char assertion_sha256[32], const struct recipient *recipient, bool repeated)
{
	struct grant *grant = calloc(1, sizeof(*grant));

	if (!grant)
		return NULL;
	snprintf(grant->release_id, sizeof(grant->release_id), "%s", release_id);
	snprintf(grant->instance_id, sizeof(grant->instance_id), "%s", assertion->instance_id);
	memcpy(grant->assertion_sha256, assertion_sha256, 32);
	grant->recipient = *recipient;
	grant->repeated = repeated;
	return grant;
}

bool grant_add(struct grant *grant, const struct envelope *envelope)
{
	struct envelope *copy;

	if (grant->n == SECRETS_MAX)
		return false;
	copy = malloc(sizeof(*copy));
	if (!copy)
		return false;
	if (!envelope_copy(copy, envelope)) {
		free(copy);
		return false;
	}
	grant->envelopes[grant->n++] = copy;
	return true;
}

const char *grant_release_id(const struct grant *grant)
{
	return grant->release_id;
}

const char *grant_instance_id(const struct grant *grant)
{
	return grant->instance_id;
}

const unsigned char *grant_assertion_sha256(const struct grant *grant)
{
	return grant->assertion_sha256;
}

const struct recipient *grant_recipient(const struct grant *grant)
{
	return &grant->recipient;
}

bool grant_repeated(const struct grant *grant)
{
	return grant->repeated;
}

const struct envelope *grant_envelope(const struct grant *grant, size_t i)
{
	return i < grant->n ? grant->envelopes[i] : NULL;
}

void grant_free(struct grant *grant)
{
	if (!grant)
		return;
	for (size_t i = 0; i < grant->n; i++) {
		envelope_clear(grant->envelopes[i]);
		free(grant->envelopes[i]);
	}
	free(grant);
}
