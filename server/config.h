#ifndef SERVER_CONFIG_H
#define SERVER_CONFIG_H
/* The configuration file (DESIGN.md section 9). A setting that this version does not know or does not enforce
 * is an error with its place: silence would be read as consent. */
#include "aws/confirm.h"
#include "policy/policy.h"
#include "server/access.h"
#include "server/forwarded.h"
#include "verifier/anchors.h"

#include <limits.h>
#include <netinet/in.h>

enum {
	AUDIT_ACCESS_MAX = 32,
	STORE_URI_MAX = PATH_MAX + 16,
	WAITING_MAX = 100000,
	PER_ADDRESS_MAX = 100000,
	STANDBYS_MAX = 100
};

/* Paths of one listener's TLS, all in PEM; "": none. Without a certificate it is plain HTTP. */
struct tls_files {
	char certificate[PATH_MAX]; /* its own first, then those that lead to the root */
	char key[PATH_MAX];
	char client_ca[PATH_MAX], client_crl[PATH_MAX]; /* ops_tls alone: client_trust.h */
};

struct config {
	char path[PATH_MAX];
	char node[NAME_SIZE];
	struct sockaddr_in listen, ops_listen;
	struct tls_files tls, ops_tls; /* of `listen` and of `ops_listen` */
	struct forwarding forwarding; /* for `listen` alone */
	long long deadline_ms; /* of a whole request */
	long long drain_ms; /* how long to serve on, not ready, after SIGTERM */
	unsigned waiting; /* requests under way at most */
	unsigned per_address; /* connections to `listen` at once from one address that is no trusted proxy's;
				 requests under way for one address that a header forwards */
	char store[STORE_URI_MAX]; /* "sqlite:/path" or "postgresql://..." */
	int min_sync_standbys; /* as store_open takes it */
	char policy[PATH_MAX];
	char vault[PATH_MAX];
	char identity_certificates[PATH_MAX]; /* folder of REGION.pem; "": none */
	struct aws_settings aws;
	unsigned n_access;
	struct audit_access access[AUDIT_ACCESS_MAX];
	bool development;
};

/* Reads and checks the file; relative paths in it become relative to it. False: the complaint names file,
 * line, column and the mend. */
MUST_USE bool config_load(const char *path, struct config *, struct complaint *);

/* Loads the folder of certificates for identity documents; without one there are no anchors, and no rule may
 * demand a document. A file whose name is no region, or that holds no such certificate, is an error. NULL
 * with a complaint; the caller owns the reference. */
struct anchors *config_anchors(const struct config *, struct complaint *);

/* Loads the policy file that the configuration names, and checks that each rule's accounts and regions are
 * configured, and that there is a certificate for each region of a rule that demands a document. NULL with a
 * complaint; the caller owns the reference. */
struct policy *config_policy(const struct config *, const struct anchors *, struct complaint *);

/* Do a listener's TLS files hold what they should: a certificate with its key, which not everybody may read,
 * and authorities and lists that load (client_trust.h)? False with a complaint. *warning is filled in with
 * the first of them that is over at `now`, in seconds since 1970. */
MUST_USE bool config_tls_check(
	const struct tls_files *, time_t now, struct complaint *warning, struct complaint *);

/* The whole of a regular file of at most `max` bytes; the caller frees. NULL with a complaint. */
unsigned char *config_file_read(const char *path, size_t max, size_t *length, struct complaint *);

#endif
