/* audit_access: who may use the ops listener, as a person wrote it. What could never match, or would match
 * more than it seems to, is an error. */
#include "server/access_load.h"

#include "verifier/encoding.h"

#include <stdio.h>
#include <string.h>

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
static const char digits[] = "0123456789";

/* ---- the rule of a certificate */

static bool printable(const char *text)
{
	while (*text > ' ' && *text <= '~')
		text++;
	return *text == '\0';
}

/* Letters, digits and dashes (RFC 1123 section 2.1), in labels of 1 to 63. Not all digits behind the last
 * dot: that would be an address. *labels: how many. */
static bool host_valid(const char *host, unsigned *labels)
{
	const char *label = host;

	*labels = 0;
	for (;;) {
		size_t length = strcspn(label, ".");
		size_t i;

		for (i = 0; i < length; i++)
			if (!strchr(letters, label[i]) && !strchr(digits, label[i]) && label[i] != '-')
				return false;
		if (length < 1 || length > 63 || label[0] == '-' || label[length - 1] == '-')
			return false;
		++*labels;
		if (label[length] == '\0')
			return strspn(label, digits) != length;
		label += length + 1;
	}
}

static bool dns_valid(const char *name)
{
	bool wildcard = strncmp(name, "*.", 2) == 0;
	unsigned labels;

	return strlen(name) <= 253 && host_valid(wildcard ? name + 2 : name, &labels) &&
	       (!wildcard || labels >= 2);
}

static bool email_valid(const char *address)
{
	const char *at = strchr(address, '@');
	unsigned labels;

	return at && at > address && printable(address) && host_valid(at + 1, &labels);
}

