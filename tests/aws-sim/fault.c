/* The list of ordered faults, and the counters. It only says what is to go wrong: query.c, ec2.c,
 * iam.c and imds.c do it. */
#include "tests/aws-sim/fault.h"

#include "tests/aws-sim/account.h"

#include <stdio.h>
#include <string.h>

static const char *const mode_names[] = {
	[FAULT_NONE] = "none",
	[FAULT_THROTTLE] = "throttle",
	[FAULT_ERROR_500] = "error-500",
	[FAULT_ERROR_503] = "error-503",
	[FAULT_ERROR_200] = "error-200",
	[FAULT_EMPTY] = "empty",
	[FAULT_GARBAGE] = "garbage",
	[FAULT_JSON_BODY] = "json-body",
	[FAULT_REPLACE_BODY] = "replace-body",
	[FAULT_RESET] = "reset",
	[FAULT_RESET_MIDWAY] = "reset-midway",
	[FAULT_SHORT_BODY] = "short-body",
	[FAULT_TRUNCATED_XML] = "truncated-xml",
	[FAULT_DOCTYPE] = "doctype",
	[FAULT_SLOW] = "slow",
	[FAULT_TRICKLE] = "trickle",
	[FAULT_DROP_FIELD] = "drop-field",
	[FAULT_DUPLICATE_FIELD] = "duplicate-field",
	[FAULT_REPLACE_FIELD] = "replace-field",
	[FAULT_NOT_VISIBLE] = "not-visible",
	[FAULT_PENDING] = "pending",
	[FAULT_WITHOUT_PROFILE] = "without-profile",
	[FAULT_WITHOUT_TAGS] = "without-tags",
};

const char *fault_mode_name(enum fault_mode mode)
{
	return mode_names[mode];
}

static enum fault_mode mode_find(const char *name)
{
	for (size_t i = FAULT_NONE + 1; i < sizeof mode_names / sizeof *mode_names; i++)
		if (!strcmp(mode_names[i], name))
			return (enum fault_mode)i;
	return FAULT_NONE;
}

static bool mode_is_of_field(enum fault_mode mode)
{
	return mode >= FAULT_DROP_FIELD && mode <= FAULT_REPLACE_FIELD;
}

static bool mode_is_of_view(enum fault_mode mode)
{
	return mode >= FAULT_NOT_VISIBLE;
}

static bool text_copy(const json_t *from, const char *member, char *to, size_t size)
{
	const char *text = text_of(from, member);

	snprintf(to, size, "%s", text);
	return strlen(text) < size;
}

static bool fault_read(const json_t *arguments, struct fault *fault)
{
	const json_t *times = json_object_get(arguments, "times");
	json_int_t delay = json_integer_value(json_object_get(arguments, "delay_ms"));

	fault->mode = mode_find(text_of(arguments, "mode"));
	fault->times = json_is_integer(times) ? (long)json_integer_value(times) : 1;
	fault->delay_ms = (unsigned)delay;
	return fault->mode != FAULT_NONE && delay >= 0 && delay <= 3600000 && fault->times >= -1 &&
	       fault->times && text_copy(arguments, "action", fault->action, sizeof fault->action) &&
	       text_copy(arguments, "field", fault->field, sizeof fault->field) &&
	       text_copy(arguments, "value", fault->value, sizeof fault->value) &&
	       text_copy(arguments, "instance", fault->instance, sizeof fault->instance) && *fault->action &&
	       mode_is_of_field(fault->mode) == (*fault->field != '\0');
}

/* NULL: memory is out. */
static json_t *fault_list(const struct faults *faults)
{
	json_t *list = json_array();

	for (unsigned i = 0; list && i < faults->n; i++) {
		const struct fault *fault = &faults->list[i];

		if (!json_array_append_new(
			    list, json_pack("{ss ss ss ss si sI}", "action", fault->action, "mode",
					  mode_names[fault->mode], "field", fault->field, "instance",
					  fault->instance, "delay_ms", (int)fault->delay_ms, "times",
					  (json_int_t)fault->times)))
			continue;
		json_decref(list);
		list = NULL;
	}
	return json_pack("{so}", "faults", list);
}

