/* GetCallerIdentity: the request is made of constants, and an answer is exactly one or none (ATTACKS 1, 2, 3,
 * 5, 6, 8, 28). */
#include "aws/sts.h"
#include "tests/unit/unit.h"
#include "verifier/checks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INSTANCE "i-0123456789abcdef0"
#define ARN "arn:aws:sts::123456789012:assumed-role/web-tier/" INSTANCE
#define ROOT "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\n"
#define USER "<UserId>AROA1234567890EXAMPLE:" INSTANCE "</UserId>"
#define ACCOUNT "<Account>123456789012</Account>"
#define METADATA                                                                                             \
	"<ResponseMetadata><RequestId>c6104cbe-af31-11e0-8154-cbc7ccf896c7</RequestId></ResponseMetadata>"
#define END "</GetCallerIdentityResponse>\n"
#define RESULT(inside) "  <GetCallerIdentityResult>\n" inside "  </GetCallerIdentityResult>\n"
#define ANSWER(arn) ROOT RESULT("<Arn>" arn "</Arn>" USER ACCOUNT) METADATA END

static const struct assertion assertion = { INSTANCE, "", "ip-10-0-0-1.ec2.internal", "r-01234567",
	"m5.large", "web-tier", "10.0.0.1", "123456789012", "us-east-1" };

static bool parse(const char *text, struct sts_caller *caller, char *why, size_t size)
{
	why[0] = '\0';
	return sts_parse((struct bytes){ (const unsigned char *)text, strlen(text) }, caller, why, size);
}

/* ---- the request */

static void request_is(const char *region, const char *host)
{
	static const struct caller_proof proof = { "AWS4-HMAC-SHA256 c", "20260102T030405Z", "t+/=", "c.h" };
	const char *const lines[] = { host, "Authorization: AWS4-HMAC-SHA256 c",
		"X-Amz-Date: 20260102T030405Z", "X-Amz-Security-Token: t+/=", "x-vouchsafe-binding: c.h",
		"Content-Type: application/x-www-form-urlencoded" };
	struct sts_request *request = malloc(sizeof(*request));

	assert_non_null(request);
	sts_request_form(request, aws_region_find(region), &proof);
	assert_int_equal(request->body.length, strlen("Action=GetCallerIdentity&Version=2011-06-15"));
	assert_memory_equal(
		request->body.data, "Action=GetCallerIdentity&Version=2011-06-15", request->body.length);
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		assert_string_equal(request->headers[i], lines[i]);
	assert_null(request->headers[sizeof(lines) / sizeof(lines[0])]);
	free(request);
}

static void attack_1_request_from_constants(void **state)
{
	(void)state;
	request_is("us-east-1", "Host: sts.us-east-1.amazonaws.com");
	request_is("cn-north-1", "Host: sts.cn-north-1.amazonaws.com.cn");
	request_is("us-gov-west-1", "Host: sts.us-gov-west-1.amazonaws.com");
	request_is("eusc-de-east-1", "Host: sts.eusc-de-east-1.amazonaws.eu");
}

/* The longest values that the grammar lets pass. */
static void request_at_its_largest(void **state)
{
	struct caller_proof *proof = malloc(sizeof(*proof));
	struct sts_request *request = malloc(sizeof(*request));

	(void)state;
	assert_true(proof && request);
	memset(proof, 'A', sizeof(*proof));
	proof->authorization[AUTHORIZATION_SIZE - 1] = proof->amz_date[AMZ_DATE_SIZE - 1] = '\0';
	proof->security_token[SECURITY_TOKEN_MAX] = proof->binding[BINDING_SIZE - 1] = '\0';
	sts_request_form(request, aws_region_find("us-isof-south-1"), proof);
	assert_string_equal(request->headers[1] + strlen("Authorization: "), proof->authorization);
	assert_string_equal(request->headers[2] + strlen("X-Amz-Date: "), proof->amz_date);
	assert_string_equal(request->headers[3] + strlen("X-Amz-Security-Token: "), proof->security_token);
	assert_string_equal(request->headers[4] + strlen("x-vouchsafe-binding: "), proof->binding);
	free(request);
	free(proof);
}

/* ---- the answer */

static void good_one(void **state)
{
	struct sts_caller caller;
	char why[120];

	(void)state;
	assert_true(parse(ANSWER(ARN), &caller, why, sizeof(why)));
	assert_string_equal(caller.account, "123456789012");
	assert_string_equal(caller.role, "web-tier");
	assert_string_equal(caller.session, INSTANCE);
	assert_string_equal(caller.partition, "aws");
	assert_string_equal(caller.arn, ARN);
	assert_true(parse(ANSWER("arn:aws-us-gov:sts::123456789012:assumed-role/A_b+c=d,e.f@g-h/x_+=,.@-"),
		&caller, why, sizeof(why)));
	assert_string_equal(caller.partition, "aws-us-gov");
	assert_string_equal(caller.role, "A_b+c=d,e.f@g-h");
	assert_string_equal(caller.session, "x_+=,.@-");
}

