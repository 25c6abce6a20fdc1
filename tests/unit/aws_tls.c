/* aws/http_curl.c over TLS, against `openssl s_server`: no certificate but the right one is good enough, and
 * the client's own goes to a server that asks for it. */
#include "aws/http.h"
#include "tests/unit/unit.h"

#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define SECOND 1000000000LL

struct place {
	char folder[64], certificate[96], key[96], locked_key[96];
	struct peer {
		pid_t process;
		FILE *output;
		unsigned port;
	} server, strict; /* the latter demands a client's certificate: it takes its own */
};

/* Runs openssl with its output in a pipe; it ends by itself after a minute, whatever becomes of us. */
static pid_t openssl_start(const char *const arguments[], FILE **output)
{
	int ends[2];
	pid_t child;

	assert_int_equal(pipe(ends), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		alarm(60);
		dup2(ends[1], 1);
		dup2(ends[1], 2);
		close(ends[0]);
		execvp("openssl", (char *const *)arguments);
		_exit(127);
	}
	close(ends[1]);
	*output = fdopen(ends[0], "r");
	assert_non_null(*output);
	return child;
}

static void openssl_run(const char *const arguments[])
{
	FILE *output;
	pid_t child = openssl_start(arguments, &output);
	int status;

	while (fgetc(output) != EOF)
		;
	fclose(output);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static void certificate_make(struct place *place)
{
	const char *const arguments[] = { "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
		"ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=localhost", "-addext",
		"subjectAltName=DNS:localhost", "-days", "2", "-keyout", place->key, "-out",
		place->certificate, NULL };
	const char *const lock[] = { "openssl", "pkey", "-in", place->key, "-aes256", "-passout", "pass:x",
		"-out", place->locked_key, NULL };

	openssl_run(arguments);
	openssl_run(lock);
}

static bool peer_start(struct peer *peer, const char *const arguments[])
{
	char line[256];

	peer->process = openssl_start(arguments, &peer->output);
	while (peer->port == 0 && fgets(line, sizeof(line), peer->output))
		sscanf(line, "ACCEPT %*[^:]:%u", &peer->port);
	return peer->port != 0;
}

static void peer_stop(struct peer *peer)
{
	kill(peer->process, SIGTERM);
	waitpid(peer->process, NULL, 0);
	fclose(peer->output);
}

static int place_open(void **state)
{
	struct place *place = calloc(1, sizeof(*place));
	const char *top = getenv("TMPDIR");
	const char *const arguments[] = { "openssl", "s_server", "-accept", "127.0.0.1:0", "-cert",
		place->certificate, "-key", place->key, "-www", NULL };
	const char *const strictly[] = { "openssl", "s_server", "-accept", "127.0.0.1:0", "-cert",
		place->certificate, "-key", place->key, "-www", "-Verify", "1", "-verify_return_error",
		"-CAfile", place->certificate, NULL };

	snprintf(place->folder, sizeof(place->folder), "%.40s/aws_tls.XXXXXX", top ? top : "/tmp");
	assert_non_null(mkdtemp(place->folder));
	snprintf(place->certificate, sizeof(place->certificate), "%s/server.pem", place->folder);
	snprintf(place->key, sizeof(place->key), "%s/server.key", place->folder);
	snprintf(place->locked_key, sizeof(place->locked_key), "%s/locked.key", place->folder);
	certificate_make(place);
	*state = place;
	return peer_start(&place->server, arguments) && peer_start(&place->strict, strictly) ? 0 : 1;
}

static int entry_remove(const char *path, const struct stat *status, int kind, struct FTW *where)
{
	(void)status;
	(void)kind;
	(void)where;
	return remove(path);
}

static int place_close(void **state)
{
	struct place *place = *state;

	peer_stop(&place->server);
	peer_stop(&place->strict);
	nftw(place->folder, entry_remove, 8, FTW_DEPTH | FTW_PHYS);
	free(place);
	return 0;
}

static enum http_result fetch_with(
	const struct http_options *options, const struct peer *peer, const char *host)
{
	struct http *http = http_open(options);
	struct http_request request = {
		.method = "GET", .deadline = monotonic_now() + 20 * SECOND, .answer_max = 100000
	};
	enum http_result result;
	char url[128];

	assert_non_null(http);
	snprintf(url, sizeof(url), "https://%s:%u/", host, peer->port);
	request.url = url;
	result = http_fetch(http, &request);
	assert_true(result != HTTP_ANSWERED || request.status == 200);
	http_forget(&request);
	http_close(http);
	return result;
}

static enum http_result fetch(const struct place *place, const char *ca_file, const char *host)
{
	const struct http_options options = { .ca_file = ca_file };

	return fetch_with(&options, &place->server, host);
}

static void right_certificate(void **state)
{
	const struct place *place = *state;

	assert_int_equal(fetch(place, place->certificate, "localhost"), HTTP_ANSWERED);
}

static void attack_24_wrong_name(void **state)
{
	const struct place *place = *state;

	assert_int_equal(fetch(place, place->certificate, "127.0.0.1"), HTTP_NO_CONNECT);
}

static void attack_24_unknown_issuer(void **state)
{
	const struct place *place = *state;

	assert_int_equal(fetch(place, NULL, "localhost"), HTTP_NO_CONNECT);
	setenv("SSL_CERT_FILE", place->certificate, 1);
	setenv("CURL_CA_BUNDLE", place->certificate, 1);
	assert_int_equal(fetch(place, NULL, "localhost"), HTTP_NO_CONNECT);
	unsetenv("SSL_CERT_FILE");
	unsetenv("CURL_CA_BUNDLE");
}

static void no_such_file(void **state)
{
	assert_int_equal(fetch(*state, "/nonexistent/ca.pem", "localhost"), HTTP_NO_CONNECT);
}

static void client_certificate(void **state)
{
	const struct place *place = *state;
	const struct http_options good = {
		.ca_file = place->certificate, .certificate_file = place->certificate, .key_file = place->key
	};
	struct http_options options = good;

	assert_int_equal(fetch_with(&good, &place->strict, "localhost"), HTTP_ANSWERED);
	assert_int_equal(fetch_with(&good, &place->server, "localhost"), HTTP_ANSWERED); /* nobody asks */
	options.certificate_file = options.key_file = NULL;
	assert_int_not_equal(fetch_with(&options, &place->strict, "localhost"), HTTP_ANSWERED);
	options = good;
	options.key_file = NULL;
	assert_int_equal(fetch_with(&options, &place->strict, "localhost"), HTTP_FAULT);
	options.key_file = place->locked_key;
	assert_int_equal(fetch_with(&options, &place->strict, "localhost"), HTTP_NO_CONNECT);
	options.key_file = "/nonexistent/client.key";
	assert_int_equal(fetch_with(&options, &place->strict, "localhost"), HTTP_NO_CONNECT);
	options = good;
	options.certificate_file = "/nonexistent/client.pem";
	assert_int_equal(fetch_with(&options, &place->strict, "localhost"), HTTP_NO_CONNECT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(right_certificate),
		cmocka_unit_test(attack_24_wrong_name),
		cmocka_unit_test(attack_24_unknown_issuer),
		cmocka_unit_test(no_such_file),
		cmocka_unit_test(client_certificate),
	};

	return cmocka_run_group_tests(tests, place_open, place_close);
}
