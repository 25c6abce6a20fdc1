/* DescribeInstances: composes the question and turns the answer into facts. An answer is taken whole or not
 * at all: two instances with one id, two primary interfaces, two primary addresses, a time or an address that
 * is not of its form make all of it unbelievable. What EC2 did not say stays "" or 0. Must never fill a fact
 * from any other place than the one that is meant, however much alike they look. */
#include "aws/ec2.h"

#include "verifier/encoding.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	PAGE_MAX = 1000, /* instances on a page, the most that EC2 gives */
	DEVICES_MAX = 160, /* volumes on one instance: 128 is EC2's limit */
	DEVICE_SIZE = 64,
	TIME_SIZE = 40,
	NUMBER_SIZE = 12,
	TAG_KEY_SIZE = 513, /* 128 characters of up to 4 bytes */
	TAG_VALUE_SIZE = 1025
};

void ec2_form(struct form *form, const char (*ids)[INSTANCE_ID_SIZE], unsigned n_ids, const char *next_token)
{
	char name[32], number[NUMBER_SIZE];

	form_add(form, "Action", "DescribeInstances");
	form_add(form, "Filter.1.Name", "instance-id");
	for (unsigned i = 0; i < n_ids; i++) {
		snprintf(name, sizeof(name), "Filter.1.Value.%u", i + 1);
		form_add(form, name, ids[i]);
	}
	snprintf(number, sizeof(number), "%d", PAGE_MAX);
	form_add(form, "MaxResults", number);
	if (next_token[0] != '\0')
		form_add(form, "NextToken", next_token);
	form_add(form, "Version", EC2_VERSION);
}

/* ---- what is being read */

struct device {
	char name[DEVICE_SIZE];
	char attach_time[TIME_SIZE];
	bool volume; /* an EBS one */
};

struct interface {
	char id[FACT_ID_SIZE], address[ADDRESS_SIZE], public_address[ADDRESS_SIZE];
	char device_index[NUMBER_SIZE], card_index[NUMBER_SIZE];
	char status[FACT_ID_SIZE], attach_time[TIME_SIZE];
	bool has_addresses; /* privateIpAddressesSet was there */
	char primary_address[ADDRESS_SIZE];
	unsigned n_groups;
	char groups[GROUPS_MAX][FACT_ID_SIZE];
};

struct page {
	struct ec2_answer *answer;
	bool complete; /* reservationSet was there */
	char next_token[EC2_TOKEN_SIZE];

	unsigned reservation_first; /* of the answer's instances */
	char reservation_id[FACT_ID_SIZE], owner_id[FACT_ID_SIZE];

	struct facts facts; /* of the instance that is being read */
	char public_address[ADDRESS_SIZE], interface_public_address[ADDRESS_SIZE];
	char launch_time[TIME_SIZE], hop_limit[NUMBER_SIZE], root_device[DEVICE_SIZE];
	unsigned n_devices;
	struct device devices[DEVICES_MAX];

	struct interface interface;
	char address[ADDRESS_SIZE], address_primary[NUMBER_SIZE]; /* one of the interface's addresses */
	char tag_key[TAG_KEY_SIZE], tag_value[TAG_VALUE_SIZE];
	bool tag_has_value;
};

/* "" stays 0. */
static bool time_read(const char *text, time_t *seconds)
{
	long long microseconds;

	if (text[0] == '\0')
		return true;
	if (!timestamp_decode(text, &microseconds))
		return false;
	*seconds = (time_t)(microseconds / 1000000);
	return true;
}

/* "" or one canonical spelling. */
static bool address_fits(const char *text)
{
	struct in_addr address;

	return text[0] == '\0' || address_decode(text, &address);
}

/* "" or a number without sign and leading zeros, small enough for NUMBER_SIZE. */
static bool number_read(const char *text, long *number)
{
	size_t digits = strspn(text, "0123456789");

	if (text[digits] != '\0' || digits > 9 || (digits > 1 && text[0] == '0'))
		return false;
	if (digits > 0)
		*number = strtol(text, NULL, 10);
	return true;
}

/* ---- reservations and instances */

