/* The AWS thread against a simulated EC2 and IAM: coalescing, retries, deadlines, stop. */
#include "aws/confirm.h"
#include "aws/http.h"
#include "tests/unit/aws_fake.h"
#include "tests/unit/unit.h"
#include "verifier/checks.h"
#include "verifier/reasons.h"

#include <semaphore.h>
#include <stdarg.h>

#define SECOND 1000000000LL
#define EC2_NS "http://ec2.amazonaws.com/doc/2016-11-15/"
#define IAM_NS "https://iam.amazonaws.com/doc/2010-05-08/"
enum { LAUNCH = 1767323045, QUESTIONS_MAX = 512, NOBODY = 99999 };

/* ---- EC2 and IAM, as the server's thread plays them */

struct cloud {
	/* for the next so many calls of each kind this reply instead */
	atomic_uint spoil_ec2, spoil_iam;
	struct fake_reply spoiled;
	atomic_uint gates; /* so many calls of EC2's wait to be let through */
	sem_t arrived, let;
	unsigned poisonous; /* the instance whose answer nobody can read */
	unsigned pending; /* the instance that is */
	unsigned running_after; /* so many calls; 0: never */
	unsigned per_page; /* instances; 0: all */
	bool iam_pages, no_such_role, other_instance;
	atomic_uint ids_max; /* in one call */
	atomic_uint calls_ec2, calls_iam;
};

struct text {
	char *data;
	size_t length;
	FILE *file;
};

static bool is_pending(const struct cloud *cloud, unsigned number)
{
	return number == cloud->pending &&
	       (cloud->running_after == 0 || cloud->calls_ec2 <= cloud->running_after);
}

static void instance_print(FILE *file, const struct cloud *cloud, const char *id, unsigned number)
{
	if (number == cloud->poisonous) {
		fprintf(file,
			"<item><instancesSet><item><instanceId>%s</instanceId><instanceId/></item></"
			"instancesSet></item>",
			id);
		return;
	}
	fprintf(file,
		"<item><reservationId>r-0123456789abcdef0</reservationId><ownerId>123456789012</"
		"ownerId><instancesSet><item>"
		"<instanceId>%s</instanceId><instanceState><name>%s</name></instanceState>"
		"<privateDnsName>ip-10-0-%u-%u.ec2.internal</privateDnsName><dnsName/"
		"><instanceType>m5.large</instanceType>"
		"<launchTime>2026-01-02T03:04:05.000Z</launchTime>"
		"<placement><availabilityZone>us-east-1a</availabilityZone></placement>"
		"<iamInstanceProfile><arn>arn:aws:iam::123456789012:instance-profile/web</arn></"
		"iamInstanceProfile>"
		"<networkInterfaceSet><item><networkInterfaceId>eni-1</networkInterfaceId>"
		"<attachment><deviceIndex>0</deviceIndex><status>attached</status></"
		"attachment><privateIpAddressesSet>"
		"<item><privateIpAddress>10.0.%u.%u</privateIpAddress><primary>true</primary></item>"
		"</privateIpAddressesSet></item></networkInterfaceSet></item></instancesSet></item>",
		id, is_pending(cloud, number) ? "pending" : "running", number / 256, number % 256,
		number / 256, number % 256);
}

/* The instances whose number is below 1000 exist. */
static void instances_answer(struct cloud *cloud, const char *form, FILE *file)
{
	const char *token = strstr(form, "NextToken=");
	unsigned page = token ? (unsigned)strtoul(token + 10, NULL, 10) : 0, n = 0, n_ids = 0;
	bool more = false;

	fprintf(file, "<DescribeInstancesResponse xmlns=\"" EC2_NS "\"><reservationSet>");
	for (const char *at = strstr(form, "=i-"); at; at = strstr(at + 1, "=i-")) {
		unsigned number = (unsigned)strtoul(at + 3, NULL, 16);
		char id[20];

		n_ids++;
		snprintf(id, sizeof(id), "%.19s", at + 1);
		if (cloud->other_instance)
			id[18] = id[18] == 'f' ? 'e' : 'f';
		if (number >= 1000)
			continue;
		if (!cloud->per_page || n / cloud->per_page == page)
			instance_print(file, cloud, id, number);
		n++;
		more |= cloud->per_page && n > (page + 1) * cloud->per_page;
	}
	fprintf(file, "</reservationSet>");
	if (more)
		fprintf(file, "<nextToken>%u</nextToken>", page + 1);
	fprintf(file, "</DescribeInstancesResponse>");
	if (n_ids > cloud->ids_max)
		cloud->ids_max = n_ids;
}

