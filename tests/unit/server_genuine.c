/* A genuine document of AWS's through the whole of a release's judgement, offline and with EC2's and IAM's
 * word beside it, at a clock that the test sets. */
#include "aws/confirm.h"
#include "aws/iam.h"
#include "policy/policy.h"
#include "tests/unit/document_fixture.h"
#include "verifier/checks.h"

#include <arpa/inet.h>
#include <time.h>

#define PROFILE "arn:aws:iam::278576220453:instance-profile/web"
enum { PENDING = 1630704344 /* 2021-09-03T21:25:44Z, as the document says */ };

static const char policy_text[] =
	"{\"rules\":[{\"name\":\"web\",\"role\":\"web-tier\",\"accounts\":[\"278576220453\"],"
	"\"regions\":[\"us-west-2\"],\"evidence\":[\"identity-document\"],\"unbound_key\":true,"
	"\"launch_window\":\"10m\",\"images\":[\"ami-0fa9e1f64142cde17\"],\"secrets\":[\"pin\"]}]}";

/* What the instance would have said, and EC2 of it. */
static const struct assertion asserted = { "i-078517ca8a70a1dde", "",
	"ip-10-0-0-209.us-west-2.compute.internal", "r-0123456789abcdef0", "t2.medium", "web-tier",
	"10.0.0.209", "278576220453", "us-west-2" };

static struct claims *claims_of_ec2(void)
{
	struct claims *claims = claims_new();
	struct facts *f = &claims->facts;

	strcpy(f->instance_id, asserted.instance_id);
	strcpy(f->reservation_id, asserted.reservation_id);
	strcpy(f->owner_id, asserted.account_id);
	strcpy(f->state, "running");
	strcpy(f->instance_type, asserted.instance_type);
	strcpy(f->image_id, "ami-0fa9e1f64142cde17");
	strcpy(f->private_dns, asserted.local_hostname);
	f->public_dns_said = true;
	strcpy(f->availability_zone, "us-west-2a");
	strcpy(f->primary_interface, "eni-0123456789abcdef0");
	strcpy(f->primary_address, asserted.source_ip);
	strcpy(f->profile_arn, PROFILE);
	strcpy(f->http_tokens, "required");
	f->http_hop_limit = 1;
	f->launch_time = PENDING;
	f->interface_attach_time = PENDING;
	f->root_volume_said = true;
	f->root_attach_time = PENDING + 1;
	return claims;
}

/* The judgement at that time: OK, with the window in *open; the reason otherwise. */
static enum outcome judge(const char *text, time_t now, bool *open, struct reason *reason)
{
	struct complaint complaint = { "" };
	struct policy *policy = policy_load(
		"p", (struct bytes){ (const unsigned char *)policy_text, strlen(policy_text) }, &complaint);
	struct anchors *anchors = anchors_new();
	struct evidence evidence = { .document = (char *)text };
	struct iam_listing listing = {
		.role = "web-tier", .profile_arn = PROFILE, .held = true, .listed = PROFILE
	};
	struct in_addr peer = { .s_addr = inet_addr(asserted.source_ip) };
	struct demand demand;
	struct question_offline question = { .anchors = anchors,
		.demand = &demand,
		.assertion = &asserted,
		.evidence = &evidence,
		.peer = peer,
		.now = now };
	struct confirmation asked = { .assertion = &asserted, .demand = &demand, .peer = peer, .now = now };
	struct proof proof = { NULL, NULL };
	struct decision decision = { 0 };
	const struct rule *rule;
	enum outcome outcome;

	if (!policy)
		fail_msg("%s", complaint.text);
	assert_true(anchors_add_vector(anchors, asserted.region));
	assert_int_equal(policy_admit(policy, &asserted, &rule, &demand, reason), OK);
	outcome = proof_verify(&question, &proof, reason);
	if (outcome == OK) {
		asked.document = proof.document;
		asked.claims = claims_of_ec2();
		confirm_compare(&asked, &listing);
		outcome = policy_decide(rule, asked.claims, now, &decision, reason);
		claims_free(asked.claims);
	}
	*open = decision.first_use_allowed;
	proof_clear(&proof);
	anchors_free(anchors);
	policy_free(policy);
	return outcome;
}

static void genuine_document(char *text, size_t size)
{
	size_t length;

	if (!file_read(VECTORS "/identity-documents/us-west-2-rsa2048/pkcs7.b64", (unsigned char *)text, size,
		    &length)) {
		print_message("# no " VECTORS "\n");
		skip();
	}
	text[length] = '\0';
}

static void passes_the_window_at_its_own_time(void **state)
{
	struct reason reason;
	char text[4096];
	bool open;

	(void)state;
	genuine_document(text, sizeof(text));
	if (judge(text, PENDING + 60, &open, &reason) != OK)
		fail_msg("%s: %s", reason.code, reason.text);
	assert_true(open);
	assert_int_equal(judge(text, PENDING + 599, &open, &reason), OK);
	assert_true(open);
	assert_int_equal(judge(text, PENDING + 600, &open, &reason), OK);
	assert_false(open);
}

/* Authentic for ever, and no first use any more. */
static void attack_12_does_not_pass_it_now(void **state)
{
	struct reason reason;
	char text[4096];
	bool open;

	(void)state;
	genuine_document(text, sizeof(text));
	assert_int_equal(judge(text, time(NULL), &open, &reason), OK);
	assert_false(open);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(passes_the_window_at_its_own_time),
		cmocka_unit_test(attack_12_does_not_pass_it_now),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
