#ifndef AWS_CALL_H
#define AWS_CALL_H
/* One signed call to AWS's Query API, and what its answer amounts to. Trying again is the asker's affair:
 * only he knows for whom. */
#include "aws/confirm.h"
#include "aws/credentials.h"
#include "aws/errors.h"
#include "aws/form.h"
#include "aws/regions.h"

/* What all calls share. Borrowed by them. */
struct caller {
	struct http *http;
	struct credentials *credentials;
};

/* Where a service answers for one region, and how it is signed for. */
struct service {
	const char *name, *region; /* of the signature: "ec2", "us-east-1"; static */
	const char *namespace; /* of its answers; static */
	char url[320];
};

/* `endpoint` "": AWS's own host, from the compiled table. False: the endpoint is no "http[s]://host[:port]".
 */
MUST_USE bool service_ec2(struct service *, const struct aws_region *, const char *endpoint);
MUST_USE bool service_iam(struct service *, const struct aws_region *, const char *endpoint);
MUST_USE bool service_sts(struct service *, const struct aws_region *, const char *endpoint);

enum call_result {
	CALL_ANSWERED, /* status 200: call->request.answer is there, to be read inside `done` */
	CALL_PASSING, /* no whole answer, throttled, AWS's own trouble: good to try again */
	CALL_NONSENSE, /* not to be understood, or too large */
	CALL_REFUSED, /* AWS refuses for a reason that stays: call->code */
	CALL_FAULT /* ours: memory */
};

struct call {
	struct http_request request;
	struct http_signature signature;
	struct form form;
	const struct service *service;
	void (*done)(struct call *, enum call_result); /* exactly once, from http_step */
	void *context;
	char code[AWS_CODE_SIZE]; /* AWS's error code, "": none */
	char told[128]; /* what went wrong, in our words, for logs */
};

/* Takes the form as the body. Must stay where it is until `done`; one call at a time in one struct. */
void call_send(struct call *, const struct caller *, const struct service *, long long deadline);
/* A request that somebody else has signed: `body` and `headers`, borrowed until `done`, go out as they are,
 * and nothing of our own credentials with them. */
void call_forward(struct call *, const struct caller *, const struct service *, struct bytes body,
	const char *const *headers, long long deadline);
/* An answer with status 200 that its reader did not understand: it may be an error all the same. */
enum call_result call_reread(struct call *, const char *why);
/* Frees the form. NULL is not fine. */
void call_clear(struct call *);

/* Nanoseconds to wait before trying again after so many failures in a row (1: the first): from 100 ms
 * doubling to 3 s, of which a random part between the half and the whole. */
long long call_pause(unsigned failures);

#endif
