/* The AWS thread asks STS last, of the caller's own request: each caller gets his own answer, what STS says
 * is a fact, and its troubles are never a pass (ATTACKS 1, 3 to 8, 18). */
#include "aws/confirm.h"
#include "aws/http.h"
#include "tests/unit/aws_fake.h"
#include "tests/unit/unit.h"
#include "verifier/checks.h"
#include "verifier/reasons.h"

#include <semaphore.h>

#define STS_NS "https://sts.amazonaws.com/doc/2011-06-15/"
#define ACCOUNT "123456789012"
enum { QUESTIONS_MAX = 64, EC2_CHECKS = 11, ALL_CHECKS = EC2_CHECKS + 4 };

/* ---- EC2 and IAM, which agree to everything, and STS */

struct cloud {
	atomic_uint spoil; /* so many calls to STS get this reply instead */
	struct fake_reply spoiled;
	const char *arn; /* instead of the one that the token names */
	bool running; /* or else EC2 says that the instances are stopping */
	atomic_uint gates; /* so many calls of STS's wait to be let through */
	sem_t arrived, let;
	atomic_uint calls_sts, strange; /* requests to STS that are not what the proof says */
	char head[8192]; /* of the last one */
};

static void instance_answer(const struct cloud *cloud, const char *form, FILE *file)
{
	fprintf(file, "<DescribeInstancesResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\">"
		      "<reservationSet>");
	for (const char *at = strstr(form, "=i-"); at; at = strstr(at + 1, "=i-")) {
		unsigned number = (unsigned)strtoul(at + 3, NULL, 16);

		fprintf(file,
			"<item><reservationId>r-01234567</reservationId><ownerId>" ACCOUNT "</ownerId>"
			"<instancesSet><item><instanceId>%.19s</instanceId>"
			"<instanceState><name>%s</name></instanceState>"
			"<privateDnsName>ip-10-0-0-1.ec2.internal</privateDnsName><dnsName/>"
			"<instanceType>m5.large</instanceType>"
			"<placement><availabilityZone>us-east-1a</availabilityZone></placement>"
			"<iamInstanceProfile><arn>arn:aws:iam::" ACCOUNT ":instance-profile/web</arn>"
			"</iamInstanceProfile><networkInterfaceSet><item>"
			"<networkInterfaceId>eni-1</networkInterfaceId>"
			"<privateIpAddress>10.0.0.%u</privateIpAddress><attachment><deviceIndex>0</"
			"deviceIndex>"
			"<status>attached</status></attachment></item></networkInterfaceSet></item>"
			"</instancesSet></item>",
			at + 1, cloud->running ? "running" : "stopping", number);
	}
	fprintf(file, "</reservationSet></DescribeInstancesResponse>");
}

static void profile_answer(FILE *file)
{
	fprintf(file,
		"<ListInstanceProfilesForRoleResponse xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\">"
		"<ListInstanceProfilesForRoleResult><IsTruncated>false</IsTruncated><InstanceProfiles>"
		"<member><Arn>arn:aws:iam::" ACCOUNT ":instance-profile/web</Arn></member>"
		"</InstanceProfiles></ListInstanceProfilesForRoleResult>"
		"</ListInstanceProfilesForRoleResponse>");
}

/* One line of that name and of this value, and no second one. */
static bool head_says(const char *head, const char *name, const char *value)
{
	char line[256];
	const char *found, *again;

	snprintf(line, sizeof(line), "\r\n%s: ", name);
	found = strcasestr(head, line);
	again = found ? strcasestr(found + 2, line) : NULL;
	return found && !again && strncmp(found + strlen(line), value, strlen(value)) == 0 &&
	       strncmp(found + strlen(line) + strlen(value), "\r\n", 2) == 0;
}

