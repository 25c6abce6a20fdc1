#ifndef SERVER_ROUTE_H
#define SERVER_ROUTE_H
/* What a listener answers to: a table of methods and exact paths. */
#include "server/request.h"

/* One row; the last one has no method. A path may hold one "{id}", a UUID. */
struct route {
	const char *method, *path;
	/* A request of the route's own kind with `line`, or ... */
	struct request *(*new_request)(void);
	const struct step *line;
	/* ... an answer at once, without a line. Exactly one of both. */
	void (*at_once)(struct request *);
	bool takes_body, takes_query;
	unsigned roles; /* bits of enum access_role: whoever has one of them may; 0: everybody */
};

/* What a raw target says; points into it. */
struct target {
	char part[UUID_SIZE]; /* the {id}, "" where there is none */
	const char *query; /* behind the '?', "" where there is none */
	bool has_query; /* also where it is empty */
	const char *allow; /* where the path is known and the method is not: the method that it takes */
};

/* Method and path match byte for byte, nothing is decoded or normalised. NULL: none; the target is filled in
 * as far as it goes. */
const struct route *route_find(
	const struct route *routes, const char *method, const char *text, struct target *);

#endif
