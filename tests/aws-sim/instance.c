/* Launches instances and changes them, as EC2's own lifecycle does and as tests need it; each change
 * is all or nothing. An instance is one JSON object whose members are those of instance_fields.c, and
 * id, account and region, which never change. What EC2, or the metadata service, shows of it is
 * decided in ec2_instance.c and imds.c. */
#include "tests/aws-sim/instance.h"

#include "tests/aws-sim/account.h"
#include "tests/aws-sim/clock.h"
#include "tests/aws-sim/ids.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

static const struct {
	const char *name;
	long code;
} states[] = { { "pending", 0 }, { "running", 16 }, { "shutting-down", 32 }, { "terminated", 48 },
	{ "stopping", 64 }, { "stopped", 80 } };

long instance_state_code(const char *name)
{
	for (size_t i = 0; i < sizeof states / sizeof *states; i++)
		if (!strcmp(states[i].name, name))
			return states[i].code;
	return -1;
}

/* A profile by its name in the account, or any by its whole ARN; "": none. */
static bool profile_set(struct state *state, json_t *instance, const char *name, struct refusal *refusal)
{
	const json_t *profile = state_profile(state, text_of(instance, "account"), name);
	char id[ID_SIZE] = "";

	if (!strncmp(name, "arn:", 4) && !id_capitals(id, "AIPA", 17)) {
		refuse(refusal, 500, "no random bytes");
		return false;
	}
	if (*name && !*id && !profile) {
		refuse(refusal, 404, "no such profile in the account");
		return false;
	}
	return set_text(instance, "profile_arn", profile ? text_of(profile, "arn") : name) &&
	       set_text(instance, "profile_id", profile ? text_of(profile, "id") : id);
}

static bool role_profile_set(struct state *state, json_t *instance, const char *role, struct refusal *refusal)
{
	const json_t *profiles = json_object_get(
		state_role(state, text_of(instance, "account"), role), "profiles");

	if (json_array_size(profiles))
		return profile_set(state, instance, text_of(json_array_get(profiles, 0), "name"), refusal);
	refuse(refusal, 404, "no such role in the account, or it has no profile");
	return false;
}

/* `role` or `profile`, where they are given. */
static bool profile_choose(
	struct state *state, json_t *instance, const json_t *arguments, struct refusal *refusal)
{
	if (json_object_get(arguments, "profile"))
		return profile_set(state, instance, text_of(arguments, "profile"), refusal);
	if (json_object_get(arguments, "role"))
		return role_profile_set(state, instance, text_of(arguments, "role"), refusal);
	return true;
}

static bool reserved_tags_set(json_t *instance, const json_t *arguments)
{
	json_t *tags = json_object_get(instance, "tags");
	const char *template = text_of(arguments, "launch_template");
	const char *group = text_of(arguments, "auto_scaling_group");

	if (*template && (!set_text(tags, "aws:ec2launchtemplate:id", template) ||
				 !set_text(tags, "aws:ec2launchtemplate:version", "1")))
		return false;
	return !*group || set_text(tags, "aws:autoscaling:groupName", group);
}

/* 10.0.1.2 -> "ip-10-0-1-2.ec2.internal". */
static void private_name(const char *address, const char *region, char name[128])
{
	int length = strcmp(region, "us-east-1")
			     ? snprintf(name, 128, "ip-%s.%s.compute.internal", address, region)
			     : snprintf(name, 128, "ip-%s.ec2.internal", address);

	for (int i = 3; i < length && i < 3 + (int)strlen(address); i++)
		if (name[i] == '.')
			name[i] = '-';
}

/* 203.0.113.25 -> "ec2-203-0-113-25.compute-1.amazonaws.com". */
static void public_name(const char *address, const char *region, char name[128])
{
	int length = strcmp(region, "us-east-1")
			     ? snprintf(name, 128, "ec2-%s.%s.compute.%s", address, region,
				       partition_of_region(region)->dns_suffix)
			     : snprintf(name, 128, "ec2-%s.compute-1.amazonaws.com", address);

	for (int i = 4; i < length && i < 4 + (int)strlen(address); i++)
		if (name[i] == '.')
			name[i] = '-';
}

