/* The instance metadata service, version 2, for every simulated instance at once: the caller's source
 * address says which instance is asking. Whoever calls from an address that belongs to no running
 * instance sees what a host without the service sees: the connection is reset. Signed identity
 * documents and credentials are not there yet: 404. */
#include "tests/aws-sim/account.h"
#include "tests/aws-sim/clock.h"
#include "tests/aws-sim/ids.h"
#include "tests/aws-sim/sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TTL_MAX = 21600 };

static const char root[] = "/latest/";
static const char token_path[] = "/latest/api/token";

/* ---- what there is to read: a flat object, path -> text */

static bool leaf(json_t *tree, const char *path, const char *text)
{
	return set_text(tree, path, text);
}

/* Absent where the text is empty: 404, as with the real one. */
static bool leaf_if(json_t *tree, const char *path, const char *text)
{
	return !*text || leaf(tree, path, text);
}

/* The groups' ids or names, one in each line. */
static bool leaf_groups(json_t *tree, const char *path, const json_t *instance, const char *member)
{
	struct buffer lines = { 0 };
	const json_t *group;
	bool added;
	size_t i;

	json_array_foreach(json_object_get(instance, "groups"), i, group)
		buffer_format(&lines, "%s%s", i ? "\n" : "", text_of(group, member));
	buffer_add(&lines, "", 1);
	added = !lines.failed && leaf_if(tree, path, lines.data);
	buffer_clear(&lines);
	return added;
}

static bool names_add(json_t *tree, const json_t *instance)
{
	return leaf(tree, "meta-data/hostname", text_of(instance, "local_hostname")) &&
	       leaf(tree, "meta-data/local-hostname", text_of(instance, "local_hostname")) &&
	       leaf(tree, "meta-data/local-ipv4", text_of(instance, "address")) &&
	       leaf_if(tree, "meta-data/public-hostname", text_of(instance, "public_hostname")) &&
	       leaf_if(tree, "meta-data/public-ipv4", text_of(instance, "public_address")) &&
	       leaf_groups(tree, "meta-data/security-groups", instance, "name");
}

static bool kind_add(json_t *tree, const json_t *instance)
{
	return leaf(tree, "meta-data/ami-id", text_of(instance, "image")) &&
	       leaf(tree, "meta-data/ami-launch-index", "0") &&
	       leaf(tree, "meta-data/ami-manifest-path", "(unknown)") &&
	       leaf(tree, "meta-data/block-device-mapping/ami", "xvda") &&
	       leaf(tree, "meta-data/block-device-mapping/root", "/dev/xvda") &&
	       leaf(tree, "meta-data/instance-action", "none") &&
	       leaf(tree, "meta-data/instance-id", text_of(instance, "id")) &&
	       leaf(tree, "meta-data/instance-life-cycle", "on-demand") &&
	       leaf(tree, "meta-data/instance-type", text_of(instance, "type")) &&
	       leaf(tree, "meta-data/mac", text_of(instance, "mac")) &&
	       leaf(tree, "meta-data/profile", "default-hvm") &&
	       leaf(tree, "meta-data/reservation-id", text_of(instance, "reservation"));
}

static bool place_add(json_t *tree, const json_t *instance)
{
	const struct partition *partition = partition_of_region(text_of(instance, "region"));

	return leaf(tree, "meta-data/placement/availability-zone", text_of(instance, "availability_zone")) &&
	       leaf(tree, "meta-data/placement/region", text_of(instance, "region")) &&
	       leaf(tree, "meta-data/services/domain", partition->dns_suffix) &&
	       leaf(tree, "meta-data/services/partition", partition->name);
}

static bool interface_add(json_t *tree, const json_t *instance)
{
	const struct {
		const char *name, *text;
	} leaves[] = { { "device-number", "0" }, { "interface-id", text_of(instance, "interface") },
		{ "local-hostname", text_of(instance, "private_dns") },
		{ "local-ipv4s", text_of(instance, "address") }, { "mac", text_of(instance, "mac") },
		{ "owner-id", text_of(instance, "account") },
		{ "public-hostname", text_of(instance, "public_hostname") },
		{ "public-ipv4s", text_of(instance, "public_address") },
		{ "subnet-id", text_of(instance, "subnet") }, { "vpc-id", text_of(instance, "vpc") } };
	char path[160];

	for (size_t i = 0; i < sizeof leaves / sizeof *leaves; i++) {
		snprintf(path, sizeof path, "meta-data/network/interfaces/macs/%.40s/%s",
			text_of(instance, "mac"), leaves[i].name);
		if (!leaf_if(tree, path, leaves[i].text))
			return false;
	}
	snprintf(path, sizeof path, "meta-data/network/interfaces/macs/%.40s/security-group-ids",
		text_of(instance, "mac"));
	return leaf_groups(tree, path, instance, "id");
}