json_t *fault_control(struct faults *faults, const json_t *arguments, struct refusal *refusal)
{
	static const char *const known[] = { "clear", "action", "mode", "field", "value", "instance", "times",
		"delay_ms", NULL };
	struct fault fault = { 0 };

	if (!arguments_known(arguments, known, refusal))
		return NULL;
	if (json_is_true(json_object_get(arguments, "clear"))) {
		faults->n = 0;
	} else if (json_object_size(arguments)) {
		if (!fault_read(arguments, &fault))
			return refuse(
				refusal, 400, "not a fault: action, mode, times or delay_ms do not fit");
		if (faults->n == FAULTS_MAX)
			return refuse(refusal, 409, "too many faults");
		faults->list[faults->n++] = fault;
	}
	return fault_list(faults);
}

/* One time less; one that is used up leaves the list. */
static void fault_use(struct faults *faults, unsigned i)
{
	struct fault *fault = &faults->list[i];

	if (fault->times < 0 || --fault->times)
		return;
	faults->n--;
	memmove(fault, fault + 1, (faults->n - i) * sizeof *fault);
}

static bool fault_is_for(const struct fault *fault, const char *action)
{
	return !strcmp(fault->action, "*") || !strcmp(fault->action, action);
}

void fault_take(struct faults *faults, const char *action,
	bool (*concerns)(const void *, const char *instance), const void *context, struct fault *fault)
{
	*fault = (struct fault){ 0 };
	for (unsigned i = 0; i < faults->n; i++) {
		const struct fault *one = &faults->list[i];

		if (mode_is_of_view(one->mode) || !fault_is_for(one, action) ||
			(*one->instance && !concerns(context, one->instance)))
			continue;
		*fault = *one;
		fault_use(faults, i);
		return;
	}
}

/* Whether this view is ordered for the instance; the first such fault is used. */
static bool view_take(struct faults *faults, enum fault_mode mode, const char *action, const char *instance)
{
	for (unsigned i = 0; i < faults->n; i++) {
		const struct fault *one = &faults->list[i];

		if (one->mode != mode || !fault_is_for(one, action) ||
			(*one->instance && strcmp(one->instance, instance) != 0))
			continue;
		fault_use(faults, i);
		return true;
	}
	return false;
}

struct view fault_view(struct faults *faults, const char *action, const char *instance)
{
	return (struct view){
		.not_visible = view_take(faults, FAULT_NOT_VISIBLE, action, instance),
		.pending = view_take(faults, FAULT_PENDING, action, instance),
		.without_profile = view_take(faults, FAULT_WITHOUT_PROFILE, action, instance),
		.without_tags = view_take(faults, FAULT_WITHOUT_TAGS, action, instance),
	};
}

struct tamper fault_tamper(const struct fault *fault)
{
	static const enum tamper_mode modes[] = { TAMPER_DROP, TAMPER_DUPLICATE, TAMPER_REPLACE };
	struct tamper tamper = { .field = fault->field, .value = fault->value, .subject = fault->instance };

	if (mode_is_of_field(fault->mode))
		tamper.mode = modes[fault->mode - FAULT_DROP_FIELD];
	return tamper;
}

static bool member_add(json_t *object, const char *member, long more)
{
	return set_member(object, member, json_integer(number_of(object, member) + more));
}

static json_t *action_counters(json_t *counters, const char *action)
{
	json_t *of_action = json_object_get(counters, action);

	if (of_action)
		return of_action;
	set_member(counters, action,
		json_pack("{si si si s{}}", "calls", 0, "ids", 0, "ids_max", 0, "outcomes"));
	return json_object_get(counters, action);
}

bool count_call(json_t *counters, const char *action, const char *outcome, unsigned ids)
{
	json_t *of_action = action_counters(counters, action);

	if (!of_action || !member_add(of_action, "calls", 1) || !member_add(of_action, "ids", ids) ||
		!member_add(json_object_get(of_action, "outcomes"), outcome, 1))
		return false;
	return (long)ids <= number_of(of_action, "ids_max") ||
	       set_member(of_action, "ids_max", json_integer(ids));
}

json_t *count_control(json_t *counters, const json_t *arguments, struct refusal *refusal)
{
	static const char *const known[] = { "reset", NULL };
	json_t *answer;

	if (!arguments_known(arguments, known, refusal))
		return NULL;
	answer = json_pack("{so}", "actions", json_deep_copy(counters));
	if (answer && json_is_true(json_object_get(arguments, "reset")))
		json_object_clear(counters);
	return answer;
}
