#ifndef AWS_IDENTITIES_H
#define AWS_IDENTITIES_H
/* Who holds the credentials behind a question? STS says so of the caller's own signed request: one call for
 * one question, never shared and never kept, since the signature binds it to that caller's key alone. On the
 * AWS thread alone. */
#include "aws/call.h"
#include "aws/question.h"

#include <stdatomic.h>

struct identities;

struct identity_counts {
	atomic_ulong calls, failed;
};

/* All but the complaint is borrowed; the settings for the time of the call. NULL: memory, or the complaint
 * names an endpoint that is none. */
struct identities *identities_new(
	const struct aws_settings *, const struct caller *, struct identity_counts *, struct complaint *);
/* Calls that are under way must have been ended (http_close). NULL is fine. */
void identities_free(struct identities *);

/* Takes a question that is unanswered and was compared with what EC2 and IAM say; it will be answered: at
 * once where no caller-identity is demanded, or where a check has failed already (confirm.h says why). */
void identities_ask(struct identities *, struct question *);
/* Sends what is due; returns when it wants to be called again (LLONG_MAX: only after an event). */
long long identities_advance(struct identities *, long long now);

#endif
