/* EC2's and IAM's answers, and AWS's errors: what is taken from them, and what makes all of one unbelievable.
 */
#include "aws/ec2.h"
#include "aws/errors.h"
#include "aws/iam.h"
#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One instance with everything that we read, as EC2 puts it. */
static const char one[] =
	"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
	"<DescribeInstancesResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\">\n"
	" <requestId>d15d204f-fc31-4600-85d3-5c86e5483b92</requestId>\n"
	" <reservationSet><item>\n"
	"  <reservationId>r-0123456789abcdef0</reservationId><ownerId>123456789012</ownerId><groupSet/>\n"
	"  <instancesSet><item>\n"
	"   <instanceId>i-0123456789abcdef0</instanceId><imageId>ami-0123456789abcdef0</imageId>\n"
	"   <instanceState><code>16</code><name>running</name></instanceState>\n"
	"   <privateDnsName>ip-10-0-1-225.ec2.internal</privateDnsName>\n"
	"   <dnsName>ec2-203-0-113-25.compute-1.amazonaws.com</dnsName>\n"
	"   <instanceType>m5.large</instanceType><launchTime>2026-01-02T03:04:05.000Z</launchTime>\n"
	"   "
	"<placement><availabilityZone>us-east-1a</availabilityZone><groupName/><tenancy>default</tenancy></"
	"placement>\n"
	"   <subnetId>subnet-0123456789abcdef0</subnetId><vpcId>vpc-0123456789abcdef0</vpcId>\n"
	"   <privateIpAddress>10.0.1.225</privateIpAddress><ipAddress>203.0.113.25</ipAddress>\n"
	"   "
	"<groupSet><item><groupId>sg-00000000000000001</groupId><groupName>g</groupName></item></groupSet>\n"
	"   <rootDeviceType>ebs</rootDeviceType><rootDeviceName>/dev/xvda</rootDeviceName>\n"
	"   <blockDeviceMapping><item><deviceName>/dev/xvda</deviceName><ebs><volumeId>vol-1</volumeId>"
	"<status>attached</status><attachTime>2026-01-02T03:04:07.000Z</attachTime></ebs></item>"
	"<item><deviceName>/dev/xvdb</deviceName><ebs><attachTime>2026-01-02T04:00:00.000Z</attachTime></"
	"ebs></item>"
	"</blockDeviceMapping>\n"
	"   "
	"<iamInstanceProfile><arn>arn:aws:iam::123456789012:instance-profile/web</arn><id>AIPA</id></"
	"iamInstanceProfile>\n"
	"   <tagSet><item><key>env</key><value>prod</value></item><item><key>aws:autoscaling:groupName</key>"
	"<value>web</value></item><item><key>none</key><value/></item></tagSet>\n"
	"   <networkInterfaceSet>\n"
	"    <item><networkInterfaceId>eni-0000000000000000b</networkInterfaceId>"
	"<privateIpAddress>10.0.1.7</privateIpAddress><groupSet><item><groupId>sg-00000000000000009</"
	"groupId></item></groupSet>"
	"<attachment><deviceIndex>1</deviceIndex><status>attached</status>"
	"<attachTime>2026-01-02T05:00:00.000Z</attachTime></attachment></item>\n"
	"    "
	"<item><networkInterfaceId>eni-0000000000000000a</networkInterfaceId><subnetId>subnet-x</subnetId>"
	"<privateIpAddress>10.0.1.225</privateIpAddress>"
	"<groupSet><item><groupId>sg-00000000000000001</groupId><groupName>g</groupName></item>"
	"<item><groupId>sg-00000000000000002</groupId></item></groupSet>"
	"<attachment><attachmentId>a</attachmentId><deviceIndex>0</deviceIndex><status>attached</status>"
	"<attachTime>2026-01-02T03:04:06.000Z</attachTime><networkCardIndex>0</networkCardIndex></attachment>"
	"<association><publicIp>203.0.113.25</publicIp><publicDnsName>x</publicDnsName></association>"
	"<privateIpAddressesSet>"
	"<item><privateIpAddress>10.0.1.99</privateIpAddress><primary>false</primary></item>"
	"<item><privateIpAddress>10.0.1.225</privateIpAddress><primary>true</primary>"
	"<association><publicIp>203.0.113.25</publicIp></association></item>"
	"</privateIpAddressesSet></item>\n"
	"   </networkInterfaceSet>\n"
	"   <metadataOptions><state>applied</state><httpTokens>required</httpTokens>"
	"<httpPutResponseHopLimit>1</httpPutResponseHopLimit></metadataOptions>\n"
	"  </item></instancesSet>\n"
	" </item></reservationSet>\n"
	"</DescribeInstancesResponse>\n";

