/* The ops listener's answers as the command line reads them, and a token's file: printable text alone, and
 * each event in the bytes that the server sent. */
#include "cli/trail.h"
#include "tests/fuzz/file.h"
#include "tests/fuzz/http_fake.h"
#include "verifier/json.h"

static struct bytes input;

static void answer_all(struct http_request *request)
{
	MUST_HOLD(strncmp(request->url, "https://ops/v1/audit/events?", 28) == 0);
	part_answer(request, input, 200);
}

static void printable(const char *text)
{
	for (; *text; text++)
		MUST_HOLD(isprint((unsigned char)*text));
}

static void page_fits(const struct trail_page *page)
{
	json_t *whole = json_strict(
		(struct bytes){ (const unsigned char *)page->text, page->length }, NULL, NULL, NULL, 0);
	const json_t *events = json_object_get(whole, "events");
	const char *cursor = json_text(whole, "next_cursor");

	MUST_HOLD(json_array_size(events) == page->n_events);
	MUST_HOLD(strcmp(cursor ? cursor : "", page->cursor) == 0);
	for (size_t i = 0; i < page->n_events; i++) {
		json_t *event = json_strict(page->events[i], NULL, NULL, NULL, 0);

		MUST_HOLD(json_is_object(event) && json_equal(event, json_array_get(events, i)));
		json_decref(event);
	}
	printable(page->text);
	json_decref(whole);
}

static void token_try(const uint8_t *data, size_t size)
{
	char token[TOKEN_MAX + 1];
	struct complaint complaint = { "" };
	size_t wanted = size - (size > 0 && data[size - 1] == '\n');

	if (!trail_token_read(file_of(data, size), token, &complaint)) {
		MUST_HOLD(complaint.text[0] && !token[0]);
		return;
	}
	MUST_HOLD(strlen(token) == wanted && memcmp(token, data, wanted) == 0);
	MUST_HOLD(wanted > 0 && !strchr(token, ' '));
	printable(token);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct trail trail = { .base = "https://ops", .token = "t" };
	static const struct trail_query query = { .role = "web-tier" };
	struct complaint complaint = { "" };
	struct trail_page page;

	input = (struct bytes){ data, size };
	http_fake = answer_all;
	if (trail_fetch(&trail, &query, 100, "", &page, &complaint)) {
		MUST_HOLD(http_last_status == 200);
		page_fits(&page);
	} else {
		MUST_HOLD(complaint.text[0] && !page.text && !page.events);
		if (http_last_status)
			printable(complaint.text);
	}
	trail_page_clear(&page);
	token_try(data, size);
	return 0;
}
