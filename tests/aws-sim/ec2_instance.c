/* Writes one instance as DescribeInstances of API version 2016-11-15 shows it: which elements there
 * are in which state, in EC2's spelling and order. */
#include "tests/aws-sim/ec2.h"

#include "tests/aws-sim/instance.h"

#include <string.h>

const char *shown_state(const struct shown *shown)
{
	return shown->view.pending ? "pending" : text_of(shown->instance, "state");
}

static bool state_is(const struct shown *shown, const char *name)
{
	return !strcmp(shown_state(shown), name);
}

/* Only what has a public address already, or still. */
static const char *public_address(const struct shown *shown)
{
	return state_is(shown, "pending") ? "" : text_of(shown->instance, "public_address");
}

static const char *public_dns(const struct shown *shown)
{
	return state_is(shown, "pending") ? "" : text_of(shown->instance, "public_dns");
}

static void groups_write(struct xml *xml, const json_t *instance)
{
	const json_t *group;
	size_t i;

	xml_open(xml, "groupSet");
	json_array_foreach(json_object_get(instance, "groups"), i, group)
	{
		xml_open(xml, "item");
		xml_text(xml, "groupId", text_of(group, "id"));
		xml_text(xml, "groupName", text_of(group, "name"));
		xml_close(xml);
	}
	xml_close(xml);
}

static void state_write(struct xml *xml, const struct shown *shown)
{
	xml_open(xml, "instanceState");
	xml_number(xml, "code", instance_state_code(shown_state(shown)));
	xml_text(xml, "name", shown_state(shown));
	xml_close(xml);
}

static void placement_write(struct xml *xml, const json_t *instance)
{
	xml_open(xml, "placement");
	xml_text(xml, "availabilityZone", text_of(instance, "availability_zone"));
	xml_text(xml, "groupName", "");
	xml_text(xml, "tenancy", "default");
	xml_close(xml);
	xml_open(xml, "monitoring");
	xml_text(xml, "state", "disabled");
	xml_close(xml);
}

/* A terminated instance has left its network. */
static void network_write(struct xml *xml, const struct shown *shown)
{
	const json_t *instance = shown->instance;

	if (state_is(shown, "terminated")) {
		xml_open(xml, "groupSet");
		xml_close(xml);
		return;
	}
	xml_text(xml, "subnetId", text_of(instance, "subnet"));
	xml_text(xml, "vpcId", text_of(instance, "vpc"));
	xml_text(xml, "privateIpAddress", text_of(instance, "address"));
	if (*public_address(shown))
		xml_text(xml, "ipAddress", public_address(shown));
	xml_flag(xml, "sourceDestCheck", true);
	groups_write(xml, instance);
}

static void reason_write(struct xml *xml, const struct shown *shown)
{
	if (!*text_of(shown->instance, "reason"))
		return;
	xml_open(xml, "stateReason");
	xml_text(xml, "code", "Client.UserInitiatedShutdown");
	xml_text(xml, "message", "Client.UserInitiatedShutdown: User initiated shutdown");
	xml_close(xml);
}

static bool has_root_volume(const struct shown *shown)
{
	return !strcmp(text_of(shown->instance, "root_device_type"), "ebs") &&
	       !state_is(shown, "terminated") && !state_is(shown, "pending");
}

static void devices_write(struct xml *xml, const struct shown *shown)
{
	const json_t *instance = shown->instance;

	xml_text(xml, "architecture", text_of(instance, "architecture"));
	xml_text(xml, "rootDeviceType", text_of(instance, "root_device_type"));
	xml_text(xml, "rootDeviceName", "/dev/xvda");
	xml_open(xml, "blockDeviceMapping");
	if (has_root_volume(shown)) {
		xml_open(xml, "item");
		xml_text(xml, "deviceName", "/dev/xvda");
		xml_open(xml, "ebs");
		xml_text(xml, "volumeId", text_of(instance, "root_volume"));
		xml_text(xml, "status", "attached");
		xml_text(xml, "attachTime", text_of(instance, "root_attach_time"));
		xml_flag(xml, "deleteOnTermination", true);
		xml_close(xml);
		xml_close(xml);
	}
	xml_close(xml);
	xml_text(xml, "virtualizationType", "hvm");
	xml_text(xml, "clientToken", text_of(instance, "client_token"));
}

