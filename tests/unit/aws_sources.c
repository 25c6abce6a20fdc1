/* Each source of keys against a server that plays its other side: the good answer, every bad one, and what
 * the environment may say. Which source is chosen, and that roles are assumed apart from each other. */
#include "aws/call.h"
#include "aws/chain.h"
#include "aws/principals.h"
#include "tests/unit/aws_fake.h"
#include "tests/unit/unit.h"

#include <limits.h>
#include <sys/stat.h>

#define SECOND 1000000000LL
#define ID "ASIAIOSFODNN7EXAMPLE"
#define SECRET "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
#define END 4102444800LL /* 2100-01-01T00:00:00Z */
#define JSON                                                                                                 \
	"{\"AccessKeyId\": \"" ID "\", \"SecretAccessKey\": \"" SECRET                                       \
	"\", \"Token\": \"t+/=\", \"Expiration\": \"2100-01-01T00:00:00Z\"}"

/* ---- the environment, and files */

static const char *const variables[] = { "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
	"AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN", "AWS_ROLE_SESSION_NAME", "AWS_SHARED_CREDENTIALS_FILE",
	"AWS_PROFILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI",
	"AWS_CONTAINER_AUTHORIZATION_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
	"AWS_EC2_METADATA_DISABLED", "AWS_EC2_METADATA_SERVICE_ENDPOINT",
	"AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE" };

static char folder[] = "/tmp/vouchsafe-sources-XXXXXX";

/* An empty home, and none of AWS's variables. */
static int environment_clear(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++)
		unsetenv(variables[i]);
	return setenv("HOME", folder, 1);
}

static int folder_make(void **state)
{
	(void)state;
	return mkdtemp(folder) ? 0 : -1;
}

static int folder_remove(void **state)
{
	(void)state;
	return rmdir(folder);
}

static const char *file_write(const char *name, const char *text)
{
	static char path[PATH_MAX];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	file = fopen(path, "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
	return path;
}

static void file_remove(const char *name)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	assert_int_equal(remove(path), 0);
}

/* ---- a source and its other side */

struct page {
	const char *path; /* "GET /x HTTP" */
	const char *header; /* that must be in the request; NULL: any */
	struct fake_reply reply;
};

struct scene {
	struct fake fake;
	struct caller caller;
	struct service sts;
	struct source *source;
	unsigned dones;
	bool good;
	struct page pages[4];
	char body[2048]; /* of the last request */
	bool authorized; /* it had an Authorization */
};

static void page_answer(struct fake *fake, const struct fake_request *request, struct fake_reply *reply)
{
	struct scene *scene = fake->context;

	snprintf(scene->body, sizeof(scene->body), "%s", request->body);
	scene->authorized = strcasestr(request->head, "\r\nAuthorization:") != NULL;
	reply->status = 404;
	for (unsigned i = 0; i < 4 && scene->pages[i].path; i++) {
		const struct page *page = &scene->pages[i];

		if (strncmp(request->head, page->path, strlen(page->path)) != 0)
			continue;
		if (page->header && !strstr(request->head, page->header))
			reply->status = 401;
		else
			*reply = page->reply;
		return;
	}
}

static void scene_open(struct scene *scene)
{
	const struct http_options options = { .user_agent = "test" };

	memset(scene, 0, sizeof(*scene));
	environment_clear(NULL);
	fake_open(&scene->fake, page_answer, scene);
	scene->caller.http = http_open(&options);
	assert_non_null(scene->caller.http);
	assert_true(service_sts(&scene->sts, aws_region_find("us-east-1"), scene->fake.url));
}

static void scene_close(struct scene *scene)
{
	http_close(scene->caller.http);
	source_free(scene->source);
	fake_close(&scene->fake);
	environment_clear(NULL);
}

static void fetch_done(struct source *source, bool good)
{
	struct scene *scene = source->context;

	scene->dones++;
	scene->good = good;
}

