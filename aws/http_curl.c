/* The HTTP client over libcurl's multi interface: the only file that knows libcurl. Must never follow a
 * redirect, listen to proxy variables, skip a certificate's check, send a request twice, or pass on a header
 * with a line break in it. Knows nothing of AWS but how libcurl signs, and only in the shape that Debian 12's
 * version signs right: a POST form without headers of the caller's. */
#include "aws/http.h"

#include "verifier/memory.h"

#include <curl/curl.h>
#include <dirent.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
	POOL_MAX = 16, /* idle easy handles kept */
	CONNECT_MAX_MS = 3000, /* of the deadline, for name, connection and TLS */
	CONNECTIONS_DEFAULT = 8,
	ANSWER_FIRST = 4096,
	RETRY_AFTER_MAX = 86400,
	DESCRIPTORS_MAX = 4096
};

#define MILLISECOND 1000000LL

struct transfer {
	struct transfer *next, *previous; /* of those under way; next alone in the pool */
	CURL *easy;
	struct http_request *request;
	struct curl_slist *headers;
	unsigned char *answer;
	size_t answer_length, answer_size;
	unsigned sendings; /* how often libcurl was about to send */
	bool too_large, no_memory;
	char error[CURL_ERROR_SIZE];
};

struct http {
	CURLM *multi;
	struct transfer *active, *pool;
	unsigned n_active, n_pool;
	struct http_request *stillborn; /* ended before they began; linked by request->transfer */
	char *ca_file, *certificate_file, *key_file, *user_agent;
};

long long monotonic_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000LL + now.tv_nsec;
}

/* ---- opening and closing */

struct descriptors {
	unsigned char open[DESCRIPTORS_MAX];
};

static void descriptors_look(struct descriptors *seen)
{
	DIR *folder = opendir("/proc/self/fd");
	struct dirent *entry;

	memset(seen, 0, sizeof(*seen));
	if (!folder)
		return;
	while ((entry = readdir(folder))) {
		long descriptor = strtol(entry->d_name, NULL, 10);

		if (descriptor > STDERR_FILENO && descriptor < DESCRIPTORS_MAX && descriptor != dirfd(folder))
			seen->open[descriptor] = 1;
	}
	closedir(folder);
}

/* libcurl opens its wake-up pair without close-on-exec and does not tell it: whatever was not open before
 * gets the flag. A file that another thread has opened meanwhile gets it too, which is the rule of this house
 * anyway. */
static CURLM *multi_open(void)
{
	struct descriptors before, after;
	CURLM *multi;

	descriptors_look(&before);
	multi = curl_multi_init();
	descriptors_look(&after);
	for (int i = 0; i < DESCRIPTORS_MAX; i++)
		if (after.open[i] && !before.open[i])
			fcntl(i, F_SETFD, FD_CLOEXEC);
	return multi;
}

static char *text_copy(const char *text, bool *failed)
{
	char *copy = text ? strdup(text) : NULL;

	if (text && !copy)
		*failed = true;
	return copy;
}

struct http *http_open(const struct http_options *options)
{
	unsigned connections = options->connections ? options->connections : CONNECTIONS_DEFAULT;
	bool failed = false;
	struct http *http;

	/* signed headers and answers with credentials pass through it, so what it frees is wiped */
	if (curl_global_init_mem(
		    CURL_GLOBAL_DEFAULT, malloc, memory_free, memory_reallocate, strdup, calloc) != CURLE_OK)
		return NULL;
	http = calloc(1, sizeof(*http));
	if (!http) {
		curl_global_cleanup();
		return NULL;
	}
	http->ca_file = text_copy(options->ca_file, &failed);
	http->certificate_file = text_copy(options->certificate_file, &failed);
	http->key_file = text_copy(options->key_file, &failed);
	http->user_agent = text_copy(options->user_agent, &failed);
	http->multi = multi_open();
	if (failed || !http->multi ||
		curl_multi_setopt(http->multi, CURLMOPT_MAX_HOST_CONNECTIONS, (long)connections) !=
			CURLM_OK ||
		curl_multi_setopt(http->multi, CURLMOPT_MAXCONNECTS, 4L * connections) != CURLM_OK) {
		http_close(http);
		return NULL;
	}
	return http;
}

