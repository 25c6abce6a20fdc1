#ifndef VAULT_SETUP_MEMBER_H
#define VAULT_SETUP_MEMBER_H
/* A member process that the command line started for itself: token, key, experiment, new envelopes. It speaks
 * to nobody but its parent, over the file descriptor SETUP_SOCKET. */
#include "vault/file.h"
#include "vault/pin.h"

/* Read before the process gives up being root. Needed for a blank token alone, so that its absence is no
 * error until then: `why` says it. */
struct so_pin {
	struct pin pin; /* data NULL: none */
	struct complaint why;
};
void so_pin_read(struct so_pin *, const struct vault_file_member *);

/* Says over the socket that it is there, serves until the parent closes, returns the exit status. */
int setup_serve(
	int socket, const struct vault_file *, const struct vault_file_member *, const struct so_pin *);
/* Instead of that: says why not. */
void setup_refuse(int socket, const char *why);

#endif
