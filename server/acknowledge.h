#ifndef SERVER_ACKNOWLEDGE_H
#define SERVER_ACKNOWLEDGE_H
/* POST /v1/releases/{id}/ack: the agent's files are durable. */
#include "server/request.h"

extern const struct step acknowledge_line[];
struct request *acknowledge_new(void);

#endif
