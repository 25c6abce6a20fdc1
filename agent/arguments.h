#ifndef AGENT_ARGUMENTS_H
#define AGENT_ARGUMENTS_H
/* The command line. */
#include "agent/url.h"

#include <stdio.h>

struct arguments {
	char server[URL_SIZE];
	char metadata[URL_SIZE];
	const char *role, *out; /* borrowed from argv, as all the others */
	const char *ca; /* NULL: the system's roots */
	const char *state;
	const char *source; /* NULL: the kernel chooses */
	long long deadline; /* nanoseconds */
	bool help, version; /* then nothing else is filled in */
};

/* `endpoint` is the value of AWS_EC2_METADATA_SERVICE_ENDPOINT, NULL where it is not set. False: the
 * complaint names the option and the mend. */
MUST_USE bool arguments_parse(
	int argc, char *const argv[], const char *endpoint, struct arguments *, struct complaint *);

void arguments_help(FILE *);

#endif
