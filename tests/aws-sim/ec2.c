/* EC2, API version 2016-11-15: DescribeInstances. This file reads the call and chooses the instances;
 * how one is shown is in ec2_instance.c. It never shows an instance of another account or region than
 * the key's and the signature's. */
#include "tests/aws-sim/ec2.h"

#include "tests/aws-sim/query.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILTERS_MAX = 16, VALUES_MAX = 200, IDS_MAX = 1000, PAGE_MIN = 5, PAGE_MAX = 1000 };

struct filter {
	unsigned number; /* as the caller numbered it */
	const char *name;
	unsigned n;
	const char *values[VALUES_MAX];
	json_t *plain; /* all values as members, where none is a pattern: owned */
};

struct question {
	unsigned n_filters, n_ids;
	struct filter filters[FILTERS_MAX];
	const char *ids[IDS_MAX];
	unsigned long page; /* 0: all */
	uint64_t from; /* place in the order of launches */
};

/* What goes into the answer. */
struct selection {
	unsigned n;
	struct shown *shown; /* owned */
	uint64_t next; /* 0: no further page */
};

static void ec2_error(struct call *call, int status, const char *code, const char *message)
{
	struct xml *xml = &call->xml;

	(void)status;
	xml_open_root(xml, "Response", NULL);
	xml_open(xml, "Errors");
	xml_open(xml, "Error");
	xml_text(xml, "Code", code);
	xml_text(xml, "Message", message);
	xml_close(xml);
	xml_close(xml);
	xml_text(xml, "RequestID", call->request_id);
	xml_close(xml);
}

/* ---- the call's parameters; each function returns false when it has refused the call */

/* "Prefix.7.rest": the number, and what is behind it. NULL: not of this form. */
static const char *numbered(const char *name, const char *prefix, unsigned *number)
{
	size_t length = strlen(prefix);
	unsigned long value;
	char *end;

	if (strncmp(name, prefix, length) != 0 || name[length] < '1' || name[length] > '9')
		return NULL;
	value = strtoul(name + length, &end, 10);
	*number = (unsigned)value;
	return value <= FORM_MAX ? end : NULL;
}

static struct filter *filter_numbered(struct question *question, unsigned number)
{
	for (unsigned i = 0; i < question->n_filters; i++)
		if (question->filters[i].number == number)
			return &question->filters[i];
	if (question->n_filters == FILTERS_MAX)
		return NULL;
	question->filters[question->n_filters].number = number;
	return &question->filters[question->n_filters++];
}

static bool filter_limit(struct call *call)
{
	call_error(call, 400, "FilterLimitExceeded",
		"The maximum number of filter values specified on a single call is 200");
	return false;
}

static bool filter_part(
	struct call *call, struct question *question, unsigned number, const char *part, const char *value)
{
	struct filter *filter = filter_numbered(question, number);
	const char *end;
	unsigned index;

	if (!filter)
		return filter_limit(call);
	if (!strcmp(part, ".Name")) {
		filter->name = value;
		return true;
	}
	end = numbered(part, ".Value.", &index);
	if (!end || *end) {
		call_error(
			call, 400, "UnknownParameter", "The parameter Filter%.60s is not recognized", part);
		return false;
	}
	if (filter->n == VALUES_MAX)
		return filter_limit(call);
	filter->values[filter->n++] = value;
	return true;
}

static bool instance_id_wellformed(const char *id)
{
	size_t digits = strlen(id) > 2 ? strlen(id) - 2 : 0;

	return !strncmp(id, "i-", 2) && (digits == 8 || digits == 17) &&
	       strspn(id + 2, "0123456789abcdef") == digits;
}

static bool id_part(struct call *call, struct question *question, const char *id)
{
	if (!instance_id_wellformed(id)) {
		call_error(call, 400, "InvalidInstanceID.Malformed", "Invalid id: \"%.100s\"", id);
		return false;
	}
	if (question->n_ids == IDS_MAX) {
		call_error(call, 400, "InvalidParameterValue", "Too many instance IDs");
		return false;
	}
	question->ids[question->n_ids++] = id;
	return true;
}