static void profiles_answer(struct cloud *cloud, const char *form, FILE *file, struct fake_reply *reply)
{
	bool first = cloud->iam_pages && !strstr(form, "Marker=");
	bool web = strstr(form, "RoleName=web-tier&") != NULL;

	if (cloud->no_such_role) {
		reply->status = 404;
		fprintf(file, "<ErrorResponse xmlns=\"" IAM_NS
			      "\"><Error><Type>Sender</Type><Code>NoSuchEntity</Code></Error>"
			      "</ErrorResponse>");
		return;
	}
	fprintf(file,
		"<ListInstanceProfilesForRoleResponse xmlns=\"" IAM_NS
		"\"><ListInstanceProfilesForRoleResult>"
		"<IsTruncated>%s</IsTruncated>%s<InstanceProfiles><member>"
		"<Arn>arn:aws:iam::123456789012:instance-profile/%s</Arn></member></InstanceProfiles>"
		"</ListInstanceProfilesForRoleResult></ListInstanceProfilesForRoleResponse>",
		first ? "true" : "false", first ? "<Marker>m</Marker>" : "", first || !web ? "other" : "web");
}

static bool spoil(atomic_uint *left, const struct cloud *cloud, struct fake_reply *reply)
{
	if (*left == 0)
		return false;
	--*left;
	*reply = cloud->spoiled;
	return true;
}

static void cloud_answer(struct fake *fake, const struct fake_request *request, struct fake_reply *reply)
{
	struct cloud *cloud = fake->context;
	bool ec2 = strstr(request->body, "Action=DescribeInstances&") != NULL;
	struct text text = { NULL, 0, NULL };

	++*(ec2 ? &cloud->calls_ec2 : &cloud->calls_iam);
	if (ec2 && cloud->gates > 0) {
		cloud->gates--;
		sem_post(&cloud->arrived);
		sem_wait(&cloud->let);
	}
	if (spoil(ec2 ? &cloud->spoil_ec2 : &cloud->spoil_iam, cloud, reply))
		return;
	text.file = open_memstream(&text.data, &text.length);
	if (!text.file)
		abort();
	if (ec2)
		instances_answer(cloud, request->body, text.file);
	else
		profiles_answer(cloud, request->body, text.file, reply);
	fclose(text.file);
	reply->body = text.data;
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
		struct world *world;
		unsigned dones;
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
	settings->n_accounts = 1;
	strcpy(settings->accounts[0].id, "123456789012");
	settings->accounts[0].n_regions = 2;
	strcpy(settings->accounts[0].regions[0], "us-east-1");
	strcpy(settings->accounts[0].regions[1], "us-west-2");
	strcpy(settings->ec2_endpoint, url);
	strcpy(settings->iam_endpoint, url);
}

static void environment_set(void)
{
	setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE", 1);
	setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", 1);
	setenv("AWS_SESSION_TOKEN", "token", 1);
}

static struct world *world_open(void)
{
	struct world *world = calloc(1, sizeof(*world));
	struct aws_settings *settings = calloc(1, sizeof(*settings));
	struct complaint complaint;

