/* Configuration: a file becomes a struct, or a complaint with its place. Reads files, and nothing else. */
#include "server/config.h"

#include "aws/bucket.h"
#include "aws/regions.h"
#include "server/access_load.h"
#include "store/store.h"
#include "verifier/encoding.h"
#include "verifier/jsonfile.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CONFIG_BYTES_MAX = 1 << 20, WAITING_DEFAULT = 20000, PER_ADDRESS_DEFAULT = 4 };

/* ---- single settings */

/* "10.0.0.1:8443" */
static bool address_load(
	const struct member *member, struct sockaddr_in *address, struct complaint *complaint)
{
	const char *text;
	const char *colon;
	char host[ADDRESS_SIZE];
	size_t digits;
	unsigned long port;

	if (!member_string(member, 64, &text, complaint))
		return false;
	colon = strrchr(text, ':');
	if (!colon || (size_t)(colon - text) >= sizeof(host))
		return member_complain(
			member, complaint, "not an address; write one such as \"127.0.0.1:8443\"");
	memcpy(host, text, (size_t)(colon - text));
	host[colon - text] = '\0';
	digits = strspn(colon + 1, "0123456789");
	port = strtoul(colon + 1, NULL, 10);
	*address = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons((unsigned short)port) };
	if (!address_decode(host, &address->sin_addr) || digits < 1 || digits > 5 || colon[1 + digits] ||
		port > 65535)
		return member_complain(member, complaint,
			"not an IPv4 address with a port; write one such as \"127.0.0.1:8443\"");
	return true;
}

/* A path; relative to the configuration's own folder. */
static bool path_resolve(const struct config *config, const struct member *member, const char *text,
	char path[PATH_MAX], struct complaint *complaint)
{
	const char *slash = strrchr(config->path, '/');
	int folder = text[0] == '/' || !slash ? 0 : (int)(slash - config->path + 1);

	if (snprintf(path, PATH_MAX, "%.*s%s", folder, config->path, text) >= PATH_MAX)
		return member_complain(member, complaint, "the path is too long");
	return true;
}

static bool path_load(struct config *config, const struct member *root, const char *name, char path[PATH_MAX],
	struct complaint *complaint)
{
	struct member member = member_of(root, name);
	const char *text;

	return member_string(&member, PATH_MAX - 1, &text, complaint) &&
	       path_resolve(config, &member, text, path, complaint);
}

static bool standbys_load(struct config *config, const struct member *root, struct complaint *complaint)
{
	struct member member = member_of(root, "min_sync_standbys");
	long long n = 0;

	if (!member.value)
		return true; /* STANDBYS_AS_FOUND */
	if (!member_integer(&member, 0, STANDBYS_MAX, &n, complaint))
		return false;
	config->min_sync_standbys = n > 0 ? (int)n : STANDBYS_ANY;
	return true;
}

static bool store_load(struct config *config, const struct member *root, struct complaint *complaint)
{
	static const char scheme[] = "sqlite:";
	struct member member = member_of(root, "store");
	char path[PATH_MAX];
	const char *text;

	if (!member_string(&member, STORE_URI_MAX - 1, &text, complaint))
		return false;
	if (strncmp(text, "postgresql://", 13) == 0 || strncmp(text, "postgres://", 11) == 0) {
		snprintf(config->store, sizeof(config->store), "%s", text);
		return standbys_load(config, root, complaint);
	}
	if (member_of(root, "min_sync_standbys").value) {
		member = member_of(root, "min_sync_standbys");
		return member_complain(&member, complaint, "only a PostgreSQL store has standbys");
	}
	if (strncmp(text, scheme, sizeof(scheme) - 1) != 0 || !text[sizeof(scheme) - 1])
		return member_complain(&member, complaint,
			"write \"sqlite:/path/to/file.db\" or \"postgresql://user@host/database\"");
	if (!path_resolve(config, &member, text + sizeof(scheme) - 1, path, complaint))
		return false;
	snprintf(config->store, sizeof(config->store), "%s%s", scheme, path);
	return true;
}

static bool duration_load(const struct member *root, const char *name, long long min, long long max,
	long long *milliseconds, struct complaint *complaint)
{
	struct member member = member_of(root, name);

	return !member.value || member_duration(&member, min, max, milliseconds, complaint);
}

