/* The way of an assertion, top to bottom. A step that does not come to OK skips to `record`, which writes
 * down why, and to `answer`. Nothing goes back; no step knows its neighbours. pipeline.c moves, this says
 * what. */
#include "server/release.h"

#include "server/answer.h"
#include "server/denials.h"
#include "server/heads.h"
#include "server/metrics.h"
#include "server/record.h"
#include "server/sealings.h"
#include "server/server.h"
#include "verifier/reasons.h"
#include "verifier/request.h"

#include <stdlib.h>
#include <string.h>

static enum outcome parse(struct work *work)
{
	struct release *r = (struct release *)work;
	enum outcome outcome;

	outcome = release_request_parse(
		r->request.body, &r->assertion, &r->recipient, &r->evidence, &work->reason);
	r->parsed = outcome == OK;
	return outcome;
}

static enum outcome admit(struct work *work)
{
	struct release *r = (struct release *)work;

	r->rules = rules_get(r->request.server->rules);
	return policy_admit(r->rules.policy, &r->assertion, &r->rule, &r->demand, &work->reason);
}

/* What is proved offline, held against the assertion: who fails here costs no call to AWS. */
static enum outcome compare(struct release *r)
{
	const struct comparison comparison = { .demand = &r->demand,
		.assertion = &r->assertion,
		.document = r->proof.document,
		.peer = r->request.peer };
	struct reason *reason = &r->request.work.reason;
	const struct check *failed;

	r->claims = claims_new();
	if (!r->claims)
		return fault(reason, REASON_INTERNAL, "out of memory");
	proof_compare(r->claims, &comparison);
	failed = claims_first_failed(r->claims);
	if (failed)
		return refused(reason, failed->name, "%s: expected %s, but %s says %s", failed->name,
			check_expected(r->claims, failed), failed->by, check_observed(r->claims, failed));
	claims_free(r->claims); /* the confirmation makes these checks again, among all others */
	r->claims = NULL;
	return OK;
}

static enum outcome verify(struct work *work)
{
	struct release *r = (struct release *)work;
	const struct question_offline question = { .anchors = r->rules.anchors,
		.demand = &r->demand,
		.assertion = &r->assertion,
		.recipient = &r->recipient,
		.evidence = &r->evidence,
		.peer = r->request.peer,
		.now = (time_t)(r->request.now_us / 1000000) };
	bool stranger = !r->demand.public_address && strcmp(r->assertion.source_ip, r->request.source) != 0;
	enum outcome outcome = OK;

	if (!stranger) /* who calls from elsewhere costs no signature */
		outcome = proof_verify(&question, &r->proof, &work->reason);
	return outcome == OK ? compare(r) : outcome;
}

static void confirmed(struct confirmation *confirmation)
{
	struct release *r = (struct release *)((char *)confirmation - offsetof(struct release, confirmation));

	r->claims = confirmation->claims;
	r->request.work.reason = confirmation->reason;
	pipeline_done(&r->request.work, confirmation->outcome);
}

static void confirm(struct work *work)
{
	struct release *r = (struct release *)work;

	r->confirmation = (struct confirmation){ .assertion = &r->assertion,
		.demand = &r->demand,
		.document = r->proof.document,
		.caller = r->proof.caller,
		.peer = r->request.peer,
		.now = (time_t)(r->request.now_us / 1000000),
		.deadline = work->deadline,
		.done = confirmed };
	aws_confirm(r->request.server->aws, &r->confirmation);
}

/* The vault is asked for here, before the burn: with no member up an outage would burn the fleet. So is the
 * database: in an older one the one use is there again. */
static enum outcome decide(struct work *work)
{
	struct release *r = (struct release *)work;
	time_t now = (time_t)(r->request.now_us / 1000000);
	enum outcome outcome;

	outcome = policy_decide(r->rule, r->claims, now, &r->decision, &work->reason);
	if (outcome == OK && !vault_ready(r->request.server->vault))
		return unavailable(&work->reason, REASON_VAULT, "no member of the vault is up");
	if (outcome == OK && heads_alarmed(r->request.server->heads, NULL))
		return unavailable(
			&work->reason, REASON_STORE, "the store does not hold what a member has signed");
	return outcome;
}

/* What has been parsed owes a line of the trail, granted or refused, but for denials by the hundred
 * (denials.h). What is merely unavailable does not, nor does a challenge that is too old. */
