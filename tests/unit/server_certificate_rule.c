/* A rule against a certificate's names: each member matches the one spelling that it is for. */
#include "server/certificate_rule.h"
#include "tests/unit/certificate_fixture.h"

static struct issuer authority;

static int set_up(void **state)
{
	(void)state;
	authority = authority_of("Authority", NULL);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	issuer_clear(&authority);
	EVP_PKEY_free(shared_key());
	return 0;
}

static bool matches(X509 *certificate, struct certificate_rule rule)
{
	bool match = certificate_rule_matches(&rule, certificate);

	X509_free(certificate);
	return match;
}

static bool san_matches(const char *san, struct certificate_rule rule)
{
	const struct likeness like = { .san = san };

	return matches(certificate_of(&like, &authority), rule);
}

#define DNS(name) ((struct certificate_rule){ .dns = name })

static void dns_exact(void **state)
{
	static const char *const strangers[] = { "DNS:b.audit.example.com", "DNS:aa.audit.example.com",
		"DNS:audit.example.com", "DNS:b.a.audit.example.com", "DNS:a.audit.example.com.evil.com",
		"DNS:a.audit.example.co", "DNS:a.audit.example.com.", "DNS:*.audit.example.com",
		"DNS:*.example.com", "DNS:*", "DNS:.audit.example.com", "DNS:a-audit.example.com",
		"email:a.audit.example.com", "URI:a.audit.example.com", "IP:10.0.0.1",
		"otherName:1.2.3;UTF8:a.audit.example.com" };
	size_t i;

	(void)state;
	assert_true(san_matches("DNS:a.audit.example.com", DNS("a.audit.example.com")));
	assert_true(san_matches("DNS:A.Audit.EXAMPLE.com", DNS("a.audit.example.com")));
	assert_true(san_matches("DNS:a.audit.example.com", DNS("A.AUDIT.example.COM")));
	assert_true(san_matches(
		"IP:10.0.0.1,DNS:x,email:a@b.c,DNS:a.audit.example.com", DNS("a.audit.example.com")));
	for (i = 0; i < sizeof(strangers) / sizeof(strangers[0]); i++) {
		if (san_matches(strangers[i], DNS("a.audit.example.com")))
			fail_msg("matches: %s", strangers[i]);
	}
}

static void dns_wildcard(void **state)
{
	static const char *const strangers[] = { "DNS:audit.example.com", "DNS:.audit.example.com",
		"DNS:*.audit.example.com", "DNS:b.a.audit.example.com", "DNS:evilaudit.example.com",
		"DNS:a.evilaudit.example.com", "DNS:a.audit.example.com.evil.com", "DNS:-a.audit.example.com",
		"DNS:a-.audit.example.com", "DNS:a_b.audit.example.com", "DNS:a*.audit.example.com",
		"DNS:xn--tda.audit.example.com", "DNS:XN--tda.audit.example.com", "DNS:a b.audit.example.com",
		"DNS:..audit.example.com", "IP:10.0.0.1",
		"DNS:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.audit.example.com" };
	size_t i;

	(void)state;
	assert_true(san_matches("DNS:a.audit.example.com", DNS("*.audit.example.com")));
	assert_true(san_matches("DNS:A-1.AUDIT.example.com", DNS("*.audit.example.com")));
	assert_true(san_matches("DNS:xn--tda.audit.example.com", DNS("xn--tda.audit.example.com")));
	for (i = 0; i < sizeof(strangers) / sizeof(strangers[0]); i++) {
		if (san_matches(strangers[i], DNS("*.audit.example.com")))
			fail_msg("matches: %s", strangers[i]);
	}
}

static void common_name_never(void **state)
{
	const struct likeness like = { .subject = { { "CN", "a.audit.example.com" } } };
	const struct likeness mail = { .subject = { { "emailAddress", "a@example.com", V_ASN1_IA5STRING } } };

	(void)state;
	assert_false(matches(certificate_of(&like, &authority), DNS("a.audit.example.com")));
	assert_false(matches(certificate_of(&like, &authority), DNS("*.audit.example.com")));
	assert_false(matches(
		certificate_of(&mail, &authority), (struct certificate_rule){ .email = "a@example.com" }));
}

