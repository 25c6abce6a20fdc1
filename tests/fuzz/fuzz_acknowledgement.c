/* Bodies of POST /v1/releases/{release_id}/ack: one member, which reads back the same. */
#include "tests/fuzz/fuzz.h"
#include "verifier/json.h"
#include "verifier/reasons.h"
#include "verifier/request.h"

#include <string.h>

enum { ACK_ROOM = 44 };

static void reads_back(const char *ack)
{
	json_t *object = json_pack("{s:s}", "ack", ack);
	char *text = json_dumps(object, JSON_COMPACT);
	struct bytes body = { (const unsigned char *)text, text ? strlen(text) : 0 };
	struct reason reason;
	char again[ACK_ROOM];

	MUST_HOLD(text && acknowledgement_parse(body, again, sizeof(again), &reason) == OK);
	MUST_HOLD(strcmp(ack, again) == 0);
	free(text);
	json_decref(object);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct reason reason = { NULL, "" };
	char ack[ACK_ROOM];
	enum outcome outcome = acknowledgement_parse((struct bytes){ data, size }, ack, sizeof(ack), &reason);

	MUST_HOLD(outcome == OK || outcome == REFUSED);
	if (outcome == OK)
		reads_back(ack);
	else
		MUST_HOLD(strcmp(reason.code, REASON_MALFORMED) == 0 && reason.text[0]);
	return 0;
}
