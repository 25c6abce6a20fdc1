#ifndef VAULT_EXCHANGE_H
#define VAULT_EXCHANGE_H
/* Several requests on one connection to a member, and their answers, which come in the requests' order.
 * Nothing waits for an answer before the next request is sent, and nothing is sent without taking what comes:
 * full buffers on both sides hold nobody up. Never waits beyond a deadline. */
#include "vault/frame.h"

enum { EXCHANGE_MAX = 8 };

struct exchange {
	unsigned n; /* requests, at most EXCHANGE_MAX */
	/* Request i is not to be made, or is no more to be waited for: it was answered, or late, or could not
	 * be made. Set by the caller at first, then here. */
	bool over[EXCHANGE_MAX];
	long long deadlines[EXCHANGE_MAX]; /* each request's own (frame_clock); 0: none */
	long long patience; /* nanoseconds for one answer, from the start or from the answer before it */
	void *context;
	/* Makes request i. False: it cannot be made. */
	bool (*request)(void *context, unsigned i, struct frame *);
	/* Takes the answer to request i. False: it is nonsense, and nothing that follows it is believed. */
	bool (*answer)(void *context, unsigned i, const struct frame *);
	/* Request i is given up at its own deadline; others go on. */
	void (*late)(void *context, unsigned i);
};

/* FRAME_OK: all are over, and nothing is under way any more. Otherwise answers may still come: the connection
 * is to be closed, and what is not over was not answered; with FRAME_LATE nothing came for the time of
 * `patience`, or nobody is left who waits. */
MUST_USE enum frame_result exchange_run(int socket, struct exchange *);

#endif
