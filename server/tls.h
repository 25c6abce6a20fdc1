#ifndef SERVER_TLS_H
#define SERVER_TLS_H
/* A listener's certificate and key, and what a client shows of its own. The only place that knows GnuTLS,
 * which is what libmicrohttpd speaks TLS with: 1.2 and 1.3, forward secret, AEAD. */
#include "server/config.h"

struct tls;

enum { TLS_CHAIN_MAX = 8, TLS_LISTENERS = 2 };

/* Of GnuTLS' priority strings, for the daemon that speaks it. */
extern const char tls_priorities[];

/* Loads certificate (with what leads to its CA, PEM) and key; a client is asked for a certificate where the
 * files name a CA for clients. At most TLS_LISTENERS at once. NULL with a complaint that names the mend. */
struct tls *tls_open(const struct tls_files *, struct complaint *);
/* The same files anew, for handshakes from now on; those under way end with what they began with. False, with
 * a complaint: the old pair stays. */
MUST_USE bool tls_reload(struct tls *, struct complaint *);
/* No handshake may be under way. */
void tls_close(struct tls *);
/* When the certificate ends, seconds since 1970. */
long long tls_not_after(struct tls *);

/* What libmicrohttpd takes as MHD_OPTION_HTTPS_CERT_CALLBACK2. */
void *tls_certificate_callback(struct tls *);
/* `session`: libmicrohttpd's MHD_CONNECTION_INFO_GNUTLS_SESSION. The certificates that the client has shown,
 * its own first, in DER; it has proved to hold that one's key, nothing else is checked yet. They live as long
 * as the session. Returns how many; 0: none, or more than TLS_CHAIN_MAX. */
size_t tls_peer_chain(void *session, struct bytes chain[TLS_CHAIN_MAX]);

#endif
