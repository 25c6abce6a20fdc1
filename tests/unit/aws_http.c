/* aws/http_curl.c against a small server: every result, and what it must never do. */
#include "aws/http.h"
#include "tests/unit/aws_fake.h"
#include "tests/unit/unit.h"
#include "verifier/encoding.h"

#include <dirent.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#define SECOND 1000000000LL

/* ---- the server's side */

struct script {
	struct fake_reply replies[4]; /* for the first, second, ... request; the last one repeats */
	unsigned n_replies, n_requests;
	char head[8192], body[8192]; /* of the last request */
	struct in_addr peer;
	unsigned connection;
};

static void script_answer(struct fake *fake, const struct fake_request *request, struct fake_reply *reply)
{
	struct script *script = fake->context;
	unsigned i = script->n_requests++;

	snprintf(script->head, sizeof(script->head), "%s", request->head);
	snprintf(script->body, sizeof(script->body), "%s", request->body);
	script->peer = request->peer;
	script->connection = request->connection;
	*reply = script->replies[i < script->n_replies ? i : script->n_replies - 1];
}

struct world {
	struct fake fake;
	struct script script;
	struct http *http;
};

static struct world *world_open(const struct fake_reply *replies, unsigned n_replies)
{
	const struct http_options options = { .user_agent = "tests", .connections = 4 };
	struct world *world = calloc(1, sizeof(*world));

	assert_non_null(world);
	memcpy(world->script.replies, replies, n_replies * sizeof(*replies));
	world->script.n_replies = n_replies;
	fake_open(&world->fake, script_answer, &world->script);
	world->http = http_open(&options);
	assert_non_null(world->http);
	return world;
}

static void world_close(struct world *world)
{
	http_close(world->http);
	fake_close(&world->fake);
	free(world);
}

static struct http_request get(const struct world *world)
{
	return (struct http_request){
		.method = "GET",
		.url = world->fake.url,
		.deadline = monotonic_now() + 20 * SECOND,
		.answer_max = 1000,
	};
}

static bool head_has(const struct world *world, const char *line)
{
	char wanted[1024];

	snprintf(wanted, sizeof(wanted), "\r\n%s\r\n", line);
	return strstr(world->script.head, wanted) != NULL;
}

/* ---- answers */

static void answered(void **state)
{
	const struct fake_reply reply = {
		.status = 404, .body = "hello", .headers = "Content-Type: text/x\r\n"
	};
	const char *const headers[] = { "X-Test: one two", "Accept: application/json", NULL };
	struct world *world = world_open(&reply, 1);
	struct http_request request = get(world);

	(void)state;
	request.headers = headers;
	assert_int_equal(http_fetch(world->http, &request), HTTP_ANSWERED);
	assert_int_equal(request.status, 404);
	assert_int_equal(request.answer.length, 5);
	assert_memory_equal(request.answer.data, "hello", 5);
	assert_string_equal(request.content_type, "text/x");
	assert_int_equal(request.retry_after, -1);
	http_forget(&request);
	assert_null(request.answer.data);
	assert_memory_equal(world->script.head, "GET / HTTP/1.1\r\n", 16);
	assert_true(head_has(world, "X-Test: one two"));
	assert_true(head_has(world, "User-Agent: tests"));
	assert_true(head_has(world, "Accept: application/json"));
	world_close(world);
}

static void put_and_post(void **state)
{
	const struct fake_reply reply = { .body = "ok" };
	const char *const headers[] = { "Content-Type: application/json", NULL };
	struct world *world = world_open(&reply, 1);
	struct http_request request = get(world);

	(void)state;
	request.method = "PUT";
	assert_int_equal(http_fetch(world->http, &request), HTTP_ANSWERED);
	http_forget(&request);
	assert_memory_equal(world->script.head, "PUT / HTTP/1.1\r\n", 16);
	assert_true(head_has(world, "Content-Length: 0"));
	assert_null(strcasestr(world->script.head, "Content-Type"));

	request.method = "POST";
	request.headers = headers;
	request.body = (struct bytes){ (const unsigned char *)"{\"a\": 1}", 8 };
	assert_int_equal(http_fetch(world->http, &request), HTTP_ANSWERED);
	http_forget(&request);
	assert_memory_equal(world->script.head, "POST / HTTP/1.1\r\n", 17);
	assert_string_equal(world->script.body, "{\"a\": 1}");
	assert_true(head_has(world, "Content-Type: application/json"));
	assert_null(strcasestr(world->script.head, "Expect"));
	world_close(world);
}

