/* The agent's key. Must never be replaced while it may be the one that the server knows, nor be on disk half
 * written; its private half stays in the secure heap. */
#include "agent/key.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <string.h>

enum { KEY_PEM_MAX = 1024 }; /* P-256: 241 bytes */

void key_clear(struct key *key)
{
	EVP_PKEY_free(key->pair);
	*key = (struct key){ 0 };
}

/* A key that is encrypted is none of ours; without this OpenSSL asks the console for a passphrase, and the
 * boot waits for somebody to type. */
static int no_passphrase(char *text, int size, int writing, void *context)
{
	(void)text;
	(void)size;
	(void)writing;
	(void)context;
	return -1;
}

/* Exactly one PEM block. */
static EVP_PKEY *pair_parse(struct bytes pem)
{
	BIO *bio = BIO_new_mem_buf(pem.data, (int)pem.length);
	EVP_PKEY *pair = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL) : NULL;
	bool whole = pair && BIO_pending(bio) == 0;

	BIO_free(bio);
	if (whole)
		return pair;
	EVP_PKEY_free(pair);
	return NULL;
}

static bool key_unusable(const struct folder *state, struct complaint *complaint)
{
	return complain(complaint,
		"%s/%s: not a private key of EC P-256 in PEM; remove it if this instance has had no release "
		"yet, "
		"else have it re-armed",
		state->path, KEY_FILE);
}

/* AGENT_DONE with *pair NULL: there is none yet. */
static enum agent_exit pair_load(struct folder *state, EVP_PKEY **pair, struct complaint *complaint)
{
	enum agent_exit status = AGENT_FAULT;
	struct bytes pem = { 0 };
	unsigned char *text = OPENSSL_secure_malloc(KEY_PEM_MAX);

	*pair = NULL;
	if (!text) {
		complain(complaint, "out of memory");
		return AGENT_FAULT;
	}
	switch (folder_read(state, KEY_FILE, text, KEY_PEM_MAX, &pem.length, complaint)) {
	case OK:
		pem.data = text;
		*pair = pair_parse(pem);
		status = *pair || key_unusable(state, complaint) ? AGENT_DONE : AGENT_CONFIGURATION;
		break;
	case REFUSED:
		status = AGENT_DONE;
		break;
	default:
		status = AGENT_CONFIGURATION;
	}
	OPENSSL_secure_clear_free(text, KEY_PEM_MAX);
	return status;
}

static bool pair_store(struct folder *state, EVP_PKEY *pair, struct complaint *complaint)
{
	BIO *bio = BIO_new(BIO_s_secmem());
	struct file file = { .name = KEY_FILE };
	char *text = NULL;
	bool stored = false;

	if (!bio || PEM_write_bio_PrivateKey(bio, pair, NULL, NULL, 0, NULL, NULL) != 1) {
		complain(complaint, "the new key could not be encoded");
		goto out;
	}
	file.bytes.length = (size_t)BIO_get_mem_data(bio, &text);
	file.bytes.data = (unsigned char *)text;
	stored = folder_write(state, &file, 1, complaint);
out:
	BIO_free(bio);
	return stored;
}

/* The request that carries the public half: no name in it, since the server would not look at one. */
static X509_REQ *request_make(EVP_PKEY *pair)
{
	X509_REQ *request = X509_REQ_new();

	if (request && X509_REQ_set_version(request, X509_REQ_VERSION_1) &&
		X509_REQ_set_pubkey(request, pair) && X509_REQ_sign(request, pair, EVP_sha256()) > 0)
		return request;
	X509_REQ_free(request);
	return NULL;
}

static bool request_encode(X509_REQ *request, char csr[CSR_PEM_MAX])
{
	BIO *bio = BIO_new(BIO_s_mem());
	bool encoded = false;

	if (bio && PEM_write_bio_X509_REQ(bio, request) == 1) {
		int length = BIO_read(bio, csr, CSR_PEM_MAX - 1);

		encoded = length > 0 && BIO_pending(bio) == 0;
		csr[encoded ? length : 0] = '\0';
	}
	BIO_free(bio);
	return encoded;
}

/* Read back as the server will read it: also the check that this is P-256, and that both halves belong
 * together. */
static bool request_fill(struct key *key)
{
	X509_REQ *request = request_make(key->pair);
	struct reason reason = { 0 };
	bool filled = request && request_encode(request, key->csr) &&
		      recipient_parse(key->csr, strlen(key->csr), &key->recipient, &reason) == OK;

	X509_REQ_free(request);
	return filled;
}

static enum agent_exit key_make(struct folder *state, struct key *key, struct complaint *complaint)
{
	key->pair = EVP_EC_gen("P-256");
	if (!key->pair || !request_fill(key)) {
		complain(complaint, "no key could be made");
		return AGENT_FAULT;
	}
	return pair_store(state, key->pair, complaint) ? AGENT_DONE : AGENT_GAVE_UP;
}

enum agent_exit key_keep(struct folder *state, struct key *key, struct complaint *complaint)
{
	enum agent_exit status;

	*key = (struct key){ 0 };
	status = pair_load(state, &key->pair, complaint);
	key->kept = key->pair != NULL;
	if (key->kept && !request_fill(key)) {
		key_unusable(state, complaint);
		status = AGENT_CONFIGURATION;
	} else if (status == AGENT_DONE && !key->kept) {
		status = key_make(state, key, complaint);
	}
	ERR_clear_error();
	if (status != AGENT_DONE)
		key_clear(key);
	return status;
}

bool key_forget(struct folder *state, struct complaint *complaint)
{
	return folder_remove(state, KEY_FILE, complaint);
}
