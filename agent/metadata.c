/* Reads the instance metadata service, version 2 only: never without a token. Must never pass on a value that
 * the assertion's grammar would refuse. */
#include "agent/metadata.h"

#include "aws/http.h"
#include "verifier/json.h"

#include <stdio.h>
#include <string.h>

enum { TOKEN_SIZE = 1024, VALUE_MAX = 16 * 1024, CALL_SECONDS = 2, PATIENCE_SECONDS = 10 };

static const long long second = 1000000000;

/* One reading of the service. */
struct reading {
	const struct metadata *metadata;
	char token_header[TOKEN_SIZE + 32];
	char value[VALUE_MAX + 1]; /* the last answer */
	json_t *said; /* the assertion's members, as far as they are known */
	int status; /* of the last answer; 0: none */
	struct complaint *complaint;
};

static bool value_take(struct reading *reading, const struct http_request *request)
{
	struct bytes answer = request->answer;

	if (answer.length > VALUE_MAX || memchr(answer.data ? answer.data : (void *)"", '\0', answer.length))
		return false;
	if (answer.length)
		memcpy(reading->value, answer.data, answer.length);
	reading->value[answer.length] = '\0';
	return true;
}

/* One call. False: no answer. Whatever the status, the answer is in reading->value. */
static bool service_call(struct reading *reading, const char *method, const char *path, const char *header)
{
	const char *const headers[] = { header, NULL };
	struct http_request request = { .method = method,
		.headers = headers,
		.source = reading->metadata->source,
		.answer_max = VALUE_MAX };
	char url[512];
	bool answered;

	snprintf(url, sizeof(url), "%s%s", reading->metadata->base, path);
	request.url = url;
	request.deadline = monotonic_now() + CALL_SECONDS * second;
	answered = http_fetch(reading->metadata->http, &request) == HTTP_ANSWERED &&
		   value_take(reading, &request);
	reading->status = answered ? request.status : 0;
	if (!answered)
		complain(reading->complaint, "no instance metadata service at %s (%s)",
			reading->metadata->base, request.error[0] ? request.error : "no usable answer");
	http_forget(&request);
	return answered;
}

static bool status_complain(const struct reading *reading, const char *path)
{
	return complain(
		reading->complaint, "the instance metadata service answers %d to %s", reading->status, path);
}

static bool token_fetch(struct reading *reading)
{
	static const char path[] = "/latest/api/token";

	if (!service_call(reading, "PUT", path, "X-aws-ec2-metadata-token-ttl-seconds: 300"))
		return false;
	if (reading->status != 200)
		return status_complain(reading, path);
	if (strlen(reading->value) == 0 || strlen(reading->value) >= TOKEN_SIZE)
		return complain(
			reading->complaint, "the instance metadata service's token is empty or too long");
	snprintf(reading->token_header, sizeof(reading->token_header), "X-aws-ec2-metadata-token: %.*s",
		TOKEN_SIZE - 1, reading->value);
	return true;
}

static bool said_set(struct reading *reading, const char *member, const char *value)
{
	return json_object_set_new(reading->said, member, json_string(value)) == 0 ||
	       complain(reading->complaint, "%s: the instance metadata service gives no text", member);
}

static bool value_read(struct reading *reading, const char *path)
{
	if (!service_call(reading, "GET", path, reading->token_header))
		return false;
	return reading->status == 200 || status_complain(reading, path);
}

/* An instance without a public name has no such page. */
static bool public_hostname_read(struct reading *reading)
{
	static const char path[] = "/latest/meta-data/public-hostname";

	if (value_read(reading, path))
		return said_set(reading, "public-hostname", reading->value);
	return reading->status == 404 && said_set(reading, "public-hostname", "");
}

static bool plain_values_read(struct reading *reading)
{
	static const char *const members[][2] = { { "instance-id", "/latest/meta-data/instance-id" },
		{ "local-hostname", "/latest/meta-data/local-hostname" },
		{ "reservation-id", "/latest/meta-data/reservation-id" },
		{ "instance-type", "/latest/meta-data/instance-type" },
		{ "source-ip", "/latest/meta-data/local-ipv4" } };
	size_t i;

	for (i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
		if (!value_read(reading, members[i][1]) || !said_set(reading, members[i][0], reading->value))
			return false;
	}
	return public_hostname_read(reading);
}

/* Account and region stand in the instance identity document alone. It must be about this instance. */
static bool document_take(struct reading *reading, const json_t *document)
{
	const char *account = json_text(document, "accountId");
	const char *region = json_text(document, "region");
	const char *instance = json_text(document, "instanceId");
	const char *self = json_text(reading->said, "instance-id");

	if (!account || !region || !instance)
		return complain(reading->complaint,
			"the instance identity document lacks accountId, region or instanceId");
	if (!self || strcmp(instance, self) != 0)
		return complain(
			reading->complaint, "the instance identity document is about another instance");
	return said_set(reading, "account-id", account) && said_set(reading, "region", region);
}

static bool document_read(struct reading *reading)
{
	static const char path[] = "/latest/dynamic/instance-identity/document";
	struct bytes text;
	json_t *document;
	bool taken;

	if (!value_read(reading, path))
		return false;
	text = (struct bytes){ (unsigned char *)reading->value, strlen(reading->value) };
	document = json_strict(text, NULL, NULL, NULL, 0);
	if (!document)
		return complain(reading->complaint, "the instance identity document is not JSON");
	taken = document_take(reading, document);
	json_decref(document);
	return taken;
}

/* Through the same grammar as the server's. */
static bool assertion_take(const struct reading *reading, struct assertion *assertion)
{
	struct reason reason = { 0 };

	return assertion_parse(reading->said, assertion, &reason) == OK ||
	       complain(reading->complaint, "the instance metadata service gives an unusable value: %s",
		       reason.text);
}

static bool reading_make(struct reading *reading, const char *role, struct assertion *assertion)
{
	bool made;

	reading->said = json_object();
	made = said_set(reading, "role", role) && token_fetch(reading) && plain_values_read(reading) &&
	       document_read(reading) && assertion_take(reading, assertion);
	json_decref(reading->said);
	return made;
}

/* No answer, a token that has run out, too many calls, or its own trouble: worth another try. */
static bool worth_retrying(int status)
{
	return status == 0 || status == 401 || status == 429 || status >= 500;
}

bool metadata_read(const struct metadata *metadata, const char *role, struct assertion *assertion,
	struct complaint *complaint)
{
	const struct pace *pace = metadata->pace;
	struct reading reading = { .metadata = metadata, .complaint = complaint };
	long long deadline = pace->now(pace->context) + PATIENCE_SECONDS * second;
	unsigned failed = 0;

	if (deadline > metadata->deadline)
		deadline = metadata->deadline;
	while (!reading_make(&reading, role, assertion)) {
		long long delay = pace_delay(++failed, -1, pace->random(pace->context));

		if (!worth_retrying(reading.status) || !pace_allows(pace, delay, deadline))
			return false;
		pace->wait(pace->context, delay);
	}
	return true;
}
