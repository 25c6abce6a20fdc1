#ifndef SERVER_STATUS_H
#define SERVER_STATUS_H
/* Health, answered at once. */
#include "server/request.h"

/* GET /livez: this process answers. */
void status_live(struct request *);
/* GET /readyz[?verbose]: this node alone: policy and node key are there (they are, or nothing would listen),
 * and it is not leaving. What all nodes share is told by ?verbose and never empties a balancer's target
 * group. */
void status_ready(struct request *);

#endif
