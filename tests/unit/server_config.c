/* Configuration: the shipped examples load, and each mistake is named with its place and mend. */
#include "server/config.h"
#include "tests/unit/unit.h"
#include "vault/file.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[] = "/tmp/vouchsafe-config-XXXXXX";
static char path[64];

static int set_up(void **state)
{
	(void)state;
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof(path), "%s/vouchsafe.json", folder);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	unlink(path);
	return rmdir(folder);
}

static const char good[] =
	"{\n"
	"  \"node\": \"rp-1\",\n"
	"  \"listen\": \"127.0.0.1:8443\", \"ops_listen\": \"127.0.0.1:8444\",\n"
	"  \"store\": \"sqlite:v.db\", \"policy\": \"/p.json\", \"vault\": \"v.json\",\n"
	"  \"aws\": { \"accounts\": { \"123456789012\": { \"regions\": [\"us-east-1\"] } } }\n"
	"}\n";

static bool load_changed(const char *from, const char *to, struct config *config, struct complaint *complaint)
{
	const char *at = strstr(good, from);
	FILE *file = fopen(path, "w");

	assert_non_null(at);
	assert_non_null(file);
	fprintf(file, "%.*s%s%s", (int)(at - good), good, to, at + strlen(from));
	fclose(file);
	return config_load(path, config, complaint);
}

static void assert_refused(const char *from, const char *to, const char *place, const char *words)
{
	static struct config config;
	struct complaint complaint = { "" };
	char expected[200];

	assert_false(load_changed(from, to, &config, &complaint));
	snprintf(expected, sizeof(expected), "%s:%s", path, place);
	if (strncmp(complaint.text, expected, strlen(expected)) != 0 || !strstr(complaint.text, words))
		fail_msg("complaint: %s\nexpected: %s ... %s", complaint.text, expected, words);
}

static void good_one(void **state)
{
	static struct config config;
	struct complaint complaint = { "" };
	char expected[100];

	(void)state;
	assert_true(load_changed("{\n", "{\n", &config, &complaint));
	assert_string_equal(config.node, "rp-1");
	assert_int_equal(ntohs(config.listen.sin_port), 8443);
	snprintf(expected, sizeof(expected), "sqlite:%s/v.db", folder);
	assert_string_equal(config.store, expected); /* relative to the file */
	assert_string_equal(config.policy, "/p.json");
	assert_int_equal(config.deadline_ms, 10000);
	assert_int_equal(config.waiting, 20000);
	assert_int_equal(config.aws.n_accounts, 1);
	assert_string_equal(config.aws.accounts[0].regions[0], "us-east-1");
	assert_false(config.development);
}

static void mistakes(void **state)
{
	(void)state;
	assert_refused("\"rp-1\"", "\"RP 1\"", "2:11: node:", "not a name");
	assert_refused("127.0.0.1:8443", "localhost:8443", "3:13: listen:", "such as");
	assert_refused("127.0.0.1:8443", "127.0.0.1:99999", "3:13: listen:", "such as");
	assert_refused("127.0.0.1:8444", "0.0.0.0:8444", "3:45: ops_listen:", "loopback");
	assert_refused("sqlite:v.db", "mysql://x", "4:12: store:", "sqlite:");
	assert_refused("us-east-1", "us-east-9", "5:", "no region that this version knows");
	assert_refused("123456789012", "1234", "5:", "12 digits");
	assert_refused("\"aws\": {", "\"aws\": { \"endpoints\": {\"ec2\": \"http://127.0.0.1:1\"},",
		"5:", "development");
	assert_refused("\"node\"", "\"nodes\"", "2:", "did you mean \"node\"");
	assert_refused("}\n", "\n", "7:", "not valid JSON");
	assert_refused("\"node\"", "\"node\": \"a\", \"node\"", "2:", "not valid JSON");
}

/* Settings of the design that this version does not enforce yet. */
static void not_enforced(void **state)
{
	static const char *const settings[] = {
		"\"tls\": {}",
		"\"ops_tls\": {}",
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
		char text[100];

		snprintf(text, sizeof(text), "%s, \"node\"", settings[i]);
		assert_refused("\"node\"", text, "2:", "no such setting");
	}
	assert_refused("\"node\"", "\"limits\": {\"per_address\": 4}, \"node\"", "2:", "no such setting");
	assert_refused("\"regions\"", "\"assume_role\": \"arn\", \"regions\"", "5:", "no such setting");
}

