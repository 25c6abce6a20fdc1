/* The policy file as a whole: load, count references, admit. Must never hold two rules that could both match
 * one assertion: which of them decides would be an accident. */
#include "policy/policy.h"

#include "policy/rule.h"
#include "policy/tests.h"
#include "verifier/encoding.h"
#include "verifier/jsonfile.h"
#include "verifier/reasons.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RULES_MAX = 4096 };

static bool lists_meet(const struct list *a, const struct list *b)
{
	size_t i;

	for (i = 0; i < a->n; i++)
		if (list_holds(b, a->values[i]))
			return true;
	return false;
}

static bool rules_conflict(const struct rule *a, const struct rule *b)
{
	return strcmp(a->role, b->role) == 0 && lists_meet(&a->accounts, &b->accounts) &&
	       lists_meet(&a->regions, &b->regions);
}

static bool rule_fits_others(
	const struct policy *policy, size_t i, const struct member *member, struct complaint *complaint)
{
	const struct rule *rule = &policy->rules[i];
	size_t j;

	for (j = 0; j < i; j++) {
		const struct rule *other = &policy->rules[j];

		if (strcmp(rule->name, other->name) == 0)
			return member_complain(member, complaint, "a second rule named \"%s\"", rule->name);
		if (rules_conflict(rule, other))
			return member_complain(member, complaint,
				"rules \"%s\" and \"%s\" match the same role, account and region; make them "
				"one rule, "
				"or keep their accounts or regions apart",
				other->name, rule->name);
	}
	return true;
}

static bool rules_load(const struct jsonfile *file, struct policy *policy, struct complaint *complaint)
{
	static const char *const known[] = { "rules", "tests", NULL };
	struct member root = jsonfile_root(file);
	struct member rules = member_of(&root, "rules");
	size_t n;
	size_t i;

	if (!member_object(&root, known, complaint) || !member_array(&rules, RULES_MAX, &n, complaint))
		return false;
	policy->rules = calloc(n, sizeof(*policy->rules));
	if (!policy->rules)
		return complain(complaint, "out of memory");
	for (i = 0; i < n; i++) {
		struct member member = member_at(&rules, i);

		policy->n_rules++;
		if (!rule_load(&member, &policy->rules[i], complaint) ||
			!rule_fits_others(policy, i, &member, complaint))
			return false;
	}
	return true;
}

/* Where `told` is given, every test is run and told. */
static struct policy *load(const char *name, struct bytes text,
	void (*told)(void *, const struct policy_test *), void *context, struct complaint *complaint)
{
	struct policy *policy = calloc(1, sizeof(*policy));
	struct jsonfile *file = NULL;
	unsigned char hash[32];
	struct member root;
	bool loaded = false;

	if (!policy) {
		complain(complaint, "%s: out of memory", name);
		return NULL;
	}
	policy->references = 1;
	if (text.length > POLICY_BYTES_MAX) {
		complain(complaint, "%s: larger than %d bytes", name, POLICY_BYTES_MAX);
		goto out;
	}
	file = jsonfile_parse(name, text, complaint);
	if (!file || !rules_load(file, policy, complaint))
		goto out;
	root = jsonfile_root(file);
	if (!policy_tests_run(policy, &root, told, context, complaint))
		goto out;
	if (!EVP_Digest(text.data, text.length, hash, NULL, EVP_sha256(), NULL)) {
		complain(complaint, "%s: SHA-256 failed", name);
		goto out;
	}
	hex_encode((struct bytes){ hash, sizeof(hash) }, policy->sha256);
	loaded = true;
out:
	jsonfile_free(file);
	if (loaded)
		return policy;
	policy_free(policy);
	return NULL;
}

struct policy *policy_load(const char *name, struct bytes text, struct complaint *complaint)
{
	return load(name, text, NULL, NULL, complaint);
}

bool policy_test(const char *name, struct bytes text, void (*told)(void *context, const struct policy_test *),
	void *context, struct complaint *complaint)
{
	struct policy *policy = load(name, text, told, context, complaint);

	policy_free(policy);
	return policy != NULL;
}

struct policy *policy_dup(struct policy *policy)
{
	__atomic_add_fetch(&policy->references, 1, __ATOMIC_RELAXED);
	return policy;
}

void policy_free(struct policy *policy)
{
	size_t i;

	if (!policy || __atomic_sub_fetch(&policy->references, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	for (i = 0; i < policy->n_rules; i++)
		rule_clear(&policy->rules[i]);
	free(policy->rules);
	free(policy);
}

const char *policy_sha256(const struct policy *policy)
{
	return policy->sha256;
}

size_t policy_rules(const struct policy *policy)
{
	return policy->n_rules;
}

const struct rule *policy_rule(const struct policy *policy, size_t i)
{
	return &policy->rules[i];
}

const char *rule_name(const struct rule *rule)
{
	return rule->name;
}

const char *rule_role(const struct rule *rule)
{
	return rule->role;
}

bool rule_unbound_key(const struct rule *rule)
{
	return rule->unbound_key;
}

bool rule_demands_document(const struct rule *rule)
{
	return rule->demand.document;
}

const char *rule_account(const struct rule *rule, size_t i)
{
	return i < rule->accounts.n ? rule->accounts.values[i] : NULL;
}

const char *rule_region(const struct rule *rule, size_t i)
{
	return i < rule->regions.n ? rule->regions.values[i] : NULL;
}

const char *rule_secret(const struct rule *rule, size_t i)
{
	return i < rule->secrets.n ? rule->secrets.values[i] : NULL;
}

void policy_warnings(
	const struct policy *policy, void (*warn)(void *context, const char *text), void *context)
{
	char text[300];
	size_t i;

	for (i = 0; i < policy->n_rules; i++) {
		const struct rule *rule = &policy->rules[i];

		if (rule->unbound_key) {
			snprintf(text, sizeof(text),
				"rule \"%s\": unbound_key: whoever ends TLS on the way, or calls from the "
				"instance's address, "
				"can have the release sealed to a key of his own",
				rule->name);
			warn(context, text);
		}
		if (rule->n_tags) {
			snprintf(text, sizeof(text),
				"rule \"%s\": tags: whoever may tag instances sets them; they are no "
				"evidence",
				rule->name);
			warn(context, text);
		}
		if (rule->any_metadata_options) {
			snprintf(text, sizeof(text),
				"rule \"%s\": metadata_options: containers and proxies on the instance may "
				"reach its "
				"metadata service",
				rule->name);
			warn(context, text);
		}
	}
}

enum outcome policy_admit(const struct policy *policy, const struct assertion *assertion,
	const struct rule **found, struct demand *demand, struct reason *reason)
{
	size_t i;

	for (i = 0; i < policy->n_rules; i++) {
		const struct rule *rule = &policy->rules[i];

		if (strcmp(rule->role, assertion->role) != 0 ||
			!list_holds(&rule->accounts, assertion->account_id) ||
			!list_holds(&rule->regions, assertion->region))
			continue;
		*found = rule;
		*demand = rule->demand;
		return OK;
	}
	return refused(reason, REASON_NO_RULE, "no rule for role %s in account %s and region %s",
		assertion->role, assertion->account_id, assertion->region);
}