static bool limits_load(struct config *config, const struct member *root, struct complaint *complaint)
{
	static const char *const known[] = { "waiting", "per_address", NULL };
	struct member limits = member_of(root, "limits");
	struct member waiting = member_of(&limits, "waiting");
	struct member per_address = member_of(&limits, "per_address");
	long long most = WAITING_DEFAULT;
	long long of_one = PER_ADDRESS_DEFAULT;

	if (limits.value && !member_object(&limits, known, complaint))
		return false;
	if (waiting.value && !member_integer(&waiting, 1, WAITING_MAX, &most, complaint))
		return false;
	if (per_address.value && !member_integer(&per_address, 1, PER_ADDRESS_MAX, &of_one, complaint))
		return false;
	config->waiting = (unsigned)most;
	config->per_address = (unsigned)of_one;
	return true;
}

/* ---- forwarded addresses */

/* Agents live in these, whatever the network: none of them belongs to balancers as a whole. */
static const struct private_range {
	const char *name;
	uint32_t first;
	unsigned bits;
} private_ranges[] = {
	{ "10.0.0.0/8", 0x0a000000, 8 },
	{ "100.64.0.0/10", 0x64400000, 10 },
	{ "127.0.0.0/8", 0x7f000000, 8 },
	{ "172.16.0.0/12", 0xac100000, 12 },
	{ "192.168.0.0/16", 0xc0a80000, 16 },
};

/* Host bits zero, and not so wide that agents have to be in it. */
static bool network_check(
	const struct member *member, const struct network *network, struct complaint *complaint)
{
	uint32_t address = ntohl(network->address.s_addr);
	uint32_t host_bits;
	size_t i;

	if (network->bits < 8)
		return member_complain(member, complaint,
			"shorter than 8 bits, so agents live in it; name the balancers' own subnets");
	host_bits = network->bits < 32 ? address << network->bits : 0;
	if (host_bits)
		return member_complain(member, complaint,
			"bits behind the first %u are set; they must be zero", network->bits);
	for (i = 0; i < sizeof(private_ranges) / sizeof(private_ranges[0]); i++) {
		const struct private_range *range = &private_ranges[i];

		if (network->bits <= range->bits && (address ^ range->first) >> (32 - network->bits) == 0)
			return member_complain(member, complaint,
				"it holds all of %s, so agents live in it; name the balancers' own subnets",
				range->name);
	}
	return true;
}

/* "10.0.255.0/28" */
static bool network_load(const struct member *member, struct network *network, struct complaint *complaint)
{
	char host[ADDRESS_SIZE];
	const char *text;
	const char *bits;
	bool valid;

	if (!member_string(member, 64, &text, complaint))
		return false;
	snprintf(host, sizeof(host), "%.*s", (int)strcspn(text, "/"), text);
	bits = strchrnul(text, '/');
	bits += *bits ? 1 : 0;
	network->bits = (unsigned)strtoul(bits, NULL, 10);
	valid = strcspn(text, "/") < sizeof(host) && address_decode(host, &network->address) && bits[0] &&
		strspn(bits, "0123456789") == strlen(bits) && strlen(bits) <= 2 &&
		(bits[0] != '0' || !bits[1]) && network->bits <= 32;
	if (!valid)
		return member_complain(
			member, complaint, "not an IPv4 network; write one such as \"10.0.255.0/28\"");
	return network_check(member, network, complaint);
}

static bool proxies_load(
	const struct member *list, struct forwarding *forwarding, struct complaint *complaint)
{
	size_t n;
	size_t i;

	if (!member_array(list, PROXIES_MAX, &n, complaint))
		return false;
	for (i = 0; i < n; i++) {
		struct member element = member_at(list, i);

		if (!network_load(&element, &forwarding->proxies[i], complaint))
			return false;
		forwarding->n_proxies++;
	}
	return true;
}

