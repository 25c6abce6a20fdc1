#ifndef AWS_IAM_H
#define AWS_IAM_H
/* IAM's ListInstanceProfilesForRole, API version 2010-05-08: does this role hold that instance profile? */
#include "aws/form.h"
#include "aws/xml.h"
#include "verifier/claims.h"

#define IAM_VERSION "2010-05-08"
#define IAM_NAMESPACE "https://iam.amazonaws.com/doc/" IAM_VERSION "/"

enum { IAM_MARKER_SIZE = 2048, IAM_PAGES_MAX = 20 };

/* What IAM listed so far. Starts zeroed but for role and profile_arn (borrowed while pages are added). */
struct iam_listing {
	const char *role, *profile_arn;
	bool held; /* the profile is listed, by its exact ARN */
	bool no_such_role; /* set by the caller: IAM said NoSuchEntity */
	char listed[CHECK_VALUE_MAX]; /* the ARNs, for people; may be cut */
	char marker[IAM_MARKER_SIZE]; /* of the next page; "": that was the last */
};

void iam_form(struct form *, const char *role, const char *marker);
/* Adds one page. False as with ec2_answer_add. */
MUST_USE bool iam_listing_add(
	struct iam_listing *, struct bytes page, const char *namespace, char why[XML_WHY_SIZE]);

#endif