/* The token of question n is "token" and the number of its instance: all the rest must be of the same one. */
static void identity_answer(struct cloud *cloud, const struct fake_request *request, FILE *file)
{
	const char *token = strcasestr(request->head, "\r\nX-Amz-Security-Token: token");
	unsigned number =
		token ? (unsigned)strtoul(token + strlen("\r\nX-Amz-Security-Token: token"), NULL, 16) : 0;
	char own[32], arn[256];

	snprintf(own, sizeof(own), "challenge.%u", number);
	if (strncmp(request->head, "POST / HTTP/1.1\r\n", 17) != 0 ||
		strcmp(request->body, "Action=GetCallerIdentity&Version=2011-06-15") != 0 ||
		!head_says(request->head, "Host", "sts.us-east-1.amazonaws.com") ||
		!head_says(request->head, "X-Amz-Date", "20260102T030405Z") ||
		!head_says(request->head, "Content-Type", "application/x-www-form-urlencoded") ||
		!head_says(request->head, "x-vouchsafe-binding", own) ||
		!strstr(request->head, "\r\nAuthorization: AWS4-HMAC-SHA256 of-the-caller\r\n"))
		cloud->strange++;
	snprintf(cloud->head, sizeof(cloud->head), "%s", request->head);
	snprintf(arn, sizeof(arn), "arn:aws:sts::" ACCOUNT ":assumed-role/web-tier/i-%017x", number);
	fprintf(file,
		"<GetCallerIdentityResponse xmlns=\"" STS_NS "\"><GetCallerIdentityResult><Arn>%s</Arn>"
		"<UserId>AROA:x</UserId><Account>%.12s</Account></GetCallerIdentityResult>"
		"<ResponseMetadata><RequestId>x</RequestId></ResponseMetadata></GetCallerIdentityResponse>",
		cloud->arn ? cloud->arn : arn, strstr(cloud->arn ? cloud->arn : arn, "::") + 2);
}

static void sts_answer(
	struct cloud *cloud, const struct fake_request *request, FILE *file, struct fake_reply *reply)
{
	cloud->calls_sts++;
	if (cloud->gates > 0) {
		cloud->gates--;
		sem_post(&cloud->arrived);
		sem_wait(&cloud->let);
	}
	identity_answer(cloud, request, file);
	if (cloud->spoil > 0) {
		cloud->spoil--;
		*reply = cloud->spoiled;
	}
}

static void cloud_answer(struct fake *fake, const struct fake_request *request, struct fake_reply *reply)
{
	struct cloud *cloud = fake->context;
	bool ec2 = strstr(request->body, "Action=DescribeInstances&") != NULL;
	bool iam = strstr(request->body, "Action=ListInstanceProfilesForRole&") != NULL;
	char *text = NULL;
	size_t length = 0;
	FILE *file = open_memstream(&text, &length);

	if (!file)
		abort();
	memset(reply, 0, sizeof(*reply));
	if (ec2)
		instance_answer(cloud, request->body, file);
	else if (iam)
		profile_answer(file);
	else
		sts_answer(cloud, request, file, reply);
	fclose(file);
	if (reply->status || reply->body || reply->drop || reply->reset || reply->hold) {
		free(text);
		return;
	}
	reply->body = text;
	reply->owned = true;
}

/* ---- the thread under test */

struct world {
	struct cloud cloud;
	struct fake fake;
	struct aws *aws;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned asked, done;
	struct demand demand;
	struct one {
		struct confirmation confirmation;
		struct assertion assertion;
		struct caller_proof proof;
		struct world *world;
	} * questions[QUESTIONS_MAX];
};

static void *world_run(void *context)
{
	struct world *world = context;

	aws_run(world->aws);
	return NULL;
}

static void settings_set(struct aws_settings *settings, const char *url)
{
	memset(settings, 0, sizeof(*settings));
	settings->n_accounts = settings->accounts[0].n_regions = 1;
	strcpy(settings->accounts[0].id, ACCOUNT);
	strcpy(settings->accounts[0].regions[0], "us-east-1");
	strcpy(settings->ec2_endpoint, url);
	strcpy(settings->iam_endpoint, url);
	strcpy(settings->sts_endpoint, url);
}

static struct world *world_open(void)
{
	struct world *world = calloc(1, sizeof(*world));
	struct aws_settings *settings = calloc(1, sizeof(*settings));
	struct complaint complaint;

	assert_true(world && settings);
	setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE", 1);
	setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", 1);
	setenv("AWS_SESSION_TOKEN", "ours", 1);
	world->cloud.running = true;
	sem_init(&world->cloud.arrived, 0, 0);
	sem_init(&world->cloud.let, 0, 0);
	fake_open(&world->fake, cloud_answer, &world->cloud);
	settings_set(settings, world->fake.url);
	world->aws = aws_open(settings, &complaint);
	free(settings);
	assert_non_null(world->aws);
	pthread_mutex_init(&world->lock, NULL);
	pthread_cond_init(&world->changed, NULL);
	assert_int_equal(pthread_create(&world->thread, NULL, world_run, world), 0);
	return world;
}

