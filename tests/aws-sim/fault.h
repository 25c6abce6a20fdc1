#ifndef AWS_SIM_FAULT_H
#define AWS_SIM_FAULT_H
/* What goes wrong on purpose, how often, and the counters of what was asked. */
#include "tests/aws-sim/state.h"
#include "tests/aws-sim/xml_out.h"

enum fault_mode {
	FAULT_NONE,
	/* of a whole call: the answer is another, or spoilt on its way */
	FAULT_THROTTLE,
	FAULT_ERROR_500,
	FAULT_ERROR_503,
	FAULT_ERROR_200,
	FAULT_EMPTY,
	FAULT_GARBAGE,
	FAULT_JSON_BODY, /* the XML as a string inside JSON */
	FAULT_REPLACE_BODY, /* the value instead */
	FAULT_RESET,
	FAULT_RESET_MIDWAY,
	FAULT_SHORT_BODY,
	FAULT_TRUNCATED_XML,
	FAULT_DOCTYPE,
	FAULT_SLOW,
	FAULT_TRICKLE,
	/* of one element */
	FAULT_DROP_FIELD,
	FAULT_DUPLICATE_FIELD,
	FAULT_REPLACE_FIELD,
	/* of how one instance is seen: eventual consistency */
	FAULT_NOT_VISIBLE,
	FAULT_PENDING,
	FAULT_WITHOUT_PROFILE,
	FAULT_WITHOUT_TAGS
};

struct fault {
	char action[64]; /* "DescribeInstances", ..., "metadata", or "*" for all */
	enum fault_mode mode;
	char field[160], value[4096];
	char instance[128]; /* or what else the call names, such as a role's ARN; "": any */
	long times; /* still to come; -1: for ever */
	unsigned delay_ms;
};

enum { FAULTS_MAX = 256 };

/* Zeroed: none. They are tried in the order in which they were ordered. */
struct faults {
	unsigned n;
	struct fault list[FAULTS_MAX];
};

/* The verb of the control API: adds one, or with {"clear": true} drops all. A new reference to the list. */
json_t *fault_control(struct faults *, const json_t *arguments, struct refusal *);

/* Takes the first fault of a whole call or of an element that is meant for this action: `fault` is
 * it, with one time less left, or FAULT_NONE. One for an instance is taken only where `concerns` says
 * that the call names it. */
void fault_take(struct faults *, const char *action, bool (*concerns)(const void *, const char *instance),
	const void *context, struct fault *fault);

/* How an instance is seen in this answer. */
struct view {
	bool not_visible, pending, without_profile, without_tags;
};
/* Takes one time from each fault that makes it so. */
struct view fault_view(struct faults *, const char *action, const char *instance);

/* How to spoil an element; it borrows from the fault. */
struct tamper fault_tamper(const struct fault *);
const char *fault_mode_name(enum fault_mode);

/* Counters: by action and outcome, and the ids of one call. A JSON object, so that it is its own answer. */
bool count_call(json_t *counters, const char *action, const char *outcome, unsigned ids);
/* The verb of the control API: what was counted; with {"reset": true} it begins again. */
json_t *count_control(json_t *counters, const json_t *arguments, struct refusal *);

#endif
