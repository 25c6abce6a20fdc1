#ifndef CLI_ACCEPT_H
#define CLI_ACCEPT_H
/* What `restore --accept` does in the store and with the members. */
#include "vault/setup.h"

/* An older database is the true one from now on: looks which members have signed what the store does not
 * hold, writes that down (store/heads.h), and has each of them take the store's head for its last. `reason`
 * stands in the trail. Safe to run again. False, too, where there is nothing to accept. */
MUST_USE bool restore_accept(const struct setup *, const char *reason, struct complaint *);

#endif
