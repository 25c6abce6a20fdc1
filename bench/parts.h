#ifndef BENCH_PARTS_H
#define BENCH_PARTS_H
/* The parts of a release that no design can do without, each alone. Each writes one line of JSON to standard
 * output; times are microseconds, the median of several rounds. False: it says why on standard error. */
#include <jansson.h>
#include <stdbool.h>

enum { ROUNDS = 9 };

/* CPU seconds of this process, all threads, user and system. */
double cpu_now(void);
double wall_now(void);
double median(double values[], int n);
/* False, and `what` on standard error. */
bool parts_failed(const char *what);
bool print_json(json_t *); /* takes the reference */

/* hello.c: a bare libmicrohttpd with the server's flags that answers everything with as many bytes as a
 * release has, until standard input ends; it prints {"port": N} first. NULL: plain HTTP. */
bool hello_serve(const char *certificate, const char *key);
/* commit.c: releases committed by the store and, the same rows into the same tables, by the engine alone, in
 * batches of 1, 64 and 512; in new databases below TMPDIR, or on the server that STORE_POSTGRES names. */
bool commits_measure(void);
/* The same by several nodes at once, in batches of 64, on one PostgreSQL. */
bool nodes_measure(unsigned n);
/* seal.c: a member's work for one release, from a file that describes one (bench/measure.py writes it): data
 * keys unwrapped in the token, envelopes opened, the payload sealed. */
bool seal_measure(const char *file);
/* seal.c: a message to another process and its answer over a UNIX socket, of the sizes of a seal's. */
bool round_trip_measure(void);

#endif
