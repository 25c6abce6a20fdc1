#ifndef SERVER_SERVER_H
#define SERVER_SERVER_H
/* What all requests share. Made by main.c before anything listens; only `stage` and what is inside `rules`
 * change afterwards. */
#include "aws/confirm.h"
#include "policy/policy.h"
#include "server/config.h"
#include "store/store.h"
#include "vault/vault.h"

enum stage {
	STAGE_SERVING,
	STAGE_LEAVING, /* not ready any more, still serving, so that balancers have time to see it */
	STAGE_DRAINING /* new requests are refused, those under way are answered */
};

struct server {
	const struct config *config;
	struct rules *rules;
	struct aws *aws;
	struct store *store; /* the committer's alone */
	struct store *reader; /* the readers' lane's alone */
	struct vault *vault;
	struct heads *heads; /* is this the database that the members have signed? */
	struct pipeline *pipeline;
	struct metrics *metrics;
	struct denials *denials; /* the committer's */
	struct expiry *expiry;
	struct sealings *sealings;
	struct connections *api_connections, *ops_connections;
	enum stage stage; /* atomic */
};

#endif
