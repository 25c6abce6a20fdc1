/* Reads the assertion's members from the instance metadata service. Must never pass on a value that the
 * assertion's grammar would refuse. */
#include "agent/metadata.h"

#include "verifier/json.h"

#include <string.h>

enum { PATIENCE_SECONDS = 10 };

static const long long second = 1000000000;

/* One reading of the service. */
struct reading {
	struct imds_session session;
	json_t *said; /* the assertion's members, as far as they are known */
	struct complaint *complaint;
};

static bool said_set(struct reading *reading, const char *member, const char *value)
{
	return json_object_set_new(reading->said, member, json_string(value)) == 0 ||
	       complain(reading->complaint, "%s: the instance metadata service gives no text", member);
}

/* An instance without a public name has no such page. */
static bool public_hostname_read(struct reading *reading)
{
	static const char path[] = "/latest/meta-data/public-hostname";

	if (imds_get(&reading->session, path))
		return said_set(reading, "public-hostname", reading->session.value);
	return reading->session.status == 404 && said_set(reading, "public-hostname", "");
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
		if (!imds_get(&reading->session, members[i][1]) ||
			!said_set(reading, members[i][0], reading->session.value))
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

	if (!imds_get(&reading->session, path))
		return false;
	text = (struct bytes){ (unsigned char *)reading->session.value, strlen(reading->session.value) };
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

static bool reading_make(
	struct reading *reading, const struct imds *imds, const char *role, struct assertion *assertion)
{
	bool made;

	reading->said = json_object();
	made = said_set(reading, "role", role) && imds_open(imds, &reading->session, reading->complaint) &&
	       plain_values_read(reading) && document_read(reading) && assertion_take(reading, assertion);
	json_decref(reading->said);
	return made;
}

/* No answer, a token that has run out, too many calls, or its own trouble: worth another try. */
static bool worth_retrying(int status)
{
	return status == 0 || status == 401 || status == 429 || status >= 500;
}

static bool reading_repeat(
	struct reading *reading, const struct imds *imds, const char *role, struct assertion *assertion)
{
	const struct pace *pace = imds->pace;
	long long deadline = pace->now(pace->context) + PATIENCE_SECONDS * second;
	unsigned failed = 0;

	if (deadline > imds->deadline)
		deadline = imds->deadline;
	while (!reading_make(reading, imds, role, assertion)) {
		long long delay = pace_delay(++failed, -1, pace->random(pace->context));

		if (!worth_retrying(reading->session.status) || !pace_allows(pace, delay, deadline))
			return false;
		pace->wait(pace->context, delay);
	}
	return true;
}

bool metadata_read(
	const struct imds *imds, const char *role, struct assertion *assertion, struct complaint *complaint)
{
	struct reading reading = { .complaint = complaint };
	bool read = reading_repeat(&reading, imds, role, assertion);

	imds_close(&reading.session);
	return read;
}
