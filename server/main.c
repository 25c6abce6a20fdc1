/* vouchsafed: start in the order of DESIGN.md section 8 (configuration, store, members, node key, listen),
 * serve, and leave without losing a request. */
#include "server/access.h"
#include "server/acknowledge.h"
#include "server/challenge.h"
#include "server/checkpoint.h"
#include "server/config.h"
#include "server/denials.h"
#include "server/expiry.h"
#include "server/heads.h"
#include "server/listener.h"
#include "server/metrics.h"
#include "server/query.h"
#include "server/release.h"
#include "server/reload.h"
#include "server/rules.h"
#include "server/sealings.h"
#include "server/server.h"
#include "server/status.h"
#include "store/audit.h"
#include "vault/log.h"
#include "verifier/protect.h"
#include "verifier/reasons.h"
#include "verifier/recipient.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

enum {
	SECURE_HEAP = 64 * 1024, /* the node key's */
	VAULT_THREADS = 4,
	WORKER_THREADS = 2,
	POLL_MS = 50,
	START_POLL_MS = 2,
	TICK_MS = 1000,
	SUMMARY_MS = 10000,
	API_CONNECTIONS_MOST = 40000,
	OPS_CONNECTIONS_MOST = 512,
	HANDSHAKES_MOST = 1024, /* they go on side by side: more would all be late together */
	OPS_PER_ADDRESS = 64,
	PATIENCE_MS = 10000, /* for a head, and for a body, where `deadline` is not shorter */
	DESCRIPTORS_KEPT =
		256 /* for AWS, the vault, the store: what an accepted request needs to be answered */
};

static const struct route api_routes[] = {
	{ "POST", "/v1/challenges", .at_once = challenge_give },
	{ "POST", "/v1/releases", .new_request = release_new, .line = release_line, .takes_body = true },
	{ "POST", "/v1/releases/{id}/ack", .new_request = acknowledge_new, .line = acknowledge_line,
		.takes_body = true },
	{ "GET", "/livez", .at_once = status_live },
	{ "GET", "/readyz", .at_once = status_ready },
	{ 0 },
};

enum {
	READS_TRAIL = ACCESS_AUDITOR | ACCESS_ON_CALL | ACCESS_OPERATOR,
	READS_METRICS = ACCESS_LOCAL | ACCESS_ON_CALL | ACCESS_OPERATOR
};

static const struct route ops_routes[] = {
	{ "GET", "/metrics", .at_once = metrics_show, .roles = READS_METRICS },
	{ "GET", "/v1/audit/events", .new_request = query_new, .line = query_line, .takes_query = true,
		.roles = READS_TRAIL },
	{ "GET", "/livez", .at_once = status_live },
	{ "GET", "/readyz", .at_once = status_ready, .takes_query = true },
	{ 0 },
};

/* What main owns besides the server that requests see. */
struct program {
	struct config config;
	struct server server;
	struct vault_file vault_file;
	struct listener *api, *ops;
	pthread_t aws_thread;
	bool aws_running;
};

/* ---- before anything else */

static const char usage[] =
	"usage: vouchsafed [--config FILE]\n"
	"\n"
	"  --config FILE   configuration (default /etc/vouchsafe/vouchsafe.json)\n"
	"  --version       print the version and end\n"
	"\n"
	"SIGTERM: not ready, serve on for `drain`, refuse new work, answer all, end with 0.\n"
	"A second SIGTERM cuts the waiting short.\n";

/* Returns the configuration's path; exits for --help, --version and wrong arguments. */
static const char *arguments_read(int argc, char **argv)
{
	static const struct option options[] = { { "config", required_argument, NULL, 'c' },
		{ "help", no_argument, NULL, 'h' }, { "version", no_argument, NULL, 'v' }, { 0 } };
	const char *path = "/etc/vouchsafe/vouchsafe.json";
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'c') {
			path = optarg;
		} else {
			fputs(option == 'v' ? "vouchsafed " VOUCHSAFE_VERSION "\n" : usage,
				option == '?' ? stderr : stdout);
			exit(option == '?' ? 2 : 0);
		}
	}
	if (optind < argc) {
		fputs(usage, stderr);
		exit(2);
	}
	return path;
}

