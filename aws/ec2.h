#ifndef AWS_EC2_H
#define AWS_EC2_H
/* EC2's DescribeInstances, API version 2016-11-15: the request's form, and its answer as facts. */
#include "aws/form.h"
#include "aws/xml.h"
#include "verifier/claims.h"

#define EC2_VERSION "2016-11-15"
#define EC2_NAMESPACE "http://ec2.amazonaws.com/doc/" EC2_VERSION "/"

enum { EC2_IDS_MAX = 200, EC2_TOKEN_SIZE = 2048 };

/* What one or more pages said. Starts zeroed; ended by ec2_answer_clear. */
struct ec2_answer {
	unsigned n_instances, size;
	struct facts *instances; /* owned */
	char next_token[EC2_TOKEN_SIZE]; /* of the last page; "": it was the last */
};

/* Looks the ids up by the filter "instance-id": an id that EC2 does not know makes no error then.
 * `next_token` "": the first page. The ids must be valid (a filter takes wildcards). form.failed: memory is
 * out. */
void ec2_form(struct form *, const char (*ids)[INSTANCE_ID_SIZE], unsigned n_ids, const char *next_token);

/* Adds one page to the answer. False: it is not to be believed as a whole, `why` says what is odd about it;
 * the answer then is good for nothing but ec2_answer_clear. `namespace` is EC2_NAMESPACE but in tests. */
MUST_USE bool ec2_answer_add(
	struct ec2_answer *, struct bytes page, const char *namespace, char why[XML_WHY_SIZE]);
/* NULL: EC2 did not show it. Borrowed. */
const struct facts *ec2_answer_find(const struct ec2_answer *, const char *instance_id);
void ec2_answer_clear(struct ec2_answer *);

#endif
