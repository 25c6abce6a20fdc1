/* The server's answers as the agent reads them: to a challenge, a release, an acknowledgement, one part of
 * the input after the other. Whatever comes, the agent is through in time, takes nothing but what the answer
 * said, and shows people nothing but printable text. */
#include "agent/imds.h"
#include "agent/request.h"
#include "tests/fuzz/http_fake.h"
#include "tests/fuzz/pace_fake.h"
#include "verifier/json.h"

enum { SECONDS = 3, TRIES_MOST = 100 };

static struct bytes input;
static size_t parts_taken;
static bool of_challenge;

static void answer_next(struct http_request *request)
{
	json_t *body;

	if (strncmp(request->url, "http://169.254.169.254/", 23) == 0) {
		request->result = HTTP_ANSWERED;
		request->status = strcmp(request->method, "PUT") == 0 ? 200 : 404;
		request->answer = (struct bytes){ (const unsigned char *)"token", 5 };
		return;
	}
	of_challenge = strcmp(request->url, "https://server/v1/challenges") == 0;
	body = of_challenge ? json_object() : json_strict(request->body, NULL, NULL, NULL, 0);
	MUST_HOLD(json_is_object(body));
	json_decref(body);
	MUST_HOLD(parts_taken < TRIES_MOST);
	part_answer(request, part_of(input, parts_taken++),
		of_challenge                           ? 201
		: strstr(request->url, "/ack") != NULL ? 204
						       : 200);
}

static void said(void *context, const char *line)
{
	(void)context;
	MUST_HOLD(line[0]);
	for (; *line; line++)
		MUST_HOLD(isprint((unsigned char)*line));
}

static void exit_fits(enum agent_exit status, int expected, const struct complaint *complaint)
{
	MUST_HOLD(status == AGENT_DONE || status == AGENT_GAVE_UP || status == AGENT_DENIED ||
		  status == AGENT_PROTOCOL);
	MUST_HOLD(status != AGENT_DONE || http_last_status == expected);
	MUST_HOLD(status != AGENT_DENIED || http_last_status == 403 || http_last_status == 409);
	MUST_HOLD(status != AGENT_PROTOCOL || http_last_status < 500 || http_last_status > 599);
	if (status != AGENT_DONE)
		said(NULL, complaint->text);
}

/* What was taken is what the last part said. */
static void answer_fits(const struct answer *answer)
{
	struct bytes last = part_of(input, parts_taken - 1);
	size_t size = BASE64_SIZE(answer->sealed_length);
	char *text = malloc(size);

	MUST_HOLD(text && uuid_valid(answer->release_id) && answer->sealed && answer->sealed_length > 0);
	base64_encode((struct bytes){ answer->sealed, answer->sealed_length }, text);
	if (!memchr(last.data, '\\', last.length)) {
		MUST_HOLD(memmem(last.data, last.length, text, strlen(text)));
		MUST_HOLD(memmem(last.data, last.length, answer->release_id, UUID_SIZE - 1));
	}
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct assertion assertion = { "i-0123456789abcdef0", "", "ip-10-0-1-225.ec2.internal",
		"r-0123456789abcdef0", "m5.large", "web-tier", "10.0.1.225", "123456789012", "us-east-1" };
	static const struct recipient recipient;
	const struct imds imds = { .base = "http://169.254.169.254", .pace = &pace_fake };
	const struct petition petition = { &assertion, "csr", &recipient, &imds, 0 };
	const struct service service = {
		.base = "https://server", .pace = &pace_fake, .deadline = SECONDS * 1000000000LL, .said = said
	};
	struct complaint complaint = { "" };
	struct answer answer;
	enum agent_exit status;

	input = (struct bytes){ data, size };
	http_fake = answer_next;
	parts_taken = 0;
	pace_moment = 0;
	status = request_release(&service, &petition, &answer, &complaint);
	exit_fits(status, 200, &complaint);
	if (status == AGENT_DONE)
		answer_fits(&answer);
	else
		MUST_HOLD(!answer.sealed);
	answer_clear(&answer);
	pace_moment = 0;
	status = request_acknowledge(&service, "01890a5d-ac96-774b-bcce-b302099a8057", "ack", &complaint);
	exit_fits(status, 204, &complaint);
	MUST_HOLD(pace_moment <= service.deadline);
	return 0;
}
