/* aws/xml.c: whatever is odd is refused, and says why in our words. */
#include "aws/xml.h"
#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <unistd.h>

#define NS "http://example.com/doc/"
#define OPEN "<Answer xmlns=\"" NS "\">"
#define CLOSE "</Answer>"
#define ARN "<thing><arn>a:b</arn></thing>"

struct seen {
	char arn[16];
	unsigned items, ended;
	char item[64];
};

static bool item_begin(void *context)
{
	struct seen *seen = context;

	return ++seen->items <= 3;
}

static bool item_end(void *context)
{
	struct seen *seen = context;

	seen->ended++;
	return true;
}

static bool item_text(void *context, const char *text)
{
	struct seen *seen = context;

	snprintf(seen->item, sizeof(seen->item), "%s", text);
	return strcmp(text, "bad") != 0;
}

static const struct xml_rule rules[] = {
	{ 1, "thing" },
	{ 2, "arn", XML_STORE(struct seen, arn) },
	{ 1, "items" },
	{ 2, "item", .many = true, .begin = item_begin, .end = item_end },
	{ 3, "name", .text = item_text },
	{ 1, "last" },
};

static const struct xml_outline outline = { "Answer", rules, sizeof(rules) / sizeof(rules[0]) };

static bool read_text(const char *text, size_t length, struct seen *seen, char *why)
{
	memset(seen, 0, sizeof(*seen));
	strcpy(why, "");
	return xml_read(&outline, NS, (struct bytes){ (const unsigned char *)text, length }, seen, why);
}

static void taken(void **state)
{
	static const char *const good[] = {
		OPEN ARN CLOSE,
		"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n" OPEN "\n  " ARN "\n" CLOSE "\n",
		"<?xml version=\"1.0\" encoding=\"utf-8\"?>" OPEN ARN CLOSE,
		"<?xml version=\"1.0\"?><!-- c -->" OPEN "<!-- c --><x>t</x>" ARN
		"<x y=\"1\"><arn>q</arn><arn/></x>" CLOSE,
		OPEN "<thing><arn>a&#58;b</arn></thing>" CLOSE,
		OPEN "<thing><arn>a:b</arn><arns>c</arns></thing><arn>d</arn>" CLOSE,
		OPEN "<x><![CDATA[ <thing> ]]></x>" ARN CLOSE,
	};
	struct seen seen;
	char why[XML_WHY_SIZE];

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_true(read_text(good[i], strlen(good[i]), &seen, why));
		assert_string_equal(seen.arn, "a:b");
	}
}

static void handed_over(void **state)
{
	const char *text = OPEN
		"<items><item><name>a &lt;&amp;&gt;&quot;&apos;&#xe9;</name></item><item/><item>"
		"<other/></item></items><last/>" CLOSE;
	struct seen seen;
	char why[XML_WHY_SIZE];

	(void)state;
	assert_true(read_text(text, strlen(text), &seen, why));
	assert_int_equal(seen.items, 3);
	assert_int_equal(seen.ended, 3);
	assert_string_equal(seen.item, "a <&>\"'\xc3\xa9");
}

