#ifndef TESTS_FUZZ_HTTP_FAKE_H
#define TESTS_FUZZ_HTTP_FAKE_H
/* Linked in the place of aws/http_curl.c: whoever asks gets the next part of the input for an answer. Parts
 * end with the byte 0x1e, and may begin with a status ("503 "), a status with Retry-After ("503/30 "), or
 * with '!', for no answer and what libcurl would say of it. */
#include "aws/http.h"
#include "tests/fuzz/fuzz.h"

#include <ctype.h>
#include <string.h>

#define PART_END 0x1e

/* Part `i` of the input; empty behind the last. */
static inline struct bytes part_of(struct bytes input, size_t i)
{
	const unsigned char *end;

	for (; i > 0 && input.length > 0; i--) {
		end = memchr(input.data, PART_END, input.length);
		input.length -= end ? (size_t)(end - input.data) + 1 : input.length;
		input.data = end ? end + 1 : input.data;
	}
	end = memchr(input.data, PART_END, input.length);
	input.length = end ? (size_t)(end - input.data) : input.length;
	return input;
}

static inline unsigned digits_take(struct bytes *part, unsigned most)
{
	unsigned number = 0;

	while (most-- && part->length && isdigit(part->data[0])) {
		number = 10 * number + (unsigned)(part->data[0] - '0');
		part->data++;
		part->length--;
	}
	return number;
}

/* As http_curl.c has it: no control characters. */
static inline void error_put(struct http_request *request, struct bytes text)
{
	snprintf(request->error, sizeof(request->error), "%.*s", (int)text.length, (const char *)text.data);
	for (char *at = request->error; *at; at++)
		if (iscntrl((unsigned char)*at))
			*at = '?';
}

/* Fills in what came of the request. */
static inline void part_answer(struct http_request *request, struct bytes part, int usual)
{
	request->result = HTTP_ANSWERED;
	request->status = usual;
	request->retry_after = -1;
	if (part.length && part.data[0] == '!') {
		request->result = HTTP_CUT;
		error_put(request, (struct bytes){ part.data + 1, part.length - 1 });
		return;
	}
	if (part.length > 3 && isdigit(part.data[0]) && isdigit(part.data[1]) && isdigit(part.data[2])) {
		request->status = (int)digits_take(&part, 3);
		if (part.data[0] == '/') {
			part.data++;
			part.length--;
			request->retry_after = (long)digits_take(&part, 4);
		}
		if (part.length && part.data[0] == ' ') {
			part.data++;
			part.length--;
		}
	}
	if (part.length > request->answer_max)
		request->result = HTTP_TOO_LARGE;
	else
		request->answer = part;
}

/* What the target says to a request. */
static void (*http_fake)(struct http_request *);
static int http_last_status; /* 0: no answer */

struct http *http_open(const struct http_options *options)
{
	(void)options;
	return (struct http *)&http_fake;
}

void http_close(struct http *http)
{
	(void)http;
}

enum http_result http_fetch(struct http *http, struct http_request *request)
{
	uint8_t *exact;

	(void)http;
	http_fake(request);
	http_last_status = request->result == HTTP_ANSWERED ? request->status : 0;
	if (request->answer.length) {
		exact = malloc(request->answer.length);
		MUST_HOLD(exact);
		memcpy(exact, request->answer.data, request->answer.length);
		request->answer.data = exact;
	}
	return request->result;
}

void http_forget(struct http_request *request)
{
	if (request->answer.length)
		free((void *)request->answer.data);
	request->answer = (struct bytes){ NULL, 0 };
}

long long monotonic_now(void)
{
	return 0;
}

#endif
