#ifndef VAULT_LISTENER_H
#define VAULT_LISTENER_H
/* The member's UNIX socket, and telling systemd that it is there. */
#include "vault/identity.h"

/* A listening, non-blocking socket, mode 0660, given to the allowed user's group where we may. A stale socket
 * is replaced; one that another process serves, and anything else of that name, is not. -1 with the
 * complaint. */
int listener_open(const char *path, const struct allowed *, struct complaint *);
/* Closes it and takes its name away. */
void listener_close(int socket, const char *path);

/* sd_notify(3)'s protocol, without its library; nothing where systemd did not ask. */
void notify_ready(void);
void notify_stopping(void);

#endif
