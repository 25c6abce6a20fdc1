/* Reads AWS's error answers. Must never let anything of them out but a code of known form. */
#include "aws/errors.h"

#include <string.h>

struct error {
	char code[AWS_CODE_SIZE];
};

static bool code_fits(void *context, const char *text)
{
	(void)context;
	return text[0] != '\0' &&
	       text[strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.")] == '\0';
}

static const struct xml_rule ec2_rules[] = {
	{ 1, "Errors" },
	{ 2, "Error" },
	{ 3, "Code", XML_STORE(struct error, code), .text = code_fits },
};

static const struct xml_rule common_rules[] = {
	{ 1, "Error" },
	{ 2, "Code", XML_STORE(struct error, code), .text = code_fits },
};

static const struct xml_outline ec2_outline = { "Response", ec2_rules, 3 };
static const struct xml_outline common_outline = { "ErrorResponse", common_rules, 2 };

static bool error_take(const struct xml_outline *outline, const char *namespace, struct bytes answer,
	char code[AWS_CODE_SIZE])
{
	struct error error = { "" };
	char why[XML_WHY_SIZE];

	if (!xml_read(outline, namespace, answer, &error, why) || error.code[0] == '\0')
		return false;
	strcpy(code, error.code);
	return true;
}

bool aws_error_read(struct bytes answer, const char *namespace, char code[AWS_CODE_SIZE])
{
	code[0] = '\0';
	if (answer.length > AWS_ERROR_BYTES_MAX)
		return false;
	return error_take(&ec2_outline, "", answer, code) ||
	       error_take(&common_outline, namespace, answer, code) ||
	       error_take(&common_outline, "", answer, code);
}

static bool listed(const char *const codes[], const char *code)
{
	while (*codes && strcmp(*codes, code) != 0)
		codes++;
	return *codes != NULL;
}

/* Both lists as AWS's own SDKs have them. */
bool aws_error_throttles(const char *code)
{
	static const char *const codes[] = { "RequestLimitExceeded", "Throttling", "ThrottlingException",
		"ThrottledException", "RequestThrottled", "RequestThrottledException",
		"EC2ThrottledException", "TooManyRequestsException", "BandwidthLimitExceeded", "SlowDown",
		"PriorRequestNotComplete", NULL };

	return listed(codes, code);
}

bool aws_error_passes(const char *code)
{
	static const char *const codes[] = { "InternalError", "InternalFailure", "InternalServerError",
		"ServiceUnavailable", "ServiceFailure", "Unavailable", "RequestTimeout",
		"RequestTimeoutException", NULL };

	return aws_error_throttles(code) || listed(codes, code);
}

bool aws_error_of_keys(const char *code)
{
	/* RequestExpired is EC2's. Those of keys that AWS does not know are not among them: a region that an
	 * account has not enabled says the same, and must not cost the others their keys. */
	static const char *const codes[] = { "ExpiredToken", "ExpiredTokenException", "RequestExpired",
		NULL };

	return listed(codes, code);
}