static void transfer_free(struct transfer *transfer)
{
	curl_easy_cleanup(transfer->easy);
	curl_slist_free_all(transfer->headers);
	OPENSSL_clear_free(transfer->answer, transfer->answer_size);
	free(transfer);
}

void http_close(struct http *http)
{
	struct transfer *transfer, *next;

	if (!http)
		return;
	for (transfer = http->active; transfer; transfer = next) {
		next = transfer->next;
		transfer->request->transfer = NULL;
		curl_multi_remove_handle(http->multi, transfer->easy);
		transfer_free(transfer);
	}
	for (transfer = http->pool; transfer; transfer = next) {
		next = transfer->next;
		transfer_free(transfer);
	}
	if (http->multi)
		curl_multi_cleanup(http->multi);
	free(http->ca_file);
	free(http->certificate_file);
	free(http->key_file);
	free(http->user_agent);
	free(http);
	curl_global_cleanup();
}

/* ---- what libcurl calls */

static curl_socket_t socket_open(void *context, curlsocktype purpose, struct curl_sockaddr *address)
{
	(void)context;
	(void)purpose;
	return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/* Called each time that a request is about to be sent. libcurl would send again by itself when a kept
 * connection turns out to be dead; whether that is safe only our caller knows. */
static int sending_allow(void *context, char *to, char *from, int to_port, int from_port)
{
	struct transfer *transfer = context;

	(void)to;
	(void)from;
	(void)to_port;
	(void)from_port;
	return transfer->sendings++ == 0 ? CURL_PREREQFUNC_OK : CURL_PREREQFUNC_ABORT;
}

/* Moves by hand instead of realloc, which would leave a copy behind: the answer may be a credential. */
static bool answer_reserve(struct transfer *transfer, size_t more)
{
	size_t size = transfer->answer_size ? transfer->answer_size : ANSWER_FIRST;
	unsigned char *answer;

	while (size < transfer->answer_length + more)
		size *= 2;
	if (size == transfer->answer_size)
		return true;
	answer = OPENSSL_malloc(size);
	if (!answer)
		return false;
	if (transfer->answer_length)
		memcpy(answer, transfer->answer, transfer->answer_length);
	OPENSSL_clear_free(transfer->answer, transfer->answer_size);
	transfer->answer = answer;
	transfer->answer_size = size;
	return true;
}

static size_t piece_take(char *data, size_t one, size_t length, void *context)
{
	struct transfer *transfer = context;
	struct http_request *request = transfer->request;
	struct bytes piece = { (const unsigned char *)data, length };

	(void)one; /* always 1 */
	if (request->receive) {
		transfer->too_large = !request->receive(request, piece);
		return transfer->too_large ? 0 : length;
	}
	if (length > request->answer_max - transfer->answer_length) {
		transfer->too_large = true;
		return 0;
	}
	if (!answer_reserve(transfer, length)) {
		transfer->no_memory = true;
		return 0;
	}
	memcpy(transfer->answer + transfer->answer_length, data, length);
	transfer->answer_length += length;
	return length;
}

/* ---- forming a request */

static bool controls_in(const char *text)
{
	for (const unsigned char *c = (const unsigned char *)text; *c != '\0'; c++)
		if (*c < ' ' || *c == 127)
			return true;
	return false;
}

/* "Name: value" with a token for the name (RFC 9110) and a value. libcurl would take "Name:" as an order to
 * leave a header of its own out, and "Name;" as one without a value. */
static bool header_valid(const char *header)
{
	size_t name = strspn(header, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
				     "!#$%&'*+-.^_`|~");

	return name > 0 && header[name] == ':' && header[name + 1] == ' ' && header[name + 2] != '\0' &&
	       header[name + 2] != ' ' && !controls_in(header);
}

static bool url_valid(const char *url)
{
	return (strncmp(url, "http://", 7) == 0 || strncmp(url, "https://", 8) == 0) && !controls_in(url) &&
	       !strchr(url, ' ');
}

static bool header_add(struct transfer *transfer, const char *header)
{
	struct curl_slist *longer = curl_slist_append(transfer->headers, header);

	if (!longer)
		return false;
	transfer->headers = longer;
	return true;
}

static bool headers_set(struct transfer *transfer)
{
	const struct http_request *request = transfer->request;
	bool typed = false;

	for (const char *const *header = request->headers; header && *header; header++) {
		typed |= strncasecmp(*header, "Content-Type:", 13) == 0;
		if (!header_valid(*header) || !header_add(transfer, *header))
			return false;
	}
	/* libcurl calls every body a form unless told otherwise; ours are forms only where they are signed */
	if (!request->sign && !typed && strcmp(request->method, "GET") != 0 &&
		!header_add(transfer, "Content-Type:"))
		return false;
	return true;
}

/* Every option of one request is set through this, so that none can fail unseen. */
#define SET(option, value) (curl_easy_setopt(easy, option, value) == CURLE_OK)

static bool method_set(CURL *easy, const struct http_request *request)
{
	if (strcmp(request->method, "GET") == 0)
		return request->body.length == 0 && SET(CURLOPT_HTTPGET, 1L);
	if (strcmp(request->method, "PUT") == 0 && !SET(CURLOPT_CUSTOMREQUEST, "PUT"))
		return false;
	return (strcmp(request->method, "POST") == 0 || strcmp(request->method, "PUT") == 0) &&
	       SET(CURLOPT_POST, 1L) && SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body.length) &&
	       SET(CURLOPT_POSTFIELDS, request->body.length ? (const char *)request->body.data : "");
}

