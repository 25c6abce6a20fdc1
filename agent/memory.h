#ifndef AGENT_MEMORY_H
#define AGENT_MEMORY_H
/* The process made unfit for spying, before anything else happens in it. */
#include "verifier/outcome.h"

/* First call of main, once: umask 077, no core dump, not dumpable; OpenSSL's and jansson's memory wiped when
 * freed, what holds secrets in OpenSSL's locked secure heap. UNAVAILABLE: all is in place but the heap could
 * not be locked (RLIMIT_MEMLOCK), so it might be swapped out. FAULT: do not go on. */
MUST_USE enum outcome memory_harden(void);

#endif
