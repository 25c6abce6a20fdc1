#ifndef VAULT_SERVE_H
#define VAULT_SERVE_H
/* The requests of a serving member: prove the canary, hand out the node key, seal a grant; and of sign.h:
 * sign a checkpoint, tell the last head. */
#include "vault/file.h"
#include "vault/request.h"
#include "vault/token.h"

#include <pthread.h>
#include <stdatomic.h>

/* What all connections of a member share. */
struct service {
	const struct vault_file *file;
	const struct vault_file_member *self;
	struct token *token;
	pthread_mutex_t lock; /* the login, and the canary */
	struct frame canary; /* one that opened: what proves later whether the token or an envelope is bad */
	bool has_canary;
	bool pin_refused;
	bool state_refused; /* what it has signed cannot be read */
	/* from the vault's beginning; a process that was killed took those behind its last checkpoint along
	 */
	_Atomic long long seals;
};

/* Opens the token and logs in, once. False with the mend; pin_refused says whether it was the PIN. */
MUST_USE bool service_start(
	struct service *, const struct vault_file *, const struct vault_file_member *, struct complaint *);
void service_stop(struct service *);

/* One connection's own: a session and a place for one plaintext. */
struct worker {
	struct service *service;
	struct token_session *session; /* NULL until needed */
	unsigned char *value; /* SECRET_BYTES_MAX of locked memory; NULL until needed */
};
void worker_clear(struct worker *);

/* Answers one request; the answer is the caller's to clear. False: the token is dead, this process should end
 * and be started anew (the answer is there all the same). */
MUST_USE bool serve(struct worker *, const struct frame *request, struct frame *answer);

#endif