static bool signature_set(struct transfer *transfer, const struct http_signature *sign)
{
	static const char name[] = "X-Amz-Security-Token: ";
	CURL *easy = transfer->easy;
	char scope[128];
	char *header;
	bool added;

	if (strcmp(transfer->request->method, "POST") != 0 || transfer->request->headers ||
		controls_in(sign->region) || controls_in(sign->service) ||
		(size_t)snprintf(scope, sizeof(scope), "aws:amz:%s:%s", sign->region, sign->service) >=
			sizeof(scope))
		return false;
	if (!SET(CURLOPT_AWS_SIGV4, scope) || !SET(CURLOPT_USERNAME, sign->access_key_id) ||
		!SET(CURLOPT_PASSWORD, sign->secret_access_key))
		return false;
	/* as AWS's own SDKs have it: libcurl signs what is named here, not what it adds by itself */
	if (!header_add(transfer, "Content-Type: application/x-www-form-urlencoded; charset=utf-8"))
		return false;
	if (!sign->session_token || sign->session_token[0] == '\0')
		return true;
	if (asprintf(&header, "%s%s", name, sign->session_token) < 0)
		return false;
	added = header_valid(header) && header_add(transfer, header);
	OPENSSL_cleanse(header, strlen(header));
	free(header);
	return added;
}

static bool trust_set(const struct http *http, CURL *easy)
{
	/* with a file of the caller's the system's folder of roots must go: libcurl would trust both */
	if (http->ca_file && (!SET(CURLOPT_CAINFO, http->ca_file) || !SET(CURLOPT_CAPATH, NULL)))
		return false;
	return SET(CURLOPT_SSL_VERIFYPEER, 1L) && SET(CURLOPT_SSL_VERIFYHOST, 2L) &&
	       SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
}

/* The empty passphrase keeps OpenSSL from asking at the terminal. */
static bool certificate_set(const struct http *http, CURL *easy)
{
	return !http->certificate_file ||
	       (http->key_file && SET(CURLOPT_SSLCERT, http->certificate_file) &&
		       SET(CURLOPT_SSLKEY, http->key_file) && SET(CURLOPT_KEYPASSWD, ""));
}