static void kept_alive(void **state)
{
	const struct fake_reply reply = { .body = "ok" };
	struct world *world = world_open(&reply, 1);
	struct http_request request = get(world);

	(void)state;
	for (int i = 0; i < 3; i++) {
		assert_int_equal(http_fetch(world->http, &request), HTTP_ANSWERED);
		http_forget(&request);
	}
	assert_int_equal(world->fake.connections, 1);
	request.fresh_connection = true;
	assert_int_equal(http_fetch(world->http, &request), HTTP_ANSWERED);
	http_forget(&request);
	assert_int_equal(world->fake.connections, 2);
	request.fresh_connection = false;
	assert_int_equal(http_fetch(world->http, &request), HTTP_ANSWERED);
	http_forget(&request);
	assert_int_equal(world->script.connection, 1);
	world_close(world);
}

/* An agent on a simulated instance calls from its own address. */
static void source_address(void **state)
{
	const struct fake_reply reply = { .body = "ok" };
	struct world *world = world_open(&reply, 1);
	struct http_request request = get(world);

	(void)state;
	request.source = "127.0.0.77";
	assert_int_equal(http_fetch(world->http, &request), HTTP_ANSWERED);
	http_forget(&request);
	assert_string_equal(inet_ntoa(world->script.peer), "127.0.0.77");
	request.source = "192.0.2.1";
	assert_int_equal(http_fetch(world->http, &request), HTTP_NO_CONNECT);
	request.source = "127.0.0.77\n";
	assert_int_equal(http_fetch(world->http, &request), HTTP_FAULT);
	world_close(world);
}

/* A connection from one source address must not serve a request from another. */
static void source_address_not_mixed(void **state)
{
	const struct fake_reply reply = { .body = "ok" };
	struct world *world = world_open(&reply, 1);
	struct http_request request = get(world);
	static const char *const sources[] = { "127.0.0.5", "127.0.0.6", "127.0.0.1", "127.0.0.5" };
	static const char *const seen[] = { "127.0.0.5", "127.0.0.6", "127.0.0.1", "127.0.0.5" };

	(void)state;
	for (int i = 0; i < 4; i++) {
		request.source = sources[i];
		assert_int_equal(http_fetch(world->http, &request), HTTP_ANSWERED);
		http_forget(&request);
		assert_string_equal(inet_ntoa(world->script.peer), seen[i]);
	}
	world_close(world);
}

static void retry_after(void **state)
{
	static const struct {
		const char *header;
		long seconds;
	} cases[] = { { "Retry-After: 5\r\n", 5 }, { "retry-after: 0\r\n", 0 }, { "Retry-After: -1\r\n", -1 },
		{ "Retry-After: 99999999999\r\n", 86400 }, { "Retry-After: 90000\r\n", 86400 },
		{ "Retry-After: Wed, 21 Oct 2015 07:28:00 GMT\r\n", -1 }, { "Retry-After: 1.5\r\n", -1 },
		{ "Retry-After:\r\n", -1 }, { "", -1 } };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct fake_reply reply = { .status = 503, .headers = cases[i].header };
		struct world *world = world_open(&reply, 1);
		struct http_request request = get(world);

		assert_int_equal(http_fetch(world->http, &request), HTTP_ANSWERED);
		assert_int_equal(request.status, 503);
		assert_int_equal(request.retry_after, cases[i].seconds);
		http_forget(&request);
		world_close(world);
	}
}

/* ---- no answer */

static void fetch_fails(const struct fake_reply *reply, enum http_result result)
{
	struct world *world = world_open(reply, 1);
	struct http_request request = get(world);

	if (reply->hold)
		request.deadline = monotonic_now() + SECOND / 5;
	assert_int_equal(http_fetch(world->http, &request), result);
	assert_null(request.answer.data);
	assert_string_not_equal(request.error, "");
	assert_int_equal(world->fake.requests, 1);
	world_close(world);
}