static bool reservations_begin(void *context)
{
	struct page *page = context;

	page->complete = true;
	return true;
}

static bool reservation_begin(void *context)
{
	struct page *page = context;

	page->reservation_first = page->answer->n_instances;
	page->reservation_id[0] = page->owner_id[0] = '\0';
	return true;
}

/* EC2 promises no order of elements: only now are the reservation's own facts known for sure. */
static bool reservation_end(void *context)
{
	struct page *page = context;

	for (unsigned i = page->reservation_first; i < page->answer->n_instances; i++) {
		strcpy(page->answer->instances[i].reservation_id, page->reservation_id);
		strcpy(page->answer->instances[i].owner_id, page->owner_id);
	}
	return true;
}

static bool instance_begin(void *context)
{
	struct page *page = context;

	facts_clear(&page->facts);
	page->public_address[0] = page->interface_public_address[0] = '\0';
	page->launch_time[0] = page->hop_limit[0] = page->root_device[0] = '\0';
	page->n_devices = 0;
	return true;
}

/* Said of the instance and of its primary interface: where it is said in both places it must be the same. */
static bool public_address_settle(struct page *page)
{
	const char *own = page->public_address, *interface = page->interface_public_address;

	strcpy(page->facts.public_address, own[0] != '\0' ? own : interface);
	return address_fits(own) && (own[0] == '\0' || interface[0] == '\0' || strcmp(own, interface) == 0);
}

static bool root_volume_settle(struct page *page)
{
	struct facts *facts = &page->facts;
	bool found = false;

	for (unsigned i = 0; i < page->n_devices; i++) {
		const struct device *device = &page->devices[i];

		if (page->root_device[0] == '\0' || strcmp(device->name, page->root_device) != 0)
			continue;
		if (found)
			return false;
		found = true;
		facts->root_volume_said = device->volume;
		if (!time_read(device->attach_time, &facts->root_attach_time))
			return false;
	}
	return true;
}

/* Moves the instance, and the tags that it owns, into the answer. */
static bool instance_keep(struct page *page)
{
	struct ec2_answer *answer = page->answer;
	unsigned size = answer->size ? 2 * answer->size : 1;

	if (answer->n_instances == answer->size) {
		struct facts *instances = realloc(answer->instances, size * sizeof(*instances));

		if (!instances)
			return false;
		answer->instances = instances;
		answer->size = size;
	}
	answer->instances[answer->n_instances++] = page->facts;
	memset(&page->facts, 0, sizeof(page->facts));
	return true;
}

static bool instance_end(void *context)
{
	struct page *page = context;
	struct facts *facts = &page->facts;

	return facts->instance_id[0] != '\0' && !ec2_answer_find(page->answer, facts->instance_id) &&
	       time_read(page->launch_time, &facts->launch_time) &&
	       number_read(page->hop_limit, &facts->http_hop_limit) && public_address_settle(page) &&
	       root_volume_settle(page) && instance_keep(page);
}

static bool public_name_text(void *context, const char *text)
{
	struct page *page = context;

	(void)text;
	page->facts.public_dns_said = true;
	return true;
}

/* ---- block devices */

static struct device *device_now(struct page *page)
{
	return &page->devices[page->n_devices - 1];
}

static bool device_begin(void *context)
{
	struct page *page = context;

	if (page->n_devices == DEVICES_MAX)
		return false;
	memset(&page->devices[page->n_devices++], 0, sizeof(struct device));
	return true;
}

static bool device_name_text(void *context, const char *text)
{
	struct device *device = device_now(context);

	if (strlen(text) >= sizeof(device->name))
		return false;
	strcpy(device->name, text);
	return true;
}

static bool volume_begin(void *context)
{
	device_now(context)->volume = true;
	return true;
}

static bool volume_time_text(void *context, const char *text)
{
	struct device *device = device_now(context);

	if (strlen(text) >= sizeof(device->attach_time))
		return false;
	strcpy(device->attach_time, text);
	return true;
}

/* ---- interfaces */

static bool interface_begin(void *context)
{
	struct page *page = context;

	memset(&page->interface, 0, sizeof(page->interface));
	return true;
}