static void world_close(struct world *world)
{
	aws_stop(world->aws);
	pthread_join(world->thread, NULL);
	assert_int_equal(world->done, world->asked);
	aws_close(world->aws);
	fake_close(&world->fake);
	assert_int_equal(world->cloud.strange, 0);
	for (unsigned i = 0; i < world->asked; i++) {
		claims_free(world->questions[i]->confirmation.claims);
		free(world->questions[i]);
	}
	pthread_mutex_destroy(&world->lock);
	pthread_cond_destroy(&world->changed);
	sem_destroy(&world->cloud.arrived);
	sem_destroy(&world->cloud.let);
	free(world);
}

static void question_done(struct confirmation *confirmation)
{
	struct one *one = (struct one *)((char *)confirmation - offsetof(struct one, confirmation));
	struct world *world = one->world;

	/* from now on the proof is the asker's again, who may well wipe it */
	memset(&one->proof, '!', sizeof(one->proof));
	pthread_mutex_lock(&world->lock);
	world->done++;
	pthread_cond_broadcast(&world->changed);
	pthread_mutex_unlock(&world->lock);
}

static struct one *question_make(struct world *world, unsigned number, double seconds)
{
	static const struct assertion asserted = { "", "", "ip-10-0-0-1.ec2.internal", "r-01234567",
		"m5.large", "web-tier", "", ACCOUNT, "us-east-1" };
	struct one *one = calloc(1, sizeof(*one));

	assert_non_null(one);
	one->assertion = asserted;
	snprintf(one->assertion.instance_id, INSTANCE_ID_SIZE, "i-%017x", number & 0xffffff);
	snprintf(one->assertion.source_ip, ADDRESS_SIZE, "10.0.0.%u", number & 0xff);
	strcpy(one->proof.authorization, "AWS4-HMAC-SHA256 of-the-caller");
	strcpy(one->proof.amz_date, "20260102T030405Z");
	snprintf(one->proof.security_token, sizeof(one->proof.security_token), "token%x", number);
	snprintf(one->proof.binding, sizeof(one->proof.binding), "challenge.%u", number);
	one->world = world;
	one->confirmation.assertion = &one->assertion;
	one->confirmation.demand = &world->demand;
	one->confirmation.caller = &one->proof;
	one->confirmation.peer.s_addr = inet_addr(one->assertion.source_ip);
	one->confirmation.now = 1800000000;
	one->confirmation.deadline = monotonic_now() + (long long)(seconds * 1e9);
	one->confirmation.done = question_done;
	world->questions[world->asked++] = one;
	return one;
}

static struct one *ask(struct world *world, unsigned number, double seconds)
{
	struct one *one = question_make(world, number, seconds);

	aws_confirm(world->aws, &one->confirmation);
	return one;
}

static void wait_done(struct world *world, unsigned n)
{
	pthread_mutex_lock(&world->lock);
	while (world->done < n)
		pthread_cond_wait(&world->changed, &world->lock);
	pthread_mutex_unlock(&world->lock);
}

static void wait_all(struct world *world)
{
	wait_done(world, world->asked);
}

/* The first check that failed is `name` (NULL: none did), and all were made. */
static void answered(const struct one *one, const char *name, unsigned n_checks)
{
	const struct check *failed;

	if (one->confirmation.outcome != OK)
		fail_msg("%s: %s", outcome_name(one->confirmation.outcome), one->confirmation.reason.text);
	assert_int_equal(one->confirmation.claims->n_checks, n_checks);
	failed = claims_first_failed(one->confirmation.claims);
	assert_string_equal(failed ? failed->name : "", name ? name : "");
}

static const char *observed(const struct one *one, const char *name)
{
	return check_observed(one->confirmation.claims, claims_check(one->confirmation.claims, name));
}

static void unavailable_for(const struct one *one, const char *text)
{
	assert_int_equal(one->confirmation.outcome, UNAVAILABLE);
	assert_string_equal(one->confirmation.reason.code, REASON_UPSTREAM);
	if (!strstr(one->confirmation.reason.text, text))
		fail_msg("%s, not %s", one->confirmation.reason.text, text);
	/* nobody can take it for a pass */
	assert_true(!one->confirmation.claims || one->confirmation.claims->n_checks == EC2_CHECKS);
}