/* A copy in which the first `from` is replaced; NULL where there is none. */
static char *replaced(const char *text, const char *from, const char *to)
{
	const char *at = strstr(text, from);
	char *copy;

	if (!at)
		return NULL;
	copy = malloc(strlen(text) + strlen(to) + 1);
	if (copy)
		sprintf(copy, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
	return copy;
}

static bool add(struct ec2_answer *answer, const char *text, char *why)
{
	memset(answer, 0, sizeof(*answer));
	strcpy(why, "");
	return ec2_answer_add(
		answer, (struct bytes){ (const unsigned char *)text, strlen(text) }, EC2_NAMESPACE, why);
}

static void facts_of_one(void **state)
{
	struct ec2_answer answer;
	const struct facts *facts;
	char why[XML_WHY_SIZE];

	(void)state;
	assert_true(add(&answer, one, why));
	assert_int_equal(answer.n_instances, 1);
	assert_string_equal(answer.next_token, "");
	assert_null(ec2_answer_find(&answer, "i-0123456789abcdef1"));
	facts = ec2_answer_find(&answer, "i-0123456789abcdef0");
	assert_non_null(facts);
	assert_string_equal(facts->reservation_id, "r-0123456789abcdef0");
	assert_string_equal(facts->owner_id, "123456789012");
	assert_string_equal(facts->state, "running");
	assert_string_equal(facts->image_id, "ami-0123456789abcdef0");
	assert_string_equal(facts->instance_type, "m5.large");
	assert_string_equal(facts->private_dns, "ip-10-0-1-225.ec2.internal");
	assert_string_equal(facts->public_dns, "ec2-203-0-113-25.compute-1.amazonaws.com");
	assert_true(facts->public_dns_said);
	assert_string_equal(facts->vpc_id, "vpc-0123456789abcdef0");
	assert_string_equal(facts->subnet_id, "subnet-0123456789abcdef0");
	assert_string_equal(facts->availability_zone, "us-east-1a");
	assert_string_equal(facts->primary_interface, "eni-0000000000000000a");
	assert_string_equal(facts->primary_address, "10.0.1.225");
	assert_string_equal(facts->public_address, "203.0.113.25");
	assert_string_equal(facts->profile_arn, "arn:aws:iam::123456789012:instance-profile/web");
	assert_string_equal(facts->http_tokens, "required");
	assert_int_equal(facts->http_hop_limit, 1);
	assert_int_equal(facts->launch_time, 1767323045);
	assert_int_equal(facts->interface_attach_time, 1767323046);
	assert_int_equal(facts->root_attach_time, 1767323047);
	assert_true(facts->root_volume_said);
	assert_int_equal(facts->n_groups, 2);
	assert_string_equal(facts->groups[0], "sg-00000000000000001");
	assert_string_equal(facts->groups[1], "sg-00000000000000002");
	assert_int_equal(facts->n_tags, 3);
	assert_string_equal(facts_tag(facts, "env"), "prod");
	assert_string_equal(facts_tag(facts, "aws:autoscaling:groupName"), "web");
	assert_string_equal(facts_tag(facts, "none"), "");
	ec2_answer_clear(&answer);
}

/* Each change makes the whole answer unbelievable. */
static void attack_18_answers_refused(void **state)
{
	static const char *const changes[][2] = {
		{ "2016-11-15/\"", "2014-06-15/\"" },
		{ "<reservationSet>", "<reservationSets>" },
		{ "<instanceId>i-0123456789abcdef0</instanceId>", "" },
		{ "<instanceId>i-0123456789abcdef0</instanceId>", "<instanceId/>" },
		{ "<imageId>", "<imageId>ami-1</imageId><imageId>" },
		{ "<ownerId>", "<ownerId>000000000000</ownerId><ownerId>" },
		{ "<name>running</name>", "<name>running</name><name>stopped</name>" },
		{ "<instanceState>", "<instanceState><name>running</name></instanceState><instanceState>" },
		{ "m5.large", "m5.large12345678901234567890123456789012" },
		{ "2026-01-02T03:04:05.000Z", "2026-01-02 03:04:05" },
		{ "2026-01-02T03:04:05.000Z", "2026-01-02T03:04:05+01:00" },
		{ "2026-01-02T03:04:05.000Z", "2026-02-30T03:04:05.000Z" },
		{ "2026-01-02T03:04:05.000Z", "1767323045" },
		{ "2026-01-02T03:04:06.000Z", "soon" },
		{ "2026-01-02T03:04:07.000Z", "soon" },
		{ "<ipAddress>203.0.113.25", "<ipAddress>203.0.113.26" },
		{ "<ipAddress>203.0.113.25", "<ipAddress>203.0.113.025" },
		{ "<publicIp>203.0.113.25", "<publicIp>203.0.113.26" },
		{ "/dev/xvdb", "/dev/xvda" },
		{ "<deviceIndex>1<", "<deviceIndex>0<" },
		{ "<deviceIndex>1<", "<deviceIndex>x<" },
		{ "<deviceIndex>1<", "<deviceIndex>00<" },
		{ "<networkInterfaceId>eni-0000000000000000a</networkInterfaceId>", "" },
		{ "<primary>false</primary>", "<primary>true</primary>" },
		{ "<primary>false</primary>", "<primary>yes</primary>" },
		{ "<privateIpAddress>10.0.1.225</privateIpAddress><primary>", "<primary>" },
		{ "<privateIpAddress>10.0.1.225</privateIpAddress><primary>",
			"<privateIpAddress>10.0.1.226</privateIpAddress><primary>" },
		{ "<privateIpAddress>10.0.1.99", "<privateIpAddress>10.0.1.099" },
		{ "<httpPutResponseHopLimit>1", "<httpPutResponseHopLimit>-1" },
		{ "<httpPutResponseHopLimit>1", "<httpPutResponseHopLimit>1e1" },
		{ "<key>env</key>", "" },
		{ "<key>env</key>", "<key>none</key>" },
		{ "<value>prod</value>", "" },
		{ "<value>prod</value>", "<value>prod</value><value>dev</value>" },
		{ "<arn>arn:aws:iam", "<arn>arn:<!-- -->aws:iam" },
		{ "</instancesSet>", "</instancesSet><instancesSet/>" },
		{ "</DescribeInstancesResponse>", "" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		char *text = replaced(one, changes[i][0], changes[i][1]);
		struct ec2_answer answer;
		char why[XML_WHY_SIZE];

		assert_non_null(text);
		if (add(&answer, text, why) || why[0] == '\0')
			fail_msg("%s -> %s", changes[i][0], changes[i][1]);
		ec2_answer_clear(&answer);
		free(text);
	}
}

/* What is not said stays empty, and nothing else takes its place. */
static void attack_18_a_field_missing(void **state)
{
	static const struct {
		const char *from, *to;
		size_t offset;
	} cases[] = {
#define FACT(member) offsetof(struct facts, member)
		{ "<dnsName>ec2-203-0-113-25.compute-1.amazonaws.com</dnsName>", "", FACT(public_dns) },
		{ "<dnsName>ec2-203-0-113-25.compute-1.amazonaws.com</dnsName>", "<dnsName/>",
			FACT(public_dns) },
		{ "<privateDnsName>", "<privateDnsNames>x</privateDnsNames><privateDnsName/><!-- ",
			FACT(private_dns) },
		{ "<ownerId>123456789012</ownerId>", "", FACT(owner_id) },
		{ "<reservationId>r-0123456789abcdef0</reservationId>", "", FACT(reservation_id) },
		{ "<name>running</name>", "", FACT(state) },
		{ "<arn>arn:aws:iam::123456789012:instance-profile/web</arn>", "", FACT(profile_arn) },
		{ "<deviceIndex>0<", "<deviceIndex>2<", FACT(primary_address) },
		{ "<deviceIndex>0</deviceIndex>", "", FACT(primary_interface) },
		{ "<networkCardIndex>0", "<networkCardIndex>1", FACT(primary_address) },
		{ "<status>attached</status><attachTime>2026-01-02T03:04:06.000Z",
			"<status>detaching</status><attachTime>2026-01-02T03:04:06.000Z",
			FACT(primary_address) },
		{ "<primary>true</primary>", "<primary>false</primary>", FACT(primary_address) },
		{ "<httpTokens>required</httpTokens>", "", FACT(http_tokens) },
#undef FACT
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *text = replaced(one, cases[i].from, cases[i].to), *closed;
		struct ec2_answer answer;
		const struct facts *facts;
		char why[XML_WHY_SIZE];

		assert_non_null(text);
		closed = strstr(text, "<!-- ") ? replaced(text, "</privateDnsName>\n", "-->") : NULL;
		if (!add(&answer, closed ? closed : text, why))
			fail_msg("%s: %s", cases[i].from, why);
		facts = ec2_answer_find(&answer, "i-0123456789abcdef0");
		assert_non_null(facts);
		assert_string_equal((const char *)facts + cases[i].offset, "");
		assert_true(facts->public_dns_said == (i != 0));
		ec2_answer_clear(&answer);
		free(closed);
		free(text);
	}
}

static void root_volumes(void **state)
{
	static const struct {
		const char *from, *to;
		bool said;
		time_t attached;
	} cases[] = {
		{ "<rootDeviceName>/dev/xvda</rootDeviceName>", "", false, 0 },
		{ "<rootDeviceName>/dev/xvda", "<rootDeviceName>/dev/sda1", false, 0 },
		{ "<attachTime>2026-01-02T03:04:07.000Z</attachTime>", "", true, 0 },
		{ "<rootDeviceName>/dev/xvda", "<rootDeviceName>/dev/xvdb", true, 1767326400 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *text = replaced(one, cases[i].from, cases[i].to);
		struct ec2_answer answer;
		char why[XML_WHY_SIZE];

		assert_non_null(text);
		assert_true(add(&answer, text, why));
		assert_true(answer.instances[0].root_volume_said == cases[i].said);
		assert_int_equal(answer.instances[0].root_attach_time, cases[i].attached);
		ec2_answer_clear(&answer);
		free(text);
	}
}

/* Where no set of addresses is given, the interface's own element counts. */
static void address_without_set(void **state)
{
	char *start = replaced(one, "<privateIpAddressesSet>", "<x>");
	char *text = start ? replaced(start, "</privateIpAddressesSet>", "</x>") : NULL;
	struct ec2_answer answer;
	char why[XML_WHY_SIZE];

	(void)state;
	assert_non_null(text);
	assert_true(add(&answer, text, why));
	assert_string_equal(answer.instances[0].primary_address, "10.0.1.225");
	ec2_answer_clear(&answer);
	free(text);
	free(start);
}

static void attack_18_on_a_later_page(void **state)
{
	char *first = replaced(one, "<reservationSet>", "<nextToken>more==</nextToken><reservationSet>");
	char *second = replaced(one, "<instanceId>i-0123456789abcdef0", "<instanceId>i-0123456789abcdef1");
	struct ec2_answer answer = { 0 };
	char why[XML_WHY_SIZE];

	(void)state;
	assert_true(first && second);
	assert_true(ec2_answer_add(
		&answer, (struct bytes){ (unsigned char *)first, strlen(first) }, EC2_NAMESPACE, why));
	assert_string_equal(answer.next_token, "more==");
	assert_true(ec2_answer_add(
		&answer, (struct bytes){ (unsigned char *)second, strlen(second) }, EC2_NAMESPACE, why));
	assert_string_equal(answer.next_token, "");
	assert_int_equal(answer.n_instances, 2);
	/* one id on two pages */
	assert_false(ec2_answer_add(
		&answer, (struct bytes){ (unsigned char *)second, strlen(second) }, EC2_NAMESPACE, why));
	ec2_answer_clear(&answer);
	free(first);
	free(second);
}

static void too_many(const char *before, const char *head, const char *tail, unsigned limit)
{
	for (unsigned n = limit; n <= limit + 1; n++) {
		char *pieces = calloc(n + 1, strlen(head) + strlen(tail) + 16), *text;
		struct ec2_answer answer;
		char why[XML_WHY_SIZE];

		assert_non_null(pieces);
		for (unsigned i = 0; i < n; i++)
			sprintf(pieces + strlen(pieces), "%s%u%s", head, i, tail);
		strcat(pieces, before);
		text = replaced(one, before, pieces);
		assert_non_null(text);
		assert_true(add(&answer, text, why) == (n == limit));
		ec2_answer_clear(&answer);
		free(text);
		free(pieces);
	}
}

static void limits(void **state)
{
	(void)state;
	too_many("<item><groupId>sg-00000000000000002", "<item><groupId>sg-", "</groupId></item>",
		GROUPS_MAX - 2);
	too_many("<item><key>env", "<item><key>k", "</key><value/></item>", 97);
	too_many("<item><deviceName>/dev/xvda", "<item><deviceName>/dev/x", "</deviceName></item>", 158);
}

static void form_of_instances(void **state)
{
	static const char ids[][INSTANCE_ID_SIZE] = { "i-0123456789abcdef0", "i-01234567" };
	struct form form = { 0 };

	(void)state;
	ec2_form(&form, ids, 2, "");
	assert_string_equal(form.text,
		"Action=DescribeInstances&Filter.1.Name=instance-id&"
		"Filter.1.Value.1=i-0123456789abcdef0&Filter.1.Value.2=i-01234567&MaxResults=1000&"
		"Version=2016-11-15");
	form_clear(&form);
	ec2_form(&form, ids, 1, "a+b/c==");
	assert_non_null(strstr(form.text, "&NextToken=a%2Bb%2Fc%3D%3D&"));
	form_clear(&form);
}

/* ---- IAM */

#define IAM_OPEN                                                                                             \
	"<ListInstanceProfilesForRoleResponse xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\">"          \
	"<ListInstanceProfilesForRoleResult>"
#define IAM_CLOSE                                                                                            \
	"</ListInstanceProfilesForRoleResult><ResponseMetadata><RequestId>x</RequestId></ResponseMetadata>"  \
	"</ListInstanceProfilesForRoleResponse>"
#define WEB_ARN "arn:aws:iam::123456789012:instance-profile/web"
#define MEMBER(arn, role)                                                                                    \
	"<member><InstanceProfileName>n</InstanceProfileName><Roles><member><Path>/</Path><Arn>" WEB_ARN     \
	"</Arn><RoleName>" role "</RoleName></member></Roles><Arn>" arn "</Arn></member>"
#define LAST "<IsTruncated>false</IsTruncated>"

static bool list(struct iam_listing *listing, const char *text, char *why)
{
	strcpy(why, "");
	listing->role = "web-tier";
	listing->profile_arn = WEB_ARN;
	return iam_listing_add(
		listing, (struct bytes){ (const unsigned char *)text, strlen(text) }, IAM_NAMESPACE, why);
}

static void profiles_listed(void **state)
{
	static const struct {
		const char *text;
		bool held;
	} cases[] = {
		{ IAM_OPEN LAST "<InstanceProfiles/>" IAM_CLOSE, false },
		{ IAM_OPEN LAST
			"<InstanceProfiles>" MEMBER(WEB_ARN, "web-tier") "</InstanceProfiles>" IAM_CLOSE,
			true },
		{ IAM_OPEN "<InstanceProfiles>" MEMBER("a", "web-tier")
				MEMBER(WEB_ARN, "web-tier") "</InstanceProfiles>" LAST IAM_CLOSE,
			true },
		{ IAM_OPEN LAST "<InstanceProfiles><member><Arn>" WEB_ARN
				"</Arn></member></InstanceProfiles>" IAM_CLOSE,
			true },
		{ IAM_OPEN LAST "<InstanceProfiles><member><Roles/><Arn>" WEB_ARN
				"</Arn></member></InstanceProfiles>" IAM_CLOSE,
			true },
		/* alike is not equal */
		{ IAM_OPEN LAST
			"<InstanceProfiles>" MEMBER(WEB_ARN "2", "web-tier") "</InstanceProfiles>" IAM_CLOSE,
			false },
		{ IAM_OPEN LAST
			"<InstanceProfiles>" MEMBER("arn:aws:iam::123456789012:instance-profile/a/web",
				"web-tier") "</InstanceProfiles>" IAM_CLOSE,
			false },
		{ IAM_OPEN LAST "<InstanceProfiles>" MEMBER("arn:aws:iam::210987654321:instance-profile/web",
			  "web-tier") "</InstanceProfiles>" IAM_CLOSE,
			false },
		{ IAM_OPEN LAST
			"<InstanceProfiles>" MEMBER(" " WEB_ARN, "web-tier") "</InstanceProfiles>" IAM_CLOSE,
			false },
		{ IAM_OPEN LAST
			"<InstanceProfiles>" MEMBER(WEB_ARN, "Web-Tier") "</InstanceProfiles>" IAM_CLOSE,
			false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct iam_listing listing = { 0 };
		char why[XML_WHY_SIZE];

		if (!list(&listing, cases[i].text, why))
			fail_msg("%zu: %s", i, why);
		assert_true(listing.held == cases[i].held);
		assert_string_equal(listing.marker, "");
	}
}

static void attack_18_profiles_refused(void **state)
{
	static const char *const texts[] = {
		IAM_OPEN IAM_CLOSE,
		IAM_OPEN "<InstanceProfiles/>" IAM_CLOSE,
		IAM_OPEN LAST IAM_CLOSE,
		IAM_OPEN "<IsTruncated>true</IsTruncated><InstanceProfiles/>" IAM_CLOSE,
		IAM_OPEN "<IsTruncated>True</IsTruncated><Marker>a</Marker><InstanceProfiles/>" IAM_CLOSE,
		IAM_OPEN "<IsTruncated/><InstanceProfiles/>" IAM_CLOSE,
		IAM_OPEN LAST LAST "<InstanceProfiles/>" IAM_CLOSE,
		IAM_OPEN LAST "<InstanceProfiles/><InstanceProfiles/>" IAM_CLOSE,
		IAM_OPEN LAST "<InstanceProfiles><member/></InstanceProfiles>" IAM_CLOSE,
		IAM_OPEN LAST "<InstanceProfiles><member><Arn>" WEB_ARN
			      "</Arn><Arn>x</Arn></member></InstanceProfiles>" IAM_CLOSE,
		IAM_OPEN LAST "<InstanceProfiles><member><Arn>" WEB_ARN
			      "<!-- --></Arn></member></InstanceProfiles>" IAM_CLOSE,
		"<ListInstanceProfilesResponse xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\"/>",
		"<ErrorResponse xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\"/>",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct iam_listing listing = { 0 };
		char why[XML_WHY_SIZE];

		if (list(&listing, texts[i], why) || why[0] == '\0')
			fail_msg("%s", texts[i]);
	}
}

static void attack_18_profile_on_page_two(void **state)
{
	struct iam_listing listing = { 0 };
	struct form form = { 0 };
	char why[XML_WHY_SIZE];

	(void)state;
	assert_true(list(&listing,
		IAM_OPEN "<IsTruncated>true</IsTruncated><Marker>m&amp;m</Marker><InstanceProfiles>" MEMBER(
			"a", "web-tier") "</InstanceProfiles>" IAM_CLOSE,
		why));
	assert_false(listing.held);
	assert_string_equal(listing.marker, "m&m");
	iam_form(&form, "web-tier", listing.marker);
	assert_string_equal(form.text,
		"Action=ListInstanceProfilesForRole&Marker=m%26m&MaxItems=1000&RoleName=web-tier&"
		"Version=2010-05-08");
	form_clear(&form);
	assert_true(list(&listing,
		IAM_OPEN LAST
		"<InstanceProfiles>" MEMBER(WEB_ARN, "web-tier") "</InstanceProfiles>" IAM_CLOSE,
		why));
	assert_true(listing.held);
	assert_string_equal(listing.marker, "");
	assert_string_equal(listing.listed, "a " WEB_ARN);
}

/* ---- errors */

static void attack_25_codes_and_nothing_else(void **state)
{
	static const struct {
		const char *text, *code;
	} cases[] = {
		{ "<Response><Errors><Error><Code>RequestLimitExceeded</Code><Message>m</Message></Error></"
		  "Errors>"
		  "<RequestID>x</RequestID></Response>",
			"RequestLimitExceeded" },
		{ "<ErrorResponse "
		  "xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\"><Error><Type>Sender</Type>"
		  "<Code>NoSuchEntity</Code></Error></ErrorResponse>",
			"NoSuchEntity" },
		{ "<ErrorResponse><Error><Code>Throttling</Code></Error></ErrorResponse>", "Throttling" },
		{ "<Response><Errors><Error><Code>A.B-C</Code></Error></Errors></Response>", "" },
		{ "<Response><Errors><Error><Code></Code></Error></Errors></Response>", "" },
		{ "<Response><Errors><Error><Code>A&#10;B</Code></Error></Errors></Response>", "" },
		{ "<Response><Errors><Error><Code>A</Code><Code>B</Code></Error></Errors></Response>", "" },
		{ "<Response><Errors><Error><Code>A</Code></Error><Error><Code>B</Code></Error></Errors></"
		  "Response>",
			"" },
		{ "<Response><Code>A</Code></Response>", "" },
		{ "<ErrorResponse xmlns=\"x\"><Error><Code>NoSuchEntity</Code></Error></ErrorResponse>", "" },
		{ "<html><body>503</body></html>", "" },
		{ "", "" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char code[AWS_CODE_SIZE] = "before";
		struct bytes text = { (const unsigned char *)cases[i].text, strlen(cases[i].text) };

		assert_true(aws_error_read(text, IAM_NAMESPACE, code) == (cases[i].code[0] != '\0'));
		assert_string_equal(code, cases[i].code);
	}
	assert_true(aws_error_passes("RequestLimitExceeded"));
	assert_true(aws_error_passes("Throttling"));
	assert_false(aws_error_passes("NoSuchEntity"));
	assert_false(aws_error_passes(""));
}

/* ---- answers in the form that AWS's own SDK tests with */

static struct bytes vector(const char *name)
{
	static unsigned char data[65536];
	char path[128];
	FILE *file;
	size_t length;

	snprintf(path, sizeof(path), "../shared/vectors/aws-answers/%s", name);
	file = fopen(path, "rb");
	if (!file)
		return (struct bytes){ NULL, 0 };
	length = fread(data, 1, sizeof(data), file);
	fclose(file);
	return (struct bytes){ data, length };
}

static void vector_instances(void **state)
{
	static const char namespace[] = "http://ec2.amazonaws.com/doc/2014-06-15/";
	struct bytes text = vector("ec2-describe-instances.xml");
	struct ec2_answer answer = { 0 };
	const struct facts *facts;
	char why[XML_WHY_SIZE];

	(void)state;
	if (!text.data)
		skip();
	assert_false(ec2_answer_add(&answer, text, EC2_NAMESPACE, why));
	assert_true(ec2_answer_add(&answer, text, namespace, why));
	assert_int_equal(answer.n_instances, 2);
	facts = ec2_answer_find(&answer, "i-fde9cece");
	assert_non_null(facts);
	assert_string_equal(facts->state, "stopped");
	assert_true(facts->public_dns_said);
	assert_string_equal(facts->reservation_id, "r-9b4f3ca8");
	assert_string_equal(facts_tag(facts, "notebook"), "");
	assert_int_equal(facts->launch_time, 1350417613);
	assert_int_equal(facts->root_attach_time, 1350417621);
	facts = ec2_answer_find(&answer, "i-78f1b94a");
	assert_non_null(facts);
	assert_string_equal(facts->reservation_id, "r-6670ce54");
	assert_string_equal(facts->private_dns, "ip-10-253-17-74.us-west-2.compute.internal");
	assert_string_equal(facts->public_address, "54.245.16.142");
	assert_string_equal(facts->primary_address, "");
	ec2_answer_clear(&answer);
	/* another action's answer */
	text = vector("ec2-run-instances.xml");
	assert_false(ec2_answer_add(&answer, text, namespace, why));
	ec2_answer_clear(&answer);
}

static void vector_errors(void **state)
{
	static const char *const cases[][3] = {
		{ "error-ec2-describe-instances.xml", EC2_NAMESPACE, "InvalidInstanceID.Malformed" },
		{ "error-iam.xml", IAM_NAMESPACE, "NoSuchEntity" },
		{ "error-sts.xml", "https://sts.amazonaws.com/doc/2011-06-15/", "AccessDenied" },
	};

	(void)state;
	for (int i = 0; i < 3; i++) {
		struct bytes text = vector(cases[i][0]);
		char code[AWS_CODE_SIZE];

		if (!text.data)
			skip();
		assert_true(aws_error_read(text, cases[i][1], code));
		assert_string_equal(code, cases[i][2]);
	}
}

/* The answer to another question, however much it looks like the right one. */
static void vector_profiles(void **state)
{
	struct bytes text = vector("iam-list-instance-profiles.xml");
	struct iam_listing listing = { .role = "web-tier", .profile_arn = "x" };
	char why[XML_WHY_SIZE];

	(void)state;
	if (!text.data)
		skip();
	assert_false(iam_listing_add(&listing, text, IAM_NAMESPACE, why));
	assert_non_null(strstr(why, "root"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(facts_of_one),
		cmocka_unit_test(attack_18_answers_refused),
		cmocka_unit_test(attack_18_a_field_missing),
		cmocka_unit_test(root_volumes),
		cmocka_unit_test(address_without_set),
		cmocka_unit_test(attack_18_on_a_later_page),
		cmocka_unit_test(limits),
		cmocka_unit_test(form_of_instances),
		cmocka_unit_test(profiles_listed),
		cmocka_unit_test(attack_18_profiles_refused),
		cmocka_unit_test(attack_18_profile_on_page_two),
		cmocka_unit_test(attack_25_codes_and_nothing_else),
		cmocka_unit_test(vector_instances),
		cmocka_unit_test(vector_errors),
		cmocka_unit_test(vector_profiles),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
