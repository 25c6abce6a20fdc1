#ifndef AWS_SIM_REGION_KEY_H
#define AWS_SIM_REGION_KEY_H
/* What each simulated region signs identity documents with: an RSA key of 2,048 bits and a certificate that
 * it signs itself, made on first use and kept in the state. Everything of it is the simulation's own. */
#include "tests/aws-sim/state.h"

#include <openssl/x509.h>

struct region_key {
	EVP_PKEY *key;
	X509 *certificate;
};

/* False: no memory. Close it in either case. */
bool region_key_open(struct state *, const char *region, struct region_key *);
void region_key_close(struct region_key *);

/* The verb of the control API: a new reference to region and pem, or NULL and *refusal. */
json_t *region_certificate(struct state *, const json_t *arguments, struct refusal *);

#endif
