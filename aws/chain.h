#ifndef AWS_CHAIN_H
#define AWS_CHAIN_H
/* Which source the base credentials come from, in the order of AWS's own SDKs: the environment's keys, a web
 * identity token, the shared credentials file, a container's endpoint, the instance metadata service. The
 * first that is configured is the one, for good: where it fails no other is tried, or trouble would change
 * who we are.
 *
 * Configured is: AWS_ACCESS_KEY_ID or AWS_SECRET_ACCESS_KEY; AWS_WEB_IDENTITY_TOKEN_FILE; AWS_PROFILE or
 * AWS_SHARED_CREDENTIALS_FILE or, without them, $HOME/.aws/credentials being there;
 * AWS_CONTAINER_CREDENTIALS_RELATIVE_URI or _FULL_URI; and the last one unless AWS_EC2_METADATA_DISABLED is
 * "true". An empty variable counts as not set. */
#include "aws/source.h"

/* NULL: the complaint says what is wrong with it, or that there is none. */
struct source *chain_choose(
	const struct caller *, const struct service *sts, const char *session, struct complaint *);

#endif
