/* The control API: POST /control/<verb> with a JSON object, answered by a JSON object; a refusal is an object
 * with `error`, and a status of its own. For tests and people at the same machine: it asks nobody who they
 * are.
 *
 *   account    id, [partition, access_key_id, secret_access_key, session_token, user]; again: one more key
 *   role       account, name, [path, profiles: list of name and path]; without: one of the role's name
 *   launch     account, region, [id, role | profile, launch_template, auto_scaling_group, and members]
 *   fleet      launch: what all have in common; instances: list of what each has of its own
 *   stop       instance
 *   start      instance, [launch_time, public_address, state]
 *   terminate  instance, [forget]
 *   set        instance, [role | profile, and members]: exactly what is named
 *   instances  [account, region, instance]
 *   fault      action, mode, [times: 1, or -1 for ever; instance, delay_ms, field, value]; or clear
 *   throttle   [size, per_second, delay_ms]: AWS's bucket and pace; without: none
 *   counters   [reset]
 *   last       action: its last request as it came, whether it was answered or refused
 *   credentials  instance: those that it has now of its role
 *   rotate     instance: new ones; the ones before stay good until they expire
 *   expire     instance | access_key_id: from now on they are; an instance goes on giving them out
 *   assume     account, role, session: credentials of somebody else who assumed the role
 *   trust      account, role, [accounts, external_id, web_token, container_token, ttl]: who may assume it
 *   certificate  region: what it signs identity documents with
 *
 * Members are those of instance_fields.c, modes those of fault.c. A profile is named by its name in the
 * account, by any ARN, or "" for none. For IAM a fault's `instance` is a role's name, for STS a session's or
 * the ARN of the role to be assumed.
 * A key without a user is the root's. Actions are DescribeInstances, ListInstanceProfilesForRole,
 * GetCallerIdentity, AssumeRole, AssumeRoleWithWebIdentity, container, metadata-token, metadata, or * for
 * all. */
#include "tests/aws-sim/account.h"
#include "tests/aws-sim/credentials.h"
#include "tests/aws-sim/instance.h"
#include "tests/aws-sim/region_key.h"
#include "tests/aws-sim/sim.h"
#include "tests/aws-sim/trust.h"

#include <stdlib.h>
#include <string.h>

static const struct verb {
	const char *name;
	json_t *(*perform)(struct state *, const json_t *arguments, struct refusal *);
	bool changes;
} verbs[] = {
	{ "account", account_add, true },
	{ "role", role_add, true },
	{ "launch", instance_launch, true },
	{ "fleet", instance_fleet, true },
	{ "stop", instance_stop, true },
	{ "start", instance_start, true },
	{ "terminate", instance_terminate, true },
	{ "set", instance_set, true },
	{ "instances", instance_list, false },
	{ "credentials", credentials_show, false },
	{ "rotate", credentials_rotate, true },
	{ "expire", credentials_expire, true },
	{ "assume", credentials_assume, true },
	{ "trust", trust_set, true },
	{ "certificate", region_certificate, false },
};

static json_t *verb_perform(
	struct sim *sim, const char *name, const json_t *arguments, struct refusal *refusal)
{
	if (!strcmp(name, "fault"))
		return fault_control(&sim->faults, arguments, refusal);
	if (!strcmp(name, "throttle"))
		return throttle_control(&sim->throttle, arguments, refusal);
	if (!strcmp(name, "counters"))
		return count_control(sim->counters, arguments, refusal);
	if (!strcmp(name, "last"))
		return record_control(sim->last, arguments, refusal);
	for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
		if (strcmp(verbs[i].name, name) != 0)
			continue;
		if (verbs[i].changes)
			state_mark_changed(sim->state);
		return verbs[i].perform(sim->state, arguments, refusal);
	}
	return refuse(refusal, 404, "no such verb");
}

static void json_answer(struct answer *answer, int status, const json_t *json)
{
	char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;

	if (!text)
		return;
	answer->status = status;
	answer->content_type = "application/json";
	buffer_text(&answer->body, text);
	buffer_text(&answer->body, "\n");
	free(text);
}

static json_t *arguments_read(const struct request *request, struct refusal *refusal)
{
	json_error_t error;
	json_t *arguments;

	if (strcmp(request->method, "POST") != 0)
		return refuse(refusal, 405, "POST only");
	if (!request->length)
		return json_object();
	arguments = json_loadb(request->body, request->length, JSON_REJECT_DUPLICATES, &error);
	if (json_is_object(arguments))
		return arguments;
	json_decref(arguments);
	return refuse(refusal, 400, "not a JSON object");
}

void control_route(struct sim *sim, const char *verb, const struct request *request, struct answer *answer)
{
	struct refusal refusal = REFUSAL_OUT_OF_MEMORY;
	json_t *arguments = arguments_read(request, &refusal);
	json_t *result = arguments ? verb_perform(sim, verb, arguments, &refusal) : NULL;

	if (result) {
		json_answer(answer, 200, result);
	} else {
		result = json_pack("{ss}", "error", refusal.text);
		json_answer(answer, refusal.status, result);
	}
	json_decref(result);
	json_decref(arguments);
}
