#ifndef SERVER_DENIALS_H
#define SERVER_DENIALS_H
/* How many denials of one address become events: so many a minute one by one, and the others of that minute
 * together as one line. Nobody fills the disk, and nothing goes by without a trace. The committer's alone,
 * but for denials_waiting. */
#include "server/pipeline.h"

#include <netinet/in.h>

struct server;
struct denials;

enum {
	DENIALS_PER_MINUTE = 10, /* before AWS has confirmed anything: they cost the caller nothing */
	DENIALS_CONFIRMED_PER_MINUTE = 100, /* of all, where it has */
	DENIAL_ADDRESSES_MAX = 4096 /* at once; those beyond share one minute and one line */
};

/* NULL: memory is out. */
struct denials *denials_new(void);
void denials_free(struct denials *);

/* One more, at `now_us`. True: it is an event of its own. False: it is counted, and will be summarised. */
bool denials_admit(struct denials *, struct in_addr, bool confirmed, long long now_us);

/* A minute of one address that is over, and had more than its events. */
struct denials_minute {
	bool many; /* of addresses beyond the table */
	struct in_addr address;
	long long since_us; /* when it began */
	unsigned long unrecorded;
};
/* The next one that is over at `now_us`; it is taken out. False: there is none. */
bool denials_take(struct denials *, long long now_us, struct denials_minute *);
/* Could not be recorded: it is counted on. */
void denials_put_back(struct denials *, const struct denials_minute *);

/* Is there something to summarise, now or later? Any thread. */
bool denials_waiting(const struct denials *);

/* Writes down, on the committer's lane, what is over by now (`all`: also what is not). Does nothing where
 * nothing is waiting, or no place is free: it will be asked again. */
void denials_summarise(struct server *, bool all);

#endif
