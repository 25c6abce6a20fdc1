#ifndef AWS_KEYS_H
#define AWS_KEYS_H
/* The keys that our own calls are signed with: their form, their time, and the answers that hand them out as
 * JSON. Whoever has a struct keys wipes it; nothing here ever repeats a secret or a token in a complaint. */
#include "verifier/outcome.h"

enum {
	ACCESS_KEY_ID_SIZE = 129, /* IAM's accessKeyIdType: 16 to 128 of [A-Za-z0-9_] */
	SECRET_KEY_SIZE = 257, /* 16 to 256 visible characters */
	SESSION_TOKEN_SIZE = 8193, /* 1 to 8192 visible characters; "": none */
	KEYS_BYTES_MAX = 64 * 1024, /* of a file or an answer that has them */
	KEYS_WHY_SIZE = 160
};

struct keys {
	char id[ACCESS_KEY_ID_SIZE];
	char secret[SECRET_KEY_SIZE];
	char token[SESSION_TOKEN_SIZE];
	long long expires; /* seconds since 1970; 0: not known, or never */
};

/* Whatever is signed with, and put into a header, has no blanks and no control characters. */
bool key_id_valid(const char *);
bool secret_key_valid(const char *);
bool session_token_valid(const char *);

/* Are they good at `now` (seconds since 1970)? */
bool keys_hold(const struct keys *, long long now);
void keys_wipe(struct keys *);

/* What a container's endpoint or the instance metadata service answers: an object with AccessKeyId,
 * SecretAccessKey, Token and Expiration (RFC 3339, UTC), all texts; `Code`, where it is there, must be
 * "Success"; other members are AWS's affair. At most KEYS_BYTES_MAX. False: `why` says what is wrong, in our
 * words alone, and the keys are wiped. */
MUST_USE bool keys_parse(struct bytes answer, struct keys *, char why[KEYS_WHY_SIZE]);

/* When to fetch new ones, in milliseconds from now, for keys that live so many seconds more: before their end
 * by a quarter of an hour, or half their life where that is less, of which `random` (any number) takes up to
 * a quarter: not all nodes at once, and time for many tries. */
long long keys_renew_after(long long seconds, unsigned random);

#endif
