#ifndef VAULT_SETUP_H
#define VAULT_SETUP_H
/* What `vouchsafe vault` and `vouchsafe secret` do: start a member process of their own (vouchsafe-vault
 * --setup, spoken to over a socket pair), and keep in the store what it hands back. Blocks; says its
 * progress. The caller never holds a plaintext: a secret's value goes from its file descriptor straight to
 * the member process. */
#include "store/envelopes.h"
#include "vault/file.h"

struct setup {
	const char *program; /* path of vouchsafe-vault */
	const char *vault_path; /* the vault file, for the member process */
	const struct vault_file *file;
	struct store *store;
	const char *actor; /* "operator:root" */
	void (*said)(void *context, const char *line); /* progress, one line for each step */
	void *context;
};

/* Makes the tokens of the file one vault: initialises a blank token, generates the key-encryption key, finds
 * the IV mode by experiment, stores canary and node key. What is there already is checked and kept: safe to
 * run again. */
MUST_USE bool vault_apply(const struct setup *, struct complaint *);

/* Says one line for each member: token, key, canary. False: at least one is not in order. */
MUST_USE bool vault_status(const struct setup *, struct complaint *);

/* Reads the value from `input` until its end (1..SECRET_BYTES_MAX bytes; every byte counts, also a last line
 * feed, except for kind "pin", where one is dropped) and stores it as the next version of that name. */
struct secret_put {
	const char *name, *kind, *comment;
	int input;
};
MUST_USE bool vault_secret_put(
	const struct setup *, const struct secret_put *, unsigned *version, struct complaint *);

#endif