/* Sets a field that the caller did not give himself. */
static bool field_derive(json_t *instance, const json_t *arguments, const char *name, const char *value)
{
	return json_object_get(arguments, name) || set_text(instance, name, value);
}

static bool public_names_derive(json_t *instance, const json_t *arguments)
{
	const char *address = text_of(instance, "public_address");
	char name[128] = "";

	if (*address)
		public_name(address, text_of(instance, "region"), name);
	return field_derive(instance, arguments, "public_dns", name) &&
	       field_derive(instance, arguments, "public_hostname", name);
}

static bool private_names_derive(json_t *instance, const json_t *arguments)
{
	char name[128];

	private_name(text_of(instance, "address"), text_of(instance, "region"), name);
	return field_derive(instance, arguments, "private_dns", name) &&
	       field_derive(instance, arguments, "local_hostname", text_of(instance, "private_dns"));
}

/* At the first launch interface and root volume are attached with it; the volume a second later, as
 * EC2 shows it. */
static bool times_derive(json_t *instance, const json_t *arguments)
{
	char root[TIME_SIZE];
	time_t launch;

	if (!time_read(text_of(instance, "launch_time"), &launch))
		return false;
	time_write(launch + 1, root);
	return field_derive(instance, arguments, "attach_time", text_of(instance, "launch_time")) &&
	       field_derive(instance, arguments, "root_attach_time", root);
}

/* The next address that nobody has, from 127.1.0.1 on. */
static bool address_assign(const struct state *state, json_t *instance)
{
	static unsigned last;
	char text[INET_ADDRSTRLEN];
	struct in_addr address;

	for (unsigned tries = 0; tries < 1u << 16; tries++) {
		address.s_addr = htonl(0x7f010000u + 1 + last++ % 0xfffeu);
		inet_ntop(AF_INET, &address, text, sizeof text);
		if (!state_instance_at(state, text))
			return set_text(instance, "address", text);
	}
	return false;
}

static bool ids_make(json_t *instance)
{
	static const struct {
		const char *member, *prefix;
	} made[] = { { "id", "i-" }, { "reservation", "r-" }, { "interface", "eni-" },
		{ "attachment", "eni-attach-" }, { "root_volume", "vol-" } };
	char id[ID_SIZE];

	for (size_t i = 0; i < sizeof made / sizeof *made; i++)
		if (!id_hex(id, made[i].prefix, 17) || !set_text(instance, made[i].member, id))
			return false;
	return id_mac(id) && set_text(instance, "mac", id) && id_uuid(id) &&
	       set_text(instance, "client_token", id);
}

/* What an instance has whose launch says nothing. */
static json_t *instance_default(const char *account, const char *region)
{
	char zone[40], now[TIME_SIZE];
	json_t *instance;

	snprintf(zone, sizeof zone, "%sa", region);
	time_write(clock_now(), now);
	instance = json_pack(
		"{ss ss ss ss ss ss ss ss ss ss ss ss s[{ss ss}] s[] ss s[] ss ss ss ss si ss ss s{}}",
		"account", account, "region", region, "image", "ami-0abcdef1234567890", "type", "m5.large",
		"architecture", "x86_64", "state", "running", "reason", "", "launch_time", now,
		"pending_time", "", "availability_zone", zone, "vpc", "vpc-0a1b2c3d4e5f60718", "subnet",
		"subnet-0a1b2c3d4e5f60718", "groups", "id", "sg-0a1b2c3d4e5f60718", "name", "default",
		"secondary_addresses", "public_address", "", "interfaces", "root_device_type", "ebs",
		"profile_arn", "", "profile_id", "", "http_tokens", "required", "hop_limit", 1,
		"http_endpoint", "enabled", "key_name", "", "tags");
	if (instance && ids_make(instance))
		return instance;
	json_decref(instance);
	return NULL;
}

bool region_plausible(const char *region)
{
	size_t length = strlen(region);

	return length >= 8 && length < 24 &&
	       strspn(region, "abcdefghijklmnopqrstuvwxyz0123456789-") == length;
}

