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
	assert_int_equal(config.per_address, 4);
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

#define ACCOUNT "\"123456789012\": { \"regions\": [\"us-east-1\"] }"
#define OTHER "\"210987654321\": { \"regions\": [\"us-east-1\"]"
#define ROLE "\"arn:aws:iam::210987654321:role/path/vouchsafe\""

/* Several accounts: all but one by a role of their own. */
static void accounts(void **state)
{
	static struct config config;
	struct complaint complaint = { "" };

	(void)state;
	assert_true(load_changed(ACCOUNT,
		ACCOUNT ", " OTHER ", \"assume_role\": " ROLE ", \"external_id\": \"a:/b\" }", &config,
		&complaint));
	assert_int_equal(config.aws.n_accounts, 2);
	assert_string_equal(config.aws.accounts[0].assume_role, "");
	assert_string_equal(config.aws.accounts[1].id, "210987654321");
	assert_string_equal(
		config.aws.accounts[1].assume_role, "arn:aws:iam::210987654321:role/path/vouchsafe");
	assert_string_equal(config.aws.accounts[1].external_id, "a:/b");
	assert_string_equal(config.aws.session, "vouchsafe-rp-1");
	assert_true(load_changed(ACCOUNT, OTHER ", \"assume_role\": " ROLE " }", &config, &complaint));
	assert_int_equal(config.aws.n_accounts, 1);
}

static void assert_account_refused(const char *members, const char *words)
{
	char to[2048];

	snprintf(to, sizeof(to), ACCOUNT ", " OTHER "%s }", members);
	assert_refused(ACCOUNT, to, "5:", words);
}

static void accounts_mistaken(void **state)
{
	static const char *const roles[] = { "arn", "arn:aws:iam::123456789012:role/vouchsafe",
		"arn:aws-cn:iam::210987654321:role/vouchsafe", "arn:aws:sts::210987654321:role/vouchsafe",
		"arn:aws:iam::210987654321:user/vouchsafe", "arn:aws:iam::210987654321:role/",
		"arn:aws:iam::210987654321:role/a b", "arn:aws:iam::210987654321:role/a b/c",
		"arn:aws:iam::210987654321:role/a/b*", "arn:aws:iam::210987654321:rolex/a",
		"arn:aws:iam::210987654321:role/"
		"abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklm" };
	static const char *const ids[] = { "a", "a b", "a\\nb", "ab*", "\u00fc\u00fc" };
	char members[512];
	size_t i;

	(void)state;
	assert_account_refused("", "belong to one account, as 123456789012 is");
	assert_account_refused(", \"external_id\": \"abc\"", "goes together with");
	assert_account_refused(", \"assume_role\": 1", "assume_role");
	assert_account_refused(", \"role\": " ROLE, "no such setting");
	for (i = 0; i < sizeof(roles) / sizeof(roles[0]); i++) {
		snprintf(members, sizeof(members), ", \"assume_role\": \"%s\"", roles[i]);
		assert_account_refused(members, "arn:aws:iam::210987654321:role/NAME");
	}
	for (i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		snprintf(members, sizeof(members), ", \"assume_role\": " ROLE ", \"external_id\": \"%s\"",
			ids[i]);
		assert_account_refused(members, "not an external id");
	}
	assert_refused(ACCOUNT,
		"\"210987654321\": { \"regions\": [\"us-east-1\", \"cn-north-1\"], \"assume_role\": " ROLE
		" }",
		"5:", "several partitions");
	assert_refused(ACCOUNT, "", "5:", "1 to 64 accounts");
}

static void limits(void **state)
{
	static struct config config;
	struct complaint complaint = { "" };

	(void)state;
	assert_true(load_changed(
		"\"store\"", "\"limits\": {\"per_address\": 100000}, \"store\"", &config, &complaint));
	assert_int_equal(config.per_address, 100000);
	assert_int_equal(config.waiting, 20000);
	assert_refused("\"store\"", "\"limits\": {\"per_address\": 0}, \"store\"",
		"4:29: limits.per_address:", "100000");
	assert_refused("\"store\"", "\"limits\": {\"per_address\": 100001}, \"store\"",
		"4:29: limits.per_address:", "100000");
	assert_refused("\"store\"", "\"limits\": {\"per_adress\": 1}, \"store\"",
		"4:", "did you mean \"per_address\"");
}

