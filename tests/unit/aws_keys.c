/* The three forms in which keys reach us (JSON, the shared file, AssumeRole's XML), their grammar, and when
 * they are fetched again. Each single change of a good text is refused for its own reason, and leaves no keys
 * behind. */
#include "aws/assume.h"
#include "aws/shared_file.h"
#include "tests/unit/unit.h"

#include <string.h>

#define ID "ASIAIOSFODNN7EXAMPLE"
#define SECRET "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
#define END 1893456000LL /* 2030-01-01T00:00:00Z */

static struct bytes bytes_of(const char *text)
{
	return (struct bytes){ (const unsigned char *)text, strlen(text) };
}

static void assert_wiped(const struct keys *keys)
{
	static const struct keys none;

	assert_memory_equal(keys, &none, sizeof(none));
}

static void assert_keys(const struct keys *keys, const char *token, long long expires)
{
	assert_string_equal(keys->id, ID);
	assert_string_equal(keys->secret, SECRET);
	assert_string_equal(keys->token, token);
	assert_int_equal(keys->expires, expires);
}

/* The text with its one `from` replaced; freed by the caller. */
static char *changed(const char *text, const char *from, const char *to)
{
	const char *at = strstr(text, from);
	char *made = NULL;

	assert_non_null(at);
	assert_true(asprintf(&made, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from)) > 0);
	return made;
}

/* ---- JSON */

static const char json[] = "{\"Code\": \"Success\", \"LastUpdated\": \"2026-01-02T03:04:05Z\", "
			   "\"AccessKeyId\": \"" ID "\", \"SecretAccessKey\": \"" SECRET "\", "
			   "\"Token\": \"t+/=\", \"Expiration\": \"2030-01-01T00:00:00Z\"}";

static void json_good(void **state)
{
	static const char *const froms[] = { "\"Code\": \"Success\", ", "00:00:00Z", "\"LastUpdated\"" };
	static const char *const tos[] = { "", "00:00:00.999Z", "\"NeverHeardOf\"" };
	char why[KEYS_WHY_SIZE] = "";
	struct keys keys;

	(void)state;
	assert_true(keys_parse(bytes_of(json), &keys, why));
	assert_keys(&keys, "t+/=", END);
	for (size_t i = 0; i < 3; i++) {
		char *text = changed(json, froms[i], tos[i]);

		assert_true(keys_parse(bytes_of(text), &keys, why));
		assert_keys(&keys, "t+/=", END);
		free(text);
	}
}

static void json_refused(void **state)
{
	static const struct {
		const char *from, *to, *why;
	} cases[] = {
		{ "{", "[", "not JSON" },
		{ "{", "\xef\xbb\xbf{", "not JSON" },
		{ "\"}", "\"} x", "not JSON" },
		{ "\"Token\"", "\"Token\": \"u\", \"Token\"", "not JSON" },
		{ "t+/=", "t\\u0000", "not JSON" },
		{ "t+/=", "t\xff", "not JSON" },
		{ "\"Success\"", "\"Failed\"", "Code" },
		{ "\"Success\"", "\"success\"", "Code" },
		{ "\"Success\"", "0", "Code" },
		{ "\"AccessKeyId\"", "\"accessKeyId\"", "AccessKeyId" },
		{ "\"" ID "\"", "null", "AccessKeyId" },
		{ ID, "", "AccessKeyId" },
		{ ID, "ASIA", "AccessKeyId" },
		{ ID, ID "/", "AccessKeyId" },
		{ ID, ID "\\n", "AccessKeyId" },
		{ SECRET, "", "SecretAccessKey" },
		{ SECRET, SECRET " ", "SecretAccessKey" },
		{ SECRET, "\\r\\n" SECRET, "SecretAccessKey" },
		{ SECRET, SECRET "\xc3\xbc", "SecretAccessKey" },
		{ "\"SecretAccessKey\"", "\"Secret\"", "SecretAccessKey" },
		{ "t+/=", "", "Token" },
		{ "t+/=", "a b", "Token" },
		{ "\"t+/=\"", "[\"t\"]", "Token" },
		{ "\"Token\"", "\"SessionToken\"", "Token" },
		{ "2030-01-01T00:00:00Z", "2030-01-01", "Expiration" },
		{ "2030-01-01T00:00:00Z", "2030-01-01T00:00:00+00:00", "Expiration" },
		{ "2030-01-01T00:00:00Z", "2030-02-30T00:00:00Z", "Expiration" },
		{ "2030-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "Expiration" },
		{ "\"2030-01-01T00:00:00Z\"", "1893456000", "Expiration" },
		{ "\"Expiration\"", "\"Expires\"", "Expiration" },
	};
	char why[KEYS_WHY_SIZE];
	struct keys keys;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *text = changed(json, cases[i].from, cases[i].to);

		if (keys_parse(bytes_of(text), &keys, why))
			fail_msg("taken: %s", text);
		if (!strstr(why, cases[i].why) || strstr(why, SECRET))
			fail_msg("%s, not %s", why, cases[i].why);
		assert_wiped(&keys);
		free(text);
	}
}

