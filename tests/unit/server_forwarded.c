/* Whose request it is: ATTACKS.md 15 as a table. In each row a request comes from `peer` with these headers,
 * to a server that trusts 10.0.255.0/28. */
#include "server/forwarded.h"
#include "tests/unit/unit.h"
#include "verifier/encoding.h"
#include "verifier/reasons.h"
#include "verifier/request.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#define PROXY "10.0.255.1"
#define AGENT "10.0.1.225"
#define XFF "X-Forwarded-For"

static struct in_addr address_of(const char *text)
{
	struct in_addr address = { 0 };

	assert_true(address_decode(text, &address));
	return address;
}

static struct forwarding trusting(enum forwarded_by by, unsigned hops)
{
	struct forwarding forwarding = { .by = by, .hops = hops, .n_proxies = 2 };

	forwarding.proxies[0] = (struct network){ address_of("192.0.2.7"), 32 };
	forwarding.proxies[1] = (struct network){ address_of("10.0.255.0"), 28 };
	return forwarding;
}

struct row {
	const char *peer;
	const char *headers[8]; /* name, value, name, value, ... */
	enum speaker speaker;
	const char *address; /* where not unclear */
};

static void assert_row(const struct forwarding *forwarding, const struct row *row)
{
	struct in_addr address = address_of(row->peer);
	struct forwarded forwarded = { 0 };
	struct reason reason = { 0 };
	char text[ADDRESS_SIZE];
	enum speaker speaker;
	size_t i;

	for (i = 0; i < 8 && row->headers[i]; i += 2)
		forwarded_header(&forwarded, row->headers[i],
			(struct bytes){
				(const unsigned char *)row->headers[i + 1], strlen(row->headers[i + 1]) });
	speaker = forwarded_resolve(forwarding, &forwarded, &address, &reason);
	inet_ntop(AF_INET, &address, text, sizeof(text));
	if (speaker != row->speaker || (row->address && strcmp(text, row->address) != 0))
		fail_msg("from %s with \"%s: %s\" by %d: speaker %d, address %s", row->peer,
			row->headers[0] ? row->headers[0] : "", row->headers[0] ? row->headers[1] : "",
			forwarding->by, speaker, text);
	if (speaker == SPEAKER_UNCLEAR) {
		assert_string_equal(reason.code, REASON_MALFORMED);
		assert_true(reason.text[0] != '\0');
	}
}

static void assert_rows(const struct forwarding *forwarding, const struct row *rows, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		assert_row(forwarding, &rows[i]);
}

static void networks(void **state)
{
	const struct forwarding forwarding = trusting(FORWARDED_BY_HEADER, 1);
	static const struct forwarding nobody;
	const struct network all = { { 0 }, 0 };

	(void)state;
	assert_true(forwarding_trusts(&forwarding, address_of("10.0.255.0")));
	assert_true(forwarding_trusts(&forwarding, address_of("10.0.255.15")));
	assert_false(forwarding_trusts(&forwarding, address_of("10.0.255.16")));
	assert_false(forwarding_trusts(&forwarding, address_of("10.0.254.255")));
	assert_true(forwarding_trusts(&forwarding, address_of("192.0.2.7")));
	assert_false(forwarding_trusts(&forwarding, address_of("192.0.2.6")));
	assert_false(forwarding_trusts(&forwarding, address_of("0.0.0.0")));
	assert_false(forwarding_trusts(&nobody, address_of("0.0.0.0")));
	assert_true(network_holds(&all, address_of("255.255.255.255")));
}