static void launch_time(const json_t *instance, char text[TIME_SIZE])
{
	time_t time;

	text[0] = '\0';
	if (time_read(text_of(instance, "launch_time"), &time))
		time_write_seconds(time, text);
}

static bool profile_add(json_t *tree, const json_t *instance)
{
	const char *arn = text_of(instance, "profile_arn");
	char text[1024], updated[TIME_SIZE];

	if (!*arn)
		return true;
	launch_time(instance, updated);
	snprintf(text, sizeof text,
		"{\n  \"Code\" : \"Success\",\n  \"LastUpdated\" : \"%s\",\n  \"InstanceProfileArn\" : "
		"\"%s\",\n"
		"  \"InstanceProfileId\" : \"%s\"\n}",
		updated, arn, text_of(instance, "profile_id"));
	return leaf(tree, "meta-data/iam/info", text);
}

/* The members, their order and the layout are those of a document that AWS made. */
static bool document_add(json_t *tree, const json_t *instance)
{
	char text[2048], pending[TIME_SIZE];

	launch_time(instance, pending);
	snprintf(text, sizeof text,
		"{\n  \"accountId\" : \"%s\",\n  \"architecture\" : \"%s\",\n  \"availabilityZone\" : "
		"\"%s\",\n"
		"  \"billingProducts\" : null,\n  \"devpayProductCodes\" : null,\n"
		"  \"marketplaceProductCodes\" : null,\n  \"imageId\" : \"%s\",\n  \"instanceId\" : \"%s\",\n"
		"  \"instanceType\" : \"%s\",\n  \"kernelId\" : null,\n  \"pendingTime\" : \"%s\",\n"
		"  \"privateIp\" : \"%s\",\n  \"ramdiskId\" : null,\n  \"region\" : \"%s\",\n"
		"  \"version\" : \"2017-09-30\"\n}",
		text_of(instance, "account"), text_of(instance, "architecture"),
		text_of(instance, "availability_zone"), text_of(instance, "image"), text_of(instance, "id"),
		text_of(instance, "type"), pending, text_of(instance, "address"),
		text_of(instance, "region"));
	return leaf(tree, "dynamic/instance-identity/document", text);
}

static json_t *tree_make(const json_t *instance)
{
	json_t *tree = json_object();

	if (tree && kind_add(tree, instance) && names_add(tree, instance) && place_add(tree, instance) &&
		interface_add(tree, instance) && profile_add(tree, instance) && document_add(tree, instance))
		return tree;
	json_decref(tree);
	return NULL;
}

/* ---- answers */

static void page_error(struct answer *answer, int status, const char *words)
{
	answer->status = status;
	answer->content_type = "text/html";
	buffer_cut(&answer->body, 0);
	buffer_format(&answer->body,
		"<?xml version=\"1.0\" encoding=\"iso-8859-1\"?>\n"
		"<!DOCTYPE html PUBLIC \"-//W3C//DTD XHTML 1.0 Transitional//EN\"\n"
		"\t\"http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd\">\n"
		"<html xmlns=\"http://www.w3.org/1999/xhtml\" xml:lang=\"en\" lang=\"en\">\n"
		" <head>\n  <title>%d - %s</title>\n </head>\n <body>\n  <h1>%d - %s</h1>\n "
		"</body>\n</html>\n",
		status, words, status, words);
}

/* Adds a line to the listing unless it is the one before again. */
static void listing_add(struct buffer *out, const char *rest, char last[128])
{
	size_t length = strcspn(rest, "/");
	char name[128];

	snprintf(name, sizeof name, "%.*s%s", (int)length, rest, rest[length] ? "/" : "");
	if (!strcmp(name, last))
		return;
	buffer_format(out, "%s%s", out->length ? "\n" : "", name);
	strcpy(last, name);
}

