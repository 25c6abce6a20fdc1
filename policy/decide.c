/* The decision: pure, on facts alone, with every check made. What is for the first use alone is only noted
 * here: whether it is one, the ledger knows. */
#include "policy/rule.h"

#include "verifier/checks.h"
#include "verifier/encoding.h"
#include "verifier/reasons.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	CLOCK_SLACK = 60, /* seconds that AWS's clock may be ahead of ours */
	SETTLING = 60, /* seconds after the launch in which EC2 may not show tags or profile yet */
	ORIGINAL_BOOT_SLACK =
		300 /* seconds between a launch and the attachment of its first interface or root */
};

/* "a, b, c" for the trail; what does not fit is cut, and check_add says so. */
static void list_text(const struct list *list, char *text, size_t size)
{
	size_t used = 0;
	size_t i;

	text[0] = '\0';
	for (i = 0; i < list->n && used < size; i++)
		used += (size_t)snprintf(text + used, size - used, "%s%s", i ? ", " : "", list->values[i]);
}

/* `observed` NULL: EC2 did not say. */
static void check_bound(
	struct claims *claims, const char *name, const struct list *list, const char *observed)
{
	char expected[2 * CHECK_VALUE_MAX];

	if (list->n == 0)
		return;
	list_text(list, expected, sizeof(expected));
	check_add(claims, name, "ec2", observed && observed[0] && list_holds(list, observed), expected,
		observed ? observed : "");
}

/* At least one of the primary interface's groups is in the list. */
static void check_groups(struct claims *claims, const struct list *list)
{
	char expected[2 * CHECK_VALUE_MAX];
	char observed[GROUPS_MAX * (FACT_ID_SIZE + 2)] = "";
	bool found = false;
	size_t used = 0;
	unsigned i;

	if (list->n == 0)
		return;
	list_text(list, expected, sizeof(expected));
	for (i = 0; i < claims->facts.n_groups; i++) {
		const char *group = claims->facts.groups[i];

		found = found || list_holds(list, group);
		used += (size_t)snprintf(
			observed + used, sizeof(observed) - used, "%s%s", i ? ", " : "", group);
	}
	check_add(claims, CHECK_SECURITY_GROUP, "ec2", found, expected, observed);
}

static void check_tags(struct claims *claims, const struct rule *rule)
{
	char expected[CHECK_VALUE_MAX];
	char observed[CHECK_VALUE_MAX];
	size_t i;

	for (i = 0; i < rule->n_tags; i++) {
		const struct tag *tag = &rule->tags[i];
		const char *value = facts_tag(&claims->facts, tag->key);

		snprintf(expected, sizeof(expected), "%s=%s", tag->key, tag->value);
		snprintf(observed, sizeof(observed), "%s%s%s", value ? tag->key : "", value ? "=" : "",
			value ? value : "");
		check_add(claims, CHECK_TAG, "ec2", value && strcmp(value, tag->value) == 0, expected,
			observed);
	}
}

static void check_metadata_options(struct claims *claims)
{
	const struct facts *facts = &claims->facts;
	char observed[80] = "";

	if (facts->http_tokens[0])
		snprintf(observed, sizeof(observed), "tokens %s, hop limit %ld", facts->http_tokens,
			facts->http_hop_limit);
	check_add(claims, CHECK_METADATA_OPTIONS, "ec2",
		strcmp(facts->http_tokens, "required") == 0 && facts->http_hop_limit == 1,
		"tokens required, hop limit 1", observed);
}

static void time_text(time_t time, char text[TIMESTAMP_SIZE])
{
	text[0] = '\0';
	if (time)
		timestamp_encode((long long)time * 1000000, text);
}

/* Launched at all, and not in the future. */
static void check_launch_time(struct claims *claims, time_t now)
{
	time_t launched = claims->facts.launch_time;
	char observed[TIMESTAMP_SIZE];
	char expected[TIMESTAMP_SIZE + 20];
	char latest[TIMESTAMP_SIZE];

	time_text(launched, observed);
	time_text(now + CLOCK_SLACK, latest);
	snprintf(expected, sizeof(expected), "at most %s", latest);
	check_add(claims, CHECK_LAUNCH_TIME, "ec2", launched && launched <= now + CLOCK_SLACK, expected,
		observed);
}

static bool note_window(struct claims *claims, const struct rule *rule, time_t now)
{
	long long end = (long long)claims->facts.launch_time * 1000 + rule->launch_window;
	bool open = (long long)now * 1000 < end;
	char expected[TIMESTAMP_SIZE + 20];
	char observed[TIMESTAMP_SIZE];
	char until[TIMESTAMP_SIZE];

	timestamp_encode(end * 1000, until);
	snprintf(expected, sizeof(expected), "before %s", until);
	time_text(now, observed);
	check_add(claims, CHECK_LAUNCH_WINDOW, "clock", open, expected, observed);
	return open;
}