static void attack_3_not_an_answer(void **state)
{
	static const struct {
		const char *text, *why;
	} cases[] = {
		{ "", "not XML" },
		{ "{\"GetCallerIdentityResponse\":{\"GetCallerIdentityResult\":{\"Arn\":\"" ARN "\"}}}",
			"not XML" },
		{ "{\"Arn\":\"" ANSWER(ARN) "\"}", "not XML" },
		{ "\"" ANSWER(ARN) "\"", "not XML" },
		{ " " ANSWER(ARN), "not XML" },
		{ "\xef\xbb\xbf" ANSWER(ARN), "not XML" },
		{ "<html><body>" ANSWER(ARN) "</body></html>", "namespace" },
		{ "<x xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">" ANSWER(ARN) "</x>",
			"is not the root element" },
		{ ANSWER(ARN) ANSWER(ARN), "well-formed" },
		{ ANSWER(ARN) "text", "well-formed" },
		{ ANSWER(ARN) "<x/>", "well-formed" },
		{ "<!DOCTYPE a [<!ENTITY e \"" ARN "\">]>" ANSWER("&e;"), "DOCTYPE" },
		{ ROOT RESULT("<Arn>" ARN "</Arn>" USER ACCOUNT), "well-formed" },
		/* an error with status 200 */
		{ "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Code>"
		  "ExpiredToken</Code></Error></ErrorResponse>",
			"is not the root element" },
		{ ROOT "<Error><Code>ExpiredToken</Code></Error>" END, "is not there" },
		{ "<GetSessionTokenResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">" RESULT(
			  "<Arn>" ARN "</Arn>" USER ACCOUNT) "</GetSessionTokenResponse>",
			"is not the root element" },
		/* namespaces */
		{ "<GetCallerIdentityResponse>" RESULT("<Arn>" ARN "</Arn>" USER ACCOUNT) END, "namespace" },
		{ "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15\">" RESULT(
			  "<Arn>" ARN "</Arn>" USER ACCOUNT) END,
			"namespace" },
		{ "<GetCallerIdentityResponse xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\">" RESULT(
			  "<Arn>" ARN "</Arn>" USER ACCOUNT) END,
			"namespace" },
		{ "<s:GetCallerIdentityResponse xmlns:s=\"https://sts.amazonaws.com/doc/2011-06-15/\"/>",
			"namespace" },
		{ ROOT RESULT("<Arn xmlns=\"urn:x\">" ARN "</Arn>" USER ACCOUNT) END, "namespace" },
		/* twice, or not at all */
		{ ROOT RESULT("<Arn>" ARN "</Arn>" USER ACCOUNT) RESULT("<Arn>" ARN "</Arn>" USER ACCOUNT)
				END,
			"GetCallerIdentityResult: is there twice" },
		{ ROOT RESULT("<Arn>" ARN "</Arn><Arn>" ARN "</Arn>" USER ACCOUNT) END,
			"Arn: is there twice" },
		{ ROOT RESULT("<Arn>" ARN "</Arn>" USER ACCOUNT ACCOUNT) END, "Account: is there twice" },
		{ ROOT RESULT("<Arn>" ARN "</Arn>" USER USER ACCOUNT) END, "UserId: is there twice" },
		{ ROOT RESULT("<Arn>" ARN "</Arn>" USER ACCOUNT) METADATA METADATA END, "is there twice" },
		{ ROOT RESULT(USER ACCOUNT) END, "is not there" },
		{ ROOT RESULT("<Arn>" ARN "</Arn>" ACCOUNT) END, "is not there" },
		{ ROOT RESULT("<Arn>" ARN "</Arn>" USER) END, "is not there" },
		{ ROOT RESULT("<Arn/>" USER ACCOUNT) END, "is not there" },
		{ ROOT END, "is not there" },
		{ ROOT "<Arn>" ARN "</Arn>" USER ACCOUNT END, "is not there" },
		{ ROOT RESULT("<x><Arn>" ARN "</Arn></x>" USER ACCOUNT) END, "is not there" },
		{ ROOT RESULT("<arn>" ARN "</arn>" USER ACCOUNT) END, "is not there" },
		/* inside the ARN */
		{ ANSWER("arn:aws:sts::123456789012:assumed-role/<!-- -->web-tier/" INSTANCE), "comment" },
		{ ANSWER("<!--x-->" ARN), "comment" },
		{ ANSWER("<![CDATA[" ARN "]]>"), "CDATA" },
		{ ANSWER(ARN "<x/>"), "elements inside" },
		{ ANSWER("arn:aws:sts::123456789012:assumed-role/<?x?>web-tier/" INSTANCE), "instruction" },
		{ ANSWER("arn:aws:sts::123456789012:assumed-role/&web;/" INSTANCE), "" },
		{ ROOT RESULT("<Arn a=\"b\">" ARN "</Arn>" USER ACCOUNT) END, "attributes" },
		{ ROOT RESULT("text<Arn>" ARN "</Arn>" USER ACCOUNT) END, "text inside" },
		/* Account and ARN */
		{ ROOT RESULT("<Arn>" ARN "</Arn>" USER "<Account>210987654321</Account>") END, "Account" },
		{ ROOT RESULT("<Arn>" ARN "</Arn>" USER "<Account>1234567890123</Account>") END, "Account" },
		{ ROOT RESULT("<Arn>" ARN "</Arn>" USER "<Account>12345678901</Account>") END, "Account" },
		{ ROOT RESULT("<Arn>" ARN "</Arn>" USER "<Account> 23456789012</Account>") END, "Account" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct sts_caller caller;
		char why[120];

		if (parse(cases[i].text, &caller, why, sizeof(why)))
			fail_msg("taken: %s", cases[i].text);
		if (!strstr(why, cases[i].why))
			fail_msg("%s: %s, not %s", cases[i].text, why, cases[i].why);
		assert_null(strstr(why, "web-tier"));
		assert_string_equal(caller.arn, "");
		assert_string_equal(caller.role, "");
	}
}

