/* Spoils an answer that is made, or its way to the caller, as a fault says. */
#include "tests/aws-sim/sim.h"

#include <stdlib.h>
#include <string.h>

static const char garbage[] = "\x1f\x8b\x08 <not <<xml &; \xff\xfe no answer of AWS looks like this\n";

/* Behind the first line where it is the XML declaration. */
static void doctype_insert(struct buffer *body)
{
	static const char doctype[] = "<!DOCTYPE answer [\n<!ENTITY e SYSTEM \"file:///etc/passwd\">\n]>\n";
	struct buffer whole = { 0 };
	const char *rest;

	if (body->failed || !body->length)
		return;
	rest = body->length > 5 && !memcmp(body->data, "<?xml", 5) ? memchr(body->data, '\n', body->length)
								   : NULL;
	rest = rest ? rest + 1 : body->data;
	buffer_add(&whole, body->data, (size_t)(rest - body->data));
	buffer_text(&whole, doctype);
	buffer_add(&whole, rest, body->length - (size_t)(rest - body->data));
	buffer_clear(body);
	*body = whole;
}

/* What a reader that looks for tags takes for the answer. */
static void json_wrap(struct answer *answer)
{
	json_t *json = answer->body.failed
			       ? NULL
			       : json_pack("{ss#}", "answer", answer->body.data, (int)answer->body.length);
	char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;

	buffer_cut(&answer->body, 0);
	if (text)
		buffer_text(&answer->body, text);
	else
		answer->body.failed = true;
	answer->content_type = "application/json";
	free(text);
	json_decref(json);
}

void answer_spoil(struct answer *answer, const struct fault *fault)
{
	answer->delay_ms = fault->delay_ms;
	switch (fault->mode) {
	case FAULT_EMPTY:
		buffer_cut(&answer->body, 0);
		break;
	case FAULT_GARBAGE:
		buffer_cut(&answer->body, 0);
		buffer_add(&answer->body, garbage, sizeof garbage - 1);
		break;
	case FAULT_JSON_BODY:
		json_wrap(answer);
		break;
	case FAULT_REPLACE_BODY:
		buffer_cut(&answer->body, 0);
		buffer_text(&answer->body, fault->value);
		break;
	case FAULT_TRUNCATED_XML:
		buffer_cut(&answer->body, answer->body.length / 2);
		break;
	case FAULT_DOCTYPE:
		doctype_insert(&answer->body);
		break;
	case FAULT_RESET:
		answer->delivery = DELIVER_RESET;
		break;
	case FAULT_RESET_MIDWAY:
		answer->delivery = DELIVER_RESET_MIDWAY;
		break;
	case FAULT_SHORT_BODY:
		answer->delivery = DELIVER_SHORT;
		break;
	case FAULT_TRICKLE:
		answer->delivery = DELIVER_TRICKLE;
		break;
	default:
		break;
	}
}
