/* AWS Signature Version 4 for the one request that an agent signs (AWS General Reference, "Create a signed
 * AWS API request"). Everything but host, region, time, token and binding is constant. Must never leave key
 * material behind on the stack, nor sign what the server's own grammar would refuse. */
#include "aws/sigv4.h"

#include "aws/regions.h"
#include "verifier/encoding.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <string.h>

enum {
	HASH_SIZE = 32,
	HOST_MAX = 253,
	/* the constants of a canonical request are less than 512 */
	CANONICAL_SIZE = 512 + HOST_MAX + SECURITY_TOKEN_MAX + BINDING_SIZE,
	TO_SIGN_SIZE = 256
};

/* All that a signature is made of. */
struct signing {
	const struct role_credentials *credentials;
	const char *region, *host, *amz_date, *binding;
};

static bool sha256_hex(const char *text, char hex[HEX_SIZE(HASH_SIZE)])
{
	unsigned char hash[HASH_SIZE];

	if (!EVP_Digest(text, strlen(text), hash, NULL, EVP_sha256(), NULL))
		return false;
	hex_encode((struct bytes){ hash, HASH_SIZE }, hex);
	return true;
}

/* `mac` may be the key itself. */
static bool hmac(const unsigned char *key, size_t key_length, const char *text, unsigned char mac[HASH_SIZE])
{
	unsigned char made[HASH_SIZE];
	bool done = HMAC(EVP_sha256(), key, (int)key_length, (const unsigned char *)text, strlen(text), made,
			    NULL) != NULL;

	if (done)
		memcpy(mac, made, HASH_SIZE);
	OPENSSL_cleanse(made, sizeof(made));
	return done;
}

/* HMAC upon HMAC: day, region, service, and a word. */
static bool signing_key(const struct signing *signing, const char *day, unsigned char key[HASH_SIZE])
{
	char first[4 + sizeof(signing->credentials->secret_access_key)];
	bool made;

	snprintf(first, sizeof(first), "AWS4%s", signing->credentials->secret_access_key);
	made = hmac((const unsigned char *)first, strlen(first), day, key) &&
	       hmac(key, HASH_SIZE, signing->region, key) && hmac(key, HASH_SIZE, "sts", key) &&
	       hmac(key, HASH_SIZE, "aws4_request", key);
	OPENSSL_cleanse(first, sizeof(first));
	return made;
}

/* The hash of the canonical request; the header lines stand in the order of their names. */
static bool request_hash(const struct signing *signing, char hash[HEX_SIZE(HASH_SIZE)])
{
	char canonical[CANONICAL_SIZE], body[HEX_SIZE(HASH_SIZE)];
	int length;

	if (!sha256_hex(CALLER_IDENTITY_BODY, body))
		return false;
	length = snprintf(canonical, sizeof(canonical),
		"POST\n/"
		"\n\nhost:%s\nx-amz-date:%s\nx-amz-security-token:%s\nx-vouchsafe-binding:%"
		"s\n\n" CALLER_SIGNED_HEADERS "\n%s",
		signing->host, signing->amz_date, signing->credentials->session_token, signing->binding,
		body);
	return length > 0 && (size_t)length < sizeof(canonical) && sha256_hex(canonical, hash);
}

static bool signature_make(
	const struct signing *signing, const char *day, char signature[HEX_SIZE(HASH_SIZE)])
{
	char hash[HEX_SIZE(HASH_SIZE)], to_sign[TO_SIGN_SIZE];
	unsigned char key[HASH_SIZE], mac[HASH_SIZE];
	int length;
	bool made;

	if (!request_hash(signing, hash))
		return false;
	length = snprintf(to_sign, sizeof(to_sign), CALLER_ALGORITHM "\n%s\n%s/%s" CALLER_SCOPE_END "\n%s",
		signing->amz_date, day, signing->region, hash);
	made = length > 0 && (size_t)length < sizeof(to_sign) && signing_key(signing, day, key) &&
	       hmac(key, HASH_SIZE, to_sign, mac);
	OPENSSL_cleanse(key, sizeof(key));
	if (made)
		hex_encode((struct bytes){ mac, HASH_SIZE }, signature);
	return made;
}

static bool amz_date_encode(time_t when, char text[AMZ_DATE_SIZE])
{
	struct tm tm;

	return gmtime_r(&when, &tm) &&
	       strftime(text, AMZ_DATE_SIZE, "%Y%m%dT%H%M%SZ", &tm) == AMZ_DATE_SIZE - 1;
}

static bool authorization_make(const struct signing *signing, char text[AUTHORIZATION_SIZE])
{
	char day[9], signature[HEX_SIZE(HASH_SIZE)];
	int length;

	snprintf(day, sizeof(day), "%.8s", signing->amz_date);
	if (!signature_make(signing, day, signature))
		return false;
	length = snprintf(text, AUTHORIZATION_SIZE,
		CALLER_ALGORITHM " Credential=%s/%s/%s" CALLER_SCOPE_END
				 ", SignedHeaders=" CALLER_SIGNED_HEADERS ", Signature=%s",
		signing->credentials->access_key_id, day, signing->region, signature);
	return length > 0 && length < AUTHORIZATION_SIZE;
}

bool sigv4_sts_host(const char *region, char host[STS_HOST_SIZE])
{
	const struct aws_region *known = aws_region_find(region);
	int length;

	if (!known)
		return false;
	length = snprintf(host, STS_HOST_SIZE, "sts.%s.%s", known->name, known->dns_suffix);
	return length > 0 && length < STS_HOST_SIZE;
}

/* A name as it stands in a header line: no port, no blank, nothing to end the line with. */
static bool host_valid(const char *host)
{
	size_t length = strnlen(host, HOST_MAX + 1);

	return length > 0 && length <= HOST_MAX &&
	       strspn(host, "abcdefghijklmnopqrstuvwxyz0123456789.-") == length;
}

/* A challenge, a dot and a key's hash. */
static bool binding_valid(const char *binding)
{
	size_t length = strnlen(binding, BINDING_SIZE);

	return length > 0 && length < BINDING_SIZE &&
	       strspn(binding, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.") == length;
}

bool sigv4_sign_caller(const struct role_credentials *credentials, const char *region, const char *host,
	time_t now, struct caller_proof *proof)
{
	char amz_date[AMZ_DATE_SIZE], authorization[AUTHORIZATION_SIZE];
	struct signing signing = { credentials, region, host, amz_date, proof->binding };
	struct reason reason;

	return region_valid(region) && host_valid(host) && binding_valid(proof->binding) &&
	       amz_date_encode(now, amz_date) && authorization_make(&signing, authorization) &&
	       caller_proof_parse(authorization, amz_date, credentials->session_token, region, now, proof,
		       &reason) == OK;
}