static bool source_set(CURL *easy, const char *source)
{
	char name[64];

	if (!source)
		return true;
	if (controls_in(source) || (size_t)snprintf(name, sizeof(name), "host!%s", source) >= sizeof(name))
		return false;
	/* an address of one family cannot call one of the other */
	return SET(CURLOPT_INTERFACE, name) &&
	       SET(CURLOPT_IPRESOLVE, (long)(strchr(source, ':') ? CURL_IPRESOLVE_V6 : CURL_IPRESOLVE_V4));
}

static bool limits_set(CURL *easy, const struct http_request *request, long long now)
{
	long left = (long)((request->deadline - now + MILLISECOND - 1) / MILLISECOND);

	return SET(CURLOPT_TIMEOUT_MS, left) &&
	       SET(CURLOPT_CONNECTTIMEOUT_MS, left < CONNECT_MAX_MS ? left : (long)CONNECT_MAX_MS) &&
	       (request->receive || request->answer_max == 0 ||
		       SET(CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)request->answer_max));
}

/* The rules of this house for every request. */
static bool manners_set(const struct http *http, struct transfer *transfer)
{
	CURL *easy = transfer->easy;

	return SET(CURLOPT_PROXY, "") && SET(CURLOPT_FOLLOWLOCATION, 0L) &&
	       SET(CURLOPT_PROTOCOLS_STR, "http,https") && SET(CURLOPT_REDIR_PROTOCOLS_STR, "https") &&
	       SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) &&
	       SET(CURLOPT_DISALLOW_USERNAME_IN_URL, 1L) && SET(CURLOPT_PATH_AS_IS, 1L) &&
	       SET(CURLOPT_NOSIGNAL, 1L) &&
	       /* do not wait for a resolver's thread when a request has ended without it */
	       SET(CURLOPT_QUICK_EXIT, 1L) && SET(CURLOPT_OPENSOCKETFUNCTION, socket_open) &&
	       SET(CURLOPT_PREREQFUNCTION, sending_allow) && SET(CURLOPT_PREREQDATA, transfer) &&
	       SET(CURLOPT_WRITEFUNCTION, piece_take) && SET(CURLOPT_WRITEDATA, transfer) &&
	       SET(CURLOPT_PRIVATE, transfer) && SET(CURLOPT_ERRORBUFFER, transfer->error) &&
	       (!http->user_agent || SET(CURLOPT_USERAGENT, http->user_agent));
}

static bool request_form(struct http *http, struct transfer *transfer, long long now)
{
	const struct http_request *request = transfer->request;
	CURL *easy = transfer->easy;

	if (!url_valid(request->url) || !manners_set(http, transfer) || !trust_set(http, easy) ||
		!certificate_set(http, easy) || !SET(CURLOPT_URL, request->url) ||
		!method_set(easy, request) || !limits_set(easy, request, now) ||
		!source_set(easy, request->source) || !headers_set(transfer))
		return false;
	if (request->sign && !signature_set(transfer, request->sign))
		return false;
	if (transfer->headers && !SET(CURLOPT_HTTPHEADER, transfer->headers))
		return false;
	if (request->fresh_connection && (!SET(CURLOPT_FRESH_CONNECT, 1L) || !SET(CURLOPT_FORBID_REUSE, 1L)))
		return false;
	return true;
}

/* ---- from the start to the end of a request */

static struct transfer *transfer_get(struct http *http)
{
	struct transfer *transfer = http->pool;

	if (transfer) {
		http->pool = transfer->next;
		http->n_pool--;
		transfer->next = NULL;
		return transfer;
	}
	transfer = calloc(1, sizeof(*transfer));
	if (!transfer)
		return NULL;
	transfer->easy = curl_easy_init();
	if (!transfer->easy) {
		free(transfer);
		return NULL;
	}
	return transfer;
}

/* The answer must have been taken or freed. Keeps the easy handle, without anything of the last request. */
static void transfer_put(struct http *http, struct transfer *transfer)
{
	CURL *easy = transfer->easy;

	if (http->n_pool == POOL_MAX) {
		transfer_free(transfer);
		return;
	}
	curl_easy_reset(easy);
	curl_slist_free_all(transfer->headers);
	memset(transfer, 0, sizeof(*transfer));
	transfer->easy = easy;
	transfer->next = http->pool;
	http->pool = transfer;
	http->n_pool++;
}

