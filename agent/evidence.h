#ifndef AGENT_EVIDENCE_H
#define AGENT_EVIDENCE_H
/* What a request for a release carries besides the assertion, to be believed for its own sake. */
#include "agent/exits.h"
#include "agent/imds.h"
#include "verifier/assertion.h"
#include "verifier/recipient.h"

/* For whom. All borrowed. */
struct evidence_question {
	const struct imds *imds;
	const struct assertion *assertion;
	const struct recipient *recipient; /* the key that the proof is to mean */
	const char *challenge; /* shorter than CHALLENGE_SIZE */
	time_t now;
	bool patient; /* an instance that shows no role may have one yet: ask again */
};

/* Reads the signed identity document and the role's credentials from the metadata service, always anew, for
 * they rotate; signs the proof of the caller; wipes the credentials. *evidence: a new reference to the
 * request's member "evidence", without what the instance has not got: no document, no role, or a region whose
 * STS this version does not know. AGENT_DONE; AGENT_GAVE_UP: no answer, credentials that are of no use
 * just now, or, where one is patient, no role yet; AGENT_CONFIGURATION: the instance holds another role than
 * the asserted one; AGENT_FAULT: memory. */
MUST_USE enum agent_exit evidence_read(
	const struct evidence_question *, json_t **evidence, struct complaint *);

#endif
