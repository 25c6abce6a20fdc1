#ifndef POLICY_POLICY_H
#define POLICY_POLICY_H
/* The policy: which roles may have which secrets, on what evidence. Immutable once loaded; counted, so that
 * each request keeps the snapshot it began with. Both decisions are pure: no clock, no disk, no log. */
#include "verifier/claims.h"
#include "verifier/proof.h"

enum { SECRETS_MAX = 16, POLICY_BYTES_MAX = 4 << 20 };
enum {
	LAUNCH_WINDOW_MAX = 24 * 3600 * 1000
}; /* milliseconds: no rule may have a longer one, nor retry_window */

struct policy;
struct rule; /* borrowed from its policy */

/* Loads a policy file (DESIGN.md section 9) from its bytes; `name` is what complaints call it. NULL: the
 * complaint names file, line, column and the mend. The caller owns one reference. */
struct policy *policy_load(const char *name, struct bytes text, struct complaint *);
/* The same, and tells of each test in the file (policy_load tells of the first that fails). False: the file
 * cannot be loaded, or a test failed. */
struct policy_test;
MUST_USE bool policy_test(const char *name, struct bytes text,
	void (*told)(void *context, const struct policy_test *), void *context, struct complaint *);
struct policy *policy_dup(struct policy *);
void policy_free(struct policy *);

/* SHA-256 of the file's bytes, lower-case hexadecimal. */
const char *policy_sha256(const struct policy *);
size_t policy_rules(const struct policy *);
const struct rule *policy_rule(const struct policy *, size_t i);
const char *rule_name(const struct rule *);
const char *rule_role(const struct rule *);
bool rule_unbound_key(const struct rule *);
bool rule_demands_document(const struct rule *);
/* The rule's accounts, regions and secrets: element i, NULL after the last. */
const char *rule_account(const struct rule *, size_t i);
const char *rule_region(const struct rule *, size_t i);
const char *rule_secret(const struct rule *, size_t i);
/* Is `complaint` worth a warning to whoever wrote the policy? (a rule bound by nothing but users' tags, ...)
 * Calls `warn` once for each. */
void policy_warnings(const struct policy *, void (*warn)(void *context, const char *text), void *context);

struct decision {
	const struct rule *rule;
	bool first_use_allowed; /* launch window open and original boot: counts for a first use only */
	bool once_per_launch;
	unsigned max_per_hour; /* first uses of this rule; 0: no bound */
	long long retry_window; /* milliseconds after the grant */
	size_t n_secrets;
	const char *secrets[SECRETS_MAX]; /* names, in the rule's order; borrowed from the rule */
};

/* Before any proof and any call: is there a rule for this role, account and region, and what does it demand?
 * OK or REFUSED (REASON_NO_RULE). */
MUST_USE enum outcome policy_admit(const struct policy *, const struct assertion *, const struct rule **,
	struct demand *, struct reason *);

/* Adds its checks to the claims' list and decides on all of them; never stops at the first that fails.
 * REFUSED: the reason is the first failed check's name. UNAVAILABLE (REASON_NOT_VISIBLE_YET): nothing failed
 * but what EC2 may not show yet within a minute of the launch. The checks for a first use alone
 * (launch-window, original-boot) never refuse here: they set first_use_allowed, and the ledger, which alone
 * knows whether it is a first use, decides. */
MUST_USE enum outcome policy_decide(
	const struct rule *, struct claims *, time_t now, struct decision *, struct reason *);

#endif