static void fetch(struct scene *scene, double seconds)
{
	unsigned before = scene->dones;

	scene->source->done = fetch_done;
	scene->source->context = scene;
	scene->source->fetch(scene->source, monotonic_now() + (long long)(seconds * 1e9));
	while (scene->dones == before)
		http_step(scene->caller.http, 100);
	assert_int_equal(scene->dones, before + 1);
}

static void choose(struct scene *scene, const char *name)
{
	struct complaint complaint = { "" };

	source_free(scene->source);
	scene->source = chain_choose(&scene->caller, &scene->sts, "vouchsafe-rp-1", &complaint);
	if (!scene->source || !strstr(scene->source->name, name))
		fail_msg(
			"%s, not %s: %s", scene->source ? scene->source->name : "none", name, complaint.text);
}

static void choose_refused(struct scene *scene, const char *words)
{
	struct complaint complaint = { "" };

	assert_null(chain_choose(&scene->caller, &scene->sts, "vouchsafe-rp-1", &complaint));
	if (!strstr(complaint.text, words) || strstr(complaint.text, SECRET))
		fail_msg("%s, not %s", complaint.text, words);
}

static void assert_good(struct scene *scene)
{
	struct keys *keys;

	fetch(scene, 10);
	keys = &scene->source->keys;
	if (!scene->good)
		fail_msg("%s", scene->source->told);
	assert_string_equal(keys->id, ID);
	assert_string_equal(keys->secret, SECRET);
	keys_wipe(keys);
}

static void assert_bad(struct scene *scene, double seconds, const char *words)
{
	static const struct keys none;

	fetch(scene, seconds);
	assert_false(scene->good);
	if (!strstr(scene->source->told, words) || strstr(scene->source->told, SECRET))
		fail_msg("%s, not %s", scene->source->told, words);
	assert_memory_equal(&scene->source->keys, &none, sizeof(none));
}

/* What can be wrong with any page; the last of a source's own must be restored after. */
static void assert_bad_replies(struct scene *scene, struct fake_reply *reply)
{
	static char large[KEYS_BYTES_MAX + 2];
	const struct fake_reply good = *reply;
	const struct {
		struct fake_reply reply;
		double seconds;
		const char *words;
	} cases[] = {
		{ { .status = 500, .body = JSON }, 10, "it answers 500" },
		{ { .status = 404, .body = JSON }, 10, "it answers 404" },
		{ { .status = 201, .body = JSON }, 10, "it answers 201" },
		{ { .status = 302, .headers = "Location: /latest/api/token\r\n" }, 10, "it answers 302" },
		{ { .drop = true }, 10, "no answer" },
		{ { .reset = true }, 10, "no answer" },
		{ { .body = "01234567890123456789", .cut = 10 }, 10, "no answer" },
		{ { .hold = true }, 0.2, "no answer" },
		{ { .body = large }, 10, "no answer" },
		{ { .body = "" }, 10, "" },
		{ { .body = "a b\n" }, 10, "" },
		{ { .body = "\xff\xfe" }, 10, "" },
	};

	memset(large, 'x', sizeof(large) - 1);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		*reply = cases[i].reply;
		assert_bad(scene, cases[i].seconds, cases[i].words);
	}
	*reply = good;
	assert_good(scene);
}

/* ---- which one */

static void order(void **state)
{
	struct scene scene;

	(void)state;
	scene_open(&scene);
	choose(&scene, "the instance metadata service");
	setenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/x", 1);
	choose(&scene, "the container's credentials endpoint");
	snprintf(scene.body, sizeof(scene.body), "%s/.aws", folder);
	assert_int_equal(mkdir(scene.body, 0700), 0);
	file_write(".aws/credentials",
		"[default]\naws_access_key_id=" ID "\naws_secret_access_key=" SECRET "\n");
	choose(&scene, "the shared credentials file");
	setenv("AWS_WEB_IDENTITY_TOKEN_FILE", "/t", 1);
	setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/r", 1);
	choose(&scene, "AssumeRoleWithWebIdentity");
	setenv("AWS_ACCESS_KEY_ID", ID, 1);
	setenv("AWS_SECRET_ACCESS_KEY", SECRET, 1);
	choose(&scene, "the environment");
	assert_good(&scene);
	assert_int_equal(scene.fake.requests, 0);
	file_remove(".aws/credentials");
	file_remove(".aws");
	scene_close(&scene);
}

