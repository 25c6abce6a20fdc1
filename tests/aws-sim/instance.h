#ifndef AWS_SIM_INSTANCE_H
#define AWS_SIM_INSTANCE_H
/* What an instance is made of and what can happen to it. */
#include "tests/aws-sim/state.h"

/* The verbs of the control API: a new reference to the whole instance (or the list), or NULL and *refusal. */
json_t *instance_launch(struct state *, const json_t *arguments, struct refusal *);
/* Many launches in one call (fleet.c): `launch`, and for each of `instances` what it has of its own. */
json_t *instance_fleet(struct state *, const json_t *arguments, struct refusal *);
json_t *instance_stop(struct state *, const json_t *arguments, struct refusal *);
json_t *instance_start(struct state *, const json_t *arguments, struct refusal *);
json_t *instance_terminate(struct state *, const json_t *arguments, struct refusal *);
json_t *instance_set(struct state *, const json_t *arguments, struct refusal *);
json_t *instance_list(struct state *, const json_t *arguments, struct refusal *);

/* EC2's number for a state's name; -1: no such state. */
long instance_state_code(const char *name);

/* Whether it has the form of a region's name. */
bool region_plausible(const char *);

/* Sets the members that `arguments` names; those in `others` (up to a NULL) are somebody else's.
 * False: *refusal names one that is unknown or does not fit. */
bool instance_fields_set(
	json_t *instance, const json_t *arguments, const char *const others[], struct refusal *);

#endif
