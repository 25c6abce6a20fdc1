#ifndef AWS_REGIONS_H
#define AWS_REGIONS_H
/* The compiled table of AWS's regions: nothing that a caller says ever becomes part of a host name. */
#include "verifier/outcome.h"

struct aws_region {
	const char *name; /* "us-east-1" */
	const char *partition; /* "aws", "aws-cn", "aws-us-gov", "aws-eusc", ... */
	const char *dns_suffix; /* "amazonaws.com", "amazonaws.com.cn" */
	const char *iam_host; /* "iam.amazonaws.com" */
	const char *iam_region; /* the region that IAM calls are signed for: "us-east-1" */
};

/* NULL: not in the table. */
const struct aws_region *aws_region_find(const char *name);

#endif
