#ifndef SERVER_EXPIRY_H
#define SERVER_EXPIRY_H
/* Lets old rows of the ledger go (store/expire.h), in the committer's lane: a batch every few minutes, or one
 * behind the other while there are more, and only while nothing else is under way. */

struct expiry;
struct server;

/* NULL: memory is out. */
struct expiry *expiry_new(void);
void expiry_free(struct expiry *);
/* Called by main again and again: enters a batch where one is due. Never waits. */
void expiry_look(struct server *);

#endif
