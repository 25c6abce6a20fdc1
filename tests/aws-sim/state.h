#ifndef AWS_SIM_STATE_H
#define AWS_SIM_STATE_H
/* The simulated cloud: accounts, access keys, roles, instance profiles, instances and regions, each a
 * JSON object whose members are those that the control API shows. All functions want the lock of the
 * simulation (sim.h); what they return is borrowed unless they say otherwise. */
#include <jansson.h>
#include <stdbool.h>

enum { NAME_KEY_SIZE = 160 };

/* Why something was refused; the text goes to whoever called. It begins as the one reason that nobody
 * need fill in. */
struct refusal {
	int status; /* HTTP */
	char text[240];
};
#define REFUSAL_OUT_OF_MEMORY                                                                                \
	{                                                                                                    \
		.status = 500, .text = "out of memory"                                                       \
	}

/* Fills in the refusal and returns NULL, for `return refuse(…)`. */
void *refuse(struct refusal *, int status, const char *format, ...) __attribute__((format(printf, 3, 4)));

struct state;

struct state *state_new(void);
void state_free(struct state *);
/* A file that is not there is an empty cloud. False: *refusal says why. */
bool state_load(struct state *, const char *path, struct refusal *);
/* Written whole or not at all. */
bool state_save(struct state *, const char *path);
/* Whether something has changed since the last call. */
bool state_take_changed(struct state *);
void state_mark_changed(struct state *);

/* NULL where there is none. Keys: id, account, secret, token ("": none), and more that is known to account.c
 * and credentials.c. Roles and profiles: account,
 * name, path, arn, id, create_date; a profile also has its role's name, a role the list of its
 * profiles. */
json_t *state_account(const struct state *, const char *id);
json_t *state_key(const struct state *, const char *access_key_id);
/* The id of the key that an instance's metadata service gives out now; "" where there is none. */
const char *state_current_key(const struct state *, const char *instance_id);
/* What a region signs identity documents with: key, certificate (PEM). */
json_t *state_region(const struct state *, const char *region);
json_t *state_role(const struct state *, const char *account, const char *name);
json_t *state_profile(const struct state *, const char *account, const char *name);
json_t *state_instance(const struct state *, const char *id);
/* The one that the address reaches; where several have it, the one that got it last. */
json_t *state_instance_at(const struct state *, const char *address);
/* All instances by id, in the order in which they were launched. */
json_t *state_instances(const struct state *);

/* Put a new object in, taking it over, also when that fails. False: memory is out. */
bool state_put_account(struct state *, const char *id, json_t *);
bool state_put_key(struct state *, const char *access_key_id, json_t *);
bool state_put_current_key(struct state *, const char *instance_id, const char *access_key_id);
bool state_put_region(struct state *, const char *region, json_t *);
bool state_put_role(struct state *, const char *account, const char *name, json_t *);
bool state_put_profile(struct state *, const char *account, const char *name, json_t *);
bool state_put_instance(struct state *, const char *id, json_t *);
void state_remove_profile(struct state *, const char *account, const char *name);
void state_remove_instance(struct state *, const char *id);
/* Makes the instance reachable by its addresses, unless it is stopped or terminated. When those or
 * its state change: forget, then index. False: memory is out. */
bool state_index_addresses(struct state *, json_t *instance);
void state_forget_addresses(struct state *, const char *instance_id);

/* A member's text, "" where there is none; a member's number, 0 where there is none. */
const char *text_of(const json_t *object, const char *member);
long number_of(const json_t *object, const char *member);
/* Sets a member, taking `value` over. False: memory is out (NULL is a value that could not be made). */
bool set_member(json_t *object, const char *member, json_t *value);
bool set_text(json_t *object, const char *member, const char *text);

#endif
