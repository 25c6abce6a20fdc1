/* The payload of a release around any values: strict JSON, and every value in it reads back byte for byte.
 * The first byte of the input says where the second value begins. */
#include "tests/fuzz/fuzz.h"
#include "vault/payload.h"
#include "verifier/encoding.h"
#include "verifier/json.h"

#include <string.h>

static const unsigned char hash[32] = { 1, 2, 3 };
static const struct payload_head head = { "01890a5d-ac96-774b-bcce-b302099a8057", "i-0123456789abcdef0",
	"acknowledgement", hash };

struct sink {
	char text[8 * INPUT_MAX];
	size_t length;
	unsigned pieces, fails_at; /* 0: never */
};

static bool take(void *context, struct bytes piece)
{
	struct sink *sink = context;

	MUST_HOLD(piece.length > 0 && sink->length + piece.length <= sizeof(sink->text));
	memcpy(sink->text + sink->length, piece.data, piece.length);
	sink->length += piece.length;
	return ++sink->pieces != sink->fails_at;
}

static bool written(struct sink *sink, const struct bytes values[2])
{
	struct payload *payload = payload_new(take, sink, &head);
	bool done;

	MUST_HOLD(payload);
	payload_secret(payload, "first", "opaque", 1, values[0]);
	payload_secret(payload, "second", "pin", 4294967295U, values[1]);
	done = payload_finish(payload);
	payload_free(payload);
	return done;
}

static void reads_back(const json_t *secret, struct bytes value)
{
	const json_t *text = json_object_get(secret, "value");
	const char *encoding = json_text(secret, "encoding");
	size_t length = json_string_length(text);
	unsigned char *bytes = malloc(value.length + 1);
	size_t n = value.length + 1;

	MUST_HOLD(encoding && text && bytes);
	if (strcmp(encoding, "base64") == 0) {
		MUST_HOLD(base64_decode(json_string_value(text), length, bytes, &n));
	} else {
		MUST_HOLD(strcmp(encoding, "utf-8") == 0 && length <= value.length);
		memcpy(bytes, json_string_value(text), length);
		n = length;
	}
	MUST_HOLD(n == value.length && (n == 0 || memcmp(bytes, value.data, n) == 0));
	free(bytes);
}

static void payload_fits(const struct sink *sink, const struct bytes values[2])
{
	json_t *inside = json_strict(
		(struct bytes){ (const unsigned char *)sink->text, sink->length }, NULL, NULL, NULL, 0);
	const json_t *secrets = json_object_get(inside, "secrets");

	MUST_HOLD(json_array_size(secrets) == 2);
	MUST_HOLD(strcmp(json_text(inside, "instance-id"), head.instance_id) == 0);
	MUST_HOLD(strcmp(json_text(inside, "ack"), head.acknowledgement) == 0);
	for (size_t i = 0; i < 2; i++)
		reads_back(json_array_get(secrets, i), values[i]);
	MUST_HOLD(json_integer_value(json_object_get(json_array_get(secrets, 1), "version")) == 4294967295);
	json_decref(inside);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct sink sink, failing;
	size_t cut = size ? (size_t)data[0] * size / 256 : 0;
	const struct bytes values[2] = { { data, cut }, { data + cut, size - cut } };

	if (size > INPUT_MAX)
		return 0;
	sink.length = sink.pieces = 0;
	MUST_HOLD(written(&sink, values));
	MUST_HOLD(sink.length <= 2 * size + 600);
	payload_fits(&sink, values);
	failing.length = failing.pieces = 0;
	failing.fails_at = 1 + (unsigned)size % sink.pieces;
	MUST_HOLD(!written(&failing, values) && failing.pieces == failing.fails_at);
	return 0;
}
