/* The query string of GET /v1/audit/events: what is taken, written again, asks the same; and a cursor is good
 * only for the query that it was made for, changed in nothing but its limit. */
#include "server/audit_parameters.h"
#include "tests/fuzz/fuzz.h"
#include "verifier/reasons.h"

#include <ctype.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

static const char *const names[PARAMETERS] = { "instance-id", "role", "event", "outcome", "request-id",
	"release-id", "since", "until", "order", "limit", "cursor" };

static void sign(const void *context, struct bytes text, unsigned char mac[32])
{
	MUST_HOLD(HMAC(EVP_sha256(), context, 3, text.data, text.length, mac, NULL));
}

static const struct cursor_key key = { sign, "key", "auditor:a" }, other_key = { sign, "yek", "auditor:a" };

/* Every byte encoded. */
static void write_again(const struct audit_parameters *asked, char *to, size_t size)
{
	size_t used = 0;

	to[0] = '\0';
	for (unsigned i = 0; i < PARAMETERS; i++) {
		if (!asked->values[i][0])
			continue;
		used += (size_t)snprintf(to + used, size - used, "%s%s=", used ? "&" : "", names[i]);
		for (const char *at = asked->values[i]; *at; at++)
			used += (size_t)snprintf(to + used, size - used, "%%%02X", (unsigned char)*at);
	}
	MUST_HOLD(used < size);
}

static void same_text(const char *value, const char *said)
{
	MUST_HOLD(value[0] ? said == value : said == NULL);
	for (; *value; value++)
		MUST_HOLD(isprint((unsigned char)*value));
}

static void filter_fits(const struct audit_parameters *asked)
{
	const struct audit_filter *filter = &asked->filter;

	same_text(asked->values[PARAMETER_INSTANCE_ID], filter->instance_id);
	same_text(asked->values[PARAMETER_ROLE], filter->role);
	same_text(asked->values[PARAMETER_EVENT], filter->event);
	same_text(asked->values[PARAMETER_OUTCOME], filter->outcome);
	same_text(asked->values[PARAMETER_REQUEST_ID], filter->request_id);
	same_text(asked->values[PARAMETER_RELEASE_ID], filter->release_id);
	MUST_HOLD(filter->limit >= 1 && filter->limit <= AUDIT_LIMIT_MAX);
	MUST_HOLD(filter->since_us >= 0 && filter->until_us >= 0);
	MUST_HOLD(asked->values[PARAMETER_CURSOR][0] || filter->after_seq == 0);
}

static enum outcome parse(const char *text, const struct cursor_key *with, struct audit_parameters *asked)
{
	struct reason reason = { NULL, "" };
	enum outcome outcome = audit_parameters_parse(text, with, asked, &reason);

	MUST_HOLD(outcome == OK || outcome == REFUSED);
	MUST_HOLD(outcome == OK || (strcmp(reason.code, REASON_MALFORMED) == 0 && reason.text[0]));
	return outcome;
}

/* The query goes on behind event 7, as itself and under another limit, and as nothing else. */
static void cursor_fits(struct audit_parameters *asked, char *text, size_t size)
{
	static struct audit_parameters again;
	char cursor[CURSOR_SIZE];
	size_t used;

	MUST_HOLD(audit_cursor_make(asked, 7, &key, cursor));
	asked->values[PARAMETER_CURSOR][0] = asked->values[PARAMETER_LIMIT][0] = '\0';
	write_again(asked, text, size);
	used = strlen(text);
	snprintf(text + used, size - used, "%slimit=3&cursor=%s", used ? "&" : "", cursor);
	MUST_HOLD(parse(text, &key, &again) == OK && again.filter.after_seq == 7 && again.filter.limit == 3);
	MUST_HOLD(parse(text, &other_key, &again) == REFUSED);
	if (!asked->values[PARAMETER_ROLE][0]) {
		used = strlen(text);
		snprintf(text + used, size - used, "&role=x");
		MUST_HOLD(parse(text, &key, &again) == REFUSED);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct audit_parameters asked, again;
	static char text[PARAMETERS * (3 * AUDIT_VALUE_MAX + 16) + 200];

	if (size >= sizeof(text))
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	if (parse(text, &key, &asked) != OK)
		return 0;
	for (const char *at = text; *at; at++)
		MUST_HOLD(isgraph((unsigned char)*at));
	filter_fits(&asked);
	write_again(&asked, text, sizeof(text));
	MUST_HOLD(parse(text, &key, &again) == OK);
	MUST_HOLD(memcmp(asked.values, again.values, sizeof(asked.values)) == 0 &&
		  asked.filter.since_us == again.filter.since_us &&
		  asked.filter.until_us == again.filter.until_us &&
		  asked.filter.limit == again.filter.limit &&
		  asked.filter.after_seq == again.filter.after_seq);
	cursor_fits(&asked, text, sizeof(text));
	return 0;
}
