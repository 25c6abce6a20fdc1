#ifndef SERVER_DOOR_H
#define SERVER_DOOR_H
/* The door in front of HTTP: a thread accepts connections while there is room, turns away those whose address
 * has its share already, hands the others on, and shuts those whose deadline has passed.
 *
 * Where proxies speak the PROXY protocol it reads the header of those that come from trusted proxies first,
 * and hands each on with its true address. Strangers are handed on at once and unread: what they send is HTTP
 * or nothing. */
#include "server/connections.h"
#include "server/forwarded.h"

enum {
	DOOR_PENDING_MAX = 256, /* headers that are being waited for; one more, and the oldest has to go */
	DOOR_PATIENCE_MS = 3000 /* for a whole header */
};

struct door;

struct door_settings {
	int fd; /* listening, non-blocking; the door's own once it is open */
	const struct forwarding *forwarding; /* borrowed */
	/* Borrowed. Whoever is handed a connection says its phases and, by door_leave, its end. A trusted
	   proxy counts for nobody: many agents come by it. */
	struct connections *connections;
	/* Takes the socket, also where it fails: then it closes it, whether or not it has said its end. */
	bool (*admit)(void *context, int fd, const struct sockaddr_in *client);
	void *context;
};

/* NULL where memory is out. */
struct door *door_new(const struct door_settings *);
/* Lets people in from now on. False where threads or descriptors are out. */
MUST_USE bool door_open(struct door *);
/* By whoever was handed a connection, before it closes the socket; any thread. */
void door_leave(struct door *, int fd);
/* Ends the thread, closes the listening socket and what is still waiting for its header. Again: nothing. */
void door_shut(struct door *);
/* Shut, and nobody will leave any more. */
void door_free(struct door *);

#endif
