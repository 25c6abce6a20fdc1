/* EC2 look-ups in batches. A lone question goes at once; while calls are under way, or the bucket runs low,
 * questions wait a little in their group (account and region) for others to go with them. A call that fails
 * in passing puts its questions back and makes the group pause; an answer that cannot be understood splits
 * its batch in halves, so that one poisonous instance ends up alone. An instance that EC2 does not show yet
 * is asked for again, with what room the others leave. Must never show a question any instance but its own.
 */
#include "aws/batch.h"

#include "aws/bucket.h"
#include "aws/ec2.h"
#include "aws/principals.h"
#include "verifier/reasons.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MILLISECOND 1000000LL /* nanoseconds */
#define NEWCOMER_PAUSE (300 * MILLISECOND)

enum {
	SIDE_BY_SIDE_MAX = 8, /* calls of one group */
	LINGER_MS = 5, /* how long to wait for others, with a full bucket */
	LINGER_MOST_MS = 100, /* and with an empty one */
	LINGER_STORM_MS = 250, /* and after a call for STORM_IDS or more: in a storm calls are for hundreds */
	STORM_IDS = 100,
	PLENTY = 500, /* thousandths of the bucket: above it a lone question does not wait for others */
	ASKS_MAX = 4, /* for an instance that EC2 does not show yet */
	AGAIN_MS = 400, /* until it is asked for again; then twice as long, and so on */
	PAGES_MAX = 20,
	LONE_TRIES = 2 /* of a batch of one whose answer cannot be understood */
};

struct group {
	const struct aws_account *account;
	const char *region;
	struct service ec2, iam;
	struct question_queue waiting;
	unsigned n_waiting;
	long long since; /* the first of them came, or the last call left some of them */
	/* EC2 has not shown theirs yet, by how often it was asked: so each is in the order of not_before */
	struct question_queue again[ASKS_MAX];
	unsigned under_way; /* batches, without the halves of split ones */
	unsigned failures; /* in a row */
	unsigned n_ids; /* of the last call: how dense they come */
	long long not_before;
	struct bucket bucket;
};

struct batch {
	LIST_ENTRY(batch) all;
	struct batches *batches;
	struct group *group;
	struct question_queue questions;
	struct call call;
	struct ec2_answer answer;
	bool half; /* of one that was split: does not count in group->under_way */
	unsigned pages, tries;
	unsigned n_ids;
	char ids[EC2_IDS_MAX][INSTANCE_ID_SIZE];
};

struct batches {
	const struct caller *caller;
	struct profiles *profiles;
	struct batch_counts *counts;
	LIST_HEAD(batches_under_way, batch) under_way;
	unsigned n_groups;
	struct group *groups;
};

/* ---- opening and closing */

static bool group_init(struct group *group, const struct aws_settings *settings,
	const struct aws_account *account, const char *name, struct complaint *complaint)
{
	const struct aws_region *region = aws_region_find(name);

	if (!region)
		return complain(complaint,
			"aws.accounts.%s.regions: %s is no region of AWS that this version "
			"knows; write its name as in us-east-1",
			account->id, name);
	if (!service_ec2(&group->ec2, region, settings->ec2_endpoint))
		return complain(
			complaint, "aws.endpoints.ec2: must be http[s]://host[:port] and nothing more");
	if (!service_iam(&group->iam, region, settings->iam_endpoint))
		return complain(
			complaint, "aws.endpoints.iam: must be http[s]://host[:port] and nothing more");
	group->account = account;
	group->region = region->name;
	STAILQ_INIT(&group->waiting);
	for (unsigned asks = 0; asks < ASKS_MAX; asks++)
		STAILQ_INIT(&group->again[asks]);
	bucket_init(&group->bucket, settings->bucket_size, settings->bucket_per_second, monotonic_now());
	return true;
}

static bool groups_init(
	struct batches *batches, const struct aws_settings *settings, struct complaint *complaint)
{
	unsigned n_groups = 0;

	for (unsigned i = 0; i < settings->n_accounts; i++)
		n_groups += settings->accounts[i].n_regions;
	if (n_groups == 0)
		return complain(complaint, "aws.accounts: name the account and at least one of its regions");
	batches->groups = calloc(n_groups, sizeof(*batches->groups));
	if (!batches->groups)
		return complain(complaint, "out of memory");
	for (unsigned i = 0; i < settings->n_accounts; i++) {
		const struct aws_account *account = &settings->accounts[i];

		for (unsigned j = 0; j < account->n_regions; j++) {
			struct group *group = &batches->groups[batches->n_groups++];

			if (!group_init(group, settings, account, account->regions[j], complaint))
				return false;
			group->ec2.credentials = group->iam.credentials = principals_of(
				batches->caller->principals, account->id);
		}
	}
	return true;
}

