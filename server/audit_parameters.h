#ifndef SERVER_AUDIT_PARAMETERS_H
#define SERVER_AUDIT_PARAMETERS_H
/* What GET /v1/audit/events?... asks for: its parameters, and the cursor that goes on with a query. Pure: the
 * key that cursors are signed with is behind a function. */
#include "store/audit.h"
#include "verifier/encoding.h"

/* What a query may say, each at most once. The cursor is good for one set of the others but the limit. */
enum audit_parameter {
	PARAMETER_INSTANCE_ID,
	PARAMETER_ROLE,
	PARAMETER_EVENT,
	PARAMETER_OUTCOME,
	PARAMETER_REQUEST_ID,
	PARAMETER_RELEASE_ID,
	PARAMETER_SINCE,
	PARAMETER_UNTIL,
	PARAMETER_ORDER,
	PARAMETER_LIMIT,
	PARAMETER_CURSOR,
	PARAMETERS
};

enum { AUDIT_VALUE_MAX = 256, CURSOR_MAC = 16, CURSOR_BYTES = 8 + CURSOR_MAC };

#define CURSOR_SIZE BASE64_SIZE(CURSOR_BYTES)

enum { READER_SIZE = NAME_SIZE + 16 };

/* Signs what a cursor is tied to: a query, and who asks it. */
struct cursor_key {
	void (*mac)(const void *context, struct bytes text, unsigned char mac[32]);
	const void *context;
	const char *reader; /* shorter than READER_SIZE, no line feed: "auditor:alice" */
};

struct audit_parameters {
	char values[PARAMETERS][AUDIT_VALUE_MAX]; /* as they were given, decoded; "": not given */
	struct audit_filter filter; /* borrows from the values: must not move */
};

/* `query`: what stands behind the '?', raw: name=value pairs between '&', percent-encoded (RFC 3986); a raw
 * '+' stays one. REFUSED (REASON_MALFORMED) names the parameter by its place or its own name, never by its
 * text. */
MUST_USE enum outcome audit_parameters_parse(
	const char *query, const struct cursor_key *, struct audit_parameters *, struct reason *);

/* The cursor that goes on behind event `seq` of the same query. False: it could not be made. */
MUST_USE bool audit_cursor_make(
	const struct audit_parameters *, long long seq, const struct cursor_key *, char cursor[CURSOR_SIZE]);

#endif