/* A program that was started by hand serves, but does not pass for one that is confined. */
static void protections_look(void)
{
	char absent[PROTECT_TEXT];

	protect_absent(absent);
	if (absent[0])
		log_line(LOG_WARNING, "protections-absent", "text", absent, "mend",
			"start it by its unit, conf/systemd/vouchsafed.service", NULL);
}

/* A descriptor for each waiting agent: as many as the system allows, where a shell or container starts us
 * with the usual 1024. The `waiting` of the configuration is the limit that answers. */
static void descriptors_allow(const struct config *config)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_max < config->waiting)
		log_line(LOG_WARNING, "few-descriptors", "text", "fewer than limits.waiting", "mend",
			"raise RLIMIT_NOFILE (systemd: LimitNOFILE=65536)", NULL);
}

/* OpenSSL 3.0 loads algorithms and its random generator when they are first used. Where memory is out just
 * then it does without them for as long as the process lives, and every request would fail: so they are used
 * here, where failing means being started again. */
static bool cryptography_ready(struct complaint *complaint)
{
	unsigned char random;

	return (RAND_bytes(&random, 1) == 1 && recipient_ready()) ||
	       complain(complaint, "OpenSSL does not load its algorithms: memory is out");
}

static void signals_block(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGHUP);
	sigaddset(set, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, set, NULL);
}

/* Waits at most `ms`. True: the program is told to end. */
static bool told_to_end(struct program *p, int ms)
{
	long long until = pipeline_now() + ms * 1000000LL;
	sigset_t set;

	signals_block(&set);
	for (;;) {
		long long left = until - pipeline_now();
		struct timespec wait = { .tv_sec = left > 0 ? left / 1000000000 : 0,
			.tv_nsec = left > 0 ? left % 1000000000 : 0 };
		int got = sigtimedwait(&set, NULL, &wait);

		if (got == SIGTERM || got == SIGINT)
			return true;
		if (got == SIGHUP && p->api) { /* before it listens, it will read them anyway */
			reload(&p->server);
			reload_listener(p->ops, "ops");
			reload_listener(p->api, "api");
		}
		if (pipeline_now() >= until)
			return false;
	}
}

/* ---- start */

static void member_said(void *context, const char *member, enum member_state state, const char *why)
{
	(void)context;
	log_line(state == MEMBER_UP ? LOG_INFO : LOG_ERROR, state == MEMBER_UP ? "member-up" : "member-down",
		"member", member, "text", why, NULL);
}

static bool not_set_up(const struct program *p, struct complaint *complaint, const struct reason *reason)
{
	return complain(complaint, "the vault is not set up (%s); run: vouchsafe vault apply --config %s",
		reason->text, p->config.path);
}

/* Whose canary, pins and keys stand in the store; then the members' side. */
static bool vault_start(struct program *p, struct complaint *complaint)
{
	struct member_pin pins[MEMBERS_MAX];
	struct envelope canary = { 0 };
	struct reason reason;
	unsigned i;

	if (!vault_file_load(p->config.vault, &p->vault_file, complaint))
		return false;
	for (i = 0; i < p->vault_file.n_members; i++)
		if (store_member_get(p->server.store, p->vault_file.members[i].name, &pins[i], &reason) != OK)
			return not_set_up(p, complaint, &reason);
	if (store_envelope_get(p->server.store, "canary", 0, &canary, &reason) != OK)
		return not_set_up(p, complaint, &reason);
	p->server.heads = heads_open(&p->config, &p->vault_file, complaint);
	if (p->server.heads) {
		const struct vault_watcher watcher = {
			.said = member_said, .judge = heads_judge, .context = p->server.heads
		};

		p->server.vault = vault_open(&p->vault_file, pins, &canary, &watcher, complaint);
	}
	envelope_clear(&canary);
	return p->server.vault != NULL;
}

/* Without the node key nothing can be acknowledged, so nothing listens until a member has handed it out: one
 * whose memory agrees with the store. False: told to end meanwhile, or the store has none, or is not the one
 * that a member has signed. */