/* One name with any bytes, among them NUL. */
static X509 *certificate_with(int type, const char *bytes, int length)
{
	const struct likeness like = { 0 };
	X509 *certificate = certificate_form(&like, &authority);
	GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
	GENERAL_NAME *name = GENERAL_NAME_new();
	ASN1_IA5STRING *text = ASN1_IA5STRING_new();

	assert_true(ASN1_STRING_set(text, bytes, length));
	GENERAL_NAME_set0_value(name, type, text);
	assert_true(sk_GENERAL_NAME_push(names, name));
	assert_true(X509_add1_ext_i2d(certificate, NID_subject_alt_name, names, 0, X509V3_ADD_DEFAULT));
	certificate_sign(certificate, authority.key, NULL);
	GENERAL_NAMES_free(names);
	return certificate;
}

static void nul_inside(void **state)
{
	static const char dns[] = "a.audit.example.com\0.evil.com";
	static const char before[] = "evil\0a.audit.example.com";
	static const char email[] = "a@example.com\0@evil.com";
	static const char uri[] = "spiffe://example.com/a\0b";

	(void)state;
	assert_true(matches(certificate_with(GEN_DNS, dns, 19), DNS("a.audit.example.com")));
	assert_false(matches(certificate_with(GEN_DNS, dns, sizeof(dns) - 1), DNS("a.audit.example.com")));
	assert_false(matches(certificate_with(GEN_DNS, dns, 20), DNS("a.audit.example.com")));
	assert_false(
		matches(certificate_with(GEN_DNS, before, sizeof(before) - 1), DNS("*.audit.example.com")));
	assert_false(matches(certificate_with(GEN_DNS, "", 0), DNS("a.audit.example.com")));
	assert_false(matches(certificate_with(GEN_EMAIL, email, sizeof(email) - 1),
		(struct certificate_rule){ .email = "a@example.com" }));
	assert_false(matches(certificate_with(GEN_URI, uri, sizeof(uri) - 1),
		(struct certificate_rule){ .uri = "spiffe://example.com/a" }));
}

/* Two extensions have two readings. */
static void two_extensions(void **state)
{
	const struct likeness like = { .san = "DNS:a.audit.example.com" };
	X509 *certificate = certificate_form(&like, &authority);

	(void)state;
	extension_add(certificate, NID_subject_alt_name, "DNS:b.audit.example.com");
	certificate_sign(certificate, authority.key, NULL);
	assert_false(matches(certificate, DNS("a.audit.example.com")));
}

static void email(void **state)
{
	const struct certificate_rule rule = { .email = "Ann@example.com" };

	(void)state;
	assert_true(san_matches("email:Ann@example.com", rule));
	assert_true(san_matches("email:Ann@EXAMPLE.com", rule));
	assert_false(san_matches("email:ann@example.com", rule));
	assert_false(san_matches("email:Ann@example.org", rule));
	assert_false(san_matches("email:Anne@example.com", rule));
	assert_false(san_matches("email:Ann@b.example.com", rule));
	assert_false(san_matches("email:\"x@y\"Ann@example.com", rule));
	assert_false(san_matches("DNS:Ann@example.com", rule));
}

static void uri(void **state)
{
	const struct certificate_rule rule = { .uri = "spiffe://example.com/a" };

	(void)state;
	assert_true(san_matches("URI:spiffe://example.com/a", rule));
	assert_false(san_matches("URI:spiffe://EXAMPLE.com/a", rule));
	assert_false(san_matches("URI:spiffe://example.com/A", rule));
	assert_false(san_matches("URI:spiffe://example.com/a/", rule));
	assert_false(san_matches("URI:spiffe://example.com/%61", rule));
	assert_false(san_matches("DNS:spiffe://example.com/a", rule));
}

static bool subject_matches(const struct likeness *like, const char *text)
{
	struct certificate_rule rule = { 0 };

	snprintf(rule.subject, sizeof(rule.subject), "%s", text);
	return matches(certificate_of(like, &authority), rule);
}

