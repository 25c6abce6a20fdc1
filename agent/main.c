/* vouchsafe-agent: runs once, when an instance boots. Says what the instance is, receives what policy allows
 * it to have, writes that down. Must never print, log or pass on a secret, and writes none before every check
 * on it has passed. Safe to run again at any point: the key in the state folder is what makes the second run
 * the same agent. */
#include "agent/arguments.h"
#include "agent/exits.h"
#include "agent/files.h"
#include "agent/key.h"
#include "agent/metadata.h"
#include "agent/open.h"
#include "agent/request.h"
#include "aws/http.h"
#include "aws/sigv4.h"
#include "verifier/encoding.h"
#include "verifier/protect.h"

#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Room for the largest release twice over (64 KiB a secret, base64, JSON); RLIMIT_MEMLOCK's default allows
 * just this much. */
enum { SECURE_HEAP = 8 << 20 };

/* EC2 and the metadata service are eventually consistent: nanoseconds in which a role may still show. */
#define ROLE_PATIENCE (60 * 1000000000LL)

/* Everything that lives from one step to the next. */
struct agent {
	struct arguments arguments;
	struct folder state, out;
	struct http *imds_http, *http; /* two, for --ca is about the server alone */
	struct imds imds;
	struct service service;
	struct assertion assertion;
	struct key key;
	struct answer answer;
	struct release release;
	struct complaint complaint;
};

static void say(void *context, const char *line)
{
	(void)context;
	fprintf(stderr, "vouchsafe-agent: %s\n", line);
}

static void say_about(const char *format, ...) PRINTF_LIKE(1, 2);
static void say_about(const char *format, ...)
{
	char line[512];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	say(NULL, line);
}

/* ---- the steps, in their order */

static enum agent_exit open_folders(struct agent *agent)
{
	if (!folder_open(agent->arguments.state, &agent->state, &agent->complaint) ||
		!folder_open(agent->arguments.out, &agent->out, &agent->complaint))
		return AGENT_CONFIGURATION;
	if (folder_lock(&agent->state))
		return AGENT_DONE;
	complain(&agent->complaint, "another vouchsafe-agent is at work in %s", agent->arguments.state);
	return AGENT_GAVE_UP;
}

static enum agent_exit open_http(struct agent *agent)
{
	struct http_options options = { .user_agent = "vouchsafe-agent/" VOUCHSAFE_VERSION,
		.connections = 1 };

	agent->imds_http = http_open(&options);
	options.ca_file = agent->arguments.ca;
	agent->http = http_open(&options);
	if (!agent->imds_http || !agent->http) {
		complain(&agent->complaint, "the HTTP client does not start");
		return AGENT_FAULT;
	}
	agent->service = (struct service){ .http = agent->http,
		.base = agent->arguments.server,
		.source = agent->arguments.source,
		.pace = &pace_real,
		.deadline = monotonic_now() + agent->arguments.deadline,
		.said = say };
	agent->imds = (struct imds){ .http = agent->imds_http,
		.base = agent->arguments.metadata,
		.source = agent->arguments.source,
		.pace = &pace_real,
		.deadline = agent->service.deadline };
	return AGENT_DONE;
}

/* The server wants one and the same address in the assertion, in EC2's answer and on the socket. */
static enum agent_exit read_metadata(struct agent *agent)
{
	const struct assertion *assertion = &agent->assertion;
	const char *source = agent->arguments.source;

	if (!metadata_read(&agent->imds, agent->arguments.role, &agent->assertion, &agent->complaint))
		return AGENT_NO_METADATA;
	say_about("this is %s (%s, %s, %s)", assertion->instance_id, assertion->instance_type,
		assertion->account_id, assertion->region);
	if (!source || strcmp(source, assertion->source_ip) == 0)
		return AGENT_DONE;
	complain(&agent->complaint,
		"--source %s: this instance's primary address is %s, and from no other would the "
		"server serve it",
		source, assertion->source_ip);
	return AGENT_CONFIGURATION;
}

static enum agent_exit keep_key(struct agent *agent)
{
	char recipient[HEX_SIZE(sizeof(agent->key.recipient.sha256))];
	enum agent_exit status = key_keep(&agent->state, &agent->key, &agent->complaint);

	if (status != AGENT_DONE)
		return status;
	hex_encode((struct bytes){ agent->key.recipient.sha256, sizeof(agent->key.recipient.sha256) },
		recipient);
	say_about("%s key, recipient %s", agent->key.kept ? "kept" : "new", recipient);
	return AGENT_DONE;
}

static enum agent_exit obtain_release(struct agent *agent)
{
	const struct petition petition = { .assertion = &agent->assertion,
		.csr = agent->key.csr,
		.recipient = &agent->key.recipient,
		.imds = &agent->imds,
		.patient_until = monotonic_now() + ROLE_PATIENCE };
	char sts[STS_HOST_SIZE];
	enum agent_exit status;