static void cut_short(void **state)
{
	const struct fake_reply body = { .body = "hello", .cut = 3 };
	const struct fake_reply chunk = { .body = "hello", .cut = 3, .chunked = true };
	const struct fake_reply dropped = { .drop = true };
	const struct fake_reply reset = { .reset = true };

	(void)state;
	fetch_fails(&body, HTTP_CUT);
	fetch_fails(&chunk, HTTP_CUT);
	fetch_fails(&dropped, HTTP_CUT);
	fetch_fails(&reset, HTTP_CUT);
}

static void too_large(void **state)
{
	static char text[2002];
	struct fake_reply reply = { .body = text };

	(void)state;
	memset(text, 'x', 1001);
	fetch_fails(&reply, HTTP_TOO_LARGE);
	reply.chunked = true;
	fetch_fails(&reply, HTTP_TOO_LARGE);
}

static void too_slow(void **state)
{
	const struct fake_reply reply = { .hold = true };

	(void)state;
	fetch_fails(&reply, HTTP_TIMED_OUT);
}

/* libcurl would send again by itself when a kept connection dies under it. */
static void never_twice(void **state)
{
	const struct fake_reply replies[] = { { .body = "ok" }, { .drop = true } };
	struct world *world = world_open(replies, 2);
	struct http_request request = get(world);

	(void)state;
	assert_int_equal(http_fetch(world->http, &request), HTTP_ANSWERED);
	http_forget(&request);
	request.method = "POST";
	request.body = (struct bytes){ (const unsigned char *)"x", 1 };
	assert_int_equal(http_fetch(world->http, &request), HTTP_CUT);
	assert_int_equal(world->fake.requests, 2);
	world_close(world);
}

static void not_reached(void **state)
{
	const struct fake_reply reply = { .body = "ok" };
	struct world *world = world_open(&reply, 1);
	struct http_request request = get(world);
	char url[64];

	(void)state;
	/* it speaks no TLS */
	snprintf(url, sizeof(url), "https://127.0.0.1:%u/", world->fake.port);
	request.url = url;
	assert_int_equal(http_fetch(world->http, &request), HTTP_NO_CONNECT);
	assert_int_equal(world->fake.requests, 0);
	request.url = world->fake.url;
	request.deadline = monotonic_now();
	assert_int_equal(http_fetch(world->http, &request), HTTP_TIMED_OUT);
	/* nobody listens at a port that was just closed */
	snprintf(url, sizeof(url), "%s", world->fake.url);
	fake_close(&world->fake);
	request.url = url;
	request.deadline = monotonic_now() + 20 * SECOND;
	assert_int_equal(http_fetch(world->http, &request), HTTP_NO_CONNECT);
	http_close(world->http);
	free(world);
}

static void attack_24_redirects_and_proxies_ignored(void **state)
{
	const struct fake_reply ok = { .body = "sink" };
	struct world *sink = world_open(&ok, 1);
	char headers[128];
	struct fake_reply redirect = { .status = 302, .headers = headers };
	struct world *world;
	struct http_request request;

	(void)state;
	snprintf(headers, sizeof(headers), "Location: %s/\r\n", sink->fake.url);
	setenv("http_proxy", sink->fake.url, 1);
	setenv("HTTP_PROXY", sink->fake.url, 1);
	setenv("ALL_PROXY", sink->fake.url, 1);
	world = world_open(&redirect, 1);
	request = get(world);
	assert_int_equal(http_fetch(world->http, &request), HTTP_ANSWERED);
	assert_int_equal(request.status, 302);
	http_forget(&request);
	assert_int_equal(sink->fake.connections, 0);
	unsetenv("http_proxy");
	unsetenv("HTTP_PROXY");
	unsetenv("ALL_PROXY");
	world_close(world);
	world_close(sink);
}

/* ---- what cannot be formed */

static void headers_refused(void **state)
{
	static const char *const bad[] = { "X: a\r\nY: b", "X: a\n", "X: \x01", "X:", "X: ", "X;", "X :a",
		": a", "X", "X: \x7f", "A b: c", "" };
	const struct fake_reply reply = { .body = "ok" };
	struct world *world = world_open(&reply, 1);

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		const char *const headers[] = { bad[i], NULL };
		struct http_request request = get(world);

		request.headers = headers;
		assert_int_equal(http_fetch(world->http, &request), HTTP_FAULT);
	}
	assert_int_equal(world->fake.connections, 0);
	world_close(world);
}