static bool addresses_begin(void *context)
{
	struct page *page = context;

	page->interface.has_addresses = true;
	return true;
}

static bool address_begin(void *context)
{
	struct page *page = context;

	page->address[0] = page->address_primary[0] = '\0';
	return true;
}

static bool address_end(void *context)
{
	struct page *page = context;
	struct interface *interface = &page->interface;

	if (!address_fits(page->address))
		return false;
	if (strcmp(page->address_primary, "true") != 0)
		return strcmp(page->address_primary, "false") == 0 || page->address_primary[0] == '\0';
	if (interface->primary_address[0] != '\0')
		return false;
	strcpy(interface->primary_address, page->address);
	return page->address[0] != '\0';
}

static bool group_text(void *context, const char *text)
{
	struct page *page = context;
	struct interface *interface = &page->interface;

	if (interface->n_groups == GROUPS_MAX || strlen(text) >= FACT_ID_SIZE)
		return false;
	strcpy(interface->groups[interface->n_groups++], text);
	return true;
}

/* The one at device index 0 of network card 0. It is there from the launch on and cannot be moved, so one
 * that is still being attached is as good. */
static bool interface_is_primary(const struct interface *interface, bool *is)
{
	long device = -1, card = 0;

	if (!number_read(interface->device_index, &device) || !number_read(interface->card_index, &card))
		return false;
	*is = device == 0 && card == 0 &&
	      (strcmp(interface->status, "attached") == 0 || strcmp(interface->status, "attaching") == 0);
	return true;
}

/* As for the public address: what is said in two places must be the same. */
static bool address_settle(const struct interface *interface, struct facts *facts)
{
	const char *primary = interface->has_addresses ? interface->primary_address : interface->address;

	if (interface->has_addresses && interface->address[0] != '\0' && primary[0] != '\0' &&
		strcmp(interface->address, primary) != 0)
		return false;
	strcpy(facts->primary_address, primary);
	return true;
}

static bool interface_end(void *context)
{
	struct page *page = context;
	const struct interface *interface = &page->interface;
	struct facts *facts = &page->facts;
	bool primary;

	if (!interface_is_primary(interface, &primary) || !address_fits(interface->address) ||
		!address_fits(interface->public_address))
		return false;
	if (!primary)
		return true;
	if (facts->primary_interface[0] != '\0' || interface->id[0] == '\0' ||
		!address_settle(interface, facts) ||
		!time_read(interface->attach_time, &facts->interface_attach_time))
		return false;
	strcpy(facts->primary_interface, interface->id);
	strcpy(page->interface_public_address, interface->public_address);
	facts->n_groups = interface->n_groups;
	memcpy(facts->groups, interface->groups, sizeof(facts->groups));
	return true;
}

/* ---- tags */

static bool tag_begin(void *context)
{
	struct page *page = context;

	page->tag_key[0] = '\0';
	page->tag_has_value = false;
	return true;
}

static bool tag_value_text(void *context, const char *text)
{
	struct page *page = context;

	(void)text;
	page->tag_has_value = true;
	return true;
}

static bool tag_end(void *context)
{
	struct page *page = context;

	return page->tag_key[0] != '\0' && page->tag_has_value && !facts_tag(&page->facts, page->tag_key) &&
	       facts_add_tag(&page->facts, page->tag_key, page->tag_value);
}

/* ---- the outline of the answer */

#define KEEP(member) XML_STORE(struct page, member)

