#ifndef VAULT_IDENTITY_H
#define VAULT_IDENTITY_H
/* Who a member process is, and who may speak to it. */
#include "verifier/outcome.h"

#include <sys/types.h>

/* Started by root, a member process becomes the owner of its PIN file for good (with that user's groups),
 * unless that is root too. Before the module is loaded: it must never run as root by accident. */
MUST_USE bool identity_take(const char *pin_file, struct complaint *);

enum { ALLOWED_MAX = 16 };
struct allowed {
	uid_t users[ALLOWED_MAX];
	gid_t group; /* of the first named user: may be given the socket */
	bool has_group;
	size_t n;
};
/* Adds a user by name or number. */
MUST_USE bool allowed_add(struct allowed *, const char *user, struct complaint *);
/* Our own user, and `vouchsafe` where there is one and nobody was added. */
MUST_USE bool allowed_defaults(struct allowed *, struct complaint *);
/* Does the process at the socket's other end (SO_PEERCRED) belong to one of them? *user: whom it belongs to.
 */
bool allowed_peer(const struct allowed *, int socket, uid_t *user);

#endif
