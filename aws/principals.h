#ifndef AWS_PRINCIPALS_H
#define AWS_PRINCIPALS_H
/* As whom we call: the base credentials, which the environment names (chain.h), and for each account with a
 * role the credentials of that role, assumed with the base ones. Accounts come from the configuration alone,
 * and each has keys of its own: what one lacks, or what fails for it, reaches no other. On the AWS thread
 * alone, but for principals_status. */
#include "aws/confirm.h"
#include "aws/credentials.h"

struct caller;
struct principals;

/* Borrows caller (whose http is there), settings and teller. NULL: the complaint says what is wrong. Fetches
 * nothing yet. */
struct principals *principals_new(const struct aws_settings *, const struct caller *, struct complaint *);
/* Calls that are under way must have been ended (http_close). NULL is fine. */
void principals_free(struct principals *);

/* Borrowed. NULL: no such account. */
struct credentials *principals_of(const struct principals *, const char *account);

/* Fetches what is due, lets go those who wait; first in each round of the AWS thread. */
void principals_advance(struct principals *, long long now);
/* When it wants to be called again (LLONG_MAX: only after an event); last in each round, since those who ask
 * in it may wait from then on. */
long long principals_next(const struct principals *);

/* From any thread: those of number i, the base ones first (account "base" where no account uses them itself);
 * false: there are no more. */
bool principals_status(const struct principals *, unsigned i, struct credentials_status *);

#endif
