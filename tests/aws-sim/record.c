/* The last request of each action, as it came: method, target, headers in order with their names as sent,
 * body. JSON has no bytes, so each byte stands as the character of its number (Latin-1): nothing is lost, and
 * nothing is believed. */
#include "tests/aws-sim/account.h"
#include "tests/aws-sim/sim.h"

#include <string.h>

static json_t *bytes_json(const char *bytes, size_t length)
{
	struct buffer text = { 0 };
	json_t *json;

	for (size_t i = 0; i < length; i++) {
		unsigned char c = (unsigned char)bytes[i];
		const char wide[2] = { (char)(0xc0 | c >> 6), (char)(0x80 | (c & 0x3f)) };

		if (c < 0x80)
			buffer_add(&text, bytes + i, 1);
		else
			buffer_add(&text, wide, 2);
	}
	json = text.failed ? NULL : json_stringn(length ? text.data : "", text.length);
	buffer_clear(&text);
	return json;
}

static json_t *headers_json(const struct request *request)
{
	json_t *list = json_array();

	for (unsigned i = 0; list && i < request->n_headers; i++) {
		const char *name = request->headers[i].name, *value = request->headers[i].value;

		if (!json_array_append_new(list, json_pack("[oo]", bytes_json(name, strlen(name)),
							 bytes_json(value, strlen(value)))))
			continue;
		json_decref(list);
		list = NULL;
	}
	return list;
}

void request_record(json_t *last, const char *action, const struct request *request, const char *outcome)
{
	json_t *record = json_pack("{so so so so ss ss}", "method",
		bytes_json(request->method, strlen(request->method)), "target",
		bytes_json(request->target, strlen(request->target)), "headers", headers_json(request),
		"body", bytes_json(request->body, request->length), "source", request->source, "outcome",
		outcome);

	if (!set_member(last, action, record))
		json_object_del(last, action);
}

json_t *record_control(json_t *last, const json_t *arguments, struct refusal *refusal)
{
	static const char *const known[] = { "action", NULL };
	const json_t *record = json_object_get(last, text_of(arguments, "action"));

	if (!arguments_known(arguments, known, refusal))
		return NULL;
	return record ? json_deep_copy(record) : refuse(refusal, 404, "no such action was called");
}