/* What is configured and wrong is said, and nothing else is taken in its place. */
static void mistaken(void **state)
{
	struct scene scene;

	(void)state;
	scene_open(&scene);
	setenv("AWS_EC2_METADATA_DISABLED", "True", 1);
	choose_refused(&scene, "there are no credentials");
	setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1/x", 1);
	setenv("AWS_EC2_METADATA_DISABLED", "no", 1);
	choose_refused(&scene, "AWS_EC2_METADATA_SERVICE_ENDPOINT");
	setenv("AWS_PROFILE", "other", 1);
	choose_refused(&scene, "/.aws/credentials: No such file");
	setenv("AWS_SHARED_CREDENTIALS_FILE", folder, 1);
	choose_refused(&scene, "no text of less than 64 KiB");
	setenv("AWS_SHARED_CREDENTIALS_FILE", file_write("f", "[default]\naws_access_key_id=" SECRET "\n"),
		1);
	choose_refused(&scene, "no profile [other]");
	unsetenv("AWS_PROFILE");
	choose_refused(&scene, "line 2: aws_access_key_id is not");
	file_remove("f");
	setenv("AWS_WEB_IDENTITY_TOKEN_FILE", "/t", 1);
	choose_refused(&scene, "AWS_ROLE_ARN");
	setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:user/r", 1);
	choose_refused(&scene, "AWS_ROLE_ARN");
	setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/r", 1);
	setenv("AWS_ROLE_SESSION_NAME", "a b", 1);
	choose_refused(&scene, "AWS_ROLE_SESSION_NAME");
	scene_close(&scene);
}

/* ---- the environment */

static void environment_set(const char *id, const char *secret, const char *token)
{
	const char *const values[] = { id, secret, token };

	for (int i = 0; i < 3; i++) {
		if (values[i])
			setenv(variables[i], values[i], 1);
		else
			unsetenv(variables[i]);
	}
}

static void environment(void **state)
{
	struct scene scene;

	(void)state;
	scene_open(&scene);
	environment_set(ID, SECRET, "token==");
	choose(&scene, "the environment");
	environment_set(NULL, NULL, NULL); /* read once */
	assert_false(scene.source->renews);
	for (int i = 0; i < 2; i++) {
		fetch(&scene, 10);
		assert_true(scene.good);
		assert_string_equal(scene.source->keys.token, "token==");
		assert_int_equal(scene.source->keys.expires, 0);
		keys_wipe(&scene.source->keys);
	}
	environment_set(ID, SECRET, NULL);
	choose(&scene, "the environment");
	fetch(&scene, 10);
	assert_string_equal(scene.source->keys.token, "");
	scene_close(&scene);
}

static void environment_refused(void **state)
{
	static const struct {
		const char *id, *secret, *token, *words;
	} cases[] = {
		{ NULL, SECRET, NULL, "AWS_ACCESS_KEY_ID is not set" },
		{ "", SECRET, NULL, "AWS_ACCESS_KEY_ID is not set" },
		{ ID, NULL, NULL, "AWS_SECRET_ACCESS_KEY is not set" },
		{ "AKIA IOSFODNN7EXAMPLE", SECRET, NULL, "AWS_ACCESS_KEY_ID is no" },
		{ "short", SECRET, NULL, "AWS_ACCESS_KEY_ID is no" },
		{ SECRET, SECRET, NULL, "AWS_ACCESS_KEY_ID is no" },
		{ ID, SECRET "\n", NULL, "AWS_SECRET_ACCESS_KEY is no" },
		{ ID, "short", NULL, "AWS_SECRET_ACCESS_KEY is no" },
		{ ID, SECRET, "tok en", "AWS_SESSION_TOKEN is no" },
		{ ID, SECRET, "tok\r\nX: y", "AWS_SESSION_TOKEN is no" },
	};
	struct scene scene;

	(void)state;
	scene_open(&scene);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		environment_set(cases[i].id, cases[i].secret, cases[i].token);
		choose_refused(&scene, cases[i].words);
	}
	scene_close(&scene);
}