static bool instance_id_choose(
	const struct state *state, json_t *instance, const json_t *arguments, struct refusal *refusal)
{
	const char *id = text_of(arguments, "id");

	if (!json_object_get(arguments, "id"))
		return true;
	if (strncmp(id, "i-", 2) != 0 || strspn(id + 2, "0123456789abcdef") != strlen(id + 2)) {
		refuse(refusal, 400, "'id' is no instance id");
		return false;
	}
	if (state_instance(state, id)) {
		refuse(refusal, 409, "there is such an instance");
		return false;
	}
	return set_text(instance, "id", id);
}

/* Two instances of one VPC cannot have one address; of different VPCs they can. */
static bool address_is_free(const struct state *state, const json_t *instance)
{
	const json_t *other = state_instance_at(state, text_of(instance, "address"));

	return !other || strcmp(text_of(other, "vpc"), text_of(instance, "vpc")) != 0 ||
	       strcmp(text_of(other, "account"), text_of(instance, "account")) != 0;
}

/* All of the launch but to put it into the state. */
static bool instance_prepare(
	struct state *state, json_t *instance, const json_t *arguments, struct refusal *refusal)
{
	static const char *const others[] = { "account", "region", "id", "role", "profile", "launch_template",
		"auto_scaling_group", NULL };

	if (!instance_fields_set(instance, arguments, others, refusal) ||
		!instance_id_choose(state, instance, arguments, refusal) ||
		!profile_choose(state, instance, arguments, refusal))
		return false;
	if (!json_object_get(arguments, "address") && !address_assign(state, instance)) {
		refuse(refusal, 500, "no address left");
		return false;
	}
	if (!address_is_free(state, instance)) {
		refuse(refusal, 409, "the address is another instance's in this VPC");
		return false;
	}
	if (reserved_tags_set(instance, arguments) && private_names_derive(instance, arguments) &&
		public_names_derive(instance, arguments) && times_derive(instance, arguments))
		return true;
	return false;
}

json_t *instance_launch(struct state *state, const json_t *arguments, struct refusal *refusal)
{
	const char *account = text_of(arguments, "account"), *region = text_of(arguments, "region");
	json_t *instance, *answer = NULL;

	if (!state_account(state, account))
		return refuse(refusal, 404, "no such account");
	if (!region_plausible(region))
		return refuse(refusal, 400, "'region' is no region");
	instance = instance_default(account, region);
	if (!instance)
		return NULL;
	if (instance_prepare(state, instance, arguments, refusal)) {
		answer = json_deep_copy(instance);
		if (!answer || !state_put_instance(state, text_of(instance, "id"), json_incref(instance)) ||
			!state_index_addresses(state, instance)) {
			json_decref(answer);
			answer = NULL;
		}
	}
	json_decref(instance);
	return answer;
}

/* The instance that the arguments name. */
static json_t *instance_named(const struct state *state, const json_t *arguments, const char *const known[],
	struct refusal *refusal)
{
	json_t *instance = state_instance(state, text_of(arguments, "instance"));

	if (known && !arguments_known(arguments, known, refusal))
		return NULL;
	return instance ? instance : refuse(refusal, 404, "no such instance");
}

/* "User initiated (2013-03-01 17:24:16 GMT)" */
static bool reason_set(json_t *instance)
{
	char reason[64];
	time_t now = clock_now();
	struct tm tm = { 0 };

	gmtime_r(&now, &tm);
	if (!strftime(reason, sizeof reason, "User initiated (%Y-%m-%d %H:%M:%S GMT)", &tm))
		return false;
	return set_text(instance, "reason", reason);
}

/* A stopped instance keeps its private address and loses its public one. */
static bool instance_halt(json_t *instance, const char *state)
{
	return set_text(instance, "state", state) && reason_set(instance) &&
	       set_text(instance, "public_address", "") && set_text(instance, "public_dns", "") &&
	       set_text(instance, "public_hostname", "");
}

