#ifndef SERVER_RELOAD_H
#define SERVER_RELOAD_H
/* Policy and certificates while the server runs. */

struct listener;
struct server;

/* SIGHUP: loads both anew; if either is wrong the old ones stay in force, and the log says why. */
void reload(struct server *);
/* Logs what is allowed but worth a warning: of the policy, and of certificates that end soon or are not
 * AWS's. */
void reload_warn(struct server *);
/* The same for a listener's certificates; `name` for the log. */
void reload_listener(struct listener *, const char *name);
void reload_warn_listener(struct listener *, const char *name);

#endif