static bool uri_valid(const char *uri)
{
	size_t scheme = strspn(uri, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+-.");

	return scheme > 0 && uri[scheme] == ':' && uri[scheme + 1] && printable(uri);
}

/* "CN=" or "1.2.840.1="; its length, 0 where there is none. */
static size_t dn_type_length(const char *text)
{
	size_t length = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-");

	return length > 0 && text[length] == '=' ? length + 1 : 0;
}

/* A type, a value, and so on behind each comma, as OpenSSL prints it: nothing around them, one attribute in
 * each set, and what is no printable ASCII escaped. */
static bool dn_valid(const char *name)
{
	for (;;) {
		size_t type = dn_type_length(name);
		size_t length = 0;

		name += type;
		while (name[length] && name[length] != ',') {
			char c = name[length];

			if (c < ' ' || c > '~' || strchr("+;<>\"", c) || (c == '\\' && !name[length + 1]))
				return false;
			length += c == '\\' ? 2 : 1;
		}
		if (type == 0 || length == 0 || name[0] == ' ')
			return false;
		if (name[length] == '\0')
			return true;
		name += length + 1;
	}
}

/* One name of a rule, where it is given. */
static bool rule_name_load(const struct member *rule, const char *name, char *text, size_t size,
	bool (*valid)(const char *), const char *mend, struct complaint *complaint)
{
	struct member member = member_of(rule, name);
	const char *given;

	if (!member.value)
		return true;
	if (!member_string(&member, size - 1, &given, complaint))
		return false;
	if (!valid(given))
		return member_complain(&member, complaint, "%s", mend);
	strcpy(text, given);
	return true;
}

static bool rule_load(const struct member *member, struct certificate_rule *rule, struct complaint *complaint)
{
	static const char *const known[] = { "issuer", "subject", "dns", "email", "uri", NULL };
	static const char dn[] =
		"not a name as \"CN=tester,O=Example\"; print it with: openssl x509 -in FILE -noout -subject "
		"-issuer -nameopt RFC2253";

	if (!member_object(member, known, complaint) ||
		!rule_name_load(
			member, "issuer", rule->issuer, sizeof(rule->issuer), dn_valid, dn, complaint) ||
		!rule_name_load(
			member, "subject", rule->subject, sizeof(rule->subject), dn_valid, dn, complaint) ||
		!rule_name_load(member, "dns", rule->dns, sizeof(rule->dns), dns_valid,
			"not a host name; write one such as \"tester.audit.example.com\", or "
			"\"*.audit.example.com\" for one label more",
			complaint) ||
		!rule_name_load(member, "email", rule->email, sizeof(rule->email), email_valid,
			"not an address; write one such as \"tester@example.com\"", complaint) ||
		!rule_name_load(member, "uri", rule->uri, sizeof(rule->uri), uri_valid,
			"not a URI; write one such as \"spiffe://example.com/tester\"", complaint))
		return false;
	if (!rule->subject[0] && !rule->dns[0] && !rule->email[0] && !rule->uri[0])
		return member_complain(member, complaint,
			"it names nobody; give at least one of \"subject\", \"dns\", \"email\", \"uri\"");
	return true;
}

/* ---- an entry */

static bool token_load(const struct config *config, const struct member *token, struct audit_access *access,
	struct complaint *complaint)
{
	static const char empty[] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
	const char *text;
	unsigned i;

	if (!member_string(token, 64, &text, complaint))
		return false;
	if (!hex_decode(text, access->token_sha256, sizeof(access->token_sha256)))
		return member_complain(token, complaint,
			"not 64 lower-case hexadecimal digits; print them with: printf %%s \"$TOKEN\" | "
			"sha256sum");
	if (strcmp(text, empty) == 0)
		return member_complain(token, complaint, "the hash of no token at all; set TOKEN first");
	for (i = 0; i < config->n_access; i++)
		if (!config->access[i].by_certificate &&
			memcmp(config->access[i].token_sha256, access->token_sha256,
				sizeof(access->token_sha256)) == 0)
			return member_complain(token, complaint,
				"audit_access[%u] has the same; give each one a token of its own", i);
	return true;
}

/* The token or the rule: exactly one of both. */
static bool proof_load(const struct config *config, const struct member *element, struct audit_access *access,
	struct complaint *complaint)
{
	struct member token = member_of(element, "token_sha256");
	struct member certificate = member_of(element, "certificate");

	if (!token.value == !certificate.value)
		return member_complain(
			element, complaint, "give exactly one of \"token_sha256\" and \"certificate\"");
	if (token.value)
		return token_load(config, &token, access, complaint);
	access->by_certificate = true;
	if (!config->ops_tls.client_ca[0])
		return member_complain(&certificate, complaint,
			"nobody can show a certificate without \"client_ca\" in \"ops_tls\"; name its file "
			"there");
	return rule_load(&certificate, &access->certificate, complaint);
}

static bool access_load(const struct config *config, const struct member *element,
	struct audit_access *access, struct complaint *complaint)
{
	static const char *const known[] = { "name", "role", "token_sha256", "certificate", NULL };
	static const char *const words[] = { "auditor", "on-call", "operator", NULL };
	static const enum access_role roles[] = { ACCESS_AUDITOR, ACCESS_ON_CALL, ACCESS_OPERATOR };
	struct member name = member_of(element, "name");
	struct member role = member_of(element, "role");
	const char *text;
	unsigned index;

	if (!member_object(element, known, complaint) ||
		!member_string(&name, NAME_SIZE - 1, &text, complaint))
		return false;
	if (!name_valid(text))
		return member_complain(&name, complaint, "not a name: lower-case letters, digits and dashes");
	strcpy(access->name, text);
	if (!member_word(&role, words, &index, complaint))
		return false;
	access->role = roles[index];
	access->role_name = words[index];
	return proof_load(config, element, access, complaint);
}

bool accesses_load(struct config *config, const struct member *root, struct complaint *complaint)
{
	struct member list = member_of(root, "audit_access");
	size_t n;
	size_t i;

	if (!list.value)
		return true;
	if (!member_array(&list, AUDIT_ACCESS_MAX, &n, complaint))
		return false;
	for (i = 0; i < n; i++) {
		struct member element = member_at(&list, i);

		if (!access_load(config, &element, &config->access[i], complaint))
			return false;
		config->n_access++;
	}
	return true;
}