static void requests_refused(void **state)
{
	static const char *const urls[] = { "file:///etc/passwd", "ftp://127.0.0.1/", "gopher://127.0.0.1/",
		"127.0.0.1", "http://127.0.0.1/\r\nX: y", "http://127.0.0.1/ x", "http://u:p@127.0.0.1/",
		"" };
	const struct fake_reply reply = { .body = "ok" };
	struct world *world = world_open(&reply, 1);
	struct http_request request;

	(void)state;
	for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
		request = get(world);
		request.url = urls[i];
		assert_int_not_equal(http_fetch(world->http, &request), HTTP_ANSWERED);
	}
	request = get(world);
	request.method = "DELETE";
	assert_int_equal(http_fetch(world->http, &request), HTTP_FAULT);
	request.method = "GET";
	request.body = (struct bytes){ (const unsigned char *)"x", 1 };
	assert_int_equal(http_fetch(world->http, &request), HTTP_FAULT);
	assert_int_equal(world->fake.connections, 0);
	world_close(world);
}

/* ---- signatures */

static void hmac(const unsigned char *key, size_t key_length, const char *text, unsigned char out[32])
{
	unsigned int length = 32;

	assert_non_null(HMAC(
		EVP_sha256(), key, (int)key_length, (const unsigned char *)text, strlen(text), out, &length));
}

static void sha256_hex(const char *text, char hex[65])
{
	unsigned char hash[32];
	unsigned int length;

	assert_int_equal(EVP_Digest(text, strlen(text), hash, &length, EVP_sha256(), NULL), 1);
	hex_encode((struct bytes){ hash, 32 }, hex);
}

/* The value of a header of the last request, spelled as libcurl spells it. */
static void head_value(const struct world *world, const char *name, char *value, size_t size)
{
	char wanted[64];
	const char *at;

	snprintf(wanted, sizeof(wanted), "\r\n%s:", name);
	at = strcasestr(world->script.head, wanted);
	assert_non_null(at);
	at += strlen(wanted);
	at += strspn(at, " ");
	snprintf(value, size, "%.*s", (int)strcspn(at, "\r"), at);
}

/* The signature, made again from what was sent (Signature Version 4 as AWS documents it). */
static void signature_expected(const struct world *world, const char *region, const char *service,
	const char *token, const char *body, char authorization[512])
{
	char date[32], host[64], payload[65], canonical[4096], hash[65], to_sign[512], key[64], signature[65];
	const char *names = token ? "content-type;host;x-amz-date;x-amz-security-token"
				  : "content-type;host;x-amz-date";
	unsigned char k[32];
	char day[9];

	head_value(world, "X-Amz-Date", date, sizeof(date));
	head_value(world, "Host", host, sizeof(host));
	snprintf(day, sizeof(day), "%.8s", date);
	sha256_hex(body, payload);
	snprintf(canonical, sizeof(canonical),
		"POST\n/\n\ncontent-type:application/"
		"x-www-form-urlencoded; charset=utf-8\nhost:%s\nx-amz-date:%s\n%s%s%s\n%s\n%s",
		host, date, token ? "x-amz-security-token:" : "", token ? token : "", token ? "\n" : "",
		names, payload);
	sha256_hex(canonical, hash);
	snprintf(to_sign, sizeof(to_sign), "AWS4-HMAC-SHA256\n%s\n%s/%s/%s/aws4_request\n%s", date, day,
		region, service, hash);
	snprintf(key, sizeof(key), "AWS4%s", "SECRETSECRETSECRETSECRET");
	hmac((unsigned char *)key, strlen(key), day, k);
	hmac(k, 32, region, k);
	hmac(k, 32, service, k);
	hmac(k, 32, "aws4_request", k);
	hmac(k, 32, to_sign, k);
	hex_encode((struct bytes){ k, 32 }, signature);
	snprintf(authorization, 512,
		"AWS4-HMAC-SHA256 Credential=AKIDAKIDAKIDAKID/%s/%s/%s/aws4_request, SignedHeaders=%s, "
		"Signature=%s",
		day, region, service, names, signature);
}

