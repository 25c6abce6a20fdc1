/* Holds the simulated cloud, finds things in it, and keeps it in a file where one is named. What an
 * instance or a role is made of is known to instance.c and account.c. */
#include "tests/aws-sim/state.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const sections[] = { "accounts", "keys", "roles", "profiles", "instances", "current_keys",
	"regions" };
enum { ACCOUNTS, KEYS, ROLES, PROFILES, INSTANCES, CURRENT_KEYS, REGIONS, N_SECTIONS };

struct state {
	json_t *root;
	json_t *by_address; /* address -> instance id; not saved */
	bool changed;
};

void *refuse(struct refusal *refusal, int status, const char *format, ...)
{
	va_list arguments;

	refusal->status = status;
	va_start(arguments, format);
	vsnprintf(refusal->text, sizeof refusal->text, format, arguments);
	va_end(arguments);
	return NULL;
}

const char *text_of(const json_t *object, const char *member)
{
	const char *text = json_string_value(json_object_get(object, member));

	return text ? text : "";
}

long number_of(const json_t *object, const char *member)
{
	return (long)json_integer_value(json_object_get(object, member));
}

bool set_member(json_t *object, const char *member, json_t *value)
{
	return value && !json_object_set_new(object, member, value);
}

bool set_text(json_t *object, const char *member, const char *text)
{
	return set_member(object, member, json_string(text));
}

static json_t *section(const struct state *state, unsigned which)
{
	return json_object_get(state->root, sections[which]);
}

struct state *state_new(void)
{
	struct state *state = calloc(1, sizeof *state);
	bool made;

	if (!state)
		return NULL;
	state->root = json_object();
	state->by_address = json_object();
	made = state->root && state->by_address;
	for (unsigned i = 0; made && i < N_SECTIONS; i++)
		made = set_member(state->root, sections[i], json_object());
	if (made)
		return state;
	state_free(state);
	return NULL;
}

void state_free(struct state *state)
{
	if (!state)
		return;
	json_decref(state->root);
	json_decref(state->by_address);
	free(state);
}

static bool root_is_whole(const json_t *root)
{
	for (unsigned i = 0; i < N_SECTIONS; i++)
		if (!json_is_object(json_object_get(root, sections[i])))
			return false;
	return json_object_size(root) == N_SECTIONS;
}

bool state_load(struct state *state, const char *path, struct refusal *refusal)
{
	json_error_t error;
	const char *id;
	json_t *root, *instance;

	if (access(path, F_OK) && errno == ENOENT)
		return true;
	root = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
	if (!root || !root_is_whole(root)) {
		refuse(refusal, 500, "%s: %s", path, root ? "not a state of aws-sim" : error.text);
		json_decref(root);
		return false;
	}
	json_decref(state->root);
	state->root = root;
	json_object_foreach(section(state, INSTANCES), id, instance)
	{
		if (!state_index_addresses(state, instance))
			return false;
	}
	return true;
}

bool state_save(struct state *state, const char *path)
{
	char partial[4096];
	int length = snprintf(partial, sizeof partial, "%s.new", path);

	if (length < 0 || (size_t)length >= sizeof partial)
		return false;
	if (!json_dump_file(state->root, partial, JSON_INDENT(1)) && !rename(partial, path))
		return true;
	unlink(partial);
	return false;
}

bool state_take_changed(struct state *state)
{
	bool changed = state->changed;

	state->changed = false;
	return changed;
}

void state_mark_changed(struct state *state)
{
	state->changed = true;
}

/* "account/name": accounts are digits, so no two pairs share one. */
static const char *name_key(char key[NAME_KEY_SIZE], const char *account, const char *name)
{
	snprintf(key, NAME_KEY_SIZE, "%s/%s", account, name);
	return key;
}

json_t *state_account(const struct state *state, const char *id)
{
	return json_object_get(section(state, ACCOUNTS), id);
}

json_t *state_key(const struct state *state, const char *access_key_id)
{
	return json_object_get(section(state, KEYS), access_key_id);
}

const char *state_current_key(const struct state *state, const char *instance_id)
{
	return text_of(section(state, CURRENT_KEYS), instance_id);
}

json_t *state_region(const struct state *state, const char *region)
{
	return json_object_get(section(state, REGIONS), region);
}

json_t *state_role(const struct state *state, const char *account, const char *name)
{
	char key[NAME_KEY_SIZE];

	return json_object_get(section(state, ROLES), name_key(key, account, name));
}

json_t *state_profile(const struct state *state, const char *account, const char *name)
{
	char key[NAME_KEY_SIZE];

	return json_object_get(section(state, PROFILES), name_key(key, account, name));
}

json_t *state_instance(const struct state *state, const char *id)
{
	return json_object_get(section(state, INSTANCES), id);
}

json_t *state_instance_at(const struct state *state, const char *address)
{
	return state_instance(state, text_of(state->by_address, address));
}

json_t *state_instances(const struct state *state)
{
	return section(state, INSTANCES);
}

bool state_put_account(struct state *state, const char *id, json_t *account)
{
	return set_member(section(state, ACCOUNTS), id, account);
}

bool state_put_key(struct state *state, const char *access_key_id, json_t *key)
{
	return set_member(section(state, KEYS), access_key_id, key);
}

bool state_put_current_key(struct state *state, const char *instance_id, const char *access_key_id)
{
	return set_text(section(state, CURRENT_KEYS), instance_id, access_key_id);
}

bool state_put_region(struct state *state, const char *region, json_t *signs)
{
	return set_member(section(state, REGIONS), region, signs);
}

bool state_put_role(struct state *state, const char *account, const char *name, json_t *role)
{
	char key[NAME_KEY_SIZE];

	return set_member(section(state, ROLES), name_key(key, account, name), role);
}

bool state_put_profile(struct state *state, const char *account, const char *name, json_t *profile)
{
	char key[NAME_KEY_SIZE];

	return set_member(section(state, PROFILES), name_key(key, account, name), profile);
}

bool state_put_instance(struct state *state, const char *id, json_t *instance)
{
	return set_member(section(state, INSTANCES), id, instance);
}

void state_remove_profile(struct state *state, const char *account, const char *name)
{
	char key[NAME_KEY_SIZE];

	json_object_del(section(state, PROFILES), name_key(key, account, name));
}

void state_forget_addresses(struct state *state, const char *id)
{
	const char *address;
	json_t *owner;
	void *next;

	json_object_foreach_safe(state->by_address, next, address, owner)
	{
		if (!strcmp(json_string_value(owner), id))
			json_object_del(state->by_address, address);
	}
}

void state_remove_instance(struct state *state, const char *id)
{
	state_forget_addresses(state, id);
	json_object_del(section(state, INSTANCES), id);
}

static bool address_add(struct state *state, const char *address, const char *id)
{
	return !*address || set_text(state->by_address, address, id);
}

bool state_index_addresses(struct state *state, json_t *instance)
{
	const char *id = text_of(instance, "id"), *now = text_of(instance, "state");
	json_t *member;
	size_t i;

	if (!strcmp(now, "stopped") || !strcmp(now, "terminated"))
		return true;
	if (!address_add(state, text_of(instance, "address"), id))
		return false;
	json_array_foreach(json_object_get(instance, "secondary_addresses"), i,
		member) if (!address_add(state, json_string_value(member), id)) return false;
	json_array_foreach(json_object_get(instance, "interfaces"), i,
		member) if (!address_add(state, text_of(member, "address"), id)) return false;
	return true;
}
