#ifndef SERVER_ANSWER_H
#define SERVER_ANSWER_H
/* Answers: the one place where outcomes become HTTP (DESIGN.md section 4). */
#include "server/request.h"

#include <jansson.h>

/* A problem (RFC 9457) for an outcome other than OK. A denial has one shape whatever its reason; only
 * MALFORMED says more, naming the field. */
void answer_problem(struct request *, enum outcome, const struct reason *);
/* The same for a reason code alone. */
void answer_refusal(struct request *, const char *code);
/* Takes the reference; a JSON body. Memory out: 500. */
void answer_json(struct request *, int status, json_t *body);
/* Takes `body` (malloc). */
void answer_text(struct request *, int status, const char *content_type, char *body, size_t length);

/* Logs what came of each and hands all back to HTTP in one group. The last thing that anyone does with a
 * request: it may be gone when this returns. */
void answer_send(struct work *const batch[], size_t n);

/* Reasons that only HTTP knows. */
#define REASON_TOO_LARGE "too-large"
#define REASON_UNSUPPORTED_TYPE "unsupported-type"
#define REASON_METHOD "method-not-allowed"
#define REASON_UNAUTHORIZED "unauthorized"
#define REASON_FORBIDDEN "forbidden" /* known, but not of a role that may */

#endif