static void forwarding(void **state)
{
	static struct config config;
	struct complaint complaint = { "" };

	(void)state;
	assert_true(load_changed("\"store\"",
		"\"trusted_proxies\": [\"10.0.255.0/28\", \"192.168.7.9/32\", \"11.0.0.0/8\"], "
		"\"forwarded_by\": "
		"\"x-forwarded-for\", \"proxy_hops\": 2, \"store\"",
		&config, &complaint));
	assert_int_equal(config.forwarding.by, FORWARDED_BY_HEADER);
	assert_int_equal(config.forwarding.hops, 2);
	assert_int_equal(config.forwarding.n_proxies, 3);
	assert_int_equal(ntohl(config.forwarding.proxies[0].address.s_addr), 0x0a00ff00);
	assert_int_equal(config.forwarding.proxies[0].bits, 28);
	assert_int_equal(config.forwarding.proxies[1].bits, 32);
	assert_true(load_changed("\"store\"",
		"\"trusted_proxies\": [\"10.0.255.0/28\"], \"forwarded_by\": \"proxy-protocol\", \"store\"",
		&config, &complaint));
	assert_int_equal(config.forwarding.by, FORWARDED_BY_PROXY_PROTOCOL);
	assert_int_equal(config.forwarding.hops, 1);
	assert_true(load_changed("{\n", "{\n", &config, &complaint));
	assert_int_equal(config.forwarding.by, FORWARDED_BY_NOBODY);
	assert_int_equal(config.forwarding.n_proxies, 0);
}

static void forwarding_settings(void **state)
{
	(void)state;
	assert_refused("\"store\"", "\"trusted_proxies\": [\"10.0.255.0/28\"], \"store\"",
		"4:22: trusted_proxies:", "goes together with \"forwarded_by\"");
	assert_refused("\"store\"", "\"forwarded_by\": \"proxy-protocol\", \"store\"",
		"4:19: forwarded_by:", "goes together with \"trusted_proxies\"");
	assert_refused("\"store\"", "\"forwarded_by\": \"forwarded\", \"store\"",
		"4:19: forwarded_by:", "write one of \"proxy-protocol\", \"x-forwarded-for\"");
	assert_refused("\"store\"", "\"proxy_hops\": 1, \"store\"", "4:17: proxy_hops:", "x-forwarded-for");
	assert_refused("\"store\"",
		"\"proxy_hops\": 1, \"trusted_proxies\": [\"10.0.255.0/28\"], \"forwarded_by\": "
		"\"proxy-protocol\", "
		"\"store\"",
		"4:17: proxy_hops:", "x-forwarded-for");
	assert_refused("\"store\"",
		"\"proxy_hops\": 9, \"trusted_proxies\": [\"10.0.255.0/28\"], \"forwarded_by\": "
		"\"x-forwarded-for\", "
		"\"store\"",
		"4:17: proxy_hops:", "8");
	assert_refused("\"store\"",
		"\"trusted_proxies\": [], \"forwarded_by\": \"proxy-protocol\", \"store\"",
		"4:22: trusted_proxies:", "");
}