static void json_sizes(void **state)
{
	static char text[KEYS_BYTES_MAX + 2], token[SESSION_TOKEN_SIZE + 1];
	char why[KEYS_WHY_SIZE];
	struct keys keys;
	char *made;

	(void)state;
	memset(token, 't', SESSION_TOKEN_SIZE);
	token[SESSION_TOKEN_SIZE - 1] = '\0';
	made = changed(json, "t+/=", token);
	assert_true(keys_parse(bytes_of(made), &keys, why));
	free(made);
	token[SESSION_TOKEN_SIZE - 1] = 't';
	made = changed(json, "t+/=", token);
	assert_false(keys_parse(bytes_of(made), &keys, why));
	free(made);
	memset(text, ' ', sizeof(text) - 1);
	memcpy(text, json, strlen(json));
	assert_false(keys_parse(bytes_of(text), &keys, why));
	assert_non_null(strstr(why, "too large"));
	text[KEYS_BYTES_MAX] = '\0';
	assert_true(keys_parse(bytes_of(text), &keys, why));
	assert_false(keys_parse((struct bytes){ NULL, 0 }, &keys, why));
}

/* ---- the shared file */

#define FILE_KEYS "aws_access_key_id = " ID "\naws_secret_access_key=" SECRET "\n"

static bool parse(const char *text, const char *profile, struct keys *keys, char why[KEYS_WHY_SIZE])
{
	char copy[20000];

	assert_true(strlen(text) < sizeof(copy));
	strcpy(copy, text);
	return shared_file_parse(copy, profile, keys, why);
}

static void file_good(void **state)
{
	static const struct {
		const char *text, *profile, *token;
	} cases[] = {
		{ "[default]\n" FILE_KEYS, "default", "" },
		{ "[default]\r\naws_access_key_id=" ID "\r\naws_secret_access_key=" SECRET "\r\n", "default",
			"" },
		{ "[default]\n" FILE_KEYS "aws_session_token = t+/=", "default", "t+/=" },
		{ "# c\n; d\n\n  \n[ default ] # c\n" FILE_KEYS "region = us-east-1\noutput=\n", "default",
			"" },
		{ "[default]\n" FILE_KEYS "aws_session_token = t # c\n", "default", "t" },
		{ "[default]\n" FILE_KEYS "aws_session_token = t#c;d\n", "default", "t#c;d" },
		{ "[a]\naws_access_key_id = x\n[b c]\n" FILE_KEYS "[default]\n", "b c", "" },
		{ "[a]\nnonsense\n s3 =\n   x = y\nrole_arn = x\n[b]\n" FILE_KEYS, "b", "" },
		{ "x = y\n[b]\n" FILE_KEYS "[a]\n[a]\n", "b", "" },
	};
	char why[KEYS_WHY_SIZE] = "";
	struct keys keys;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (!parse(cases[i].text, cases[i].profile, &keys, why))
			fail_msg("%s: %s", why, cases[i].text);
		assert_keys(&keys, cases[i].token, 0);
	}
}