/* A leaf's text, or what is below `path`; false: neither. */
static bool tree_read(json_t *tree, const char *path, struct buffer *out)
{
	const char *text = json_string_value(json_object_get(tree, path)), *name;
	size_t length = strlen(path);
	char last[128] = "";
	json_t *value;

	if (text) {
		buffer_text(out, text);
		return true;
	}
	while (length && path[length - 1] == '/')
		length--;
	json_object_foreach(
		tree, name, value) if (!length || (!strncmp(name, path, length) && name[length] == '/'))
		listing_add(out, name + length + (length > 0), last);
	return out->length > 0;
}

static bool token_is_good(const json_t *instance, const char *token)
{
	uint64_t expires;

	return token_open(token, "metadata", text_of(instance, "id"), &expires) &&
	       expires > (uint64_t)clock_now();
}

static void token_put(const json_t *instance, const struct request *request, struct answer *answer)
{
	const char *given = request_header(request, "x-aws-ec2-metadata-token-ttl-seconds");
	unsigned long ttl = given ? strtoul(given, NULL, 10) : 0;
	char token[TOKEN_SIZE], text[24];

	if (request_header(request, "x-forwarded-for")) {
		page_error(answer, 403, "Forbidden");
		return;
	}
	if (!given || strspn(given, "0123456789") != strlen(given) || ttl < 1 || ttl > TTL_MAX) {
		page_error(answer, 400, "Bad Request");
		return;
	}
	if (!token_make(token, "metadata", text_of(instance, "id"), (uint64_t)clock_now() + ttl))
		return;
	snprintf(text, sizeof text, "%lu", ttl);
	answer_header(answer, "X-Aws-Ec2-Metadata-Token-Ttl-Seconds", text);
	answer->status = 200;
	answer->content_type = "text/plain";
	buffer_text(&answer->body, token);
}

static void tree_get(const json_t *instance, const struct request *request, struct answer *answer)
{
	const char *token = request_header(request, "x-aws-ec2-metadata-token");
	bool optional = !strcmp(text_of(instance, "http_tokens"), "optional");
	json_t *tree;

	/* Version 1, without a token, works where the instance's options still allow it. */
	if (token ? !token_is_good(instance, token) : !optional) {
		page_error(answer, 401, "Unauthorized");
		return;
	}
	tree = tree_make(instance);
	if (!tree)
		return;
	answer->status = 200;
	answer->content_type = "text/plain";
	if (strncmp(request->path, root, strlen(root)) != 0 ||
		!tree_read(tree, request->path + strlen(root), &answer->body))
		page_error(answer, 404, "Not Found");
	json_decref(tree);
}

static void instance_answer(const json_t *instance, const struct request *request, struct answer *answer)
{
	answer_header(answer, "Server", "EC2ws");
	if (!strcmp(text_of(instance, "http_endpoint"), "disabled"))
		page_error(answer, 403, "Forbidden");
	else if (!strcmp(request->method, "PUT") && !strcmp(request->path, token_path))
		token_put(instance, request, answer);
	else if (!strcmp(request->method, "GET"))
		tree_get(instance, request, answer);
	else
		page_error(answer, 405, "Not Allowed");
}

/* A fault's `instance` is the one that asks. */
static bool fault_concerns(const void *instance, const char *id)
{
	return instance && !strcmp(text_of(instance, "id"), id);
}

static void answer_fail(struct answer *answer, enum fault_mode mode)
{
	if (mode == FAULT_THROTTLE)
		page_error(answer, 503, "Service Unavailable");
	else if (mode == FAULT_ERROR_500)
		page_error(answer, 500, "Internal Server Error");
	else if (mode == FAULT_ERROR_200)
		page_error(answer, 200, "Internal Server Error");
}

void metadata_route(void *context, const struct request *request, struct answer *answer)
{
	struct sim *sim = context;
	const char *action = strcmp(request->path, token_path) ? "metadata" : "metadata-token";
	const json_t *instance;
	struct fault fault;
	char outcome[24];

	pthread_mutex_lock(&sim->lock);
	instance = state_instance_at(sim->state, request->source);
	fault_take(&sim->faults, action, fault_concerns, instance, &fault);
	if (instance) {
		instance_answer(instance, request, answer);
		answer_fail(answer, fault.mode);
		snprintf(outcome, sizeof outcome, "%d", answer->status);
	} else {
		answer->delivery = DELIVER_RESET;
		snprintf(outcome, sizeof outcome, "no-instance");
	}
	answer_spoil(answer, &fault);
	count_call(
		sim->counters, action, fault.mode == FAULT_NONE ? outcome : fault_mode_name(fault.mode), 0);
	pthread_mutex_unlock(&sim->lock);
}
