#ifndef VAULT_LOCKED_H
#define VAULT_LOCKED_H
/* Where a member process keeps plaintext: OpenSSL's secure heap, locked in memory and left out of core dumps.
 */
#include "verifier/outcome.h"

/* The first call of the program. After it OPENSSL_secure_malloc gives locked memory, the process cannot be
 * dumped or traced by its own user, and all memory that OpenSSL frees is wiped. False: the program must not
 * go on. */
MUST_USE bool locked_memory_start(struct complaint *);
/* Once more after a change of user, which makes a process dumpable again. */
MUST_USE bool locked_memory_undumpable(struct complaint *);
/* At the end, when nothing secret is held any more. */
void locked_memory_end(void);

#endif
