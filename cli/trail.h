#ifndef CLI_TRAIL_H
#define CLI_TRAIL_H
/* The audit trail as the ops listener serves it: GET /v1/audit/events, a page at a time. */
#include "store/audit.h"

enum { TOKEN_MAX = 512 };

/* What is asked; borrowed, NULL: any. */
struct trail_query {
	const char *instance_id, *role, *event, *outcome, *request_id, *release_id;
	long long since_us, until_us; /* 0: open */
	bool ascending;
};

enum { TRAIL_BASE_SIZE = 64 };

struct trail {
	char own[TRAIL_BASE_SIZE]; /* room for a base of trail_open's making */
	const char *base; /* "http://127.0.0.1:8444", without a "/" at its end */
	const char *ca; /* NULL: the system's roots */
	const char *certificate, *key; /* PEM files; NULL: the token instead */
	char token[TOKEN_MAX + 1];
};

/* Where to ask and as whom, as it was typed; NULL where nothing was: the configuration's ops listener,
 * $VOUCHSAFE_TOKEN_FILE. A certificate goes with its key, over https alone, and without a token. */
struct trail_place {
	const char *config, *url, *ca, *token_file, *cert, *key;
};
/* audit.c. The trail must not move afterwards; its token is the caller's to wipe. */
MUST_USE bool trail_open(const struct trail_place *, struct trail *, struct complaint *);

/* A page. Events are the very bytes that the store has hashed: one line of printable ASCII each. */
struct trail_page {
	char *text; /* the answer, NUL-terminated; owned */
	size_t length;
	struct bytes *events; /* inside text; the array is owned */
	size_t n_events;
	char cursor[256]; /* "": the last page */
};

/* Is it a base URL that a token may be sent to: https, or plain http to a loopback address? */
MUST_USE bool trail_url_valid(const char *url, struct complaint *);
/* Reads the token from a file: printable ASCII without blanks, a line feed behind it is left out. */
MUST_USE bool trail_token_read(const char *path, char token[TOKEN_MAX + 1], struct complaint *);

/* `cursor` "" begins; limit 1..AUDIT_LIMIT_MAX. */
MUST_USE bool trail_fetch(const struct trail *, const struct trail_query *, unsigned limit,
	const char *cursor, struct trail_page *, struct complaint *);
/* Takes an answer's bytes apart. */
MUST_USE bool trail_page_parse(struct bytes answer, struct trail_page *, struct complaint *);
void trail_page_clear(struct trail_page *);

#endif
