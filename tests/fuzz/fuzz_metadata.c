/* The pages of the instance metadata service, one part of the input each: an assertion and evidence that the
 * server's own grammars take, or a complaint; and a secret access key that is found in neither. */
#include "agent/evidence.h"
#include "agent/metadata.h"
#include "tests/fuzz/http_fake.h"
#include "tests/fuzz/pace_fake.h"
#include "verifier/caller.h"

#define SECRET "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY" /* of the corpus */

static struct bytes input;

static const char *const paths[] = { "/latest/api/token", "/latest/meta-data/instance-id",
	"/latest/meta-data/public-hostname", "/latest/meta-data/local-hostname",
	"/latest/meta-data/reservation-id", "/latest/meta-data/instance-type", "/latest/meta-data/local-ipv4",
	"/latest/dynamic/instance-identity/document", "/latest/dynamic/instance-identity/rsa2048",
	"/latest/meta-data/iam/security-credentials/",
	"/latest/meta-data/iam/security-credentials/web-tier" };

enum { PATHS = sizeof(paths) / sizeof(paths[0]) };

static void answer_page(struct http_request *request)
{
	const char *path = request->url + strlen("http://imds");
	size_t i = 0;

	while (i < PATHS && strcmp(paths[i], path) != 0)
		i++;
	MUST_HOLD(i < PATHS);
	part_answer(request, part_of(input, i), 200);
}

/* Does the input hold the secret once, in the credentials' page? Then it must be found nowhere else. */
static bool secret_said(void)
{
	static const char said[] = "\"SecretAccessKey\" : \"" SECRET "\"";
	struct bytes page = part_of(input, PATHS - 1);
	const unsigned char *at = memmem(page.data, page.length, said, strlen(said));
	const unsigned char *first = memmem(input.data, input.length, SECRET, strlen(SECRET));
	size_t behind = at ? (size_t)(input.data + input.length - at) - strlen(said) : 0;

	return at && page.data[0] != '!' && first == at + strlen(said) - strlen(SECRET) - 1 &&
	       !memmem(at + strlen(said), behind, SECRET, strlen(SECRET));
}

static void complaint_fits(const struct complaint *complaint)
{
	const char *at = complaint->text;

	MUST_HOLD(*at && !(secret_said() && strstr(at, SECRET)));
	for (; *at; at++)
		MUST_HOLD(isprint((unsigned char)*at) || *at == '\n' || (unsigned char)*at >= 0x80);
}

static void assertion_fits(const struct assertion *assertion)
{
	json_t *object = assertion_json(assertion);
	struct assertion again;
	struct reason reason;

	MUST_HOLD(object && assertion_parse(object, &again, &reason) == OK);
	MUST_HOLD(memcmp(assertion, &again, sizeof(again)) == 0);
	MUST_HOLD(strcmp(assertion->role, "web-tier") == 0);
	MUST_HOLD(memmem(input.data, input.length, assertion->instance_id, strlen(assertion->instance_id)));
	json_decref(object);
}

static const char *member(const json_t *object, const char *name)
{
	return json_string_value(json_object_get(object, name));
}

/* The session token is the one part of the credentials that goes to the server. */
static void evidence_fits(const json_t *evidence, const char *region)
{
	const json_t *caller = json_object_get(evidence, "caller-identity");
	struct caller_proof proof;
	struct reason reason;

	if (!caller)
		return;
	MUST_HOLD(json_object_size(caller) == 3);
	MUST_HOLD(caller_proof_parse(member(caller, "authorization"), member(caller, "x-amz-date"),
			  member(caller, "x-amz-security-token"), region, PACE_CLOCK, &proof, &reason) == OK);
	MUST_HOLD(!strstr(proof.authorization, SECRET) && !strstr(proof.amz_date, SECRET));
}

static void evidence_try(const struct imds *imds, const struct assertion *assertion)
{
	static const struct recipient recipient;
	const struct evidence_question question = { .imds = imds,
		.assertion = assertion,
		.recipient = &recipient,
		.challenge = "challenge",
		.now = PACE_CLOCK,
		.patient = true };
	struct complaint complaint = { "" };
	json_t *evidence;
	enum agent_exit status = evidence_read(&question, &evidence, &complaint);

	MUST_HOLD(status == AGENT_DONE || status == AGENT_GAVE_UP || status == AGENT_CONFIGURATION);
	MUST_HOLD((status == AGENT_DONE) == (evidence != NULL));
	if (status == AGENT_DONE)
		evidence_fits(evidence, assertion->region);
	else
		complaint_fits(&complaint);
	json_decref(evidence);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct assertion usual = { "i-0123456789abcdef0", "", "ip-10-0-1-225.ec2.internal",
		"r-0123456789abcdef0", "m5.large", "web-tier", "10.0.1.225", "123456789012", "us-east-1" };
	const struct imds imds = {
		.base = "http://imds", .pace = &pace_fake, .deadline = 300 * 1000000000LL
	};
	struct complaint complaint = { "" };
	struct assertion assertion = { "" };

	input = (struct bytes){ data, size };
	http_fake = answer_page;
	pace_moment = 0;
	if (metadata_read(&imds, "web-tier", &assertion, &complaint))
		assertion_fits(&assertion);
	else
		complaint_fits(&complaint);
	MUST_HOLD(pace_moment <= 10 * 1000000000LL);
	evidence_try(&imds, &usual);
	return 0;
}