/* Makes the changed copy the instance, which is all or nothing, and takes it over: it is the answer. */
static json_t *instance_replace(struct state *state, json_t *copy)
{
	const char *id = text_of(copy, "id");
	json_t *kept = json_deep_copy(copy);

	state_forget_addresses(state, id);
	if (kept && state_put_instance(state, id, json_incref(kept)) && state_index_addresses(state, kept)) {
		json_decref(kept);
		return copy;
	}
	json_decref(kept);
	json_decref(copy);
	return NULL;
}

json_t *instance_stop(struct state *state, const json_t *arguments, struct refusal *refusal)
{
	static const char *const known[] = { "instance", NULL };
	const json_t *instance = instance_named(state, arguments, known, refusal);
	json_t *copy;

	if (!instance)
		return NULL;
	if (!strcmp(text_of(instance, "state"), "terminated"))
		return refuse(refusal, 409, "the instance is terminated");
	copy = json_deep_copy(instance);
	if (copy && instance_halt(copy, "stopped"))
		return instance_replace(state, copy);
	json_decref(copy);
	return NULL;
}

/* A new launch time; the interface and the root volume keep their attach times. */
json_t *instance_start(struct state *state, const json_t *arguments, struct refusal *refusal)
{
	static const char *const known[] = { "instance", "launch_time", "public_address", "state", NULL };
	static const char *const others[] = { "instance", NULL };
	const json_t *instance = instance_named(state, arguments, known, refusal);
	char now[TIME_SIZE];
	json_t *copy;

	if (!instance)
		return NULL;
	if (strcmp(text_of(instance, "state"), "stopped") != 0)
		return refuse(refusal, 409, "the instance is not stopped");
	time_write(clock_now(), now);
	copy = json_deep_copy(instance);
	if (copy && set_text(copy, "state", "running") && set_text(copy, "reason", "") &&
		set_text(copy, "launch_time", now) && instance_fields_set(copy, arguments, others, refusal) &&
		public_names_derive(copy, NULL))
		return instance_replace(state, copy);
	json_decref(copy);
	return NULL;
}

json_t *instance_terminate(struct state *state, const json_t *arguments, struct refusal *refusal)
{
	static const char *const known[] = { "instance", "forget", NULL };
	const json_t *instance = instance_named(state, arguments, known, refusal);
	json_t *copy;

	if (!instance)
		return NULL;
	copy = json_deep_copy(instance);
	if (!copy || !instance_halt(copy, "terminated")) {
		json_decref(copy);
		return NULL;
	}
	copy = instance_replace(state, copy);
	if (copy && json_is_true(json_object_get(arguments, "forget")))
		state_remove_instance(state, text_of(copy, "id"));
	return copy;
}

json_t *instance_set(struct state *state, const json_t *arguments, struct refusal *refusal)
{
	static const char *const others[] = { "instance", "profile", "role", NULL };
	const json_t *instance = instance_named(state, arguments, NULL, refusal);
	json_t *copy = instance ? json_deep_copy(instance) : NULL;

	if (copy && instance_fields_set(copy, arguments, others, refusal) &&
		profile_choose(state, copy, arguments, refusal))
		return instance_replace(state, copy);
	json_decref(copy);
	return NULL;
}

json_t *instance_list(struct state *state, const json_t *arguments, struct refusal *refusal)
{
	static const char *const known[] = { "account", "region", "instance", NULL };
	const char *account = text_of(arguments, "account"), *region = text_of(arguments, "region"), *id;
	const char *wanted = text_of(arguments, "instance");
	json_t *list, *instance;

	if (!arguments_known(arguments, known, refusal))
		return NULL;
	list = json_array();
	json_object_foreach(state_instances(state), id, instance)
	{
		if ((*account && strcmp(account, text_of(instance, "account")) != 0) ||
			(*region && strcmp(region, text_of(instance, "region")) != 0) ||
			(*wanted && strcmp(wanted, id) != 0))
			continue;
		if (json_array_append_new(list, json_deep_copy(instance))) {
			json_decref(list);
			return NULL;
		}
	}
	return json_pack("{so}", "instances", list);
}