/* 3, 8: names that AWS never gives. */
static void attack_8_odd_names(void **state)
{
	static const char *const arns[] = {
		"arn",
		"ARN:aws:sts::123456789012:assumed-role/web-tier/" INSTANCE,
		"xarn:aws:sts::123456789012:assumed-role/web-tier/" INSTANCE,
		" " ARN,
		ARN " ",
		ARN "\n",
		ARN "/",
		ARN "/" INSTANCE,
		"arn::sts::123456789012:assumed-role/web-tier/" INSTANCE,
		"arn:AWS:sts::123456789012:assumed-role/web-tier/" INSTANCE,
		"arn:aws-aws-aws-aws-aws:sts::123456789012:assumed-role/web-tier/" INSTANCE,
		"arn:aws:iam::123456789012:assumed-role/web-tier/" INSTANCE,
		"arn:aws:STS::123456789012:assumed-role/web-tier/" INSTANCE,
		"arn:aws:s3::123456789012:assumed-role/web-tier/" INSTANCE,
		"arn:aws:::123456789012:assumed-role/web-tier/" INSTANCE,
		"arn:aws:sts:us-east-1:123456789012:assumed-role/web-tier/" INSTANCE,
		"arn:aws:sts:123456789012:assumed-role/web-tier/" INSTANCE,
		"arn:aws:sts:::assumed-role/web-tier/" INSTANCE,
		"arn:aws:sts::12345678901:assumed-role/web-tier/" INSTANCE,
		"arn:aws:sts::1234567890123:assumed-role/web-tier/" INSTANCE,
		"arn:aws:sts::12345678901x:assumed-role/web-tier/" INSTANCE,
		"arn:aws:sts::123456789012:Assumed-Role/web-tier/" INSTANCE,
		"arn:aws:sts::123456789012:role/web-tier/" INSTANCE,
		"arn:aws:sts::123456789012:assumed-role",
		"arn:aws:sts::123456789012:assumed-role/",
		"arn:aws:sts::123456789012:assumed-role//",
		"arn:aws:sts::123456789012:assumed-role/web-tier",
		"arn:aws:sts::123456789012:assumed-role/web-tier/",
		"arn:aws:sts::123456789012:assumed-role//" INSTANCE,
		"arn:aws:sts::123456789012:assumed-role/a/web-tier/" INSTANCE,
		"arn:aws:sts::123456789012:assumed-role/a/b/c",
		"arn:aws:sts::123456789012:assumed-role/web tier/" INSTANCE,
		"arn:aws:sts::123456789012:assumed-role/web-tier/*",
		"arn:aws:sts::123456789012:assumed-role/*/" INSTANCE,
		"arn:aws:sts::123456789012:assumed-role/web%2Dtier/" INSTANCE,
		"arn:aws:sts::123456789012:assumed-role/web\xe2\x80\x90tier/" INSTANCE,
		"arn:aws:sts::123456789012:assumed-role/web-tier/i-0123456789abcdef\xef\xbc\x90",
		"arn:aws:sts::123456789012:assumed-role/"
		"abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmn/" INSTANCE,
		"arn:aws:iam::123456789012:role/web-tier",
		"arn:aws:iam::123456789012:rooted",
		"arn:aws:iam::123456789012:",
		"arn:aws:iam::123456789012:federated-user/x",
		"arn:aws:sts::123456789012:user/x",
		"arn:aws:sts::123456789012:root",
		"arn:aws:sts::123456789012:federated-user/a b",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(arns) / sizeof(arns[0]); i++) {
		struct sts_caller caller;
		char why[120], text[1024];

		snprintf(text, sizeof(text), ROOT "%s<Arn>%s</Arn>" USER ACCOUNT "%s" METADATA END,
			"<GetCallerIdentityResult>", arns[i], "</GetCallerIdentityResult>");
		if (parse(text, &caller, why, sizeof(why)))
			fail_msg("taken: %s", arns[i]);
		assert_string_equal(why, "Arn: is not of its form");
	}
}

