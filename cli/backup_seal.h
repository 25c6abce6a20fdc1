#ifndef CLI_BACKUP_SEAL_H
#define CLI_BACKUP_SEAL_H
/* CMS AuthEnvelopedData (RFC 5083, RFC 5084) around a piece of a backup, for operators' certificates:
 * AES-256-GCM; EC keys by ECDH with the X9.63 KDF over SHA-256 (RFC 5753), RSA keys by OAEP with SHA-256 (RFC
 * 3560), never by PKCS #1 v1.5. Any piece opens with `openssl cms -decrypt -inform DER -inkey`. */
#include "verifier/outcome.h"

enum { RECIPIENTS_MAX = 16 };

struct recipients;

/* Reads certificates in PEM, one from each file: EC on a curve of at least 256 bits, or RSA of at least 2048.
 * NULL: the complaint names the file and the mend. A certificate that has expired is taken: it is the key
 * that counts. */
struct recipients *recipients_load(const char *const paths[], unsigned n, struct complaint *);
void recipients_free(struct recipients *);
/* The certificates' SHA-256, "a, b", cut to the room. */
void recipients_name(const struct recipients *, char *text, size_t size);

/* The DER; owned by the caller, freed by OPENSSL_free. */
MUST_USE bool piece_seal(const struct recipients *, struct bytes plain, unsigned char **der, size_t *length);

struct operator_key;

/* A private key in PEM; one that has a passphrase asks for it on the terminal. NULL: the complaint. */
struct operator_key *operator_key_load(const char *path, struct complaint *);
void operator_key_free(struct operator_key *);

/* *length: in the room, out how much it was. False: not for this key, not of that form, or changed; then
 * nothing of what is in `plain` may be used. */
MUST_USE bool piece_open(const struct operator_key *, struct bytes der, unsigned char *plain, size_t *length);

#endif
