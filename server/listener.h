#ifndef SERVER_LISTENER_H
#define SERVER_LISTENER_H
/* HTTP over libmicrohttpd, plain or with TLS: collects a request under its limits, suspends the connection
 * while the request is on its way, sends the answer when it comes back. Everything about libmicrohttpd stays
 * behind this header. */
#include "server/config.h"
#include "server/connections.h"
#include "server/route.h"

struct listener;

struct listener_settings {
	const char *name; /* of the setting that it comes from */
	struct sockaddr_in address;
	const struct route *routes; /* ends with a row without a method */
	const struct forwarding *forwarding; /* NULL: whoever is at the other end of the socket, always */
	const struct tls_files *tls; /* without a certificate: plain HTTP */
	struct connections *connections; /* of this listener alone */
	unsigned roles_of_all; /* bits of enum access_role that everybody who gets here has */
};

/* Borrows all that the settings point to. NULL: the complaint says which address and why. */
struct listener *listener_open(struct server *, const struct listener_settings *, struct complaint *);
unsigned short listener_port(const struct listener *);
/* Certificate, key, and whom to believe clients' certificates, anew from their files; no connection is
 * dropped. False, with a complaint: all stays as it was. */
MUST_USE bool listener_reload(struct listener *, struct complaint *);
/* When its certificate ends, seconds since 1970; 0 without TLS. */
long long listener_not_after(const struct listener *);
/* When the first of its authorities and lists for clients ends; 0 where it asks for no client certificates.
 */
long long listener_trust_ends(struct listener *);
/* No new connections from now on. */
void listener_quiesce(struct listener *);
/* Requests that have begun and not been answered to the last byte. */
size_t listener_busy(struct listener *);
/* Nothing may be under way in the pipeline. */
void listener_close(struct listener *);
#endif