static const struct xml_rule rules[] = {
	{ 1, "nextToken", KEEP(next_token) },
	{ 1, "reservationSet", .begin = reservations_begin },
	{ 2, "item", .many = true, .begin = reservation_begin, .end = reservation_end },
	{ 3, "reservationId", KEEP(reservation_id) },
	{ 3, "ownerId", KEEP(owner_id) },
	{ 3, "instancesSet" },
	{ 4, "item", .many = true, .begin = instance_begin, .end = instance_end },
	{ 5, "instanceId", KEEP(facts.instance_id) },
	{ 5, "imageId", KEEP(facts.image_id) },
	{ 5, "instanceState" },
	{ 6, "name", KEEP(facts.state) },
	{ 5, "privateDnsName", KEEP(facts.private_dns) },
	{ 5, "dnsName", KEEP(facts.public_dns), .text = public_name_text },
	{ 5, "instanceType", KEEP(facts.instance_type) },
	{ 5, "launchTime", KEEP(launch_time) },
	{ 5, "placement" },
	{ 6, "availabilityZone", KEEP(facts.availability_zone) },
	{ 5, "subnetId", KEEP(facts.subnet_id) },
	{ 5, "vpcId", KEEP(facts.vpc_id) },
	{ 5, "ipAddress", KEEP(public_address) },
	{ 5, "iamInstanceProfile" },
	{ 6, "arn", KEEP(facts.profile_arn) },
	{ 5, "metadataOptions" },
	{ 6, "httpTokens", KEEP(facts.http_tokens) },
	{ 6, "httpPutResponseHopLimit", KEEP(hop_limit) },
	{ 5, "rootDeviceName", KEEP(root_device) },
	{ 5, "blockDeviceMapping" },
	{ 6, "item", .many = true, .begin = device_begin },
	{ 7, "deviceName", .text = device_name_text },
	{ 7, "ebs", .begin = volume_begin },
	{ 8, "attachTime", .text = volume_time_text },
	{ 5, "networkInterfaceSet" },
	{ 6, "item", .many = true, .begin = interface_begin, .end = interface_end },
	{ 7, "networkInterfaceId", KEEP(interface.id) },
	{ 7, "privateIpAddress", KEEP(interface.address) },
	{ 7, "attachment" },
	{ 8, "deviceIndex", KEEP(interface.device_index) },
	{ 8, "networkCardIndex", KEEP(interface.card_index) },
	{ 8, "status", KEEP(interface.status) },
	{ 8, "attachTime", KEEP(interface.attach_time) },
	{ 7, "association" },
	{ 8, "publicIp", KEEP(interface.public_address) },
	{ 7, "groupSet" },
	{ 8, "item", .many = true },
	{ 9, "groupId", .text = group_text },
	{ 7, "privateIpAddressesSet", .begin = addresses_begin },
	{ 8, "item", .many = true, .begin = address_begin, .end = address_end },
	{ 9, "privateIpAddress", KEEP(address) },
	{ 9, "primary", KEEP(address_primary) },
	{ 5, "tagSet" },
	{ 6, "item", .many = true, .begin = tag_begin, .end = tag_end },
	{ 7, "key", KEEP(tag_key) },
	{ 7, "value", KEEP(tag_value), .text = tag_value_text },
};

static const struct xml_outline outline = { "DescribeInstancesResponse", rules,
	sizeof(rules) / sizeof(rules[0]) };

/* ---- the answer */

bool ec2_answer_add(
	struct ec2_answer *answer, struct bytes text, const char *namespace, char why[XML_WHY_SIZE])
{
	struct page *page = calloc(1, sizeof(*page));
	bool added = false;

	if (!page) {
		snprintf(why, XML_WHY_SIZE, "out of memory");
		return false;
	}
	page->answer = answer;
	if (!xml_read(&outline, namespace, text, page, why))
		goto out;
	if (!page->complete) {
		snprintf(why, XML_WHY_SIZE, "reservationSet: is not there");
		goto out;
	}
	strcpy(answer->next_token, page->next_token);
	added = true;
out:
	facts_clear(&page->facts);
	free(page);
	return added;
}

const struct facts *ec2_answer_find(const struct ec2_answer *answer, const char *instance_id)
{
	for (unsigned i = 0; i < answer->n_instances; i++)
		if (strcmp(answer->instances[i].instance_id, instance_id) == 0)
			return &answer->instances[i];
	return NULL;
}

void ec2_answer_clear(struct ec2_answer *answer)
{
	for (unsigned i = 0; i < answer->n_instances; i++)
		facts_clear(&answer->instances[i]);
	free(answer->instances);
	memset(answer, 0, sizeof(*answer));
}
