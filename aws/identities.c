/* STS look-ups. Each question has an inquiry of its own, with its own retries inside its own deadline: what
 * one caller makes STS answer must never slow down, pause or reach another. The inquiries of a region form a
 * line, from which as many are under way as there are connections, so that the time of one try does not run
 * while it waits for one. */
#include "aws/identities.h"

#include "aws/sts.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum {
	SIDE_BY_SIDE_MAX = 16, /* calls of one line */
	NONSENSE_MAX = 2 /* answers that cannot be understood, before it is given up */
};

struct inquiry {
	TAILQ_ENTRY(inquiry) at; /* in one of its line's three lists */
	struct identities *identities;
	struct line *line;
	struct question *question; /* owned; may be answered meanwhile */
	struct call call;
	struct sts_request
		*request; /* while under way: copies, for a question that ends takes its proof away */
	unsigned failures, nonsense;
	long long not_before; /* of a paused one */
};

TAILQ_HEAD(inquiries, inquiry);

struct line {
	const struct aws_region *region;
	struct service service;
	struct inquiries ready, paused, under_way;
	unsigned n_under_way;
};

struct identities {
	const struct caller *caller;
	struct identity_counts *counts;
	unsigned n_lines;
	struct line lines[AWS_REGIONS_MAX];
};

/* ---- opening and closing */

static struct line *line_find(struct identities *identities, const char *region)
{
	for (unsigned i = 0; i < identities->n_lines; i++)
		if (strcmp(identities->lines[i].region->name, region) == 0)
			return &identities->lines[i];
	return NULL;
}

/* False: the endpoint is none. A region that is not in the table is for others to complain of. */
static bool line_add(struct identities *identities, const char *name, const char *endpoint)
{
	const struct aws_region *region = aws_region_find(name);
	struct line *line;

	if (!region || line_find(identities, name))
		return true;
	if (identities->n_lines == AWS_REGIONS_MAX)
		return false;
	line = &identities->lines[identities->n_lines++];
	line->region = region;
	TAILQ_INIT(&line->ready);
	TAILQ_INIT(&line->paused);
	TAILQ_INIT(&line->under_way);
	return service_sts(&line->service, region, endpoint);
}

static bool lines_add(
	struct identities *identities, const struct aws_settings *settings, struct complaint *complaint)
{
	for (unsigned i = 0; i < settings->n_accounts; i++)
		for (unsigned j = 0; j < settings->accounts[i].n_regions; j++)
			if (!line_add(identities, settings->accounts[i].regions[j], settings->sts_endpoint))
				return complain(complaint,
					"aws.endpoints.sts: must be http[s]://host[:port] and nothing more");
	return true;
}

struct identities *identities_new(const struct aws_settings *settings, const struct caller *caller,
	struct identity_counts *counts, struct complaint *complaint)
{
	struct identities *identities = calloc(1, sizeof(*identities));

	if (!identities) {
		complain(complaint, "out of memory");
		return NULL;
	}
	identities->caller = caller;
	identities->counts = counts;
	if (!lines_add(identities, settings, complaint)) {
		identities_free(identities);
		return NULL;
	}
	return identities;
}

static void inquiry_free(struct inquiry *inquiry)
{
	question_free(inquiry->question);
	free(inquiry->request);
	free(inquiry);
}

static void inquiries_free(struct inquiries *inquiries)
{
	struct inquiry *inquiry;

	while ((inquiry = TAILQ_FIRST(inquiries))) {
		TAILQ_REMOVE(inquiries, inquiry, at);
		inquiry_free(inquiry);
	}
}

void identities_free(struct identities *identities)
{
	if (!identities)
		return;
	for (unsigned i = 0; i < identities->n_lines; i++) {
		inquiries_free(&identities->lines[i].ready);
		inquiries_free(&identities->lines[i].paused);
		inquiries_free(&identities->lines[i].under_way);
	}
	free(identities);
}

/* ---- the end of an inquiry */

static void inquiry_confirmed(struct inquiry *inquiry, const struct sts_caller *caller)
{
	struct confirmation *asked = inquiry->question->asked;

	sts_check(asked->claims, asked->assertion, caller);
	question_answer(inquiry->question, OK);
	inquiry_free(inquiry);
}

/* The claims are complete: STS's verdict is a fact as good as any. */
static void inquiry_denied(struct inquiry *inquiry)
{
	struct confirmation *asked = inquiry->question->asked;
	char observed[AWS_CODE_SIZE + 16];

	snprintf(observed, sizeof(observed), "%d %s", inquiry->call.request.status, inquiry->call.code);
	sts_check_failed(asked->claims, asked->assertion, observed);
	question_answer(inquiry->question, OK);
	inquiry_free(inquiry);
}

static void inquiry_give_up(struct inquiry *inquiry, enum call_result result)
{
	if (result == CALL_FAULT)
		question_fault(inquiry->question, inquiry->call.told);
	else
		question_give_up(inquiry->question, "sts", inquiry->call.told);
	inquiry_free(inquiry);
}

static void inquiry_pause(struct inquiry *inquiry)
{
	inquiry->not_before = monotonic_now() + call_pause(++inquiry->failures);
	TAILQ_INSERT_TAIL(&inquiry->line->paused, inquiry, at);
}