static bool node_key_take(struct program *p, struct complaint *complaint)
{
	struct envelope node = { 0 };
	struct reason reason;
	enum outcome outcome;
	unsigned tries;

	if (store_envelope_get(p->server.store, "node", 0, &node, &reason) != OK)
		return not_set_up(p, complaint, &reason);
	for (tries = 0;; tries++) {
		outcome = vault_take_node_key(p->server.vault, &node, pipeline_now() + 250000000LL, &reason);
		if (outcome != UNAVAILABLE || heads_alarmed(p->server.heads, NULL))
			break;
		if (tries % 90 == 0)
			log_line(LOG_WARNING, "waiting-for-member", "text", reason.text, "mend",
				"start it: vouchsafe-vault --member NAME --vault FILE", NULL);
		if (told_to_end(p, 250))
			break;
	}
	envelope_clear(&node);
	if (heads_alarmed(p->server.heads, complaint))
		return false;
	return outcome == OK || complain(complaint, "no node key: %s", reason.text);
}

/* A rule whose secret nobody has stored makes its instances wait: say it before they do. */
static void warn_missing_secrets(struct program *p)
{
	struct snapshot rules = rules_get(p->server.rules);
	size_t i;
	size_t j;

	for (i = 0; i < policy_rules(rules.policy); i++) {
		const struct rule *rule = policy_rule(rules.policy, i);
		const char *name;

		for (j = 0; (name = rule_secret(rule, j)); j++) {
			struct envelope envelope = { 0 };
			struct reason reason;

			if (store_envelope_get(p->server.store, name, 0, &envelope, &reason) != OK)
				log_line(LOG_WARNING, "secret-missing", "rule", rule_name(rule), "secret",
					name, "mend", "vouchsafe secret put NAME --kind KIND", NULL);
			envelope_clear(&envelope);
		}
	}
	snapshot_clear(&rules);
}

/* The node's first lines of the trail. */
static bool start_record(struct program *p, struct complaint *complaint)
{
	struct record started = {
		.kind = RECORD_EVENT, .event = "node.started", .comment = "vouchsafed " VOUCHSAFE_VERSION
	};
	struct record loaded = { .kind = RECORD_EVENT, .event = "policy.loaded" };
	struct record *batch[] = { &started, &loaded };
	struct snapshot rules = rules_get(p->server.rules);
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	started.now_us = loaded.now_us = (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000;
	started.outcome = loaded.outcome = OK;
	loaded.policy_sha256 = policy_sha256(rules.policy);
	store_record(p->server.store, batch, 2);
	snapshot_clear(&rules);
	if (started.outcome == OK && loaded.outcome == OK)
		return true;
	return complain(complaint, "the store takes no events: %s", started.reason.text);
}

/* Those first lines signed, before anybody takes a place in the line. False: told that this is not the store
 * that a member has signed; that one does not sign now is no reason not to serve. */
static bool start_sign(struct program *p, struct complaint *complaint)
{
	bool told = false;

	checkpoint_take(&p->server);
	while (pipeline_under_way(p->server.pipeline) > 0)
		told = told_to_end(p, START_POLL_MS) || told;
	if (told)
		return complain(complaint, "told to end");
	return !heads_alarmed(p->server.heads, complaint);
}

static void *aws_thread(void *aws)
{
	aws_run(aws);
	return NULL;
}

static void credentials_told(void *context, const char *account, bool good, const char *text)
{
	(void)context;
	log_line(good ? LOG_INFO : LOG_WARNING, good ? "credentials" : "credentials-failed", "account",
		account, "text", text, NULL);
}

static bool lines_start(struct program *p, struct complaint *complaint)
{
	const unsigned threads[QUEUES] = { [WORKERS] = WORKER_THREADS,
		[COMMITTER] = 1,
		[VAULT] = VAULT_THREADS,
		[READERS] = 1,
		[LISTENER] = 1 };

	p->config.aws.teller.told = credentials_told;
	p->server.aws = aws_open(&p->config.aws, complaint);
	if (!p->server.aws)
		return false;
	if (pthread_create(&p->aws_thread, NULL, aws_thread, p->server.aws) != 0)
		return complain(complaint, "the AWS thread could not be started");
	p->aws_running = true;
	p->server.pipeline = pipeline_open(p->config.waiting, threads);
	return p->server.pipeline || complain(complaint, "the pipeline's threads could not be started");
}

static void listening_log(const char *name, const struct sockaddr_in *address, struct listener *listener)
{
	char host[ADDRESS_SIZE] = "";
	char text[ADDRESS_SIZE + 8];

	inet_ntop(AF_INET, &address->sin_addr, host, sizeof(host));
	snprintf(text, sizeof(text), "%s:%u", host, listener_port(listener));
	log_line(LOG_INFO, "listening", "listener", name, "address", text, "tls",
		listener_not_after(listener) ? "yes" : "no", NULL);
	reload_warn_listener(listener, name);
}

/* So many that those who are let in can be served as well. */
static size_t connections_allowed(size_t most)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= most + DESCRIPTORS_KEPT)
		return most;
	return limit.rlim_cur > 2 * DESCRIPTORS_KEPT ? limit.rlim_cur - DESCRIPTORS_KEPT : limit.rlim_cur / 2;
}

