#ifndef VERIFIER_ASSERTION_H
#define VERIFIER_ASSERTION_H
/* What an agent says of its instance: well-formed, believed by nobody. The nine members of DESIGN.md section
 * 4, spelled as the instance metadata service spells them, each by a strict grammar. */
#include "verifier/outcome.h"

#include <jansson.h>
#include <netinet/in.h>

enum {
	INSTANCE_ID_SIZE = 20, /* "i-" and 8 or 17 hexadecimal digits, NUL */
	RESERVATION_ID_SIZE = 20,
	ACCOUNT_ID_SIZE = 13, /* 12 digits */
	REGION_SIZE = 24,
	HOSTNAME_SIZE = 254,
	INSTANCE_TYPE_SIZE = 33,
	ROLE_SIZE = 65, /* IAM: [A-Za-z0-9+=,.@_-]{1,64} */
	ADDRESS_SIZE = INET_ADDRSTRLEN
};

struct assertion {
	char instance_id[INSTANCE_ID_SIZE];
	char public_hostname[HOSTNAME_SIZE]; /* "" where there is none */
	char local_hostname[HOSTNAME_SIZE];
	char reservation_id[RESERVATION_ID_SIZE];
	char instance_type[INSTANCE_TYPE_SIZE];
	char role[ROLE_SIZE];
	char source_ip[ADDRESS_SIZE]; /* dotted quad, in the one canonical spelling */
	char account_id[ACCOUNT_ID_SIZE];
	char region[REGION_SIZE];
};

/* Reads the members of `object`: all nine, no others, each a string that fits its grammar. REFUSED names the
 * member, never its value. */
MUST_USE enum outcome assertion_parse(const json_t *object, struct assertion *, struct reason *);

/* The other direction, for the agent. Returns a new reference, or NULL when memory is out. */
json_t *assertion_json(const struct assertion *);

/* SHA-256 over the nine values in the order above, each behind its length as 4 bytes, big-endian. */
MUST_USE bool assertion_sha256(const struct assertion *, unsigned char hash[32]);

/* SHA-256 over account, region and instance id in the same framing: the key of the one-time ledger. The role
 * is not part of it: an instance whose profile was swapped has had its turn. */
MUST_USE bool one_time_hash(
	const char *account_id, const char *region, const char *instance_id, unsigned char hash[32]);

/* The grammars alone, for policy files and command lines. */
bool instance_id_valid(const char *);
bool account_id_valid(const char *);
bool address_valid(const char *); /* IPv4, in its canonical spelling */
bool region_valid(const char *);
bool role_valid(const char *);
bool instance_type_valid(const char *);
/* A secret's or member's name: [a-z0-9][a-z0-9-]{0,62}. */
enum { NAME_SIZE = 64 };
bool name_valid(const char *);
/* The same, and none of the vault's own envelopes, "node" and "canary", which are never released. */
bool secret_name_valid(const char *);
/* "pin", "private-key", "certificate" or "opaque": what people store and agents receive. */
bool secret_kind_valid(const char *);
/* `prefix` followed by 8 or 17 lower-case hexadecimal digits, as "i-", "vpc-", "ami-". */
bool resource_id_valid(const char *prefix, const char *id);

#endif
