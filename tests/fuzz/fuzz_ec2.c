/* DescribeInstances' answers, page after page: what becomes a fact stood in the answer as the whole text of
 * an element, fits its grammar, and belongs to one instance alone. */
#include "aws/ec2.h"
#include "tests/fuzz/xml_answer.h"
#include "verifier/encoding.h"

#include <stddef.h>

static void address_fits(struct bytes answer, const char *text)
{
	struct in_addr address;

	MUST_HOLD(text[0] == '\0' || address_decode(text, &address));
	MUST_HOLD(stood(answer, text));
}

static void network_fits(struct bytes answer, const struct facts *facts)
{
	address_fits(answer, facts->primary_address);
	address_fits(answer, facts->public_address);
	MUST_HOLD(stood(answer, facts->primary_interface));
	MUST_HOLD(facts->primary_interface[0] ||
		  (!facts->primary_address[0] && !facts->interface_attach_time && !facts->n_groups));
	MUST_HOLD(facts->n_groups <= GROUPS_MAX);
	for (unsigned i = 0; i < facts->n_groups; i++)
		MUST_HOLD(stood(answer, facts->groups[i]));
}

static void times_fit(const struct facts *facts)
{
	MUST_HOLD(
		facts->launch_time >= 0 && facts->interface_attach_time >= 0 && facts->root_attach_time >= 0);
	MUST_HOLD(facts->root_volume_said || facts->root_attach_time == 0);
	MUST_HOLD(facts->http_hop_limit >= 0 && facts->http_hop_limit <= 999999999);
}

static void tags_fit(struct bytes answer, const struct facts *facts)
{
	MUST_HOLD(facts->n_tags <= TAGS_MAX);
	for (unsigned i = 0; i < facts->n_tags; i++) {
		const struct tag *tag = &facts->tags[i];

		MUST_HOLD(tag->key[0] && facts_tag(facts, tag->key) == tag->value);
		MUST_HOLD(stood(answer, tag->key) && stood(answer, tag->value));
	}
}

static void instance_fits(struct bytes answer, const struct facts *facts)
{
	const char *const texts[] = { facts->instance_id, facts->reservation_id, facts->owner_id,
		facts->state, facts->image_id, facts->instance_type, facts->private_dns, facts->public_dns,
		facts->vpc_id, facts->subnet_id, facts->availability_zone, facts->profile_arn,
		facts->http_tokens };

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		MUST_HOLD(stood(answer, texts[i]));
	MUST_HOLD(facts->public_dns_said || !facts->public_dns[0]);
	network_fits(answer, facts);
	times_fit(facts);
	tags_fit(answer, facts);
}

static void answer_fits(struct bytes pages, const struct ec2_answer *answer)
{
	MUST_HOLD(answer->n_instances <= answer->size);
	MUST_HOLD(stood(pages, answer->next_token));
	for (unsigned i = 0; i < answer->n_instances; i++) {
		const struct facts *facts = &answer->instances[i];

		MUST_HOLD(facts->instance_id[0]);
		MUST_HOLD(ec2_answer_find(answer, facts->instance_id) == facts);
		instance_fits(pages, facts);
	}
}

/* ---- elements left out */

#define FACT(member) offsetof(struct facts, member), 0
#define WHEN(member) 0, offsetof(struct facts, member)

static const struct element {
	const char *before, *after; /* around the digit */
	size_t text, number; /* of the fact, as text or as a time or number; both 0: none of its own */
} elements[] = {
	{ "<imageId>ami-", "</imageId>", FACT(image_id) },
	{ "<instanceState><name>running", "</name></instanceState>", FACT(state) },
	{ "<privateDnsName>ip-", "</privateDnsName>", FACT(private_dns) },
	{ "<dnsName>ec2-", "</dnsName>", FACT(public_dns) },
	{ "<instanceType>m", ".large</instanceType>", FACT(instance_type) },
	{ "<launchTime>2026-01-02T03:04:0", "Z</launchTime>", WHEN(launch_time) },
	{ "<placement><availabilityZone>us-east-", "a</availabilityZone></placement>",
		FACT(availability_zone) },
	{ "<subnetId>subnet-", "</subnetId>", FACT(subnet_id) },
	{ "<vpcId>vpc-", "</vpcId>", FACT(vpc_id) },
	{ "<ipAddress>203.0.113.", "</ipAddress>", FACT(public_address) },
	{ "<iamInstanceProfile><arn>arn:", "</arn></iamInstanceProfile>", FACT(profile_arn) },
	{ "<metadataOptions><httpTokens>required", "</httpTokens></metadataOptions>", FACT(http_tokens) },
	{ "<rootDeviceName>/dev/xvda</rootDeviceName><blockDeviceMapping><item><deviceName>/dev/xvda</"
	  "deviceName>"
	  "<ebs><attachTime>2026-01-02T03:04:0",
		"Z</attachTime></ebs></item></blockDeviceMapping>", WHEN(root_attach_time) },
	{ "<networkInterfaceSet><item><networkInterfaceId>eni-",
		"</networkInterfaceId><privateIpAddress>10.0.0.1</privateIpAddress><attachment>"
		"<deviceIndex>0</deviceIndex><status>attached</status></attachment></item>"
		"</networkInterfaceSet>",
		FACT(primary_interface) },
	{ "<tagSet><item><key>k</key><value>", "</value></item></tagSet>", 0, 0 },
};

