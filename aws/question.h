#ifndef AWS_QUESTION_H
#define AWS_QUESTION_H
/* A confirmation on its way through aws/, on the AWS thread alone. It is answered exactly once; where its
 * deadline passes first, whoever holds the question finds it answered and lets it go. So nothing ever points
 * to a confirmation that its owner has back. */
#include "aws/confirm.h"

#include <sys/queue.h>

struct question {
	struct confirmation *asked; /* NULL: answered */
	long long deadline;
	long long not_before; /* for batch.c: when to ask again for what EC2 did not show */
	unsigned asks; /* how often it was not shown */
	bool unseen; /* asked->reason says so already: what its deadline ends with */
	struct questions *all;
	TAILQ_ENTRY(question) by_deadline; /* while unanswered */
	STAILQ_ENTRY(question) held; /* in the one queue that owns it */
};

STAILQ_HEAD(question_queue, question);

/* All that are unanswered, the earliest deadline first. */
struct questions {
	TAILQ_HEAD(questions_open, question) open;
	unsigned n_open;
};

void questions_init(struct questions *);
/* NULL: memory is out, and the confirmation has been answered so. The caller puts it into a queue or frees
 * it. */
struct question *question_new(struct questions *, struct confirmation *);
/* Answered or never to be (at close). NULL is fine. */
void question_free(struct question *);

/* Calls `done` with what stands in asked->reason and asked->claims. */
void question_answer(struct question *, enum outcome);
/* UNAVAILABLE, REASON_UPSTREAM: "<service>: <told>". */
void question_give_up(struct question *, const char *service, const char *told);
/* FAULT: REASON_INTERNAL. */
void question_fault(struct question *, const char *told);

/* Answers those whose deadline has passed. */
void questions_expire(struct questions *, long long now);

/* Frees the answered ones of a queue; false: nobody is left in it. */
bool queue_sweep(struct question_queue *);
/* The latest deadline of those unanswered. */
long long queue_deadline(const struct question_queue *);
/* Frees what is in it, without answers. */
void queue_free(struct question_queue *);

#endif