/* ---- the shared file */

static void shared_file(void **state)
{
	static const char text[] = "[default]\naws_access_key_id=" ID "\naws_secret_access_key=" SECRET "\n";
	struct scene scene;

	(void)state;
	scene_open(&scene);
	setenv("AWS_SHARED_CREDENTIALS_FILE", file_write("f", text), 1);
	choose(&scene, "the shared credentials file");
	assert_true(scene.source->changed(scene.source));
	assert_good(&scene);
	assert_false(scene.source->changed(scene.source));
	file_write("f", "[default]\n");
	assert_true(scene.source->changed(scene.source));
	assert_bad(&scene, 10, "the shared credentials file: [default] lacks");
	assert_false(scene.source->changed(scene.source));
	file_remove("f");
	assert_true(scene.source->changed(scene.source));
	assert_bad(&scene, 10, "No such file");
	file_write("f", text);
	assert_true(scene.source->changed(scene.source));
	assert_good(&scene);
	file_remove("f");
	scene_close(&scene);
}

/* ---- a container */

static void container(void **state)
{
	struct scene scene;
	char url[128];

	(void)state;
	scene_open(&scene);
	snprintf(url, sizeof(url), "%s/v1/credentials?a=b", scene.fake.url);
	setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", url, 1);
	scene.pages[0] = (struct page){ "GET /v1/credentials?a=b HTTP", NULL, { .body = JSON } };
	choose(&scene, "container");
	assert_good(&scene);
	assert_false(scene.authorized);
	assert_bad_replies(&scene, &scene.pages[0].reply);
	setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "Basic abc=", 1);
	choose(&scene, "container");
	scene.pages[0].header = "\r\nAuthorization: Basic abc=\r\n";
	assert_good(&scene);
	/* the file comes first, and is read each time */
	setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", file_write("t", "first\n"), 1);
	choose(&scene, "container");
	scene.pages[0].header = "\r\nAuthorization: first\r\n";
	assert_good(&scene);
	file_write("t", "second");
	assert_bad(&scene, 10, "it answers 401");
	scene.pages[0].header = "\r\nAuthorization: second\r\n";
	assert_good(&scene);
	file_write("t", "a\r\nX: y");
	assert_bad(&scene, 10, "not what can stand in a header");
	file_write("t", "\n");
	assert_bad(&scene, 10, "not what can stand in a header");
	file_remove("t");
	assert_bad(&scene, 10, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: No such file");
	scene_close(&scene);
}

