/* Rebuilds the canonical request from what came, as AWS's description of Signature Version 4 says,
 * and compares the signature. It never trusts a word of the request before the signature over it has
 * been found right. */
#include "tests/aws-sim/sigv4_check.h"

#include "tests/aws-sim/account.h"
#include "tests/aws-sim/clock.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { HASH_SIZE = 32, HASH_HEX_SIZE = 65, SKEW_MAX = 15 * 60, AUTHORIZATION_MAX = 2048 };

struct time_rule {
	time_t now;
	bool any_date;
};

/* The parts of an Authorization header; they point into `text`. */
struct authorization {
	char text[AUTHORIZATION_MAX];
	const char *key_id, *date, *region, *service;
	const char *signed_headers, *signature;
};

static bool verdict(struct signer *signer, enum signature is, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Always false, for `return verdict(…)`. */
static bool verdict(struct signer *signer, enum signature is, const char *format, ...)
{
	va_list arguments;

	signer->verdict = is;
	va_start(arguments, format);
	vsnprintf(signer->detail, sizeof signer->detail, format, arguments);
	va_end(arguments);
	return false;
}

/* "Name=value" at *next, up to the separator, which is passed over. NULL: not there. */
static const char *part_take(char **next, const char *name, const char *separator)
{
	size_t length = strlen(name);
	char *value, *end;

	if (!*next || strncmp(*next, name, length) != 0)
		return NULL;
	value = *next + length;
	end = *separator ? strstr(value, separator) : NULL;
	if (*separator && !end)
		return NULL;
	if (end) {
		*end = '\0';
		*next = end + strlen(separator);
		while (**next == ' ')
			(*next)++;
	} else {
		*next = NULL;
	}
	return *value ? value : NULL;
}

/* key/date/region/service/aws4_request */
static bool scope_split(struct authorization *authorization, char *credential)
{
	const char **parts[] = { &authorization->key_id, &authorization->date, &authorization->region,
		&authorization->service };

	for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
		char *slash = strchr(credential, '/');

		if (!slash || slash == credential)
			return false;
		*slash = '\0';
		*parts[i] = credential;
		credential = slash + 1;
	}
	return !strcmp(credential, "aws4_request");
}

static bool authorization_read(const char *header, struct authorization *authorization)
{
	static const char algorithm[] = "AWS4-HMAC-SHA256 ";
	char *next = authorization->text;
	const char *credential;

	if (strlen(header) >= sizeof authorization->text)
		return false;
	strcpy(authorization->text, header);
	if (strncmp(next, algorithm, strlen(algorithm)) != 0)
		return false;
	next += strlen(algorithm);
	credential = part_take(&next, "Credential=", ",");
	authorization->signed_headers = part_take(&next, "SignedHeaders=", ",");
	authorization->signature = part_take(&next, "Signature=", "");
	return credential && authorization->signed_headers && authorization->signature &&
	       strlen(authorization->signature) == HASH_HEX_SIZE - 1 &&
	       strspn(authorization->signature, "0123456789abcdef") == HASH_HEX_SIZE - 1 &&
	       scope_split(authorization, authorization->text + (credential - authorization->text));
}

static void hex_write(const unsigned char hash[HASH_SIZE], char hex[HASH_HEX_SIZE])
{
	for (unsigned i = 0; i < HASH_SIZE; i++)
		snprintf(hex + 2 * i, 3, "%02x", hash[i]);
}

static bool sha256_hex(const char *data, size_t length, char hex[HASH_HEX_SIZE])
{
	unsigned char hash[HASH_SIZE];

	if (!EVP_Digest(data, length, hash, NULL, EVP_sha256(), NULL))
		return false;
	hex_write(hash, hex);
	return true;
}

static bool hmac(const void *key, size_t key_length, const char *text, unsigned char mac[HASH_SIZE])
{
	unsigned length = HASH_SIZE;

	return HMAC(
		EVP_sha256(), key, (int)key_length, (const unsigned char *)text, strlen(text), mac, &length);
}

/* Blanks around it go, runs of blanks become one. */
static void value_canonical(struct buffer *out, const char *value)
{
	bool pending = false, any = false;

	for (; *value; value++) {
		if (*value == ' ' || *value == '\t') {
			pending = any;
			continue;
		}
		if (pending)
			buffer_add(out, " ", 1);
		buffer_add(out, value, 1);
		any = true;
		pending = false;
	}
}

/* All values of one name, joined by commas. False: there is none. */
static bool header_canonical(
	struct buffer *out, const struct request *request, const char *name, size_t length)
{
	bool found = false;

	buffer_add(out, name, length);
	buffer_text(out, ":");
	for (unsigned i = 0; i < request->n_headers; i++) {
		const char *other = request->headers[i].name;

		if (strlen(other) != length || strncasecmp(other, name, length) != 0)
			continue;
		if (found)
			buffer_text(out, ",");
		value_canonical(out, request->headers[i].value);
		found = true;
	}
	buffer_text(out, "\n");
	return found;
}

