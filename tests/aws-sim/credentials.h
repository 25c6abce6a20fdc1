#ifndef AWS_SIM_CREDENTIALS_H
#define AWS_SIM_CREDENTIALS_H
/* Temporary credentials: those that an instance has of its profile's role, and those of somebody else who
 * assumed it. Each is an access key of the state with token, role, role_id, session, since and expires. */
#include "tests/aws-sim/state.h"

/* The role that the instance's profile holds; NULL: no profile, or none that is known. Borrowed. */
const json_t *credentials_role(const struct state *, const json_t *instance);
/* The ones that the instance has now: made where there are none for its role, anew when their last hour has
 * begun. Borrowed; NULL: no role, or no memory. */
const json_t *credentials_current(struct state *, const json_t *instance);

/* A new key of the role for a session, which lives for the role's `ttl`, or an hour. Borrowed; NULL: no
 * memory. */
const json_t *credentials_make(struct state *, const json_t *role, const char *session);

/* The verbs of the control API: a new reference to access_key_id, secret_access_key, session_token, role,
 * session, expiration; or NULL and *refusal. */
json_t *credentials_show(struct state *, const json_t *arguments, struct refusal *);
json_t *credentials_rotate(struct state *, const json_t *arguments, struct refusal *);
json_t *credentials_expire(struct state *, const json_t *arguments, struct refusal *);
json_t *credentials_assume(struct state *, const json_t *arguments, struct refusal *);

#endif
