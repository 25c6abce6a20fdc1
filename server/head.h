#ifndef SERVER_HEAD_H
#define SERVER_HEAD_H
/* The head of a request: request line and headers, as RFC 9112 has them and in no second reading. The HTTP
 * library is lenient where request smuggling begins, so whatever it has made of the bytes is held against
 * where in its buffer it found it: nothing may be between the parts but what the grammar puts there.
 *
 * Two things leave no trace: a NUL in the place of a line's CR, and four other bytes where "CR LF CR LF" ends
 * the head, such as a line of a colon and a line feed. What stands behind them is the same sender's, and
 * nobody else's: a connection that proxies share between clients carries one request (listener.c), as does
 * every one with TLS.
 *
 * Pure: looks at the pointers that it is given, and at the blanks between them. */
#include "server/forwarded.h"
#include "verifier/outcome.h"

enum { HEAD_AUTHORIZATION_MAX = 256 };

struct head {
	bool refused; /* two readings, or none */
	bool json; /* Content-Type: application/json */
	unsigned long long length; /* Content-Length; 0 where there is none */
	char authorization[HEAD_AUTHORIZATION_MAX]; /* ""; also where it is longer than any of ours */
	struct forwarded forwarded;
	/* while it is read */
	const char *begin, *end;
	unsigned lengths, hosts, authorizations;
};

/* What the library says of the request line; `method`, `place` and `version` point into its buffer. `target`:
 * the raw one as it first stood at `place`; by now the library may have written into it. */
void head_begin(
	struct head *, const char *method, const char *place, const char *target, const char *version);
/* Each header, in their order; both point into the same buffer. */
void head_header(struct head *, struct bytes name, struct bytes value);
/* `size`: of the whole head, as the library counted it while it read. Then `refused` is final. */
void head_end(struct head *, size_t size);

#endif
