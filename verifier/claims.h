#ifndef VERIFIER_CLAIMS_H
#define VERIFIER_CLAIMS_H
/* Facts about one instance, as EC2 told them, and the list of checks made with them. Facts are made by aws/
 * and read by policy/ and store/, therefore they live here, below all three. */
#include "verifier/assertion.h"

#include <time.h>

/* Tags: 50 of the user's, and EC2 counts those of its own services (aws:...) beside them. */
enum { FACT_ID_SIZE = 32, FACT_ARN_SIZE = 704, TAGS_MAX = 100, GROUPS_MAX = 16 };

struct tag {
	char *key, *value;
};

/* What EC2 says of one instance. "" and 0 mean that it did not say: nothing ever matches those. */
struct facts {
	char instance_id[FACT_ID_SIZE], reservation_id[FACT_ID_SIZE], owner_id[FACT_ID_SIZE];
	char state[FACT_ID_SIZE], image_id[FACT_ID_SIZE], instance_type[FACT_ID_SIZE + 8];
	char private_dns[HOSTNAME_SIZE], public_dns[HOSTNAME_SIZE];
	bool public_dns_said; /* an empty public name is an answer, no element is none */
	char vpc_id[FACT_ID_SIZE], subnet_id[FACT_ID_SIZE], availability_zone[FACT_ID_SIZE];
	char primary_interface[FACT_ID_SIZE]; /* the one attached at device index 0 */
	char primary_address[ADDRESS_SIZE]; /* its primary private address */
	char public_address[ADDRESS_SIZE];
	char profile_arn[FACT_ARN_SIZE];
	char http_tokens[FACT_ID_SIZE]; /* metadataOptions: "required" or "optional" */
	long http_hop_limit; /* 0: not said */
	time_t launch_time; /* seconds since 1970; 0: not said */
	time_t interface_attach_time; /* of the primary interface */
	time_t root_attach_time; /* of the root volume; 0 where there is none */
	bool root_volume_said; /* there is a root volume in the block device mapping */
	unsigned n_groups;
	char groups[GROUPS_MAX][FACT_ID_SIZE]; /* security groups of the primary interface */
	unsigned n_tags;
	struct tag *tags; /* owned */
};

/* Deep copy; false when memory is out (then *to is empty). */
MUST_USE bool facts_copy(struct facts *to, const struct facts *from);
void facts_clear(struct facts *);
/* Adds a copied tag. False: memory is out, or TAGS_MAX reached. */
MUST_USE bool facts_add_tag(struct facts *, const char *key, const char *value);
/* NULL where there is no such tag. */
const char *facts_tag(const struct facts *, const char *key);

enum check_result {
	CHECK_FAILED,
	CHECK_PASSED,
	/* A check for the first use alone (launch-window, original-boot) that failed, where this was no first
	 * use, or an operator has re-armed the instance. Set by store/ only. */
	CHECK_WAIVED
};

struct check {
	const char *name; /* static, from checks.h */
	enum check_result result;
	const char *by; /* what proved it: "ec2", "iam", "socket", "clock", "policy"; static */
	unsigned short expected,
		observed; /* offsets into claims.text: read them by check_expected, check_observed */
};

/* Room for the longest texts of all checks: what a rule may say must never be too much for it. */
enum { CHECKS_MAX = 60, CHECK_VALUE_MAX = 256, CHECKS_TEXT_MAX = 2 * CHECKS_MAX * (CHECK_VALUE_MAX + 1) + 1 };

struct claims {
	struct facts facts;
	unsigned n_checks;
	struct check checks[CHECKS_MAX];
	bool overflowed; /* a check was lost: policy_decide answers FAULT */
	unsigned text_used;
	char text[CHECKS_TEXT_MAX];
};

/* Empty claims; NULL when memory is out. */
struct claims *claims_new(void);
void claims_free(struct claims *);

/* Adds a check: values longer than CHECK_VALUE_MAX are cut and end in "...". Never stops at a failed one. */
void check_add(struct claims *, const char *name, const char *by, bool passed, const char *expected,
	const char *observed);
/* Adds a check that passes exactly when both are equal, byte for byte, and `observed` is not "". */
void check_equal(
	struct claims *, const char *name, const char *by, const char *expected, const char *observed);
const char *check_expected(const struct claims *, const struct check *);
const char *check_observed(const struct claims *, const struct check *);
const char *check_result_name(enum check_result);
/* The first check that failed; NULL where none has. */
const struct check *claims_first_failed(const struct claims *);
/* The check of that name, NULL where there is none. */
struct check *claims_check(struct claims *, const char *name);

#endif
