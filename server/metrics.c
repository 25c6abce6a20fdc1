/* Counters, and their text. A label's values come from the tables here: what is not in them counts as
 * "other", so that no caller can make series. */
#include "server/metrics.h"

#include "server/answer.h"
#include "server/connections.h"
#include "server/heads.h"
#include "server/rules.h"
#include "server/server.h"
#include "verifier/checks.h"
#include "verifier/reasons.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char *const kinds[] = { "release", "acknowledge", "query", "challenge", "status", "none" };
static const int statuses[] = { 200, 201, 204, 400, 401, 403, 404, 405, 409, 413, 415, 429, 500, 503, 0 };
static const char *const outcomes[] = { "fault", "refused", "unavailable", "ok" };
static const char *const reasons[] = { "none", REASON_MALFORMED, REASON_NO_RULE, REASON_NOT_VISIBLE_YET,
	REASON_UPSTREAM, REASON_STORE, REASON_VAULT, REASON_SECRET_MISSING, REASON_ALREADY_RELEASED,
	REASON_ALREADY_COLLECTED, REASON_NOT_FOUND, REASON_OVERLOADED, REASON_DRAINING, REASON_INTERNAL,
	REASON_UNAUTHORIZED, REASON_CHALLENGE, REASON_EVIDENCE_MISSING, REASON_DOCUMENT, REASON_RULE_HELD,
	CHECK_CALLER_IDENTITY, CHECK_CALLER_ACCOUNT, CHECK_CALLER_ROLE, CHECK_CALLER_SESSION,
	CHECK_DOCUMENT_INSTANCE_ID, CHECK_DOCUMENT_ACCOUNT_ID, CHECK_DOCUMENT_REGION,
	CHECK_DOCUMENT_INSTANCE_TYPE, CHECK_DOCUMENT_PRIVATE_IP, CHECK_DOCUMENT_IMAGE, CHECK_DOCUMENT_ZONE,
	CHECK_DOCUMENT_TIME, CHECK_INSTANCE_ID, CHECK_ACCOUNT_ID, CHECK_REGION, CHECK_RESERVATION_ID,
	CHECK_INSTANCE_TYPE, CHECK_PUBLIC_HOSTNAME, CHECK_LOCAL_HOSTNAME, CHECK_SOURCE_IP, CHECK_PEER_ADDRESS,
	CHECK_STATE, CHECK_ROLE, CHECK_IMAGE, CHECK_LAUNCH_TEMPLATE, CHECK_AUTO_SCALING_GROUP, CHECK_VPC,
	CHECK_SUBNET, CHECK_SECURITY_GROUP, CHECK_ALLOWED_TYPE, CHECK_TAG, CHECK_METADATA_OPTIONS,
	CHECK_LAUNCH_TIME, CHECK_LAUNCH_WINDOW, CHECK_ORIGINAL_BOOT, "other" };
/* upper bounds of the histogram, in milliseconds */
static const unsigned buckets[] = { 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000 };

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

/* Everything is added to with relaxed atomics: each number is right, and two read together may be a moment
 * apart. */
struct metrics {
	time_t started;
	unsigned long answered[COUNT(kinds)][COUNT(statuses)];
	unsigned long decided[COUNT(outcomes)][COUNT(reasons)];
	unsigned long took[COUNT(buckets) + 1]; /* releases; not cumulative here */
	unsigned long took_us;
	unsigned long commits, failed_commits, records;
	unsigned long sealed[2];
	unsigned long checkpoints[2];
	unsigned long after_restore;
};

static void add(unsigned long *counter, unsigned long n)
{
	__atomic_add_fetch(counter, n, __ATOMIC_RELAXED);
}

