#ifndef AGENT_URL_H
#define AGENT_URL_H
/* Base URLs, as people give them. */
#include "verifier/outcome.h"

enum { URL_SIZE = 300 };

/* The server's: "https://HOST[:PORT]", or "http://" where HOST is a loopback address (127.0.0.0/8, [::1],
 * localhost) and nowhere else: whoever sits on the way could seal something of his own to our key. At most a
 * single "/" follows; it is dropped. `url` has URL_SIZE bytes. False: the complaint names the mend. */
MUST_USE bool url_of_server(const char *text, char *url, struct complaint *);

/* The metadata service's: the same, but plain http may go anywhere, since that is how it is reached. */
MUST_USE bool url_of_metadata(const char *text, char *url, struct complaint *);

#endif
