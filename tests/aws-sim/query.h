#ifndef AWS_SIM_QUERY_H
#define AWS_SIM_QUERY_H
/* AWS's Query protocol, as EC2, IAM and STS speak it: a signed form in, XML out. A service is a row of
 * data; each of its actions is one function. */
#include "tests/aws-sim/form.h"
#include "tests/aws-sim/ids.h"
#include "tests/aws-sim/sim.h"
#include "tests/aws-sim/xml_out.h"

struct call;

struct action {
	const char *name;
	/* Writes the root element with all that is in it, or calls call_error. */
	void (*answer)(struct call *);
	bool unsigned_too; /* it needs no signature */
};

struct service {
	const char *scope, *version, *namespace; /* "ec2", "2016-11-15", … */
	const char *content_type;
	bool declared; /* answers begin with an XML declaration */
	unsigned indent;
	int throttled_status;
	const char *throttled_code, *throttled_text;
	int bad_key_status;
	const char *bad_key_code, *bad_key_text;
	int expired_status;
	const char *expired_code, *expired_text; /* text NULL: what the check of the signature says */
	int token_expired_status;
	const char *token_expired_code, *token_expired_text;
	const char *home; /* where a call without form or action is sent; NULL: it is an error */
	bool operations_have_versions; /* an action of another version is an unknown action */
	const struct action *actions; /* ends in a row without a name */
	void (*error)(struct call *, int status, const char *code, const char *message);
};

extern const struct service ec2_service, iam_service, sts_service;

struct call {
	struct sim *sim;
	const struct service *service;
	const struct action *action; /* NULL: not a known one */
	struct form form;
	const json_t *key; /* the one it is signed with */
	const char *account, *region; /* whom the key belongs to; where it is signed for */
	struct fault fault;
	struct xml xml;
	struct answer *answer;
	char request_id[ID_SIZE];
	char outcome[64];
	unsigned ids; /* named in the call */
};

/* Instead of an answer: an error in the service's own form. */
void call_error(struct call *, int status, const char *code, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

#endif