static unsigned long get(const unsigned long *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

struct metrics *metrics_new(void)
{
	struct metrics *metrics = calloc(1, sizeof(*metrics));

	if (metrics)
		metrics->started = time(NULL);
	return metrics;
}

void metrics_free(struct metrics *metrics)
{
	free(metrics);
}

/* Its place in the list; the last one stands for all others. */
static size_t word_find(const char *const words[], size_t n, const char *word)
{
	size_t i = 0;

	while (i + 1 < n && (!word || strcmp(words[i], word) != 0))
		i++;
	return i;
}

static size_t status_find(int status)
{
	size_t i = 0;

	while (statuses[i] && statuses[i] != status)
		i++;
	return i;
}

static void duration_add(struct metrics *metrics, long long microseconds)
{
	size_t i = 0;

	while (i < COUNT(buckets) && microseconds > (long long)buckets[i] * 1000)
		i++;
	add(&metrics->took[i], 1);
	add(&metrics->took_us, (unsigned long)microseconds);
}

void metrics_answered(struct metrics *metrics, const struct request *request)
{
	size_t kind = word_find(kinds, COUNT(kinds), request->kind);

	add(&metrics->answered[kind][status_find(request->answer.status)], 1);
	if (kind == 0)
		duration_add(metrics, (pipeline_now() - request->began) / 1000);
}

void metrics_decided(struct metrics *metrics, enum outcome outcome, const char *reason)
{
	add(&metrics->decided[outcome][outcome == OK ? 0 : word_find(reasons, COUNT(reasons), reason)], 1);
}

void metrics_committed(struct metrics *metrics, size_t n, bool done)
{
	add(done ? &metrics->commits : &metrics->failed_commits, 1);
	add(&metrics->records, done ? n : 0);
}

void metrics_sealed(struct metrics *metrics, enum outcome outcome)
{
	add(&metrics->sealed[outcome == OK], 1);
}

void metrics_checkpoint(struct metrics *metrics, bool done)
{
	add(&metrics->checkpoints[done], 1);
}

void metrics_after_restore(struct metrics *metrics)
{
	add(&metrics->after_restore, 1);
}

/* ---- the text */

static void head(FILE *out, const char *name, const char *type, const char *help)
{
	fprintf(out, "# HELP vouchsafe_%s %s\n# TYPE vouchsafe_%s %s\n", name, help, name, type);
}

static void single(FILE *out, const char *name, const char *type, const char *help, double value)
{
	head(out, name, type, help);
	fprintf(out, "vouchsafe_%s %.17g\n", name, value);
}

static void show_requests(FILE *out, const struct metrics *metrics)
{
	size_t k, s;

	head(out, "requests_total", "counter", "Answers, by kind of request and HTTP status (0: any other).");
	for (k = 0; k < COUNT(kinds); k++)
		for (s = 0; s < COUNT(statuses); s++)
			if (get(&metrics->answered[k][s]))
				fprintf(out, "vouchsafe_requests_total{kind=\"%s\",status=\"%d\"} %lu\n",
					kinds[k], statuses[s], get(&metrics->answered[k][s]));
}

static void show_decisions(FILE *out, const struct metrics *metrics)
{
	size_t o, r;

	head(out, "decisions_total", "counter",
		"What requests came to that went down a line, by outcome and reason.");
	for (o = 0; o < COUNT(outcomes); o++)
		for (r = 0; r < COUNT(reasons); r++)
			if (get(&metrics->decided[o][r]))
				fprintf(out, "vouchsafe_decisions_total{outcome=\"%s\",reason=\"%s\"} %lu\n",
					outcomes[o], reasons[r], get(&metrics->decided[o][r]));
}

static void show_durations(FILE *out, const struct metrics *metrics)
{
	unsigned long sum = 0;
	size_t i;

	head(out, "release_duration_seconds", "histogram", "From a release's headers to its answer.");
	for (i = 0; i < COUNT(buckets); i++) {
		sum += get(&metrics->took[i]);
		fprintf(out, "vouchsafe_release_duration_seconds_bucket{le=\"%g\"} %lu\n",
			buckets[i] / 1000.0, sum);
	}
	sum += get(&metrics->took[COUNT(buckets)]);
	fprintf(out, "vouchsafe_release_duration_seconds_bucket{le=\"+Inf\"} %lu\n", sum);
	fprintf(out, "vouchsafe_release_duration_seconds_sum %.6f\n", (double)get(&metrics->took_us) / 1e6);
	fprintf(out, "vouchsafe_release_duration_seconds_count %lu\n", sum);
}

static void show_upstream(FILE *out, struct server *server)
{
	struct aws_counts counts;

	aws_counts_get(server->aws, &counts);
	head(out, "upstream_calls_total", "counter", "Calls to AWS, by service and result.");
	fprintf(out, "vouchsafe_upstream_calls_total{service=\"ec2\",result=\"ok\"} %lu\n",
		counts.calls_ec2 - counts.failed_ec2);
	fprintf(out, "vouchsafe_upstream_calls_total{service=\"ec2\",result=\"failed\"} %lu\n",
		counts.failed_ec2);
	fprintf(out, "vouchsafe_upstream_calls_total{service=\"iam\",result=\"ok\"} %lu\n",
		counts.calls_iam - counts.failed_iam);
	fprintf(out, "vouchsafe_upstream_calls_total{service=\"iam\",result=\"failed\"} %lu\n",
		counts.failed_iam);
	fprintf(out, "vouchsafe_upstream_calls_total{service=\"sts\",result=\"ok\"} %lu\n",
		counts.calls_sts - counts.failed_sts);
	fprintf(out, "vouchsafe_upstream_calls_total{service=\"sts\",result=\"failed\"} %lu\n",
		counts.failed_sts);
	single(out, "upstream_cached_total", "counter", "Questions to IAM that were answered from the cache.",
		(double)counts.cached_iam);
}

/* Once each account's, row by row of the same names; accounts are those of the configuration. */
static void show_credentials(FILE *out, struct server *server)
{
	struct credentials_status status;
	unsigned i;

	head(out, "credentials_expire_seconds", "gauge",
		"Until our own credentials end, by account; 0: there are none, +Inf: they tell no end.");
	for (i = 0; aws_credentials_get(server->aws, i, &status); i++) {
		long long left = status.there && status.expires ? status.expires - time(NULL) : 0;

		if (status.there && !status.expires)
			fprintf(out, "vouchsafe_credentials_expire_seconds{account=\"%s\"} +Inf\n",
				status.account);
		else
			fprintf(out, "vouchsafe_credentials_expire_seconds{account=\"%s\"} %lld\n",
				status.account, left > 0 ? left : 0);
	}
	head(out, "credentials_fetches_total", "counter", "Of our own credentials, by account and result.");
	for (i = 0; aws_credentials_get(server->aws, i, &status); i++)
		fprintf(out,
			"vouchsafe_credentials_fetches_total{account=\"%s\",result=\"ok\"} %lu\n"
			"vouchsafe_credentials_fetches_total{account=\"%s\",result=\"failed\"} %lu\n",
			status.account, status.fetched, status.account, status.failed);
}

static void show_vault(FILE *out, const struct server *server)
{
	const struct metrics *metrics = server->metrics;
	const char *member;
	size_t i;

	head(out, "vault_operations_total", "counter", "Seals asked of the vault, by result.");
	fprintf(out, "vouchsafe_vault_operations_total{operation=\"seal\",result=\"ok\"} %lu\n",
		get(&metrics->sealed[1]));
	fprintf(out, "vouchsafe_vault_operations_total{operation=\"seal\",result=\"failed\"} %lu\n",
		get(&metrics->sealed[0]));
	head(out, "vault_member_up", "gauge", "1: the member's canary opens.");
	for (i = 0; (member = vault_member_name(server->vault, i)); i++)
		fprintf(out, "vouchsafe_vault_member_up{member=\"%s\"} %d\n", member,
			vault_member_state(server->vault, member) == MEMBER_UP);
}

static void show_store(FILE *out, const struct metrics *metrics)
{
	head(out, "commits_total", "counter", "Transactions of the committer, by result.");
	fprintf(out, "vouchsafe_commits_total{result=\"ok\"} %lu\n", get(&metrics->commits));
	fprintf(out, "vouchsafe_commits_total{result=\"failed\"} %lu\n", get(&metrics->failed_commits));
	single(out, "committed_records_total", "counter", "Records in the transactions that came through.",
		(double)get(&metrics->records));
}

/* Once each member's, row by row of the same names. */
static void show_heads(FILE *out, const struct server *server)
{
	const struct metrics *metrics = server->metrics;
	const char *member;
	long long time_us;
	size_t i;

	single(out, "store_behind", "gauge",
		"1: the store does not hold what a member has signed; nothing is released.",
		heads_alarmed(server->heads, NULL));
	single(out, "releases_after_restore_total", "counter",
		"First uses by instances that were launched before the database was restored.",
		(double)get(&metrics->after_restore));
	head(out, "checkpoints_total", "counter",
		"Signatures of the trail's head asked of members, by result.");
	fprintf(out, "vouchsafe_checkpoints_total{result=\"ok\"} %lu\n", get(&metrics->checkpoints[1]));
	fprintf(out, "vouchsafe_checkpoints_total{result=\"failed\"} %lu\n", get(&metrics->checkpoints[0]));
	head(out, "checkpoint_seq", "gauge", "The newest event that the member has signed for this node.");
	for (i = 0; (member = vault_member_name(server->vault, i)); i++)
		fprintf(out, "vouchsafe_checkpoint_seq{member=\"%s\"} %lld\n", member,
			heads_last_signed(server->heads, i, &time_us));
	head(out, "checkpoint_time_seconds", "gauge",
		"When that was, since 1970; 0: not since this process started.");
	for (i = 0; (member = vault_member_name(server->vault, i)); i++) {
		heads_last_signed(server->heads, i, &time_us);
		fprintf(out, "vouchsafe_checkpoint_time_seconds{member=\"%s\"} %lld\n", member,
			time_us / 1000000);
	}
}

static void show_queues(FILE *out, struct server *server)
{
	static const char *const queues[QUEUES] = { "workers", "committer", "vault", "readers", "listener" };
	unsigned queue;

	head(out, "queue_length", "gauge", "Requests that wait for a thread, by queue.");
	for (queue = 0; queue < QUEUES; queue++)
		fprintf(out, "vouchsafe_queue_length{queue=\"%s\"} %zu\n", queues[queue],
			pipeline_queued(server->pipeline, (enum queue)queue));
	single(out, "requests_under_way", "gauge", "Requests between the entry and their answer.",
		(double)pipeline_under_way(server->pipeline));
	single(out, "requests_under_way_limit", "gauge", "limits.waiting of the configuration.",
		(double)server->config->waiting);
}

/* Once each listener's, row by row of the same names. */
static void show_connections(FILE *out, const struct server *server)
{
	static const char *const names[] = { "api", "ops" };
	static const char *const phases[CONNECTION_PHASES] = { "none", "head", "body", "answer" };
	struct connection_counts counts[2];
	unsigned i, phase;

	connections_count(server->api_connections, &counts[0]);
	connections_count(server->ops_connections, &counts[1]);
	head(out, "connections", "gauge", "Open now, by listener.");
	for (i = 0; i < 2; i++)
		fprintf(out, "vouchsafe_connections{listener=\"%s\"} %zu\n", names[i], counts[i].open);
	head(out, "connections_total", "counter", "Accepted, by listener.");
	for (i = 0; i < 2; i++)
		fprintf(out, "vouchsafe_connections_total{listener=\"%s\"} %lu\n", names[i],
			counts[i].accepted);
	head(out, "connections_refused_total", "counter",
		"Turned away because their address had its share, by listener.");
	for (i = 0; i < 2; i++)
		fprintf(out, "vouchsafe_connections_refused_total{listener=\"%s\"} %lu\n", names[i],
			counts[i].over_share);
	head(out, "connections_expired_total", "counter",
		"Closed at a deadline, by listener and what was being waited for; idle ones wait for a "
		"head.");
	for (i = 0; i < 2; i++)
		for (phase = CONNECTION_HEAD; phase < CONNECTION_PHASES; phase++)
			fprintf(out,
				"vouchsafe_connections_expired_total{listener=\"%s\",phase=\"%s\"} %lu\n",
				names[i], phases[phase], counts[i].expired[phase]);
}

static void show_node(FILE *out, struct server *server)
{
	struct snapshot rules = rules_get(server->rules);
	size_t unbound = 0;
	size_t i;

	for (i = 0; i < policy_rules(rules.policy); i++)
		unbound += rule_unbound_key(policy_rule(rules.policy, i));
	snapshot_clear(&rules);
	head(out, "build_info", "gauge", "Always 1; the labels tell.");
	fprintf(out, "vouchsafe_build_info{version=\"%s\",node=\"%s\"} 1\n", VOUCHSAFE_VERSION,
		server->config->node);
	single(out, "development", "gauge", "1: AWS's answers may come from anyone.",
		server->config->development);
	single(out, "rules_unbound", "gauge", "Rules that release without evidence that binds the key.",
		(double)unbound);
	single(out, "ready", "gauge", "1: this node takes new work.",
		__atomic_load_n(&server->stage, __ATOMIC_ACQUIRE) == STAGE_SERVING &&
			!heads_alarmed(server->heads, NULL));
	single(out, "start_time_seconds", "gauge", "When this process started, since 1970.",
		(double)server->metrics->started);
}

void metrics_show(struct request *request)
{
	struct server *server = request->server;
	char *text = NULL;
	size_t length = 0;
	FILE *out;

	out = open_memstream(&text, &length);
	if (out) {
		show_node(out, server);
		show_requests(out, server->metrics);
		show_decisions(out, server->metrics);
		show_durations(out, server->metrics);
		show_upstream(out, server);
		show_credentials(out, server);
		show_vault(out, server);
		show_store(out, server->metrics);
		show_heads(out, server);
		show_queues(out, server);
		show_connections(out, server);
	}
	if (out && fclose(out) == 0)
		answer_text(request, 200, "text/plain; version=0.0.4", text, length);
	else
		answer_problem(request, FAULT, &(struct reason){ .code = REASON_INTERNAL });
}
