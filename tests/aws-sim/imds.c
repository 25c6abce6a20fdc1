/* The instance metadata service, version 2, for every simulated instance at once: the caller's source
 * address says which instance is asking. Whoever calls from an address that belongs to no running
 * instance sees what a host without the service sees: the connection is reset. Of the signed identity
 * documents there is the rsa2048 form alone; the older ones are 404. */
#include "tests/aws-sim/account.h"
#include "tests/aws-sim/clock.h"
#include "tests/aws-sim/credentials.h"
#include "tests/aws-sim/identity.h"
#include "tests/aws-sim/ids.h"
#include "tests/aws-sim/sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TTL_MAX = 21600 };

static const char root[] = "/latest/";
static const char token_path[] = "/latest/api/token";
static const char credentials_path[] = "meta-data/iam/security-credentials/";
static const char identity_path[] = "dynamic/instance-identity/rsa2048";

/* ---- what there is to read: a flat object, path -> text, or null where the text is made when it is read */

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

/* Absent without a role; the text is made when it is asked for. */
static bool role_add_to(json_t *tree, const char *role)
{
	char path[160];

	if (!*role)
		return true;
	snprintf(path, sizeof path, "%s%s", credentials_path, role);
	return set_member(tree, path, json_null());
}

static bool identity_add(json_t *tree, const json_t *instance)
{
	struct buffer document = { 0 };
	bool added;

	identity_write(&document, instance);
	buffer_add(&document, "", 1);
	added = !document.failed && leaf(tree, "dynamic/instance-identity/document", document.data) &&
		set_member(tree, identity_path, json_null());
	buffer_clear(&document);
	return added;
}

static json_t *tree_make(const json_t *instance, const char *role)
{
	json_t *tree = json_object();

	if (tree && kind_add(tree, instance) && names_add(tree, instance) && place_add(tree, instance) &&
		interface_add(tree, instance) && profile_add(tree, instance) && role_add_to(tree, role) &&
		identity_add(tree, instance))
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

static bool credentials_read(struct state *state, const json_t *instance, struct buffer *out)
{
	const json_t *key = credentials_current(state, instance);
	char since[TIME_SIZE], expires[TIME_SIZE];

	if (!key)
		return false;
	time_write_seconds(number_of(key, "since"), since);
	time_write_seconds(number_of(key, "expires"), expires);
	buffer_format(out,
		"{\n  \"Code\" : \"Success\",\n  \"LastUpdated\" : \"%s\",\n  \"Type\" : \"AWS-HMAC\",\n"
		"  \"AccessKeyId\" : \"%s\",\n  \"SecretAccessKey\" : \"%s\",\n  \"Token\" : \"%s\",\n"
		"  \"Expiration\" : \"%s\"\n}",
		since, text_of(key, "id"), text_of(key, "secret"), text_of(key, "token"), expires);
	return true;
}

/* Makes a text that is not in the tree. */
static bool leaf_make(struct state *state, const json_t *instance, const char *path, struct buffer *out)
{
	if (!strcmp(path, identity_path))
		return identity_sign(out, state, instance);
	return credentials_read(state, instance, out);
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

static bool path_read(struct state *state, const json_t *instance, const char *path, struct buffer *out)
{
	json_t *tree = tree_make(instance, text_of(credentials_role(state, instance), "name"));
	bool read;

	if (json_is_null(json_object_get(tree, path)))
		read = leaf_make(state, instance, path, out);
	else
		read = tree && tree_read(tree, path, out);
	out->failed |= !tree;
	json_decref(tree);
	return read;
}

static void tree_get(
	struct state *state, const json_t *instance, const struct request *request, struct answer *answer)
{
	const char *token = request_header(request, "x-aws-ec2-metadata-token");
	bool optional = !strcmp(text_of(instance, "http_tokens"), "optional");

	/* Version 1, without a token, works where the instance's options still allow it. */
	if (token ? !token_is_good(instance, token) : !optional) {
		page_error(answer, 401, "Unauthorized");
		return;
	}
	answer->status = 200;
	answer->content_type = "text/plain";
	if (strncmp(request->path, root, strlen(root)) != 0 ||
		!path_read(state, instance, request->path + strlen(root), &answer->body))
		page_error(answer, 404, "Not Found");
}

static void instance_answer(
	struct state *state, const json_t *instance, const struct request *request, struct answer *answer)
{
	answer_header(answer, "Server", "EC2ws");
	if (!strcmp(text_of(instance, "http_endpoint"), "disabled"))
		page_error(answer, 403, "Forbidden");
	else if (!strcmp(request->method, "PUT") && !strcmp(request->path, token_path))
		token_put(instance, request, answer);
	else if (!strcmp(request->method, "GET"))
		tree_get(state, instance, request, answer);
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
	if (mode == FAULT_THROTTLE || mode == FAULT_ERROR_503)
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
		instance_answer(sim->state, instance, request, answer);
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
