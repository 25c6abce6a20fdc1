/* Challenges. Nothing is kept: the MAC tells later that it was ours, and when. */
#include "server/challenge.h"

#include "server/answer.h"
#include "server/rules.h"
#include "server/server.h"
#include "verifier/challenge.h"
#include "verifier/reasons.h"

#include <openssl/rand.h>

void challenge_give(struct request *request)
{
	struct snapshot rules = rules_get(request->server->rules);
	unsigned char random[CHALLENGE_RANDOM];
	char text[CHALLENGE_SIZE];

	request->kind = "challenge";
	if (RAND_bytes(random, sizeof(random)) == 1 &&
		challenge_make(anchors_challenge_key(rules.anchors), (time_t)(request->now_us / 1000000),
			random, text))
		answer_json(request, 201,
			json_pack("{s:s, s:i}", "challenge", text, "expires_in", CHALLENGE_SECONDS));
	else
		answer_problem(request, FAULT, &(struct reason){ .code = REASON_INTERNAL });
	snapshot_clear(&rules);
}