static void container_uris(void **state)
{
	static const char *const good[] = { "https://example.com/x", "https://192.0.2.1:8443/x?y",
		"http://127.0.0.1/x", "http://127.9.9.9:80/", "http://localhost/x", "http://[::1]:1/x",
		"http://169.254.170.2/x", "http://169.254.170.23/v1/credentials",
		"http://[fd00:ec2::23]/v1/credentials" };
	static const char *const bad[] = { "http://192.0.2.1/x", "http://169.254.169.254/x",
		"http://127.0.0.1.example.com/x", "http://localhost.example.com/x", "http://example.com",
		"http://[fd00:ec2::24]/x", "http://127.1/x", "http://0x7f000001/x", "http://127.0.0.1@x/",
		"ftp://127.0.0.1/x", "http:/127.0.0.1", "http://", "https://", "https://a b/",
		"https://a/b c", "https://a/\n", "https://u:p@a/", "https://a:/", "https://a:123456/",
		"https://a#b", "https://A/", "//127.0.0.1/", "127.0.0.1", "http://[127.0.0.1/x" };
	static const char *const bad_paths[] = { "x", "http://x", "/a b", "/a\n", "/a#b", "/\xc3\xbc" };
	struct scene scene;

	(void)state;
	scene_open(&scene);
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", good[i], 1);
		choose(&scene, "container");
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", bad[i], 1);
		choose_refused(&scene, "AWS_CONTAINER_CREDENTIALS_FULL_URI");
	}
	for (size_t i = 0; i < sizeof(bad_paths) / sizeof(bad_paths[0]); i++) {
		setenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", bad_paths[i], 1);
		choose_refused(&scene, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
	}
	setenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/x", 1);
	setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "a\r\nb", 1);
	choose_refused(&scene, "AWS_CONTAINER_AUTHORIZATION_TOKEN");
	scene_close(&scene);
}

/* ---- an instance's role */

#define ROLES "/latest/meta-data/iam/security-credentials/"

static void instance_open(struct scene *scene)
{
	scene_open(scene);
	setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", scene->fake.url, 1);
	scene->pages[0] = (struct page){ "PUT /latest/api/token HTTP",
		"\r\nX-aws-ec2-metadata-token-ttl-seconds: ", { .body = "t0ken=" } };
	scene->pages[1] = (struct page){ "GET " ROLES " HTTP", "\r\nX-aws-ec2-metadata-token: t0ken=\r\n",
		{ .body = "web-tier" } };
	scene->pages[2] = (struct page){ "GET " ROLES "web-tier HTTP",
		"\r\nX-aws-ec2-metadata-token: t0ken=\r\n", { .body = JSON } };
	choose(scene, "the instance metadata service");
}

static void instance_role(void **state)
{
	struct scene scene;

	(void)state;
	instance_open(&scene);
	assert_good(&scene);
	assert_int_equal(scene.fake.requests, 3);
	for (unsigned i = 0; i < 3; i++)
		assert_bad_replies(&scene, &scene.pages[i].reply);
	scene.pages[2].reply.body = "{\"Code\": \"AssumeRoleUnauthorizedAccess\", \"Message\": \"m\"}";
	assert_bad(&scene, 10, "its Code is not Success");
	scene_close(&scene);
}

static void instance_names(void **state)
{
	static const char *const roles[] = { "a\nb", "../api/token", "a/b", "a b", "r\xc3\xbc",
		"abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklm" };
	static char token[2048];
	struct scene scene;

	(void)state;
	instance_open(&scene);
	for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++) {
		scene.pages[1].reply.body = roles[i];
		assert_bad(&scene, 10, "role: not one role's name");
	}
	memset(token, 't', sizeof(token) - 1);
	scene.pages[0].reply.body = token;
	assert_bad(&scene, 10, "token: empty, too long");
	/* no page without a token, whatever the service would allow */
	scene.fake.requests = 0;
	scene.pages[0].reply = (struct fake_reply){ .status = 405 };
	assert_bad(&scene, 10, "token: it answers 405");
	assert_int_equal(scene.fake.requests, 1);
	scene.pages[0].reply = (struct fake_reply){ .hold = true };
	assert_bad(&scene, 0.2, "hop limit");
	scene_close(&scene);
}

/* ---- a web identity */

#define STS_ANSWER(action, account, role, session)                                                           \
	"<" action "Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><" action                   \
	"Result><AssumedRoleUser><Arn>arn:aws:sts::" account ":assumed-role/" role "/" session               \
	"</Arn></AssumedRoleUser><Credentials><AccessKeyId>" ID "</AccessKeyId><SecretAccessKey>" SECRET     \
	"</SecretAccessKey><SessionToken>t</SessionToken><Expiration>2100-01-01T00:00:00Z</Expiration>"      \
	"</Credentials></" action "Result></" action "Response>"
