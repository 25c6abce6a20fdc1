/* The offline proof: what is demanded and missing, each refusal by its own reason, the binding, the
 * comparison. */
#include "tests/unit/unit.h"
#include "verifier/checks.h"
#include "verifier/encoding.h"
#include "verifier/proof.h"
#include "verifier/reasons.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

enum { NOW = 1767323045 /* 2026-01-02T03:04:05Z */ };

static const unsigned char key[CHALLENGE_KEY_SIZE] = "a key of nearly thirty-two byte";
static const char authorization[] =
	"AWS4-HMAC-SHA256 Credential=ASIAABCDEFGHIJKLMNOP/20260102/us-east-1/sts/aws4_request, "
	"SignedHeaders=host;x-amz-date;x-amz-security-token;x-vouchsafe-binding, "
	"Signature=0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

struct scene {
	struct anchors *anchors;
	struct demand demand;
	struct assertion assertion;
	struct recipient recipient;
	struct evidence evidence;
	char challenge[CHALLENGE_SIZE];
	struct proof proof;
	struct reason reason;
};

static void scene_set(struct scene *s)
{
	static const unsigned char random[CHALLENGE_RANDOM] = "0123456789abcde";

	*s = (struct scene){ .anchors = anchors_new(),
		.recipient = { .spki_length = 91, .sha256 = { 1, 2, 3 } } };
	assert_non_null(s->anchors);
	anchors_set_challenge_key(s->anchors, key);
	strcpy(s->assertion.region, "us-east-1");
	strcpy(s->assertion.source_ip, "10.0.1.225");
	strcpy(s->assertion.instance_id, "i-0123456789abcdef0");
	assert_true(challenge_make(key, NOW - 10, random, s->challenge));
	s->evidence = (struct evidence){ .challenge = s->challenge,
		.authorization = (char *)authorization,
		.amz_date = (char *)"20260102T030405Z",
		.security_token = (char *)"dG9rZW4=" };
}

static enum outcome verify(struct scene *s)
{
	const struct question_offline question = { .anchors = s->anchors,
		.demand = &s->demand,
		.assertion = &s->assertion,
		.recipient = &s->recipient,
		.evidence = &s->evidence,
		.now = NOW };

	return proof_verify(&question, &s->proof, &s->reason);
}

static void scene_clear(struct scene *s)
{
	proof_clear(&s->proof);
	anchors_free(s->anchors);
}

static void nothing_is_demanded(void **state)
{
	struct scene s;

	(void)state;
	scene_set(&s);
	s.evidence.challenge = (char *)"nonsense that nobody looks at";
	assert_int_equal(verify(&s), OK);
	assert_null(s.proof.caller);
	assert_null(s.proof.document);
	scene_clear(&s);
}

static void the_caller_and_its_binding(void **state)
{
	char expected[BINDING_SIZE + 4], hash[BASE64_SIZE(32)];
	struct scene s;

	(void)state;
	scene_set(&s);
	s.demand.caller = true;
	assert_int_equal(verify(&s), OK);
	base64url_encode((struct bytes){ s.recipient.sha256, 32 }, hash);
	snprintf(expected, sizeof(expected), "%s.%s", s.challenge, hash);
	assert_string_equal(s.proof.caller->binding, expected);
	assert_string_equal(s.proof.caller->authorization, authorization);
	scene_clear(&s);
}

static void what_is_missing(void **state)
{
	int i;

	(void)state;
	for (i = 0; i < 5; i++) {
		struct scene s;
		char **members[] = { &s.evidence.challenge, &s.evidence.authorization, &s.evidence.amz_date,
			&s.evidence.security_token };

		scene_set(&s);
		s.demand.caller = i < 4;
		s.demand.document = i == 4;
		if (i < 4)
			*members[i] = NULL;
		assert_int_equal(verify(&s), REFUSED);
		assert_string_equal(s.reason.code, REASON_EVIDENCE_MISSING);
		scene_clear(&s);
	}
}

static void each_refusal(void **state)
{
	struct scene s;

	(void)state;
	scene_set(&s);
	s.demand.caller = true;
	s.challenge[3] ^= 1;
	assert_int_equal(verify(&s), REFUSED);
	assert_string_equal(s.reason.code, REASON_CHALLENGE);
	scene_clear(&s);

	scene_set(&s);
	s.demand.caller = true;
	strcpy(s.assertion.region, "us-east-2");
	assert_int_equal(verify(&s), REFUSED);
	assert_string_equal(s.reason.code, REASON_CALLER);
	scene_clear(&s);

	scene_set(&s);
	s.demand.document = true;
	s.evidence.document = (char *)"bm8gZG9jdW1lbnQ=";
	assert_true(verify(&s) != OK); /* there is not even a certificate for the region */
	scene_clear(&s);
}

static const char *first_failed(const struct comparison *comparison, unsigned expected_checks)
{
	struct claims *claims = claims_new();
	const struct check *failed;
	const char *name;

	assert_non_null(claims);
	proof_compare(claims, comparison);
	assert_int_equal(claims->n_checks, expected_checks);
	failed = claims_first_failed(claims);
	name = failed ? failed->name : NULL;
	claims_free(claims);
	return name;
}

static void comparisons(void **state)
{
	static const struct demand private, public = { .public_address = true };
	struct comparison c = { .demand = &private, .peer.s_addr = inet_addr("10.0.1.225") };
	struct document document = { .instance_id = "i-0123456789abcdef0",
		.account_id = "123456789012",
		.region = "us-east-1",
		.instance_type = "m5.large",
		.private_ip = "10.0.1.225" };
	struct assertion assertion = { .instance_id = "i-0123456789abcdef0",
		.account_id = "123456789012",
		.region = "us-east-1",
		.instance_type = "m5.large",
		.source_ip = "10.0.1.225" };
	const struct {
		char *fact;
		const char *check;
	} facts[] = { { document.instance_id, CHECK_DOCUMENT_INSTANCE_ID },
		{ document.account_id, CHECK_DOCUMENT_ACCOUNT_ID },
		{ document.region, CHECK_DOCUMENT_REGION },
		{ document.instance_type, CHECK_DOCUMENT_INSTANCE_TYPE },
		{ document.private_ip, CHECK_DOCUMENT_PRIVATE_IP } };
	size_t i;

	(void)state;
	c.assertion = &assertion;
	assert_null(first_failed(&c, 1));
	c.peer.s_addr = inet_addr("10.0.1.226");
	assert_string_equal(first_failed(&c, 1), CHECK_PEER_ADDRESS);
	c.demand = &public;
	assert_null(first_failed(&c, 0)); /* EC2 has not been asked */
	c.public_address = "";
	assert_string_equal(first_failed(&c, 1), CHECK_PEER_ADDRESS);
	c.public_address = "10.0.1.226";
	assert_null(first_failed(&c, 1));
	c.document = &document;
	assert_null(first_failed(&c, 6));
	for (i = 0; i < sizeof(facts) / sizeof(facts[0]); i++) {
		char kept = facts[i].fact[0];

		facts[i].fact[0] = (char)(kept ^ 1);
		assert_string_equal(first_failed(&c, 6), facts[i].check);
		facts[i].fact[0] = '\0'; /* nothing said matches nothing */
		assert_string_equal(first_failed(&c, 6), facts[i].check);
		facts[i].fact[0] = kept;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_demanded),
		cmocka_unit_test(the_caller_and_its_binding),
		cmocka_unit_test(what_is_missing),
		cmocka_unit_test(each_refusal),
		cmocka_unit_test(comparisons),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
