#ifndef SERVER_ACCESS_H
#define SERVER_ACCESS_H
/* Who may use the ops listener: by a bearer token, or by a client certificate. The entries are the setting
 * audit_access; where several fit, the first one is who it is. */
#include "server/certificate_rule.h"
#include "verifier/assertion.h"

#include <time.h>

struct config;
struct client_trust;

/* Bits, so that a mask can say who may take a route. */
enum access_role {
	ACCESS_AUDITOR = 1, /* the audit trail */
	ACCESS_ON_CALL = 2, /* metrics, the verbose status, the audit trail */
	ACCESS_OPERATOR = 4, /* everything */
	ACCESS_LOCAL = 8 /* nobody's entry: whoever reaches an ops listener without TLS, on loopback */
};

struct audit_access {
	char name[NAME_SIZE];
	enum access_role role;
	const char *role_name; /* "auditor"; static */
	bool by_certificate; /* else by token */
	unsigned char token_sha256[32]; /* the token is known by its hash alone */
	struct certificate_rule certificate;
};

/* `authorization` is the value of that header, "" where there is none. Compares with every entry, each in
 * constant time: the time tells nothing about which was near. Borrowed from the configuration; NULL: nobody.
 */
const struct audit_access *access_by_token(const struct config *, const char *authorization);

/* The certificates in DER as the peer has shown them, its own first; `now` in seconds since 1970. Verifies
 * them (client_trust.h) and looks for a rule. Borrowed from the configuration; NULL: nobody, also with a
 * trust that is NULL. Costs a signature for each certificate: ask once per connection. Any thread. */
const struct audit_access *access_by_certificate(
	const struct config *, struct client_trust *, const struct bytes chain[], size_t n, time_t now);

#endif
