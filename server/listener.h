#ifndef SERVER_LISTENER_H
#define SERVER_LISTENER_H
/* HTTP over libmicrohttpd: collects a request under its limits, suspends the connection while the request is
 * on its way, sends the answer when it comes back. Everything about libmicrohttpd stays behind this header.
 */
#include "server/forwarded.h"
#include "server/request.h"

struct listener;

/* One row of a listener's table. Method and path match exactly; a path may hold one "{id}", a UUID. */
struct route {
	const char *method, *path;
	/* A request of the route's own kind with `line`, or ... */
	struct request *(*new_request)(void);
	const struct step *line;
	/* ... an answer at once, without a line. Exactly one of both. */
	void (*at_once)(struct request *);
	bool takes_body, takes_query;
};

struct listener_settings {
	const char *name; /* of the setting that it comes from */
	struct sockaddr_in address;
	const struct route *routes; /* ends with a row without a method */
	const struct forwarding *forwarding; /* NULL: whoever is at the other end of the socket, always */
};

/* Borrows all that the settings point to. NULL: the complaint says which address and why. */
struct listener *listener_open(struct server *, const struct listener_settings *, struct complaint *);
unsigned short listener_port(const struct listener *);
/* No new connections from now on. */
void listener_quiesce(struct listener *);
/* Requests that have begun and not been answered to the last byte. */
size_t listener_busy(struct listener *);
/* Nothing may be under way in the pipeline. */
void listener_close(struct listener *);
#endif
