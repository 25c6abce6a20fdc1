/* The agent's signer against fixed vectors of AWS's SDK, and its bounds. With the argument "sign" it is no
 * test but a filter, for tests/e2e/test_sigv4.py: each line of input holds seven words (access key id,
 * secret, token, region, host, seconds since 1970, binding), each line of output the date and the
 * Authorization. */
#include "aws/sigv4.h"
#include "tests/unit/unit.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define SECRET "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
#define CHALLENGE "AQAAAABpVzWlZGVmZ2hpamtsbW5vcHFyc8VmlaZONZEznjbmDNG-Q0zJATspJ_BTfeW3KPtlAw"
#define BINDING CHALLENGE ".-Pn6-_z9_v8AAQIDBAUGBwgJCgsMDQ4PEBESExQVFhc"
enum { NOW = 1767323045 }; /* 2026-01-02T03:04:05Z */

static const struct role_credentials credentials = { "ASIAIOSFODNN7EXAMPLE", SECRET,
	"IQoJb3JpZ2luX2VjEAoaCXVzLWVhc3QtMSJ+/w==" };

/* By botocore, once, for each row (Debian's copy: `import awscli` finds it; its clock replaced by NOW's):
 *   request = AWSRequest("POST", "https://" + host + "/",
 * data=b"Action=GetCallerIdentity&Version=2011-06-15", headers={"x-vouchsafe-binding": BINDING})
 *   SigV4Auth(Credentials(ID, SECRET, TOKEN), "sts", region).add_auth(request) */
static const struct {
	const char *region, *host, *date, *signature;
	time_t now;
} vectors[] = {
	{ "us-east-1", "sts.us-east-1.amazonaws.com", "20260102T030405Z",
		"4f1d6842ea7e1cee110325b8097fc4e177925a695330a4f0d338da6c41db8603", 1767323045 },
	{ "cn-north-1", "sts.cn-north-1.amazonaws.com.cn", "20260102T235959Z",
		"13571a59b7d6d90a696e3f4b6700b97886f416287acab42a78929e1169254007", 1767398399 },
	{ "us-gov-east-1", "sts.us-gov-east-1.amazonaws.com", "20000229T000000Z",
		"75109a31b5e97135f1504f843ef521da5b6455f42b88889639cde8b9889a2e64", 951782400 },
};

static void vectors_equal(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		struct caller_proof proof = { "", "", "", BINDING };
		char authorization[AUTHORIZATION_SIZE];

		assert_true(sigv4_sign_caller(
			&credentials, vectors[i].region, vectors[i].host, vectors[i].now, &proof));
		snprintf(authorization, sizeof(authorization),
			"AWS4-HMAC-SHA256 Credential=ASIAIOSFODNN7EXAMPLE/%.8s/%s/sts/aws4_request, "
			"SignedHeaders=host;x-amz-date;x-amz-security-token;x-vouchsafe-binding, "
			"Signature=%s",
			vectors[i].date, vectors[i].region, vectors[i].signature);
		assert_string_equal(proof.authorization, authorization);
		assert_string_equal(proof.amz_date, vectors[i].date);
		assert_string_equal(proof.security_token, credentials.session_token);
		assert_string_equal(proof.binding, BINDING);
	}
}

/* All that goes into it changes it. */
static void everything_counts(void **state)
{
	struct caller_proof proofs[6];
	struct role_credentials other = credentials;

	(void)state;
	for (unsigned i = 0; i < 6; i++)
		strcpy(proofs[i].binding, BINDING);
	assert_true(
		sigv4_sign_caller(&credentials, "us-east-1", "sts.us-east-1.amazonaws.com", NOW, &proofs[0]));
	other.secret_access_key[0] ^= 1;
	assert_true(sigv4_sign_caller(&other, "us-east-1", "sts.us-east-1.amazonaws.com", NOW, &proofs[1]));
	other = credentials;
	other.session_token[0] ^= 2;
	assert_true(sigv4_sign_caller(&other, "us-east-1", "sts.us-east-1.amazonaws.com", NOW, &proofs[2]));
	assert_true(
		sigv4_sign_caller(&credentials, "us-east-2", "sts.us-east-1.amazonaws.com", NOW, &proofs[3]));
	assert_true(
		sigv4_sign_caller(&credentials, "us-east-1", "sts.us-east-1.amazonaws.co", NOW, &proofs[4]));
	proofs[5].binding[0] ^= 2;
	assert_true(
		sigv4_sign_caller(&credentials, "us-east-1", "sts.us-east-1.amazonaws.com", NOW, &proofs[5]));
	for (unsigned i = 0; i < 6; i++)
		for (unsigned j = 0; j < i; j++)
			assert_string_not_equal(strstr(proofs[i].authorization, "Signature="),
				strstr(proofs[j].authorization, "Signature="));
}

static void sign_refused(
	const struct role_credentials *given, const char *region, const char *host, const char *binding)
{
	struct caller_proof proof = { "", "", "", "" };

	memcpy(proof.binding, binding, strnlen(binding, BINDING_SIZE));
	assert_false(sigv4_sign_caller(given, region, host, NOW, &proof));
	assert_string_equal(proof.authorization, "");
}

