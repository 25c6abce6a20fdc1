/* The members of an instance that a caller may give, and how each is read. What they mean is not
 * known here. */
#include "tests/aws-sim/instance.h"

#include "tests/aws-sim/clock.h"
#include "tests/aws-sim/ids.h"

#include <arpa/inet.h>
#include <string.h>

/* Turns what the caller gave into what is kept: a new reference, or NULL when it does not fit. */
typedef json_t *field_read(const json_t *given);

static json_t *read_text(const json_t *given)
{
	return json_is_string(given) ? json_string(json_string_value(given)) : NULL;
}

static bool address_valid(const char *text)
{
	struct in_addr address;

	return text && inet_pton(AF_INET, text, &address) == 1;
}

static json_t *read_address(const json_t *given)
{
	return address_valid(json_string_value(given)) ? read_text(given) : NULL;
}

static json_t *read_public_address(const json_t *given)
{
	return json_is_string(given) && !json_string_length(given) ? json_string("") : read_address(given);
}

static json_t *read_addresses(const json_t *given)
{
	const json_t *address;
	size_t i;

	if (!json_is_array(given))
		return NULL;
	json_array_foreach(given, i, address) if (!address_valid(json_string_value(address))) return NULL;
	return json_deep_copy(given);
}

static json_t *time_json(time_t time)
{
	char text[TIME_SIZE];

	time_write(time, text);
	return json_string(text);
}

/* RFC 3339, or seconds since 1970. */
static json_t *read_time(const json_t *given)
{
	time_t time;

	if (json_is_integer(given))
		return time_json((time_t)json_integer_value(given));
	return json_is_string(given) && time_read(json_string_value(given), &time) ? time_json(time) : NULL;
}

static json_t *read_state(const json_t *given)
{
	return json_is_string(given) && instance_state_code(json_string_value(given)) >= 0 ? read_text(given)
											   : NULL;
}

static json_t *read_hop_limit(const json_t *given)
{
	json_int_t hops = json_integer_value(given);

	return json_is_integer(given) && hops >= 1 && hops <= 64 ? json_integer(hops) : NULL;
}

static json_t *read_one_of(const json_t *given, const char *one, const char *other)
{
	const char *text = json_string_value(given);

	return text && (!strcmp(text, one) || !strcmp(text, other)) ? json_string(text) : NULL;
}

static json_t *read_tokens(const json_t *given)
{
	return read_one_of(given, "required", "optional");
}

static json_t *read_switch(const json_t *given)
{
	return read_one_of(given, "enabled", "disabled");
}

static json_t *read_root_type(const json_t *given)
{
	return read_one_of(given, "ebs", "instance-store");
}

static json_t *read_tags(const json_t *given)
{
	const char *key;
	json_t *value;

	if (!json_is_object(given))
		return NULL;
	json_object_foreach((json_t *)given, key, value) if (!json_is_string(value)) return NULL;
	return json_deep_copy(given);
}

/* "sg-…", or {"id", "name"}. */
static json_t *group_read(const json_t *given)
{
	const char *id = json_is_object(given) ? text_of(given, "id") : json_string_value(given);
	const char *name = text_of(given, "name");

	return id && *id ? json_pack("{ss ss}", "id", id, "name", *name ? name : id) : NULL;
}

/* A list of what `read_one` makes of each. */
static json_t *list_read(const json_t *given, field_read *read_one)
{
	json_t *list = json_is_array(given) ? json_array() : NULL;
	const json_t *one;
	size_t i;

	if (!list)
		return NULL;
	json_array_foreach(given, i, one)
	{
		if (!json_array_append_new(list, read_one(one)))
			continue;
		json_decref(list);
		return NULL;
	}
	return list;
}

static json_t *read_groups(const json_t *given)
{
	return list_read(given, group_read);
}

/* A further interface: its address, and what is not given is made up. */
static json_t *interface_read(const json_t *given)
{
	const json_t *index = json_object_get(given, "device_index"),
		     *since = json_object_get(given, "attach_time");
	char id[ID_SIZE], attachment[ID_SIZE], mac[ID_SIZE];
	json_t *address = read_address(json_object_get(given, "address"));
	json_t *time = since ? read_time(since) : time_json(clock_now());

	if (address && time && id_hex(id, "eni-", 17) && id_hex(attachment, "eni-attach-", 17) && id_mac(mac))
		return json_pack("{so so ss ss ss sI}", "address", address, "attach_time", time, "interface",
			id, "attachment", attachment, "mac", mac, "device_index",
			json_is_integer(index) ? json_integer_value(index) : 1);
	json_decref(address);
	json_decref(time);
	return NULL;
}

static json_t *read_interfaces(const json_t *given)
{
	return list_read(given, interface_read);
}

static const struct field {
	const char *name;
	field_read *read;
} fields[] = {
	{ "reservation", read_text },
	{ "image", read_text },
	{ "type", read_text },
	{ "architecture", read_text },
	{ "state", read_state },
	{ "reason", read_text },
	{ "launch_time", read_time },
	{ "pending_time", read_time }, /* the identity document's word; until it is given: the launch time */
	{ "availability_zone", read_text },
	{ "vpc", read_text },
	{ "subnet", read_text },
	{ "groups", read_groups },
	{ "address", read_address },
	{ "secondary_addresses", read_addresses },
	{ "public_address", read_public_address },
	{ "private_dns", read_text }, /* EC2's word */
	{ "public_dns", read_text }, /* EC2's word */
	{ "local_hostname", read_text }, /* the metadata service's word */
	{ "public_hostname", read_text }, /* the metadata service's word */
	{ "interface", read_text },
	{ "attachment", read_text },
	{ "attach_time", read_time },
	{ "mac", read_text },
	{ "interfaces", read_interfaces },
	{ "root_device_type", read_root_type },
	{ "root_volume", read_text },
	{ "root_attach_time", read_time },
	{ "profile_arn", read_text },
	{ "profile_id", read_text },
	{ "http_tokens", read_tokens },
	{ "hop_limit", read_hop_limit },
	{ "http_endpoint", read_switch },
	{ "key_name", read_text },
	{ "client_token", read_text },
	{ "tags", read_tags },
};

static const struct field *field_find(const char *name)
{
	for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
		if (!strcmp(fields[i].name, name))
			return &fields[i];
	return NULL;
}

static bool is_one_of(const char *name, const char *const names[])
{
	while (*names && strcmp(*names, name) != 0)
		names++;
	return *names != NULL;
}

bool instance_fields_set(
	json_t *instance, const json_t *arguments, const char *const others[], struct refusal *refusal)
{
	const char *name;
	json_t *given;

	json_object_foreach((json_t *)arguments, name, given)
	{
		const struct field *field = field_find(name);

		if (is_one_of(name, others))
			continue;
		if (!field) {
			refuse(refusal, 400, "unknown member '%s'", name);
			return false;
		}
		if (!set_member(instance, name, field->read(given))) {
			refuse(refusal, 400, "'%s' does not fit", name);
			return false;
		}
	}
	return true;
}
