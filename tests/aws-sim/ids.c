/* Ids in AWS's forms and opaque tokens (page markers, metadata tokens): a number and its HMAC under a
 * key that lives as long as the process. What it calls secret is so in the simulation alone. */
#include "tests/aws-sim/ids.h"

#include <endian.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

enum { KEY_SIZE = 32, NUMBER_SIZE = 8, MAC_SIZE = 32, SEALED_SIZE = NUMBER_SIZE + MAC_SIZE };

static unsigned char token_key[KEY_SIZE];
static bool token_key_made;
static pthread_once_t token_key_once = PTHREAD_ONCE_INIT;

static bool id_letters(char id[ID_SIZE], const char *prefix, unsigned n, const char *alphabet)
{
	size_t at = strlen(prefix), letters = strlen(alphabet);
	unsigned char random[ID_SIZE];

	if (at + n >= ID_SIZE || RAND_bytes(random, (int)n) != 1)
		return false;
	memcpy(id, prefix, at);
	for (unsigned i = 0; i < n; i++)
		id[at + i] = alphabet[random[i] % letters];
	id[at + n] = '\0';
	return true;
}

bool id_hex(char id[ID_SIZE], const char *prefix, unsigned digits)
{
	return id_letters(id, prefix, digits, "0123456789abcdef");
}

bool id_capitals(char id[ID_SIZE], const char *prefix, unsigned letters)
{
	return id_letters(id, prefix, letters, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567");
}

bool id_uuid(char id[ID_SIZE])
{
	unsigned char r[16];

	if (RAND_bytes(r, sizeof r) != 1)
		return false;
	snprintf(id, ID_SIZE, "%02x%02x%02x%02x-%02x%02x-4%01x%02x-a%01x%02x-%02x%02x%02x%02x%02x%02x", r[0],
		r[1], r[2], r[3], r[4], r[5], r[6] & 15u, r[7], r[8] & 15u, r[9], r[10], r[11], r[12], r[13],
		r[14], r[15]);
	return true;
}

bool id_mac(char id[ID_SIZE])
{
	unsigned char r[5];

	if (RAND_bytes(r, sizeof r) != 1)
		return false;
	snprintf(id, ID_SIZE, "0a:%02x:%02x:%02x:%02x:%02x", r[0], r[1], r[2], r[3], r[4]);
	return true;
}

bool secret_make(char secret[SECRET_SIZE])
{
	unsigned char random[(SECRET_SIZE - 1) / 4 * 3];

	return RAND_bytes(random, sizeof random) == 1 &&
	       EVP_EncodeBlock((unsigned char *)secret, random, sizeof random) == SECRET_SIZE - 1;
}

bool session_token_make(char token[SESSION_TOKEN_SIZE])
{
	static const char begin[] = "\x21\x0a\x09origin_ec";
	enum { LONGEST = (SESSION_TOKEN_SIZE - 1) / 4 * 3, SHORTEST = LONGEST / 3 * 2 };
	unsigned char random[LONGEST];
	unsigned more;

	if (RAND_bytes(random, sizeof random) != 1)
		return false;
	more = (random[0] * 256u + random[1]) % (LONGEST - SHORTEST + 1);
	memcpy(random, begin, sizeof begin - 1);
	EVP_EncodeBlock((unsigned char *)token, random, (int)(SHORTEST + more));
	return true;
}

static void token_key_make(void)
{
	token_key_made = RAND_bytes(token_key, sizeof token_key) == 1;
}

static bool token_mac(const char *kind, const char *subject, const unsigned char number[NUMBER_SIZE],
	unsigned char mac[MAC_SIZE])
{
	char text[512];
	unsigned length = MAC_SIZE;
	int used;

	pthread_once(&token_key_once, token_key_make);
	if (!token_key_made)
		return false;
	used = snprintf(text, sizeof text - NUMBER_SIZE, "%s\n%s\n", kind, subject);
	if (used < 0 || (size_t)used >= sizeof text - NUMBER_SIZE)
		return false;
	memcpy(text + used, number, NUMBER_SIZE);
	return HMAC(EVP_sha256(), token_key, KEY_SIZE, (unsigned char *)text, (size_t)used + NUMBER_SIZE, mac,
		&length);
}

bool token_make(char token[TOKEN_SIZE], const char *kind, const char *subject, uint64_t number)
{
	unsigned char sealed[SEALED_SIZE];
	uint64_t big = htobe64(number);

	memcpy(sealed, &big, NUMBER_SIZE);
	if (!token_mac(kind, subject, sealed, sealed + NUMBER_SIZE))
		return false;
	EVP_EncodeBlock((unsigned char *)token, sealed, SEALED_SIZE);
	return true;
}

bool token_open(const char *token, const char *kind, const char *subject, uint64_t *number)
{
	unsigned char sealed[SEALED_SIZE + 2], mac[MAC_SIZE];
	uint64_t big;

	/* EVP_DecodeBlock counts the padding as bytes: 42 for our 40. */
	if (strlen(token) != TOKEN_SIZE - 1 ||
		EVP_DecodeBlock(sealed, (const unsigned char *)token, TOKEN_SIZE - 1) != SEALED_SIZE + 2)
		return false;
	if (!token_mac(kind, subject, sealed, mac) || CRYPTO_memcmp(mac, sealed + NUMBER_SIZE, MAC_SIZE))
		return false;
	memcpy(&big, sealed, NUMBER_SIZE);
	*number = be64toh(big);
	return true;
}
