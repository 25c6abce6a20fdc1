#ifndef AWS_CREDENTIALS_H
#define AWS_CREDENTIALS_H
/* The credentials of one principal of ours: its keys, kept fresh from one source, and those who wait for
 * them. On the AWS thread alone, but for credentials_status. Never printed, never copied out of here but into
 * a request's signature, wiped when freed.
 *
 * A fetch begins at once, then before the keys end (keys.h), and is made again after a pause when it fails;
 * the old keys are used while they hold. One fetch at a time, whoever waits. */
#include "aws/http.h"
#include "aws/source.h"

#include <stdatomic.h>
#include <sys/queue.h>

struct credentials;

/* Told when keys come, change or stop coming: once for each news. `text` names the source and the access key
 * id, or what is wrong. */
struct credentials_teller {
	void (*told)(void *context, const char *account, bool good, const char *text);
	void *context;
};

/* Takes the source, also when it returns NULL (memory). `account` (borrowed) is for the teller (copied; its
 * `told` may be NULL); `clock` gives seconds since 1970. */
struct credentials *credentials_new(
	struct source *, const char *account, const struct credentials_teller *, long long (*clock)(void));
/* Those who wait are let go without a word. NULL is fine. */
void credentials_free(struct credentials *);

/* Are there keys that hold? */
bool credentials_ready(const struct credentials *);
/* Fills in the three secret members of a signature; they are borrowed until the next credentials_advance.
 * Only when ready. Returns the keys' number, for credentials_doubt. */
unsigned credentials_lend(const struct credentials *, struct http_signature *);

/* Somebody who waits for keys. Must stay where it is until `done`, called exactly once. */
struct awaiting {
	TAILQ_ENTRY(awaiting) at;
	long long deadline; /* CLOCK_MONOTONIC nanoseconds */
	void (*done)(struct awaiting *, bool ready);
};
/* Never calls `done` itself. */
void credentials_await(struct credentials *, struct awaiting *);
/* Why there are none, for logs; "" where nothing has failed. */
const char *credentials_why(const struct credentials *);

/* AWS has refused a call because of the keys of that number. False: there will be no others. True: others are
 * there already, or will be fetched now and can be awaited; the refused ones are used no more. */
bool credentials_doubt(struct credentials *, unsigned number);

/* Fetches what is due, lets go those who wait. */
void credentials_advance(struct credentials *, long long now);
/* When it wants to be called again; LLONG_MAX: only after an event. */
long long credentials_next(const struct credentials *);

/* From any thread. */
struct credentials_status {
	const char *account; /* as it was given */
	bool there;
	long long expires; /* seconds since 1970; 0: not known, or never */
	unsigned long fetched, failed; /* fetches since the start */
};
void credentials_status(struct credentials *, struct credentials_status *);

#endif
