/* Challenges: made and checked by the one MAC, under a key that serves nothing else, so that there is nothing
 * to remember. Must never say of what is not ours more than that, nor compare a MAC in a time that depends on
 * it. */
#include "verifier/challenge.h"

#include "verifier/encoding.h"
#include "verifier/reasons.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

enum {
	VERSION = 1,
	TIME_AT = 1, /* 8 bytes, seconds since 1970, big-endian */
	RANDOM_AT = TIME_AT + 8,
	MAC_AT = RANDOM_AT + CHALLENGE_RANDOM,
	MAC_SIZE = 30, /* of HMAC-SHA256's 32 */
	BYTES = MAC_AT + MAC_SIZE
};

_Static_assert((BYTES * 8 + 5) / 6 + 1 == CHALLENGE_SIZE, "a challenge's text");

/* Over all that stands before it. False: memory. */
static bool mac_make(const unsigned char key[CHALLENGE_KEY_SIZE], const unsigned char *bytes,
	unsigned char mac[EVP_MAX_MD_SIZE])
{
	return HMAC(EVP_sha256(), key, CHALLENGE_KEY_SIZE, bytes, MAC_AT, mac, NULL) != NULL;
}

static void time_put(unsigned char *to, time_t when)
{
	for (int i = 0; i < 8; i++)
		to[i] = (unsigned char)((unsigned long long)when >> (56 - 8 * i));
}

static long long time_get(const unsigned char *from)
{
	unsigned long long when = 0;

	for (int i = 0; i < 8; i++)
		when = when << 8 | from[i];
	return (long long)when;
}

bool challenge_make(const unsigned char key[CHALLENGE_KEY_SIZE], time_t now,
	const unsigned char random[CHALLENGE_RANDOM], char text[CHALLENGE_SIZE])
{
	unsigned char bytes[BYTES] = { VERSION }, mac[EVP_MAX_MD_SIZE];

	time_put(bytes + TIME_AT, now);
	memcpy(bytes + RANDOM_AT, random, CHALLENGE_RANDOM);
	if (!mac_make(key, bytes, mac))
		return false;
	memcpy(bytes + MAC_AT, mac, MAC_SIZE);
	base64url_encode((struct bytes){ bytes, BYTES }, text);
	return true;
}

enum outcome challenge_verify(
	const unsigned char key[CHALLENGE_KEY_SIZE], time_t now, const char *text, struct reason *reason)
{
	unsigned char bytes[BYTES], mac[EVP_MAX_MD_SIZE];
	size_t length = sizeof(bytes);
	long long made;

	if (strnlen(text, CHALLENGE_SIZE) != CHALLENGE_SIZE - 1 ||
		!base64url_decode(text, CHALLENGE_SIZE - 1, bytes, &length) || length != BYTES ||
		bytes[0] != VERSION)
		return refused(reason, REASON_CHALLENGE, "challenge: is not of its form");
	if (!mac_make(key, bytes, mac))
		return fault(reason, REASON_INTERNAL, "challenge: out of memory");
	if (CRYPTO_memcmp(mac, bytes + MAC_AT, MAC_SIZE) != 0)
		return refused(reason, REASON_CHALLENGE, "challenge: is none of ours");
	/* ours from here on: the sums cannot overflow */
	made = time_get(bytes + TIME_AT);
	if (made > now + CHALLENGE_AHEAD)
		return refused(reason, REASON_CHALLENGE, "challenge: is of a time to come");
	if (made + CHALLENGE_SECONDS <= now)
		return refused(reason, REASON_CHALLENGE, "challenge: is over");
	return OK;
}
