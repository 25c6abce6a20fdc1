/* The three values of the caller's signed request to STS, each by one grammar with one spelling: they go into
 * header lines, and libcurl would pass a line break on. Everything that AWS would look at besides (host,
 * path, action, list of signed headers, scope) is compared with constants here, so that no value can mean
 * another request than ours. Must never repeat a value in a reason: they are as good as a credential for a
 * while. */
#include "verifier/caller.h"

#include "verifier/encoding.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define DIGITS "0123456789"

enum {
	KEY_ID_MIN = 16,
	KEY_ID_MAX = 128,
	SIGNATURE_DIGITS = 64,
	DATE_DIGITS = 8, /* of amz_date: the day */
	SKEW_MAX = 15 * 60 /* seconds: AWS's own limit */
};

void caller_binding(const char *challenge, const struct recipient *recipient, char text[BINDING_SIZE])
{
	int length = snprintf(text, CHALLENGE_SIZE + 1, "%.*s.", CHALLENGE_SIZE - 1, challenge);

	base64url_encode((struct bytes){ recipient->sha256, sizeof(recipient->sha256) }, text + length);
}

/* ---- the grammar: each takes its part off the front of *at, or says that it is not there */

static bool take_text(const char **at, const char *text)
{
	size_t length = strlen(text);

	if (strncmp(*at, text, length) != 0)
		return false;
	*at += length;
	return true;
}

static bool take_characters(const char **at, const char *allowed, size_t min, size_t max)
{
	size_t length = strspn(*at, allowed);

	if (length < min || length > max)
		return false;
	*at += length;
	return true;
}

static bool take_key_id(const char **at)
{
	/* role credentials are temporary; long-term keys begin with AKIA */
	return strncmp(*at, "ASIA", 4) == 0 && take_characters(at, UPPER DIGITS, KEY_ID_MIN, KEY_ID_MAX);
}

/* "/<day>/<region>/sts/aws4_request" */
static bool take_scope(const char **at, const char *amz_date, const char *region)
{
	char day[DATE_DIGITS + 1];

	snprintf(day, sizeof(day), "%s", amz_date);
	return take_text(at, "/") && take_text(at, day) && take_text(at, "/") && take_text(at, region) &&
	       take_text(at, CALLER_SCOPE_END);
}

/* NULL: it is all right; otherwise the clause that was broken. `amz_date` is good. */
static const char *authorization_wrong(const char *authorization, const char *amz_date, const char *region)
{
	const char *at = authorization;

	if (!take_text(&at, CALLER_ALGORITHM " Credential="))
		return "must begin with " CALLER_ALGORITHM " Credential=";
	if (!take_key_id(&at))
		return "the access key id must be of temporary credentials: ASIA...";
	if (!take_scope(&at, amz_date, region))
		return "the scope must be the day of x-amz-date, the asserted region, sts, aws4_request";
	if (!take_text(&at, ", SignedHeaders=" CALLER_SIGNED_HEADERS ", Signature="))
		return "SignedHeaders must be " CALLER_SIGNED_HEADERS;
	if (!take_characters(&at, DIGITS "abcdef", SIGNATURE_DIGITS, SIGNATURE_DIGITS) || *at != '\0')
		return "the signature must be 64 hexadecimal digits, and the end";
	return NULL;
}

/* "20260102T030405Z", a time that exists. */
static bool amz_date_decode(const char *text, long long *seconds)
{
	char spread[TIMESTAMP_SIZE];
	long long microseconds;

	if (strnlen(text, AMZ_DATE_SIZE) != AMZ_DATE_SIZE - 1 || text[8] != 'T' || text[15] != 'Z')
		return false;
	snprintf(spread, sizeof(spread), "%.4s-%.2s-%.2sT%.2s:%.2s:%.2sZ", text, text + 4, text + 6, text + 9,
		text + 11, text + 13);
	if (!timestamp_decode(spread, &microseconds))
		return false;
	*seconds = microseconds / 1000000;
	return true;
}

static bool token_valid(const char *token)
{
	return take_characters(&token, UPPER LOWER DIGITS "+/=", 1, SECURITY_TOKEN_MAX) && *token == '\0';
}

enum outcome caller_proof_parse(const char *authorization, const char *amz_date, const char *security_token,
	const char *region, time_t now, struct caller_proof *proof, struct reason *reason)
{
	const char *wrong;
	long long signed_at;

	if (!amz_date_decode(amz_date, &signed_at))
		return refused(reason, REASON_CALLER, "x-amz-date: must be a time as 20260102T030405Z");
	if (llabs(signed_at - (long long)now) > SKEW_MAX)
		return refused(reason, REASON_CALLER, "x-amz-date: must be within 15 minutes of now");
	wrong = authorization_wrong(authorization, amz_date, region);
	if (wrong)
		return refused(reason, REASON_CALLER, "authorization: %s", wrong);
	if (!token_valid(security_token))
		return refused(reason, REASON_CALLER,
			"x-amz-security-token: must be 1 to %d of A-Z a-z 0-9 + / =", SECURITY_TOKEN_MAX);
	/* each fits: the grammar has bounds */
	snprintf(proof->authorization, sizeof(proof->authorization), "%s", authorization);
	snprintf(proof->amz_date, sizeof(proof->amz_date), "%s", amz_date);
	snprintf(proof->security_token, sizeof(proof->security_token), "%s", security_token);
	return OK;
}