enum { ELEMENTS = sizeof(elements) / sizeof(elements[0]), INSTANCES = 3 };

static bool bit(const uint8_t *bits, size_t size, unsigned instance, size_t i)
{
	size_t at = instance * (ELEMENTS + 2) + i;

	return at / 8 < size && (bits[at / 8] >> (at % 8) & 1);
}

static void element_fits(const struct facts *facts, const struct element *element, bool said, unsigned digit)
{
	const char *text = (const char *)facts + element->text;
	long number = *(const long *)(const void *)((const char *)facts + element->number);

	if (element->text)
		MUST_HOLD(said ? strchr(text, (int)('1' + digit)) != NULL : text[0] == '\0');
	else if (element->number)
		MUST_HOLD(said ? number % 10 == (1767323040 + 1 + digit) % 10 : number == 0);
	else
		MUST_HOLD(facts->n_tags == said);
}

static void page_with_less(const uint8_t *bits, size_t size)
{
	static char text[8192];
	struct ec2_answer answer = { 0 };
	char why[XML_WHY_SIZE], *at = text;

	_Static_assert(sizeof(time_t) == sizeof(long), "times are read as numbers");
	at += sprintf(at, "<DescribeInstancesResponse xmlns=\"" EC2_NAMESPACE "\"><reservationSet>");
	for (unsigned n = 0; n < INSTANCES; n++) {
		at += sprintf(at, "<item>%s<instancesSet><item><instanceId>i-%u</instanceId>",
			bit(bits, size, n, ELEMENTS) ? "<reservationId>r</reservationId>" : "", n);
		for (size_t i = 0; i < ELEMENTS; i++)
			if (bit(bits, size, n, i))
				at += sprintf(at, "%s%u%s", elements[i].before, 1 + n, elements[i].after);
		at += sprintf(at, "</item></instancesSet>%s</item>",
			bit(bits, size, n, ELEMENTS + 1) ? "<ownerId>o</ownerId>" : "");
	}
	at += sprintf(at, "</reservationSet></DescribeInstancesResponse>");
	MUST_HOLD(ec2_answer_add(&answer, (struct bytes){ (const unsigned char *)text, (size_t)(at - text) },
		EC2_NAMESPACE, why));
	for (unsigned n = 0; n < INSTANCES; n++) {
		const struct facts *facts = &answer.instances[n];

		MUST_HOLD((facts->reservation_id[0] != '\0') == bit(bits, size, n, ELEMENTS));
		MUST_HOLD((facts->owner_id[0] != '\0') == bit(bits, size, n, ELEMENTS + 1));
		for (size_t i = 0; i < ELEMENTS; i++)
			element_fits(facts, &elements[i], bit(bits, size, n, i), n);
	}
	ec2_answer_clear(&answer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes rest = { data, size }, page;
	struct ec2_answer answer = { 0 };

	if (size > 0 && data[0] != '<') {
		page_with_less(data, size);
		return 0;
	}
	while (page_next(&rest, &page)) {
		char why[XML_WHY_SIZE] = "";
		bool added = ec2_answer_add(&answer, page, EC2_NAMESPACE, why);

		MUST_HOLD(added || is_said(why));
		if (!added)
			break;
		MUST_HOLD(rewritten(page) || holds(page, EC2_NAMESPACE));
		answer_fits((struct bytes){ data, (size_t)(page.data - data) + page.length }, &answer);
	}
	ec2_answer_clear(&answer);
	MUST_HOLD(!answer.instances && !answer.n_instances);
	return 0;
}