struct batches *batches_new(const struct aws_settings *settings, const struct caller *caller,
	struct profiles *profiles, struct batch_counts *counts, struct complaint *complaint)
{
	struct batches *batches = calloc(1, sizeof(*batches));

	if (!batches) {
		complain(complaint, "out of memory");
		return NULL;
	}
	batches->caller = caller;
	batches->profiles = profiles;
	batches->counts = counts;
	LIST_INIT(&batches->under_way);
	if (!groups_init(batches, settings, complaint)) {
		batches_free(batches);
		return NULL;
	}
	return batches;
}

/* What questions are left in it go with it. */
static void batch_free(struct batch *batch)
{
	LIST_REMOVE(batch, all);
	if (!batch->half)
		batch->group->under_way--;
	call_clear(&batch->call);
	ec2_answer_clear(&batch->answer);
	queue_free(&batch->questions);
	free(batch);
}

static void group_clear(struct group *group)
{
	queue_free(&group->waiting);
	for (unsigned asks = 0; asks < ASKS_MAX; asks++)
		queue_free(&group->again[asks]);
}

void batches_free(struct batches *batches)
{
	struct batch *batch;

	if (!batches)
		return;
	while ((batch = LIST_FIRST(&batches->under_way)))
		batch_free(batch);
	for (unsigned i = 0; i < batches->n_groups; i++)
		if (batches->groups[i].account)
			group_clear(&batches->groups[i]);
	free(batches->groups);
	free(batches);
}

/* ---- filling a batch */

static struct batch *batch_new(struct batches *batches, struct group *group, bool half)
{
	struct batch *batch = calloc(1, sizeof(*batch));

	if (!batch)
		return NULL;
	batch->batches = batches;
	batch->group = group;
	batch->half = half;
	STAILQ_INIT(&batch->questions);
	LIST_INSERT_HEAD(&batches->under_way, batch, all);
	if (!half)
		group->under_way++;
	return batch;
}

static bool batch_has(const struct batch *batch, const char *instance_id)
{
	for (unsigned i = 0; i < batch->n_ids; i++)
		if (strcmp(batch->ids[i], instance_id) == 0)
			return true;
	return false;
}

/* False: it does not fit any more. Takes the question otherwise. */
static bool batch_take(struct batch *batch, struct question *question, unsigned n_ids_max)
{
	const char *instance_id = question->asked->assertion->instance_id;

	if (!batch_has(batch, instance_id)) {
		if (batch->n_ids == n_ids_max)
			return false;
		strcpy(batch->ids[batch->n_ids++], instance_id);
	}
	STAILQ_INSERT_TAIL(&batch->questions, question, held);
	return true;
}

/* From the front of the queue, as many as fit; frees those that were answered meanwhile. Returns how many it
 * took off the queue. */
static unsigned batch_fill(struct batch *batch, struct question_queue *from, unsigned n_ids_max)
{
	struct question *question;
	unsigned n = 0;

	while ((question = STAILQ_FIRST(from))) {
		STAILQ_REMOVE_HEAD(from, held);
		n++;
		if (!question->asked) {
			question_free(question);
		} else if (!batch_take(batch, question, n_ids_max)) {
			STAILQ_INSERT_HEAD(from, question, held);
			return n - 1;
		}
	}
	return n;
}

/* The first of a queue that is not empty, into a batch with room for it. */
static void batch_fill_one(struct batch *batch, struct question_queue *from)
{
	struct question *question = STAILQ_FIRST(from);

	STAILQ_REMOVE_HEAD(from, held);
	if (question->asked)
		(void)batch_take(batch, question, EC2_IDS_MAX);
	else
		question_free(question);
}

/* ---- the end of a batch */

static void queue_fault(struct question_queue *queue, const char *told)
{
	struct question *question;

	while ((question = STAILQ_FIRST(queue))) {
		STAILQ_REMOVE_HEAD(queue, held);
		if (question->asked)
			question_fault(question, told);
		question_free(question);
	}
}

/* EC2 is eventually consistent: later it may show more. False: it has been asked often enough. */
static bool question_again(struct group *group, struct question *question, long long now)
{
	long long pause = (AGAIN_MS * MILLISECOND) << question->asks;

	if (++question->asks >= ASKS_MAX || now + pause >= question->deadline)
		return false;
	question->unseen = true;
	question->not_before = now + pause;
	STAILQ_INSERT_TAIL(&group->again[question->asks], question, held);
	return true;
}

/* True: there are claims with EC2's facts. Otherwise it has been answered. */
static bool question_show(struct question *question, const struct facts *facts)
{
	struct confirmation *asked = question->asked;

	asked->claims = claims_new();
	if (!asked->claims || !facts_copy(&asked->claims->facts, facts)) {
		question_fault(question, "out of memory");
		return false;
	}
	return true;
}

