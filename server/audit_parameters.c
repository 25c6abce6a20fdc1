/* Reads an auditor's parameters. Must never let a byte through that is not printable, nor a cursor that
 * another query was given. */
#include "server/audit_parameters.h"

#include "verifier/reasons.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const parameter_names[PARAMETERS] = { "instance-id", "role", "event", "outcome",
	"request-id", "release-id", "since", "until", "order", "limit", "cursor" };

/* Either case is the same (RFC 3986, section 2.1). */
static int hex_value(char c)
{
	static const char digits[] = "0123456789abcdef0123456789ABCDEF";
	const char *found = c ? strchr(digits, c) : NULL;

	return found ? (int)(found - digits) % 16 : -1;
}

/* Nothing but printable ASCII comes out. */
static bool value_decode(const char *text, size_t length, char value[AUDIT_VALUE_MAX])
{
	size_t n = 0;
	size_t i;

	for (i = 0; i < length && n + 1 < AUDIT_VALUE_MAX; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c == ' ')
			return false; /* none stands in a target; encoded it is fine */
		if (c == '%') {
			if (i + 2 >= length || hex_value(text[i + 1]) < 0 || hex_value(text[i + 2]) < 0)
				return false;
			c = (unsigned char)(hex_value(text[i + 1]) << 4 | hex_value(text[i + 2]));
			i += 2;
		}
		if (c < 0x20 || c > 0x7e)
			return false;
		value[n++] = (char)c;
	}
	value[n] = '\0';
	return i == length;
}

/* Ties a cursor to its reader, and to the query that it goes on with: everything but the limit. No value
 * holds a line feed. */
static bool cursor_mac(const struct audit_parameters *parameters, long long seq, const struct cursor_key *key,
	unsigned char mac[32])
{
	char text[32 + READER_SIZE + PARAMETER_LIMIT * (AUDIT_VALUE_MAX + 1)];
	int used = snprintf(text, sizeof(text), "%lld\n%s", seq, key->reader);
	unsigned i;

	for (i = 0; i < PARAMETER_LIMIT; i++)
		used += snprintf(text + used, sizeof(text) - (size_t)used, "\n%s", parameters->values[i]);
	if (used < 0 || (size_t)used >= sizeof(text))
		return false;
	key->mac(key->context, (struct bytes){ (const unsigned char *)text, (size_t)used }, mac);
	return true;
}

bool audit_cursor_make(const struct audit_parameters *parameters, long long seq, const struct cursor_key *key,
	char cursor[CURSOR_SIZE])
{
	unsigned char bytes[8 + 32];
	unsigned i;

	for (i = 0; i < 8; i++)
		bytes[i] = (unsigned char)(seq >> (56 - 8 * i));
	if (!cursor_mac(parameters, seq, key, bytes + 8))
		return false;
	base64url_encode((struct bytes){ bytes, CURSOR_BYTES }, cursor);
	return true;
}

static bool cursor_decode(struct audit_parameters *parameters, const struct cursor_key *key)
{
	const char *text = parameters->values[PARAMETER_CURSOR];
	unsigned char bytes[CURSOR_BYTES];
	unsigned char mac[32];
	size_t length = sizeof(bytes);
	unsigned long long seq = 0;
	unsigned i;

	if (!base64url_decode(text, strlen(text), bytes, &length) || length != sizeof(bytes))
		return false;
	for (i = 0; i < 8; i++)
		seq = seq << 8 | bytes[i];
	if (!cursor_mac(parameters, (long long)seq, key, mac) ||
		CRYPTO_memcmp(mac, bytes + 8, CURSOR_MAC) != 0)
		return false;
	parameters->filter.after_seq = (long long)seq;
	return true;
}

