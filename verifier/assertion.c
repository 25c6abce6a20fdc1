/* The assertion's nine members: grammar, parse, hash. Believes nothing, repeats nothing of what it refuses.
 */
#include "verifier/assertion.h"

#include "verifier/encoding.h"
#include "verifier/json.h"
#include "verifier/reasons.h"

#include <openssl/evp.h>
#include <string.h>

static const char lower_hex[] = "0123456789abcdef";
static const char digits[] = "0123456789";
static const char lower[] = "abcdefghijklmnopqrstuvwxyz";
static const char lower_digits[] = "abcdefghijklmnopqrstuvwxyz0123456789";

bool resource_id_valid(const char *prefix, const char *id)
{
	size_t skip = strlen(prefix);
	size_t length;

	if (strncmp(id, prefix, skip) != 0)
		return false;
	length = strspn(id + skip, lower_hex);
	return (length == 8 || length == 17) && id[skip + length] == '\0';
}

bool instance_id_valid(const char *id)
{
	return resource_id_valid("i-", id);
}

static bool reservation_id_valid(const char *id)
{
	return resource_id_valid("r-", id);
}

bool account_id_valid(const char *id)
{
	return strlen(id) == 12 && strspn(id, digits) == 12;
}

/* "us-east-1", "us-gov-west-1", "eusc-de-east-1": words of lower-case letters, then one number. */
bool region_valid(const char *region)
{
	unsigned words = 0;
	size_t length;

	if (strlen(region) >= REGION_SIZE)
		return false;
	while ((length = strspn(region, lower)) > 0) {
		if (region[length] != '-')
			return false;
		region += length + 1;
		words++;
	}
	length = strspn(region, digits);
	return words >= 2 && length >= 1 && length <= 2 && region[length] == '\0';
}

bool role_valid(const char *role)
{
	size_t length = strspn(role, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+=,.@_-");

	return length >= 1 && length < ROLE_SIZE && role[length] == '\0';
}

/* "m5.large", "u-6tb1.metal", "mac2-m2pro.metal" */
bool instance_type_valid(const char *type)
{
	size_t family = strspn(type, "abcdefghijklmnopqrstuvwxyz0123456789-");
	size_t size;

	if (family == 0 || type[family] != '.' || strlen(type) >= INSTANCE_TYPE_SIZE)
		return false;
	size = strspn(type + family + 1, "abcdefghijklmnopqrstuvwxyz0123456789-");
	return size > 0 && type[family + 1 + size] == '\0';
}

bool name_valid(const char *name)
{
	size_t length = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-");

	return length >= 1 && length < NAME_SIZE && name[0] != '-' && name[length] == '\0';
}

bool secret_name_valid(const char *name)
{
	return name_valid(name) && strcmp(name, "node") != 0 && strcmp(name, "canary") != 0;
}

bool secret_kind_valid(const char *kind)
{
	static const char *const kinds[] = { "pin", "private-key", "certificate", "opaque" };

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strcmp(kind, kinds[i]) == 0)
			return true;
	return false;
}

/* RFC 1123 labels in lower case, as EC2 gives them. */
static bool hostname_valid(const char *name)
{
	if (strlen(name) >= HOSTNAME_SIZE)
		return false;
	for (;;) {
		size_t length = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-");

		if (length == 0 || length > 63 || !strchr(lower_digits, name[0]) ||
			!strchr(lower_digits, name[length - 1]))
			return false;
		if (name[length] == '\0')
			return true;
		if (name[length] != '.')
			return false;
		name += length + 1;
	}
}

static bool public_hostname_valid(const char *name)
{
	return name[0] == '\0' || hostname_valid(name);
}

bool address_valid(const char *text)
{
	struct in_addr address;

	return address_decode(text, &address);
}

