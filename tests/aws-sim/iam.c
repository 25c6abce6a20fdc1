/* IAM, API version 2010-05-08: ListInstanceProfilesForRole. */
#include "tests/aws-sim/query.h"

#include "tests/aws-sim/clock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ITEMS_DEFAULT = 100, ITEMS_MAX = 1000 };

static void iam_error(struct call *call, int status, const char *code, const char *message)
{
	struct xml *xml = &call->xml;

	xml_open_root(xml, "ErrorResponse", iam_service.namespace);
	xml_open(xml, "Error");
	xml_text(xml, "Type", status < 500 ? "Sender" : "Receiver");
	xml_text(xml, "Code", code);
	xml_text(xml, "Message", message);
	xml_close(xml);
	xml_text(xml, "RequestId", call->request_id);
	xml_close(xml);
}

/* IAM writes its times without a fraction. */
static void create_date(struct xml *xml, const json_t *object)
{
	char text[TIME_SIZE] = "";
	time_t time;

	if (time_read(text_of(object, "create_date"), &time))
		time_write_seconds(time, text);
	xml_text(xml, "CreateDate", text);
}

static void role_member(struct xml *xml, const json_t *role)
{
	static const char trust[] =
		"%7B%22Version%22%3A%222012-10-17%22%2C%22Statement%22%3A%5B%7B%22Effect%22%3A%22"
		"Allow%22%2C%22Principal%22%3A%7B%22Service%22%3A%22ec2.amazonaws.com%22%7D%2C%22"
		"Action%22%3A%22sts%3AAssumeRole%22%7D%5D%7D";

	xml_open(xml, "member");
	xml_text(xml, "Path", text_of(role, "path"));
	xml_text(xml, "RoleName", text_of(role, "name"));
	xml_text(xml, "RoleId", text_of(role, "id"));
	xml_text(xml, "Arn", text_of(role, "arn"));
	create_date(xml, role);
	xml_text(xml, "AssumeRolePolicyDocument", trust);
	xml_close(xml);
}

static void profile_member(struct xml *xml, const json_t *role, const json_t *profile)
{
	xml_open(xml, "member");
	xml_anchor(xml);
	xml_text(xml, "Path", text_of(profile, "path"));
	xml_text(xml, "InstanceProfileName", text_of(profile, "name"));
	xml_text(xml, "InstanceProfileId", text_of(profile, "id"));
	xml_text(xml, "Arn", text_of(profile, "arn"));
	create_date(xml, profile);
	xml_open(xml, "Roles");
	role_member(xml, role);
	xml_close(xml);
	xml_close(xml);
}

/* The page that the call asks for. False: it has been refused. */
static bool page_read(struct call *call, const char *subject, uint64_t *from, unsigned long *items)
{
	const char *marker = form_value(&call->form, "Marker"), *max = form_value(&call->form, "MaxItems");
	char *end;

	*from = 0;
	*items = ITEMS_DEFAULT;
	if (marker && !token_open(marker, "iam", subject, from)) {
		call_error(call, 400, "ValidationError", "Invalid Marker.");
		return false;
	}
	if (!max)
		return true;
	errno = 0;
	*items = strtoul(max, &end, 10);
	if (strspn(max, "0123456789") == strlen(max) && *max && !errno && *items >= 1 && *items <= ITEMS_MAX)
		return true;
	call_error(call, 400, "ValidationError",
		"Value '%.40s' at 'maxItems' failed to satisfy constraint: Member must have value between 1 "
		"and "
		"1000",
		max);
	return false;
}

static const json_t *role_find(struct call *call, const char *name)
{
	struct view view = fault_view(&call->sim->faults, "ListInstanceProfilesForRole", name);

	return view.not_visible ? NULL : state_role(call->sim->state, call->account, name);
}

static void list_write(struct call *call, const json_t *role, uint64_t from, unsigned long items)
{
	const json_t *profiles = json_object_get(role, "profiles");
	struct xml *xml = &call->xml;
	size_t size = json_array_size(profiles), end = from + items;
	char marker[TOKEN_SIZE] = "";

	if (end > size)
		end = size;
	xml_open_root(xml, "ListInstanceProfilesForRoleResponse", iam_service.namespace);
	xml_open(xml, "ListInstanceProfilesForRoleResult");
	xml_flag(xml, "IsTruncated", end < size);
	xml_open(xml, "InstanceProfiles");
	for (size_t i = from; i < end; i++)
		profile_member(xml, role, json_array_get(profiles, i));
	xml_close(xml);
	if (end < size) {
		if (!token_make(marker, "iam", text_of(role, "arn"), end))
			xml->out.failed = true;
		xml_text(xml, "Marker", marker);
	}
	xml_close(xml);
	xml_open(xml, "ResponseMetadata");
	xml_text(xml, "RequestId", call->request_id);
	xml_close(xml);
	xml_close(xml);
}

static void list_instance_profiles_for_role(struct call *call)
{
	const char *name = form_value(&call->form, "RoleName");
	const json_t *role;
	unsigned long items;
	uint64_t from;

	if (!name || !*name || strlen(name) > 64) {
		call_error(call, 400, "ValidationError",
			"1 validation error detected: Value at 'roleName' failed to satisfy constraint: "
			"Member "
			"must have length between 1 and 64");
		return;
	}
	call->ids = 1;
	xml_subject(&call->xml, name);
	role = role_find(call, name);
	if (!role) {
		call_error(call, 404, "NoSuchEntity", "The role with name %s cannot be found.", name);
		return;
	}
	if (page_read(call, text_of(role, "arn"), &from, &items))
		list_write(call, role, from, items);
}

static const struct action actions[] = {
	{ "ListInstanceProfilesForRole", list_instance_profiles_for_role },
	{ 0 },
};

const struct service iam_service = {
	.scope = "iam",
	.version = "2010-05-08",
	.namespace = "https://iam.amazonaws.com/doc/2010-05-08/",
	.content_type = "text/xml",
	.declared = true,
	.indent = 2,
	.throttled_status = 400,
	.throttled_code = "Throttling",
	.throttled_text = "Rate exceeded",
	.bad_key_status = 403,
	.bad_key_code = "InvalidClientTokenId",
	.bad_key_text = "The security token included in the request is invalid.",
	.expired_status = 403,
	.expired_code = "SignatureDoesNotMatch",
	.token_expired_status = 403,
	.token_expired_code = "ExpiredToken",
	.token_expired_text = "The security token included in the request is expired",
	.actions = actions,
	.error = iam_error,
};