static bool limit_decode(const char *text, unsigned *limit)
{
	size_t digits = strspn(text, "0123456789");

	if (digits == 0 || digits > 6 || text[digits] || text[0] == '0')
		return false;
	*limit = (unsigned)strtoul(text, NULL, 10);
	return *limit >= 1 && *limit <= AUDIT_LIMIT_MAX;
}

static bool parameter_take(struct audit_parameters *parameters, const char *name, const char *value)
{
	unsigned i;

	for (i = 0; i < PARAMETERS; i++) {
		if (strcmp(parameter_names[i], name) != 0)
			continue;
		if (parameters->values[i][0] || !value[0])
			return false;
		strcpy(parameters->values[i], value);
		return true;
	}
	return false;
}

static const char *or_null(const char *text)
{
	return text[0] ? text : NULL;
}

/* From what was given to what is asked; the cursor last, since it fits one query alone. */
static enum outcome filter_fill(
	struct audit_parameters *parameters, const struct cursor_key *key, struct reason *reason)
{
	struct audit_filter *filter = &parameters->filter;
	const char *const *names = parameter_names;

	*filter = (struct audit_filter){ .instance_id = or_null(parameters->values[PARAMETER_INSTANCE_ID]),
		.role = or_null(parameters->values[PARAMETER_ROLE]),
		.event = or_null(parameters->values[PARAMETER_EVENT]),
		.outcome = or_null(parameters->values[PARAMETER_OUTCOME]),
		.request_id = or_null(parameters->values[PARAMETER_REQUEST_ID]),
		.release_id = or_null(parameters->values[PARAMETER_RELEASE_ID]),
		.ascending = strcmp(parameters->values[PARAMETER_ORDER], "ascending") == 0,
		.limit = AUDIT_LIMIT_DEFAULT };
	if (parameters->values[PARAMETER_SINCE][0] &&
		!timestamp_decode(parameters->values[PARAMETER_SINCE], &filter->since_us))
		return refused(reason, REASON_MALFORMED, "query: %s is no time in UTC (RFC 3339)",
			names[PARAMETER_SINCE]);
	if (parameters->values[PARAMETER_UNTIL][0] &&
		!timestamp_decode(parameters->values[PARAMETER_UNTIL], &filter->until_us))
		return refused(reason, REASON_MALFORMED, "query: %s is no time in UTC (RFC 3339)",
			names[PARAMETER_UNTIL]);
	if (parameters->values[PARAMETER_ORDER][0] && !filter->ascending &&
		strcmp(parameters->values[PARAMETER_ORDER], "descending") != 0)
		return refused(reason, REASON_MALFORMED, "query: order is ascending or descending");
	if (parameters->values[PARAMETER_LIMIT][0] &&
		!limit_decode(parameters->values[PARAMETER_LIMIT], &filter->limit))
		return refused(reason, REASON_MALFORMED, "query: limit is 1 to %d", AUDIT_LIMIT_MAX);
	if (parameters->values[PARAMETER_CURSOR][0] && !cursor_decode(parameters, key))
		return refused(reason, REASON_MALFORMED, "query: the cursor does not belong to this query");
	return OK;
}

enum outcome audit_parameters_parse(const char *query, const struct cursor_key *key,
	struct audit_parameters *parameters, struct reason *reason)
{
	const char *at = query;
	unsigned place = 0;

	*parameters = (struct audit_parameters){ 0 };
	while (*at) {
		size_t length = strcspn(at, "&");
		const char *equals = memchr(at, '=', length);
		char name[AUDIT_VALUE_MAX], value[AUDIT_VALUE_MAX];

		place++;
		if (!equals || !value_decode(at, (size_t)(equals - at), name) ||
			!value_decode(equals + 1, length - (size_t)(equals + 1 - at), value) ||
			!parameter_take(parameters, name, value))
			return refused(reason, REASON_MALFORMED,
				"query: parameter %u is unknown, empty, given twice, or not of its form",
				place);
		at += length;
		at += *at == '&';
	}
	return filter_fill(parameters, key, reason);
}
