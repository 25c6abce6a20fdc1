#ifndef AWS_SIM_ACCOUNT_H
#define AWS_SIM_ACCOUNT_H
/* Accounts with their access keys; roles with their instance profiles. */
#include "tests/aws-sim/state.h"

/* The verbs of the control API: a new reference to the answer, or NULL and *refusal. */
json_t *account_add(struct state *, const json_t *arguments, struct refusal *);
json_t *role_add(struct state *, const json_t *arguments, struct refusal *);

/* The partition that a region is in ("aws", "aws-cn", …), what its hosts' names end in, and the
 * region that IAM's calls are signed for there. */
struct partition {
	const char *region_prefix, *name, *dns_suffix, *iam_region;
};
const struct partition *partition_of_region(const char *region);

/* Exactly these members may be there; `names` ends in NULL. False: *refusal names the one that may not. */
bool arguments_known(const json_t *arguments, const char *const names[], struct refusal *);

#endif
