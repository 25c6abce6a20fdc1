#ifndef SERVER_PROXY_HEADER_H
#define SERVER_PROXY_HEADER_H
/* The PROXY protocol's header, version 2 (haproxy's doc/proxy-protocol.txt, section 2.2), as a pure function
 * over the bytes that have come so far. */
#include "verifier/outcome.h"

#include <netinet/in.h>

enum {
	PROXY_HEADER_FIRST = 16, /* signature, version, command, family, length */
	PROXY_HEADER_MAX = 1024 /* with all that is behind: addresses and the extensions that proxies add */
};

enum proxy_header_state {
	PROXY_HEADER_REFUSED,
	PROXY_HEADER_PART, /* fine so far */
	PROXY_HEADER_WHOLE
};

struct proxy_header {
	size_t size; /* bytes that certainly belong to it: PROXY_HEADER_FIRST, then the whole */
	bool local; /* the proxy speaks for itself; no client */
	struct sockaddr_in client; /* where not local */
};

/* Looks at the first `size` bytes at most, so a caller that reads no more than are missing from that takes
 * nothing of what is behind. Version 2 alone; command PROXY with TCP over IPv4, at least its 12 bytes of
 * addresses and extensions that fill the rest exactly (they are not looked into); or command LOCAL, whose
 * block is skipped, as the protocol demands. Everything else is refused at the first byte that says so. */
enum proxy_header_state proxy_header_parse(struct bytes data, struct proxy_header *);

#endif