static void attack_15_behind_one_proxy(void **state)
{
	static const struct row rows[] = {
		{ AGENT, { NULL }, SPEAKER_AGENT, AGENT },
		{ PROXY, { XFF, AGENT }, SPEAKER_AGENT, AGENT },
		{ PROXY, { "x-forwarded-for", AGENT }, SPEAKER_AGENT, AGENT },
		{ PROXY, { XFF, " \t" AGENT "\t " }, SPEAKER_AGENT, AGENT },
		{ PROXY, { "X-Forwarded-Proto", "https", XFF, AGENT, "Accept", "a,b" }, SPEAKER_AGENT,
			AGENT },
		{ PROXY, { XFF, AGENT, "Connection", "close, keep-alive" }, SPEAKER_AGENT, AGENT },
		/* forged entries in front, in one header or in several; also in the proxies' and an agents'
		 * range
		 */
		{ PROXY, { XFF, "10.0.1.7, " AGENT }, SPEAKER_AGENT, AGENT },
		{ PROXY, { XFF, "10.0.1.7," AGENT }, SPEAKER_AGENT, AGENT },
		{ PROXY, { XFF, "10.0.1.7", XFF, AGENT }, SPEAKER_AGENT, AGENT },
		{ PROXY, { XFF, PROXY, XFF, AGENT }, SPEAKER_AGENT, AGENT },
		{ PROXY,
			{ XFF, "1.1.1.1,2.2.2.2,3.3.3.3,4.4.4.4,5.5.5.5,6.6.6.6,7.7.7.7,8.8.8.8,9.9.9."
			       "9," AGENT },
			SPEAKER_AGENT, AGENT },
		/* nothing is skipped by range: the last entry is a proxy's, so no agent speaks */
		{ PROXY, { XFF, AGENT ", " PROXY }, SPEAKER_PROXY, PROXY },
		{ PROXY, { XFF, AGENT ", 127.0.0.1" }, SPEAKER_AGENT, "127.0.0.1" },
		/* absent from a trusted proxy */
		{ PROXY, { NULL }, SPEAKER_PROXY, PROXY },
		{ PROXY, { "X-Real-IP", AGENT }, SPEAKER_PROXY, PROXY },
		/* from a peer that is no proxy of ours */
		{ AGENT, { XFF, AGENT }, SPEAKER_UNCLEAR },
		{ AGENT, { XFF, "10.0.1.7" }, SPEAKER_UNCLEAR },
		{ "10.0.255.16", { XFF, AGENT }, SPEAKER_UNCLEAR },
		{ AGENT, { XFF, "" }, SPEAKER_UNCLEAR },
	};
	const struct forwarding forwarding = trusting(FORWARDED_BY_HEADER, 1);

	(void)state;
	assert_rows(&forwarding, rows, sizeof(rows) / sizeof(rows[0]));
}

static void attack_15_values(void **state)
{
	static const char *const values[] = { "", " ", ",", "a", "unknown", "10.0.0.1:80", "[::1]", "::1",
		"::ffff:10.0.0.1", "::ffff:a00:1", "010.0.0.1", "0xa000001", "0xa.0.0.1", "167772161", "10.1",
		"10.0.0.1.", "10.0.0.256", "10.0.0.-1", "10.0.0.1/32", "10.0.0.1;", "10.0.0.1 10.0.0.2",
		"\"10.0.0.1\"", "for=10.0.0.1", "_hidden", "10.0.0.1\x0b", "1000000000000000.0.0.1" };
	const struct forwarding forwarding = trusting(FORWARDED_BY_HEADER, 1);
	char text[100];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		struct row row = { PROXY, { XFF, text }, SPEAKER_UNCLEAR };

		snprintf(text, sizeof(text), "%s", values[i]);
		assert_row(&forwarding, &row);
		/* wherever it stands: also in front of, and behind, one that would be taken */
		snprintf(text, sizeof(text), "%s," AGENT, values[i]);
		assert_row(&forwarding, &row);
		snprintf(text, sizeof(text), AGENT ", %s", values[i]);
		assert_row(&forwarding, &row);
		row = (struct row){ PROXY, { XFF, values[i], XFF, AGENT }, SPEAKER_UNCLEAR };
		assert_row(&forwarding, &row);
		row = (struct row){ PROXY, { XFF, AGENT, XFF, values[i] }, SPEAKER_UNCLEAR };
		assert_row(&forwarding, &row);
	}
}

static void attack_15_a_nul_and_8_kib_of_commas(void **state)
{
	const struct forwarding forwarding = trusting(FORWARDED_BY_HEADER, 1);
	static unsigned char commas[8192];
	struct in_addr address = address_of(PROXY);
	struct forwarded forwarded = { 0 };
	struct reason reason;

	(void)state;
	memset(commas, ',', sizeof(commas));
	forwarded_header(&forwarded, XFF, (struct bytes){ commas, sizeof(commas) });
	assert_int_equal(forwarded_resolve(&forwarding, &forwarded, &address, &reason), SPEAKER_UNCLEAR);
	forwarded = (struct forwarded){ 0 };
	forwarded_header(&forwarded, XFF, (struct bytes){ (const unsigned char *)AGENT "\0", sizeof(AGENT) });
	assert_int_equal(forwarded_resolve(&forwarding, &forwarded, &address, &reason), SPEAKER_UNCLEAR);
}