static bool page_size(struct call *call, struct question *question, const char *value)
{
	char *end;

	question->page = strtoul(value, &end, 10);
	if (*value && strspn(value, "0123456789") == strlen(value) && question->page >= PAGE_MIN &&
		question->page <= PAGE_MAX)
		return true;
	call_error(call, 400, "InvalidParameterValue",
		"Value ( %.40s ) for parameter maxResults is invalid. Expecting a value between 5 and 1000.",
		value);
	return false;
}

/* Tokens belong to an account and region. */
static const char *page_subject(const struct call *call, char subject[64])
{
	snprintf(subject, 64, "%s/%s", call->account, call->region);
	return subject;
}

static bool page_token(struct call *call, struct question *question, const char *value)
{
	char subject[64];

	if (token_open(value, "ec2", page_subject(call, subject), &question->from))
		return true;
	call_error(call, 400, "InvalidParameterValue",
		"The token '%.100s' is invalid. Please specify a valid token.", value);
	return false;
}

static bool dry_run(struct call *call, const char *value)
{
	if (!strcmp(value, "false"))
		return true;
	if (!strcmp(value, "true"))
		call_error(call, 412, "DryRunOperation",
			"Request would have succeeded, but DryRun flag is set.");
	else
		call_error(call, 400, "InvalidParameterValue",
			"Value (%.40s) for parameter DryRun is invalid.", value);
	return false;
}

static bool parameter_read(struct call *call, struct question *question, const char *name, const char *value)
{
	const char *rest;
	unsigned number;

	if (!strcmp(name, "Action") || !strcmp(name, "Version"))
		return true;
	if (!strcmp(name, "MaxResults"))
		return page_size(call, question, value);
	if (!strcmp(name, "NextToken"))
		return page_token(call, question, value);
	if (!strcmp(name, "DryRun"))
		return dry_run(call, value);
	rest = numbered(name, "Filter.", &number);
	if (rest)
		return filter_part(call, question, number, rest, value);
	rest = numbered(name, "InstanceId.", &number);
	if (rest && !*rest)
		return id_part(call, question, value);
	call_error(call, 400, "UnknownParameter", "The parameter %.100s is not recognized", name);
	return false;
}

static bool filters_check(struct call *call, const struct question *question)
{
	unsigned values = 0;

	for (unsigned i = 0; i < question->n_filters; i++) {
		const struct filter *filter = &question->filters[i];

		if (!filter->name || !filter->n) {
			call_error(call, 400, "InvalidParameterValue",
				"The filter '%.100s' has no name or no values",
				filter->name ? filter->name : "null");
			return false;
		}
		if (strcmp(filter->name, "instance-id") != 0 &&
			strcmp(filter->name, "instance-state-name") != 0) {
			call_error(call, 400, "InvalidParameterValue", "The filter '%.100s' is invalid",
				filter->name);
			return false;
		}
		values += filter->n;
		if (!strcmp(filter->name, "instance-id"))
			call->ids += filter->n;
	}
	return values <= VALUES_MAX || filter_limit(call);
}

static bool question_read(struct call *call, struct question *question)
{
	for (unsigned i = 0; i < call->form.n; i++)
		if (!parameter_read(call, question, call->form.pairs[i].name, call->form.pairs[i].value))
			return false;
	call->ids += question->n_ids;
	if (question->n_ids && (question->page || question->from)) {
		call_error(call, 400, "InvalidParameterCombination",
			"The parameter instancesSet cannot be used with the parameter maxResults");
		return false;
	}
	return filters_check(call, question);
}

/* ---- the instances */

/* EC2's filters take * and ?, and a backslash before them takes them literally. Follows only the last
 * star. */
