#ifndef STORE_STORE_H
#define STORE_STORE_H
/* What must not be lost: the one-time ledger, the audit trail, the envelopes. A handle belongs to one thread
 * at a time. Calls block. Nothing here logs, and nothing but the commands of envelopes.h reads a clock: time
 * comes with the request. */
#include "policy/policy.h"
#include "store/grant.h"

struct store;

enum store_use {
	STORE_SERVE, /* the one committer of a node: takes the node lock, migrates */
	STORE_TOOL, /* a command beside a running node: migrates where nobody serves, no lock */
	STORE_READ, /* queries: never writes */
	STORE_RESTORE /* restore_begin's: nothing is there yet, and nobody else has it */
};

enum {
	STANDBYS_AS_FOUND = 0, /* as many as there are at the first connection */
	STANDBYS_ANY = -1 /* none are asked for */
};

struct store_settings {
	const char *uri; /* "sqlite:/path", or "postgresql://..." as libpq reads it */
	enum store_use use;
	const char *node; /* stands in events; NULL: "" */
	/* PostgreSQL's synchronous standbys, which have to be there at each connection that writes: a number
	 * above 0, or one of the two above */
	int min_sync_standbys;
	long long patience_ms; /* how long a transaction may be tried; 0: STORE_PATIENCE_MS */
	/* What somebody should know meanwhile: a migration, a COMMIT that had to be resolved. May be NULL. */
	void (*told)(void *context, const char *text);
	void *context;
};
enum { STORE_PATIENCE_MS = 8000 };

/* The settings and their strings are copied. NULL: the complaint names the mend (no such folder, permissions,
 * another node holds the lock, nobody answers, a standby, schema newer than this program, not a database of
 * ours). A SQLite database that is made by root belongs to the owner of its folder. */
struct store *store_open(const struct store_settings *, struct complaint *);
void store_close(struct store *);

enum record_kind {
	RECORD_RELEASE, /* a decision about an assertion: grant, repeat, denial, conflict */
	RECORD_ACKNOWLEDGE, /* an agent says that its files are durable */
	RECORD_SEALED, /* a member has sealed it: its state in the ledger, and no event */
	RECORD_EVENT /* a line of the trail and nothing else */
};

/* One line of the trail and, where it is a release that came to OK, the burn of the one use. The caller owns
 * it and keeps what it points to until store_record returns. NULL and 0 where there is nothing to say. */
struct record {
	enum record_kind kind;
	long long now_us; /* microseconds since 1970, on the server's clock */
	const char *request_id;
	const char *event; /* RECORD_EVENT: its name, "policy.loaded" */
	const char *actor; /* who asked: "auditor:alice"; NULL: the instance itself */
	const char *comment; /* for people; RECORD_RELEASE takes reason.text */
	const char *source; /* the peer's address */
	const struct assertion *assertion;
	const struct recipient *recipient;
	struct claims
		*claims; /* results of first-use checks become CHECK_WAIVED here where they were lifted */
	const struct decision *decision; /* RECORD_RELEASE that is OK so far: not NULL */
	const char *policy_sha256;
	const char *rule;
	bool unbound_key; /* stands in the event */
	char release_id[RELEASE_ID_SIZE]; /* RECORD_ACKNOWLEDGE, _SEALED: in. RECORD_RELEASE: out, "" if
					     refused */
	/* in: how far it came; out: OK, or REFUSED by the ledger (REASON_ALREADY_RELEASED,
	 * REASON_ALREADY_COLLECTED, CHECK_LAUNCH_WINDOW, CHECK_ORIGINAL_BOOT; RECORD_ACKNOWLEDGE:
	 * REASON_NOT_FOUND), or UNAVAILABLE: not known to be committed (REASON_STORE), or a secret of the
	 * rule is not stored (REASON_SECRET_MISSING; not burned). A refusal that is recorded stays REFUSED
	 * with its reason; one whose event could not be committed becomes UNAVAILABLE. UNAVAILABLE and FAULT
	 * that come in are not recorded and stay as they are. */
	enum outcome outcome;
	struct reason reason;
	struct grant *grant; /* out, only where OK: taken by the caller */
	/* out: a first use by an instance that was launched before the database was restored: it may have had
	 * one in the time that was lost. `release.after-restore` stands in the trail beside the grant. */
	bool after_restore;
};

enum { STORE_BATCH_MAX = 512 };

/* ONE transaction for all of them, n <= STORE_BATCH_MAX. Sets each outcome. Two records of one batch may
 * concern the same instance: the earlier one wins. */
void store_record(struct store *, struct record *const batch[], size_t n);

#endif
