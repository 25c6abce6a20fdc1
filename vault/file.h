#ifndef VAULT_FILE_H
#define VAULT_FILE_H
/* The vault file (DESIGN.md section 8): which tokens make one vault. */
#include "store/envelopes.h"

#include <limits.h>

struct vault_file_member {
	char name[NAME_SIZE];
	char module[PATH_MAX];
	char token[33]; /* label */
	char socket[108];
	char pin_file[PATH_MAX], so_pin_file[PATH_MAX]; /* so_pin_file "": none */
	bool init_if_blank;
};

struct vault_file {
	char id[37]; /* UUID */
	long long deadline_ms, poll_ms;
	long long checkpoint_ms; /* how often the trail's head is signed while it moves */
	char state[PATH_MAX]; /* folder of what the members have signed */
	unsigned n_members; /* this version: 1 */
	struct vault_file_member members[MEMBERS_MAX];
};

/* Reads the file; relative paths become relative to it. False with file, line, column and mend. */
MUST_USE bool vault_file_load(const char *path, struct vault_file *, struct complaint *);
/* NULL where there is none of that name. */
const struct vault_file_member *vault_file_member(const struct vault_file *, const char *name);

#endif