static void attack_23_what_aws_never_sends(void **state)
{
	static const struct {
		const char *text, *why;
	} cases[] = {
		{ "", "not XML" },
		{ "x", "not XML" },
		{ " " OPEN ARN CLOSE, "not XML" },
		{ "\xef\xbb\xbf" OPEN ARN CLOSE, "not XML" },
		{ "{\"Answer\": \"" OPEN ARN CLOSE "\"}", "not XML" },
		/* another root, another namespace */
		{ "<answer xmlns=\"" NS "\">" ARN "</answer>", "root" },
		{ "<Response><Errors><Error><Code>X</Code></Error></Errors></Response>", "namespace" },
		{ "<Answer>" ARN CLOSE, "namespace" },
		{ "<Answer xmlns=\"http://example.com/doc\">" ARN CLOSE, "namespace" },
		{ "<a:Answer xmlns:a=\"" NS "\" xmlns=\"" NS "\">" ARN "</a:Answer>", "namespace" },
		{ OPEN "<thing xmlns=\"x\"><arn>a</arn></thing>" CLOSE, "namespace" },
		{ OPEN "<thing><arn xmlns=\"\">a</arn></thing>" CLOSE, "namespace" },
		{ OPEN "<e:thing xmlns:e=\"" NS "\"/>" CLOSE, "namespace" },
		/* twice */
		{ OPEN ARN ARN CLOSE, "thing: is there twice" },
		{ OPEN "<thing><arn>a</arn><arn>a</arn></thing>" CLOSE, "arn: is there twice" },
		{ OPEN "<thing><arn/><arn>a</arn></thing>" CLOSE, "arn: is there twice" },
		{ OPEN "<items><item><name>a</name><name>b</name></item></items>" CLOSE,
			"name: is there twice" },
		/* inside a text */
		{ OPEN "<thing><arn>a<!-- -->b</arn></thing>" CLOSE, "arn: has a comment" },
		{ OPEN "<thing><arn><!-- -->a:b</arn></thing>" CLOSE, "arn: has a comment" },
		{ OPEN "<thing><arn><![CDATA[a:b]]></arn></thing>" CLOSE, "arn: has CDATA" },
		{ OPEN "<thing><![CDATA[a:b]]></thing>" CLOSE, "thing: has CDATA" },
		{ OPEN "<thing><arn>a<b/></arn></thing>" CLOSE, "arn: has elements" },
		{ OPEN "<thing><arn x=\"1\">a</arn></thing>" CLOSE, "arn: has attributes" },
		{ OPEN "<thing x=\"1\"><arn>a</arn></thing>" CLOSE, "thing: has attributes" },
		{ OPEN "<thing>x<arn>a</arn></thing>" CLOSE, "thing: has text" },
		{ OPEN "x" ARN CLOSE, "Answer: has text" },
		/* more than a byte: the parser's buffer is gone after the first */
		{ OPEN "<thing>text where none is<arn>a</arn></thing>" CLOSE, "thing: has text" },
		{ OPEN "<thing><arn>0123456789abcdef</arn></thing>" CLOSE, "arn: is too long" },
		{ OPEN "<items><item><name>bad</name></item></items>" CLOSE, "name: is not of its form" },
		{ OPEN "<items><item/><item/><item/><item/></items>" CLOSE, "item: must not stand here" },
		/* what XML can do and AWS does not */
		{ "<!DOCTYPE Answer>" OPEN ARN CLOSE, "DOCTYPE" },
		{ "<!DOCTYPE Answer [<!ENTITY e \"a:b\">]>" OPEN "<thing><arn>&e;</arn></thing>" CLOSE,
			"DOCTYPE" },
		{ "<!DOCTYPE Answer SYSTEM \"file:///etc/passwd\">" OPEN ARN CLOSE, "DOCTYPE" },
		{ "<!DOCTYPE Answer [<!ENTITY % p SYSTEM \"http://127.0.0.1:9/\"> %p;]>" OPEN ARN CLOSE,
			"DOCTYPE" },
		{ "<!DOCTYPE Answer [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b "
		  "\"&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;\"><!ENTITY c "
		  "\"&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;\">]>" OPEN "<thing><arn>&c;</arn></thing>" CLOSE,
			"DOCTYPE" },
		{ OPEN "<thing><arn>&e;</arn></thing>" CLOSE, "well-formed" },
		{ OPEN "<thing><arn>a<?pi x?></arn></thing>" CLOSE, "processing instruction" },
		{ "<?pi x?>" OPEN ARN CLOSE, "processing instruction" },
		{ "<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?>" OPEN ARN CLOSE, "UTF-8" },
		{ "<?xml version=\"1.0\" encoding=\"UTF-16\"?>" OPEN ARN CLOSE, "" },
		{ "<?xml version=\"1.0\" encoding=\"UTF-7\"?>" OPEN ARN CLOSE, "" },
		{ "<?xml version=\"1.0\" encoding=\"US-ASCII\"?>" OPEN ARN CLOSE, "" },
		{ OPEN "<thing><arn>\xe9</arn></thing>" CLOSE, "well-formed" },
		{ OPEN "<thing><arn>\xc0\x80</arn></thing>" CLOSE, "well-formed" },
		{ OPEN "<thing><arn>\xed\xa0\x80</arn></thing>" CLOSE, "well-formed" },
		{ OPEN "<thing><arn>&#0;</arn></thing>" CLOSE, "well-formed" },
		{ OPEN "<thing><arn>\x01</arn></thing>" CLOSE, "well-formed" },
		/* not whole, or more than whole */
		{ OPEN ARN CLOSE "x", "well-formed" },
		{ OPEN ARN CLOSE OPEN ARN CLOSE, "well-formed" },
		{ OPEN ARN CLOSE "<x/>", "well-formed" },
		{ OPEN "<thing><arn>a</thing></arn>" CLOSE, "well-formed" },
		{ OPEN "<x a=1/>" ARN CLOSE, "well-formed" },
		{ "<!-- only -->", "well-formed" },
	};
	struct seen seen;
	char why[XML_WHY_SIZE];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (read_text(cases[i].text, strlen(cases[i].text), &seen, why) || !strstr(why, cases[i].why))
			fail_msg("%s: %s", cases[i].text, why);
	}
}