static void too_long(void **state)
{
	struct sts_caller caller;
	char why[120], arn[FACT_ARN_SIZE + 1], text[2048];

	(void)state;
	memset(arn, 'a', sizeof(arn) - 1);
	arn[sizeof(arn) - 1] = '\0';
	memcpy(arn, "arn:aws:iam::123456789012:user/", strlen("arn:aws:iam::123456789012:user/"));
	snprintf(text, sizeof(text),
		ROOT "<GetCallerIdentityResult><Arn>%s</Arn>" USER ACCOUNT "</GetCallerIdentityResult>" END,
		arn);
	assert_false(parse(text, &caller, why, sizeof(why)));
	assert_string_equal(why, "Arn: is too long");
	arn[FACT_ARN_SIZE - 1] = '\0';
	snprintf(text, sizeof(text),
		ROOT "<GetCallerIdentityResult><Arn>%s</Arn>" USER ACCOUNT "</GetCallerIdentityResult>" END,
		arn);
	assert_true(parse(text, &caller, why, sizeof(why)));
	assert_string_equal(caller.arn, arn);
}

/* ---- the comparison */

/* Which of the four checks fail for this caller, as letters: identity, account, role, session. */
static void fails(
	const char *arn, const char *account, const struct assertion *asserted, const char *expected)
{
	static const char *const names[] = { CHECK_CALLER_IDENTITY, CHECK_CALLER_ACCOUNT, CHECK_CALLER_ROLE,
		CHECK_CALLER_SESSION };
	struct claims *claims = claims_new();
	struct sts_caller caller;
	char failed[5] = "", why[120], text[2048];
	size_t n = 0;

	snprintf(text, sizeof(text),
		ROOT "<GetCallerIdentityResult><Arn>%s</Arn>" USER
		     "<Account>%s</Account></GetCallerIdentityResult>" METADATA END,
		arn, account);
	if (!parse(text, &caller, why, sizeof(why)))
		fail_msg("%s: %s", arn, why);
	sts_check(claims, asserted, &caller);
	assert_int_equal(claims->n_checks, 4);
	for (unsigned i = 0; i < 4; i++) {
		assert_string_equal(claims->checks[i].name, names[i]);
		assert_string_equal(claims->checks[i].by, "sts");
		if (claims->checks[i].result == CHECK_FAILED)
			failed[n++] = "iars"[i];
	}
	assert_string_equal(check_observed(claims, &claims->checks[0]), arn);
	if (strcmp(failed, expected) != 0)
		fail_msg("%s: %s, not %s", arn, failed, expected);
	claims_free(claims);
}

static void who_matches(void **state)
{
	(void)state;
	fails(ARN, "123456789012", &assertion, "");
}

/* 5: the same names in another account, or another partition. */
static void attack_5_another_account(void **state)
{
	struct assertion asserted = assertion;

	(void)state;
	fails("arn:aws:sts::210987654321:assumed-role/web-tier/" INSTANCE, "210987654321", &assertion, "a");
	fails("arn:aws-cn:sts::123456789012:assumed-role/web-tier/" INSTANCE, "123456789012", &assertion,
		"a");
	fails("arn:aw:sts::123456789012:assumed-role/web-tier/" INSTANCE, "123456789012", &assertion, "a");
	strcpy(asserted.region, "cn-north-1");
	fails(ARN, "123456789012", &asserted, "a");
	fails("arn:aws-cn:sts::123456789012:assumed-role/web-tier/" INSTANCE, "123456789012", &asserted, "");
	strcpy(asserted.region, "us-east-9");
	fails(ARN, "123456789012", &asserted, "a");
}

