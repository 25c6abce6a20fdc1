#ifndef SERVER_FORWARDED_H
#define SERVER_FORWARDED_H
/* Whose request it is (DESIGN.md section 5): the socket's peer, unless that peer is a trusted proxy; then the
 * address that it forwards. Pure functions over what the configuration and the headers say. */
#include "verifier/outcome.h"

#include <netinet/in.h>

enum { PROXIES_MAX = 64, PROXY_HOPS_MAX = 8 };

enum forwarded_by {
	FORWARDED_BY_NOBODY,
	FORWARDED_BY_PROXY_PROTOCOL, /* version 2, read by the door (server/door.h) before HTTP begins */
	FORWARDED_BY_HEADER /* X-Forwarded-For */
};

/* An IPv4 network in canonical form: host bits are zero. */
struct network {
	struct in_addr address;
	unsigned bits; /* 0..32 */
};

bool network_holds(const struct network *, struct in_addr);

/* Whom a listener trusts. All zero: nobody. */
struct forwarding {
	enum forwarded_by by;
	unsigned hops; /* 1..PROXY_HOPS_MAX: which entry from the right is the agent's; by header alone */
	unsigned n_proxies;
	struct network proxies[PROXIES_MAX]; /* the balancers' own addresses, never the agents' */
};

bool forwarding_trusts(const struct forwarding *, struct in_addr peer);

/* What one request's headers say about addresses. Starts as all zero. */
struct forwarded {
	bool refused; /* something that nobody may send */
	size_t n; /* entries of all X-Forwarded-For headers, in their order */
	struct in_addr last[PROXY_HOPS_MAX]; /* entry i, counted from 0, stands at i % PROXY_HOPS_MAX */
};

/* To be called for each header of the request, in order; a look-up by name finds the attacker's alone. A
 * header that says nothing about addresses changes nothing. */
void forwarded_header(struct forwarded *, const char *name, struct bytes value);

enum speaker {
	SPEAKER_UNCLEAR, /* refused; the reason is filled in, and may be shown to the caller */
	SPEAKER_AGENT,
	/* A trusted proxy for itself: nothing is forwarded, or the forwarded address is a trusted one. Good
	   for health checks alone: an agent has no such address. */
	SPEAKER_PROXY
};

/* `address`: in the connection's peer (with the PROXY protocol: as its header told), out whose request it is;
 * changed only where a trusted proxy forwards another one. */
MUST_USE enum speaker forwarded_resolve(
	const struct forwarding *, const struct forwarded *, struct in_addr *address, struct reason *);

#endif
