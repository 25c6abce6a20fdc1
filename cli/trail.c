/* Asks the ops listener. Must never send the token over plain http to another machine, nor show a byte of an
 * answer that is not printable. */
#include "cli/trail.h"

#include "aws/http.h"
#include "verifier/encoding.h"
#include "verifier/json.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum { ANSWER_MAX = 256 << 20, TRY_SECONDS = 60, URL_MAX = 4096 };

/* ---- where to, and as whom */

/* The host of "http://HOST[:PORT]", where it is one that stays on this machine. */
static bool host_is_loopback(const char *host)
{
	char name[64];
	struct in_addr address;
	size_t length = strcspn(host, host[0] == '[' ? "]" : ":");

	length += host[length] == ']';
	if (length >= sizeof(name) || (host[length] != '\0' && host[length] != ':'))
		return false;
	snprintf(name, sizeof(name), "%.*s", (int)length, host);
	if (strcmp(name, "localhost") == 0 || strcmp(name, "[::1]") == 0)
		return true;
	return address_decode(name, &address) && ntohl(address.s_addr) >> 24 == 127;
}

bool trail_url_valid(const char *url, struct complaint *complaint)
{
	size_t scheme = strncmp(url, "https://", 8) == 0 ? 8 : strncmp(url, "http://", 7) == 0 ? 7 : 0;
	const char *host = url + scheme;

	if (!scheme || !*host || strlen(url) > 300 || host[strcspn(host, "/?#@\\% \t\r\n")] != '\0')
		return complain(complaint, "--url: not a base URL; write https://HOST or https://HOST:PORT");
	if (scheme == 7 && !host_is_loopback(host))
		return complain(complaint,
			"--url: the token goes over plain http to a loopback address alone; write "
			"https://%s",
			host);
	return true;
}

/* The file's bytes, one line feed behind them left out, and a NUL; false where there are none, too many, or
 * others than a token has. */
static bool token_load(int fd, char token[TOKEN_MAX + 1])
{
	size_t length = 0;
	ssize_t got = 0;
	size_t i = 0;

	while (length < TOKEN_MAX && (got = read(fd, token + length, TOKEN_MAX - length)) > 0)
		length += (size_t)got;
	if (got != 0)
		return false;
	length -= length > 0 && token[length - 1] == '\n';
	token[length] = '\0';
	while (i < length && token[i] > ' ' && token[i] < 0x7f)
		i++;
	return length > 0 && i == length;
}

bool trail_token_read(const char *path, char token[TOKEN_MAX + 1], struct complaint *complaint)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	bool loaded;

	if (fd < 0)
		return complain(complaint, "cannot open the token's file %s: %s", path, strerror(errno));
	loaded = token_load(fd, token);
	close(fd);
	if (loaded)
		return true;
	OPENSSL_cleanse(token, TOKEN_MAX + 1);
	return complain(complaint, "%s: not a token; one line of 1 to %d printable characters is wanted",
		path, TOKEN_MAX - 1);
}

/* ---- the request */

struct target {
	char text[URL_MAX];
	size_t length;
	bool overflowed;
};

static void target_add(struct target *target, const char *text)
{
	size_t length = strlen(text);

	if (target->length + length >= sizeof(target->text)) {
		target->overflowed = true;
		return;
	}
	memcpy(target->text + target->length, text, length + 1);
	target->length += length;
}

/* name=value, percent-encoded (RFC 3986): unreserved characters stay. */
static void parameter_add(struct target *target, const char *name, const char *value)
{
	char piece[4];

	if (!value)
		return;
	target_add(target, "&");
	target_add(target, name);
	target_add(target, "=");
	for (; *value; value++) {
		unsigned char c = (unsigned char)*value;
		bool unreserved = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
				  (c >= 'a' && c <= 'z') || strchr("-._~", c);

		snprintf(piece, sizeof(piece), unreserved ? "%c" : "%%%02X", c);
		target_add(target, piece);
	}
}

static void moment_add(struct target *target, const char *name, long long us)
{
	char text[TIMESTAMP_SIZE];

	if (us == 0)
		return;
	timestamp_encode(us, text);
	parameter_add(target, name, text);
}

static bool target_fill(struct target *target, const char *base, const struct trail_query *query,
	unsigned limit, const char *cursor)
{
	char number[16];

	snprintf(number, sizeof(number), "%u", limit);
	target_add(target, base);
	target_add(target, "/v1/audit/events?order=");
	target_add(target, query->ascending ? "ascending" : "descending");
	parameter_add(target, "limit", number);
	parameter_add(target, "instance-id", query->instance_id);
	parameter_add(target, "role", query->role);
	parameter_add(target, "event", query->event);
	parameter_add(target, "outcome", query->outcome);
	parameter_add(target, "request-id", query->request_id);
	parameter_add(target, "release-id", query->release_id);
	moment_add(target, "since", query->since_us);
	moment_add(target, "until", query->until_us);
	parameter_add(target, "cursor", *cursor ? cursor : NULL);
	return !target->overflowed;
}

/* ---- the answer */

/* The bytes of the object that begins at `at`: up to its closing brace, strings skipped. The text is known to
 * be valid JSON. */
static size_t object_length(const char *at)
{
	const char *from = at;
	unsigned depth = 0;
	bool inside = false;

	do {
		if (inside && *at == '\\')
			at++;
		else if (*at == '"')
			inside = !inside;
		else if (!inside && (*at == '{' || *at == '['))
			depth++;
		else if (!inside && (*at == '}' || *at == ']'))
			depth--;
		at++;
	} while (depth);
	return (size_t)(at - from);
}