/* Cut anywhere it is refused; so is a NUL anywhere. */
static void attack_23_truncated(void **state)
{
	const char *text = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>" OPEN "<x>y</x>" ARN
			   "<items><item><name>a&amp;</name>"
			   "</item></items>" CLOSE;
	size_t length = strlen(text);
	char *copy = malloc(length);
	struct seen seen;
	char why[XML_WHY_SIZE];

	(void)state;
	assert_non_null(copy);
	assert_true(read_text(text, length, &seen, why));
	for (size_t i = 0; i < length; i++) {
		assert_false(read_text(text, i, &seen, why));
		memcpy(copy, text, length);
		copy[i] = '\0';
		assert_false(read_text(copy, length, &seen, why));
	}
	free(copy);
}

static void attack_23_utf_16(void **state)
{
	const char *text = OPEN ARN CLOSE;
	size_t length = strlen(text);
	char wide[2 + 2 * sizeof(OPEN ARN CLOSE)] = "\xff\xfe";
	struct seen seen;
	char why[XML_WHY_SIZE];

	(void)state;
	for (size_t i = 0; i < length; i++) {
		wide[2 + 2 * i] = text[i];
		wide[3 + 2 * i] = '\0';
	}
	assert_false(read_text(wide, 2 + 2 * length, &seen, why));
	assert_false(read_text(wide + 2, 2 * length, &seen, why));
}

static char *repeated(const char *before, const char *piece, size_t times, const char *after, size_t *length)
{
	size_t one = strlen(piece);
	char *text = malloc(strlen(before) + times * one + strlen(after) + 1);
	char *at;

	assert_non_null(text);
	at = stpcpy(text, before);
	for (size_t i = 0; i < times; i++)
		at = stpcpy(at, piece);
	at = stpcpy(at, after);
	*length = (size_t)(at - text);
	return text;
}

static void refused_repeated(
	const char *before, const char *piece, size_t times, const char *after, const char *named)
{
	struct seen seen;
	char why[XML_WHY_SIZE];
	size_t length;
	char *text = repeated(before, piece, times, after, &length);

	assert_false(read_text(text, length, &seen, why));
	if (!strstr(why, named))
		fail_msg("%s, not %s", why, named);
	free(text);
}

static void attack_23_sizes_and_depths(void **state)
{
	struct seen seen;
	char why[XML_WHY_SIZE];
	size_t length;
	char *text;

	(void)state;
	refused_repeated(OPEN, "<x>", 10000, "", "too deep");
	refused_repeated(OPEN, "<x>", 32, "", "too deep");
	refused_repeated(OPEN, "0123456789", 1024 * 1024, CLOSE, "too large");
	refused_repeated(OPEN "<thing><arn>", "0123456789", 1000, "</arn></thing>" CLOSE, "arn: is too long");
	refused_repeated(OPEN "<thing><arn>", "&lt;", 9000, "</arn></thing>" CLOSE, "arn: is too long");
	/* much that nobody wants is not wrong */
	text = repeated(OPEN "<x>", "0123456789", 100000, "</x>" ARN CLOSE, &length);
	assert_true(read_text(text, length, &seen, why));
	free(text);
	text = repeated(OPEN, "<x><y>z</y></x>", 100000, ARN CLOSE, &length);
	assert_true(read_text(text, length, &seen, why));
	assert_string_equal(seen.arn, "a:b");
	free(text);
}

