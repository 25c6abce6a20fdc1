#ifndef VERIFIER_REQUEST_H
#define VERIFIER_REQUEST_H
/* The body of POST /v1/releases (DESIGN.md section 4). */
#include "verifier/assertion.h"
#include "verifier/recipient.h"

enum { REQUEST_BODY_MAX = 64 * 1024 };

/* Strict JSON with the members "assertion" and "csr" and no others: this version enforces no further
 * evidence, so it takes none. REFUSED (REASON_MALFORMED) names the field and never repeats the input. */
MUST_USE enum outcome release_request_parse(
	struct bytes body, struct assertion *, struct recipient *, struct reason *);

/* The body of POST /v1/releases/{id}/ack: {"ack": "..."}. `ack` holds at least size bytes, NUL included. */
MUST_USE enum outcome acknowledgement_parse(struct bytes body, char *ack, size_t size, struct reason *);

#endif
