#ifndef SERVER_ADDRESSES_H
#define SERVER_ADDRESSES_H
/* How many of something each address has at once, and no more than its share: one address that takes all
 * there is leaves nothing for others. Not locked: its owner sees to that. */
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>

struct addresses;

/* `most`: addresses at once, `share`: for each. NULL: memory is out. */
struct addresses *addresses_new(size_t most, unsigned share);
void addresses_free(struct addresses *);
/* One more. False: it has its share, or there are `most` others. */
bool addresses_take(struct addresses *, struct in_addr);
/* One less; once for each take that was true. */
void addresses_give(struct addresses *, struct in_addr);
unsigned addresses_count(const struct addresses *, struct in_addr);

#endif