/* Is it STS's own word that the proof is false? Then the caller is wrong, and asking again changes nothing. A
 * refusal without a code, or for a reason that is ours or our account's, says nothing of the caller. */
static bool proof_is_false(const struct call *call)
{
	static const char *const of_400[] = { "IncompleteSignature", "RequestExpired", "ExpiredToken",
		"ExpiredTokenException", "InvalidClientTokenId", "SignatureDoesNotMatch" };

	if (call->request.status == 403)
		return call->code[0] != '\0' && strcmp(call->code, "RegionDisabledException") != 0 &&
		       strcmp(call->code, "OptInRequired") != 0;
	for (size_t i = 0; i < sizeof(of_400) / sizeof(of_400[0]); i++)
		if (call->request.status == 400 && strcmp(call->code, of_400[i]) == 0)
			return true;
	return false;
}

static void inquiry_failed(struct inquiry *inquiry, enum call_result result)
{
	if (result == CALL_REFUSED && proof_is_false(&inquiry->call)) {
		inquiry_denied(inquiry);
		return;
	}
	inquiry->identities->counts->failed++;
	/* the call changes nothing at AWS: it may be made again */
	if (result == CALL_PASSING || (result == CALL_NONSENSE && ++inquiry->nonsense < NONSENSE_MAX))
		inquiry_pause(inquiry);
	else
		inquiry_give_up(inquiry, result);
}

static void inquiry_done(struct call *call, enum call_result result)
{
	struct inquiry *inquiry = call->context;
	struct sts_caller caller;
	char why[XML_WHY_SIZE];

	TAILQ_REMOVE(&inquiry->line->under_way, inquiry, at);
	inquiry->line->n_under_way--;
	free(inquiry->request);
	inquiry->request = NULL;
	if (!inquiry->question->asked) {
		inquiry_free(inquiry);
		return;
	}
	if (result == CALL_ANSWERED && !sts_parse(call->request.answer, &caller, why, sizeof(why)))
		result = call_reread(call, why);
	if (result == CALL_ANSWERED)
		inquiry_confirmed(inquiry, &caller);
	else
		inquiry_failed(inquiry, result);
}

/* ---- sending */

static void inquiry_send(struct inquiry *inquiry)
{
	struct line *line = inquiry->line;

	inquiry->request = malloc(sizeof(*inquiry->request));
	if (!inquiry->request) {
		question_fault(inquiry->question, "out of memory");
		inquiry_free(inquiry);
		return;
	}
	sts_request_form(inquiry->request, line->region, inquiry->question->asked->caller);
	TAILQ_INSERT_TAIL(&line->under_way, inquiry, at);
	line->n_under_way++;
	inquiry->identities->counts->calls++;
	inquiry->call.done = inquiry_done;
	inquiry->call.context = inquiry;
	call_forward(&inquiry->call, inquiry->identities->caller, &line->service, inquiry->request->body,
		inquiry->request->headers, inquiry->question->deadline);
}

static void line_send(struct line *line)
{
	struct inquiry *inquiry;

	while (line->n_under_way < SIDE_BY_SIDE_MAX && (inquiry = TAILQ_FIRST(&line->ready))) {
		TAILQ_REMOVE(&line->ready, inquiry, at);
		if (inquiry->question->asked)
			inquiry_send(inquiry);
		else
			inquiry_free(inquiry);
	}
}

/* Paused ones whose time has come stand in line again. Returns when the next one's comes. */
static long long line_resume(struct line *line, long long now)
{
	long long next = LLONG_MAX;
	struct inquiry *inquiry, *following;

	for (inquiry = TAILQ_FIRST(&line->paused); inquiry; inquiry = following) {
		following = TAILQ_NEXT(inquiry, at);
		if (inquiry->not_before <= now) {
			TAILQ_REMOVE(&line->paused, inquiry, at);
			TAILQ_INSERT_TAIL(&line->ready, inquiry, at);
		} else if (inquiry->not_before < next) {
			next = inquiry->not_before;
		}
	}
	return next;
}

long long identities_advance(struct identities *identities, long long now)
{
	long long next = LLONG_MAX;

	for (unsigned i = 0; i < identities->n_lines; i++) {
		long long next_here = line_resume(&identities->lines[i], now);

		line_send(&identities->lines[i]);
		if (next_here < next)
			next = next_here;
	}
	return next;
}

/* ---- questions */

static struct inquiry *inquiry_new(struct identities *identities, struct question *question)
{
	struct line *line = line_find(identities, question->asked->assertion->region);
	struct inquiry *inquiry = line ? calloc(1, sizeof(*inquiry)) : NULL;

	if (!inquiry)
		return NULL;
	inquiry->identities = identities;
	inquiry->line = line;
	inquiry->question = question;
	TAILQ_INSERT_TAIL(&line->ready, inquiry, at);
	return inquiry;
}

void identities_ask(struct identities *identities, struct question *question)
{
	struct confirmation *asked = question->asked;
	bool failed = claims_first_failed(asked->claims) != NULL;

	if (asked->caller && failed)
		sts_check_failed(asked->claims, asked->assertion, "not asked: another check had failed");
	if (!asked->caller || failed) {
		question_answer(question, OK);
		question_free(question);
		return;
	}
	if (!inquiry_new(identities, question)) {
		question_fault(question, "out of memory");
		question_free(question);
	}
}
