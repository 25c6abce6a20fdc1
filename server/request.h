#ifndef SERVER_REQUEST_H
#define SERVER_REQUEST_H
/* One HTTP request on its way down its line, and the answer that it gets. Releases, acknowledgements and
 * queries embed it as their first member. */
#include "server/pipeline.h"
#include "store/store.h"
#include "verifier/encoding.h"

#include <netinet/in.h>

struct audit_access;
struct server;
struct call;
struct audit_access;

enum { TARGET_MAX = 2048 };

struct answer {
	int status; /* 0: none yet */
	const char *content_type;
	char *body; /* owned, from malloc; never anything secret in clear */
	size_t length;
	int retry_after; /* seconds; 0: none */
	const char *allow; /* with 405 */
};

struct request {
	struct work work; /* first */
	struct server *server;
	struct call *call; /* the listener's side of it */
	const char *kind; /* "release", ... for the metrics; static; NULL: none */
	char id[UUID_SIZE];
	struct in_addr peer;
	char source[ADDRESS_SIZE]; /* the same as text */
	long long now_us; /* the wall clock, read once */
	long long began; /* the monotonic clock at the same moment */
	char part[UUID_SIZE]; /* the {id} of the path, "" where the route has none */
	const char *query; /* behind the '?', raw; "" where there is none; the call's */
	const struct audit_access *access; /* who asks; NULL: nobody of audit_access */
	unsigned roles; /* bits of enum access_role that the caller has */
	struct bytes body; /* owned by the call */
	struct record record;
	/* Is a line of the trail owed for how it came so far? Then fills in the record. */
	bool (*owe)(struct request *, struct record *);
	/* Takes what the store made of it. NULL: nothing but the outcome. */
	void (*recorded)(struct request *, struct record *);
	void (*resume)(struct request *); /* hands it back to HTTP, with its answer; set by the listener */
	void (*free)(struct request *); /* what is behind the embedded request, and the whole */
	struct answer answer;
};

#endif