/* 6: another instance's session, or none's. */
static void attack_6_another_session(void **state)
{
	static const char *const sessions[] = { "i-0123456789abcdef1", "I-0123456789ABCDEF0",
		"i-0123456789abcdef", "i-0123456789abcdef00", "admin", "web-tier", "i-01234567", "-",
		INSTANCE "@x" };
	char arn[256];

	(void)state;
	for (size_t i = 0; i < sizeof(sessions) / sizeof(sessions[0]); i++) {
		snprintf(arn, sizeof(arn), "arn:aws:sts::123456789012:assumed-role/web-tier/%s", sessions[i]);
		fails(arn, "123456789012", &assertion, "s");
	}
}

/* 8: names that are nearly right. */
static void attack_8_nearly(void **state)
{
	static const char *const roles[] = { "Web-tier", "WEB-TIER", "web-tier2", "xweb-tier", "web-tie",
		"web", "tier", "web_tier", "web-tier-evil", INSTANCE };
	char arn[256];

	(void)state;
	for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++) {
		snprintf(arn, sizeof(arn), "arn:aws:sts::123456789012:assumed-role/%s/" INSTANCE, roles[i]);
		fails(arn, "123456789012", &assertion, "r");
	}
	/* role and session swapped */
	fails("arn:aws:sts::123456789012:assumed-role/" INSTANCE "/web-tier", "123456789012", &assertion,
		"rs");
}

/* Genuine callers who are in no role. */
static void in_no_role(void **state)
{
	(void)state;
	fails("arn:aws:iam::123456789012:user/web-tier", "123456789012", &assertion, "rs");
	fails("arn:aws:iam::123456789012:user/assumed-role/web-tier/" INSTANCE, "123456789012", &assertion,
		"rs");
	fails("arn:aws:iam::123456789012:root", "123456789012", &assertion, "rs");
	fails("arn:aws:sts::123456789012:federated-user/" INSTANCE, "123456789012", &assertion, "rs");
	fails("arn:aws:sts::123456789012:federated-user/web-tier/" INSTANCE, "123456789012", &assertion,
		"rs");
	fails("arn:aws:iam::210987654321:root", "210987654321", &assertion, "ars");
}

static void nobody_said(void **state)
{
	struct claims *claims = claims_new();

	(void)state;
	sts_check_failed(claims, &assertion, "403 ExpiredToken");
	assert_int_equal(claims->n_checks, 4);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(claims->checks[i].result, CHECK_FAILED);
	assert_string_equal(check_observed(claims, &claims->checks[0]), "403 ExpiredToken");
	assert_string_equal(check_expected(claims, &claims->checks[1]), "aws:123456789012");
	assert_string_equal(check_observed(claims, &claims->checks[1]), "");
	assert_string_equal(check_expected(claims, &claims->checks[2]), "web-tier");
	assert_string_equal(check_expected(claims, &claims->checks[3]), INSTANCE);
	claims_free(claims);
}

/* One byte of the answer is another: unless the ARN stayed as it was, nobody passes. */
static void every_change(void **state)
{
	static const char others[] = "\x01 \n\"&'-/0:;<=>A\\a\x7f\x80\xff";
	char text[] = ANSWER(ARN);
	unsigned passed = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(text) - 1; i++) {
		char was = text[i];

		for (const char *other = others; *other; other++) {
			struct claims *claims;
			struct sts_caller caller;
			char why[120];

			text[i] = *other;
			if (*other == was || !parse(text, &caller, why, sizeof(why)))
				continue;
			claims = claims_new();
			sts_check(claims, &assertion, &caller);
			if (!claims_first_failed(claims)) {
				assert_string_equal(caller.arn, ARN);
				passed++;
			}
			claims_free(claims);
		}
		text[i] = was;
	}
	/* those in the request's id and the user's, and between the elements */
	assert_in_range(passed, 100, 3000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(attack_1_request_from_constants),
		cmocka_unit_test(request_at_its_largest),
		cmocka_unit_test(good_one),
		cmocka_unit_test(attack_3_not_an_answer),
		cmocka_unit_test(attack_8_odd_names),
		cmocka_unit_test(too_long),
		cmocka_unit_test(who_matches),
		cmocka_unit_test(attack_5_another_account),
		cmocka_unit_test(attack_6_another_session),
		cmocka_unit_test(attack_8_nearly),
		cmocka_unit_test(in_no_role),
		cmocka_unit_test(nobody_said),
		cmocka_unit_test(every_change),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
