/* Keys derived from the node key: the only secrets that vouchsafed holds. Must never print them, nor compare
 * a MAC in time that tells where it differs. */
#include "vault/node_key.h"
#include "verifier/encoding.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/kdf.h>

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { KEY = 32 };

struct node_key {
	bool on_page; /* a locked page of its own: the process has no secure heap */
	unsigned char acknowledgement[KEY], cursor[KEY], challenge[KEY];
};

static struct node_key *locked_new(struct complaint *complaint)
{
	struct node_key *keys;

	if (CRYPTO_secure_malloc_initialized()) {
		keys = OPENSSL_secure_zalloc(sizeof(*keys));
		if (keys == NULL)
			complain(complaint, "locked memory is out");
		return keys;
	}
	keys = mmap(NULL, sizeof(*keys), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (keys == MAP_FAILED) {
		complain(complaint, "memory is out");
		return NULL;
	}
	if (mlock(keys, sizeof(*keys)) != 0 || madvise(keys, sizeof(*keys), MADV_DONTDUMP) != 0) {
		complain(complaint,
			"the node key cannot be locked in memory: %s; raise RLIMIT_MEMLOCK (LimitMEMLOCK=)",
			strerror(errno));
		munmap(keys, sizeof(*keys));
		return NULL;
	}
	keys->on_page = true;
	return keys;
}

void node_key_free(struct node_key *keys)
{
	if (keys == NULL)
		return;
	if (!keys->on_page) {
		OPENSSL_secure_clear_free(keys, sizeof(*keys));
		return;
	}
	OPENSSL_cleanse(keys, sizeof(*keys));
	munmap(keys, sizeof(*keys));
}

static bool derive(EVP_KDF_CTX *kdf, const unsigned char key[KEY], const char *info, unsigned char out[KEY])
{
	OSSL_PARAM parameters[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)"SHA2-256", 0),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)key, KEY),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)info, strlen(info)),
		OSSL_PARAM_construct_end(),
	};

	EVP_KDF_CTX_reset(kdf);
	return EVP_KDF_derive(kdf, out, KEY, parameters) > 0;
}

struct node_key *node_key_new(const unsigned char key[32], struct complaint *complaint)
{
	struct node_key *keys = locked_new(complaint);
	EVP_KDF *hkdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
	EVP_KDF_CTX *kdf = hkdf != NULL ? EVP_KDF_CTX_new(hkdf) : NULL;

	if (keys != NULL && (kdf == NULL || !derive(kdf, key, "vouchsafe ack v1", keys->acknowledgement) ||
				    !derive(kdf, key, "vouchsafe cursor v1", keys->cursor) ||
				    !derive(kdf, key, "vouchsafe challenge v1", keys->challenge))) {
		complain(complaint, "the node's keys cannot be derived");
		node_key_free(keys);
		keys = NULL;
	}
	EVP_KDF_CTX_free(kdf);
	EVP_KDF_free(hkdf);
	return keys;
}

static bool mac_of(const unsigned char key[KEY], struct bytes data, unsigned char mac[KEY])
{
	unsigned length = 0;

	return HMAC(EVP_sha256(), key, KEY, data.data, data.length, mac, &length) != NULL && length == KEY;
}

bool node_key_acknowledgement(
	const struct node_key *keys, const char *release_id, char text[ACKNOWLEDGEMENT_SIZE])
{
	unsigned char mac[KEY];

	if (!mac_of(keys->acknowledgement,
		    (struct bytes){ (const unsigned char *)release_id, strlen(release_id) }, mac))
		return false;
	base64url_encode((struct bytes){ mac, sizeof(mac) }, text);
	OPENSSL_cleanse(mac, sizeof(mac));
	return true;
}

const unsigned char *node_key_challenge(const struct node_key *keys)
{
	return keys->challenge;
}

bool node_key_cursor_mac(const struct node_key *keys, struct bytes cursor, unsigned char mac[32])
{
	return mac_of(keys->cursor, cursor, mac);
}
