/* Bodies of requests: bytes become typed values or a refusal that names the field. */
#include "verifier/request.h"

#include "verifier/json.h"
#include "verifier/memory.h"
#include "verifier/reasons.h"

#include <stdlib.h>
#include <string.h>

/* A JSON object with these members and no others; NULL with a refusal otherwise. The caller owns the
 * reference. */
static json_t *body_object(
	struct bytes body, const char *const names[], struct reason *reason, enum outcome *outcome)
{
	json_t *object = json_strict(body, NULL, NULL, NULL, 0);

	*outcome = OK;
	if (!object && memory_was_out())
		*outcome = fault(reason, REASON_INTERNAL, "body: out of memory");
	else if (!object)
		*outcome = refused(
			reason, REASON_MALFORMED, "body: not one valid JSON value, or a member twice");
	else if (!json_is_object(object))
		*outcome = refused(reason, REASON_MALFORMED, "body: not an object");
	else if (!json_only(object, names, NULL))
		*outcome = refused(
			reason, REASON_MALFORMED, "body: holds a member that is not known to this version");
	if (*outcome == OK)
		return object;
	json_decref(object);
	return NULL;
}

void evidence_clear(struct evidence *evidence)
{
	free(evidence->challenge);
	free(evidence->document);
	free(evidence->authorization);
	free(evidence->amz_date);
	free(evidence->security_token);
	*evidence = (struct evidence){ 0 };
}

/* A copy of the member's text; absent is fine unless it is mandatory. */
static enum outcome text_take(
	const json_t *object, const char *name, bool mandatory, char **text, struct reason *reason)
{
	const json_t *member = json_object_get(object, name);

	if (!member && !mandatory)
		return OK;
	if (!json_is_string(member))
		return refused(reason, REASON_MALFORMED, "%s: missing, or not a string", name);
	*text = strdup(json_string_value(member));
	return *text ? OK : fault(reason, REASON_INTERNAL, "out of memory");
}

static enum outcome caller_take(const json_t *caller, struct evidence *evidence, struct reason *reason)
{
	static const char *const names[] = { "authorization", "x-amz-date", "x-amz-security-token", NULL };
	char **const texts[] = { &evidence->authorization, &evidence->amz_date, &evidence->security_token };
	enum outcome outcome = OK;
	size_t i;

	if (!caller)
		return OK;
	if (!json_only(caller, names, NULL))
		return refused(reason, REASON_MALFORMED,
			"evidence.caller-identity: not an object, or holds a stranger");
	for (i = 0; i < 3 && outcome == OK; i++)
		outcome = text_take(caller, names[i], true, texts[i], reason);
	return outcome;
}

static enum outcome evidence_take(const json_t *object, struct evidence *evidence, struct reason *reason)
{
	static const char *const names[] = { "identity-document", "caller-identity", NULL };
	const json_t *member = json_object_get(object, "evidence");
	enum outcome outcome = text_take(object, "challenge", false, &evidence->challenge, reason);

	if (outcome != OK || !member)
		return outcome;
	if (!json_only(member, names, NULL))
		return refused(reason, REASON_MALFORMED,
			"evidence: not an object, or holds a kind that is not known");
	outcome = text_take(member, names[0], false, &evidence->document, reason);
	return outcome == OK ? caller_take(json_object_get(member, names[1]), evidence, reason) : outcome;
}

enum outcome release_request_parse(struct bytes body, struct assertion *assertion,
	struct recipient *recipient, struct evidence *evidence, struct reason *reason)
{
	static const char *const names[] = { "assertion", "csr", "challenge", "evidence", NULL };
	enum outcome outcome;
	json_t *object = body_object(body, names, reason, &outcome);
	const char *csr;

	*evidence = (struct evidence){ 0 };
	if (!object)
		return outcome;
	outcome = assertion_parse(json_object_get(object, "assertion"), assertion, reason);
	if (outcome != OK)
		goto out;
	outcome = evidence_take(object, evidence, reason);
	if (outcome != OK)
		goto out;
	csr = json_text(object, "csr");
	if (!csr) {
		outcome = refused(reason, REASON_MALFORMED, "csr: missing, or not a string");
		goto out;
	}
	outcome = recipient_parse(csr, strlen(csr), recipient, reason);
out:
	if (outcome != OK)
		evidence_clear(evidence);
	json_decref(object);
	return outcome;
}

enum outcome acknowledgement_parse(struct bytes body, char *ack, size_t size, struct reason *reason)
{
	static const char *const names[] = { "ack", NULL };
	enum outcome outcome;
	json_t *object = body_object(body, names, reason, &outcome);
	const char *text;

	if (!object)
		return outcome;
	text = json_text(object, "ack");
	if (!text || strlen(text) >= size)
		outcome = refused(reason, REASON_MALFORMED, "ack: missing, not a string, or too long");
	else
		strcpy(ack, text);
	json_decref(object);
	return outcome;
}
