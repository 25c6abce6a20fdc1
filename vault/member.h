#ifndef VAULT_MEMBER_H
#define VAULT_MEMBER_H
/* The serving member process: a UNIX socket, a thread and a PKCS#11 session for each connection. */
#include "vault/file.h"
#include "vault/identity.h"

/* Serves until SIGTERM or SIGINT; says on standard error what is wrong. Returns the exit status: 0 after a
 * signal; 75 where the token died, and a new process may find it again; 78 where a person has to mend
 * something first (a refused PIN among them: the supervisor should not start it again). */
int member_serve(const struct vault_file *, const struct vault_file_member *, const struct allowed *);

#endif
