/* Heads as libmicrohttpd hands them out: parts that point into one buffer. Each trace of a second reading is
 * made here by itself; tests/e2e/test_raw.py sends the bytes that leave them. And routes. */
#include "server/head.h"
#include "server/route.h"
#include "tests/unit/unit.h"

#include <string.h>

/* One header, by where its parts stand. */
struct part {
	const char *name, *value;
	size_t value_length; /* 0: strlen */
};

/* A buffer as libmicrohttpd 0.9.75 leaves it: NULs over the blank, the colon and the line's end. */
static char buffer[4096];

/* Lays out "GET /x HTTP/1.1" and the headers, then reads it; `skew` bytes stand between header n and the one
 * before, and the head is said to be `more` bytes longer. */
static bool head_refused(const struct part *parts, size_t n, size_t skewed, size_t skew, size_t more)
{
	struct head head;
	size_t at = 15;
	size_t i;

	memset(buffer, 'Q', sizeof(buffer));
	memcpy(buffer, "GET\0/x\0HTTP/1.1\0\n", 17);
	at = 17;
	head_begin(&head, buffer, buffer + 4, "/x", buffer + 7);
	for (i = 0; i < n; i++) {
		size_t name = strlen(parts[i].name);
		size_t value = parts[i].value_length ? parts[i].value_length : strlen(parts[i].value);
		char *place;

		at += i == skewed ? skew : 0;
		place = buffer + at;
		memcpy(place, parts[i].name, name + 1);
		place[name + 1] = ' ';
		memcpy(place + name + 2, parts[i].value, value + 1);
		memcpy(place + name + 2 + value, "\0\n", 2);
		head_header(&head, (struct bytes){ (unsigned char *)place, name },
			(struct bytes){ (unsigned char *)place + name + 2, value });
		at += name + 2 + value + 2;
	}
	head_end(&head, at + 2 + more);
	return head.refused;
}

static const struct part good[] = { { "Host", "a", 0 }, { "Content-Length", "2", 0 },
	{ "Content-Type", "application/json", 0 } };

static void attack_34_the_layout(void **state)
{
	size_t i;

	(void)state;
	assert_false(head_refused(good, 3, 9, 0, 0));
	for (i = 0; i < 3; i++)
		assert_true(head_refused(good, 3, i, 1, 0)); /* a line between, or a line end too long */
	assert_true(head_refused(good, 3, 9, 0, 1)); /* something behind the last one */
	assert_true(head_refused(good, 3, 9, 0, (size_t)-1));
}

static void attack_34_headers(void **state)
{
	static const struct {
		struct part part;
		bool refused;
	} cases[] = {
		{ { "X-Any", "thing", 0 }, false }, { { "X-Any", "with blank and \xc3\xa4", 0 }, false },
		{ { "x_any!#$%&'*+-.^`|~9", "", 0 }, false }, { { "Transfer-Encoding", "chunked", 0 }, true },
		{ { "transfer-encoding", "identity", 0 }, true },
		{ { "Content-Length", "2", 0 }, true }, /* the same again */
		{ { "content-length", "3", 0 }, true }, { { "Host", "a", 0 }, true },
		{ { "X Any", "x", 0 }, true }, { { "X-Any ", "x", 0 }, true }, { { "", "x", 0 }, true },
		{ { "X-\x7f", "x", 0 }, true }, { { "X-\xc3\xa4", "x", 0 }, true },
		{ { "X-Any", "a\0b", 3 }, true }, { { "X-Any", "a\rb", 0 }, true },
		{ { "X-Any", "a\x1b[2J", 0 }, true }, { { "X-Any", "tab\tis allowed", 0 }, false },
		{ { "X_Forwarded_For", "10.0.0.1", 0 }, false }, /* refused where addresses are resolved */
	};
	struct part parts[4];
	size_t i;

	(void)state;
	memcpy(parts, good, sizeof(good));
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		parts[3] = cases[i].part;
		if (head_refused(parts, 4, 9, 0, 0) != cases[i].refused)
			fail_msg("case %zu", i);
	}
	print_message("attack 34: %zu headers beside good ones, each as it should be\n", i);
}

