/* The command line: one table of options, each with its own check. Never takes a secret: every value here is
 * visible to all users of the machine. */
#include "agent/arguments.h"

#include "verifier/assertion.h"
#include "verifier/encoding.h"

#include <limits.h>
#include <string.h>

static bool take_server(const char *value, struct arguments *arguments, struct complaint *complaint)
{
	return url_of_server(value, arguments->server, complaint);
}

static bool take_role(const char *value, struct arguments *arguments, struct complaint *complaint)
{
	arguments->role = value;
	return role_valid(value) ||
	       complain(complaint, "--role: not a role's name; write the name alone, not the ARN");
}

static bool take_path(const char *option, const char *value, const char **path, struct complaint *complaint)
{
	*path = value;
	return (value[0] != '\0' && strlen(value) < PATH_MAX) ||
	       complain(complaint, "%s: not a path; write a folder or file, at most %d characters", option,
		       PATH_MAX - 1);
}

static bool take_out(const char *value, struct arguments *arguments, struct complaint *complaint)
{
	return take_path("--out", value, &arguments->out, complaint);
}

static bool take_ca(const char *value, struct arguments *arguments, struct complaint *complaint)
{
	return take_path("--ca", value, &arguments->ca, complaint);
}

static bool take_state(const char *value, struct arguments *arguments, struct complaint *complaint)
{
	return take_path("--state", value, &arguments->state, complaint);
}

static bool take_source(const char *value, struct arguments *arguments, struct complaint *complaint)
{
	struct in_addr address;

	arguments->source = value;
	return address_decode(value, &address) ||
	       complain(complaint, "--source: not an IPv4 address; write one of this machine, as 10.0.1.225");
}

static bool take_deadline(const char *value, struct arguments *arguments, struct complaint *complaint)
{
	long long milliseconds;

	if (!duration_decode(value, &milliseconds) || milliseconds < 1000 || milliseconds > 24 * 3600000LL)
		return complain(complaint,
			"--deadline: not between 1s and 24h; write a number and ms, s, m or h, as 5m");
	arguments->deadline = milliseconds * 1000000;
	return true;
}

static const struct option {
	const char *name, *value;
	bool needed;
	bool (*take)(const char *value, struct arguments *, struct complaint *);
	const char *help;
} options[] = {
	{ "--server", "URL", true, take_server,
		"the vouchsafe server: https, or plain http to loopback only" },
	{ "--role", "NAME", true, take_role, "the IAM role of this instance's profile" },
	{ "--out", "DIR", true, take_out, "where the secrets go, a file for each, mode 0400" },
	{ "--ca", "FILE", false, take_ca,
		"PEM of the roots to trust for the server (default: the system's)" },
	{ "--state", "DIR", false, take_state, "keeps the key until acknowledged (default: /run/vouchsafe)" },
	{ "--source", "ADDRESS", false, take_source, "call from this local address" },
	{ "--deadline", "TIME", false, take_deadline, "give up after this long (default: 5m)" },
};

enum { OPTIONS = sizeof(options) / sizeof(options[0]) };

/* The option that `argument` names, as "--role" or "--role=..."; OPTIONS where there is none. */
static size_t option_find(const char *argument)
{
	size_t length = strcspn(argument, "=");
	size_t i = 0;

	while (i < OPTIONS &&
		(strlen(options[i].name) != length || memcmp(options[i].name, argument, length) != 0))
		i++;
	return i;
}

static bool needed_given(const bool given[OPTIONS], struct complaint *complaint)
{
	size_t i;

	for (i = 0; i < OPTIONS; i++) {
		if (options[i].needed && !given[i])
			return complain(complaint, "%s %s is missing; see vouchsafe-agent --help",
				options[i].name, options[i].value);
	}
	return true;
}

static bool word_only(int argc, char *const argv[], const char *word)
{
	return argc == 2 && strcmp(argv[1], word) == 0;
}

static bool options_take(
	int argc, char *const argv[], struct arguments *arguments, struct complaint *complaint)
{
	bool given[OPTIONS] = { false };
	int i;

	for (i = 1; i < argc; i++) {
		size_t which = option_find(argv[i]);
		const char *value = strchr(argv[i], '=');

		if (which == OPTIONS)
			return complain(complaint,
				"argument %d is no option of this program; see vouchsafe-agent --help", i);
		if (given[which])
			return complain(complaint, "%s is given twice; give it once", options[which].name);
		given[which] = true;
		value = value ? value + 1 : argv[++i];
		if (!value)
			return complain(complaint, "%s: its %s is missing", options[which].name,
				options[which].value);
		if (!options[which].take(value, arguments, complaint))
			return false;
	}
	return needed_given(given, complaint);
}

bool arguments_parse(int argc, char *const argv[], const char *endpoint, struct arguments *arguments,
	struct complaint *complaint)
{
	memset(arguments, 0, sizeof(*arguments));
	arguments->state = "/run/vouchsafe";
	arguments->deadline = 300LL * 1000000000;
	arguments->help = word_only(argc, argv, "--help");
	arguments->version = word_only(argc, argv, "--version");
	if (arguments->help || arguments->version)
		return true;
	if (!url_of_metadata(endpoint && *endpoint ? endpoint : "http://169.254.169.254", arguments->metadata,
		    complaint))
		return false;
	return options_take(argc, argv, arguments, complaint);
}

void arguments_help(FILE *stream)
{
	size_t i;

	fputs("vouchsafe-agent: proves what this instance is, and writes the secrets that it may have.\n\n"
	      "  vouchsafe-agent --server URL --role NAME --out DIR [options]\n\n",
		stream);
	for (i = 0; i < OPTIONS; i++)
		fprintf(stream, "  %-10s %-8s %s\n", options[i].name, options[i].value, options[i].help);
	fputs("  --help, --version\n\n"
	      "AWS_EC2_METADATA_SERVICE_ENDPOINT moves the instance metadata service "
	      "(http://169.254.169.254).\n\n"
	      "Exit status:\n"
	      "  0   done: files written and acknowledged\n"
	      "  69  no instance metadata service\n"
	      "  70  out of memory, or a bug\n"
	      "  75  gave up for now: run again, the same key collects the same release\n"
	      "  76  protocol: an answer that no true server of this version gives (an impostor, another "
	      "version)\n"
	      "  77  denied, or another key has had this instance's release\n"
	      "  78  configuration: arguments, folders, or another role than --role on this instance\n",
		stream);
}
