#ifndef AWS_SIM_TRUST_H
#define AWS_SIM_TRUST_H
/* Whom a role lets assume it: what its trust policy says, in the members `trusts`, `external_id`,
 * `web_token`, `container_token` and `ttl` of the role. A role that was never told trusts nobody. */
#include "tests/aws-sim/state.h"

/* The verb of the control API: account, role, [accounts: list of those whose keys may assume it; external_id:
 * that they must know; web_token: the web identity token that may; container_token: what the container's
 * endpoint wants to be shown; ttl: seconds that the role's keys live from now on]. What is not named is
 * nobody, or nothing. */
json_t *trust_set(struct state *, const json_t *arguments, struct refusal *);

/* The role of that ARN; NULL: none. Borrowed. */
const json_t *trust_role(const struct state *, const char *arn);
bool trust_account(const json_t *role, const char *account, const char *external_id);
bool trust_web_token(const json_t *role, const char *token);
bool trust_container(const json_t *role, const char *token);

#endif