static bool near_launch(time_t launched, time_t attached)
{
	return attached && llabs((long long)launched - (long long)attached) <= ORIGINAL_BOOT_SLACK;
}

/* A stop and start makes a new launch time, but keeps the primary interface and the root volume. */
static bool note_original_boot(struct claims *claims)
{
	const struct facts *facts = &claims->facts;
	bool original =
		near_launch(facts->launch_time, facts->interface_attach_time) &&
		(!facts->root_volume_said || near_launch(facts->launch_time, facts->root_attach_time));
	char expected[TIMESTAMP_SIZE + 40];
	char observed[2 * TIMESTAMP_SIZE + 40];
	char launch[TIMESTAMP_SIZE], interface[TIMESTAMP_SIZE], root[TIMESTAMP_SIZE];

	time_text(facts->launch_time, launch);
	time_text(facts->interface_attach_time, interface);
	time_text(facts->root_attach_time, root);
	snprintf(expected, sizeof(expected), "attached within 5m of %s", launch);
	snprintf(observed, sizeof(observed), "interface %s%s%s", interface,
		facts->root_volume_said ? ", root " : "", facts->root_volume_said ? root : "");
	check_add(claims, CHECK_ORIGINAL_BOOT, "ec2", original, expected, observed);
	return original;
}

static void check_bounds(const struct rule *rule, struct claims *claims)
{
	const struct facts *facts = &claims->facts;

	check_bound(claims, CHECK_IMAGE, &rule->images, facts->image_id);
	check_bound(claims, CHECK_LAUNCH_TEMPLATE, &rule->launch_templates,
		facts_tag(facts, "aws:ec2launchtemplate:id"));
	check_bound(claims, CHECK_AUTO_SCALING_GROUP, &rule->auto_scaling_groups,
		facts_tag(facts, "aws:autoscaling:groupName"));
	check_bound(claims, CHECK_VPC, &rule->vpcs, facts->vpc_id);
	check_bound(claims, CHECK_SUBNET, &rule->subnets, facts->subnet_id);
	check_groups(claims, &rule->security_groups);
	check_bound(claims, CHECK_ALLOWED_TYPE, &rule->instance_types, facts->instance_type);
	check_tags(claims, rule);
}

/* A tag that is absent may come yet; one that is there with another value will not. */
static bool may_still_come(const struct claims *claims, const struct check *check)
{
	return check_observed(claims, check)[0] == '\0' &&
	       (strcmp(check->name, CHECK_TAG) == 0 || strcmp(check->name, CHECK_LAUNCH_TEMPLATE) == 0 ||
		       strcmp(check->name, CHECK_AUTO_SCALING_GROUP) == 0);
}

/* All checks there are so far; OK when none failed. */
static enum outcome judge(const struct claims *claims, time_t now, struct reason *reason)
{
	const struct check *failed = claims_first_failed(claims);
	bool settling = now < claims->facts.launch_time + SETTLING;
	unsigned i;

	if (!failed)
		return OK;
	for (i = 0; i < claims->n_checks; i++) {
		const struct check *check = &claims->checks[i];

		settling = settling && (check->result != CHECK_FAILED || may_still_come(claims, check));
	}
	if (settling)
		return unavailable(reason, REASON_NOT_VISIBLE_YET, "%s is not visible yet", failed->name);
	return refused(reason, failed->name, "%s: expected %s, but %s says %s", failed->name,
		check_expected(claims, failed), failed->by, check_observed(claims, failed));
}

static void decision_fill(const struct rule *rule, struct decision *decision)
{
	size_t i;

	*decision = (struct decision){ .rule = rule,
		.once_per_launch = rule->once_per_launch,
		.max_per_hour = rule->max_per_hour,
		.retry_window = rule->retry_window,
		.n_secrets = rule->secrets.n };
	for (i = 0; i < rule->secrets.n; i++)
		decision->secrets[i] = rule->secrets.values[i];
}

enum outcome policy_decide(const struct rule *rule, struct claims *claims, time_t now,
	struct decision *decision, struct reason *reason)
{
	enum outcome outcome;
	bool open;
	bool original = true;

	decision_fill(rule, decision);
	check_bounds(rule, claims);
	if (!rule->any_metadata_options)
		check_metadata_options(claims);
	check_launch_time(claims, now);
	outcome = judge(claims, now, reason);
	open = note_window(claims, rule, now);
	if (!rule->once_per_launch)
		original = note_original_boot(claims);
	if (claims->overflowed)
		return fault(reason, REASON_INTERNAL, "more checks than can be kept");
	decision->first_use_allowed = open && original;
	return outcome;
}