static void tls(void **state)
{
	static struct config config;
	struct complaint complaint = { "" };
	char expected[100];

	(void)state;
	assert_true(load_changed("\"ops_listen\": \"127.0.0.1:8444\"",
		"\"ops_listen\": \"0.0.0.0:8444\", \"tls\": {\"certificate\": \"c.pem\", \"key\": "
		"\"/c.key\"}, "
		"\"ops_tls\": {\"certificate\": \"o.pem\", \"key\": \"o.key\", \"client_ca\": \"ca.pem\", "
		"\"client_crl\": \"crl.pem\"}",
		&config, &complaint));
	snprintf(expected, sizeof(expected), "%s/c.pem", folder);
	assert_string_equal(config.tls.certificate, expected);
	assert_string_equal(config.tls.key, "/c.key");
	assert_string_equal(config.tls.client_ca, "");
	snprintf(expected, sizeof(expected), "%s/crl.pem", folder);
	assert_string_equal(config.ops_tls.client_crl, expected);
	assert_true(load_changed("{\n", "{\n", &config, &complaint));
	assert_string_equal(config.tls.certificate, "");
	assert_string_equal(config.ops_tls.certificate, "");
}

static void tls_settings(void **state)
{
	static const struct {
		const char *text, *place, *words;
	} cases[] = {
		{ "\"tls\": {\"key\": \"k\"}", "4:10: tls.certificate:", "" },
		{ "\"tls\": {\"certificate\": \"c\"}", "4:10: tls.key:", "" },
		{ "\"ops_tls\": {\"key\": \"k\"}", "4:14: ops_tls.certificate:", "" },
		{ "\"ops_tls\": {\"certificate\": \"c\", \"key\": \"\"}", "4:42: ops_tls.key:", "" },
		{ "\"tls\": \"c\"", "4:10: tls:", "" },
		{ "\"tls\": {\"certificate\": \"c\", \"key\": \"k\", \"client_ca\": \"a\"}",
			"4:", "no such setting" },
		{ "\"tls\": {\"certificate\": \"c\", \"key\": \"k\", \"client_crl\": \"a\"}",
			"4:", "no such setting" },
		{ "\"ops_tls\": {\"certificate\": \"c\", \"key\": \"k\", \"client_crl\": \"a\"}",
			"4:61: ops_tls.client_crl:", "goes together with \"client_ca\"" },
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[200];

		snprintf(text, sizeof(text), "%s, \"store\"", cases[i].text);
		assert_refused("\"store\"", text, cases[i].place, cases[i].words);
	}
	assert_refused("127.0.0.1:8444\"",
		"10.0.0.1:8444\", \"tls\": {\"certificate\": \"c\", \"key\": \"k\"}",
		"3:45: ops_listen:", "set \"ops_tls\"");
	assert_refused("127.0.0.1:8444\"",
		"10.0.0.1:8444\", \"development\": true, \"ops_tls\": {\"certificate\": \"c\", \"key\": "
		"\"k\"}",
		"3:45: ops_listen:", "only loopback");
}

/* ---- audit_access */

#define TLS_WITH_CA                                                                                          \
	"\"ops_tls\": {\"certificate\": \"c\", \"key\": \"k\", \"client_ca\": \"a\"},\n \"audit_access\": "
