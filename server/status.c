/* /livez and /readyz. */
#include "server/status.h"

#include "server/access.h"
#include "server/answer.h"
#include "server/heads.h"
#include "server/rules.h"
#include "server/server.h"
#include "verifier/reasons.h"

#include <string.h>
#include <time.h>

void status_live(struct request *request)
{
	request->kind = "status";
	answer_json(request, 200, json_pack("{s:b}", "live", 1));
}

/* For each member: the newest event that it signed for this node, and how long ago. */
static json_t *checkpoints_json(struct server *server)
{
	json_t *members = json_object();
	const char *member;
	long long time_us;
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	for (size_t i = 0; (member = vault_member_name(server->vault, i)); i++) {
		long long seq = heads_last_signed(server->heads, i, &time_us);
		long long age = now.tv_sec - time_us / 1000000;

		json_object_set_new(members, member,
			seq ? json_pack("{s:I, s:I}", "seq", (json_int_t)seq, "age_seconds",
				      (json_int_t)(age > 0 ? age : 0))
			    : json_null());
	}
	return members;
}

static json_t *verbose_json(struct server *server, bool ready)
{
	struct snapshot rules = rules_get(server->rules);
	struct aws_counts counts;
	json_t *body;

	aws_counts_get(server->aws, &counts);
	body = json_pack("{s:b, s:s, s:b, s:s, s:s, s:s, s:o, s:I, s:{s:I, s:I, s:I, s:I, s:I, s:I, s:I}}",
		"ready", ready, "node", server->config->node, "development", server->config->development,
		"policy", policy_sha256(rules.policy), "vault", vault_ready(server->vault) ? "up" : "down",
		"store", heads_alarmed(server->heads, NULL) ? "behind" : "whole", "checkpoints",
		checkpoints_json(server), "under_way", (json_int_t)pipeline_under_way(server->pipeline),
		"aws", "calls_ec2", (json_int_t)counts.calls_ec2, "calls_iam", (json_int_t)counts.calls_iam,
		"failed_ec2", (json_int_t)counts.failed_ec2, "failed_iam", (json_int_t)counts.failed_iam,
		"cached_iam", (json_int_t)counts.cached_iam, "calls_sts", (json_int_t)counts.calls_sts,
		"failed_sts", (json_int_t)counts.failed_sts);
	snapshot_clear(&rules);
	return body;
}

void status_ready(struct request *request)
{
	struct server *server = request->server;
	bool ready = __atomic_load_n(&server->stage, __ATOMIC_ACQUIRE) == STAGE_SERVING &&
		     !heads_alarmed(server->heads, NULL);
	bool verbose = strcmp(request->query, "verbose") == 0;

	request->kind = "status";
	if (request->query[0] && !verbose)
		answer_refusal(request, REASON_NOT_FOUND);
	else if (verbose && !(request->roles & (ACCESS_LOCAL | ACCESS_ON_CALL | ACCESS_OPERATOR)))
		answer_refusal(request, request->access ? REASON_FORBIDDEN : REASON_UNAUTHORIZED);
	else if (verbose)
		answer_json(request, ready ? 200 : 503, verbose_json(server, ready));
	else
		answer_json(request, ready ? 200 : 503,
			json_pack("{s:b, s:b}", "ready", ready, "development", server->config->development));
}
