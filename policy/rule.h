#ifndef POLICY_RULE_H
#define POLICY_RULE_H
/* A rule as it stands in memory. For policy/ alone: others ask through policy.h. */
#include "policy/policy.h"
#include "verifier/jsonfile.h"

enum { LIST_MAX = 256, RULE_TAGS_MAX = 16 };

/* A bound: n == 0 does not restrict. */
struct list {
	size_t n;
	char **values; /* owned */
};

struct rule {
	char name[NAME_SIZE];
	char role[ROLE_SIZE];
	struct list accounts, regions;
	struct list images, launch_templates, auto_scaling_groups;
	struct list vpcs, subnets, security_groups, instance_types;
	struct list secrets;
	size_t n_tags;
	struct tag tags[RULE_TAGS_MAX];
	long long launch_window, retry_window; /* milliseconds */
	unsigned max_per_hour; /* 0: no bound */
	bool once_per_launch, unbound_key, any_metadata_options;
	struct demand demand;
};

struct policy {
	unsigned references; /* atomic */
	char sha256[65];
	size_t n_rules;
	struct rule *rules;
};

bool list_holds(const struct list *, const char *value);

/* Reads one rule; on failure the caller clears what there is. */
MUST_USE bool rule_load(const struct member *, struct rule *, struct complaint *);
void rule_clear(struct rule *);

#endif
