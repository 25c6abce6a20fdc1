#ifndef SERVER_RULES_H
#define SERVER_RULES_H
/* What may be loaded anew while the server runs: the policy, and the anchors of evidence. Always both
 * together, since they are held against each other. Safe from any thread. */
#include "policy/policy.h"
#include "server/config.h"
#include "verifier/anchors.h"

struct rules;

/* A pair as it stood at one moment; the caller owns both references. */
struct snapshot {
	struct policy *policy;
	struct anchors *anchors;
};
void snapshot_clear(struct snapshot *);

/* Empty: rules_load comes next. NULL: memory is out. */
struct rules *rules_new(void);
void rules_free(struct rules *);
/* Loads both from the files that the configuration names, and takes them over if both are good; otherwise the
 * old ones stay, and the complaint says why. */
MUST_USE bool rules_load(struct rules *, const struct config *, struct complaint *);
/* The key of challenges, for what is loaded and what will be; borrowed. Before anything listens. */
void rules_set_challenge_key(struct rules *, const unsigned char key[CHALLENGE_KEY_SIZE]);
/* After the first rules_load that succeeded. */
struct snapshot rules_get(struct rules *);

#endif
