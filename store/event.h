#ifndef STORE_EVENT_H
#define STORE_EVENT_H
/* One event of the trail as the bytes that are hashed and kept. Private to store/. */
#include "store/envelopes.h"
#include "verifier/claims.h"

struct secret_version {
	char name[NAME_SIZE];
	unsigned version;
};

/* Everything is borrowed; NULL, "" and 0 are left out. Hashes are 32 bytes. */
struct event {
	long long seq, time_us;
	const char *event, *outcome, *reason, *comment, *actor, *request_id, *release_id, *node;
	const char *instance_id, *account_id, *region, *role, *source;
	const unsigned char *one_time_hash, *assertion_sha256, *recipient_sha256;
	const char *policy_sha256, *rule;
	bool unbound_key;
	const struct claims *claims;
	const struct secret_version *secrets;
	size_t n_secrets;
	const unsigned char *previous;
};

/* A text is cut behind so many bytes, with "..." to show it. With it the largest event there can be fits. */
enum { EVENT_TEXT_MAX = 2048, EVENT_SECRETS_MAX = 1024, EVENT_BYTES_MAX = 768 * 1024 };

/* Where events are written, one after the other. */
struct event_buffer {
	size_t used;
	bool overflowed;
	char data[EVENT_BYTES_MAX];
};

/* One line of JSON in printable ASCII: fixed order of members, no white space, everything else as \u escapes;
 * bytes that are no UTF-8 become U+FFFD. False: it does not fit. */
MUST_USE bool event_write(struct event_buffer *, const struct event *);
/* SHA-256(0x00 || text): link of the chain and leaf of a Merkle tree (RFC 9162) at once. */
MUST_USE bool event_hash(struct bytes text, unsigned char hash[32]);

#endif
