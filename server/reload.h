#ifndef SERVER_RELOAD_H
#define SERVER_RELOAD_H
/* Policy and certificates while the server runs. */

struct server;

/* SIGHUP: loads both anew; if either is wrong the old ones stay in force, and the log says why. */
void reload(struct server *);
/* Logs what is allowed but worth a warning: of the policy, and of certificates that end soon or are not
 * AWS's. */
void reload_warn(struct server *);

#endif
