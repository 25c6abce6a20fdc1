#ifndef SERVER_CLIENT_TRUST_H
#define SERVER_CLIENT_TRUST_H
/* Whose client certificates count: the authorities of client_ca, less what client_crl has revoked. Path
 * validation is OpenSSL's (RFC 5280 section 6), for the purpose of a TLS client, at security level 2 (112
 * bits: no RSA below 2,048, no SHA-1). Asks no network: no OCSP, no missing issuer fetched. */
#include "verifier/outcome.h"

#include <openssl/types.h>
#include <time.h>

enum {
	CLIENT_CHAIN_MAX = 8, /* certificates that a peer may show */
	CLIENT_CERTIFICATE_MAX = 16384, /* bytes of each */
	CLIENT_AUTHORITIES_MAX = 64, /* in client_ca; as many lists in client_crl */
	CLIENT_FILE_MAX = 1 << 20 /* bytes of each file */
};

struct tls_files;
struct client_trust;

/* Reads client_ca, and client_crl where there is one: PEM, one block behind the other, of one kind. Every
 * block has to be good, every certificate an authority's (basicConstraints) with a key that is strong
 * enough, at least one of them a root.
 * With client_crl there has to be a list of each authority in client_ca. What has expired is loaded: see
 * client_trust_ends. The caller owns it; to load anew, load a second one and free the first when nobody
 * uses it any more. NULL: the complaint says why. */
struct client_trust *client_trust_load(const struct tls_files *, struct complaint *);
void client_trust_free(struct client_trust *);

/* When the first of the authorities and lists is over, in seconds since 1970: for warnings. */
time_t client_trust_ends(const struct client_trust *);

/* The certificates in DER as the peer has shown them, its own first. Good is: up to a root of client_ca; the
 * first one version 3, no authority, and for TLS clients (or for nothing in particular: no extended key
 * usage); all of them valid at `now`; and with client_crl each one on no list of its issuer, which has to be
 * there and valid at `now` too: also for issuers in between. Returns the first certificate, the caller's to
 * X509_free; NULL: the reason says why (text for the log alone). Any thread, many at once. */
X509 *client_trust_verify(
	struct client_trust *, const struct bytes chain[], size_t n, time_t now, struct reason *);

#endif