static void tags_write(struct xml *xml, const struct shown *shown)
{
	json_t *tags = json_object_get(shown->instance, "tags"), *value;
	const char *key;

	if (shown->view.without_tags || !json_object_size(tags))
		return;
	xml_open(xml, "tagSet");
	json_object_foreach(tags, key, value)
	{
		xml_open(xml, "item");
		xml_text(xml, "key", key);
		xml_text(xml, "value", json_string_value(value));
		xml_close(xml);
	}
	xml_close(xml);
}

static void association_write(struct xml *xml, const struct shown *shown)
{
	if (!*public_address(shown))
		return;
	xml_open(xml, "association");
	xml_text(xml, "publicIp", public_address(shown));
	xml_text(xml, "publicDnsName", public_dns(shown));
	xml_text(xml, "ipOwnerId", "amazon");
	xml_close(xml);
}

static void attachment_write(
	struct xml *xml, const struct shown *shown, const json_t *interface, long device_index)
{
	xml_open(xml, "attachment");
	xml_text(xml, "attachmentId", text_of(interface, "attachment"));
	xml_number(xml, "deviceIndex", device_index);
	xml_text(xml, "status", state_is(shown, "pending") ? "attaching" : "attached");
	xml_text(xml, "attachTime", text_of(interface, "attach_time"));
	xml_flag(xml, "deleteOnTermination", true);
	xml_number(xml, "networkCardIndex", 0);
	xml_close(xml);
}

static void address_write(struct xml *xml, const struct shown *shown, const char *address, bool primary)
{
	xml_open(xml, "item");
	xml_text(xml, "privateIpAddress", address);
	if (primary)
		xml_text(xml, "privateDnsName", text_of(shown->instance, "private_dns"));
	xml_flag(xml, "primary", primary);
	if (primary)
		association_write(xml, shown);
	xml_close(xml);
}

/* What all interfaces begin with. */
static void interface_head(struct xml *xml, const struct shown *shown, const json_t *interface)
{
	xml_text(xml, "networkInterfaceId", text_of(interface, "interface"));
	xml_text(xml, "subnetId", text_of(shown->instance, "subnet"));
	xml_text(xml, "vpcId", text_of(shown->instance, "vpc"));
	xml_text(xml, "description", "");
	xml_text(xml, "ownerId", text_of(shown->instance, "account"));
	xml_text(xml, "status", "in-use");
	xml_text(xml, "macAddress", text_of(interface, "mac"));
	xml_text(xml, "privateIpAddress", text_of(interface, "address"));
}

static void interface_tail(struct xml *xml)
{
	xml_text(xml, "ipv6AddressesSet", "");
	xml_text(xml, "interfaceType", "interface");
}

/* The primary interface's members are the instance's own. */
static void primary_interface_write(struct xml *xml, const struct shown *shown)
{
	const json_t *instance = shown->instance, *address;
	size_t i;

	xml_open(xml, "item");
	interface_head(xml, shown, instance);
	xml_text(xml, "privateDnsName", text_of(instance, "private_dns"));
	xml_flag(xml, "sourceDestCheck", true);
	groups_write(xml, instance);
	attachment_write(xml, shown, instance, 0);
	association_write(xml, shown);
	xml_open(xml, "privateIpAddressesSet");
	address_write(xml, shown, text_of(instance, "address"), true);
	json_array_foreach(json_object_get(instance, "secondary_addresses"), i, address)
		address_write(xml, shown, json_string_value(address), false);
	xml_close(xml);
	interface_tail(xml);
	xml_close(xml);
}

static void further_interface_write(struct xml *xml, const struct shown *shown, const json_t *interface)
{
	xml_open(xml, "item");
	interface_head(xml, shown, interface);
	xml_flag(xml, "sourceDestCheck", true);
	groups_write(xml, shown->instance);
	attachment_write(xml, shown, interface, number_of(interface, "device_index"));
	xml_open(xml, "privateIpAddressesSet");
	xml_open(xml, "item");
	xml_text(xml, "privateIpAddress", text_of(interface, "address"));
	xml_flag(xml, "primary", true);
	xml_close(xml);
	xml_close(xml);
	interface_tail(xml);
	xml_close(xml);
}