/* Does reading the text open that file? */
static bool opens_file(const char *text, const char *path)
{
	int watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	struct inotify_event event;
	struct seen seen;
	char why[XML_WHY_SIZE];
	bool opened;

	assert_true(watch >= 0 && inotify_add_watch(watch, path, IN_OPEN | IN_ACCESS) >= 0);
	assert_false(read_text(text, strlen(text), &seen, why));
	opened = read(watch, &event, sizeof(event)) > 0;
	close(watch);
	return opened;
}

/* Of this process, at its highest so far, in KiB. */
static long memory_peak(void)
{
	struct rusage usage;

	assert_int_equal(getrusage(RUSAGE_SELF, &usage), 0);
	return usage.ru_maxrss;
}

static void attack_23_no_file_is_opened(void **state)
{
	static const char *const forms[] = {
		"<!DOCTYPE Answer SYSTEM \"file://%s\">" OPEN ARN CLOSE,
		"<!DOCTYPE Answer [<!ENTITY e SYSTEM \"file://%s\">]>" OPEN
		"<thing><arn>&e;</arn></thing>" CLOSE,
		"<!DOCTYPE Answer [<!ENTITY %% e SYSTEM \"%s\"> %%e;]>" OPEN ARN CLOSE,
		OPEN "<xi:include xmlns:xi=\"http://www.w3.org/2001/XInclude\" href=\"%s\"/>" CLOSE,
	};
	char path[] = "/tmp/vouchsafe-xml-XXXXXX", text[400];
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "a:b", 3), 3);
	close(fd);
	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		snprintf(text, sizeof(text), forms[i], path);
#pragma GCC diagnostic pop
		assert_false(opens_file(text, path));
	}
	unlink(path);
}

/* Ten entities of ten of the one before: 10^9 bytes, were they expanded. */
static void attack_23_a_bomb_stays_small(void **state)
{
	char text[4096], *at = text;
	struct seen seen;
	char why[XML_WHY_SIZE];
	long before;

	(void)state;
	at += sprintf(at, "<!DOCTYPE Answer [<!ENTITY a0 \"a\">");
	for (int i = 1; i < 10; i++) {
		at += sprintf(at, "<!ENTITY a%d \"", i);
		for (int k = 0; k < 10; k++)
			at += sprintf(at, "&a%d;", i - 1);
		at += sprintf(at, "\">");
	}
	strcpy(at, "]>" OPEN "<thing><arn>&a9;</arn></thing>" CLOSE);
	before = memory_peak();
	for (int i = 0; i < 100; i++)
		assert_false(read_text(text, strlen(text), &seen, why));
	assert_non_null(strstr(why, "DOCTYPE"));
	assert_true(memory_peak() - before < 32 * 1024);
}

/* Nothing is printed, whatever is wrong. */
static void attack_25_nothing_is_printed(void **state)
{
	const char *text = "<!DOCTYPE a [<!ENTITY x \"&x;\">]><a b='<' c=\"&nope;\">\x01</b>";
	struct seen seen;
	char why[XML_WHY_SIZE];
	char printed[16] = "";
	FILE *file = tmpfile();
	int kept;

	(void)state;
	assert_non_null(file);
	fflush(stderr);
	kept = dup(2);
	dup2(fileno(file), 2);
	assert_false(read_text(text, strlen(text), &seen, why));
	assert_false(read_text(text + 32, strlen(text + 32), &seen, why));
	fflush(stderr);
	dup2(kept, 2);
	close(kept);
	rewind(file);
	assert_int_equal(fread(printed, 1, sizeof(printed), file), 0);
	fclose(file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(taken),
		cmocka_unit_test(handed_over),
		cmocka_unit_test(attack_23_what_aws_never_sends),
		cmocka_unit_test(attack_23_truncated),
		cmocka_unit_test(attack_23_utf_16),
		cmocka_unit_test(attack_23_sizes_and_depths),
		cmocka_unit_test(attack_23_no_file_is_opened),
		cmocka_unit_test(attack_23_a_bomb_stays_small),
		cmocka_unit_test(attack_25_nothing_is_printed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