static void attack_34_lengths(void **state)
{
	static const char *const bad[] = { "", "+2", "-2", "0x2", "2 ", " 2", "2,2", "2;", "1e1", "٢",
		"1234567890123", "99999999999999999999" };
	struct part parts[2] = { { "Host", "a", 0 }, { "Content-Length", "", 0 } };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		parts[1].value = bad[i];
		if (!head_refused(parts, 2, 9, 0, 0))
			fail_msg("Content-Length: %s", bad[i]);
	}
	parts[1].value = "002";
	assert_false(head_refused(parts, 2, 9, 0, 0));
	assert_true(head_refused(parts + 1, 1, 9, 0, 0)); /* no Host */
}

static void attack_34_request_lines(void **state)
{
	static const struct {
		const char *bytes;
		size_t target, version;
		bool refused;
	} cases[] = {
		{ "GET\0/x\0HTTP/1.1", 4, 7, false },
		{ "GET\0/x\0HTTP/1.0", 4, 7, true },
		{ "GET\0/x\0HTTP/1.2", 4, 7, true },
		{ "GET\0/x\0http/1.1", 4, 7, true },
		{ "GET\0/x\0HTTP/1.1 ", 4, 7, true },
		{ "GET\0\0/x\0HTTP/1.1", 5, 8, true }, /* two blanks */
		{ "GET\0/x\0\0HTTP/1.1", 4, 8, true },
		{ "GET\0/\xc3\xa4\0HTTP/1.1", 4, 8, true },
		{ "GET\0/\x01\0HTTP/1.1", 4, 7, true },
		{ "GET\0/ x\0HTTP/1.1", 4, 8, true },
	};
	struct head head;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		head_begin(&head, cases[i].bytes, cases[i].bytes + cases[i].target,
			cases[i].bytes + cases[i].target, cases[i].bytes + cases[i].version);
		if (head.refused != cases[i].refused)
			fail_msg("case %zu", i);
	}
}

#define UUID "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"

static void attack_34_one_spelling_of_each_path(void **state)
{
	static const struct route routes[] = { { "POST", "/v1/releases" },
		{ "POST", "/v1/releases/{id}/ack" }, { "GET", "/livez" }, { 0 } };
	static const char *const none[] = { "", "/", "/v1/releases/", "//v1/releases", "/v1//releases",
		"/v1/./releases", "/v1/../v1/releases", "/V1/releases", "/v1/%72eleases", "/v1/releases%2f",
		"/v1/releases#", "http://a/v1/releases", "*", "a:80", "/v1/releases/x/ack",
		"/v1/releases//ack", "/v1/releases/" UUID, "/v1/releases/" UUID "/ack/",
		"/v1/releases/" UUID "x/ack", "/v1/releases/017F22E2-79B0-7CC3-98C4-DC0C0C07398F/ack" };
	struct target target;
	size_t i;

	(void)state;
	assert_ptr_equal(route_find(routes, "POST", "/v1/releases", &target), &routes[0]);
	assert_false(target.has_query);
	assert_ptr_equal(route_find(routes, "POST", "/v1/releases?", &target), &routes[0]);
	assert_true(target.has_query);
	assert_string_equal(target.query, "");
	assert_ptr_equal(route_find(routes, "POST", "/v1/releases/" UUID "/ack?a=b", &target), &routes[1]);
	assert_string_equal(target.part, UUID);
	assert_string_equal(target.query, "a=b");
	for (i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
		assert_null(route_find(routes, "POST", none[i], &target));
		assert_null(target.allow);
	}
	assert_null(route_find(routes, "GET", "/v1/releases", &target));
	assert_string_equal(target.allow, "POST");
	assert_null(route_find(routes, "post", "/v1/releases", &target));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(attack_34_the_layout),
		cmocka_unit_test(attack_34_headers),
		cmocka_unit_test(attack_34_lengths),
		cmocka_unit_test(attack_34_request_lines),
		cmocka_unit_test(attack_34_one_spelling_of_each_path),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
