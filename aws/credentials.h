#ifndef AWS_CREDENTIALS_H
#define AWS_CREDENTIALS_H
/* Our own credentials for AWS. This version reads them from the environment alone. Never printed, never
 * copied out of here but into a request's signature, wiped when freed. */
#include "aws/http.h"

struct credentials;

/* AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, for temporary ones, AWS_SESSION_TOKEN. NULL: the complaint
 * names the variable that is missing or not of its form, never a value. */
struct credentials *credentials_from_environment(struct complaint *);
/* NULL is fine. */
void credentials_free(struct credentials *);

/* Fills in the three secret members of a signature; they are borrowed from the credentials. */
void credentials_lend(const struct credentials *, struct http_signature *);

#endif
