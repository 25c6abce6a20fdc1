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
	struct principals *principals; /* whose credentials there are */
};

/* Where a service answers for one region, and how it is signed for. */
struct service {
	const char *name, *region; /* of the signature: "ec2", "us-east-1"; static */
	const char *namespace; /* of its answers; static */
	struct credentials *credentials; /* that sign; borrowed; NULL: nothing of ours does */
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
	const struct caller *caller;
	const struct service *service;
	long long deadline; /* the asker's */
	struct awaiting awaiting; /* of the credentials, before it is sent */
	unsigned keys; /* the number of those that have signed it */
	bool again; /* it is being made again: AWS had refused the keys */
	void (*done)(struct call *, enum call_result); /* exactly once, from http_step */
	void *context;
	char code[AWS_CODE_SIZE]; /* AWS's error code, "": none */
	char told[128]; /* what went wrong, in our words, for logs */
};

/* Takes the form as the body. Must stay where it is until `done`; one call at a time in one struct. Where the
 * service's credentials have no keys it waits for them, inside the deadline; where AWS refuses the keys as
 * ended, it is made once more with others. */
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
/* A random time between the half of it and the whole. */
long long call_jitter(long long whole);
/* Any number; for spreading, not for secrets. */
unsigned call_random(void);

#endif