/* Nothing is signed that the server would refuse, or that would be another request. */
static void misfits(void **state)
{
	static const char *const hosts[] = { "", "sts.us-east-1.amazonaws.com\n", "STS.amazonaws.com", "a b",
		"a:443", "a/b", "a\nx-amz-date:1" };
	struct role_credentials other;
	char text[BINDING_SIZE + 1], host[300];

	(void)state;
	for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++)
		sign_refused(&credentials, "us-east-1", hosts[i], BINDING);
	memset(host, 'a', sizeof(host) - 1);
	host[sizeof(host) - 1] = '\0';
	sign_refused(&credentials, "us-east-1", host, BINDING);
	sign_refused(&credentials, "us-east-1\n", "sts.amazonaws.com", BINDING);
	sign_refused(&credentials, "", "sts.amazonaws.com", BINDING);
	sign_refused(&credentials, "us-east-1", "sts.amazonaws.com", "");
	sign_refused(&credentials, "us-east-1", "sts.amazonaws.com", "a\nb");
	memset(text, 'a', sizeof(text)); /* no NUL within its size */
	sign_refused(&credentials, "us-east-1", "sts.amazonaws.com", text);
	other = credentials;
	strcpy(other.access_key_id, "AKIAIOSFODNN7EXAMPLE"); /* not a role's */
	sign_refused(&other, "us-east-1", "sts.amazonaws.com", BINDING);
	other = credentials;
	strcpy(other.session_token, "a\r\nb");
	sign_refused(&other, "us-east-1", "sts.amazonaws.com", BINDING);
	strcpy(other.session_token, "");
	sign_refused(&other, "us-east-1", "sts.amazonaws.com", BINDING);
}

static void largest(void **state)
{
	struct role_credentials other;
	struct caller_proof proof = { "", "", "", "" };
	char host[254];

	(void)state;
	memset(&other, 'A', sizeof(other));
	memcpy(other.access_key_id, "ASIA", 4);
	other.access_key_id[128] = other.secret_access_key[256] = other.session_token[SECURITY_TOKEN_MAX] =
		'\0';
	memset(host, 'a', 253);
	host[253] = '\0';
	memset(proof.binding, 'b', BINDING_SIZE - 1);
	assert_true(sigv4_sign_caller(&other, "ap-northeast-1", host, NOW, &proof));
	assert_int_equal(strlen(proof.security_token), SECURITY_TOKEN_MAX);
}

/* ---- nothing is left behind */

enum { STACK_SIZE = 1 << 20 };

static void *sign_on_its_stack(void *context)
{
	static struct caller_proof proof = { "", "", "", BINDING };

	*(bool *)context = sigv4_sign_caller(
		&credentials, "us-east-1", "sts.us-east-1.amazonaws.com", NOW, &proof);
	return NULL;
}

/* The secret, its date key and its signing key, as botocore computes them, are nowhere on the stack of the
 * thread that signed. */
static void stack_wiped(void **state)
{
	static const unsigned char signing_key[] = { 0x62, 0xc1, 0x65, 0xe6, 0x01, 0x36, 0x7d, 0xda, 0x03,
		0x39, 0x8c, 0xd7, 0x33, 0x0e, 0x6c, 0xcf, 0xba, 0x2e, 0x09, 0x1a, 0x8e, 0x51, 0xb3, 0xf1,
		0xa9, 0xde, 0x32, 0x9b, 0x31, 0x5a, 0x81, 0x5a };
	unsigned char *stack = mmap(
		NULL, STACK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	pthread_attr_t attributes;
	pthread_t thread;
	bool is_signed = false;

	(void)state;
	assert_ptr_not_equal(stack, MAP_FAILED);
	pthread_attr_init(&attributes);
	assert_int_equal(pthread_attr_setstack(&attributes, stack, STACK_SIZE), 0);
	assert_int_equal(pthread_create(&thread, &attributes, sign_on_its_stack, &is_signed), 0);
	pthread_join(thread, NULL);
	pthread_attr_destroy(&attributes);
	assert_true(is_signed);
	/* it is the stack that was used: the canonical request, which is no secret, is still there */
	assert_non_null(memmem(stack, STACK_SIZE, "x-vouchsafe-binding:", 20));
	assert_null(memmem(stack, STACK_SIZE, SECRET, strlen(SECRET)));
	assert_null(memmem(stack, STACK_SIZE, signing_key, sizeof(signing_key)));
	munmap(stack, STACK_SIZE);
}

/* ---- the filter */

static int sign_lines(void)
{
	char line[8192];

	while (fgets(line, sizeof(line), stdin)) {
		struct role_credentials given;
		struct caller_proof proof;
		char region[64], host[256];
		long long now;

		if (sscanf(line, "%128s %256s %4096s %63s %255s %lld %118s", given.access_key_id,
			    given.secret_access_key, given.session_token, region, host, &now,
			    proof.binding) != 7 ||
			!sigv4_sign_caller(&given, region, host, (time_t)now, &proof))
			return 1;
		printf("%s %s\n", proof.amz_date, proof.authorization);
	}
	return 0;
}

static void hosts(void **state)
{
	char host[STS_HOST_SIZE];

	(void)state;
	assert_true(sigv4_sts_host("us-east-1", host));
	assert_string_equal(host, "sts.us-east-1.amazonaws.com");
	assert_true(sigv4_sts_host("cn-north-1", host));
	assert_string_equal(host, "sts.cn-north-1.amazonaws.com.cn");
	assert_true(sigv4_sts_host("us-isob-east-1", host));
	assert_string_equal(host, "sts.us-isob-east-1.sc2s.sgov.gov");
	assert_false(sigv4_sts_host("us-east-9", host));
	assert_false(sigv4_sts_host("", host));
	assert_false(sigv4_sts_host("us-east-1.evil.example#", host));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vectors_equal),
		cmocka_unit_test(everything_counts),
		cmocka_unit_test(misfits),
		cmocka_unit_test(largest),
		cmocka_unit_test(stack_wiped),
		cmocka_unit_test(hosts),
	};

	if (argc == 2 && strcmp(argv[1], "sign") == 0)
		return sign_lines();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