static bool forwarding_load(struct config *config, const struct member *root, struct complaint *complaint)
{
	static const char *const words[] = { "proxy-protocol", "x-forwarded-for", NULL };
	static const enum forwarded_by by[] = { FORWARDED_BY_PROXY_PROTOCOL, FORWARDED_BY_HEADER };
	struct forwarding *forwarding = &config->forwarding;
	struct member proxies = member_of(root, "trusted_proxies");
	struct member how = member_of(root, "forwarded_by");
	struct member hops = member_of(root, "proxy_hops");
	long long number = 1;
	unsigned index;

	if (how.value && !member_word(&how, words, &index, complaint))
		return false;
	forwarding->by = how.value ? by[index] : FORWARDED_BY_NOBODY;
	if (hops.value && forwarding->by != FORWARDED_BY_HEADER)
		return member_complain(
			&hops, complaint, "goes together with \"forwarded_by\": \"x-forwarded-for\" alone");
	if (hops.value && !member_integer(&hops, 1, PROXY_HOPS_MAX, &number, complaint))
		return false;
	forwarding->hops = (unsigned)number;
	if (proxies.value && !how.value)
		return member_complain(&proxies, complaint,
			"goes together with \"forwarded_by\": \"proxy-protocol\" or \"x-forwarded-for\"");
	if (how.value && !proxies.value)
		return member_complain(&how, complaint,
			"goes together with \"trusted_proxies\"; name the balancers' own subnets there");
	return !proxies.value || proxies_load(&proxies, forwarding, complaint);
}

/* ---- aws */

static bool regions_load(const struct member *account, struct aws_account *kept, struct complaint *complaint)
{
	struct member regions = member_of(account, "regions");
	size_t n;
	size_t i;

	if (!member_array(&regions, AWS_REGIONS_MAX, &n, complaint))
		return false;
	for (i = 0; i < n; i++) {
		struct member region = member_at(&regions, i);
		const char *name;

		if (!member_string(&region, REGION_SIZE - 1, &name, complaint))
			return false;
		if (!aws_region_find(name))
			return member_complain(
				&region, complaint, "\"%s\" is no region that this version knows", name);
		strcpy(kept->regions[kept->n_regions++], name);
	}
	return true;
}

/* A role of this very account, in the partition of its regions. */
static bool assume_role_load(
	const struct member *account, struct aws_account *kept, struct complaint *complaint)
{
	struct member role = member_of(account, "assume_role");
	const char *partition = aws_region_find(kept->regions[0])->partition;
	const char *arn;
	unsigned i;

	if (!role.value)
		return true;
	if (!member_string(&role, ROLE_ARN_SIZE - 1, &arn, complaint))
		return false;
	for (i = 1; i < kept->n_regions; i++)
		if (strcmp(aws_region_find(kept->regions[i])->partition, partition) != 0)
			return member_complain(&role, complaint,
				"the account's regions are of several partitions of AWS; a role is of one");
	if (!role_arn_name(arn, partition, kept->id))
		return member_complain(&role, complaint,
			"not a role of this account; write \"arn:%s:iam::%s:role/NAME\"", partition,
			kept->id);
	strcpy(kept->assume_role, arn);
	return true;
}

static bool external_id_load(
	const struct member *account, struct aws_account *kept, struct complaint *complaint)
{
	struct member id = member_of(account, "external_id");
	const char *text;

	if (!id.value)
		return true;
	if (!kept->assume_role[0])
		return member_complain(&id, complaint, "goes together with \"assume_role\"");
	if (!member_string(&id, EXTERNAL_ID_SIZE - 1, &text, complaint))
		return false;
	if (!external_id_valid(text))
		return member_complain(
			&id, complaint, "not an external id: 2 to 1224 letters, digits and _+=,.@:/-");
	strcpy(kept->external_id, text);
	return true;
}

static bool account_load(const struct member *account, const char *id, struct aws_settings *settings,
	struct complaint *complaint)
{
	static const char *const known[] = { "regions", "assume_role", "external_id", NULL };
	struct aws_account *kept = &settings->accounts[settings->n_accounts];
	unsigned i;

	if (!account_id_valid(id))
		return member_complain(account, complaint, "not an account id of 12 digits");
	strcpy(kept->id, id);
	if (!member_object(account, known, complaint) || !regions_load(account, kept, complaint) ||
		!assume_role_load(account, kept, complaint) || !external_id_load(account, kept, complaint))
		return false;
	for (i = 0; i < settings->n_accounts && !kept->assume_role[0]; i++)
		if (!settings->accounts[i].assume_role[0])
			return member_complain(account, complaint,
				"the server's own credentials belong to one account, as %s is; write "
				"\"assume_role\" for the others",
				settings->accounts[i].id);
	settings->n_accounts++;
	return true;
}

