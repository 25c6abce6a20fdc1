#ifndef AWS_SOURCE_H
#define AWS_SOURCE_H
/* Where keys come from: one kind a file (source_environment.c, ...). A source is asked by one
 * credentials.h alone, never twice at once, on the AWS thread alone. What it reads is bounded; it follows no
 * redirect and uses no proxy. */
#include "aws/keys.h"

struct caller;
struct role;
struct service;

struct source {
	const char *name; /* for people: "the shared credentials file"; static */
	bool renews; /* a fetch may give others than the one before */
	/* Begins to look; `done` follows exactly once, perhaps before this returns, or from http_step. */
	void (*fetch)(struct source *, long long deadline);
	/* Has what it reads changed since the last fetch? NULL: cannot be seen from here. */
	bool (*changed)(struct source *);
	void (*free)(struct source *); /* calls under way must have been ended (http_close) */
	/* The asker's: good: `keys` are there, for him to take and wipe; else `told` says why not. */
	void (*done)(struct source *, bool good);
	void *context;
	struct keys keys;
	char told[KEYS_WHY_SIZE + 64]; /* in our words: for logs */
};

/* For source kinds: the end of a fetch. */
void source_give(struct source *);
void source_fail(struct source *, const char *format, ...) PRINTF_LIKE(2, 3);
/* NULL is fine. */
void source_free(struct source *);

/* NULL with a complaint: what the environment says is not of its form, or memory is out. Each reads the
 * environment at its opening alone, files at every fetch. */

/* AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN. */
struct source *source_environment(struct complaint *);
/* One profile of AWS's shared credentials file; "" path: none is configured. Copies. */
struct source *source_file(const char *path, const char *profile, struct complaint *);
/* AWS_CONTAINER_CREDENTIALS_RELATIVE_URI or _FULL_URI, AWS_CONTAINER_AUTHORIZATION_TOKEN(_FILE): Amazon ECS
 * and EKS. */
struct source *source_container(const struct caller *, struct complaint *);
/* The role of the instance that we run on, by the metadata service's version 2 alone. */
struct source *source_instance(const struct caller *, struct complaint *);
/* AssumeRoleWithWebIdentity: AWS_WEB_IDENTITY_TOKEN_FILE, AWS_ROLE_ARN, AWS_ROLE_SESSION_NAME (default:
 * `session`). Borrows the service; copies the rest. */
struct source *source_web_identity(
	const struct caller *, const struct service *sts, const char *session, struct complaint *);
/* AssumeRole, signed by the service's credentials. Copies the role, borrows the service. NULL: memory. */
struct source *source_role(const struct caller *, const struct service *sts, const struct role *);

/* Reads a small file whole: NUL-terminated text without a NUL inside, of 1 to `size` - 1 bytes. False: errno
 * says why (EINVAL: its size or a NUL). What is in the buffer is the caller's to wipe. */
MUST_USE bool secret_file_read(const char *path, char *text, size_t size);

#endif
