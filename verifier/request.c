/* Bodies of requests: bytes become typed values or a refusal that names the field. */
#include "verifier/request.h"

#include "verifier/json.h"
#include "verifier/memory.h"
#include "verifier/reasons.h"

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

enum outcome release_request_parse(
	struct bytes body, struct assertion *assertion, struct recipient *recipient, struct reason *reason)
{
	static const char *const names[] = { "assertion", "csr", NULL };
	enum outcome outcome;
	json_t *object = body_object(body, names, reason, &outcome);
	const char *csr;

	if (!object)
		return outcome;
	outcome = assertion_parse(json_object_get(object, "assertion"), assertion, reason);
	if (outcome != OK)
		goto out;
	csr = json_text(object, "csr");
	if (!csr) {
		outcome = refused(reason, REASON_MALFORMED, "csr: missing, or not a string");
		goto out;
	}
	outcome = recipient_parse(csr, strlen(csr), recipient, reason);
out:
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
