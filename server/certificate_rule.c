/* A rule held against a certificate's names. Must never look at the subject's CN for a host, nor let a name
 * of the certificate act as a pattern. */
#include "server/certificate_rule.h"

#include <openssl/bio.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <string.h>

enum { LABEL_MAX = 63 };

/* ---- ASCII, whatever the locale */

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

static bool same_folded(const char *a, const char *b, size_t length)
{
	size_t i;

	for (i = 0; i < length && lower(a[i]) == lower(b[i]); i++)
		;
	return i == length;
}

/* ---- names of the subjectAltName; `name` is not NUL-terminated */

/* One label of letters, digits and dashes that a wildcard may stand for. */
static bool label_plain(const char *label, size_t length)
{
	size_t i;

	for (i = 0; i < length; i++) {
		char c = lower(label[i]);

		if ((c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-')
			return false;
	}
	return length > 0 && length <= LABEL_MAX && label[0] != '-' && label[length - 1] != '-' &&
	       !(length >= 4 && same_folded(label, "xn--", 4));
}

static bool dns_matches(const char *rule, const char *name, size_t length)
{
	size_t rest = strlen(rule);
	size_t label = 0;

	if (rule[0] == '*') {
		rule++; /* ".audit.example.com" */
		rest--;
		if (length <= rest)
			return false;
		label = length - rest;
		if (!label_plain(name, label))
			return false;
	}
	return length - label == rest && same_folded(name + label, rule, rest);
}

static bool email_matches(const char *rule, const char *name, size_t length)
{
	size_t local = strcspn(rule, "@");

	return length == strlen(rule) && memcmp(name, rule, local) == 0 &&
	       same_folded(name + local, rule + local, length - local);
}

static bool uri_matches(const char *rule, const char *name, size_t length)
{
	return length == strlen(rule) && memcmp(name, rule, length) == 0;
}

/* Is one of the names of that type a match? No rule holds a NUL, so no name with one is. */
static bool name_find(const GENERAL_NAMES *names, int type, const char *rule,
	bool (*matches)(const char *rule, const char *name, size_t length))
{
	int i;

	if (!rule[0])
		return true; /* nothing is demanded */
	for (i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);

		if (name->type == type && matches(rule, (const char *)ASN1_STRING_get0_data(name->d.ia5),
						  (size_t)ASN1_STRING_length(name->d.ia5)))
			return true;
	}
	return false;
}

static bool alternatives_match(const struct certificate_rule *rule, const X509 *certificate)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
	bool match = name_find(names, GEN_DNS, rule->dns, dns_matches) &&
		     name_find(names, GEN_EMAIL, rule->email, email_matches) &&
		     name_find(names, GEN_URI, rule->uri, uri_matches);

	GENERAL_NAMES_free(names);
	return match;
}

/* ---- distinguished names */

/* One attribute in each set, each a string that has one reading. */
static bool dn_plain(const X509_NAME *name)
{
	int i;

	for (i = 0; i < X509_NAME_entry_count(name); i++) {
		const X509_NAME_ENTRY *entry = X509_NAME_get_entry(name, i);
		const ASN1_STRING *value = X509_NAME_ENTRY_get_data(entry);
		int type = ASN1_STRING_type(value);

		if (X509_NAME_ENTRY_set(entry) != i || ASN1_STRING_length(value) == 0 ||
			memchr(ASN1_STRING_get0_data(value), '\0', (size_t)ASN1_STRING_length(value)) ||
			(type != V_ASN1_UTF8STRING && type != V_ASN1_PRINTABLESTRING &&
				type != V_ASN1_IA5STRING))
			return false;
	}
	return true;
}

static bool dn_matches(const char *rule, const X509_NAME *name)
{
	const char *text = NULL;
	bool match = false;
	long length;
	BIO *bio;

	if (!rule[0])
		return true;
	bio = BIO_new(BIO_s_mem());
	if (bio && dn_plain(name) && X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253) > 0) {
		length = BIO_get_mem_data(bio, &text);
		match = (size_t)length == strlen(rule) && memcmp(text, rule, (size_t)length) == 0;
	}
	BIO_free(bio);
	return match;
}

bool certificate_rule_matches(const struct certificate_rule *rule, const X509 *certificate)
{
	return alternatives_match(rule, certificate) &&
	       dn_matches(rule->issuer, X509_get_issuer_name(certificate)) &&
	       dn_matches(rule->subject, X509_get_subject_name(certificate));
}