/* The signed headers in the order of the list, which must be sorted, in small letters and without
 * repetition. */
static bool headers_canonical(struct buffer *out, const struct request *request, const char *list)
{
	const char *name = list, *previous = NULL;
	size_t previous_length = 0;

	for (;;) {
		size_t length = strcspn(name, ";");
		size_t shared = length < previous_length ? length : previous_length;
		int order = previous ? strncmp(previous, name, shared) : -1;

		if (!length || strcspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") < length || order > 0 ||
			(!order && previous_length >= length) ||
			!header_canonical(out, request, name, length))
			return false;
		if (!name[length])
			return true;
		previous = name;
		previous_length = length;
		name += length + 1;
	}
}

static bool list_has(const char *list, const char *name)
{
	size_t length = strlen(name);

	for (const char *at = list; *at; at += strcspn(at, ";"), at += *at == ';')
		if (!strncasecmp(at, name, length) && (!at[length] || at[length] == ';'))
			return true;
	return false;
}

/* The host and every x-amz- header that came must be under the signature. */
static bool headers_covered(
	const struct request *request, const struct authorization *authorization, struct signer *signer)
{
	if (!list_has(authorization->signed_headers, "host"))
		return verdict(
			signer, SIGNATURE_WRONG, "'Host' must be a 'SignedHeader' in the AWS Authorization.");
	for (unsigned i = 0; i < request->n_headers; i++)
		if (!strncasecmp(request->headers[i].name, "x-amz-", 6) &&
			!list_has(authorization->signed_headers, request->headers[i].name))
			return verdict(signer, SIGNATURE_WRONG,
				"There were headers present in the request which were not signed: %.100s",
				request->headers[i].name);
	return true;
}

/* In the words that AWS has for it. */
static bool date_check(const char *date, time_t signed_at, time_t now, struct signer *signer)
{
	char is[COMPACT_TIME_SIZE], limit[COMPACT_TIME_SIZE];

	time_write_compact(now, is);
	if (signed_at < now - SKEW_MAX) {
		time_write_compact(now - SKEW_MAX, limit);
		return verdict(signer, SIGNATURE_EXPIRED,
			"Signature expired: %s is now earlier than %s (%s - 15 min.)", date, limit, is);
	}
	if (signed_at > now + SKEW_MAX) {
		time_write_compact(now + SKEW_MAX, limit);
		return verdict(signer, SIGNATURE_EXPIRED,
			"Signature not yet current: %s is still later than %s (%s + 15 min.)", date, limit,
			is);
	}
	return true;
}

static bool scope_check(const struct request *request, const struct authorization *authorization,
	const struct time_rule *rule, struct signer *signer)
{
	const char *date = request_header(request, "x-amz-date");
	time_t signed_at;

	if (!date || !time_read_compact(date, &signed_at))
		return verdict(signer, SIGNATURE_INCOMPLETE,
			"Date must be in ISO-8601 'basic format'. Got '%.60s'.", date ? date : "");
	if (strlen(authorization->date) != 8 || strncmp(authorization->date, date, 8) != 0)
		return verdict(signer, SIGNATURE_SCOPE,
			"Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date "
			"from HTTP: '%.20s' != '%.8s', from '%.60s'.",
			authorization->date, date, date);
	return rule->any_date || date_check(date, signed_at, rule->now, signer);
}

/* One of STS's own names takes signatures for its region alone; another name (this machine's) for any. */
static bool host_is_of_region(const char *host, const char *region)
{
	char name[128];

	if (!host || strncmp(host, "sts.", 4) != 0)
		return true;
	if (!strcmp(host, "sts.amazonaws.com"))
		return !strcmp(region, "us-east-1");
	snprintf(name, sizeof name, "sts.%s.%s", region, partition_of_region(region)->dns_suffix);
	return !strcmp(host, name);
}

/* That service's and region's keys alone. IAM is signed for one region of each partition. */
static bool target_check(const struct state *state, const char *host,
	const struct authorization *authorization, struct signer *signer)
{
	const struct partition *partition = partition_of_region(authorization->region);
	const json_t *account = state_account(state, text_of(signer->key, "account"));

	if (strcmp(authorization->service, "ec2") != 0 && strcmp(authorization->service, "iam") != 0 &&
		strcmp(authorization->service, "sts") != 0)
		return verdict(
			signer, SIGNATURE_SCOPE, "Credential should be scoped to correct service: 'ec2'.");
	if (strcmp(partition->name, text_of(account, "partition")) != 0)
		return verdict(signer, SIGNATURE_UNKNOWN_KEY,
			"The security token included in the request is invalid.");
	if (!strcmp(authorization->service, "iam") &&
		strcmp(authorization->region, partition->iam_region) != 0)
		return verdict(signer, SIGNATURE_SCOPE,
			"Credential should be scoped to a valid region, not '%.30s'.", authorization->region);
	if (!strcmp(authorization->service, "sts") && !host_is_of_region(host, authorization->region))
		return verdict(signer, SIGNATURE_SCOPE, "Credential should be scoped to a valid region. ");
	return true;
}