static bool wildcard_match(const char *pattern, const char *text)
{
	const char *star = NULL, *resume = NULL;

	while (*text) {
		bool literal = *pattern == '\\' && pattern[1];

		if (!literal && *pattern == '*') {
			star = ++pattern;
			resume = text;
		} else if ((!literal && *pattern == '?') || pattern[literal] == *text) {
			pattern += 1 + literal;
			text++;
		} else if (star) {
			pattern = star;
			text = ++resume;
		} else {
			return false;
		}
	}
	while (*pattern == '*')
		pattern++;
	return !*pattern;
}

/* 200 ids against 10,000 instances are two million comparisons: where no value is a pattern, a look-up does.
 */
static void filters_index(struct question *question)
{
	for (unsigned i = 0; i < question->n_filters; i++) {
		struct filter *filter = &question->filters[i];

		filter->plain = json_object();
		for (unsigned value = 0; value < filter->n; value++)
			if (strpbrk(filter->values[value], "*?\\") ||
				!set_member(filter->plain, filter->values[value], json_true())) {
				json_decref(filter->plain);
				filter->plain = NULL;
				break;
			}
	}
}

static void question_free(struct question *question)
{
	for (unsigned i = 0; i < question->n_filters; i++)
		json_decref(question->filters[i].plain);
	free(question);
}

static bool filter_matches(const struct filter *filter, const char *text)
{
	if (filter->plain)
		return json_object_get(filter->plain, text) != NULL;
	for (unsigned value = 0; value < filter->n; value++)
		if (wildcard_match(filter->values[value], text))
			return true;
	return false;
}

static bool filters_match(const struct question *question, const char *name, const char *text)
{
	for (unsigned i = 0; i < question->n_filters; i++)
		if (!strcmp(question->filters[i].name, name) && !filter_matches(&question->filters[i], text))
			return false;
	return true;
}

static bool ids_match(const struct question *question, const char *id)
{
	for (unsigned i = 0; i < question->n_ids; i++)
		if (!strcmp(question->ids[i], id))
			return true;
	return !question->n_ids;
}

static bool is_mine(const struct call *call, const json_t *instance)
{
	return instance && !strcmp(text_of(instance, "account"), call->account) &&
	       !strcmp(text_of(instance, "region"), call->region);
}

/* Whether this instance is in the answer, and how. Uses up the faults of whoever is asked for. */
static bool instance_choose(struct call *call, const struct question *question, const char *id,
	const json_t *instance, struct shown *shown)
{
	if (!is_mine(call, instance) || !ids_match(question, id) ||
		!filters_match(question, "instance-id", id))
		return false;
	shown->instance = instance;
	shown->view = fault_view(&call->sim->faults, call->action->name, id);
	return !shown->view.not_visible && filters_match(question, "instance-state-name", shown_state(shown));
}

/* False: memory is out. */
static bool instances_select(struct call *call, const struct question *question, struct selection *selection)
{
	json_t *instances = state_instances(call->sim->state), *instance;
	uint64_t place = 0;
	const char *id;

	selection->shown = calloc(json_object_size(instances) + 1, sizeof *selection->shown);
	if (!selection->shown)
		return false;
	json_object_foreach(instances, id, instance)
	{
		if (place++ < question->from)
			continue;
		if (question->page && selection->n == question->page) {
			/* there may be nothing behind it, as with EC2 itself */
			selection->next = place - 1;
			break;
		}
		selection->n += instance_choose(
			call, question, id, instance, &selection->shown[selection->n]);
	}
	return true;
}

static bool is_selected(const struct selection *selection, const char *id)
{
	for (unsigned i = 0; i < selection->n; i++)
		if (!strcmp(text_of(selection->shown[i].instance, "id"), id))
			return true;
	return false;
}

/* One id that is not visible fails the whole call. One that is hidden by a filter does not. */
static bool ids_check(struct call *call, const struct question *question, const struct selection *selection)
{
	struct buffer unknown = { 0 };
	unsigned n = 0;

	for (unsigned i = 0; i < question->n_ids; i++) {
		const char *id = question->ids[i];

		if (is_selected(selection, id) ||
			(question->n_filters && is_mine(call, state_instance(call->sim->state, id))))
			continue;
		buffer_format(&unknown, "%s%s", n++ ? ", " : "", id);
	}
	buffer_add(&unknown, "", 1);
	if (n)
		call_error(call, 400, "InvalidInstanceID.NotFound",
			n == 1 ? "The instance ID '%s' does not exist" : "The instance IDs '%s' do not exist",
			unknown.failed ? "?" : unknown.data);
	buffer_clear(&unknown);
	return !n;
}

