/* Memory runs out at every single allocation of the AWS thread in turn (ours, libcurl's, libxml2's,
 * jansson's), with keys from the environment and with those of a role that a container's keys assume: the
 * question gets an answer, never a wrong one, and the next one is served. */
#include "aws/confirm.h"
#include "aws/http.h"
#include "tests/unit/aws_fake.h"
#include "tests/unit/unit.h"
#include "verifier/memory.h"

#include <dlfcn.h>
#include <openssl/crypto.h>
#include <string.h>

/* ---- allocations that fail: these stand before those of the C library (or of the sanitizer) */

static _Thread_local bool counted; /* the AWS thread's alone */
static atomic_long fails_at; /* 0: none does */
static atomic_long count;

/* they are called before the sanitizer is ready */
#define EARLY __attribute__((no_sanitize("address", "undefined")))

/* libcrypto's are left out: Debian 12's libcurl does not look whether its hash for a signature could be
 * begun, and would end the test. */
EARLY static bool fails(const void *caller)
{
	Dl_info from;

	if (!counted || fails_at == 0 || !dladdr(caller, &from) || strstr(from.dli_fname, "libcrypto"))
		return false;
	return ++count == fails_at;
}

#define REAL(type, name, ...)                                                                                \
	static type (*real)(__VA_ARGS__);                                                                    \
	if (!real)                                                                                           \
	*(void **)&real = dlsym(RTLD_NEXT, name)

EARLY void *malloc(size_t size)
{
	REAL(void *, "malloc", size_t);
	return fails(__builtin_return_address(0)) ? NULL : real(size);
}

EARLY void *calloc(size_t n, size_t size)
{
	REAL(void *, "calloc", size_t, size_t);
	return fails(__builtin_return_address(0)) ? NULL : real(n, size);
}

EARLY void *realloc(void *old, size_t size)
{
	REAL(void *, "realloc", void *, size_t);
	return fails(__builtin_return_address(0)) ? NULL : real(old, size);
}

/* ---- a cloud of one instance */

static const char instance[] =
	"<DescribeInstancesResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\"><reservationSet><item>"
	"<reservationId>r-01234567</reservationId><ownerId>123456789012</ownerId><instancesSet><item>"
	"<instanceId>i-01234567</instanceId><instanceState><name>running</name></instanceState>"
	"<privateDnsName>ip-10-0-0-1.ec2.internal</privateDnsName><dnsName/><instanceType>m5.large</"
	"instanceType>"
	"<placement><availabilityZone>us-east-1a</availabilityZone></placement>"
	"<iamInstanceProfile><arn>arn:aws:iam::123456789012:instance-profile/web</arn></iamInstanceProfile>"
	"<networkInterfaceSet><item><networkInterfaceId>eni-1</networkInterfaceId>"
	"<privateIpAddress>10.0.0.1</privateIpAddress>"
	"<attachment><deviceIndex>0</deviceIndex><status>attached</status></attachment></item></"
	"networkInterfaceSet>"
	"<tagSet><item><key>a</key><value>b</value></item></tagSet>"
	"</item></instancesSet></item></reservationSet></DescribeInstancesResponse>";

static const char profiles[] =
	"<ListInstanceProfilesForRoleResponse xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\">"
	"<ListInstanceProfilesForRoleResult><IsTruncated>false</IsTruncated><InstanceProfiles><member>"
	"<Arn>arn:aws:iam::123456789012:instance-profile/web</Arn></member></InstanceProfiles>"
	"</ListInstanceProfilesForRoleResult></ListInstanceProfilesForRoleResponse>";

static const char identity[] =
	"<GetCallerIdentityResponse "
	"xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult>"
	"<Arn>arn:aws:sts::123456789012:assumed-role/web-tier/i-01234567</Arn><UserId>AROA:i-01234567</"
	"UserId>"
	"<Account>123456789012</Account></GetCallerIdentityResult></GetCallerIdentityResponse>";

#define KEY_ID "ASIAIOSFODNN7EXAMPLE"
#define SECRET "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"

static const char keys[] = "{\"AccessKeyId\": \"" KEY_ID "\", \"SecretAccessKey\": \"" SECRET
			   "\", \"Token\": \"t\", \"Expiration\": \"2100-01-01T00:00:00Z\"}";

static const char assumed[] =
	"<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult>"
	"<AssumedRoleUser><Arn>arn:aws:sts::123456789012:assumed-role/r/vouchsafe</Arn></AssumedRoleUser>"
	"<Credentials><AccessKeyId>" KEY_ID "</AccessKeyId><SecretAccessKey>" SECRET
	"</SecretAccessKey><SessionToken>t</SessionToken><Expiration>2100-01-01T00:00:00Z</Expiration>"
	"</Credentials></AssumeRoleResult></AssumeRoleResponse>";

static void cloud_answer(struct fake *fake, const struct fake_request *request, struct fake_reply *reply)
{
	(void)fake;
	/* what is signed has the keys whole */
	if (strstr(request->head, "Credential=") && !strstr(request->head, "Credential=" KEY_ID "/"))
		reply->status = 403;
	reply->body = strstr(request->body, "Action=DescribeInstances&")   ? instance
		      : strstr(request->body, "Action=GetCallerIdentity&") ? identity
		      : strstr(request->body, "Action=AssumeRole&")        ? assumed
		      : strncmp(request->head, "GET /keys ", 10) == 0      ? keys
									   : profiles;
}

