/* Offline verification. Cheap, and before anyone is asked. */
#include "verifier/proof.h"

#include "verifier/checks.h"

#include <arpa/inet.h>
#include <string.h>

static void address_text(struct in_addr address, char text[ADDRESS_SIZE])
{
	inet_ntop(AF_INET, &address, text, ADDRESS_SIZE);
}

enum outcome proof_verify(const struct demand *demand, const struct assertion *assertion, struct in_addr peer,
	struct reason *reason)
{
	char observed[ADDRESS_SIZE];

	address_text(peer, observed);
	if (!demand->public_address && strcmp(assertion->source_ip, observed) != 0)
		return refused(reason, CHECK_PEER_ADDRESS, "the request came from %s, source-ip says %s",
			observed, assertion->source_ip);
	return OK;
}

void proof_check_peer(struct claims *claims, const struct demand *demand, const struct assertion *assertion,
	struct in_addr peer, const char *public_address)
{
	char observed[ADDRESS_SIZE];

	address_text(peer, observed);
	if (demand->public_address)
		check_add(claims, CHECK_PEER_ADDRESS, "socket", strcmp(public_address, observed) == 0,
			public_address[0] ? public_address : "a public address", observed);
	else
		check_equal(claims, CHECK_PEER_ADDRESS, "socket", assertion->source_ip, observed);
}
