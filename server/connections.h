#ifndef SERVER_CONNECTIONS_H
#define SERVER_CONNECTIONS_H
/* Who is connected to a listener, for which address, and until when: the limits in total and per address, and
 * deadlines that one byte a second cannot stretch. libmicrohttpd's own limit must not be reached, and its own
 * timer begins anew with each byte.
 *
 * A connection is named by its descriptor. Enter and attribute are the door's alone (one thread); the rest is
 * safe from any. */
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>

struct connections;

enum connection_phase {
	CONNECTION_ELSEWHERE, /* it has no deadline here: another keeps one, or it is being closed */
	CONNECTION_HEAD, /* from its first moment, or from the end of an answer, to the end of the headers:
			    TLS handshake and idleness are part of it */
	CONNECTION_BODY, /* from there to the end of the body */
	CONNECTION_ANSWER, /* from there until the client has taken the answer */
	CONNECTION_PHASES
};

struct connections_settings {
	size_t most; /* at once */
	size_t heads_most; /* of them, before their first head is there; 0: as many as there are */
	unsigned per_address;
	long long patience_ms[CONNECTION_PHASES]; /* for each phase */
};

struct connection_counts {
	size_t open, heads; /* heads: have not come to the end of their first head yet */
	unsigned long accepted, over_share; /* over_share: turned away, its address had its share */
	unsigned long expired[CONNECTION_PHASES];
};

/* NULL: memory is out. */
struct connections *connections_new(const struct connections_settings *);
void connections_free(struct connections *);

/* No room for another. */
bool connections_full(struct connections *);
/* One has been accepted. Whoever had this descriptor before has gone without a word. False: its number is
 * beyond what can be kept; close it. */
bool connections_enter(struct connections *, int fd);
/* From now on it counts for that address. False: the address has its share; turn it away. */
bool connections_attribute(struct connections *, int fd, struct in_addr);
/* Its deadline begins anew, with the phase. */
void connections_phase(struct connections *, int fd, enum connection_phase);
/* Before its descriptor is closed; again: nothing. True: there was no room, and now there is. */
bool connections_leave(struct connections *, int fd);
/* Shuts the sockets of those whose deadline has passed; whoever reads from one finds its end. Where there are
 * as many first heads as may be, half of their time has to do. `now`: CLOCK_MONOTONIC nanoseconds. */
void connections_sweep(struct connections *, long long now);
void connections_count(struct connections *, struct connection_counts *);

#endif
