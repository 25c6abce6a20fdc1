#ifndef SERVER_CHALLENGE_H
#define SERVER_CHALLENGE_H
/* POST /v1/challenges: something fresh for the caller's proof to be bound to; stateless, so answered at once.
 */
#include "server/request.h"

void challenge_give(struct request *);

#endif
