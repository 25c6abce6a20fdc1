/* From a token or a certificate to an entry of audit_access. Must never take the one for the other. */
#include "server/access.h"

#include "server/client_trust.h"
#include "server/config.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <string.h>

const struct audit_access *access_by_token(const struct config *config, const char *authorization)
{
	static const char scheme[] = "Bearer ";
	const struct audit_access *found = NULL;
	unsigned char hash[32];
	const char *token;
	unsigned i;

	if (strncmp(authorization, scheme, sizeof(scheme) - 1) != 0)
		return NULL;
	token = authorization + sizeof(scheme) - 1;
	if (!EVP_Digest(token, strlen(token), hash, NULL, EVP_sha256(), NULL))
		return NULL;
	for (i = 0; i < config->n_access; i++) {
		const struct audit_access *access = &config->access[i];
		bool same = CRYPTO_memcmp(access->token_sha256, hash, sizeof(hash)) == 0;

		if (same && !access->by_certificate && !found)
			found = access;
	}
	return found;
}

const struct audit_access *access_by_certificate(const struct config *config, struct client_trust *trust,
	const struct bytes chain[], size_t n, time_t now)
{
	const struct audit_access *found = NULL;
	struct reason reason;
	X509 *leaf;
	unsigned i;

	leaf = trust ? client_trust_verify(trust, chain, n, now, &reason) : NULL;
	for (i = 0; leaf && !found && i < config->n_access; i++) {
		const struct audit_access *access = &config->access[i];

		if (access->by_certificate && certificate_rule_matches(&access->certificate, leaf))
			found = access;
	}
	X509_free(leaf);
	return found;
}
