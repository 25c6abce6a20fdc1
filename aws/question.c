/* Confirmations on their way: their deadlines and their answers. Must never touch a confirmation after its
 * `done`. */
#include "aws/question.h"

#include "verifier/reasons.h"

#include <stdlib.h>

void questions_init(struct questions *all)
{
	TAILQ_INIT(&all->open);
	all->n_open = 0;
}

/* They come with deadlines that rise, nearly always: the place is found from the end. */
static void open_insert(struct questions *all, struct question *question)
{
	struct question *before = TAILQ_LAST(&all->open, questions_open);

	while (before && before->deadline > question->deadline)
		before = TAILQ_PREV(before, questions_open, by_deadline);
	if (before)
		TAILQ_INSERT_AFTER(&all->open, before, question, by_deadline);
	else
		TAILQ_INSERT_HEAD(&all->open, question, by_deadline);
	all->n_open++;
}

struct question *question_new(struct questions *all, struct confirmation *asked)
{
	struct question *question = calloc(1, sizeof(*question));

	asked->claims = NULL;
	if (!question) {
		asked->outcome = fault(&asked->reason, REASON_INTERNAL, "out of memory");
		asked->done(asked);
		return NULL;
	}
	question->asked = asked;
	question->deadline = asked->deadline;
	question->all = all;
	open_insert(all, question);
	return question;
}

void question_free(struct question *question)
{
	free(question);
}

void question_answer(struct question *question, enum outcome outcome)
{
	struct confirmation *asked = question->asked;

	TAILQ_REMOVE(&question->all->open, question, by_deadline);
	question->all->n_open--;
	question->asked = NULL;
	asked->outcome = outcome;
	asked->done(asked);
}

void question_give_up(struct question *question, const char *service, const char *told)
{
	question_answer(
		question, unavailable(&question->asked->reason, REASON_UPSTREAM, "%s: %s", service, told));
}

void question_fault(struct question *question, const char *told)
{
	question_answer(question, fault(&question->asked->reason, REASON_INTERNAL, "%s", told));
}

void questions_expire(struct questions *all, long long now)
{
	struct question *question;

	while ((question = TAILQ_FIRST(&all->open)) && question->deadline <= now) {
		if (question->unseen)
			question_answer(question, UNAVAILABLE);
		else
			question_give_up(question, "aws", "no answer within the deadline");
	}
}

bool queue_sweep(struct question_queue *queue)
{
	struct question_queue left = STAILQ_HEAD_INITIALIZER(left);
	struct question *question;

	while ((question = STAILQ_FIRST(queue))) {
		STAILQ_REMOVE_HEAD(queue, held);
		if (question->asked)
			STAILQ_INSERT_TAIL(&left, question, held);
		else
			question_free(question);
	}
	STAILQ_CONCAT(queue, &left);
	return !STAILQ_EMPTY(queue);
}

long long queue_deadline(const struct question_queue *queue)
{
	const struct question *question;
	long long latest = 0;

	for (question = STAILQ_FIRST(queue); question; question = STAILQ_NEXT(question, held))
		if (question->asked && question->deadline > latest)
			latest = question->deadline;
	return latest;
}

void queue_free(struct question_queue *queue)
{
	struct question *question;

	while ((question = STAILQ_FIRST(queue))) {
		STAILQ_REMOVE_HEAD(queue, held);
		question_free(question);
	}
}
