/* Offline verification. Cheap, and before anyone is asked: an address before a MAC, a MAC before a signature.
 */
#include "verifier/proof.h"

#include "verifier/checks.h"
#include "verifier/memory.h"
#include "verifier/reasons.h"

#include <arpa/inet.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

void proof_clear(struct proof *proof)
{
	/* the token is a credential while it lasts */
	if (proof->caller)
		OPENSSL_cleanse(proof->caller, sizeof(*proof->caller));
	free(proof->caller);
	free(proof->document);
	*proof = (struct proof){ 0 };
}

static enum outcome caller_verify(
	const struct question_offline *q, struct proof *proof, struct reason *reason)
{
	const struct evidence *evidence = q->evidence;
	enum outcome outcome;

	if (!evidence->challenge || !evidence->authorization || !evidence->amz_date ||
		!evidence->security_token)
		return refused(
			reason, REASON_EVIDENCE_MISSING, "the rule demands a challenge and caller-identity");
	outcome = challenge_verify(anchors_challenge_key(q->anchors), q->now, evidence->challenge, reason);
	if (outcome != OK)
		return outcome;
	proof->caller = calloc(1, sizeof(*proof->caller));
	if (!proof->caller)
		return fault(reason, REASON_INTERNAL, "out of memory");
	outcome = caller_proof_parse(evidence->authorization, evidence->amz_date, evidence->security_token,
		q->assertion->region, q->now, proof->caller, reason);
	if (outcome != OK)
		return outcome;
	caller_binding(evidence->challenge, q->recipient, proof->caller->binding);
	return OK;
}

static enum outcome document_prove(
	const struct question_offline *q, struct proof *proof, struct reason *reason)
{
	const char *base64 = q->evidence->document;

	if (!base64)
		return refused(reason, REASON_EVIDENCE_MISSING, "the rule demands an identity-document");
	proof->document = calloc(1, sizeof(*proof->document));
	if (!proof->document)
		return fault(reason, REASON_INTERNAL, "out of memory");
	return document_verify(
		q->anchors, q->assertion->region, base64, strlen(base64), proof->document, reason);
}

enum outcome proof_verify(const struct question_offline *q, struct proof *proof, struct reason *reason)
{
	enum outcome outcome = OK;

	*proof = (struct proof){ 0 };
	memory_begin();
	if (q->demand->caller)
		outcome = caller_verify(q, proof, reason);
	if (outcome == OK && q->demand->document)
		outcome = document_prove(q, proof, reason);
	/* a final refusal for want of memory would leave the instance without its release for good */
	if (outcome == REFUSED && memory_was_out())
		outcome = fault(reason, REASON_INTERNAL, "the evidence was not checked: out of memory");
	return outcome;
}

static void compare_peer(struct claims *claims, const struct comparison *c)
{
	char observed[ADDRESS_SIZE];

	inet_ntop(AF_INET, &c->peer, observed, sizeof(observed));
	if (!c->demand->public_address)
		check_equal(claims, CHECK_PEER_ADDRESS, "socket", c->assertion->source_ip, observed);
	else if (c->public_address)
		check_add(claims, CHECK_PEER_ADDRESS, "socket", strcmp(c->public_address, observed) == 0,
			c->public_address[0] ? c->public_address : "a public address", observed);
}

void proof_compare(struct claims *claims, const struct comparison *c)
{
	const struct assertion *said = c->assertion;
	const struct document *document = c->document;

	compare_peer(claims, c);
	if (!document)
		return;
	check_equal(claims, CHECK_DOCUMENT_INSTANCE_ID, REASON_DOCUMENT, said->instance_id,
		document->instance_id);
	check_equal(
		claims, CHECK_DOCUMENT_ACCOUNT_ID, REASON_DOCUMENT, said->account_id, document->account_id);
	check_equal(claims, CHECK_DOCUMENT_REGION, REASON_DOCUMENT, said->region, document->region);
	check_equal(claims, CHECK_DOCUMENT_INSTANCE_TYPE, REASON_DOCUMENT, said->instance_type,
		document->instance_type);
	check_equal(
		claims, CHECK_DOCUMENT_PRIVATE_IP, REASON_DOCUMENT, said->source_ip, document->private_ip);
}
