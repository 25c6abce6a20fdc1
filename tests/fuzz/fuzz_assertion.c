/* Bodies of POST /v1/releases, and assertions alone: what is taken reads back the same. */
#include "tests/fuzz/fuzz.h"
#include "verifier/json.h"
#include "verifier/reasons.h"
#include "verifier/request.h"

#include <string.h>

static void reads_back(const struct assertion *assertion)
{
	struct assertion again;
	struct reason reason;
	unsigned char hash[32], hash_again[32];
	json_t *object = assertion_json(assertion);

	MUST_HOLD(object);
	MUST_HOLD(assertion_parse(object, &again, &reason) == OK);
	MUST_HOLD(memcmp(assertion, &again, sizeof(again)) == 0);
	MUST_HOLD(assertion_sha256(assertion, hash) && assertion_sha256(&again, hash_again));
	MUST_HOLD(memcmp(hash, hash_again, sizeof(hash)) == 0);
	json_decref(object);
}

static void said_why(enum outcome outcome, const struct reason *reason)
{
	MUST_HOLD(outcome == OK || outcome == REFUSED);
	MUST_HOLD(outcome == OK || (strcmp(reason->code, REASON_MALFORMED) == 0 && reason->text[0]));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes body = { data, size };
	struct reason reason = { NULL, "" };
	struct assertion assertion;
	struct recipient recipient;
	struct evidence evidence;
	enum outcome outcome = release_request_parse(body, &assertion, &recipient, &evidence, &reason);
	json_t *object;

	said_why(outcome, &reason);
	if (outcome == OK)
		reads_back(&assertion);
	evidence_clear(&evidence);
	object = json_strict(body, NULL, NULL, NULL, 0);
	if (object) {
		outcome = assertion_parse(object, &assertion, &reason);
		said_why(outcome, &reason);
		if (outcome == OK)
			reads_back(&assertion);
	}
	json_decref(object);
	return 0;
}