#define HASH "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static void access_entries(void **state)
{
	static struct config config;
	struct complaint complaint = { "" };

	(void)state;
	if (!load_changed("\"store\"",
		    TLS_WITH_CA
		    "[{\"name\": \"a\", \"role\": \"auditor\", \"token_sha256\": \"" HASH "\"},"
		    "{\"name\": \"b\", \"role\": \"on-call\", \"certificate\": {\"issuer\": "
		    "\"CN=CA,O=Example\", "
		    "\"subject\": \"CN=a\\\\,b\\\\C3\\\\BC,1.2.3=#0403\", \"dns\": \"*.audit.example.com\", "
		    "\"email\": \"a+b@example.com\", \"uri\": \"spiffe://example.com/b\"}},"
		    "{\"name\": \"c\", \"role\": \"operator\", \"certificate\": {\"dns\": \"c\"}}], "
		    "\"store\"",
		    &config, &complaint))
		fail_msg("%s", complaint.text);
	assert_int_equal(config.n_access, 3);
	assert_int_equal(config.access[0].role, ACCESS_AUDITOR);
	assert_string_equal(config.access[0].role_name, "auditor");
	assert_false(config.access[0].by_certificate);
	assert_int_equal(config.access[0].token_sha256[31], 0xff);
	assert_int_equal(config.access[1].role, ACCESS_ON_CALL);
	assert_true(config.access[1].by_certificate);
	assert_string_equal(config.access[1].certificate.issuer, "CN=CA,O=Example");
	assert_string_equal(config.access[1].certificate.subject, "CN=a\\,b\\C3\\BC,1.2.3=#0403");
	assert_string_equal(config.access[1].certificate.dns, "*.audit.example.com");
	assert_string_equal(config.access[1].certificate.email, "a+b@example.com");
	assert_string_equal(config.access[1].certificate.uri, "spiffe://example.com/b");
	assert_int_equal(config.access[2].role, ACCESS_OPERATOR);
	assert_string_equal(config.access[2].certificate.subject, "");
}

static void access_mistakes(void **state)
{
	static const struct {
		const char *text, *place, *words;
	} cases[] = {
		{ "\"role\": \"root\", \"token_sha256\": \"" HASH "\"", "5:41: audit_access[0].role:",
			"write one of \"auditor\", \"on-call\", \"operator\"" },
		{ "\"role\": \"auditor\"", "5:19: audit_access[0]:", "exactly one" },
		{ "\"role\": \"auditor\", \"token_sha256\": \"" HASH "\", \"certificate\": {\"dns\": \"c\"}",
			"5:19: audit_access[0]:", "exactly one" },
		{ "\"role\": \"auditor\", \"token_sha256\": \"00\"",
			"5:68: audit_access[0].token_sha256:", "sha256sum" },
		{ "\"role\": \"auditor\", \"token_sha256\": "
		  "\"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\"",
			"5:68: audit_access[0].token_sha256:", "no token at all" },
		{ "\"role\": \"auditor\", \"token_sha256\": \"" HASH "\"}, {\"name\": \"b\", "
		  "\"role\": \"operator\", \"token_sha256\": \"" HASH "\"",
			"5:187: audit_access[1].token_sha256:", "audit_access[0] has the same" },
		{ "\"role\": \"auditor\", \"certificate\": {}",
			"5:67: audit_access[0].certificate:", "it names nobody" },
		{ "\"role\": \"auditor\", \"certificate\": {\"issuer\": \"CN=CA\"}",
			"5:67: audit_access[0].certificate:", "it names nobody" },
		{ "\"role\": \"auditor\", \"certificate\": {\"cn\": \"a\"}", "5:", "no such setting" },
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[500];

		snprintf(text, sizeof(text), TLS_WITH_CA "[{\"name\": \"a\", %s}], \"store\"", cases[i].text);
		assert_refused("\"store\"", text, cases[i].place, cases[i].words);
	}
	assert_refused("\"store\"",
		"\"audit_access\": [{\"name\": \"a\", \"role\": \"auditor\", \"certificate\": {\"dns\": "
		"\"c\"}}], \"store\"",
		"4:68: audit_access[0].certificate:", "\"client_ca\"");
	assert_refused("\"store\"",
		"\"ops_tls\": {\"certificate\": \"c\", \"key\": \"k\"}, \"audit_access\": [{\"name\": \"a\", "
		"\"role\": \"auditor\", \"certificate\": {\"dns\": \"c\"}}], \"store\"",
		"4:113: audit_access[0].certificate:", "\"client_ca\"");
}

