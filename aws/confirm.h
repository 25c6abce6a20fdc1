#ifndef AWS_CONFIRM_H
#define AWS_CONFIRM_H
/* What AWS itself says of an instance. One thread runs all calls; look-ups for one account and region travel
 * together. Answers are facts and checks; nothing here decides. */
#include "aws/assume.h"
#include "aws/credentials.h"
#include "verifier/caller.h"
#include "verifier/claims.h"
#include "verifier/proof.h"

struct aws;

enum { AWS_ACCOUNTS_MAX = 64, AWS_REGIONS_MAX = 40 };

struct aws_account {
	char id[ACCOUNT_ID_SIZE];
	char assume_role[ROLE_ARN_SIZE]; /* of that account; "": our own credentials belong to it */
	char external_id[EXTERNAL_ID_SIZE]; /* "": none */
	unsigned n_regions;
	char regions[AWS_REGIONS_MAX][REGION_SIZE];
};

struct aws_settings {
	unsigned n_accounts; /* at least 1; at most one of them without a role */
	struct aws_account accounts[AWS_ACCOUNTS_MAX];
	unsigned bucket_size,
		bucket_per_second; /* calls to EC2, of each account and region (bucket.h); 0: the default */
	/* Development only: base URLs instead of the compiled hosts ("http://127.0.0.1:5000"); "": the
	 * compiled ones. */
	char ec2_endpoint[256], iam_endpoint[256], sts_endpoint[256];
	char session[ROLE_SESSION_SIZE]; /* of assumed roles; needed where there are any */
	struct credentials_teller teller; /* called on the AWS thread */
};

/* Finds out from the environment where our own credentials come from (chain.h). NULL: the complaint says what
 * is wrong or missing. Copies the settings. */
struct aws *aws_open(const struct aws_settings *, struct complaint *);
/* After aws_run and every call of aws_confirm have returned. NULL is fine. */
void aws_close(struct aws *);

/* One question. The caller owns it and keeps it, and what it points to, until `done` was called, exactly
 * once, from the AWS thread. */
struct confirmation {
	/* in */
	const struct assertion *assertion;
	const struct demand *demand;
	const struct document *document; /* verified; NULL: none is demanded */
	const struct caller_proof *caller; /* with its binding; NULL: no caller-identity is demanded */
	struct in_addr peer;
	time_t now; /* the request's clock, for what EC2 may not show yet */
	long long deadline; /* CLOCK_MONOTONIC nanoseconds: given up by then */
	void (*done)(struct confirmation *);
	/* out */
	enum outcome outcome; /* OK: claims are complete, though checks in them may have failed */
	struct reason reason;
	struct claims *claims; /* taken by the caller; may be there when the outcome is not OK, or NULL */
	/* aws/'s own */
	struct confirmation *next;
};

/* From any thread; never blocks, never calls `done` itself. UNAVAILABLE: REASON_UPSTREAM, or
 * REASON_NOT_VISIBLE_YET when EC2 does not know the instance, it is still pending, or has no profile within
 * 60 s of its launch.
 *
 * With a `caller` STS is asked last, when all that EC2, IAM and the socket say fits. STS's word that the
 * proof is false (it refuses the signature, key or token) is a failed check and not UNAVAILABLE. Where a
 * check has failed before, STS is not asked, and the caller's checks are recorded as failed, "not asked": a
 * stranger cannot make us call, and trouble at STS cannot turn a denial that is certain into "try again". All
 * that EC2 and IAM say is recorded in either case. */
void aws_confirm(struct aws *, struct confirmation *);

/* The AWS thread's whole life; returns after aws_stop, when every question has been answered. */
void aws_run(struct aws *);
void aws_stop(struct aws *);

/* Counters since the start, for status and metrics. Safe from any thread. */
struct aws_counts {
	unsigned long calls_ec2, calls_iam, calls_sts, failed_ec2, failed_iam, failed_sts, cached_iam;
};
void aws_counts_get(struct aws *, struct aws_counts *);
/* The credentials of number i, those that the environment names first; false: there are no more. Safe from
 * any thread. */
bool aws_credentials_get(struct aws *, unsigned i, struct credentials_status *);

/* ---- The comparison alone, for aws/ and its tests: pure. */

/* Can EC2's answer be compared already? UNAVAILABLE, REASON_NOT_VISIBLE_YET: the instance is not in the
 * answer
 * (`facts` NULL), is still pending, or runs without a profile within 60 s of its launch. */
MUST_USE enum outcome confirm_visible(const struct facts *, time_t now, struct reason *);

struct iam_listing;
/* Adds all checks of the asked attributes to asked->claims, whose facts are there. `listing` NULL: the
 * instance has no profile to ask IAM about. */
void confirm_compare(struct confirmation *asked, const struct iam_listing *);

#endif
