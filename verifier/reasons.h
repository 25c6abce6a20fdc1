#ifndef VERIFIER_REASONS_H
#define VERIFIER_REASONS_H
/* Stable reason codes. They stand in audit events, logs and metrics; server/answer.c maps them to HTTP.
 * A denial by a check carries the check's own name as its code (checks.h). */

#define REASON_MALFORMED "malformed"
#define REASON_EVIDENCE_MISSING "evidence-missing" /* the rule demands evidence that was not sent */
#define REASON_NO_RULE "no-rule" /* no rule of the policy matches role, account and region */
#define REASON_NOT_VISIBLE_YET "not-visible-yet" /* EC2 is eventually consistent: ask again */
#define REASON_UPSTREAM "upstream-unavailable" /* AWS did not answer, throttled, or answered nonsense */
#define REASON_STORE "store-unavailable"
#define REASON_VAULT "vault-unavailable"
#define REASON_SECRET_MISSING "secret-missing" /* the rule names a secret that nobody has stored */
#define REASON_RULE_HELD "rule-held" /* beyond the rule's max_per_hour: ask again */
#define REASON_ALREADY_RELEASED "already-released" /* another key has had this instance's release */
#define REASON_ALREADY_COLLECTED                                                                             \
	"already-collected" /* this key has acknowledged, and its retry window is over */
#define REASON_NOT_FOUND "not-found"
#define REASON_OVERLOADED "overloaded"
#define REASON_DRAINING "draining"
#define REASON_INTERNAL "internal"

#endif
