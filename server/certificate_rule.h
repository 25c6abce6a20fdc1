#ifndef SERVER_CERTIFICATE_RULE_H
#define SERVER_CERTIFICATE_RULE_H
/* What a client certificate has to say for its holder to be somebody. Everything that a rule gives has to
 * match; "" is not given. The certificate is one that client_trust.h has verified: here are names alone.
 *
 * Names of the subjectAltName (RFC 5280 section 4.2.1.6) and never the subject's CN (RFC 9525 section 2);
 * one that holds a NUL is no match for anything.
 * dns: without regard to ASCII case. "*." may stand in front of at least two labels of the rule, for exactly
 *   one whole label that is no A-label ("xn--"); a wildcard of the certificate's own matches no rule.
 * email: the local part exactly, the domain without regard to ASCII case.
 * uri: exactly, byte for byte.
 * issuer, subject: the whole name, in its order, in the form of RFC 2253 and 4514 as `openssl x509 -nameopt
 *   RFC2253` prints it, byte for byte. A name with a set of several attributes ("+"), or with a value that is
 *   no UTF8String, PrintableString or IA5String, matches nothing. */
#include "verifier/outcome.h"

#include <openssl/types.h>

enum { DN_SIZE = 513, DNS_SIZE = 256, EMAIL_SIZE = 255, URI_SIZE = 513 };

struct certificate_rule {
	char issuer[DN_SIZE], subject[DN_SIZE];
	char dns[DNS_SIZE]; /* "tester.audit.example.com", "*.audit.example.com" */
	char email[EMAIL_SIZE];
	char uri[URI_SIZE];
};

/* False also where memory is out. Any thread. */
MUST_USE bool certificate_rule_matches(const struct certificate_rule *, const X509 *);

#endif
