/* One rule of the policy file. Nothing is demanded by default but said outright: what is missing is an error,
 * and so is what this version does not enforce. */
#include "policy/rule.h"

#include "verifier/jsonfile.h"

#include <stdlib.h>
#include <string.h>

enum { LAUNCH_WINDOW_MIN = 1000, RETRY_WINDOW_DEFAULT = 15 * 60 * 1000, MAX_PER_HOUR = 1000000 };

bool list_holds(const struct list *list, const char *value)
{
	size_t i;

	for (i = 0; i < list->n; i++)
		if (strcmp(list->values[i], value) == 0)
			return true;
	return false;
}

static void list_clear(struct list *list)
{
	size_t i;

	for (i = 0; i < list->n; i++)
		free(list->values[i]);
	free(list->values);
	*list = (struct list){ 0 };
}

void rule_clear(struct rule *rule)
{
	size_t i;

	list_clear(&rule->accounts);
	list_clear(&rule->regions);
	list_clear(&rule->images);
	list_clear(&rule->launch_templates);
	list_clear(&rule->auto_scaling_groups);
	list_clear(&rule->vpcs);
	list_clear(&rule->subnets);
	list_clear(&rule->security_groups);
	list_clear(&rule->instance_types);
	list_clear(&rule->secrets);
	for (i = 0; i < rule->n_tags; i++) {
		free(rule->tags[i].key);
		free(rule->tags[i].value);
	}
	memset(rule, 0, sizeof(*rule));
}

/* ---- grammars of list elements */

static bool image_valid(const char *id)
{
	return resource_id_valid("ami-", id);
}

static bool template_valid(const char *id)
{
	return resource_id_valid("lt-", id);
}

static bool vpc_valid(const char *id)
{
	return resource_id_valid("vpc-", id);
}

static bool subnet_valid(const char *id)
{
	return resource_id_valid("subnet-", id);
}

static bool group_valid(const char *id)
{
	return resource_id_valid("sg-", id);
}

static bool scaling_group_valid(const char *name)
{
	return strlen(name) <= 255;
}

/* A list of strings that fit a grammar, none twice. */
struct list_form {
	const char *name;
	bool (*valid)(const char *);
	const char *grammar;
	size_t max;
	bool mandatory;
};

static bool list_load(const struct member *object, const struct list_form *form, struct list *list,
	struct complaint *complaint)
{
	struct member array = member_of(object, form->name);
	size_t n;
	size_t i;

	if (!array.value && !form->mandatory)
		return true;
	if (!member_array(&array, form->max, &n, complaint))
		return false;
	list->values = calloc(n, sizeof(*list->values));
	if (!list->values)
		return complain(complaint, "out of memory");
	for (i = 0; i < n; i++) {
		struct member element = member_at(&array, i);
		const char *text;

		if (!member_string(&element, 512, &text, complaint))
			return false;
		if (!form->valid(text))
			return member_complain(&element, complaint, "not %s", form->grammar);
		if (list_holds(list, text))
			return member_complain(&element, complaint, "named twice");
		list->values[i] = strdup(text);
		if (!list->values[i])
			return complain(complaint, "out of memory");
		list->n++;
	}
	return true;
}