/* ---- the straight way */

static void confirmed(void **state)
{
	struct world *world = world_open();
	struct aws_counts counts;
	struct one *one = ask(world, 7, 20);

	(void)state;
	wait_all(world);
	answered(one, NULL, ALL_CHECKS);
	assert_string_equal(observed(one, CHECK_CALLER_IDENTITY),
		"arn:aws:sts::" ACCOUNT ":assumed-role/web-tier/i-00000000000000007");
	aws_counts_get(world->aws, &counts);
	assert_int_equal(counts.calls_ec2, 1);
	assert_int_equal(counts.calls_iam, 1);
	assert_int_equal(counts.calls_sts, 1);
	assert_int_equal(counts.failed_sts, 0);
	/* nothing of our own credentials went along */
	assert_null(strstr(world->cloud.head, "ours"));
	assert_null(strstr(world->cloud.head, "AKIA"));
	world_close(world);
}

static void not_demanded(void **state)
{
	struct world *world = world_open();
	struct one *one = question_make(world, 7, 20);

	(void)state;
	one->confirmation.caller = NULL;
	aws_confirm(world->aws, &one->confirmation);
	wait_all(world);
	answered(one, NULL, EC2_CHECKS);
	assert_int_equal(world->cloud.calls_sts, 0);
	world_close(world);
}

/* A second question about the same instance is another caller: nothing is kept. */
static void asked_every_time(void **state)
{
	struct world *world = world_open();

	(void)state;
	for (unsigned i = 1; i <= 3; i++) {
		answered((ask(world, 7, 20), wait_all(world), world->questions[i - 1]), NULL, ALL_CHECKS);
		assert_int_equal(world->cloud.calls_sts, i);
	}
	world_close(world);
}

/* Thirty at once, two of them about one instance with different proofs: each gets his own answer. */
static void never_shared(void **state)
{
	struct world *world = world_open();
	struct one *stranger;

	(void)state;
	world->cloud.gates = 1;
	for (unsigned i = 1; i <= 30; i++)
		ask(world, i, 20);
	/* the same instance, address and role, but credentials of another session */
	stranger = question_make(world, 0x1000007, 20);
	aws_confirm(world->aws, &stranger->confirmation);
	sem_wait(&world->cloud.arrived);
	sem_post(&world->cloud.let);
	wait_all(world);
	for (unsigned i = 0; i < 30; i++)
		answered(world->questions[i], NULL, ALL_CHECKS);
	answered(stranger, CHECK_CALLER_SESSION, ALL_CHECKS);
	assert_string_equal(observed(stranger, CHECK_CALLER_SESSION), "i-00000000001000007");
	assert_int_equal(world->cloud.calls_sts, 31);
	world_close(world);
}

/* ---- what is denied */

/* 5, 6, 8, and who is in no role. */
static void attack_5_6_8_another_caller(void **state)
{
	static const struct {
		const char *arn, *check;
	} cases[] = {
		{ "arn:aws:sts::210987654321:assumed-role/web-tier/i-00000000000000007",
			CHECK_CALLER_ACCOUNT },
		{ "arn:aws-cn:sts::123456789012:assumed-role/web-tier/i-00000000000000007",
			CHECK_CALLER_ACCOUNT },
		{ "arn:aws:sts::123456789012:assumed-role/WEB-TIER/i-00000000000000007", CHECK_CALLER_ROLE },
		{ "arn:aws:sts::123456789012:assumed-role/web-tier-evil/i-00000000000000007",
			CHECK_CALLER_ROLE },
		{ "arn:aws:sts::123456789012:assumed-role/i-00000000000000007/web-tier", CHECK_CALLER_ROLE },
		{ "arn:aws:sts::123456789012:assumed-role/web-tier/i-00000000000000008",
			CHECK_CALLER_SESSION },
		{ "arn:aws:sts::123456789012:assumed-role/web-tier/I-00000000000000007",
			CHECK_CALLER_SESSION },
		{ "arn:aws:sts::123456789012:federated-user/i-00000000000000007", CHECK_CALLER_ROLE },
		{ "arn:aws:iam::123456789012:user/web-tier/i-00000000000000007", CHECK_CALLER_ROLE },
		{ "arn:aws:iam::123456789012:root", CHECK_CALLER_ROLE },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct world *world = world_open();
		struct one *one;

		world->cloud.arn = cases[i].arn;
		one = ask(world, 7, 20);
		wait_all(world);
		answered(one, cases[i].check, ALL_CHECKS);
		assert_string_equal(observed(one, CHECK_CALLER_IDENTITY), cases[i].arn);
		world_close(world);
	}
}