static void file_refused(void **state)
{
	static const struct {
		const char *text, *why;
	} cases[] = {
		{ "\n", "no profile [default]" },
		{ "[Default]\n" FILE_KEYS, "no profile [default]" },
		{ "[profile default]\n" FILE_KEYS, "no profile [default]" },
		{ FILE_KEYS "[default]\n", "lacks aws_access_key_id" },
		{ "[default]\naws_access_key_id = " ID "\n", "lacks aws_secret_access_key" },
		{ "[default]\naws_secret_access_key = " SECRET "\n", "lacks aws_access_key_id" },
		{ "[default]\n[a]\n" FILE_KEYS, "lacks aws_access_key_id" },
		{ "[default]\n" FILE_KEYS "[default]\n", "line 4: the profile is there twice" },
		{ "[default]\n" FILE_KEYS "aws_access_key_id = " ID "\n",
			"line 4: aws_access_key_id is there" },
		{ "[default]\n" FILE_KEYS "aws_session_token =\n", "line 4: aws_session_token is not" },
		{ "[default]\n" FILE_KEYS "aws_session_token = a b\n", "line 4: aws_session_token is not" },
		{ "[default]\naws_access_key_id = AKIA\n", "line 2: aws_access_key_id is not" },
		{ "[default]\naws_secret_access_key = short\n", "line 2: aws_secret_access_key is not" },
		{ "[default\n" FILE_KEYS, "line 1: not a section" },
		{ "[default] x\n" FILE_KEYS, "line 1: not a section" },
		{ "[default]\n" FILE_KEYS "nonsense\n", "line 4: not a setting" },
		{ "[default]\n" FILE_KEYS "  more\n", "line 4: begins with a blank" },
		{ "[default]\n" FILE_KEYS "role_arn = arn\n", "line 4: this version takes keys alone" },
		{ "[default]\n" FILE_KEYS "credential_process = x\n", "line 4: this version" },
		{ "[default]\n" FILE_KEYS "sso_session = x\n", "line 4: this version" },
		{ "[default]\nsource_profile = x\n", "line 2: this version" },
	};
	char why[KEYS_WHY_SIZE];
	struct keys keys;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		why[0] = '\0';
		if (parse(cases[i].text, "default", &keys, why))
			fail_msg("taken: %s", cases[i].text);
		if (!strstr(why, cases[i].why) || strstr(why, SECRET))
			fail_msg("%s, not %s", why, cases[i].why);
		assert_wiped(&keys);
	}
}

/* ---- AssumeRole */

#define ARN "arn:aws:iam::123456789012:role/path/vouchsafe"
#define ASSUMED "arn:aws:sts::123456789012:assumed-role/vouchsafe/vouchsafe-rp-1"

static const struct role role = { ARN, "", "vouchsafe-rp-1" };

static const char xml[] =
	"<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult>"
	"<AssumedRoleUser><AssumedRoleId>AROA:vouchsafe-rp-1</AssumedRoleId><Arn>" ASSUMED
	"</Arn></AssumedRoleUser>"
	"<Credentials><AccessKeyId>" ID "</AccessKeyId><SecretAccessKey>" SECRET
	"</SecretAccessKey><SessionToken>t+/=</SessionToken><Expiration>2030-01-01T00:00:00Z</Expiration>"
	"</Credentials></AssumeRoleResult><ResponseMetadata><RequestId>x</RequestId></ResponseMetadata>"
	"</AssumeRoleResponse>";

