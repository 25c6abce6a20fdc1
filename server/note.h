#ifndef SERVER_NOTE_H
#define SERVER_NOTE_H
/* What is written down without a request that waits for it: lines of the trail of the node's own, and how far
 * releases came. */
#include "verifier/outcome.h"

struct server;

/* Down the committer's queue; never waits for it. False: no memory, or the pipeline is full. */
MUST_USE bool note_policy_loaded(struct server *, const char *policy_sha256);

/* That a member has sealed that release, and its answer is on its way. Where it is lost, for want of memory
 * or of a place or because the process ends, the ledger says "granted" and no more. */
void note_sealed(struct server *, const char *release_id);

#endif