	if (!sigv4_sts_host(agent->assertion.region, sts))
		say_about("warning: this version does not know %s, so it cannot prove who calls from there",
			agent->assertion.region);

	say_about("asking %s as role %s", agent->arguments.server, agent->arguments.role);
	status = request_release(&agent->service, &petition, &agent->answer, &agent->complaint);
	if (status == AGENT_DONE)
		say_about("granted: release %s", agent->answer.release_id);
	return status;
}

/* Not asked again: whoever answers so would answer so again, and a person should know. */
static enum agent_exit open_release(struct agent *agent)
{
	const struct expected expected = { agent->answer.release_id, &agent->assertion };
	const struct bytes sealed = { agent->answer.sealed, agent->answer.sealed_length };
	enum agent_exit status = release_open(
		sealed, agent->key.pair, &expected, &agent->release, &agent->complaint);

	if (status == AGENT_PROTOCOL)
		say_about("WARNING: the sealed answer is not for this agent. Either %s is an impostor, or "
			  "somebody sits "
			  "on the way, or it is another version. Nothing was written.",
			agent->arguments.server);
	return status;
}

static enum agent_exit write_files(struct agent *agent)
{
	struct file files[RELEASE_SECRETS_MAX];
	const struct release *release = &agent->release;
	size_t i;

	for (i = 0; i < release->n_secrets; i++)
		files[i] = (struct file){ .name = release->secrets[i].name,
			.bytes = { release->secrets[i].data, release->secrets[i].length } };
	if (!folder_write(&agent->out, files, release->n_secrets, &agent->complaint))
		return AGENT_GAVE_UP;
	for (i = 0; i < release->n_secrets; i++)
		say_about("written: %s/%s (%zu bytes)", agent->arguments.out, files[i].name,
			files[i].bytes.length);
	release_forget_secrets(&agent->release);
	key_clear(&agent->key);
	return AGENT_DONE;
}

static enum agent_exit acknowledge(struct agent *agent)
{
	enum agent_exit status = request_acknowledge(
		&agent->service, agent->answer.release_id, agent->release.acknowledgement, &agent->complaint);

	if (status != AGENT_DONE) {
		say(NULL, "the files are written, but the server does not know it; the key stays");
		return status;
	}
	say(NULL, "acknowledged");
	/* a run that came again without its key would be taken for somebody else's agent: this one has done
	 * its work, whether the key is gone for good or not */
	if (!key_forget(&agent->state, &agent->complaint))
		say_about("warning: the key may be left behind: %s", agent->complaint.text);
	return AGENT_DONE;
}

static enum agent_exit agent_run(struct agent *agent)
{
	static enum agent_exit (*const steps[])(struct agent *) = { open_folders, open_http, read_metadata,
		keep_key, obtain_release, open_release, write_files, acknowledge };
	enum agent_exit status = AGENT_DONE;
	size_t i;

	for (i = 0; i < sizeof(steps) / sizeof(steps[0]) && status == AGENT_DONE; i++)
		status = steps[i](agent);
	if (status != AGENT_DONE)
		say_about("%s", agent->complaint.text);
	return status;
}

static void agent_clear(struct agent *agent)
{
	release_clear(&agent->release);
	answer_clear(&agent->answer);
	key_clear(&agent->key);
	http_close(agent->http);
	http_close(agent->imds_http);
	folder_close(&agent->out);
	folder_close(&agent->state);
}

int main(int argc, char *argv[])
{
	static struct agent agent = { .state.fd = -1, .out.fd = -1 };
	static const struct protection protection = { SECURE_HEAP, MEMORY_JSON_LOCKED };
	struct complaint unprotected;
	enum outcome protected = protect_process(&protection, &unprotected);
	enum agent_exit status;

	if (protected == FAULT) {
		say(NULL, unprotected.text);
		return AGENT_FAULT;
	}
	umask(077);
	signal(SIGPIPE, SIG_IGN);
	if (!arguments_parse(argc, argv, getenv("AWS_EC2_METADATA_SERVICE_ENDPOINT"), &agent.arguments,
		    &agent.complaint)) {
		say(NULL, agent.complaint.text);
		return AGENT_CONFIGURATION;
	}
	if (agent.arguments.help || agent.arguments.version) {
		agent.arguments.help ? arguments_help(stdout)
				     : (void)puts("vouchsafe-agent " VOUCHSAFE_VERSION);
		return fflush(stdout) == 0 ? AGENT_DONE : AGENT_FAULT;
	}
	/* an instance without its secrets is worse than one that has them in swap */
	if (protected == UNAVAILABLE)
		say_about("warning: %s", unprotected.text);
	status = agent_run(&agent);
	agent_clear(&agent);
	return status;
}