/* Whatever is configured, whoever sends them. */
static void attack_15_never(void **state)
{
	static const enum forwarded_by by[] = { FORWARDED_BY_NOBODY, FORWARDED_BY_PROXY_PROTOCOL,
		FORWARDED_BY_HEADER };
	static const char *const headers[][2] = { { "Forwarded", "for=" AGENT }, { "forwarded", "" },
		{ "X_Forwarded_For", AGENT }, { "x_forwarded-for", AGENT }, { "X-Forwarded_For", AGENT },
		{ "Connection", "X-Forwarded-For" }, { "connection", "close, x-forwarded-for" },
		{ "Connection", "\tX_FORWARDED_FOR ,close" }, { "Connection", "close,Forwarded" },
		{ "Connection", "X-Forwarded-For," } };
	static const char *const peers[] = { AGENT, PROXY };
	size_t i;
	size_t j;
	size_t k;

	(void)state;
	for (i = 0; i < sizeof(by) / sizeof(by[0]); i++) {
		const struct forwarding forwarding = trusting(by[i], 1);

		for (j = 0; j < sizeof(headers) / sizeof(headers[0]); j++) {
			for (k = 0; k < 2; k++) {
				struct row row = { peers[k], { headers[j][0], headers[j][1] },
					SPEAKER_UNCLEAR };

				assert_row(&forwarding, &row);
				row = (struct row){ peers[k], { XFF, AGENT, headers[j][0], headers[j][1] },
					SPEAKER_UNCLEAR };
				assert_row(&forwarding, &row);
			}
		}
	}
}

static void attack_15_without_the_header(void **state)
{
	static const struct row rows[] = {
		{ AGENT, { NULL }, SPEAKER_AGENT, AGENT },
		{ PROXY, { NULL }, SPEAKER_PROXY, PROXY },
		{ AGENT, { XFF, AGENT }, SPEAKER_UNCLEAR },
		{ PROXY, { XFF, AGENT }, SPEAKER_UNCLEAR },
	};
	const struct forwarding forwarding = trusting(FORWARDED_BY_PROXY_PROTOCOL, 1);
	static const struct forwarding nobody;
	const struct row anyone = { PROXY, { NULL }, SPEAKER_AGENT, PROXY };

	(void)state;
	assert_rows(&forwarding, rows, sizeof(rows) / sizeof(rows[0]));
	assert_row(&nobody, &anyone);
	assert_row(&nobody, &rows[2]);
	assert_row(&nobody, &rows[3]);
}

static void hops(void **state)
{
	static const struct row two[] = {
		{ PROXY, { XFF, AGENT ", 10.9.9.9" }, SPEAKER_AGENT, AGENT },
		{ PROXY, { XFF, AGENT, XFF, "10.9.9.9" }, SPEAKER_AGENT, AGENT },
		{ PROXY, { XFF, "1.1.1.1", XFF, "2.2.2.2," AGENT, XFF, "10.9.9.9" }, SPEAKER_AGENT, AGENT },
		{ PROXY, { XFF, AGENT }, SPEAKER_UNCLEAR },
		{ PROXY, { NULL }, SPEAKER_PROXY, PROXY },
		{ PROXY, { XFF, PROXY ", " AGENT }, SPEAKER_PROXY, PROXY },
	};
	static const struct row eight[] = {
		{ PROXY, { XFF, "1.1.1.1,2.2.2.2,3.3.3.3,4.4.4.4,5.5.5.5,6.6.6.6,7.7.7.7,8.8.8.8" },
			SPEAKER_AGENT, "1.1.1.1" },
		{ PROXY, { XFF, "9.9.9.9,1.1.1.1,2.2.2.2,3.3.3.3,4.4.4.4,5.5.5.5,6.6.6.6,7.7.7.7,8.8.8.8" },
			SPEAKER_AGENT, "1.1.1.1" },
		{ PROXY, { XFF, "1.1.1.1,2.2.2.2,3.3.3.3,4.4.4.4,5.5.5.5,6.6.6.6,7.7.7.7" },
			SPEAKER_UNCLEAR },
	};
	const struct forwarding by_two = trusting(FORWARDED_BY_HEADER, 2);
	const struct forwarding by_eight = trusting(FORWARDED_BY_HEADER, 8);

	(void)state;
	assert_rows(&by_two, two, sizeof(two) / sizeof(two[0]));
	assert_rows(&by_eight, eight, sizeof(eight) / sizeof(eight[0]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(networks),
		cmocka_unit_test(attack_15_behind_one_proxy),
		cmocka_unit_test(attack_15_values),
		cmocka_unit_test(attack_15_a_nul_and_8_kib_of_commas),
		cmocka_unit_test(attack_15_never),
		cmocka_unit_test(attack_15_without_the_header),
		cmocka_unit_test(hops),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