#define STS_ERROR(code)                                                                                      \
	"<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Code>" code              \
	"</Code></Error></ErrorResponse>"

static void web_identity(void **state)
{
	struct scene scene;

	(void)state;
	scene_open(&scene);
	setenv("AWS_WEB_IDENTITY_TOKEN_FILE", file_write("t", "a.b.c\n"), 1);
	setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/p/r", 1);
	scene.pages[0] = (struct page){ "POST / HTTP", "\r\nContent-Type: application/x-www-form-urlencoded",
		{ .body = STS_ANSWER("AssumeRoleWithWebIdentity", "123456789012", "r", "vouchsafe-rp-1") } };
	choose(&scene, "AssumeRoleWithWebIdentity");
	assert_good(&scene);
	assert_false(scene.authorized);
	assert_string_equal(scene.body,
		"Action=AssumeRoleWithWebIdentity&RoleArn=arn%3Aaws%3Aiam%3A%"
		"3A123456789012%3Arole%2Fp%2Fr&RoleSessionName=vouchsafe-rp-1&Version="
		"2011-06-15&WebIdentityToken=a.b.c");
	file_write("t", "d.e.f"); /* each time anew */
	assert_good(&scene);
	assert_non_null(strstr(scene.body, "WebIdentityToken=d.e.f"));
	setenv("AWS_ROLE_SESSION_NAME", "other", 1);
	choose(&scene, "AssumeRoleWithWebIdentity");
	assert_bad(&scene, 10, "Arn: is not the role");
	scene.pages[0].reply =
		(struct fake_reply){ .status = 400, .body = STS_ERROR("ExpiredTokenException") };
	assert_bad(&scene, 10, "it answered 400 ExpiredTokenException");
	scene.pages[0].reply = (struct fake_reply){ .body = STS_ERROR("AccessDenied") };
	assert_bad(&scene, 10, "AccessDenied");
	scene.pages[0].reply = (struct fake_reply){ .body = JSON };
	assert_bad(&scene, 10, "AssumeRoleWithWebIdentity: ");
	scene.pages[0].reply = (struct fake_reply){ .drop = true };
	assert_bad(&scene, 10, "cut");
	file_write("t", "a b");
	assert_bad(&scene, 10, "no token");
	file_remove("t");
	assert_bad(&scene, 10, "AWS_WEB_IDENTITY_TOKEN_FILE: No such file");
	scene_close(&scene);
}

/* ---- roles, by principals.h */

static void sts_answer(struct fake *fake, const struct fake_request *request, struct fake_reply *reply)
{
	struct scene *scene = fake->context;

	scene->authorized = strstr(request->head, "Credential=AKIAIOSFODNN7EXAMPLE/") &&
			    strstr(request->head, "/us-west-2/sts/aws4_request");
	if (strstr(request->body, "%3A333333333333%3A"))
		*reply = (struct fake_reply){ .status = 403, .body = STS_ERROR("AccessDenied") };
	else if (!scene->authorized || !strstr(request->body, "&ExternalId=ext&"))
		*reply = (struct fake_reply){ .status = 403, .body = STS_ERROR("SignatureDoesNotMatch") };
	else
		reply->body = STS_ANSWER("AssumeRole", "210987654321", "r", "vouchsafe-rp-1");
}

static void account_set(struct aws_account *account, const char *id, bool role)
{
	strcpy(account->id, id);
	account->n_regions = 1;
	strcpy(account->regions[0], "us-west-2");
	if (!role)
		return;
	snprintf(account->assume_role, sizeof(account->assume_role), "arn:aws:iam::%s:role/r", id);
	strcpy(account->external_id, "ext");
}