static bool lists_load(const struct member *object, struct rule *rule, struct complaint *complaint)
{
	static const struct {
		struct list_form form;
		size_t offset;
	} lists[] = {
		{ { "accounts", account_id_valid, "an account id of 12 digits", LIST_MAX, true },
			offsetof(struct rule, accounts) },
		{ { "regions", region_valid, "a region such as us-east-1", LIST_MAX, true },
			offsetof(struct rule, regions) },
		{ { "images", image_valid, "an image id, ami-...", LIST_MAX, false },
			offsetof(struct rule, images) },
		{ { "launch_templates", template_valid, "a launch template's id, lt-...", LIST_MAX, false },
			offsetof(struct rule, launch_templates) },
		{ { "auto_scaling_groups", scaling_group_valid, "a group's name", LIST_MAX, false },
			offsetof(struct rule, auto_scaling_groups) },
		{ { "vpcs", vpc_valid, "a VPC's id, vpc-...", LIST_MAX, false },
			offsetof(struct rule, vpcs) },
		{ { "subnets", subnet_valid, "a subnet's id, subnet-...", LIST_MAX, false },
			offsetof(struct rule, subnets) },
		{ { "security_groups", group_valid, "a security group's id, sg-...", LIST_MAX, false },
			offsetof(struct rule, security_groups) },
		{ { "instance_types", instance_type_valid, "an instance type such as m5.large", LIST_MAX,
			  false },
			offsetof(struct rule, instance_types) },
		{ { "secrets", secret_name_valid, "a secret's name: lower-case letters, digits and dashes",
			  SECRETS_MAX, true },
			offsetof(struct rule, secrets) },
	};
	size_t i;

	for (i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		if (!list_load(object, &lists[i].form, (struct list *)((char *)rule + lists[i].offset),
			    complaint))
			return false;
	if (!rule->images.n && !rule->launch_templates.n && !rule->auto_scaling_groups.n)
		return member_complain(object, complaint,
			"no bound on what was launched; name at least one of images, launch_templates, "
			"auto_scaling_groups");
	return true;
}

static bool tags_load(const struct member *object, struct rule *rule, struct complaint *complaint)
{
	struct member tags = member_of(object, "tags");
	const char *key;
	json_t *value;

	if (!tags.value)
		return true;
	if (!json_is_object(tags.value) || json_object_size(tags.value) == 0)
		return member_complain(
			&tags, complaint, "write an object with at least one tag, or leave it out");
	json_object_foreach((json_t *)tags.value, key, value)
	{
		struct member tag = member_of(&tags, key);
		struct tag *kept = &rule->tags[rule->n_tags];

		if (rule->n_tags == RULE_TAGS_MAX)
			return member_complain(&tags, complaint, "more than %d tags", RULE_TAGS_MAX);
		if (!json_is_string(value))
			return member_complain(&tag, complaint, "not a string");
		if (strncmp(key, "aws:", 4) == 0)
			return member_complain(&tag, complaint,
				"a reserved tag; use auto_scaling_groups or launch_templates instead");
		rule->n_tags++;
		kept->key = strdup(key);
		kept->value = strdup(json_string_value(value));
		if (!kept->key || !kept->value)
			return complain(complaint, "out of memory");
	}
	return true;
}

/* Optional; `yes` when it is the second word. */
static bool choice_load(const struct member *object, const char *name, const char *const words[], bool *yes,
	struct complaint *complaint)
{
	struct member member = member_of(object, name);
	unsigned index = 0;

	if (member.value && !member_word(&member, words, &index, complaint))
		return false;
	*yes = index == 1;
	return true;
}

static bool choices_load(const struct member *object, struct rule *rule, struct complaint *complaint)
{
	static const char *const use[] = { "once-per-instance", "once-per-launch", NULL };
	static const char *const address[] = { "private", "public", NULL };
	static const char *const hostnames[] = { "exact", "first-label", NULL };
	static const char *const metadata[] = { "tokens-and-one-hop", "any", NULL };

	return choice_load(object, "use", use, &rule->once_per_launch, complaint) &&
	       choice_load(object, "address", address, &rule->demand.public_address, complaint) &&
	       choice_load(object, "hostnames", hostnames, &rule->demand.first_label_hostname, complaint) &&
	       choice_load(object, "metadata_options", metadata, &rule->any_metadata_options, complaint);
}

/* What a rule demands beyond metadata is said outright, none of it by default. */
static bool evidence_kinds_load(
	const struct member *object, struct demand *demand, struct complaint *complaint)
{
	static const char *const kinds[] = { "identity-document", "caller-identity", NULL };
	struct member evidence = member_of(object, "evidence");
	bool *const demanded[] = { &demand->document, &demand->caller };
	size_t i;

	if (!json_is_array(evidence.value))
		return member_complain(&evidence, complaint,
			"%s; write a list of \"identity-document\" and \"caller-identity\", or []",
			evidence.value ? "not a list" : "missing");
	for (i = 0; i < json_array_size(evidence.value); i++) {
		struct member kind = member_at(&evidence, i);
		unsigned index;

		if (!member_word(&kind, kinds, &index, complaint))
			return false;
		if (*demanded[index])
			return member_complain(&kind, complaint, "named twice");
		*demanded[index] = true;
	}
	return true;
}

/* Only caller-identity ties the key to the instance: a rule without it has to say so, and one with it must
 * not. */
static bool evidence_load(const struct member *object, struct rule *rule, struct complaint *complaint)
{
	struct member unbound = member_of(object, "unbound_key");

	if (!evidence_kinds_load(object, &rule->demand, complaint))
		return false;
	if (unbound.value && !member_boolean(&unbound, &rule->unbound_key, complaint))
		return false;
	if (!rule->demand.caller && !rule->unbound_key)
		return member_complain(unbound.value ? &unbound : object, complaint,
			"without caller-identity nothing ties the key to the instance; say \"unbound_key\": "
			"true "
			"if that is meant");
	if (rule->demand.caller && rule->unbound_key)
		return member_complain(
			&unbound, complaint, "caller-identity binds the key; take this out, or the evidence");
	return true;
}

static bool pace_load(const struct member *object, struct rule *rule, struct complaint *complaint)
{
	struct member member = member_of(object, "max_per_hour");
	long long most = 0;

	if (member.value && !member_integer(&member, 1, MAX_PER_HOUR, &most, complaint))
		return false;
	rule->max_per_hour = (unsigned)most;
	return true;
}

static bool windows_load(const struct member *object, struct rule *rule, struct complaint *complaint)
{
	struct member launch = member_of(object, "launch_window");
	struct member retry = member_of(object, "retry_window");

	rule->retry_window = RETRY_WINDOW_DEFAULT;
	return member_duration(
		       &launch, LAUNCH_WINDOW_MIN, LAUNCH_WINDOW_MAX, &rule->launch_window, complaint) &&
	       (!retry.value ||
		       member_duration(&retry, 0, LAUNCH_WINDOW_MAX, &rule->retry_window, complaint));
}

static bool names_load(const struct member *object, struct rule *rule, struct complaint *complaint)
{
	struct member name = member_of(object, "name");
	struct member role = member_of(object, "role");
	const char *text;

	if (!member_string(&name, NAME_SIZE - 1, &text, complaint))
		return false;
	if (!name_valid(text))
		return member_complain(&name, complaint, "not a name: lower-case letters, digits and dashes");
	strcpy(rule->name, text);
	if (!member_string(&role, ROLE_SIZE - 1, &text, complaint))
		return false;
	if (!role_valid(text))
		return member_complain(&role, complaint, "not an IAM role's name (without path or ARN)");
	strcpy(rule->role, text);
	return true;
}

bool rule_load(const struct member *member, struct rule *rule, struct complaint *complaint)
{
	static const char *const known[] = { "name", "role", "accounts", "regions", "evidence", "unbound_key",
		"launch_window", "retry_window", "use", "address", "hostnames", "metadata_options", "images",
		"launch_templates", "auto_scaling_groups", "vpcs", "subnets", "security_groups",
		"instance_types", "tags", "max_per_hour", "secrets", NULL };

	return member_object(member, known, complaint) && names_load(member, rule, complaint) &&
	       lists_load(member, rule, complaint) && tags_load(member, rule, complaint) &&
	       choices_load(member, rule, complaint) && evidence_load(member, rule, complaint) &&
	       windows_load(member, rule, complaint) && pace_load(member, rule, complaint);
}