static bool connections_start(struct program *p, struct complaint *complaint)
{
	long long deadline = p->config.deadline_ms;
	long long patience = deadline < PATIENCE_MS ? deadline : PATIENCE_MS;
	struct connections_settings settings = { .most = connections_allowed(API_CONNECTIONS_MOST),
		.heads_most = p->config.tls.certificate[0] ? HANDSHAKES_MOST : 0,
		.per_address = p->config.per_address,
		.patience_ms = { [CONNECTION_HEAD] = patience,
			[CONNECTION_BODY] = patience,
			[CONNECTION_ANSWER] = deadline } };

	p->server.api_connections = connections_new(&settings);
	settings.most = OPS_CONNECTIONS_MOST;
	settings.heads_most = 0;
	settings.per_address = OPS_PER_ADDRESS;
	p->server.ops_connections = connections_new(&settings);
	return (p->server.api_connections && p->server.ops_connections) ||
	       complain(complaint, "out of memory");
}

static bool listeners_start(struct program *p, struct complaint *complaint)
{
	const struct listener_settings ops = { .name = "ops_listen",
		.address = p->config.ops_listen,
		.routes = ops_routes,
		.tls = &p->config.ops_tls,
		.connections = p->server.ops_connections,
		.roles_of_all = p->config.ops_tls.certificate[0] ? 0 : ACCESS_LOCAL };
	const struct listener_settings api = { .name = "listen",
		.address = p->config.listen,
		.routes = api_routes,
		.forwarding = &p->config.forwarding,
		.tls = &p->config.tls,
		.connections = p->server.api_connections };

	p->ops = listener_open(&p->server, &ops, complaint);
	p->api = p->ops ? listener_open(&p->server, &api, complaint) : NULL;
	if (!p->api)
		return false;
	listening_log("ops", &p->config.ops_listen, p->ops);
	listening_log("api", &p->config.listen, p->api);
	return true;
}

static void store_told(void *context, const char *text)
{
	(void)context;
	log_line(LOG_WARNING, "store", "text", text, NULL);
}

static bool store_start(struct program *p, struct complaint *complaint)
{
	struct store_settings settings = { .uri = p->config.store,
		.use = STORE_SERVE,
		.node = p->config.node,
		.min_sync_standbys = p->config.min_sync_standbys,
		.patience_ms = p->config.deadline_ms,
		.told = store_told };

	p->server.store = store_open(&settings, complaint);
	if (!p->server.store)
		return false;
	settings.use = STORE_READ;
	p->server.reader = store_open(&settings, complaint);
	return p->server.reader;
}

static bool program_start(struct program *p, const char *path, struct complaint *complaint)
{
	if (!cryptography_ready(complaint) || !config_load(path, &p->config, complaint))
		return false;
	p->server.config = &p->config;
	p->server.metrics = metrics_new();
	p->server.denials = denials_new();
	p->server.expiry = expiry_new();
	p->server.sealings = sealings_new();
	if (!p->server.metrics || !p->server.denials || !p->server.expiry || !p->server.sealings)
		return complain(complaint, "out of memory");
	descriptors_allow(&p->config);
	protections_look();
	if (p->config.development)
		log_line(LOG_WARNING, "development", "text",
			"\"development\": true: AWS's answers may come from anyone; never for real secrets",
			NULL);
	p->server.rules = rules_new();
	if (!p->server.rules || !rules_load(p->server.rules, &p->config, complaint))
		return false;
	reload_warn(&p->server);
	if (!store_start(p, complaint) || !vault_start(p, complaint) || !node_key_take(p, complaint))
		return false;
	rules_set_challenge_key(p->server.rules, vault_challenge_key(p->server.vault));
	warn_missing_secrets(p);
	if (!lines_start(p, complaint) || !start_record(p, complaint))
		return false;
	return start_sign(p, complaint) && connections_start(p, complaint) && listeners_start(p, complaint);
}

