#ifndef VAULT_CMS_SEAL_H
#define VAULT_CMS_SEAL_H
/* CMS AuthEnvelopedData (RFC 5083, RFC 5084) for one P-256 key: AES-256-GCM; ECDH with the X9.63 KDF over
 * SHA-256 and AES-256 key wrap (RFC 5753); the recipient named by subject key identifier (RFC 5280 4.2.1.2,
 * method 1). What is written goes into ciphertext at once; no copy of it stays behind. */
#include "verifier/outcome.h"

struct cms_seal;

enum { SPKI_P256 = 91 };

/* `spki`: the SubjectPublicKeyInfo, DER, of a point on P-256, not compressed. NULL where it is not, or memory
 * is out. */
struct cms_seal *cms_seal_new(struct bytes spki);
MUST_USE bool cms_seal_write(struct cms_seal *, struct bytes plain);
/* The DER; owned by the caller, freed by OPENSSL_free. */
MUST_USE bool cms_seal_finish(struct cms_seal *, unsigned char **der, size_t *length);
void cms_seal_free(struct cms_seal *);
/* Seals nothing, for nobody, so that OpenSSL loads what that takes. OpenSSL 3.0 that runs out of memory just
 * then does without that algorithm for as long as the process lives, and every seal would fail while the
 * canary opens: so this belongs into a member's start. False: memory was out. */
MUST_USE bool cms_seal_ready(void);

#endif