static void signed_as(const char *region, const char *service, const char *token)
{
	const struct fake_reply reply = { .body = "ok" };
	struct world *world = world_open(&reply, 1);
	struct http_request request = get(world);
	const struct http_signature signature = { region, service, "AKIDAKIDAKIDAKID",
		"SECRETSECRETSECRETSECRET", token };
	const char *body = "Action=DescribeInstances&Filter.1.Value.1=i-0123456789abcdef0&Version=2016-11-15";
	char url[80], expected[512], seen[512];

	snprintf(url, sizeof(url), "%s/", world->fake.url);
	request.url = url;
	request.method = "POST";
	request.body = (struct bytes){ (const unsigned char *)body, strlen(body) };
	request.sign = &signature;
	assert_int_equal(http_fetch(world->http, &request), HTTP_ANSWERED);
	http_forget(&request);
	assert_string_equal(world->script.body, body);
	signature_expected(world, region, service, token, body, expected);
	head_value(world, "Authorization", seen, sizeof(seen));
	assert_string_equal(seen, expected);
	assert_null(strstr(world->script.head, "SECRETSECRET"));
	if (token)
		head_value(world, "X-Amz-Security-Token", seen, sizeof(seen));
	else
		assert_null(strcasestr(world->script.head, "security-token"));
	world_close(world);
}

static void signed_requests(void **state)
{
	(void)state;
	signed_as("us-east-1", "ec2", NULL);
	signed_as("us-east-1", "iam", "IQoJb3JpZ2luX2VjEXAMPLE//token+with/slashes==");
	signed_as("cn-north-1", "ec2", "token");
}

static void signed_refused(void **state)
{
	const struct fake_reply reply = { .body = "ok" };
	struct world *world = world_open(&reply, 1);
	struct http_request request = get(world);
	struct http_signature signature = { "us-east-1", "ec2", "AKIDAKIDAKIDAKID", "SECRET", NULL };
	const char *const headers[] = { "X-Amz-Date: 20200101T000000Z", NULL };

	(void)state;
	request.sign = &signature;
	assert_int_equal(http_fetch(world->http, &request), HTTP_FAULT); /* GET */
	request.method = "POST";
	request.headers = headers;
	assert_int_equal(http_fetch(world->http, &request), HTTP_FAULT);
	request.headers = NULL;
	signature.session_token = "a\r\nX-Evil: b";
	assert_int_equal(http_fetch(world->http, &request), HTTP_FAULT);
	signature.session_token = NULL;
	signature.region = "us-east-1\n";
	assert_int_equal(http_fetch(world->http, &request), HTTP_FAULT);
	assert_int_equal(world->fake.connections, 0);
	world_close(world);
}

/* ---- many at once */

static void count_done(struct http_request *request)
{
	++*(unsigned *)request->context;
}

static void many_at_once(void **state)
{
	enum { MANY = 50 };
	const struct fake_reply reply = { .body = "ok" };
	struct world *world = world_open(&reply, 1);
	struct http_request requests[MANY];
	unsigned done = 0;

	(void)state;
	for (int i = 0; i < MANY; i++) {
		requests[i] = get(world);
		requests[i].done = count_done;
		requests[i].context = &done;
		http_start(world->http, &requests[i]);
	}
	assert_int_equal(done, 0);
	while (http_step(world->http, 1000) > 0)
		;
	assert_int_equal(done, MANY);
	for (int i = 0; i < MANY; i++)
		assert_int_equal(requests[i].result, HTTP_ANSWERED);
	assert_true(world->fake.connections <= 4);
	world_close(world);
}

/* A request that waits for a free connection has a deadline like any other. */
static void waiting_times_out(void **state)
{
	enum { MANY = 9 };
	const struct fake_reply reply = { .hold = true };
	struct world *world = world_open(&reply, 1);
	struct http_request requests[MANY];
	unsigned done = 0;

	(void)state;
	for (int i = 0; i < MANY; i++) {
		requests[i] = get(world);
		requests[i].deadline = monotonic_now() + SECOND / 5;
		requests[i].done = count_done;
		requests[i].context = &done;
		http_start(world->http, &requests[i]);
	}
	while (http_step(world->http, 10000) > 0)
		;
	assert_int_equal(done, MANY);
	for (int i = 0; i < MANY; i++)
		assert_int_equal(requests[i].result, HTTP_TIMED_OUT);
	world_close(world);
}

struct pieces {
	size_t length, limit;
};

static bool piece_count(struct http_request *request, struct bytes piece)
{
	struct pieces *pieces = request->context;

	pieces->length += piece.length;
	return pieces->length <= pieces->limit;
}

