#ifndef SERVER_NOTE_H
#define SERVER_NOTE_H
/* A line of the trail that no request asked for: the node's own. */
#include "verifier/outcome.h"

struct server;

/* Down the committer's queue; never waits for it. False: no memory, or the pipeline is full. */
MUST_USE bool note_policy_loaded(struct server *, const char *policy_sha256);

#endif
