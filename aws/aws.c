/* The AWS thread: takes questions in, drives the calls, lets nobody wait beyond his deadline. All state but
 * the inbox and the counters belongs to that one thread; there is no lock but the inbox's. Must never log,
 * and never block but in http_step. */
#include "aws/batch.h"
#include "aws/principals.h"

#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* A wake-up is a byte in a socket, and may fail where the kernel is short of memory: what waits in the inbox
 * then is found after the longest wait. */
enum { CONNECTIONS = 16, WAIT_MAX_MS = 1000 };

#define MILLISECOND 1000000LL

struct aws {
	struct aws_settings settings;
	struct caller caller;
	struct identities *identities;
	struct profiles *profiles;
	struct batches *batches;
	struct questions questions;
	struct batch_counts ec2;
	struct profile_counts iam;
	struct identity_counts sts;

	pthread_mutex_t lock; /* over what follows */
	struct confirmation *inbox, **inbox_end;
	bool stopping;
};

static bool settings_check(const struct aws_settings *settings, struct complaint *complaint)
{
	unsigned without_role = 0;

	for (unsigned i = 0; i < settings->n_accounts; i++)
		without_role += settings->accounts[i].assume_role[0] == '\0';
	if (settings->n_accounts == 0)
		return complain(complaint, "aws.accounts: name at least one account");
	if (without_role > 1)
		return complain(complaint,
			"aws.accounts: our own credentials belong to one account: name a role to "
			"assume (assume_role) for each of the others");
	return true;
}

static bool parts_open(struct aws *aws, struct complaint *complaint)
{
	const struct http_options options = { .user_agent = "vouchsafe", .connections = CONNECTIONS };

	aws->caller.http = http_open(&options);
	if (!aws->caller.http)
		return complain(complaint, "out of memory");
	aws->caller.principals = principals_new(&aws->settings, &aws->caller, complaint);
	if (!aws->caller.principals)
		return false;
	aws->identities = identities_new(&aws->settings, &aws->caller, &aws->sts, complaint);
	if (!aws->identities)
		return false;
	aws->profiles = profiles_new(&aws->caller, aws->identities, &aws->iam);
	if (!aws->profiles)
		return complain(complaint, "out of memory");
	aws->batches = batches_new(&aws->settings, &aws->caller, aws->profiles, &aws->ec2, complaint);
	return aws->batches != NULL;
}

struct aws *aws_open(const struct aws_settings *settings, struct complaint *complaint)
{
	struct aws *aws;

	if (!settings_check(settings, complaint))
		return NULL;
	aws = calloc(1, sizeof(*aws));
	if (!aws) {
		complain(complaint, "out of memory");
		return NULL;
	}
	aws->settings = *settings;
	aws->inbox_end = &aws->inbox;
	questions_init(&aws->questions);
	pthread_mutex_init(&aws->lock, NULL);
	if (!parts_open(aws, complaint)) {
		aws_close(aws);
		return NULL;
	}
	return aws;
}

/* First the calls end, without a word, then what they pointed to. */
void aws_close(struct aws *aws)
{
	if (!aws)
		return;
	http_close(aws->caller.http);
	batches_free(aws->batches);
	profiles_free(aws->profiles);
	identities_free(aws->identities);
	principals_free(aws->caller.principals);
	pthread_mutex_destroy(&aws->lock);
	free(aws);
}

void aws_confirm(struct aws *aws, struct confirmation *asked)
{
	bool first;

	asked->next = NULL;
	pthread_mutex_lock(&aws->lock);
	first = aws->inbox == NULL;
	*aws->inbox_end = asked;
	aws->inbox_end = &asked->next;
	pthread_mutex_unlock(&aws->lock);
	/* the others come with the first */
	if (first)
		http_wake(aws->caller.http);
}

void aws_stop(struct aws *aws)
{
	pthread_mutex_lock(&aws->lock);
	aws->stopping = true;
	pthread_mutex_unlock(&aws->lock);
	http_wake(aws->caller.http);
}

static struct confirmation *inbox_take(struct aws *aws, bool *stopping)
{
	struct confirmation *taken;

	pthread_mutex_lock(&aws->lock);
	taken = aws->inbox;
	aws->inbox = NULL;
	aws->inbox_end = &aws->inbox;
	*stopping = aws->stopping;
	pthread_mutex_unlock(&aws->lock);
	return taken;
}

static void inbox_ask(struct aws *aws, struct confirmation *taken)
{
	while (taken) {
		struct confirmation *next = taken->next;
		struct question *question = question_new(&aws->questions, taken);

		if (question)
			batches_ask(aws->batches, question);
		taken = next;
	}
}

/* Until the next deadline, or the next moment at which something is to be sent. */
static int wait_time(const struct aws *aws, long long next, long long now)
{
	const struct question *first = TAILQ_FIRST(&aws->questions.open);

	if (first && first->deadline < next)
		next = first->deadline;
	if (next <= now)
		return 0;
	if (next - now > WAIT_MAX_MS * MILLISECOND)
		return WAIT_MAX_MS;
	return (int)((next - now + MILLISECOND - 1) / MILLISECOND);
}

static long long earlier(long long a, long long b)
{
	return a < b ? a : b;
}

void aws_run(struct aws *aws)
{
	for (;;) {
		bool stopping;
		struct confirmation *taken = inbox_take(aws, &stopping);
		long long now, next;

		inbox_ask(aws, taken);
		now = monotonic_now();
		questions_expire(&aws->questions, now);
		principals_advance(aws->caller.principals, now);
		/* in this order: each may hand questions on to the next */
		next = batches_advance(aws->batches, now);
		next = earlier(next, profiles_advance(aws->profiles, now));
		next = earlier(next, identities_advance(aws->identities, now));
		next = earlier(next, principals_next(aws->caller.principals));
		if (stopping && !taken && aws->questions.n_open == 0)
			return;
		http_step(aws->caller.http, wait_time(aws, next, now));
	}
}

void aws_counts_get(struct aws *aws, struct aws_counts *counts)
{
	counts->calls_ec2 = aws->ec2.calls;
	counts->failed_ec2 = aws->ec2.failed;
	counts->calls_iam = aws->iam.calls;
	counts->failed_iam = aws->iam.failed;
	counts->calls_sts = aws->sts.calls;
	counts->failed_sts = aws->sts.failed;
	counts->cached_iam = aws->iam.cached;
}

bool aws_credentials_get(struct aws *aws, unsigned i, struct credentials_status *status)
{
	return principals_status(aws->caller.principals, i, status);
}
