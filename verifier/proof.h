#ifndef VERIFIER_PROOF_H
#define VERIFIER_PROOF_H
/* All that can be checked offline, before anyone asks AWS. */
#include "verifier/claims.h"

/* What the policy's rule demands of the evidence; filled in by policy_admit, so that neither this folder nor
 * aws/ needs to know a policy. */
struct demand {
	bool document; /* evidence "identity-document" */
	bool caller; /* evidence "caller-identity" */
	bool public_address; /* the peer is the instance's public address ("address": "public") */
	bool first_label_hostname; /* compare local-hostname up to its first dot ("hostnames": "first-label")
				    */
};

/* Does the peer's address fit source-ip? With a public address only EC2 can say, so that is left to the
 * confirmation and this is OK. REFUSED with the reason CHECK_PEER_ADDRESS otherwise. */
MUST_USE enum outcome proof_verify(
	const struct demand *, const struct assertion *, struct in_addr peer, struct reason *);

/* The same comparison as a check on the claims; `public_address` is EC2's, "" where it gave none. */
void proof_check_peer(struct claims *, const struct demand *, const struct assertion *, struct in_addr peer,
	const char *public_address);

#endif