#define ERROR(code)                                                                                          \
	"<ErrorResponse xmlns=\"" STS_NS "\"><Error><Type>Sender</Type><Code>" code                          \
	"</Code><Message>canary</Message></Error><RequestId>x</RequestId></ErrorResponse>"

/* 4: STS says that the proof is false. A denial, at once, by a check of its own. */
static void attack_4_false_proofs(void **state)
{
	static const struct {
		struct fake_reply reply;
		const char *observed;
	} cases[] = {
		{ { .status = 403, .body = ERROR("SignatureDoesNotMatch") }, "403 SignatureDoesNotMatch" },
		{ { .status = 403, .body = ERROR("InvalidClientTokenId") }, "403 InvalidClientTokenId" },
		{ { .status = 403, .body = ERROR("ExpiredToken") }, "403 ExpiredToken" },
		{ { .status = 403, .body = ERROR("AccessDenied") }, "403 AccessDenied" },
		{ { .status = 403, .body = ERROR("MissingAuthenticationToken") },
			"403 MissingAuthenticationToken" },
		{ { .status = 400, .body = ERROR("IncompleteSignature") }, "400 IncompleteSignature" },
		{ { .status = 400, .body = ERROR("RequestExpired") }, "400 RequestExpired" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct world *world = world_open();
		struct aws_counts counts;
		struct one *one;

		world->cloud.spoiled = cases[i].reply;
		world->cloud.spoil = 1;
		one = ask(world, 7, 20);
		wait_all(world);
		answered(one, CHECK_CALLER_IDENTITY, ALL_CHECKS);
		assert_string_equal(observed(one, CHECK_CALLER_IDENTITY), cases[i].observed);
		for (unsigned j = EC2_CHECKS; j < ALL_CHECKS; j++)
			assert_int_equal(one->confirmation.claims->checks[j].result, CHECK_FAILED);
		assert_int_equal(world->cloud.calls_sts, 1);
		aws_counts_get(world->aws, &counts);
		assert_int_equal(counts.failed_sts, 0); /* it did what it is for */
		world_close(world);
	}
}

/* Something else is wrong already: STS is not asked, and the trail says so. */
static void not_asked(void **state)
{
	struct world *world = world_open();
	struct one *stopping, *role, *address;

	(void)state;
	world->cloud.running = false;
	stopping = ask(world, 7, 20);
	wait_all(world);
	answered(stopping, CHECK_STATE, ALL_CHECKS);
	world->cloud.running = true;
	role = question_make(world, 7, 20);
	strcpy(role->assertion.instance_type, "m5.huge");
	aws_confirm(world->aws, &role->confirmation);
	address = question_make(world, 7, 20);
	address->confirmation.peer.s_addr = inet_addr("10.0.0.8");
	aws_confirm(world->aws, &address->confirmation);
	wait_all(world);
	answered(role, CHECK_INSTANCE_TYPE, ALL_CHECKS);
	answered(address, CHECK_PEER_ADDRESS, ALL_CHECKS);
	assert_string_equal(observed(stopping, CHECK_CALLER_IDENTITY), "not asked: another check had failed");
	for (unsigned j = EC2_CHECKS; j < ALL_CHECKS; j++)
		assert_int_equal(stopping->confirmation.claims->checks[j].result, CHECK_FAILED);
	assert_int_equal(world->cloud.calls_sts, 0);
	world_close(world);
}

/* ---- what is trouble */

/* 18: tried again within the deadline, and served. */
static void passing_failures(void **state)
{
	static const struct fake_reply replies[] = {
		{ .drop = true },
		{ .reset = true },
		{ .body = "<GetCallerIdentityResponse>", .cut = 5 },
		{ .status = 500 },
		{ .status = 503, .body = "<html>busy</html>" },
		{ .status = 400, .body = ERROR("Throttling") },
		{ .status = 403, .body = ERROR("ThrottlingException") },
		{ .status = 429 },
		{ .body = ERROR("Throttling") }, /* 200 with an error in it */
		{ .body = "garbage" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(replies) / sizeof(replies[0]); i++) {
		struct world *world = world_open();
		struct aws_counts counts;
		struct one *one;

		world->cloud.spoiled = replies[i];
		world->cloud.spoil = 1;
		one = ask(world, 7, 20);
		wait_all(world);
		answered(one, NULL, ALL_CHECKS);
		aws_counts_get(world->aws, &counts);
		assert_int_equal(counts.calls_sts, 2);
		assert_int_equal(counts.failed_sts, 1);
		world_close(world);
	}
}

#define GOOD_ARN "arn:aws:sts::123456789012:assumed-role/web-tier/i-00000000000000007"
#define RESULT(arn, account)                                                                                 \
	"<GetCallerIdentityResult><Arn>" arn "</Arn><UserId>AROA:x</UserId><Account>" account                \
	"</Account></GetCallerIdentityResult>"
#define IDENTITY(ns, inside)                                                                                 \
	"<GetCallerIdentityResponse xmlns=\"" ns "\">" inside "</GetCallerIdentityResponse>"

/* 3: not an answer, for ever: never a pass, and no denial either, since the caller is not to blame. */
static void attack_3_nonsense(void **state)
{
	static const struct {
		struct fake_reply reply;
		const char *text;
	} cases[] = {
		{ { .body = ERROR("SignatureDoesNotMatch") }, "sts: it answered 200 SignatureDoesNotMatch" },
		{ { .body = "{\"Arn\":\"" GOOD_ARN "\"}" }, "not XML" },
		{ { .body = "\"" IDENTITY(STS_NS, RESULT(GOOD_ARN, ACCOUNT)) "\"" }, "not XML" },
		{ { .body = IDENTITY("https://sts.example/", RESULT(GOOD_ARN, ACCOUNT)) }, "namespace" },
		{ { .body = IDENTITY(STS_NS, RESULT(GOOD_ARN, ACCOUNT) RESULT(GOOD_ARN, ACCOUNT)) },
			"is there twice" },
		{ { .body = IDENTITY(STS_NS, RESULT(GOOD_ARN "<!-- -->", ACCOUNT)) }, "comment" },
		{ { .body = IDENTITY(STS_NS, RESULT(GOOD_ARN, "210987654321")) }, "Account" },
		{ { .body = IDENTITY(
			    STS_NS, RESULT("arn:aws:sts::123456789012:assumed-role/a/b/c", ACCOUNT)) },
			"Arn: is not of its form" },
		{ { .body = IDENTITY(STS_NS, "") }, "is not there" },
		/* no word of STS's about the caller */
		{ { .status = 403 }, "it answered 403" },
		{ { .status = 403, .body = "<html>canary</html>" }, "it answered 403" },
		{ { .status = 403, .body = ERROR("RegionDisabledException") },
			"403 RegionDisabledException" },
		{ { .status = 400, .body = ERROR("InvalidAction") }, "400 InvalidAction" },
		{ { .status = 404, .body = ERROR("SignatureDoesNotMatch") }, "404" },
		{ { .status = 302, .headers = "Location: http://127.0.0.1:1/\r\n" }, "302" },
		{ { .status = 201, .body = IDENTITY(STS_NS, RESULT(GOOD_ARN, ACCOUNT)) }, "201" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct world *world = world_open();
		struct one *one;

		world->cloud.spoiled = cases[i].reply;
		world->cloud.spoil = 1000;
		one = ask(world, 7, 20);
		wait_all(world);
		unavailable_for(one, cases[i].text);
		assert_null(strstr(one->confirmation.reason.text, "canary"));
		assert_null(strstr(one->confirmation.reason.text, "arn:"));
		/* nothing is broken by it */
		world->cloud.spoil = 0;
		one = ask(world, 7, 20);
		wait_all(world);
		answered(one, NULL, ALL_CHECKS);
		world_close(world);
	}
}

static void too_large(void **state)
{
	enum { LENGTH = 65 * 1024 };
	char *text = malloc(LENGTH);
	struct world *world = world_open();
	struct one *one;

	(void)state;
	assert_non_null(text);
	memset(text, ' ', LENGTH);
	world->cloud.spoiled = (struct fake_reply){ .body = text, .body_length = LENGTH };
	world->cloud.spoil = 1000;
	one = ask(world, 7, 20);
	wait_all(world);
	unavailable_for(one, "too large");
	world_close(world);
	free(text);
}

/* One caller's trouble with STS does not make the next wait. */
static void trouble_alone(void **state)
{
	struct world *world = world_open();
	struct one *troubled;

	(void)state;
	world->cloud.spoiled = (struct fake_reply){ .hold = true };
	world->cloud.spoil = 1;
	troubled = ask(world, 7, 1);
	while (world->cloud.calls_sts == 0)
		sched_yield();
	for (unsigned i = 1; i <= 5; i++) {
		struct one *one = ask(world, i, 20);

		wait_done(world, i);
		answered(one, NULL, ALL_CHECKS);
	}
	wait_all(world);
	unavailable_for(troubled, "deadline");
	world_close(world);
}

/* ---- deadlines and stop */

/* He has his confirmation back, and with it the proof, while the call is still under way. */
static void deadline_passes(void **state)
{
	struct world *world = world_open();
	struct one *one;

	(void)state;
	world->cloud.gates = 1;
	one = ask(world, 7, 0.3);
	sem_wait(&world->cloud.arrived);
	wait_all(world);
	unavailable_for(one, "deadline");
	sem_post(&world->cloud.let);
	one = ask(world, 7, 20);
	wait_all(world);
	answered(one, NULL, ALL_CHECKS);
	world_close(world);
}

/* More than are under way at once: those whose time is over while they wait in line are let go. */
static void deadline_in_line(void **state)
{
	struct world *world = world_open();

	(void)state;
	world->cloud.spoiled = (struct fake_reply){ .hold = true };
	world->cloud.spoil = 1000;
	for (unsigned i = 1; i <= 40; i++)
		ask(world, i, 0.5);
	wait_all(world);
	for (unsigned i = 0; i < 40; i++)
		unavailable_for(world->questions[i], "deadline");
	assert_true(world->cloud.calls_sts <= 16);
	world->cloud.spoil = 0;
	answered((ask(world, 7, 20), wait_all(world), world->questions[40]), NULL, ALL_CHECKS);
	world_close(world);
}

static void throttled_until_the_deadline(void **state)
{
	struct world *world = world_open();
	struct aws_counts counts;
	struct one *one;

	(void)state;
	world->cloud.spoiled = (struct fake_reply){ .status = 400, .body = ERROR("Throttling") };
	world->cloud.spoil = 1000;
	one = ask(world, 7, 0.8);
	wait_all(world);
	unavailable_for(one, "deadline");
	aws_counts_get(world->aws, &counts);
	/* it backs off: 100, 200, 400 ms and more, of which at least the half */
	assert_in_range(counts.calls_sts, 2, 5);
	world_close(world);
}

static void stopped_while_busy(void **state)
{
	struct world *world = world_open();
	struct one *one;

	(void)state;
	world->cloud.gates = 1;
	one = ask(world, 7, 20);
	sem_wait(&world->cloud.arrived);
	aws_stop(world->aws);
	sem_post(&world->cloud.let);
	pthread_join(world->thread, NULL);
	answered(one, NULL, ALL_CHECKS);
	assert_int_equal(pthread_create(&world->thread, NULL, world_run, world), 0);
	world_close(world);
}

static void refused_at_open(void **state)
{
	struct aws_settings *settings = calloc(1, sizeof(*settings));
	struct complaint complaint = { "" };

	(void)state;
	assert_non_null(settings);
	settings_set(settings, "");
	strcpy(settings->sts_endpoint, "https://sts.example/path");
	assert_null(aws_open(settings, &complaint));
	assert_non_null(strstr(complaint.text, "aws.endpoints.sts"));
	free(settings);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(confirmed),
		cmocka_unit_test(not_demanded),
		cmocka_unit_test(asked_every_time),
		cmocka_unit_test(never_shared),
		cmocka_unit_test(attack_5_6_8_another_caller),
		cmocka_unit_test(attack_4_false_proofs),
		cmocka_unit_test(not_asked),
		cmocka_unit_test(passing_failures),
		cmocka_unit_test(attack_3_nonsense),
		cmocka_unit_test(too_large),
		cmocka_unit_test(trouble_alone),
		cmocka_unit_test(deadline_passes),
		cmocka_unit_test(deadline_in_line),
		cmocka_unit_test(throttled_until_the_deadline),
		cmocka_unit_test(stopped_while_busy),
		cmocka_unit_test(refused_at_open),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