static void question_deliver(struct batch *batch, struct question *question)
{
	struct group *group = batch->group;
	struct confirmation *asked = question->asked;
	const struct facts *facts = ec2_answer_find(&batch->answer, asked->assertion->instance_id);
	enum outcome visible = confirm_visible(facts, asked->now, &asked->reason);

	if (visible == OK && question_show(question, facts)) {
		profiles_ask(batch->batches->profiles, question, &group->iam);
		return;
	}
	if (visible == UNAVAILABLE && question_again(group, question, monotonic_now()))
		return;
	if (question->asked)
		question_answer(question, visible);
	question_free(question);
}

static void batch_deliver(struct batch *batch)
{
	struct question *question;

	batch->group->failures = 0;
	while ((question = STAILQ_FIRST(&batch->questions))) {
		STAILQ_REMOVE_HEAD(&batch->questions, held);
		if (question->asked)
			question_deliver(batch, question);
		else
			question_free(question);
	}
	batch_free(batch);
}

/* A passing failure: they go first in the group's next call, after a pause. */
static void batch_put_back(struct batch *batch)
{
	struct group *group = batch->group;
	struct question *question;

	group->since = monotonic_now();
	group->not_before = group->since + call_pause(++group->failures);
	if (aws_error_throttles(batch->call.code))
		bucket_drain(&group->bucket, group->since);
	for (question = STAILQ_FIRST(&batch->questions); question; question = STAILQ_NEXT(question, held))
		group->n_waiting++;
	STAILQ_CONCAT(&batch->questions, &group->waiting);
	STAILQ_CONCAT(&group->waiting, &batch->questions);
	batch_free(batch);
}

static void batch_give_up(struct batch *batch)
{
	struct question *question;

	while ((question = STAILQ_FIRST(&batch->questions))) {
		STAILQ_REMOVE_HEAD(&batch->questions, held);
		if (question->asked)
			question_give_up(question, "ec2", batch->call.told);
		question_free(question);
	}
	batch_free(batch);
}

static void batch_send(struct batch *batch);

/* Somebody in this batch has an answer that nobody can read. */
static void batch_split(struct batch *batch)
{
	unsigned n_ids_max = (batch->n_ids + 1) / 2;

	for (int i = 0; i < 2 && queue_sweep(&batch->questions); i++) {
		struct batch *half = batch_new(batch->batches, batch->group, true);

		if (!half)
			break;
		/* the second takes all that is left */
		batch_fill(half, &batch->questions, i == 0 ? n_ids_max : EC2_IDS_MAX);
		batch_send(half);
	}
	queue_fault(&batch->questions, "out of memory");
	batch_free(batch);
}

static void batch_nonsense(struct batch *batch)
{
	if (batch->n_ids > 1) {
		batch_split(batch);
	} else if (++batch->tries < LONE_TRIES && queue_sweep(&batch->questions)) {
		ec2_answer_clear(&batch->answer);
		batch->pages = 0;
		batch_send(batch);
	} else {
		batch_give_up(batch);
	}
}

static void batch_page(struct batch *batch)
{
	if (batch->answer.next_token[0] == '\0') {
		batch_deliver(batch);
	} else if (++batch->pages < PAGES_MAX) {
		batch_send(batch);
	} else {
		strcpy(batch->call.told, "too many pages");
		batch_nonsense(batch);
	}
}

static void batch_done(struct call *call, enum call_result result)
{
	struct batch *batch = call->context;
	char why[XML_WHY_SIZE];

	if (result == CALL_ANSWERED &&
		!ec2_answer_add(&batch->answer, call->request.answer, EC2_NAMESPACE, why))
		result = call_reread(call, why);
	call_clear(call);
	if (result == CALL_ANSWERED) {
		batch_page(batch);
		return;
	}
	batch->batches->counts->failed++;
	switch (result) {
	case CALL_PASSING:
		batch_put_back(batch);
		break;
	case CALL_NONSENSE:
		batch_nonsense(batch);
		break;
	case CALL_REFUSED:
		batch_give_up(batch);
		break;
	default:
		queue_fault(&batch->questions, call->told);
		batch_free(batch);
	}
}

static void batch_send(struct batch *batch)
{
	bucket_take(&batch->group->bucket, monotonic_now());
	batch->batches->counts->calls++;
	batch->call.done = batch_done;
	batch->call.context = batch;
	ec2_form(&batch->call.form, batch->ids, batch->n_ids, batch->answer.next_token);
	call_send(
		&batch->call, batch->batches->caller, &batch->group->ec2, queue_deadline(&batch->questions));
}

/* ---- questions */

static struct group *group_find(const struct batches *batches, const struct assertion *assertion)
{
	for (unsigned i = 0; i < batches->n_groups; i++)
		if (strcmp(batches->groups[i].region, assertion->region) == 0 &&
			strcmp(batches->groups[i].account->id, assertion->account_id) == 0)
			return &batches->groups[i];
	return NULL;
}