static bool accounts_load(struct config *config, const struct member *aws, struct complaint *complaint)
{
	struct member accounts = member_of(aws, "accounts");
	const char *id;
	json_t *value;

	if (!json_is_object(accounts.value) || json_object_size(accounts.value) == 0 ||
		json_object_size(accounts.value) > AWS_ACCOUNTS_MAX)
		return member_complain(&accounts, complaint,
			"write an object of 1 to %d accounts, as in {\"123456789012\": {\"regions\": "
			"[\"us-east-1\"]}}",
			AWS_ACCOUNTS_MAX);
	json_object_foreach((json_t *)accounts.value, id, value)
	{
		struct member account = member_of(&accounts, id);

		if (!account_load(&account, id, &config->aws, complaint))
			return false;
	}
	return true;
}

static bool endpoint_load(
	const struct member *endpoints, const char *name, char url[256], struct complaint *complaint)
{
	struct member member = member_of(endpoints, name);
	const char *text;

	if (!member.value)
		return true;
	if (!member_string(&member, 255, &text, complaint))
		return false;
	if ((strncmp(text, "http://", 7) != 0 && strncmp(text, "https://", 8) != 0) ||
		text[strlen(text) - 1] == '/')
		return member_complain(
			&member, complaint, "not a base URL; write one such as \"http://127.0.0.1:5000\"");
	strcpy(url, text);
	return true;
}

/* AWS grants more where it was asked to. */
static bool bucket_load(struct config *config, const struct member *aws, struct complaint *complaint)
{
	static const char *const known[] = { "size", "per_second", NULL };
	struct member bucket = member_of(aws, "bucket");
	struct member size = member_of(&bucket, "size");
	struct member rate = member_of(&bucket, "per_second");
	long long tokens = 0;
	long long per_second = 0;

	if (bucket.value && (!member_object(&bucket, known, complaint) ||
				    !member_integer(&size, 1, BUCKET_MOST, &tokens, complaint) ||
				    !member_integer(&rate, 1, BUCKET_MOST, &per_second, complaint)))
		return false;
	config->aws.bucket_size = (unsigned)tokens;
	config->aws.bucket_per_second = (unsigned)per_second;
	return true;
}

static bool aws_load(struct config *config, const struct member *root, struct complaint *complaint)
{
	static const char *const known[] = { "accounts", "bucket", "endpoints", NULL };
	static const char *const services[] = { "ec2", "iam", "sts", NULL };
	struct member aws = member_of(root, "aws");
	struct member endpoints = member_of(&aws, "endpoints");

	if (!member_object(&aws, known, complaint) || !accounts_load(config, &aws, complaint) ||
		!bucket_load(config, &aws, complaint))
		return false;
	/* what the trail of a role's own account shows */
	snprintf(config->aws.session, sizeof(config->aws.session), "vouchsafe-%.50s", config->node);
	if (!endpoints.value)
		return true;
	if (!config->development)
		return member_complain(&endpoints, complaint,
			"allowed with \"development\": true alone; take it out, the compiled hosts are used "
			"then");
	return member_object(&endpoints, services, complaint) &&
	       endpoint_load(&endpoints, "ec2", config->aws.ec2_endpoint, complaint) &&
	       endpoint_load(&endpoints, "iam", config->aws.iam_endpoint, complaint) &&
	       endpoint_load(&endpoints, "sts", config->aws.sts_endpoint, complaint);
}

/* ---- TLS */

/* The paths of one listener's files. The authorities are for whoever shows a certificate: agents never do. */
static bool tls_load(struct config *config, const struct member *root, const char *name,
	struct tls_files *files, struct complaint *complaint)
{
	static const char *const plain[] = { "certificate", "key", NULL };
	static const char *const known[] = { "certificate", "key", "client_ca", "client_crl", NULL };
	struct member tls = member_of(root, name);
	struct member ca = member_of(&tls, "client_ca");
	struct member crl = member_of(&tls, "client_crl");