/* In the order of DESIGN.md section 4, which is also the order of the hash. */
static const struct field {
	const char *name;
	bool (*valid)(const char *);
	size_t offset, size;
	const char *grammar;
} fields[] = {
#define FIELD(name, member, valid, grammar)                                                                  \
	{                                                                                                    \
		name, valid, offsetof(struct assertion, member), sizeof(((struct assertion *)0)->member),    \
			grammar                                                                              \
	}
	FIELD("instance-id", instance_id, instance_id_valid,
		"\"i-\" and 8 or 17 lower-case hexadecimal digits"),
	FIELD("public-hostname", public_hostname, public_hostname_valid,
		"a host name in lower case, or empty"),
	FIELD("local-hostname", local_hostname, hostname_valid, "a host name in lower case"),
	FIELD("reservation-id", reservation_id, reservation_id_valid,
		"\"r-\" and 8 or 17 lower-case hexadecimal digits"),
	FIELD("instance-type", instance_type, instance_type_valid, "an instance type such as m5.large"),
	FIELD("role", role, role_valid, "an IAM role name without its path"),
	FIELD("source-ip", source_ip, address_valid, "an IPv4 address in its canonical spelling"),
	FIELD("account-id", account_id, account_id_valid, "12 digits"),
	FIELD("region", region, region_valid, "a region such as us-east-1"),
#undef FIELD
};

enum { FIELDS = sizeof(fields) / sizeof(fields[0]) };

static char *field_value(const struct assertion *assertion, const struct field *field)
{
	return (char *)assertion + field->offset;
}

static enum outcome field_parse(
	const json_t *object, const struct field *field, struct assertion *assertion, struct reason *reason)
{
	const char *text = json_text(object, field->name);

	if (!json_object_get(object, field->name))
		return refused(reason, REASON_MALFORMED, "assertion.%s: missing", field->name);
	if (!text)
		return refused(reason, REASON_MALFORMED, "assertion.%s: not a string", field->name);
	if (strlen(text) >= field->size || !field->valid(text))
		return refused(reason, REASON_MALFORMED, "assertion.%s: not %s", field->name, field->grammar);
	strcpy(field_value(assertion, field), text);
	return OK;
}

enum outcome assertion_parse(const json_t *object, struct assertion *assertion, struct reason *reason)
{
	enum outcome outcome = OK;
	size_t i;

	memset(assertion, 0, sizeof(*assertion));
	if (!json_is_object(object))
		return refused(reason, REASON_MALFORMED, "assertion: not an object");
	for (i = 0; i < FIELDS && outcome == OK; i++)
		outcome = field_parse(object, &fields[i], assertion, reason);
	if (outcome == OK && json_object_size(object) != FIELDS)
		return refused(reason, REASON_MALFORMED, "assertion: holds a member that is not known");
	return outcome;
}

json_t *assertion_json(const struct assertion *assertion)
{
	json_t *object = json_object();
	size_t i;

	for (i = 0; i < FIELDS; i++) {
		/* a failed json_string is NULL, which json_object_set_new refuses */
		if (json_object_set_new(
			    object, fields[i].name, json_string(field_value(assertion, &fields[i]))) != 0) {
			json_decref(object);
			return NULL;
		}
	}
	return object;
}

/* Length-prefixed, so that no byte can wander across a boundary between two values. */
static bool hash_values(const char *const values[], size_t n, unsigned char hash[32])
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	bool done = context && EVP_DigestInit_ex(context, EVP_sha256(), NULL);
	size_t i;

	for (i = 0; done && i < n; i++) {
		size_t length = strlen(values[i]);
		unsigned char prefix[4] = { (unsigned char)(length >> 24), (unsigned char)(length >> 16),
			(unsigned char)(length >> 8), (unsigned char)length };

		done = EVP_DigestUpdate(context, prefix, sizeof(prefix)) &&
		       EVP_DigestUpdate(context, values[i], length);
	}
	done = done && EVP_DigestFinal_ex(context, hash, NULL);
	EVP_MD_CTX_free(context);
	return done;
}

bool assertion_sha256(const struct assertion *assertion, unsigned char hash[32])
{
	const char *values[FIELDS];
	size_t i;

	for (i = 0; i < FIELDS; i++)
		values[i] = field_value(assertion, &fields[i]);
	return hash_values(values, FIELDS, hash);
}

bool one_time_hash(
	const char *account_id, const char *region, const char *instance_id, unsigned char hash[32])
{
	const char *const values[] = { account_id, region, instance_id };

	return hash_values(values, 3, hash);
}
