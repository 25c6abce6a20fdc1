/* Requests as bytes, through libmicrohttpd itself: what the guard of heads lets through is read here once
 * more, from the bytes alone and by RFC 9112's grammar without any of its leniences. Both have to come to the
 * same head of the same length; what follows it would otherwise be another's request. And a head that the
 * grammar knows is not refused, where it keeps to what the guard allows. */
#include "server/head.h"
#include "tests/fuzz/fuzz.h"

#include <microhttpd.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HEADERS_MAX = 64 };

/* What the guard made of the first request of a connection. */
struct seen {
	bool called, taken;
	size_t size, headers;
	unsigned long long length;
	const char *place;
	char target[4096];
};

static struct seen seen;
static struct MHD_Daemon *http;

/* ---- libmicrohttpd, as server/listener.c uses it */

static void *first_sight(void *cls, const char *target, struct MHD_Connection *connection)
{
	(void)cls;
	(void)connection;
	if (!seen.called && strlen(target) < sizeof(seen.target)) {
		seen.place = target;
		strcpy(seen.target, target);
	}
	return &seen;
}

static enum MHD_Result header_take(void *cls, enum MHD_ValueKind kind, const char *name, size_t name_length,
	const char *value, size_t value_length)
{
	struct head *head = cls;

	(void)kind;
	seen.headers++;
	head_header(head, (struct bytes){ (const unsigned char *)name, name_length },
		(struct bytes){ (const unsigned char *)value, value_length });
	return MHD_YES;
}

static enum MHD_Result handle(void *cls, struct MHD_Connection *connection, const char *url,
	const char *method, const char *version, const char *data, size_t *size, void **context)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(
		connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
	struct MHD_Response *response;
	struct head head;

	(void)cls;
	(void)url;
	(void)data;
	(void)size;
	(void)context;
	if (!seen.called && seen.place) {
		seen.called = true;
		head_begin(&head, method, seen.place, seen.target, version);
		MHD_get_connection_values_n(connection, MHD_HEADER_KIND, header_take, &head);
		head_end(&head, info->header_size);
		seen.taken = !head.refused;
		seen.size = info->header_size;
		seen.length = head.length;
	}
	response = MHD_create_response_from_buffer(0, (void *)"", MHD_RESPMEM_PERSISTENT);
	MHD_add_response_header(response, "Connection", "close");
	MHD_queue_response(connection, 400, response);
	MHD_destroy_response(response);
	return MHD_YES;
}

static void request_send(const uint8_t *data, size_t size)
{
	static const struct sockaddr sender = { .sa_family = AF_UNIX };
	int ends[2];
	unsigned rounds;

	if (!http)
		http = MHD_start_daemon(MHD_USE_NO_LISTEN_SOCKET, 0, NULL, NULL, handle, NULL,
			MHD_OPTION_URI_LOG_CALLBACK, first_sight, NULL, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
			(size_t)8192, MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_END);
	MUST_HOLD(http && socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0);
	MUST_HOLD(send(ends[1], data, size, MSG_NOSIGNAL) == (ssize_t)size);
	shutdown(ends[1], SHUT_WR);
	MUST_HOLD(MHD_add_connection(http, ends[0], &sender, sizeof(sender)) == MHD_YES);
	for (rounds = 0; rounds < 64 &&
			 MHD_get_daemon_info(http, MHD_DAEMON_INFO_CURRENT_CONNECTIONS)->num_connections > 0;
		rounds++)
		MHD_run(http);
	close(ends[1]);
	while (MHD_get_daemon_info(http, MHD_DAEMON_INFO_CURRENT_CONNECTIONS)->num_connections > 0)
		MHD_run(http);
}

/* ---- the same by the grammar */

struct plain {
	const uint8_t *at, *end;
	size_t headers, hosts, lengths, authorizations;
	bool refused, traceless;
	unsigned long long length;
};

static bool is_token(uint8_t c)
{
	return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') ||
	       (c && strchr("!#$%&'*+-.^_`|~", c));
}

static size_t token_take(struct plain *p)
{
	const uint8_t *begin = p->at;

	while (p->at < p->end && is_token(*p->at))
		p->at++;
	return (size_t)(p->at - begin);
}

