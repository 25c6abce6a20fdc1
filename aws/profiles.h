#ifndef AWS_PROFILES_H
#define AWS_PROFILES_H
/* Does IAM say that a role holds an instance's profile? One look-up at a time for the same account, role and
 * profile, for all who ask meanwhile; a yes is good for 60 s, a no is never kept. On the AWS thread alone. */
#include "aws/identities.h"

#include <stdatomic.h>

struct profiles;

struct profile_counts {
	atomic_ulong calls, failed, cached;
};

/* NULL: memory. All is borrowed. */
struct profiles *profiles_new(const struct caller *, struct identities *, struct profile_counts *);
/* Calls that are under way must have been ended (http_close). NULL is fine. */
void profiles_free(struct profiles *);

/* Takes a question that is unanswered and has asked->claims with facts; it will be compared (at once, where
 * there is no profile) and handed on to identities.h. `service` (borrowed) is IAM for the question's region.
 */
void profiles_ask(struct profiles *, struct question *, const struct service *);
/* Sends what is due; returns when it wants to be called again (LLONG_MAX: only after an event). */
long long profiles_advance(struct profiles *, long long now);

#endif