static bool key_find(const struct request *request, const struct state *state,
	const struct authorization *authorization, time_t now, struct signer *signer)
{
	const char *token = request_header(request, "x-amz-security-token");
	long expires;

	signer->key = state_key(state, authorization->key_id);
	if (!signer->key || strcmp(text_of(signer->key, "token"), token ? token : "") != 0)
		return verdict(signer, SIGNATURE_UNKNOWN_KEY,
			"The security token included in the request is invalid.");
	expires = number_of(signer->key, "expires");
	if (expires && expires <= now)
		return verdict(signer, SIGNATURE_TOKEN_EXPIRED,
			"The security token included in the request is expired");
	return true;
}

/* The hash of the canonical request. False: a signed header is not there, the list is not in order,
 * or memory. */
static bool request_hash(const struct request *request, const char *signed_headers, char hash[HASH_HEX_SIZE])
{
	struct buffer canonical = { 0 };
	char payload[HASH_HEX_SIZE];
	bool made = false;

	buffer_format(&canonical, "%s\n/\n\n", request->method);
	if (!headers_canonical(&canonical, request, signed_headers))
		goto out;
	if (!sha256_hex(request->body, request->length, payload))
		goto out;
	buffer_format(&canonical, "\n%s\n%s", signed_headers, payload);
	made = !canonical.failed && sha256_hex(canonical.data, canonical.length, hash);
out:
	buffer_clear(&canonical);
	return made;
}

static bool signing_key(
	const char *secret, const struct authorization *authorization, unsigned char key[HASH_SIZE])
{
	char first[4 + 256];
	int length = snprintf(first, sizeof first, "AWS4%s", secret);

	return length > 0 && (size_t)length < sizeof first &&
	       hmac(first, (size_t)length, authorization->date, key) &&
	       hmac(key, HASH_SIZE, authorization->region, key) &&
	       hmac(key, HASH_SIZE, authorization->service, key) && hmac(key, HASH_SIZE, "aws4_request", key);
}

static bool signature_equal(
	const struct request *request, const struct authorization *authorization, const char *secret)
{
	char hash[HASH_HEX_SIZE], wanted[HASH_HEX_SIZE], to_sign[512];
	unsigned char key[HASH_SIZE], mac[HASH_SIZE];
	int length;

	if (!request_hash(request, authorization->signed_headers, hash) ||
		!signing_key(secret, authorization, key))
		return false;
	length = snprintf(to_sign, sizeof to_sign, "AWS4-HMAC-SHA256\n%s\n%s/%s/%s/aws4_request\n%s",
		request_header(request, "x-amz-date"), authorization->date, authorization->region,
		authorization->service, hash);
	if (length < 0 || (size_t)length >= sizeof to_sign || !hmac(key, HASH_SIZE, to_sign, mac))
		return false;
	hex_write(mac, wanted);
	return !CRYPTO_memcmp(wanted, authorization->signature, HASH_HEX_SIZE - 1);
}

static bool signature_check(const struct request *request, const struct state *state,
	const struct authorization *authorization, const struct time_rule *rule, struct signer *signer)
{
	const char *host = request_header(request, "host");

	if (!key_find(request, state, authorization, rule->now, signer) ||
		!scope_check(request, authorization, rule, signer) ||
		!target_check(state, host, authorization, signer) ||
		!headers_covered(request, authorization, signer))
		return false;
	if (!signature_equal(request, authorization, text_of(signer->key, "secret")))
		return verdict(signer, SIGNATURE_WRONG,
			"The request signature we calculated does not match the signature you provided. "
			"Check your AWS Secret Access Key and signing method. Consult the service "
			"documentation for details.");
	return true;
}

void sigv4_check(const struct request *request, const struct state *state, time_t now, bool any_date,
	struct signer *signer)
{
	const struct time_rule rule = { .now = now, .any_date = any_date };
	const char *header = request_header(request, "authorization");
	struct authorization authorization = { 0 };

	*signer = (struct signer){ .verdict = SIGNATURE_WRONG };
	if (!header) {
		verdict(signer, SIGNATURE_MISSING, "Request is missing Authentication Token");
		return;
	}
	if (!authorization_read(header, &authorization)) {
		verdict(signer, SIGNATURE_INCOMPLETE,
			"The request signature does not conform to AWS standards.");
		return;
	}
	snprintf(signer->service, sizeof signer->service, "%s", authorization.service);
	snprintf(signer->region, sizeof signer->region, "%s", authorization.region);
	if (signature_check(request, state, &authorization, &rule, signer))
		signer->verdict = SIGNATURE_GOOD;
}