	assert_true(world && settings);
	environment_set();
	world->cloud.poisonous = world->cloud.pending = NOBODY;
	sem_init(&world->cloud.arrived, 0, 0);
	sem_init(&world->cloud.let, 0, 0);
	fake_open(&world->fake, cloud_answer, &world->cloud);
	settings_set(settings, world->fake.url);
	world->aws = aws_open(settings, &complaint);
	free(settings); /* it keeps a copy */
	assert_non_null(world->aws);
	pthread_mutex_init(&world->lock, NULL);
	pthread_cond_init(&world->changed, NULL);
	assert_int_equal(pthread_create(&world->thread, NULL, world_run, world), 0);
	return world;
}

/* Every question has been answered exactly once by then. */
static void world_close(struct world *world)
{
	aws_stop(world->aws);
	pthread_join(world->thread, NULL);
	assert_int_equal(world->done, world->asked);
	aws_close(world->aws);
	fake_close(&world->fake);
	for (unsigned i = 0; i < world->asked; i++) {
		assert_int_equal(world->questions[i]->dones, 1);
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

	pthread_mutex_lock(&world->lock);
	one->dones++;
	world->done++;
	pthread_cond_broadcast(&world->changed);
	pthread_mutex_unlock(&world->lock);
}

/* A true assertion of the instance of that number. */
static struct one *question_make(struct world *world, unsigned number, double seconds)
{
	struct one *one = calloc(1, sizeof(*one));
	struct assertion *assertion;

	assert_non_null(one);
	assertion = &one->assertion;
	snprintf(assertion->instance_id, sizeof(assertion->instance_id), "i-%017x", number);
	snprintf(assertion->local_hostname, HOSTNAME_SIZE, "ip-10-0-%u-%u.ec2.internal", number / 256,
		number % 256);
	snprintf(assertion->source_ip, ADDRESS_SIZE, "10.0.%u.%u", number / 256 % 256, number % 256);
	strcpy(assertion->reservation_id, "r-0123456789abcdef0");
	strcpy(assertion->instance_type, "m5.large");
	strcpy(assertion->role, "web-tier");
	strcpy(assertion->account_id, "123456789012");
	strcpy(assertion->region, "us-east-1");
	one->world = world;
	one->confirmation.assertion = assertion;
	one->confirmation.demand = &world->demand;
	one->confirmation.peer.s_addr = inet_addr(assertion->source_ip);
	one->confirmation.now = LAUNCH + 3600;
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

static void confirmed(const struct one *one)
{
	const struct check *failed;

	if (one->confirmation.outcome != OK)
		fail_msg("%s: %s", outcome_name(one->confirmation.outcome), one->confirmation.reason.text);
	assert_non_null(one->confirmation.claims);
	failed = claims_first_failed(one->confirmation.claims);
	if (failed)
		fail_msg("%s", failed->name);
	assert_int_equal(one->confirmation.claims->n_checks, 11);
	assert_string_equal(one->confirmation.claims->facts.instance_id, one->assertion.instance_id);
}

static void unavailable_for(const struct one *one, const char *code, const char *text)
{
	assert_int_equal(one->confirmation.outcome, UNAVAILABLE);
	assert_string_equal(one->confirmation.reason.code, code);
	if (!strstr(one->confirmation.reason.text, text))
		fail_msg("%s, not %s", one->confirmation.reason.text, text);
}

/* ---- the straight way */

static void lone_question(void **state)
{
	struct world *world = world_open();
	struct aws_counts counts;
	struct one *one = ask(world, 7, 20);

	(void)state;
	wait_all(world);
	confirmed(one);
	aws_counts_get(world->aws, &counts);
	assert_int_equal(counts.calls_ec2, 1);
	assert_int_equal(counts.calls_iam, 1);
	assert_int_equal(counts.failed_ec2 + counts.failed_iam + counts.cached_iam, 0);
	world_close(world);
}

/* While one call is under way the others gather; each id is asked for once, and each asker gets his own
 * answer. */
static void coalesced(void **state)
{
	struct world *world = world_open();
	struct aws_counts counts;

	(void)state;
	world->cloud.gates = 1;
	ask(world, 0, 20);
	sem_wait(&world->cloud.arrived);
	for (unsigned i = 0; i < 64; i++)
		ask(world, i % 40, 20);
	sem_post(&world->cloud.let);
	wait_all(world);
	for (unsigned i = 0; i < world->asked; i++)
		confirmed(world->questions[i]);
	aws_counts_get(world->aws, &counts);
	assert_int_equal(counts.calls_ec2, 2);
	assert_int_equal(counts.calls_iam, 1);
	assert_int_equal(world->cloud.ids_max, 40);
	world_close(world);
}

static void more_than_a_batch(void **state)
{
	struct world *world = world_open();

	(void)state;
	world->cloud.gates = 1;
	ask(world, 0, 30);
	sem_wait(&world->cloud.arrived);
	for (unsigned i = 0; i < 450; i++)
		ask(world, i, 30);
	sem_post(&world->cloud.let);
	wait_all(world);
	for (unsigned i = 0; i < world->asked; i++)
		confirmed(world->questions[i]);
	assert_int_equal(world->cloud.ids_max, 200);
	assert_true(world->cloud.calls_ec2 <= 5);
	world_close(world);
}

static void regions_apart(void **state)
{
	struct world *world = world_open();
	struct one *here, *there;

	(void)state;
	world->cloud.gates = 1;
	here = ask(world, 1, 20);
	sem_wait(&world->cloud.arrived);
	there = question_make(world, 1, 20);
	strcpy(there->assertion.region, "us-west-2");
	aws_confirm(world->aws, &there->confirmation);
	sem_post(&world->cloud.let);
	wait_all(world);
	confirmed(here);
	assert_int_equal(there->confirmation.outcome, OK);
	assert_string_equal(claims_first_failed(there->confirmation.claims)->name, CHECK_REGION);
	assert_int_equal(world->cloud.calls_ec2, 2);
	world_close(world);
}

static void pages_followed(void **state)
{
	struct world *world = world_open();

	(void)state;
	world->cloud.per_page = 2;
	world->cloud.iam_pages = true;
	world->cloud.gates = 1;
	ask(world, 0, 20);
	sem_wait(&world->cloud.arrived);
	for (unsigned i = 1; i < 6; i++)
		ask(world, i, 20);
	sem_post(&world->cloud.let);
	wait_all(world);
	for (unsigned i = 0; i < world->asked; i++)
		confirmed(world->questions[i]);
	assert_int_equal(world->cloud.calls_ec2, 1 + 3);
	assert_int_equal(world->cloud.calls_iam, 2);
	world_close(world);
}

/* A yes is kept, under its own role alone; a no is not. */
static void roles_cached(void **state)
{
	struct world *world = world_open();
	struct aws_counts counts;
	struct one *one;

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		ask(world, i, 20);
		wait_all(world);
		confirmed(world->questions[i]);
	}
	aws_counts_get(world->aws, &counts);
	assert_int_equal(counts.calls_iam, 1);
	assert_int_equal(counts.cached_iam, 2);
	for (unsigned i = 0; i < 2; i++) {
		one = question_make(world, i, 20);
		strcpy(one->assertion.role, "db-tier");
		aws_confirm(world->aws, &one->confirmation);
		wait_all(world);
		assert_int_equal(one->confirmation.outcome, OK);
		assert_string_equal(claims_first_failed(one->confirmation.claims)->name, CHECK_ROLE);
	}
	aws_counts_get(world->aws, &counts);
	assert_int_equal(counts.calls_iam, 3);
	assert_int_equal(counts.cached_iam, 2);
	world_close(world);
}

/* ---- not visible */

#define THROTTLED                                                                                            \
	"<Response><Errors><Error><Code>RequestLimitExceeded</Code><Message>m</Message></Error></Errors></"  \
	"Response>"

static void not_visible(void **state)
{
	struct world *world = world_open();
	struct one *unknown, *pending, *fine;

	(void)state;
	world->cloud.pending = 5;
	unknown = ask(world, 1000, 20);
	pending = ask(world, 5, 20);
	fine = ask(world, 6, 20);
	wait_all(world);
	unavailable_for(unknown, REASON_NOT_VISIBLE_YET, "does not show");
	unavailable_for(pending, REASON_NOT_VISIBLE_YET, "pending");
	confirmed(fine);
	world_close(world);
}

/* It is asked for again meanwhile, and those who come then do not wait for it. */
static void visible_after_a_while(void **state)
{
	struct world *world = world_open();
	struct aws_counts counts;
	struct one *late, *fine;

	(void)state;
	world->cloud.pending = 5;
	world->cloud.running_after = 3;
	late = ask(world, 5, 20);
	fine = ask(world, 6, 20);
	wait_all(world);
	confirmed(late);
	confirmed(fine);
	aws_counts_get(world->aws, &counts);
	assert_in_range(counts.calls_ec2, 4, 5); /* the second of them came with the first, or just after */
	assert_int_equal(counts.failed_ec2, 0);
	world_close(world);
}

/* A deadline that comes before EC2 shows it: the answer is the same, and in time. */
static void not_visible_within_the_deadline(void **state)
{
	struct world *world = world_open();
	struct one *unknown = ask(world, 1000, 0.6);
	long long began = monotonic_now();

	(void)state;
	wait_all(world);
	unavailable_for(unknown, REASON_NOT_VISIBLE_YET, "does not show");
	assert_in_range((monotonic_now() - began) / 1000000, 0, 5000);
	world_close(world);
}

/* AWS has throttled, so our own bucket is empty: who cannot have his turn in time is told at once. */
static void no_turn_in_time(void **state)
{
	struct world *world = world_open();
	struct one *first, *hurried;

	(void)state;
	world->cloud.spoiled = (struct fake_reply){ .status = 503, .body = THROTTLED };
	world->cloud.spoil_ec2 = 1;
	world->cloud.gates = 1;
	first = ask(world, 1, 20);
	sem_wait(&world->cloud.arrived);
	sem_post(&world->cloud.let);
	while (world->cloud.calls_ec2 < 2) /* the throttled one is back, and tried again */
		usleep(1000);
	hurried = ask(world, 2, 0.02);
	wait_all(world);
	confirmed(first);
	unavailable_for(hurried, REASON_OVERLOADED, "more are waiting");
	world_close(world);
}

/* EC2 answers about another instance than the one that was asked for. */
static void attack_18_another_instance(void **state)
{
	struct world *world = world_open();
	struct one *one;

	(void)state;
	world->cloud.other_instance = true;
	one = ask(world, 1, 20);
	wait_all(world);
	unavailable_for(one, REASON_NOT_VISIBLE_YET, "does not show");
	world_close(world);
}

static void no_such_role(void **state)
{
	struct world *world = world_open();
	struct one *late, *early;

	(void)state;
	world->cloud.no_such_role = true;
	late = ask(world, 1, 20);
	early = question_make(world, 1, 20);
	early->confirmation.now = LAUNCH + 5;
	aws_confirm(world->aws, &early->confirmation);
	wait_all(world);
	assert_int_equal(late->confirmation.outcome, OK);
	assert_string_equal(claims_first_failed(late->confirmation.claims)->name, CHECK_ROLE);
	/* also just after the launch: EC2 may be late with a profile, but IAM has answered about the role */
	assert_int_equal(early->confirmation.outcome, OK);
	assert_string_equal(claims_first_failed(early->confirmation.claims)->name, CHECK_ROLE);
	world_close(world);
}

static void not_ours(void **state)
{
	struct world *world = world_open();
	struct one *account = question_make(world, 1, 20), *region = question_make(world, 1, 20);

	(void)state;
	strcpy(account->assertion.account_id, "210987654321");
	strcpy(region->assertion.region, "eu-west-1");
	aws_confirm(world->aws, &account->confirmation);
	aws_confirm(world->aws, &region->confirmation);
	wait_all(world);
	assert_int_equal(account->confirmation.outcome, FAULT);
	assert_int_equal(region->confirmation.outcome, FAULT);
	assert_int_equal(world->cloud.calls_ec2 + world->cloud.calls_iam, 0);
	world_close(world);
}

/* ---- failures */

/* What passes: tried again, and served. */
static void attack_18_passing_failures(void **state)
{
	static const struct fake_reply replies[] = {
		{ .drop = true },
		{ .reset = true },
		{ .body = "<DescribeInstancesResponse>", .cut = 5 },
		{ .status = 500 },
		{ .status = 503, .body = "<html>busy</html>" },
		{ .status = 503, .body = THROTTLED },
		{ .status = 400,
			.body = "<ErrorResponse xmlns=\"" IAM_NS
				"\"><Error><Code>Throttling</Code></Error></ErrorResponse>" },
		{ .status = 429 },
		{ .body = THROTTLED }, /* 200 with an error in it */
		{ .body = "garbage" },
		{ .body = "" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(replies) / sizeof(replies[0]); i++) {
		struct world *world = world_open();
		struct aws_counts counts;
		struct one *one;

		/* IAM's own form of an error is nonsense from EC2, which is tried again as well */
		world->cloud.spoiled = replies[i];
		world->cloud.spoil_ec2 = world->cloud.spoil_iam = 1;
		one = ask(world, 1, 20);
		wait_all(world);
		if (i == 6)
			unavailable_for(one, REASON_UPSTREAM, "ec2: it answered 400");
		else
			confirmed(one);
		aws_counts_get(world->aws, &counts);
		assert_int_equal(counts.failed_ec2, 1);
		world_close(world);
	}
}

static void attack_18_throttled_five_times(void **state)
{
	struct world *world = world_open();
	struct one *one;

	(void)state;
	world->cloud.spoiled = (struct fake_reply){ .status = 503, .body = THROTTLED };
	world->cloud.spoil_ec2 = 5;
	world->cloud.spoil_iam = 2;
	one = ask(world, 1, 30);
	wait_all(world);
	confirmed(one);
	assert_int_equal(world->cloud.calls_ec2, 6);
	assert_int_equal(world->cloud.calls_iam, 3);
	world_close(world);
}

/* What stays: given up at once, with AWS's code and none of its text. */
static void attack_25_error_texts_stay_inside(void **state)
{
	static const struct {
		struct fake_reply reply;
		const char *text;
	} cases[] = {
		{ { .status = 403,
			  .body = "<Response><Errors><Error><Code>UnauthorizedOperation</"
				  "Code><Message>secret text</Message></Error>"
				  "</Errors></Response>" },
			"403 UnauthorizedOperation" },
		{ { .status = 401, .body = "secret text" }, "401" },
		{ { .status = 302, .headers = "Location: http://127.0.0.1:1/secret text\r\n" }, "302" },
		{ { .status = 404,
			  .body = "<Response><Errors><Error><Code>NoSuchEntity</Code></Error></Errors></"
				  "Response>" },
			"NoSuchEntity" },
		{ { .body = "<a>secret text</a>" }, "the answer is not" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct world *world = world_open();
		struct one *one;

		world->cloud.spoiled = cases[i].reply;
		world->cloud.spoil_ec2 = 1000;
		one = ask(world, 1, 20);
		wait_all(world);
		if (i < 4)
			unavailable_for(one, REASON_UPSTREAM, cases[i].text);
		else
			unavailable_for(one, REASON_UPSTREAM, "namespace");
		assert_null(strstr(one->confirmation.reason.text, "secret"));
		/* nothing is broken by it */
		world->cloud.spoil_ec2 = 0;
		one = ask(world, 1, 20);
		wait_all(world);
		confirmed(one);
		world_close(world);
	}
}

static void iam_refuses(void **state)
{
	struct world *world = world_open();
	struct one *one;

	(void)state;
	world->cloud.spoiled = (struct fake_reply){ .status = 403,
		.body = "<ErrorResponse xmlns=\"" IAM_NS
			"\"><Error><Code>AccessDenied</Code></Error></ErrorResponse>" };
	world->cloud.spoil_iam = 1;
	one = ask(world, 1, 20);
	wait_all(world);
	unavailable_for(one, REASON_UPSTREAM, "iam: it answered 403 AccessDenied");
	world_close(world);
}

static void attack_23_too_large(void **state)
{
	enum { LENGTH = 9 * 1024 * 1024 };
	char *text = malloc(LENGTH);
	struct world *world = world_open();
	struct one *one;

	(void)state;
	assert_non_null(text);
	memset(text, ' ', LENGTH);
	world->cloud.spoiled = (struct fake_reply){ .body = text, .body_length = LENGTH };
	world->cloud.spoil_ec2 = 1000;
	one = ask(world, 1, 20);
	wait_all(world);
	unavailable_for(one, REASON_UPSTREAM, "too large");
	world_close(world);
	free(text);
}

/* A good answer, a byte at a time: nobody waits for its end, and the next question is served. */
static void attack_23_slow_bytes(void **state)
{
	struct world *world = world_open();
	struct one *one;

	(void)state;
	world->cloud.spoiled = (struct fake_reply){
		.body = "<DescribeInstancesResponse xmlns=\"" EC2_NS "\">", .slow = true
	};
	world->cloud.spoil_ec2 = 1000;
	one = ask(world, 1, 0.5);
	wait_all(world);
	unavailable_for(one, REASON_UPSTREAM, "deadline");
	world->cloud.spoil_ec2 = 0;
	one = ask(world, 1, 20);
	wait_all(world);
	confirmed(one);
	world_close(world);
}

static void nobody_there(void **state)
{
	struct world *world = world_open();
	struct one *one;

	(void)state;
	fake_close(&world->fake);
	one = ask(world, 1, 0.4);
	wait_all(world);
	unavailable_for(one, REASON_UPSTREAM, "deadline");
	fake_open(&world->fake, cloud_answer, &world->cloud);
	world_close(world);
}

/* One instance whose answer cannot be read does not hurt those who travel with it. */
static void poison_alone(void **state)
{
	struct world *world = world_open();

	(void)state;
	world->cloud.poisonous = 13;
	world->cloud.gates = 1;
	ask(world, 0, 20);
	sem_wait(&world->cloud.arrived);
	for (unsigned i = 0; i < 30; i++)
		ask(world, i, 20);
	sem_post(&world->cloud.let);
	wait_all(world);
	for (unsigned i = 0; i < world->asked; i++) {
		if (i == 14)
			unavailable_for(world->questions[i], REASON_UPSTREAM, "instanceId: is there twice");
		else
			confirmed(world->questions[i]);
	}
	world_close(world);
}

/* ---- deadlines and stop */

/* One gives up while his call is under way; it goes on for the other. */
static void deadline_passes(void **state)
{
	struct world *world = world_open();
	struct one *first, *second, *third;

	(void)state;
	/* IAM's answer is known then: its simulation stands still with EC2's */
	ask(world, 1, 20);
	wait_all(world);
	world->cloud.gates = 2;
	first = ask(world, 1, 20);
	sem_wait(&world->cloud.arrived);
	second = ask(world, 2, 0.2);
	third = ask(world, 3, 20);
	sem_post(&world->cloud.let); /* the first call; the second one has both */
	sem_wait(&world->cloud.arrived);
	wait_done(world, 3);
	confirmed(first);
	unavailable_for(second, REASON_UPSTREAM, "deadline");
	sem_post(&world->cloud.let);
	wait_all(world);
	confirmed(third);
	world_close(world);
}

/* All give up; the late answer finds nobody. */
static void deadline_of_all(void **state)
{
	struct world *world = world_open();
	struct one *one;

	(void)state;
	world->cloud.gates = 1;
	one = ask(world, 1, 0.2);
	sem_wait(&world->cloud.arrived);
	wait_all(world);
	unavailable_for(one, REASON_UPSTREAM, "deadline");
	sem_post(&world->cloud.let);
	one = ask(world, 1, 20);
	wait_all(world);
	confirmed(one);
	world_close(world);
}

static void deadline_already_over(void **state)
{
	struct world *world = world_open();
	struct one *one = ask(world, 1, -1);

	(void)state;
	wait_all(world);
	unavailable_for(one, REASON_UPSTREAM, "deadline");
	world_close(world);
}

static void stopped_while_busy(void **state)
{
	struct world *world = world_open();
	struct one *served, *waiting, *late;

	(void)state;
	world->cloud.gates = 1;
	served = ask(world, 1, 20);
	sem_wait(&world->cloud.arrived);
	waiting = ask(world, 2, 20);
	aws_stop(world->aws);
	late = ask(world, 3, 20);
	sem_post(&world->cloud.let);
	pthread_join(world->thread, NULL);
	confirmed(served);
	confirmed(waiting);
	confirmed(late);
	assert_int_equal(pthread_create(&world->thread, NULL, world_run, world), 0);
	world_close(world);
}

/* The thread ends although the call never does. */
static void stopped_while_hung(void **state)
{
	struct world *world = world_open();
	struct one *one;

	(void)state;
	world->cloud.spoiled = (struct fake_reply){ .hold = true };
	world->cloud.spoil_ec2 = 1000;
	one = ask(world, 1, 0.3);
	aws_stop(world->aws);
	pthread_join(world->thread, NULL);
	unavailable_for(one, REASON_UPSTREAM, "deadline");
	assert_int_equal(pthread_create(&world->thread, NULL, world_run, world), 0);
	world_close(world);
}

/* ---- opening */

static void open_refused(const struct aws_settings *settings, const char *named)
{
	struct complaint complaint = { "" };

	assert_null(aws_open(settings, &complaint));
	if (!strstr(complaint.text, named))
		fail_msg("%s, not %s", complaint.text, named);
}

static void refused_at_open(void **state)
{
	struct aws_settings *settings = calloc(1, sizeof(*settings));

	(void)state;
	assert_non_null(settings);
	environment_set();
	settings_set(settings, "");
	settings->n_accounts = 2;
	open_refused(settings, "assume_role");
	settings->n_accounts = 0;
	open_refused(settings, "at least one account");
	settings_set(settings, "");
	strcpy(settings->accounts[0].regions[1], "us-west-9");
	open_refused(settings, "us-west-9");
	settings_set(settings, "http://x/y");
	open_refused(settings, "aws.endpoints.ec2");
	settings_set(settings, "");
	settings->accounts[0].n_regions = 0;
	open_refused(settings, "regions");
	settings_set(settings, "");
	unsetenv("AWS_SECRET_ACCESS_KEY");
	open_refused(settings, "AWS_SECRET_ACCESS_KEY");
	aws_close(NULL);
	free(settings);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lone_question),
		cmocka_unit_test(coalesced),
		cmocka_unit_test(more_than_a_batch),
		cmocka_unit_test(regions_apart),
		cmocka_unit_test(pages_followed),
		cmocka_unit_test(roles_cached),
		cmocka_unit_test(not_visible),
		cmocka_unit_test(visible_after_a_while),
		cmocka_unit_test(not_visible_within_the_deadline),
		cmocka_unit_test(no_turn_in_time),
		cmocka_unit_test(attack_18_another_instance),
		cmocka_unit_test(no_such_role),
		cmocka_unit_test(not_ours),
		cmocka_unit_test(attack_18_passing_failures),
		cmocka_unit_test(attack_18_throttled_five_times),
		cmocka_unit_test(attack_25_error_texts_stay_inside),
		cmocka_unit_test(iam_refuses),
		cmocka_unit_test(attack_23_too_large),
		cmocka_unit_test(attack_23_slow_bytes),
		cmocka_unit_test(nobody_there),
		cmocka_unit_test(poison_alone),
		cmocka_unit_test(deadline_passes),
		cmocka_unit_test(deadline_of_all),
		cmocka_unit_test(deadline_already_over),
		cmocka_unit_test(stopped_while_busy),
		cmocka_unit_test(stopped_while_hung),
		cmocka_unit_test(refused_at_open),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