/* ---- the answer */

static void reservation_write(
	struct call *call, const struct selection *selection, unsigned first, bool written[])
{
	const json_t *instance = selection->shown[first].instance;
	const char *reservation = text_of(instance, "reservation");
	struct xml *xml = &call->xml;

	xml_open(xml, "item");
	xml_anchor(xml);
	xml_subject(xml, text_of(instance, "id"));
	xml_text(xml, "reservationId", reservation);
	xml_text(xml, "ownerId", text_of(instance, "account"));
	xml_text(xml, "groupSet", "");
	xml_open(xml, "instancesSet");
	for (unsigned i = first; i < selection->n; i++) {
		if (strcmp(text_of(selection->shown[i].instance, "reservation"), reservation) != 0)
			continue;
		written[i] = true;
		xml_open(xml, "item");
		xml_anchor(xml);
		xml_subject(xml, text_of(selection->shown[i].instance, "id"));
		shown_write(xml, &selection->shown[i]);
		xml_close(xml);
	}
	xml_close(xml);
	xml_subject(xml, text_of(instance, "id"));
	xml_close(xml);
}

static bool answer_write(struct call *call, const struct selection *selection)
{
	char token[TOKEN_SIZE], subject[64];
	struct xml *xml = &call->xml;
	bool *written = calloc(selection->n + 1, sizeof *written);

	if (!written)
		return false;
	xml_open_root(xml, "DescribeInstancesResponse", ec2_service.namespace);
	xml_text(xml, "requestId", call->request_id);
	xml_open(xml, "reservationSet");
	for (unsigned i = 0; i < selection->n; i++)
		if (!written[i])
			reservation_write(call, selection, i, written);
	xml_close(xml);
	if (selection->next) {
		if (!token_make(token, "ec2", page_subject(call, subject), selection->next))
			xml->out.failed = true;
		else
			xml_text(xml, "nextToken", token);
	}
	xml_close(xml);
	free(written);
	return true;
}

static void describe_instances(struct call *call)
{
	struct question *question = calloc(1, sizeof *question);
	struct selection selection = { 0 };

	if (!question) {
		call_error(call, 500, "InternalError", "An internal error has occurred");
		return;
	}
	if (!question_read(call, question))
		goto out;
	filters_index(question);
	if (!instances_select(call, question, &selection)) {
		call_error(call, 500, "InternalError", "An internal error has occurred");
		goto out;
	}
	if (!ids_check(call, question, &selection))
		goto out;
	if (!answer_write(call, &selection))
		call_error(call, 500, "InternalError", "An internal error has occurred");
out:
	free(selection.shown);
	question_free(question);
}

static const struct action actions[] = {
	{ "DescribeInstances", describe_instances },
	{ 0 },
};

const struct service ec2_service = {
	.scope = "ec2",
	.version = "2016-11-15",
	.namespace = "http://ec2.amazonaws.com/doc/2016-11-15/",
	.content_type = "text/xml;charset=UTF-8",
	.declared = true,
	.indent = 4,
	.throttled_status = 503,
	.throttled_code = "RequestLimitExceeded",
	.throttled_text = "Request limit exceeded.",
	.bad_key_status = 401,
	.bad_key_code = "AuthFailure",
	.bad_key_text = "AWS was not able to validate the provided access credentials",
	.expired_status = 400,
	.expired_code = "RequestExpired",
	.expired_text = "Request has expired.",
	.token_expired_status = 400,
	.token_expired_code = "RequestExpired",
	.token_expired_text = "Request has expired.",
	.actions = actions,
	.error = ec2_error,
};
