/* aws-sim: a simulated AWS on the loopback, for tests and the demo: EC2's, IAM's and STS's Query APIs with
 * verified signatures, the instance metadata service with credentials and signed identity documents, a
 * container's credentials endpoint, and a control API. It never listens beyond 127.0.0.1 and holds
 * nothing worth stealing.
 *
 *   aws-sim [--port N] [--imds-port N] [--state FILE] [--clock-skew ok] [--until-eof]
 *
 * Ports are 0 (any) unless given. --state keeps the cloud in a file: read at the start, written within a
 * second of a change and at the end. Faults and counters are not kept. When all is ready one line of JSON
 * goes to standard output. */
#include "tests/aws-sim/sim.h"

#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum { EXIT_USAGE = 64, SAVE_EVERY_MS = 1000 };

struct options {
	uint16_t port, imds_port;
	const char *state_file; /* NULL: none */
	bool any_clock, until_eof;
};

static bool port_read(const char *text, uint16_t *port)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	*port = (uint16_t)value;
	return *text && strspn(text, "0123456789") == strlen(text) && !*end && value <= UINT16_MAX;
}

static bool options_read(int argc, char **argv, struct options *options)
{
	static const struct option known[] = { { "port", required_argument, NULL, 'p' },
		{ "imds-port", required_argument, NULL, 'i' }, { "state", required_argument, NULL, 's' },
		{ "clock-skew", required_argument, NULL, 'c' }, { "until-eof", no_argument, NULL, 'e' },
		{ 0 } };
	bool good = true;
	int option;

	while (good && (option = getopt_long(argc, argv, "", known, NULL)) != -1) {
		switch (option) {
		case 'p':
			good = port_read(optarg, &options->port);
			break;
		case 'i':
			good = port_read(optarg, &options->imds_port);
			break;
		case 's':
			options->state_file = optarg;
			break;
		case 'c':
			good = options->any_clock = !strcmp(optarg, "ok");
			break;
		case 'e':
			options->until_eof = true;
			break;
		default:
			good = false;
		}
	}
	return good && optind == argc;
}

/* Signals come through a descriptor; this is before any thread is there. -1: errno says why. */
static int signals_open(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	if (pthread_sigmask(SIG_BLOCK, &set, NULL) || signal(SIGPIPE, SIG_IGN) == SIG_ERR)
		return -1;
	return signalfd(-1, &set, SFD_CLOEXEC);
}

/* False: the state could not be written. */
static bool state_keep(struct sim *sim, const char *file)
{
	bool kept = true;

	if (!file)
		return true;
	pthread_mutex_lock(&sim->lock);
	if (state_take_changed(sim->state))
		kept = state_save(sim->state, file);
	pthread_mutex_unlock(&sim->lock);
	if (!kept)
		fprintf(stderr, "aws-sim: %s: %s\n", file, strerror(errno));
	return kept;
}

/* Standard input is read and thrown away; its end is the end. */
static bool input_ended(const struct pollfd *input)
{
	char thrown_away[256];

	return input->revents && read(input->fd, thrown_away, sizeof thrown_away) <= 0;
}

/* Until a signal, or the end of standard input where that counts. */
static bool wait_for_end(struct sim *sim, int signals, const struct options *options)
{
	struct pollfd fds[] = { { .fd = signals, .events = POLLIN },
		{ .fd = options->until_eof ? STDIN_FILENO : -1, .events = POLLIN } };

	do {
		if (!state_keep(sim, options->state_file))
			return false;
		if (poll(fds, 2, options->state_file ? SAVE_EVERY_MS : -1) < 0 && errno != EINTR)
			return false;
	} while (!fds[0].revents && !input_ended(&fds[1]));
	return true;
}

static bool sim_init(struct sim *sim, const struct options *options)
{
	struct refusal refusal = REFUSAL_OUT_OF_MEMORY;

	pthread_mutex_init(&sim->lock, NULL);
	sim->any_clock = options->any_clock;
	sim->counters = json_object();
	sim->last = json_object();
	sim->state = state_new();
	if (sim->counters && sim->last && sim->state &&
		(!options->state_file || state_load(sim->state, options->state_file, &refusal)))
		return true;
	fprintf(stderr, "aws-sim: %s\n", refusal.text);
	return false;
}

static void sim_clear(struct sim *sim)
{
	state_free(sim->state);
	json_decref(sim->counters);
	json_decref(sim->last);
	pthread_mutex_destroy(&sim->lock);
}

static bool serve(struct sim *sim, int signals, const struct options *options)
{
	struct listener *imds = NULL, *api = listener_open(options->port, api_route, sim);
	bool ended = false;

	if (api)
		imds = listener_open(options->imds_port, metadata_route, sim);
	if (!imds) {
		fprintf(stderr, "aws-sim: cannot listen: %s\n", strerror(errno));
		goto out;
	}
	printf("{\"port\": %u, \"imds_port\": %u, \"pid\": %ld}\n", listener_port(api), listener_port(imds),
		(long)getpid());
	if (fflush(stdout)) {
		perror("aws-sim: standard output");
		goto out;
	}
	ended = wait_for_end(sim, signals, options);
out:
	listener_close(imds);
	listener_close(api);
	return ended && state_keep(sim, options->state_file);
}

int main(int argc, char **argv)
{
	static struct sim sim;
	struct options options = { 0 };
	int signals;
	bool good;

	if (!options_read(argc, argv, &options)) {
		fputs("usage: aws-sim [--port N] [--imds-port N] [--state FILE] [--clock-skew ok] "
		      "[--until-eof]\n",
			stderr);
		return EXIT_USAGE;
	}
	signals = signals_open();
	if (signals < 0) {
		perror("aws-sim");
		return EXIT_FAILURE;
	}
	good = sim_init(&sim, &options) && serve(&sim, signals, &options);
	sim_clear(&sim);
	close(signals);
	return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
