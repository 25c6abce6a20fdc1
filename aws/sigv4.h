#ifndef AWS_SIGV4_H
#define AWS_SIGV4_H
/* The one request that an agent signs: sts:GetCallerIdentity in a fixed form (DESIGN.md section 5), by AWS
 * Signature Version 4. Pure: time is an argument. */
#include "verifier/caller.h"

#define CALLER_IDENTITY_BODY "Action=GetCallerIdentity&Version=2011-06-15"

struct role_credentials {
	char access_key_id[129], secret_access_key[257];
	char session_token[SECURITY_TOKEN_MAX + 1];
};

enum { STS_HOST_SIZE = 64 };

/* "sts.us-east-1.amazonaws.com", with the region's own suffix from the compiled table. False: the region is
 * not in it. */
MUST_USE bool sigv4_sts_host(const char *region, char host[STS_HOST_SIZE]);

/* `host`: "sts.us-east-1.amazonaws.com". Fills in authorization, amz_date and security_token of the proof;
 * the binding is given in it. False: memory, or a value that does not fit. */
MUST_USE bool sigv4_sign_caller(const struct role_credentials *, const char *region, const char *host,
	time_t now, struct caller_proof *);

#endif