/* Finds the events' own bytes; the server writes them into its answer as they are. */
static bool events_find(struct trail_page *page)
{
	static const char head[] = "{\"events\":[";
	const char *at = page->text + sizeof(head) - 1;
	size_t i;

	if (strncmp(page->text, head, sizeof(head) - 1) != 0)
		return false;
	for (i = 0; i < page->n_events; i++) {
		if (*at != '{')
			return false;
		page->events[i] = (struct bytes){ (const unsigned char *)at, object_length(at) };
		at += page->events[i].length + 1; /* and the comma, or the bracket */
	}
	return true;
}

static bool printable(struct bytes text)
{
	size_t i;

	for (i = 0; i < text.length; i++) {
		if (text.data[i] < ' ' || text.data[i] > '~')
			return false;
	}
	return true;
}

/* What JSON says of the page: how many events, and the cursor. */
static bool page_measure(struct trail_page *page, const json_t *object)
{
	static const char *const known[] = { "events", "next_cursor", NULL };
	const json_t *events = json_object_get(object, "events");
	const char *cursor = json_text(object, "next_cursor");
	size_t i;

	if (!json_only(object, known, NULL) || !json_is_array(events) ||
		(cursor && strlen(cursor) >= sizeof(page->cursor)))
		return false;
	for (i = 0; i < json_array_size(events); i++) {
		if (!json_is_object(json_array_get(events, i)))
			return false;
	}
	page->n_events = json_array_size(events);
	page->events = calloc(page->n_events + 1, sizeof(*page->events));
	if (cursor)
		strcpy(page->cursor, cursor);
	return page->events != NULL;
}

void trail_page_clear(struct trail_page *page)
{
	free(page->events);
	free(page->text);
	*page = (struct trail_page){ 0 };
}

bool trail_page_parse(struct bytes answer, struct trail_page *page, struct complaint *complaint)
{
	json_t *object = printable(answer) ? json_strict(answer, NULL, NULL, NULL, 0) : NULL;
	bool parsed = false;

	*page = (struct trail_page){ .text = malloc(answer.length + 1), .length = answer.length };
	if (object && page->text) {
		memcpy(page->text, answer.data, answer.length);
		page->text[answer.length] = '\0';
		parsed = page_measure(page, object) && events_find(page);
	}
	json_decref(object);
	if (parsed)
		return true;
	trail_page_clear(page);
	return complain(complaint, "the answer is none that the ops listener of this version gives");
}

/* A refusal (RFC 9457); its words only where they are harmless. */
static bool problem_complain(const struct http_request *request, struct complaint *complaint)
{
	json_t *object = printable(request->answer) ? json_strict(request->answer, NULL, NULL, NULL, 0)
						    : NULL;
	const char *code = json_text(object, "code");
	const char *detail = json_text(object, "detail");

	complain(complaint, "the ops listener answers %d (%s)%s%s%s", request->status,
		code && printable((struct bytes){ (const unsigned char *)code, strlen(code) }) ? code
											       : "no code",
		request->status == 401 ? ": the token or certificate is not in audit_access" : "",
		detail && printable((struct bytes){ (const unsigned char *)detail, strlen(detail) }) ? ": "
												     : "",
		detail && printable((struct bytes){ (const unsigned char *)detail, strlen(detail) }) ? detail
												     : "");
	json_decref(object);
	return false;
}

static bool answer_take(
	const struct http_request *request, struct trail_page *page, struct complaint *complaint)
{
	if (request->result != HTTP_ANSWERED)
		return complain(complaint, "no answer from %.*s: %s", (int)strcspn(request->url, "?"),
			request->url, request->error);
	if (request->status != 200)
		return problem_complain(request, complaint);
	return trail_page_parse(request->answer, page, complaint);
}

static bool target_fetch(
	const struct trail *trail, const char *url, struct trail_page *page, struct complaint *complaint)
{
	const struct http_options options = { .ca_file = trail->ca,
		.certificate_file = trail->certificate,
		.key_file = trail->key,
		.user_agent = "vouchsafe/" VOUCHSAFE_VERSION,
		.connections = 1 };
	char authorization[TOKEN_MAX + 32];
	const char *const headers[] = { authorization, NULL };
	struct http_request request = { .method = "GET",
		.url = url,
		.headers = trail->certificate ? NULL : headers,
		.answer_max = ANSWER_MAX,
		.deadline = monotonic_now() + TRY_SECONDS * 1000000000LL };
	struct http *http = http_open(&options);
	bool taken;

	if (!http)
		return complain(complaint, "the HTTP client does not start");
	snprintf(authorization, sizeof(authorization), "Authorization: Bearer %s", trail->token);
	request.result = http_fetch(http, &request);
	taken = answer_take(&request, page, complaint);
	http_forget(&request);
	http_close(http);
	OPENSSL_cleanse(authorization, sizeof(authorization));
	return taken;
}

bool trail_fetch(const struct trail *trail, const struct trail_query *query, unsigned limit,
	const char *cursor, struct trail_page *page, struct complaint *complaint)
{
	struct target target = { 0 };

	*page = (struct trail_page){ 0 };
	if (!target_fill(&target, trail->base, query, limit, cursor))
		return complain(complaint, "the query is too long");
	return target_fetch(trail, target.text, page, complaint);
}