	if (!tls.value)
		return true;
	if (!member_object(&tls, files == &config->ops_tls ? known : plain, complaint) ||
		!path_load(config, &tls, "certificate", files->certificate, complaint) ||
		!path_load(config, &tls, "key", files->key, complaint))
		return false;
	if (crl.value && !ca.value)
		return member_complain(&crl, complaint,
			"goes together with \"client_ca\"; name the file of the authorities that it is of");
	return (!ca.value || path_load(config, &tls, "client_ca", files->client_ca, complaint)) &&
	       (!crl.value || path_load(config, &tls, "client_crl", files->client_crl, complaint));
}

/* ---- the whole */

static bool is_loopback(const struct sockaddr_in *address)
{
	return ntohl(address->sin_addr.s_addr) >> 24 == 127;
}

static bool listeners_load(struct config *config, const struct member *root, struct complaint *complaint)
{
	struct member listen = member_of(root, "listen");
	struct member ops = member_of(root, "ops_listen");

	if (!address_load(&listen, &config->listen, complaint) ||
		!address_load(&ops, &config->ops_listen, complaint))
		return false;
	if (config->development && !is_loopback(&config->listen))
		return member_complain(
			&listen, complaint, "with \"development\": true only loopback is allowed");
	if (config->development && !is_loopback(&config->ops_listen))
		return member_complain(
			&ops, complaint, "with \"development\": true only loopback is allowed");
	if (!is_loopback(&config->ops_listen) && !config->ops_tls.certificate[0])
		return member_complain(&ops, complaint,
			"without \"ops_tls\" only loopback is allowed; use an address such as "
			"\"127.0.0.1:8444\", or set \"ops_tls\"");
	return true;
}

static bool node_load(struct config *config, const struct member *root, struct complaint *complaint)
{
	struct member node = member_of(root, "node");
	struct member development = member_of(root, "development");
	const char *text;

	if (!member_string(&node, NAME_SIZE - 1, &text, complaint))
		return false;
	if (!name_valid(text))
		return member_complain(&node, complaint, "not a name: lower-case letters, digits and dashes");
	strcpy(config->node, text);
	return !development.value || member_boolean(&development, &config->development, complaint);
}

static bool certificates_load(struct config *config, const struct member *root, struct complaint *complaint)
{
	struct member member = member_of(root, "identity_certificates");

	return !member.value ||
	       path_load(config, root, "identity_certificates", config->identity_certificates, complaint);
}

static bool root_load(struct config *config, const struct member *root, struct complaint *complaint)
{
	static const char *const known[] = { "node", "listen", "tls", "ops_listen", "ops_tls", "deadline",
		"drain", "limits", "trusted_proxies", "forwarded_by", "proxy_hops", "store",
		"min_sync_standbys", "policy", "vault", "identity_certificates", "aws", "audit_access",
		"development", NULL };

	config->deadline_ms = 10000;
	return member_object(root, known, complaint) && node_load(config, root, complaint) &&
	       tls_load(config, root, "tls", &config->tls, complaint) &&
	       tls_load(config, root, "ops_tls", &config->ops_tls, complaint) &&
	       listeners_load(config, root, complaint) &&
	       duration_load(root, "deadline", 1000, 120000, &config->deadline_ms, complaint) &&
	       duration_load(root, "drain", 0, 600000, &config->drain_ms, complaint) &&
	       limits_load(config, root, complaint) && forwarding_load(config, root, complaint) &&
	       store_load(config, root, complaint) &&
	       path_load(config, root, "policy", config->policy, complaint) &&
	       path_load(config, root, "vault", config->vault, complaint) &&
	       certificates_load(config, root, complaint) && aws_load(config, root, complaint) &&
	       accesses_load(config, root, complaint);
}

bool config_load(const char *path, struct config *config, struct complaint *complaint)
{
	struct jsonfile *file = NULL;
	unsigned char *text;
	struct member root;
	size_t length;
	bool loaded = false;

	memset(config, 0, sizeof(*config));
	if (snprintf(config->path, sizeof(config->path), "%s", path) >= (int)sizeof(config->path))
		return complain(complaint, "%s: the path is too long", path);
	text = config_file_read(path, CONFIG_BYTES_MAX, &length, complaint);
	if (!text)
		return false;
	file = jsonfile_parse(path, (struct bytes){ text, length }, complaint);
	if (file) {
		root = jsonfile_root(file);
		loaded = root_load(config, &root, complaint);
	}
	jsonfile_free(file);
	free(text);
	return loaded;
}
