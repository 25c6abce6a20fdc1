/* The comparison: each asserted attribute against what EC2, IAM and the socket say. Pure. Every check is made
 * and written down, also after the first that failed; a fact that AWS did not say matches nothing. Must never
 * decide: that is policy_decide's, from the checks. */
#include "aws/confirm.h"

#include "aws/iam.h"
#include "aws/regions.h"
#include "verifier/checks.h"
#include "verifier/encoding.h"
#include "verifier/reasons.h"

#include <stdio.h>
#include <string.h>

enum {
	DOCUMENT_SLACK = 300, /* seconds between a launch and its document's pending time */
	VISIBLE_WITHIN = 60 /* seconds: EC2 is eventually consistent */
};

/* False where EC2 did not say when. */
static bool launched_just_now(const struct facts *facts, time_t now)
{
	return facts->launch_time != 0 && now >= facts->launch_time - VISIBLE_WITHIN &&
	       now < facts->launch_time + VISIBLE_WITHIN;
}

enum outcome confirm_visible(const struct facts *facts, time_t now, struct reason *reason)
{
	if (!facts)
		return unavailable(reason, REASON_NOT_VISIBLE_YET, "EC2 does not show the instance");
	if (strcmp(facts->state, "pending") == 0)
		return unavailable(reason, REASON_NOT_VISIBLE_YET, "EC2 says that the instance is pending");
	/* one that runs shows its profile soon; one that has ended never will */
	if (facts->profile_arn[0] == '\0' && strcmp(facts->state, "running") == 0 &&
		launched_just_now(facts, now))
		return unavailable(
			reason, REASON_NOT_VISIBLE_YET, "EC2 does not show an instance profile yet");
	return OK;
}

/* A zone is its region and a letter, or (local and wavelength zones) its region, a hyphen and more. */
static bool zone_is_in(const char *zone, const char *region)
{
	size_t length = strlen(region);

	return strncmp(zone, region, length) == 0 &&
	       (zone[length] == '-' || (zone[length] >= 'a' && zone[length] <= 'z'));
}

static void check_public_hostname(struct claims *claims, const char *asserted)
{
	const char *observed = claims->facts.public_dns;

	/* here alone may both be empty: having no public name is something that EC2 says */
	check_add(claims, CHECK_PUBLIC_HOSTNAME, "ec2",
		claims->facts.public_dns_said && strcmp(asserted, observed) == 0, asserted, observed);
}

static void check_local_hostname(struct claims *claims, const char *asserted, bool first_label)
{
	const char *observed = claims->facts.private_dns;
	size_t asserted_length = strlen(asserted), observed_length = strlen(observed);

	if (first_label) {
		asserted_length = strcspn(asserted, ".");
		observed_length = strcspn(observed, ".");
	}
	check_add(claims, CHECK_LOCAL_HOSTNAME, "ec2",
		observed_length > 0 && asserted_length == observed_length &&
			memcmp(asserted, observed, observed_length) == 0,
		asserted, observed);
}

/* "arn:<partition>:iam::<account>:instance-profile/..." with the account and the region's partition of the
 * assertion. */
static bool profile_is_of(const char *arn, const struct assertion *assertion)
{
	const struct aws_region *region = aws_region_find(assertion->region);
	char start[FACT_ARN_SIZE];

	if (!region)
		return false;
	snprintf(start, sizeof(start), "arn:%s:iam::%s:instance-profile/", region->partition,
		assertion->account_id);
	return strncmp(arn, start, strlen(start)) == 0 && arn[strlen(start)] != '\0';
}

static void check_role(
	struct claims *claims, const struct assertion *assertion, const struct iam_listing *listing)
{
	const char *arn = claims->facts.profile_arn;
	char wanted[ROLE_SIZE + 32];

	if (!listing || arn[0] == '\0') {
		snprintf(wanted, sizeof(wanted), "a profile of role %s", assertion->role);
		check_add(claims, CHECK_ROLE, "ec2", false, wanted, "");
		return;
	}
	check_add(claims, CHECK_ROLE, "iam",
		listing->held && !listing->no_such_role && profile_is_of(arn, assertion), arn,
		listing->no_such_role ? "NoSuchEntity" : listing->listed);
}

/* What the document says beyond the assertion, against EC2. Its pending time is that of the launch: a
 * document of an earlier launch gives itself away. */
static void check_document(struct claims *claims, const struct document *document)
{
	const struct facts *facts = &claims->facts;
	char pending[TIMESTAMP_SIZE], launched[TIMESTAMP_SIZE] = "";
	long long apart = (long long)facts->launch_time - document->pending_time;

	check_equal(claims, CHECK_DOCUMENT_IMAGE, "ec2", document->image_id, facts->image_id);
	check_equal(
		claims, CHECK_DOCUMENT_ZONE, "ec2", document->availability_zone, facts->availability_zone);
	timestamp_encode((long long)document->pending_time * 1000000, pending);
	if (facts->launch_time)
		timestamp_encode((long long)facts->launch_time * 1000000, launched);
	check_add(claims, CHECK_DOCUMENT_TIME, "ec2",
		facts->launch_time && apart >= -DOCUMENT_SLACK && apart <= DOCUMENT_SLACK, pending, launched);
}

void confirm_compare(struct confirmation *asked, const struct iam_listing *listing)
{
	const struct assertion *assertion = asked->assertion;
	struct claims *claims = asked->claims;
	const struct facts *facts = &claims->facts;

	check_equal(claims, CHECK_INSTANCE_ID, "ec2", assertion->instance_id, facts->instance_id);
	check_equal(claims, CHECK_ACCOUNT_ID, "ec2", assertion->account_id, facts->owner_id);
	check_add(claims, CHECK_REGION, "ec2", zone_is_in(facts->availability_zone, assertion->region),
		assertion->region, facts->availability_zone);
	check_equal(claims, CHECK_RESERVATION_ID, "ec2", assertion->reservation_id, facts->reservation_id);
	check_equal(claims, CHECK_INSTANCE_TYPE, "ec2", assertion->instance_type, facts->instance_type);
	check_public_hostname(claims, assertion->public_hostname);
	check_local_hostname(claims, assertion->local_hostname, asked->demand->first_label_hostname);
	check_equal(claims, CHECK_SOURCE_IP, "ec2", assertion->source_ip, facts->primary_address);
	proof_compare(claims, &(struct comparison){ .demand = asked->demand,
				      .assertion = assertion,
				      .document = asked->document,
				      .peer = asked->peer,
				      .public_address = facts->public_address });
	if (asked->document)
		check_document(claims, asked->document);
	check_equal(claims, CHECK_STATE, "ec2", "running", facts->state);
	check_role(claims, assertion, listing);
}