static void pieces_done(struct http_request *request)
{
	request->context = NULL;
}

static void received_in_pieces(void **state)
{
	enum { LENGTH = 1000000 };
	char *text = malloc(LENGTH);
	struct fake_reply reply = { .body = text, .body_length = LENGTH };
	struct world *world = world_open(&reply, 1);

	(void)state;
	memset(text, 'x', LENGTH);
	for (int i = 0; i < 2; i++) {
		struct pieces pieces = { 0, i == 0 ? LENGTH : 1000 };
		struct http_request request = get(world);

		request.receive = piece_count;
		request.context = &pieces;
		request.done = pieces_done;
		http_start(world->http, &request);
		while (http_step(world->http, 1000) > 0)
			;
		assert_null(request.context);
		assert_int_equal(request.result, i == 0 ? HTTP_ANSWERED : HTTP_TOO_LARGE);
		assert_true(i == 1 || pieces.length == LENGTH);
	}
	world_close(world);
	free(text);
}

static void closed_in_the_middle(void **state)
{
	const struct fake_reply reply = { .hold = true };
	struct world *world = world_open(&reply, 1);
	struct http_request request = get(world), stillborn = get(world);
	unsigned done = 0;

	(void)state;
	request.done = stillborn.done = count_done;
	request.context = stillborn.context = &done;
	stillborn.url = "ftp://x/";
	http_start(world->http, &request);
	http_step(world->http, 50);
	http_start(world->http, &stillborn);
	world_close(world);
	assert_int_equal(done, 0);
}

static void *wake_run(void *context)
{
	http_wake(context);
	return NULL;
}

static void woken(void **state)
{
	const struct fake_reply reply = { .body = "ok" };
	struct world *world = world_open(&reply, 1);
	long long before = monotonic_now();
	pthread_t thread;

	(void)state;
	http_wake(world->http);
	http_step(world->http, 60000);
	assert_int_equal(pthread_create(&thread, NULL, wake_run, world->http), 0);
	http_step(world->http, 60000);
	pthread_join(thread, NULL);
	assert_true(monotonic_now() - before < 50 * SECOND);
	world_close(world);
}

/* Counts the sockets beyond standard error that a started program would inherit. */
static unsigned sockets_inherited(void)
{
	DIR *folder = opendir("/proc/self/fd");
	struct dirent *entry;
	unsigned n = 0;

	assert_non_null(folder);
	while ((entry = readdir(folder))) {
		int descriptor = atoi(entry->d_name);
		char target[64] = "";

		if (readlinkat(dirfd(folder), entry->d_name, target, sizeof(target) - 1) > 0 &&
			strncmp(target, "socket:", 7) == 0 && descriptor > 2)
			n += (fcntl(descriptor, F_GETFD) & FD_CLOEXEC) == 0;
	}
	closedir(folder);
	return n;
}

static void nothing_inherited(void **state)
{
	const struct fake_reply reply = { .body = "ok" };
	unsigned before = sockets_inherited();
	struct world *world = world_open(&reply, 1);
	struct http_request request = get(world);

	(void)state;
	assert_int_equal(http_fetch(world->http, &request), HTTP_ANSWERED);
	http_forget(&request);
	assert_int_equal(sockets_inherited(), before);
	world_close(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answered),
		cmocka_unit_test(put_and_post),
		cmocka_unit_test(kept_alive),
		cmocka_unit_test(source_address),
		cmocka_unit_test(source_address_not_mixed),
		cmocka_unit_test(retry_after),
		cmocka_unit_test(cut_short),
		cmocka_unit_test(too_large),
		cmocka_unit_test(too_slow),
		cmocka_unit_test(never_twice),
		cmocka_unit_test(not_reached),
		cmocka_unit_test(attack_24_redirects_and_proxies_ignored),
		cmocka_unit_test(headers_refused),
		cmocka_unit_test(requests_refused),
		cmocka_unit_test(signed_requests),
		cmocka_unit_test(signed_refused),
		cmocka_unit_test(many_at_once),
		cmocka_unit_test(waiting_times_out),
		cmocka_unit_test(received_in_pieces),
		cmocka_unit_test(closed_in_the_middle),
		cmocka_unit_test(woken),
		cmocka_unit_test(nothing_inherited),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