static void request_stillborn(
	struct http *http, struct http_request *request, enum http_result result, const char *why)
{
	request->result = result;
	snprintf(request->error, sizeof(request->error), "%s", why);
	request->transfer = http->stillborn;
	http->stillborn = request;
}

void http_start(struct http *http, struct http_request *request)
{
	long long now = monotonic_now();
	struct transfer *transfer;

	request->result = HTTP_FAULT;
	request->status = 0;
	request->answer = (struct bytes){ NULL, 0 };
	request->retry_after = -1;
	request->content_type[0] = request->error[0] = '\0';
	if (request->deadline <= now) {
		request_stillborn(http, request, HTTP_TIMED_OUT, "the deadline had passed");
		return;
	}
	transfer = transfer_get(http);
	if (!transfer) {
		request_stillborn(http, request, HTTP_FAULT, "out of memory");
		return;
	}
	transfer->request = request;
	if (!request_form(http, transfer, now) ||
		curl_multi_add_handle(http->multi, transfer->easy) != CURLM_OK) {
		transfer_put(http, transfer);
		request_stillborn(http, request, HTTP_FAULT, "the request cannot be formed");
		return;
	}
	request->transfer = transfer;
	transfer->next = http->active;
	if (http->active)
		http->active->previous = transfer;
	http->active = transfer;
	http->n_active++;
}

static enum http_result result_of(const struct transfer *transfer, CURLcode code)
{
	if (transfer->too_large || code == CURLE_FILESIZE_EXCEEDED)
		return HTTP_TOO_LARGE;
	if (transfer->no_memory)
		return HTTP_FAULT;
	switch (code) {
	case CURLE_OK:
		return HTTP_ANSWERED;
	case CURLE_OPERATION_TIMEDOUT:
		if (transfer->sendings == 0 && monotonic_now() < transfer->request->deadline)
			return HTTP_NO_CONNECT; /* it was the connection's own limit */
		return HTTP_TIMED_OUT;
	case CURLE_OUT_OF_MEMORY:
	case CURLE_URL_MALFORMAT:
	case CURLE_UNSUPPORTED_PROTOCOL:
	case CURLE_BAD_FUNCTION_ARGUMENT:
	case CURLE_FAILED_INIT:
		return HTTP_FAULT;
	default:
		return transfer->sendings ? HTTP_CUT : HTTP_NO_CONNECT;
	}
}

/* Seconds only (RFC 9110 allows a date too, which nobody who calls us needs). */
static long retry_after_read(CURL *easy)
{
	struct curl_header *header;
	size_t digits;
	long seconds;

	if (curl_easy_header(easy, "Retry-After", 0, CURLH_HEADER, -1, &header) != CURLHE_OK)
		return -1;
	digits = strspn(header->value, "0123456789");
	if (digits == 0 || header->value[digits] != '\0')
		return -1;
	seconds = digits > 9 ? RETRY_AFTER_MAX : strtol(header->value, NULL, 10);
	return seconds < RETRY_AFTER_MAX ? seconds : RETRY_AFTER_MAX;
}

/* libcurl's text may quote what the other side said. */
static void error_say(struct http_request *request, const char *text)
{
	snprintf(request->error, sizeof(request->error), "%.*s", (int)sizeof(request->error) - 1, text);
	for (char *c = request->error; *c != '\0'; c++)
		if (*c < ' ' || *c == 127)
			*c = '?';
}

static void answer_describe(struct transfer *transfer, CURLcode code)
{
	struct http_request *request = transfer->request;
	const char *type = NULL;
	long status = 0;

	request->result = result_of(transfer, code);
	if (request->result != HTTP_ANSWERED) {
		error_say(request, transfer->error[0] ? transfer->error : curl_easy_strerror(code));
		return;
	}
	curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(transfer->easy, CURLINFO_CONTENT_TYPE, &type);
	request->status = (int)status;
	request->retry_after = retry_after_read(transfer->easy);
	if (type && strlen(type) < sizeof(request->content_type))
		strcpy(request->content_type, type);
}