static void interfaces_write(struct xml *xml, const struct shown *shown)
{
	const json_t *interface;
	size_t i;

	xml_open(xml, "networkInterfaceSet");
	if (!state_is(shown, "terminated")) {
		/* EC2 promises no order: a further interface comes first */
		json_array_foreach(json_object_get(shown->instance, "interfaces"), i, interface)
			further_interface_write(xml, shown, interface);
		primary_interface_write(xml, shown);
	}
	xml_close(xml);
}

static void profile_write(struct xml *xml, const struct shown *shown)
{
	const char *arn = text_of(shown->instance, "profile_arn");

	if (!*arn || shown->view.without_profile || state_is(shown, "terminated"))
		return;
	xml_open(xml, "iamInstanceProfile");
	xml_text(xml, "arn", arn);
	xml_text(xml, "id", text_of(shown->instance, "profile_id"));
	xml_close(xml);
}

static void metadata_options_write(struct xml *xml, const struct shown *shown)
{
	xml_open(xml, "metadataOptions");
	xml_text(xml, "state", state_is(shown, "pending") ? "pending" : "applied");
	xml_text(xml, "httpTokens", text_of(shown->instance, "http_tokens"));
	xml_number(xml, "httpPutResponseHopLimit", number_of(shown->instance, "hop_limit"));
	xml_text(xml, "httpEndpoint", text_of(shown->instance, "http_endpoint"));
	xml_text(xml, "httpProtocolIpv4", "enabled");
	xml_text(xml, "httpProtocolIpv6", "disabled");
	xml_text(xml, "instanceMetadataTags", "disabled");
	xml_close(xml);
}

/* An element with one child. */
static void option_write(struct xml *xml, const char *name, const char *member, const char *value)
{
	xml_open(xml, name);
	xml_text(xml, member, value);
	xml_close(xml);
}

static void options_write(struct xml *xml, const struct shown *shown)
{
	xml_flag(xml, "ebsOptimized", true);
	xml_flag(xml, "enaSupport", true);
	xml_open(xml, "cpuOptions");
	xml_number(xml, "coreCount", 1);
	xml_number(xml, "threadsPerCore", 2);
	xml_close(xml);
	option_write(xml, "capacityReservationSpecification", "capacityReservationPreference", "open");
	option_write(xml, "hibernationOptions", "configured", "false");
	option_write(xml, "enclaveOptions", "enabled", "false");
	metadata_options_write(xml, shown);
	option_write(xml, "maintenanceOptions", "autoRecovery", "default");
	xml_text(xml, "currentInstanceBootMode", "legacy-bios");
	xml_text(xml, "platformDetails", "Linux/UNIX");
	xml_text(xml, "usageOperation", "RunInstances");
	xml_text(xml, "usageOperationUpdateTime", text_of(shown->instance, "attach_time"));
	xml_open(xml, "privateDnsNameOptions");
	xml_text(xml, "hostnameType", "ip-name");
	xml_flag(xml, "enableResourceNameDnsARecord", false);
	xml_flag(xml, "enableResourceNameDnsAAAARecord", false);
	xml_close(xml);
}

void shown_write(struct xml *xml, const struct shown *shown)
{
	const json_t *instance = shown->instance;
	bool gone = state_is(shown, "terminated");

	xml_text(xml, "instanceId", text_of(instance, "id"));
	xml_text(xml, "imageId", text_of(instance, "image"));
	state_write(xml, shown);
	xml_text(xml, "privateDnsName", gone ? "" : text_of(instance, "private_dns"));
	xml_text(xml, "dnsName", public_dns(shown));
	xml_text(xml, "reason", text_of(instance, "reason"));
	if (*text_of(instance, "key_name"))
		xml_text(xml, "keyName", text_of(instance, "key_name"));
	xml_number(xml, "amiLaunchIndex", 0);
	xml_text(xml, "productCodes", "");
	xml_text(xml, "instanceType", text_of(instance, "type"));
	xml_text(xml, "launchTime", text_of(instance, "launch_time"));
	placement_write(xml, instance);
	network_write(xml, shown);
	reason_write(xml, shown);
	devices_write(xml, shown);
	tags_write(xml, shown);
	xml_text(xml, "hypervisor", "xen");
	interfaces_write(xml, shown);
	profile_write(xml, shown);
	options_write(xml, shown);
}