/* When a question that came now would be on its way at the latest, if nothing fails. */
static long long group_turn(const struct group *group, long long now)
{
	unsigned calls_before = group->n_waiting / EC2_IDS_MAX;
	struct bucket bucket = group->bucket;

	while (calls_before--)
		bucket_take(&bucket, now);
	return bucket_ready(&bucket, now);
}

void batches_ask(struct batches *batches, struct question *question)
{
	struct group *group = group_find(batches, question->asked->assertion);
	long long now = monotonic_now();

	if (!group) {
		question_fault(question, "the account and region are not in aws.accounts");
		question_free(question);
		return;
	}
	if (question->deadline > now && group_turn(group, now) >= question->deadline) {
		question_answer(question, unavailable(&question->asked->reason, REASON_OVERLOADED,
						  "ec2: more are waiting than can be asked for in time"));
		question_free(question);
		return;
	}
	if (group->n_waiting++ == 0)
		group->since = now;
	STAILQ_INSERT_TAIL(&group->waiting, question, held);
	/* trouble that others had is no reason to let a newcomer's deadline pass: it asks soon, and for all
	 */
	if (group->not_before > now + NEWCOMER_PAUSE)
		group->not_before = now + NEWCOMER_PAUSE;
}

/* ---- when to send */

/* The first of those who ask again for an instance, if its time has come at `now`. */
static struct question_queue *again_due(struct group *group, long long now)
{
	for (unsigned asks = 1; asks < ASKS_MAX; asks++) {
		const struct question *first = STAILQ_FIRST(&group->again[asks]);

		if (first && first->not_before <= now)
			return &group->again[asks];
	}
	return NULL;
}

static long long again_next(const struct group *group)
{
	long long next = LLONG_MAX;

	for (unsigned asks = 1; asks < ASKS_MAX; asks++) {
		const struct question *first = STAILQ_FIRST(&group->again[asks]);

		if (first && first->not_before < next)
			next = first->not_before;
	}
	return next;
}

/* The emptier the bucket, and the more came together the last time, the longer one waits for company: so that
 * tokens are there when a storm goes on. */
static long long group_linger(const struct group *group, long long now)
{
	unsigned level = bucket_level(&group->bucket, now);
	unsigned dense = group->n_ids < STORM_IDS ? group->n_ids : STORM_IDS;
	long long low = (LINGER_MOST_MS - LINGER_MS) * (1000LL - level) / 1000;
	long long storm = (LINGER_STORM_MS - LINGER_MS) * (long long)dense / STORM_IDS;

	if (level >= PLENTY && group->under_way == 0)
		return 0;
	return (LINGER_MS + (low > storm ? low : storm)) * MILLISECOND;
}

/* When the group's next call goes out, if nobody else comes; LLONG_MAX: nobody waits, or too many calls are
 * under way. */
static long long group_next(const struct group *group, long long now)
{
	long long next = LLONG_MAX;

	if (group->under_way >= SIDE_BY_SIDE_MAX)
		return LLONG_MAX;
	if (group->n_waiting >= EC2_IDS_MAX)
		next = now;
	else if (group->n_waiting > 0)
		next = group->since + group_linger(group, now);
	else if (bucket_level(&group->bucket, now) >= PLENTY) /* the rest is for those who come first */
		next = again_next(group);
	else if (again_next(group) != LLONG_MAX)
		next = now + LINGER_MOST_MS * MILLISECOND;
	if (next == LLONG_MAX)
		return next;
	if (next < group->not_before)
		next = group->not_before;
	return next > bucket_ready(&group->bucket, now) ? next : bucket_ready(&group->bucket, now);
}

static void group_send(struct batches *batches, struct group *group, long long now)
{
	struct batch *batch = batch_new(batches, group, false);
	struct question_queue *again;

	if (!batch) {
		queue_fault(&group->waiting, "out of memory");
		group->n_waiting = 0;
		return;
	}
	group->n_waiting -= batch_fill(batch, &group->waiting, EC2_IDS_MAX);
	group->since = now;
	while (batch->n_ids < EC2_IDS_MAX && (again = again_due(group, now)))
		batch_fill_one(batch, again);
	group->n_ids = batch->n_ids;
	if (batch->n_ids == 0)
		batch_free(batch); /* all had been answered */
	else
		batch_send(batch);
}

long long batches_advance(struct batches *batches, long long now)
{
	long long next = LLONG_MAX;

	for (unsigned i = 0; i < batches->n_groups; i++) {
		struct group *group = &batches->groups[i];
		long long turn;

		while ((turn = group_next(group, now)) <= now)
			group_send(batches, group, now);
		if (turn < next)
			next = turn;
	}
	return next;
}
