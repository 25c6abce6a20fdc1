#ifndef SERVER_QUERY_H
#define SERVER_QUERY_H
/* GET /v1/audit/events on the ops listener. */
#include "server/request.h"

extern const struct step query_line[];
struct request *query_new(void);

#endif