static const char web_xml[] =
	"<AssumeRoleWithWebIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">"
	"<AssumeRoleWithWebIdentityResult><SubjectFromWebIdentityToken>x</SubjectFromWebIdentityToken>"
	"<Audience>y</Audience><AssumedRoleUser><Arn>" ASSUMED "</Arn></AssumedRoleUser>"
	"<Credentials><SessionToken>t+/=</SessionToken><SecretAccessKey>" SECRET
	"</SecretAccessKey><Expiration>2030-01-01T00:00:00Z</Expiration><AccessKeyId>" ID "</AccessKeyId>"
	"</Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>";

static void xml_good(void **state)
{
	char why[XML_WHY_SIZE];
	struct keys keys;

	(void)state;
	assert_true(assume_parse(bytes_of(xml), &role, false, &keys, why));
	assert_keys(&keys, "t+/=", END);
	assert_true(assume_parse(bytes_of(web_xml), &role, true, &keys, why));
	assert_keys(&keys, "t+/=", END);
	assert_false(assume_parse(bytes_of(xml), &role, true, &keys, why));
	assert_wiped(&keys);
	assert_false(assume_parse(bytes_of(web_xml), &role, false, &keys, why));
	assert_wiped(&keys);
}

static void xml_refused(void **state)
{
	static const struct {
		const char *from, *to, *why;
	} cases[] = {
		{ "2011-06-15", "2010-05-08", "namespace" },
		{ "<Credentials>", "<Credentials><AccessKeyId>" ID "</AccessKeyId>",
			"AccessKeyId: is there" },
		{ "<Credentials>", "<Credentials/><Credentials>", "Credentials: is there twice" },
		{ "<AssumedRoleUser>", "<AssumedRoleUser><Arn>" ASSUMED "</Arn>", "Arn: is there twice" },
		{ "<AccessKeyId>" ID "</AccessKeyId>", "", "AccessKeyId" },
		{ "<AccessKeyId>" ID, "<AccessKeyId>" ID "<!-- -->", "AccessKeyId: has a comment" },
		{ "<AccessKeyId>" ID, "<AccessKeyId>\n" ID, "AccessKeyId" },
		{ "<SecretAccessKey>" SECRET "</SecretAccessKey>", "", "SecretAccessKey" },
		{ SECRET, "<![CDATA[" SECRET "]]>", "SecretAccessKey: has CDATA" },
		{ "<SessionToken>t+/=</SessionToken>", "<SessionToken/>", "SessionToken" },
		{ "t+/=", "t&#10;", "SessionToken" },
		{ "<Expiration>2030-01-01T00:00:00Z</Expiration>", "", "Expiration" },
		{ "00:00:00Z", "00:00:00", "Expiration" },
		{ "2030-01-01T00:00:00Z", "2030-01-01T00:00:00Z2030-01-01T00:00:00Z", "Expiration" },
		{ "<Arn>" ASSUMED "</Arn>", "", "Arn" },
		{ "sts::123456789012", "sts::210987654321", "Arn: is not the role" },
		{ "arn:aws:sts", "arn:aws-cn:sts", "Arn: is not the role" },
		{ "assumed-role/vouchsafe/", "assumed-role/Vouchsafe/", "Arn: is not the role" },
		{ "assumed-role/vouchsafe/", "assumed-role/path/vouchsafe/", "Arn: is not the role" },
		{ "/vouchsafe-rp-1</Arn>", "/vouchsafe-rp-2</Arn>", "Arn: is not the role" },
		{ "<AssumeRoleResponse", "<!DOCTYPE x []><AssumeRoleResponse", "DOCTYPE" },
		{ "</AssumeRoleResponse>", "", "well-formed" },
	};
	char why[XML_WHY_SIZE];
	struct keys keys;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *text = changed(xml, cases[i].from, cases[i].to);

		if (assume_parse(bytes_of(text), &role, false, &keys, why))
			fail_msg("taken: %s", text);
		if (!strstr(why, cases[i].why) || strstr(why, SECRET))
			fail_msg("%s, not %s", why, cases[i].why);
		assert_wiped(&keys);
		free(text);
	}
}

