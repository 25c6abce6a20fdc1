/* A load generator: agents that ask for their releases, each from an address of its own, on one thread.
 *
 *   load --port N --bodies FILE [--clients N] [--tls] [--fresh] [--ramp SECONDS] [--seconds N]
 *
 * FILE has a line for each agent: its address, a blank, the body. Client c of n is the agents c, c + n, c +
 * 2n,
 * ... one after the other, and keeps its connection while the address is the same, unless --fresh. Without
 * --clients there are as many as agents: all at once, a storm. With --ramp they begin one after the other
 * within that time. An agent waits as vouchsafe-agent does (agent/pace.h): not less than Retry-After, and
 * jitter. It is served by 200; 429, 5xx and a lost connection are tried again; everything else is final.
 *
 * Lines of JSON on standard output: {"sent": N} once each agent has sent its first request whole, and in the
 * end the summary. Must not be what is measured: `cpu` is the share of a core that it used itself, in all and
 * in its busiest second, and `warning` says where that was more than 70 %. */
#include "bench/load.h"
#include "agent/pace.h"
#include "aws/http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

enum { EVENTS = 512 };
static const long long second = 1000000000;

static double cpu_used(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
	       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

/* ---- clients */

static void client_wait(struct load *load, struct client *client, unsigned failed, long retry_after)
{
	long long now = monotonic_now();

	client->due = now + pace_delay(failed, retry_after, pace_real.random(NULL));
	if (client->due < load->next_due)
		load->next_due = client->due;
}

static void client_events(struct load *load, struct client *client);

static void client_try(struct load *load, struct client *client)
{
	struct agent *agent = &load->agents[client->agent];

	client->due = 0;
	if (!agent->began)
		agent->began = monotonic_now();
	agent->tries++;
	load->tries++;
	load->connections += client->exchange.fd < 0;
	if (exchange_begin(
		    &client->exchange, &load->server, agent->source, agent->request, agent->length, client)) {
		client_events(load, client);
		return;
	}
	load->lost++;
	client_wait(load, client, agent->tries, -1);
}

static void client_next(struct load *load, struct client *client)
{
	size_t next = client->agent + load->n_clients;

	load->agents[client->agent].over = true;
	load->n_over++;
	if (next >= load->n_agents || load->fresh ||
		load->agents[next].source.s_addr != load->agents[client->agent].source.s_addr)
		exchange_end(&client->exchange);
	client->agent = next;
	if (next < load->n_agents)
		client->due = load->next_due =
			1; /* from the loop: calls must not nest as deep as there are agents */
}

static bool worth_a_retry(int status)
{
	return status == 429 || status >= 500;
}

static void client_answered(struct load *load, struct client *client)
{
	struct exchange *exchange = &client->exchange;
	struct agent *agent = &load->agents[client->agent];
	int status = exchange->status > 0 && exchange->status < STATUS_MAX ? exchange->status : 0;

	load->statuses[status]++;
	load->without_retry_after += status == 503 && exchange->retry_after < 0;
	if (status == 200)
		agent->served = monotonic_now();
	if (!worth_a_retry(status)) {
		client_next(load, client);
		return;
	}
	if (load->fresh)
		exchange_end(exchange);
	client_wait(load, client, agent->tries, exchange->retry_after);
}

static void client_events(struct load *load, struct client *client)
{
	struct exchange *exchange = &client->exchange;
	struct agent *agent = &load->agents[client->agent];
	enum exchange_end end;

	if (client->agent >= load->n_agents || (client->due && exchange->fd < 0))
		return;
	if (client->due) { /* nobody was asked: the server closes what was kept */
		char byte;

		if (!exchange->ssl && recv(exchange->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0)
			return;
		exchange_end(exchange);
		return;
	}
	end = exchange_step(exchange);
	if (!agent->sent && (exchange->state == EXCHANGE_RECEIVING || end == EXCHANGE_ANSWERED)) {
		agent->sent = true;
		if (++load->n_sent == load->n_agents) {
			printf("{\"sent\": %zu}\n", load->n_sent);
			fflush(stdout);
		}
	}
	if (end == EXCHANGE_ANSWERED) {
		client_answered(load, client);
	} else if (end == EXCHANGE_FAILED) {
		load->lost++;
		client_wait(load, client, agent->tries, -1);
	}
}

/* ---- the loop */

static void due_start(struct load *load)
{
	long long now = monotonic_now();

	if (now < load->next_due)
		return;
	load->next_due = load->deadline;
	for (size_t i = 0; i < load->n_clients; i++) {
		struct client *client = &load->clients[i];

		if (client->due && client->due <= now)
			client_try(load, client);
		else if (client->due && client->due < load->next_due)
			load->next_due = client->due;
	}
}

static void peak_keep(struct load *load)
{
	long long now = monotonic_now();
	double cpu, share;

	if (now - load->peak_at < second)
		return;
	cpu = cpu_used();
	share = (cpu - load->peak_cpu) / ((double)(now - load->peak_at) / 1e9);
	if (share > load->cpu_peak)
		load->cpu_peak = share;
	load->peak_at = now;
	load->peak_cpu = cpu;
}

static int wait_ms(const struct load *load)
{
	long long left = (load->next_due - monotonic_now()) / 1000000 + 1;

	return left < 0 ? 0 : left > 1000 ? 1000 : (int)left;
}

static void run(struct load *load)
{
	struct epoll_event events[EVENTS];
	long long began = monotonic_now();

	load->next_due = 0;
	for (size_t i = 0; i < load->n_clients; i++)
		load->clients[i].due =
			load->ramp ? began + load->ramp * (long long)i / (long long)load->n_clients : 1;
	while (load->n_over < load->n_agents && monotonic_now() < load->deadline) {
		int n;

		due_start(load);
		n = epoll_wait(load->server.epoll, events, EVENTS, wait_ms(load));
		for (int i = 0; i < n; i++)
			client_events(load, events[i].data.ptr);
		peak_keep(load);
	}
}

/* ---- setting up */

/* A line: address, blank, body. */
static bool agent_read(struct agent *agent, char *line, size_t length)
{
	char *body = memchr(line, ' ', length);
	int size;

	if (!body)
		return false;
	*body++ = '\0';
	length -= (size_t)(body - line);
	size = asprintf(&agent->request,
		"POST /v1/releases HTTP/1.1\r\nHost: vouchsafe\r\nContent-Type: "
		"application/json\r\nContent-Length: "
		"%zu\r\n\r\n%.*s",
		length, (int)length, body);
	agent->length = (size_t)size;
	return size > 0 && inet_pton(AF_INET, line, &agent->source) == 1;
}

static bool agents_read(struct load *load, const char *path)
{
	FILE *file = fopen(path, "re");
	char *line = NULL;
	size_t size = 0, room = 0;
	ssize_t length;
	bool good = file != NULL;

	while (good && (length = getline(&line, &size, file)) > 1) {
		if (load->n_agents == room) {
			struct agent *more = realloc(load->agents, (room + 4096) * sizeof *more);

			if (!more)
				break;
			load->agents = more;
			room += 4096;
		}
		load->agents[load->n_agents] = (struct agent){ 0 };
		good = agent_read(&load->agents[load->n_agents++], line, (size_t)length - 1);
	}
	good = good && load->n_agents > 0 && feof(file);
	free(line);
	if (file)
		fclose(file);
	return good;
}

static bool clients_make(struct load *load)
{
	if (!load->n_clients || load->n_clients > load->n_agents)
		load->n_clients = load->n_agents;
	load->clients = calloc(load->n_clients, sizeof *load->clients);
	for (size_t i = 0; load->clients && i < load->n_clients; i++)
		load->clients[i] = (struct client){ .exchange.fd = -1, .agent = i };
	return load->clients != NULL;
}

static bool server_reach(struct load *load, bool tls)
{
	struct rlimit limit;

	if (!getrlimit(RLIMIT_NOFILE, &limit)) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
	load->server.address.sin_family = AF_INET;
	load->server.address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	load->server.epoll = epoll_create1(EPOLL_CLOEXEC);
	if (!tls)
		return load->server.epoll >= 0;
	/* whom it speaks to is not the question here, and no session is taken up again: each pays for all */
	load->server.tls = SSL_CTX_new(TLS_client_method());
	if (!load->server.tls)
		return false;
	SSL_CTX_set_verify(load->server.tls, SSL_VERIFY_NONE, NULL);
	SSL_CTX_set_session_cache_mode(load->server.tls, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_mode(load->server.tls, SSL_MODE_RELEASE_BUFFERS);
	return load->server.epoll >= 0;
}

struct options {
	const char *bodies;
	unsigned long port, clients, seconds;
	bool tls;
};

static bool options_read(int argc, char **argv, struct options *options, struct load *load)
{
	static const struct option known[] = { { "port", required_argument, NULL, 'p' },
		{ "bodies", required_argument, NULL, 'b' }, { "clients", required_argument, NULL, 'c' },
		{ "seconds", required_argument, NULL, 's' }, { "ramp", required_argument, NULL, 'r' },
		{ "tls", no_argument, NULL, 't' }, { "fresh", no_argument, NULL, 'f' }, { 0 } };
	int option;

	while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
		if (option == 'p')
			options->port = strtoul(optarg, NULL, 10);
		else if (option == 'b')
			options->bodies = optarg;
		else if (option == 'c')
			options->clients = strtoul(optarg, NULL, 10);
		else if (option == 's')
			options->seconds = strtoul(optarg, NULL, 10);
		else if (option == 'r')
			load->ramp = (long long)strtoul(optarg, NULL, 10) * second;
		else if (option == 't')
			options->tls = true;
		else if (option == 'f')
			load->fresh = true;
		else
			return false;
	}
	return optind == argc && options->bodies && options->port > 0 && options->port <= 65535;
}

static void load_clear(struct load *load)
{
	for (size_t i = 0; load->clients && i < load->n_clients; i++)
		exchange_end(&load->clients[i].exchange);
	for (size_t i = 0; i < load->n_agents; i++)
		free(load->agents[i].request);
	free(load->clients);
	free(load->agents);
	SSL_CTX_free(load->server.tls);
	close(load->server.epoll);
}

int main(int argc, char **argv)
{
	static struct load load = { .server.epoll = -1 };
	struct options options = { .seconds = 120 };
	long long began;
	double cpu;
	bool good;

	if (!options_read(argc, argv, &options, &load)) {
		fputs("usage: load --port N --bodies FILE [--clients N] [--tls] [--fresh] [--ramp N] "
		      "[--seconds N]\n",
			stderr);
		return 64;
	}
	signal(SIGPIPE, SIG_IGN); /* OpenSSL writes to connections that the server has left */
	load.n_clients = options.clients;
	load.server.address.sin_port = htons((uint16_t)options.port);
	if (!agents_read(&load, options.bodies) || !clients_make(&load) ||
		!server_reach(&load, options.tls)) {
		fprintf(stderr, "load: %s: cannot begin: %s\n", options.bodies, strerror(errno));
		return EXIT_FAILURE;
	}
	began = load.peak_at = monotonic_now();
	cpu = load.peak_cpu = cpu_used();
	load.deadline = began + (long long)options.seconds * second;
	run(&load);
	good = load_summary(&load, (double)(monotonic_now() - began) / 1e9, cpu_used() - cpu);
	load_clear(&load);
	return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
