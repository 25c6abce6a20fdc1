#ifndef SERVER_CHECKPOINT_H
#define SERVER_CHECKPOINT_H
/* Has the members sign the trail's head. */
#include "verifier/outcome.h"

struct server;

/* The head that the committer knows to be committed goes down a line of its own: every member that is up
 * signs it, unless it has, and the store keeps the signatures. False: one is under way, or there is no place
 * for it.
 */
bool checkpoint_take(struct server *);

#endif