/* Names that would match nothing, or more than they seem to. */
static void access_names(void **state)
{
	static const struct {
		const char *member, *text, *words;
	} cases[] = {
		{ "dns", "*", "not a host name" },
		{ "dns", "*.com", "not a host name" },
		{ "dns", "*.*.example.com", "not a host name" },
		{ "dns", "a*.example.com", "not a host name" },
		{ "dns", "a.*.example.com", "not a host name" },
		{ "dns", ".example.com", "not a host name" },
		{ "dns", "example.com.", "not a host name" },
		{ "dns", "a..example.com", "not a host name" },
		{ "dns", "-a.example.com", "not a host name" },
		{ "dns", "a-.example.com", "not a host name" },
		{ "dns", "a_b.example.com", "not a host name" },
		{ "dns", "10.0.0.1", "not a host name" },
		{ "dns", "*.0.0.1", "not a host name" },
		{ "dns", "b\xc3\xbc.example.com", "not a host name" },
		{ "dns", "a.example.com ", "not a host name" },
		{ "dns", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.example.com",
			"not a host name" },
		{ "email", "example.com", "not an address" },
		{ "email", "@example.com", "not an address" },
		{ "email", "a@", "not an address" },
		{ "email", "a@b@example.com", "not an address" },
		{ "email", "a@*.example.com", "not an address" },
		{ "email", "a b@example.com", "not an address" },
		{ "uri", "example.com", "not a URI" },
		{ "uri", "spiffe:", "not a URI" },
		{ "uri", "spiffe://example.com/a b", "not a URI" },
		{ "subject", "/CN=a/O=b", "-nameopt RFC2253" },
		{ "subject", "CN = a, O = b", "-nameopt RFC2253" },
		{ "subject", "CN=a, O=b", "-nameopt RFC2253" },
		{ "subject", "CN=a+O=b", "-nameopt RFC2253" },
		{ "subject", "CN=", "-nameopt RFC2253" },
		{ "subject", "CN=a,", "-nameopt RFC2253" },
		{ "subject", "CN=a,b", "-nameopt RFC2253" },
		{ "subject", "a", "-nameopt RFC2253" },
		{ "subject", "CN=b\xc3\xbc", "-nameopt RFC2253" },
		{ "subject", "CN=a;O=b", "-nameopt RFC2253" },
		{ "subject", "CN=a\\\\", "-nameopt RFC2253" },
		{ "issuer", "CN= a", "-nameopt RFC2253" },
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[400], place[100];

		snprintf(text, sizeof(text),
			TLS_WITH_CA
			"[{\"name\": \"a\", \"role\": \"auditor\", \"certificate\": {\"%s\": \"%s\"}}], "
			"\"store\"",
			cases[i].member, cases[i].text);
		snprintf(place, sizeof(place),
			"5:%zu: audit_access[0].certificate.%s:", 72 + strlen(cases[i].member),
			cases[i].member);
		assert_refused("\"store\"", text, place, cases[i].words);
	}
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

static void addresses(void **state)
{
	static const char *const bad[] = { "127.0.0.1", "127.0.0.1:", "127.0.0.1:+8443", "127.0.0.1: 8443",
		"127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1:8443 ", "127.0.0.1:000008443", "localhost:8443",
		"[::1]:8443", ":8443" };
	char text[100];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(text, sizeof(text), "\"listen\": \"%s\"", bad[i]);
		assert_refused("\"listen\": \"127.0.0.1:8443\"", text, "3:", "127.0.0.1:8443");
	}
}

static void bucket(void **state)
{
	static struct config config;
	struct complaint complaint = { "" };

	(void)state;
	assert_true(load_changed("\"aws\": {", "\"aws\": { \"bucket\": {\"size\": 7, \"per_second\": 9},",
		&config, &complaint));
	assert_int_equal(config.aws.bucket_size, 7);
	assert_int_equal(config.aws.bucket_per_second, 9);
	assert_refused("\"aws\": {", "\"aws\": { \"bucket\": {\"size\": 0, \"per_second\": 9},",
		"5:", "aws.bucket.size");
	assert_refused("\"aws\": {", "\"aws\": { \"bucket\": {\"size\": 7},", "5:", "aws.bucket.per_second");
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
		cmocka_unit_test(accounts),
		cmocka_unit_test(accounts_mistaken),
		cmocka_unit_test(limits),
		cmocka_unit_test(tls),
		cmocka_unit_test(tls_settings),
		cmocka_unit_test(access_entries),
		cmocka_unit_test(access_mistakes),
		cmocka_unit_test(access_names),
		cmocka_unit_test(forwarding),
		cmocka_unit_test(forwarding_settings),
		cmocka_unit_test(forwarding_networks),
		cmocka_unit_test(development),
		cmocka_unit_test(addresses),
		cmocka_unit_test(bucket),
		cmocka_unit_test(unreadable),
		cmocka_unit_test(shipped_examples),
		cmocka_unit_test(policy_beyond_configuration),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