/* One account of our own, one whose role is given, one whose role is refused. */
static void roles_apart(void **state)
{
	struct aws_settings *settings = calloc(1, sizeof(*settings));
	struct credentials *own, *good, *bad;
	struct credentials_status status;
	struct complaint complaint;
	struct scene scene;

	(void)state;
	scene_open(&scene);
	scene.fake.answer = sts_answer;
	setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE", 1);
	setenv("AWS_SECRET_ACCESS_KEY", SECRET, 1);
	assert_non_null(settings);
	settings->n_accounts = 3;
	account_set(&settings->accounts[0], "333333333333", true);
	account_set(&settings->accounts[1], "123456789012", false);
	account_set(&settings->accounts[2], "210987654321", true);
	strcpy(settings->sts_endpoint, scene.fake.url);
	strcpy(settings->session, "vouchsafe-rp-1");
	scene.caller.principals = principals_new(settings, &scene.caller, &complaint);
	assert_non_null(scene.caller.principals);
	own = principals_of(scene.caller.principals, "123456789012");
	good = principals_of(scene.caller.principals, "210987654321");
	bad = principals_of(scene.caller.principals, "333333333333");
	assert_true(own && good && bad && own != good && good != bad && own != bad);
	assert_null(principals_of(scene.caller.principals, "444444444444"));
	while (!credentials_ready(good) || credentials_why(bad)[0] == '\0') {
		principals_advance(scene.caller.principals, monotonic_now());
		http_step(scene.caller.http, 10);
	}
	assert_true(credentials_ready(own) && !credentials_ready(bad));
	assert_string_equal(credentials_why(bad), "AssumeRole: it answered 403 AccessDenied");
	assert_string_equal(credentials_why(good), "");
	assert_true(principals_status(scene.caller.principals, 0, &status));
	assert_string_equal(status.account, "123456789012");
	assert_true(principals_status(scene.caller.principals, 2, &status));
	assert_true(status.there && status.expires == END);
	assert_string_equal(status.account, "210987654321");
	assert_false(principals_status(scene.caller.principals, 3, &status));
	http_close(scene.caller.http);
	principals_free(scene.caller.principals);
	scene.caller.http = NULL;
	free(settings);
	scene_close(&scene);
}

/* ---- a call that needs keys */

struct asking {
	struct scene scene;
	struct principals *principals;
	struct service ec2;
	struct call call;
	enum call_result result;
	unsigned dones, keys, calls; /* answered: calls, by the container and by EC2 */
	unsigned refusals; /* of EC2's still to come */
	bool no_keys;
};

/* Keys number n have the id ASIA...n; EC2 takes none but the latest. */
static void asking_answer(struct fake *fake, const struct fake_request *request, struct fake_reply *reply)
{
	struct asking *asking = fake->context;
	char *body = NULL, latest[64];

	if (strncmp(request->head, "GET /keys ", 10) == 0) {
		reply->status = asking->no_keys ? 500 : 200;
		asking->keys++;
		assert_true(
			asprintf(&body,
				"{\"AccessKeyId\": \"ASIAIOSFODNN7EXAMPL%u\", \"SecretAccessKey\": \"" SECRET
				"\", \"Token\": \"t\", \"Expiration\": \"2100-01-01T00:00:00Z\"}",
				asking->keys) > 0);
		reply->body = body;
		reply->owned = true;
		return;
	}
	asking->calls++;
	snprintf(latest, sizeof(latest), "Credential=ASIAIOSFODNN7EXAMPL%u/", asking->keys);
	if (asking->refusals == 0 && strstr(request->head, latest))
		return;
	asking->refusals -= asking->refusals > 0;
	reply->status = 400;
	reply->body = "<Response><Errors><Error><Code>RequestExpired</Code></Error></Errors></Response>";
}

static void asking_done(struct call *call, enum call_result result)
{
	struct asking *asking = call->context;

	asking->dones++;
	asking->result = result;
}