static bool owe(struct request *request, struct record *record)
{
	struct release *r = (struct release *)request;

	if (!r->parsed || (record->outcome != OK && record->outcome != REFUSED))
		return false;
	if (record->outcome == REFUSED && strcmp(record->reason.code, REASON_CHALLENGE) == 0)
		return false; /* nothing is decided: it comes again with another */
	if (record->outcome == REFUSED && !denials_admit(request->server->denials, request->peer,
						  r->confirmation.claims != NULL, request->now_us))
		return false;
	record->kind = RECORD_RELEASE;
	record->assertion = &r->assertion;
	record->recipient = &r->recipient;
	record->claims = r->claims;
	record->decision = record->outcome == OK ? &r->decision : NULL;
	record->policy_sha256 = policy_sha256(r->rules.policy);
	record->rule = r->rule ? rule_name(r->rule) : NULL;
	record->unbound_key = r->rule && rule_unbound_key(r->rule);
	return true;
}

static void recorded(struct request *request, struct record *record)
{
	struct release *r = (struct release *)request;

	r->grant = record->grant;
}

static void sealed(struct seal *its)
{
	struct release *r = (struct release *)((char *)its - offsetof(struct release, seal));

	r->request.work.reason = its->reason;
	metrics_sealed(r->request.server->metrics, its->outcome);
	pipeline_done(&r->request.work, its->outcome);
}

static void seal(struct work *const batch[], size_t n)
{
	struct release *first = (struct release *)batch[0];
	struct seal *seals[VAULT_SEALS_MAX];
	size_t i;

	for (i = 0; i < n; i++) {
		struct release *r = (struct release *)batch[i];

		r->seal = (struct seal){ .grant = r->grant, .deadline = batch[i]->deadline, .done = sealed };
		seals[i] = &r->seal;
	}
	vault_seal(first->request.server->vault, seals, n);
}

static json_t *secrets_json(const struct grant *grant)
{
	const struct envelope *envelope;
	json_t *list = json_array();
	size_t i;

	for (i = 0; (envelope = grant_envelope(grant, i)); i++)
		json_array_append_new(list, json_pack("{s:s, s:s, s:i}", "name", envelope->name, "kind",
						    envelope->kind, "version", (int)envelope->version));
	return list;
}

static void answer_release(struct release *r)
{
	struct bytes der = { r->seal.sealed.data, r->seal.sealed.length };
	char *base64 = malloc(BASE64_SIZE(der.length));
	json_t *body;

	if (!base64) {
		answer_problem(&r->request, FAULT, &r->request.work.reason);
		return;
	}
	base64_encode(der, base64);
	body = json_pack("{s:s, s:s, s:o}", "release_id", grant_release_id(r->grant), "sealed", base64,
		"secrets", secrets_json(r->grant));
	free(base64);
	answer_json(&r->request, 200, body);
}

static void answer(struct work *const batch[], size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		struct release *r = (struct release *)batch[i];

		if (batch[i]->outcome == OK) {
			answer_release(r);
			sealings_put(
				r->request.server->sealings, grant_release_id(r->grant), r->request.now_us);
		} else {
			answer_problem(&r->request, batch[i]->outcome, &batch[i]->reason);
		}
	}
	answer_send(batch, n);
}

static void release_free(struct request *request)
{
	struct release *r = (struct release *)request;

	sealed_clear(&r->seal.sealed);
	grant_free(r->grant);
	claims_free(r->claims);
	proof_clear(&r->proof);
	evidence_clear(&r->evidence);
	snapshot_clear(&r->rules);
	free(r);
}

struct request *release_new(void)
{
	struct release *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->request.kind = "release";
	r->request.owe = owe;
	r->request.recorded = recorded;
	r->request.free = release_free;
	return &r->request;
}

const struct step release_line[] = {
	/* clang-format off */
	/* step        taken by   what */
	{ "parse",     WORKERS,   .one = parse },
	{ "admit",     WORKERS,   .one = admit },          /* a rule for this role, account, region? what does it demand? */
	{ "verify",    WORKERS,   .one = verify },         /* all that can be checked offline */
	{ "confirm",   WORKERS,   .begin = confirm },      /* EC2, IAM: comes back from the AWS thread */
	{ "decide",    WORKERS,   .one = decide },
	{ "record",    COMMITTER, .batch = record_batch, .even_if_refused = true }, /* ONE transaction; makes the grant */
	{ "seal",      VAULT,     .begin_batch = seal, .most = VAULT_SEALS_MAX }, /* several on one connection */
	{ "answer",    LISTENER,  .batch = answer, .even_if_refused = true },
	{ 0 }
	/* clang-format on */
};