/* ---- end */

static void stage_set(struct program *p, enum stage stage)
{
	__atomic_store_n(&p->server.stage, stage, __ATOMIC_RELEASE);
}

/* All that has begun is answered to its last byte, or its deadline and a little more has passed. */
static void drain(struct program *p)
{
	long long until = pipeline_now() + (p->config.deadline_ms + 2000) * 1000000;

	while (listener_busy(p->api) + listener_busy(p->ops) > 0 && pipeline_now() < until)
		told_to_end(p, POLL_MS);
	/* every step gives up at its deadline, so this ends */
	while (pipeline_under_way(p->server.pipeline) > 0)
		told_to_end(p, POLL_MS);
	denials_summarise(&p->server, true);
	sealings_flush(&p->server);
	while (pipeline_under_way(p->server.pipeline) > 0)
		told_to_end(p, POLL_MS);
	checkpoint_take(&p->server);
	while (pipeline_under_way(p->server.pipeline) > 0)
		told_to_end(p, POLL_MS);
	if (denials_waiting(p->server.denials))
		log_line(LOG_ERROR, "event-lost", "name", "release.denials-summarised", NULL);
}

/* Until told to end: what the node does by itself. */
static void serve(struct program *p)
{
	long long interval = p->vault_file.checkpoint_ms;
	int tick = interval < TICK_MS ? (int)interval : TICK_MS;
	long long since_summary = 0, since_checkpoint = 0;

	while (!told_to_end(p, tick)) {
		sealings_flush(&p->server);
		expiry_look(&p->server);
		since_summary += tick;
		since_checkpoint += tick;
		if (since_summary >= SUMMARY_MS) {
			denials_summarise(&p->server, false);
			since_summary = 0;
		}
		if (since_checkpoint >= interval && checkpoint_take(&p->server))
			since_checkpoint = 0;
	}
}

static void program_leave(struct program *p)
{
	log_line(LOG_INFO, "leaving", "text", "not ready; a second signal cuts the waiting short", NULL);
	stage_set(p, STAGE_LEAVING);
	told_to_end(p, (int)p->config.drain_ms);
	stage_set(p, STAGE_DRAINING);
	listener_quiesce(p->api);
	listener_quiesce(p->ops);
	drain(p);
}

static void program_end(struct program *p)
{
	listener_close(p->api);
	listener_close(p->ops);
	connections_free(p->server.api_connections);
	connections_free(p->server.ops_connections);
	pipeline_close(p->server.pipeline);
	if (p->aws_running) {
		aws_stop(p->server.aws);
		pthread_join(p->aws_thread, NULL);
	}
	if (p->server.aws)
		aws_close(p->server.aws);
	if (p->server.vault)
		vault_close(p->server.vault);
	heads_close(p->server.heads);
	if (p->server.reader)
		store_close(p->server.reader);
	if (p->server.store)
		store_close(p->server.store);
	rules_free(p->server.rules);
	metrics_free(p->server.metrics);
	denials_free(p->server.denials);
	expiry_free(p->server.expiry);
	sealings_free(p->server.sealings);
}

int main(int argc, char **argv)
{
	static const struct protection protection = { .heap = SECURE_HEAP };
	struct complaint complaint = { "" };
	const bool protected = protect_process(&protection, &complaint) == OK;
	const char *path = arguments_read(argc, argv);
	static struct program program;
	sigset_t set;
	bool started;

	umask(077);
	signals_block(&set);
	started = protected && program_start(&program, path, &complaint);
	if (started) {
		serve(&program);
		program_leave(&program);
	} else {
		log_line(LOG_ERROR, "not-started", "text", complaint.text, NULL);
	}
	program_end(&program);
	if (started)
		log_line(LOG_INFO, "ended", NULL);
	return started ? 0 : 1;
}
