#ifndef VERIFIER_PROOF_H
#define VERIFIER_PROOF_H
/* All that can be checked offline, before anyone asks AWS: the peer's address, and the evidence that the rule
 * demands. Evidence that it does not demand is not looked at. */
#include "verifier/caller.h"
#include "verifier/claims.h"
#include "verifier/document.h"
#include "verifier/recipient.h"
#include "verifier/request.h"

/* What the policy's rule demands; filled in by policy_admit, so that neither this folder nor aws/ needs to
 * know a policy. */
struct demand {
	bool document; /* evidence "identity-document" */
	bool caller; /* evidence "caller-identity" */
	bool public_address; /* the peer is the instance's public address ("address": "public") */
	bool first_label_hostname; /* compare local-hostname up to its first dot ("hostnames": "first-label")
				    */
};

/* What is to be proved, and by what. All borrowed. */
struct question_offline {
	const struct anchors *anchors;
	const struct demand *demand;
	const struct assertion *assertion;
	const struct recipient *recipient;
	const struct evidence *evidence;
	struct in_addr peer;
	time_t now;
};

/* What was proved. Owned; NULL where it was not demanded. */
struct proof {
	struct document *document;
	struct caller_proof *caller; /* well-formed and bound to the key; whether it is true STS says */
};
void proof_clear(struct proof *);

/* The signature of the document, the challenge's age, the form of the caller's proof. REFUSED:
 * REASON_CHALLENGE (the caller may fetch another), REASON_EVIDENCE_MISSING, REASON_DOCUMENT, REASON_CALLER.
 */
MUST_USE enum outcome proof_verify(const struct question_offline *, struct proof *, struct reason *);

/* What is compared with the assertion without asking anybody. All borrowed. */
struct comparison {
	const struct demand *demand;
	const struct assertion *assertion;
	const struct document *document; /* NULL: none was demanded */
	struct in_addr peer;
	/* With a public address only EC2 can tell the peer's: NULL before it was asked (no check then), ""
	 * where it gave none. */
	const char *public_address;
};

/* Adds the checks of peer and document against the assertion. */
void proof_compare(struct claims *, const struct comparison *);

#endif