static void subject(void **state)
{
	static const struct likeness usual = { 0 };
	static const struct likeness commas = { .subject = { { "O", "Example, Inc" }, { "CN", "a+b" } } };
	static const struct likeness trick = { .subject = { { "CN", "tester,O=Example" } } };
	static const struct likeness accents = { .subject = { { "CN", "b\xc3\xbc" } } };
	static const struct likeness printable = { .subject = { { "O", "Example", V_ASN1_PRINTABLESTRING },
							   { "CN", "tester", V_ASN1_IA5STRING } } };

	(void)state;
	assert_true(subject_matches(&usual, "CN=tester,O=Example"));
	assert_true(subject_matches(&printable, "CN=tester,O=Example"));
	assert_true(subject_matches(&commas, "CN=a\\+b,O=Example\\, Inc"));
	assert_true(subject_matches(&accents, "CN=b\\C3\\BC"));
	assert_false(subject_matches(&usual, "O=Example,CN=tester"));
	assert_false(subject_matches(&usual, "CN=tester"));
	assert_false(subject_matches(&usual, "CN=tester,O=Example,C=DE"));
	assert_false(subject_matches(&usual, "CN=Tester,O=Example"));
	assert_false(subject_matches(&usual, "cn=tester,O=Example"));
	assert_false(subject_matches(&usual, "CN=tester,O=Example "));
	assert_false(subject_matches(&trick, "CN=tester,O=Example"));
}

/* Names with two readings. */
static void subjects_refused(void **state)
{
	static const struct likeness joined = { .subject = {
							{ "O", "Example" }, { "CN", "tester", 0, true } } };
	static const struct likeness wide = { .subject = { { "CN", "tester", V_ASN1_T61STRING } } };
	static const struct likeness bmp = { .subject = { { "CN", "\1e\1f", V_ASN1_BMPSTRING } } };
	const struct likeness like = { 0 };
	X509 *certificate = certificate_form(&like, &authority);
	X509_NAME *name = X509_NAME_new();
	struct certificate_rule rule = { .subject = "CN=tester\\00x" };

	(void)state;
	assert_false(subject_matches(&joined, "CN=tester+O=Example"));
	assert_false(subject_matches(&joined, "O=Example+CN=tester"));
	assert_false(subject_matches(&wide, "CN=tester"));
	assert_false(subject_matches(&bmp, "CN=\\C5\\A5\\C5\\A6"));
	assert_true(X509_NAME_add_entry_by_txt(
		name, "CN", V_ASN1_UTF8STRING, (const unsigned char *)"tester\0x", 8, -1, 0));
	assert_true(X509_set_subject_name(certificate, name));
	X509_NAME_free(name);
	certificate_sign(certificate, authority.key, NULL);
	X509_up_ref(certificate);
	assert_false(matches(certificate, rule));
	assert_false(matches(certificate, (struct certificate_rule){ .subject = "CN=tester" }));
}

static void all_of_it(void **state)
{
	static const char san[] = "DNS:a.example.com,email:a@example.com,URI:spiffe://example.com/a";
	const struct certificate_rule whole = { "CN=Authority", "CN=tester,O=Example", "a.example.com",
		"a@example.com", "spiffe://example.com/a" };
	struct certificate_rule rule = whole;

	(void)state;
	assert_true(san_matches(san, whole));
	strcpy(rule.issuer, "CN=Authoritx");
	assert_false(san_matches(san, rule));
	rule = whole;
	strcpy(rule.subject, "CN=tester");
	assert_false(san_matches(san, rule));
	rule = whole;
	strcpy(rule.dns, "b.example.com");
	assert_false(san_matches(san, rule));
	rule = whole;
	strcpy(rule.email, "b@example.com");
	assert_false(san_matches(san, rule));
	rule = whole;
	strcpy(rule.uri, "spiffe://example.com/b");
	assert_false(san_matches(san, rule));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(dns_exact),
		cmocka_unit_test(dns_wildcard),
		cmocka_unit_test(common_name_never),
		cmocka_unit_test(nul_inside),
		cmocka_unit_test(two_extensions),
		cmocka_unit_test(email),
		cmocka_unit_test(uri),
		cmocka_unit_test(subject),
		cmocka_unit_test(subjects_refused),
		cmocka_unit_test(all_of_it),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