/* A network that cannot be balancers' alone, or that has another spelling too. */
static void forwarding_networks(void **state)
{
	static const struct {
		const char *text, *words;
	} cases[] = {
		{ "10.0.255.0", "not an IPv4 network" },
		{ "10.0.255.0/", "not an IPv4 network" },
		{ "/28", "not an IPv4 network" },
		{ "10.0.255/24", "not an IPv4 network" },
		{ "10.0.255.0/028", "not an IPv4 network" },
		{ "10.0.255.0/08", "not an IPv4 network" },
		{ "10.0.255.0/33", "not an IPv4 network" },
		{ "10.0.255.0/+8", "not an IPv4 network" },
		{ "10.0.255.0/255.255.255.0", "not an IPv4 network" },
		{ "010.0.255.0/28", "not an IPv4 network" },
		{ "10.0.255.0/28 ", "not an IPv4 network" },
		{ " 10.0.255.0/28", "not an IPv4 network" },
		{ "fd00::/64", "not an IPv4 network" },
		{ "::ffff:10.0.255.0/124", "not an IPv4 network" },
		{ "100.100.100.100.100/28", "not an IPv4 network" },
		{ "10.0.255.1/28", "bits behind the first 28 are set" },
		{ "10.0.255.0/23", "bits behind the first 23 are set" },
		{ "10.0.0.1/31", "bits behind the first 31 are set" },
		{ "0.0.0.0/0", "agents live in it" },
		{ "10.0.0.0/7", "agents live in it" },
		{ "128.0.0.0/1", "agents live in it" },
		{ "10.0.0.0/8", "agents live in it" },
		{ "127.0.0.0/8", "agents live in it" },
		{ "172.0.0.0/8", "agents live in it" },
		{ "172.16.0.0/12", "agents live in it" },
		{ "192.168.0.0/16", "agents live in it" },
		{ "192.0.0.0/8", "agents live in it" },
		{ "100.64.0.0/10", "agents live in it" },
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[200];

		snprintf(text, sizeof(text),
			"\"forwarded_by\": \"proxy-protocol\", \"trusted_proxies\": [\"10.1.0.0/16\", "
			"\"%s\"], \"store\"",
			cases[i].text);
		assert_refused("\"store\"", text, "4:72: trusted_proxies[1]:", cases[i].words);
	}
}

static void development(void **state)
{
	static struct config config;
	struct complaint complaint = { "" };

	(void)state;
	assert_true(load_changed("\"aws\": {",
		"\"development\": true, \"aws\": { \"endpoints\": {\"ec2\": \"http://127.0.0.1:1\"},",
		&config, &complaint));
	assert_string_equal(config.aws.ec2_endpoint, "http://127.0.0.1:1");
	assert_refused("\"listen\": \"127.0.0.1:8443\"",
		"\"development\": true, \"listen\": \"0.0.0.0:8443\"", "3:", "only loopback");
}

static void unreadable(void **state)
{
	static struct config config;
	struct complaint complaint = { "" };

	(void)state;
	assert_false(config_load("/nonexistent/vouchsafe.json", &config, &complaint));
	assert_non_null(strstr(complaint.text, "/nonexistent/vouchsafe.json: No such file"));
}

static void shipped_examples(void **state)
{
	static struct config config;
	static struct vault_file vault;
	struct complaint complaint = { "" };
	struct anchors *anchors;
	struct policy *policy;

	(void)state;
	if (!config_load("conf/vouchsafe.json", &config, &complaint))
		fail_msg("%s", complaint.text);
	anchors = config_anchors(&config, &complaint);
	if (!anchors)
		fail_msg("%s", complaint.text);
	policy = config_policy(&config, anchors, &complaint);
	anchors_free(anchors);
	if (!policy)
		fail_msg("%s", complaint.text);
	if (!vault_file_load(config.vault, &vault, &complaint))
		fail_msg("%s", complaint.text);
	assert_string_equal(vault.members[0].name, "hsm-a");
	policy_free(policy);
}

static void policy_beyond_configuration(void **state)
{
	static struct config config;
	struct anchors *anchors;
	struct complaint complaint = { "" };

	(void)state;
	assert_true(load_changed("us-east-1", "us-west-2", &config, &complaint));
	strcpy(config.policy, "conf/policy.json");
	anchors = config_anchors(&config, &complaint);
	assert_null(config_policy(&config, anchors, &complaint));
	anchors_free(anchors);
	assert_non_null(strstr(complaint.text, "region us-east-1"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_one),
		cmocka_unit_test(mistakes),
		cmocka_unit_test(not_enforced),
		cmocka_unit_test(forwarding),
		cmocka_unit_test(forwarding_settings),
		cmocka_unit_test(forwarding_networks),
		cmocka_unit_test(development),
		cmocka_unit_test(unreadable),
		cmocka_unit_test(shipped_examples),
		cmocka_unit_test(policy_beyond_configuration),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