static void questions(void **state)
{
	const struct role outside = { ARN, "a:/b+", "s,s" };
	struct form form = { 0 };

	(void)state;
	assume_form(&form, &outside);
	assert_string_equal(form.text, "Action=AssumeRole&ExternalId=a%3A%2Fb%2B&RoleArn=arn%3Aaws%3Aiam%3A%"
				       "3A123456789012%3Arole%2Fpath%2Fvouchsafe&RoleSessionName=s%2Cs&"
				       "Version=2011-06-15");
	form_clear(&form);
	assume_form(&form, &role);
	assert_null(strstr(form.text, "ExternalId"));
	form_clear(&form);
	assume_web_form(&form, &role, "a.b&c=d");
	assert_non_null(strstr(form.text, "&WebIdentityToken=a.b%26c%3Dd"));
	form_clear(&form);
}

static void names(void **state)
{
	char partition[16], account[ACCOUNT_ID_SIZE], long_one[EXTERNAL_ID_SIZE + 1];

	(void)state;
	assert_string_equal(role_arn_name(ARN, "aws", "123456789012"), "vouchsafe");
	assert_string_equal(role_arn_name("arn:aws:iam::123456789012:role/r", "aws", "123456789012"), "r");
	assert_null(role_arn_name(ARN, "aws-cn", "123456789012"));
	assert_null(role_arn_name(ARN, "aws", "123456789013"));
	assert_null(role_arn_name("arn:aws:iam::123456789012:role/p\x01/r", "aws", "123456789012"));
	assert_true(role_arn_of(ARN, partition, account));
	assert_string_equal(partition, "aws");
	assert_string_equal(account, "123456789012");
	assert_false(role_arn_of("arn:aws:iam::12345678901:role/r", partition, account));
	assert_false(role_arn_of("arn:aws:iam:us-east-1:123456789012:role/r", partition, account));
	assert_false(role_arn_of("arn:aws:iam::123456789012:user/r", partition, account));
	assert_false(role_arn_of("arn", partition, account));
	memset(long_one, 'a', sizeof(long_one));
	long_one[EXTERNAL_ID_SIZE] = '\0';
	assert_false(external_id_valid(long_one));
	long_one[EXTERNAL_ID_SIZE - 1] = '\0';
	assert_true(external_id_valid(long_one));
	assert_false(external_id_valid("a"));
	assert_true(role_session_valid("aZ0_+=,.@-"));
	assert_false(role_session_valid("a/b"));
	assert_false(role_session_valid("a"));
}

/* ---- time */

static void holding(void **state)
{
	struct keys keys = { .expires = END };

	(void)state;
	assert_true(keys_hold(&keys, END - 1));
	assert_false(keys_hold(&keys, END));
	keys.expires = 0;
	assert_true(keys_hold(&keys, END));
}

/* Keys of an hour are renewed 15 minutes before their end, or up to a quarter of those later; short ones when
 * half of them is over. */
static void renewing(void **state)
{
	(void)state;
	assert_int_equal(keys_renew_after(3600, 0), 2700 * 1000);
	assert_in_range(keys_renew_after(3600, 1023), 2924 * 1000, 2925 * 1000);
	assert_in_range(keys_renew_after(3600, 4000000000U), 2700 * 1000, 2925 * 1000);
	assert_int_equal(keys_renew_after(600, 0), 300 * 1000);
	assert_int_equal(keys_renew_after(4, 0), 2000);
	assert_in_range(keys_renew_after(4, 1023), 2000, 2500);
	assert_in_range(keys_renew_after(1, 512), 500, 625);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(json_good),
		cmocka_unit_test(json_refused),
		cmocka_unit_test(json_sizes),
		cmocka_unit_test(file_good),
		cmocka_unit_test(file_refused),
		cmocka_unit_test(xml_good),
		cmocka_unit_test(xml_refused),
		cmocka_unit_test(questions),
		cmocka_unit_test(names),
		cmocka_unit_test(holding),
		cmocka_unit_test(renewing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
