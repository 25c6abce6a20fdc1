#ifndef AWS_HTTP_H
#define AWS_HTTP_H
/* An HTTP client: many requests under way on one thread, warm connections. Everything about libcurl stays
 * behind this header. It never follows a redirect, never reads proxy variables, never sends a request twice
 * by itself. */
#include "verifier/outcome.h"

struct http;

struct http_options {
	const char *ca_file; /* PEM of the roots to trust instead of the system's; NULL: the system's */
	/* PEM of a client certificate (then what leads to its root), and of its key; NULL both: none. A key
	 * behind a passphrase is not opened, and nobody is asked for one. */
	const char *certificate_file, *key_file;
	const char *user_agent;
	unsigned connections; /* at most, per host */
};

/* Credentials for CURLOPT_AWS_SIGV4. All borrowed until http_start returns: libcurl keeps copies of its own,
 * and wipes them. */
struct http_signature {
	const char *region, *service; /* "us-east-1", "ec2" */
	const char *access_key_id, *secret_access_key;
	const char *session_token; /* NULL or "": none */
};

enum http_result {
	HTTP_ANSWERED, /* status, body and headers are there */
	HTTP_NO_CONNECT, /* nothing was sent: name, connection or TLS failed */
	HTTP_CUT, /* sent, but no whole answer came */
	HTTP_TIMED_OUT,
	HTTP_TOO_LARGE,
	HTTP_FAULT /* memory, or a request that this wrapper cannot form */
};

/* One request. The caller owns it and all that it points to until `done`. Zero what is not used. */
struct http_request {
	/* in */
	const char *method; /* "GET", "PUT", "POST" */
	const char *url;
	const char *const
		*headers; /* NULL-terminated "Name: value"; each is refused if it holds a control character */
	struct bytes body;
	const struct http_signature *sign; /* POST forms only (TRAPS.md) */
	const char *source; /* local address to call from, NULL: any */
	bool fresh_connection; /* do not reuse one, do not keep it */
	long long deadline; /* CLOCK_MONOTONIC nanoseconds */
	size_t answer_max;
	/* Pieces as they come, instead of collecting them; false ends the request as HTTP_TOO_LARGE. NULL:
	 * collect. */
	bool (*receive)(struct http_request *, struct bytes piece);
	void (*done)(struct http_request *); /* exactly once, from http_step */
	void *context;
	/* out */
	enum http_result result;
	int status;
	struct bytes answer; /* collected; owned by the wrapper, valid inside `done` (http_fetch: until
				http_forget) */
	long retry_after; /* seconds, from the header; -1: none */
	char content_type[96];
	char error[160]; /* for logs, when the result is not HTTP_ANSWERED */
	/* the wrapper's own */
	void *transfer;
};

/* NULL: memory or libcurl. */
struct http *http_open(const struct http_options *);
/* Ends what is under way without calling `done`. NULL is fine. */
void http_close(struct http *);
/* Never blocks, never calls `done` itself. Same thread as http_step. */
void http_start(struct http *, struct http_request *);
/* Waits at most timeout_ms (0: not at all) for progress or http_wake, then makes what progress it can and
 * calls `done` for what ended. Returns how many are still under way. */
unsigned http_step(struct http *, int timeout_ms);
/* From any thread: makes a waiting http_step return. */
void http_wake(struct http *);

/* For programs that do one thing at a time: start, and step until it is done. */
enum http_result http_fetch(struct http *, struct http_request *);
void http_forget(struct http_request *); /* frees what http_fetch collected, wiping it */

/* CLOCK_MONOTONIC in nanoseconds. */
long long monotonic_now(void);

#endif
