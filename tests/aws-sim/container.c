/* A container's credentials endpoint, in the form of Amazon ECS: GET /container/<account>/<role>, with the
 * authorization that the role's trust names, gives keys of the role, new ones each time. */
#include "tests/aws-sim/clock.h"
#include "tests/aws-sim/credentials.h"
#include "tests/aws-sim/sim.h"
#include "tests/aws-sim/trust.h"

#include <stdio.h>
#include <string.h>

/* "<account>/<role>" */
static const json_t *role_at(const struct state *state, const char *path)
{
	const char *slash = strchr(path, '/');
	char account[13] = "";

	if (!slash || slash - path != 12)
		return NULL;
	memcpy(account, path, 12);
	return state_role(state, account, slash + 1);
}

static void keys_write(const json_t *role, const json_t *key, struct answer *answer)
{
	char expires[TIME_SIZE];

	time_write_seconds(number_of(key, "expires"), expires);
	answer->status = 200;
	answer->content_type = "application/json";
	buffer_format(&answer->body,
		"{\"RoleArn\":\"%s\",\"AccessKeyId\":\"%s\",\"SecretAccessKey\":\"%s\",\"Token\":\"%s\","
		"\"Expiration\":\"%s\"}",
		text_of(role, "arn"), text_of(key, "id"), text_of(key, "secret"), text_of(key, "token"),
		expires);
}

static void container_answer(
	struct sim *sim, const char *path, const struct request *request, struct answer *answer)
{
	const char *given = request_header(request, "authorization");
	const json_t *role = role_at(sim->state, path);
	const json_t *key;

	answer->status = strcmp(request->method, "GET") ? 405 : !role ? 404 : 401;
	if (answer->status != 401 || !trust_container(role, given ? given : ""))
		return;
	key = credentials_make(sim->state, role, "container");
	if (key)
		keys_write(role, key, answer);
}

static bool concerns_all(const void *context, const char *instance)
{
	(void)context;
	(void)instance;
	return true;
}

void container_route(struct sim *sim, const char *path, const struct request *request, struct answer *answer)
{
	struct fault fault;
	char outcome[24];

	fault_take(&sim->faults, "container", concerns_all, NULL, &fault);
	container_answer(sim, path, request, answer);
	if (fault.mode == FAULT_THROTTLE || fault.mode == FAULT_ERROR_503)
		answer->status = 503;
	else if (fault.mode == FAULT_ERROR_500)
		answer->status = 500;
	snprintf(outcome, sizeof outcome, "%d", answer->status);
	answer_spoil(answer, &fault);
	request_record(sim->last, "container", request, outcome);
	count_call(sim->counters, "container",
		fault.mode == FAULT_NONE ? outcome : fault_mode_name(fault.mode), 0);
}