static void asking_open(struct asking *asking)
{
	static struct aws_settings settings;
	struct complaint complaint;
	char url[96];

	memset(asking, 0, sizeof(*asking));
	scene_open(&asking->scene);
	asking->scene.fake.answer = asking_answer;
	asking->scene.fake.context = asking;
	snprintf(url, sizeof(url), "%s/keys", asking->scene.fake.url);
	setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", url, 1);
	settings.n_accounts = 1;
	account_set(&settings.accounts[0], "123456789012", false);
	asking->principals = principals_new(&settings, &asking->scene.caller, &complaint);
	assert_non_null(asking->principals);
	assert_true(service_ec2(&asking->ec2, aws_region_find("us-east-1"), asking->scene.fake.url));
	asking->ec2.credentials = principals_of(asking->principals, "123456789012");
}

static void asking_close(struct asking *asking)
{
	http_close(asking->scene.caller.http);
	asking->scene.caller.http = NULL;
	principals_free(asking->principals);
	scene_close(&asking->scene);
}

static enum call_result asking_ask(struct asking *asking, double seconds)
{
	unsigned before = asking->dones;

	form_add(&asking->call.form, "Action", "DescribeInstances");
	asking->call.done = asking_done;
	asking->call.context = asking;
	call_send(&asking->call, &asking->scene.caller, &asking->ec2,
		monotonic_now() + (long long)(seconds * 1e9));
	assert_int_equal(asking->dones, before);
	while (asking->dones == before) {
		principals_advance(asking->principals, monotonic_now());
		http_step(asking->scene.caller.http, 10);
	}
	assert_int_equal(asking->dones, before + 1);
	call_clear(&asking->call);
	return asking->result;
}

static void calls_wait_for_keys(void **state)
{
	struct asking asking;
	long long began;

	(void)state;
	asking_open(&asking);
	asking.no_keys = true;
	began = monotonic_now();
	assert_int_equal(asking_ask(&asking, 0.5), CALL_PASSING);
	assert_in_range(monotonic_now() - began, SECOND / 2, 10 * SECOND);
	assert_string_equal(asking.call.told, "the container's credentials endpoint: it answers 500");
	assert_int_equal(asking.calls, 0);
	asking.no_keys = false;
	assert_int_equal(asking_ask(&asking, 20), CALL_ANSWERED);
	assert_int_equal(asking.calls, 1);
	asking_close(&asking);
}

static void refused_calls_are_repeated_once(void **state)
{
	struct asking asking;

	(void)state;
	asking_open(&asking);
	assert_int_equal(asking_ask(&asking, 20), CALL_ANSWERED);
	asking.refusals = 1;
	assert_int_equal(asking_ask(&asking, 20), CALL_ANSWERED);
	assert_true(asking.keys == 2 && asking.calls == 3);
	asking.refusals = 2;
	assert_int_equal(asking_ask(&asking, 20), CALL_REFUSED);
	assert_string_equal(asking.call.code, "RequestExpired");
	assert_true(asking.keys == 3 && asking.calls == 5);
	/* no others come in time: it ends with the deadline, as trouble that passes */
	asking.refusals = 1;
	asking.no_keys = true;
	assert_int_equal(asking_ask(&asking, 1.5), CALL_PASSING);
	assert_int_equal(asking.calls, 6);
	asking_close(&asking);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(order),
		cmocka_unit_test(mistaken),
		cmocka_unit_test(environment),
		cmocka_unit_test(environment_refused),
		cmocka_unit_test(shared_file),
		cmocka_unit_test(container),
		cmocka_unit_test(container_uris),
		cmocka_unit_test(instance_role),
		cmocka_unit_test(instance_names),
		cmocka_unit_test(web_identity),
		cmocka_unit_test(roles_apart),
		cmocka_unit_test(calls_wait_for_keys),
		cmocka_unit_test(refused_calls_are_repeated_once),
	};

	return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