/* ---- one question in a thread of its own */

struct scene {
	struct aws *aws;
	struct confirmation confirmation;
	atomic_uint dones;
	long allocations; /* how many were counted */
};

static void question_done(struct confirmation *confirmation)
{
	struct scene *scene = (struct scene *)((char *)confirmation - offsetof(struct scene, confirmation));

	scene->dones++;
	aws_stop(scene->aws);
}

static void *scene_run(void *context)
{
	struct scene *scene = context;

	counted = true;
	count = 0;
	aws_run(scene->aws);
	scene->allocations = count;
	counted = false;
	return NULL;
}

/* Asks once; the allocation of that number fails. */
static enum outcome ask(struct scene *scene, const struct fake *fake, const struct assertion *assertion,
	const char *role, long fail)
{
	static const struct caller_proof proof = { "AWS4-HMAC-SHA256 x", "20260102T030405Z", "t", "c.h" };
	const struct demand demand = { false, false };
	struct aws_settings *settings = calloc(1, sizeof(*settings));
	struct complaint complaint;
	pthread_t thread;

	memset(scene, 0, sizeof(*scene));
	settings->n_accounts = settings->accounts[0].n_regions = 1;
	strcpy(settings->accounts[0].id, "123456789012");
	strcpy(settings->accounts[0].regions[0], "us-east-1");
	strcpy(settings->accounts[0].assume_role, role);
	strcpy(settings->session, "vouchsafe");
	strcpy(settings->ec2_endpoint, fake->url);
	strcpy(settings->iam_endpoint, fake->url);
	strcpy(settings->sts_endpoint, fake->url);
	scene->aws = aws_open(settings, &complaint);
	free(settings);
	assert_non_null(scene->aws);
	scene->confirmation.assertion = assertion;
	scene->confirmation.demand = &demand;
	scene->confirmation.caller = &proof;
	scene->confirmation.peer.s_addr = inet_addr("10.0.0.1");
	scene->confirmation.now = 1800000000;
	scene->confirmation.deadline = monotonic_now() + 20000000000LL;
	scene->confirmation.done = question_done;
	fails_at = fail;
	aws_confirm(scene->aws, &scene->confirmation);
	assert_int_equal(pthread_create(&thread, NULL, scene_run, scene), 0);
	pthread_join(thread, NULL);
	fails_at = 0;
	aws_close(scene->aws);
	assert_int_equal(scene->dones, 1);
	return scene->confirmation.outcome;
}

static void every_allocation(const char *role, struct fake *fake)
{
	static const struct assertion assertion = { "i-01234567", "", "ip-10-0-0-1.ec2.internal",
		"r-01234567", "m5.large", "web-tier", "10.0.0.1", "123456789012", "us-east-1" };
	unsigned served = 0, unserved = 0;
	long last = 1;

	for (long fail = 1; fail <= last; fail++) {
		struct scene scene;
		enum outcome outcome = ask(&scene, fake, &assertion, role, fail);

		/* a failed allocation may be got over by trying again; a complete answer is then a true one
		 */
		if (outcome == OK) {
			assert_null(claims_first_failed(scene.confirmation.claims));
			assert_int_equal(scene.confirmation.claims->n_checks, 11 + 4);
			assert_string_equal(facts_tag(&scene.confirmation.claims->facts, "a"), "b");
			served++;
		} else {
			assert_true(outcome == FAULT || outcome == UNAVAILABLE);
			assert_non_null(scene.confirmation.reason.code);
			unserved++;
		}
		claims_free(scene.confirmation.claims);
		if (scene.allocations >= fail)
			last = fail + 1;
	}
	print_message("%ld allocations: %u got over, %u answered as trouble\n", last, served, unserved);
	assert_true(last > 50 && unserved > 5);
}

static void with_keys_of_the_environment(void **state)
{
	struct fake fake;

	(void)state;
	setenv("AWS_ACCESS_KEY_ID", KEY_ID, 1);
	setenv("AWS_SECRET_ACCESS_KEY", SECRET, 1);
	fake_open(&fake, cloud_answer, NULL);
	every_allocation("", &fake);
	fake_close(&fake);
	unsetenv("AWS_ACCESS_KEY_ID");
	unsetenv("AWS_SECRET_ACCESS_KEY");
}

static void with_keys_of_a_role(void **state)
{
	struct fake fake;
	char url[96];

	(void)state;
	fake_open(&fake, cloud_answer, NULL);
	snprintf(url, sizeof(url), "%s/keys", fake.url);
	setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", url, 1);
	setenv("HOME", "/nonexistent", 1);
	every_allocation("arn:aws:iam::123456789012:role/r", &fake);
	fake_close(&fake);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(with_keys_of_the_environment),
		cmocka_unit_test(with_keys_of_a_role),
	};

	/* jansson's allocations are watched as in the server; OpenSSL's are not, for it has made one */
	OPENSSL_free(OPENSSL_malloc(1));
	assert_false(memory_watch(MEMORY_JSON_PLAIN));

	return cmocka_run_group_tests(tests, NULL, NULL);
}