static bool text_take(struct plain *p, const char *text)
{
	size_t length = strlen(text);

	if ((size_t)(p->end - p->at) < length || memcmp(p->at, text, length) != 0)
		return false;
	p->at += length;
	return true;
}

/* CR LF; libmicrohttpd leaves the same where it found NUL LF. */
static bool line_end_take(struct plain *p)
{
	bool other = p->end - p->at >= 2 && p->at[0] == '\0' && p->at[1] == '\n';

	p->traceless = p->traceless || other;
	p->at += other ? 2 : 0;
	return other || text_take(p, "\r\n");
}

static bool named(const uint8_t *name, size_t length, const char *wanted)
{
	return length == strlen(wanted) && strncasecmp((const char *)name, wanted, length) == 0;
}

static void length_take(struct plain *p, const uint8_t *value, size_t length)
{
	size_t i;

	p->lengths++;
	p->refused = p->refused || length == 0 || length > 12;
	p->length = 0;
	for (i = 0; i < length && !p->refused; i++) {
		p->refused = value[i] < '0' || value[i] > '9';
		p->length = p->length * 10 + (value[i] - '0');
	}
}

/* field-line = field-name ":" OWS field-value CRLF */
static bool line_take(struct plain *p)
{
	const uint8_t *name = p->at;
	size_t name_length = token_take(p);
	const uint8_t *value;
	size_t length;

	if (name_length == 0 || !text_take(p, ":"))
		return false;
	for (value = p->at; value < p->end && (*value == ' ' || *value == '\t'); value++)
		;
	p->refused = p->refused || value - p->at > 15;
	for (p->at = value; p->at < p->end && (*p->at == '\t' || (*p->at >= 0x20 && *p->at != 0x7f)); p->at++)
		;
	length = (size_t)(p->at - value);
	p->headers++;
	p->hosts += named(name, name_length, "Host");
	p->authorizations += named(name, name_length, "Authorization");
	p->refused = p->refused || named(name, name_length, "Transfer-Encoding");
	if (named(name, name_length, "Content-Length"))
		length_take(p, value, length);
	return line_end_take(p);
}

static bool grammar_takes(const uint8_t *data, size_t size, struct plain *p)
{
	*p = (struct plain){ .at = data, .end = data + size };
	if (token_take(p) == 0 || !text_take(p, " "))
		return false;
	data = p->at;
	while (p->at<p->end && * p->at> 0x20 && *p->at < 0x7f)
		p->at++;
	if (p->at == data || !text_take(p, " HTTP/1.1") || !line_end_take(p))
		return false;
	while (!text_take(p, "\r\n"))
		if (!line_take(p))
			return false;
	return !p->refused && p->hosts == 1 && p->lengths <= 1 && p->authorizations <= 1;
}

/* Lines before the request line that are empty are nobody's (RFC 9112, 2.2). libmicrohttpd takes one that
 * begins with a NUL for empty too, and a line feed for a line's end: nothing of it is interpreted. */
static bool empty_line_take(const uint8_t **data, size_t *size)
{
	const uint8_t *end = memchr(*data, '\n', *size);
	bool empty = end && (**data == '\0' || end == *data || (end == *data + 1 && **data == '\r'));

	if (!empty)
		return false;
	*size -= (size_t)(end + 1 - *data);
	*data = end + 1;
	return true;
}

/* What leaves no trace (server/head.h): four other bytes where the end of the last line and the empty line
 * should be, such as a line of a colon and a line feed. */
static bool ends_otherwise(const uint8_t *data, size_t size)
{
	return seen.size >= 4 && seen.size <= size && memcmp(data + seen.size - 4, "\r\n\r\n", 4) != 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct plain plain;
	bool good;

	if (size > 4096)
		return 0;
	memset(&seen, 0, sizeof(seen));
	request_send(data, size);
	while (empty_line_take(&data, &size))
		;
	good = grammar_takes(data, size, &plain);
	if (seen.called && seen.taken && !good && ends_otherwise(data, size))
		return 0;
	if (seen.called && seen.taken) {
		MUST_HOLD(good);
		MUST_HOLD(seen.size == (size_t)(plain.at - data));
		MUST_HOLD(seen.headers == plain.headers && seen.length == plain.length);
	}
	if (good && seen.called && !plain.traceless)
		MUST_HOLD(seen.taken);
	return 0;
}
