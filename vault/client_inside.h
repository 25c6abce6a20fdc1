#ifndef VAULT_CLIENT_INSIDE_H
#define VAULT_CLIENT_INSIDE_H
/* What the files of the server's side share and nobody else includes: one member as the server knows it. */
#include "vault/answer.h"
#include "vault/vault.h"

#include <pthread.h>
#include <stdatomic.h>

enum { POOL = 8 };

struct link {
	struct vault *vault;
	const struct vault_file_member *place;
	struct member_pin pin;
	const struct wrap *canary_wrap;
	_Atomic int state; /* enum member_state */
	int told; /* what `said` last heard, -1 at first; the monitor's */
	int wake; /* eventfd: look again, or stop */
	pthread_t monitor;
	bool running;
	pthread_mutex_t lock; /* the idle connections */
	unsigned n_idle;
	int idle[POOL];
};

struct vault {
	struct vault_file file;
	struct envelope canary;
	struct vault_watcher watcher;
	_Atomic bool stopping;
	_Atomic(struct node_key *) keys;
	pthread_mutex_t lock; /* for the condition */
	pthread_cond_t up; /* some member came up */
	struct link links[MEMBERS_MAX];
};

/* Sends and receives on a connection of its own. */
enum frame_result link_ask(struct link *, struct frame *request, struct frame *answer, long long deadline);
/* Until when one try may last: the caller's deadline or the vault file's own, whichever is first. */
long long link_try_until(const struct vault *, long long deadline);
/* What went wrong with a request, as a reason; tells the monitor where it should look. */
enum outcome link_asked_in_vain(
	struct link *, enum frame_result, const struct frame *answer, struct reason *);
/* Which head the member that is at the socket's other end last signed; *last is zeros where it has signed
 * none. False: why not. */
MUST_USE bool link_last_head(struct link *, int socket, struct signed_head *last, char why[ANSWER_TEXT_SIZE]);

#endif