static void fetch_done(struct http_request *request);

/* Everything is put back before `done`, which may start the next request or free this one. */
static void transfer_end(struct http *http, struct transfer *transfer, CURLcode code)
{
	struct http_request *request = transfer->request;
	bool keep = request->done == fetch_done;
	unsigned char *answer;
	size_t size;

	answer_describe(transfer, code);
	curl_multi_remove_handle(http->multi, transfer->easy);
	if (transfer->previous)
		transfer->previous->next = transfer->next;
	else
		http->active = transfer->next;
	if (transfer->next)
		transfer->next->previous = transfer->previous;
	http->n_active--;
	answer = transfer->answer;
	size = transfer->answer_size;
	if (request->result == HTTP_ANSWERED)
		request->answer = (struct bytes){ answer, transfer->answer_length };
	else
		keep = false;
	transfer->answer = NULL;
	transfer->answer_size = 0;
	transfer_put(http, transfer);
	request->transfer = NULL;
	request->done(request);
	if (!keep)
		OPENSSL_clear_free(answer, size);
}

/* libcurl does not count the time that a request waits for a free connection. */
static bool overdue_end(struct http *http, long long now)
{
	for (struct transfer *transfer = http->active; transfer; transfer = transfer->next) {
		if (transfer->request->deadline + 5 * MILLISECOND > now)
			continue;
		transfer_end(http, transfer, CURLE_OPERATION_TIMEDOUT);
		return true;
	}
	return false;
}

/* Only those that are there now: what their `done` starts has its turn in the next step. */
static bool stillborn_end(struct http *http)
{
	struct http_request *request = http->stillborn;
	bool ended = request != NULL;

	http->stillborn = NULL;
	while (request) {
		struct http_request *next = request->transfer;

		request->transfer = NULL;
		request->done(request);
		request = next;
	}
	return ended;
}

static bool finished_end(struct http *http)
{
	struct transfer *transfer = NULL;
	CURLMsg *message;
	int left;

	message = curl_multi_info_read(http->multi, &left);
	if (!message || message->msg != CURLMSG_DONE)
		return false;
	curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&transfer);
	transfer_end(http, transfer, message->data.result);
	return true;
}

/* Makes what progress there is. True: at least one request has ended. */
static bool progress_make(struct http *http)
{
	bool ended = false;
	int running;

	/* an error here leaves requests as they are: their deadlines end them */
	(void)curl_multi_perform(http->multi, &running);
	while (finished_end(http))
		ended = true;
	ended |= stillborn_end(http);
	while (overdue_end(http, monotonic_now()))
		ended = true;
	return ended;
}

/* Not longer than until the next deadline. */
static int wait_limit(const struct http *http, int timeout_ms)
{
	long long now = monotonic_now();

	for (const struct transfer *transfer = http->active; transfer; transfer = transfer->next) {
		long long left = (transfer->request->deadline + 6 * MILLISECOND - now) / MILLISECOND;

		if (left < timeout_ms)
			timeout_ms = left < 0 ? 0 : (int)left;
	}
	return timeout_ms;
}

unsigned http_step(struct http *http, int timeout_ms)
{
	if (!progress_make(http) && timeout_ms > 0) {
		(void)curl_multi_poll(http->multi, NULL, 0, wait_limit(http, timeout_ms), NULL);
		progress_make(http);
	}
	return http->n_active + (http->stillborn ? 1 : 0);
}

void http_wake(struct http *http)
{
	(void)curl_multi_wakeup(http->multi);
}

/* ---- one at a time */

static void fetch_done(struct http_request *request)
{
	*(bool *)request->context = true;
}

enum http_result http_fetch(struct http *http, struct http_request *request)
{
	bool finished = false;

	request->done = fetch_done;
	request->context = &finished;
	http_start(http, request);
	while (!finished)
		http_step(http, 1000);
	request->context = NULL;
	return request->result;
}

void http_forget(struct http_request *request)
{
	OPENSSL_clear_free((void *)request->answer.data, request->answer.length);
	request->answer = (struct bytes){ NULL, 0 };
}
