/* The caller's three values, in the input each behind the other's NUL: what is taken fits the one grammar,
 * and nothing in it could end a header line or mean another request. */
#include "verifier/caller.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NOW = 1767323045 }; /* 2026-01-02T03:04:05Z */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
	if (!holds)
		abort();
}

/* Composed again from its key id, day and signature it is the same. */
static void authorization_same(const struct caller_proof *proof)
{
	const char *text = proof->authorization;
	const char *id = text + strlen(CALLER_ALGORITHM " Credential=");
	size_t length = strlen(text);
	char again[AUTHORIZATION_SIZE];

	must(length > 64 + 100);
	snprintf(again, sizeof(again),
		CALLER_ALGORITHM " Credential=%.*s/%.8s/us-east-1" CALLER_SCOPE_END
				 ", SignedHeaders=" CALLER_SIGNED_HEADERS ", Signature=%s",
		(int)strcspn(id, "/"), id, proof->amz_date, text + length - 64);
	must(strcmp(again, text) == 0);
	for (; *text; text++)
		must(*text >= ' ' && *text < 127);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct caller_proof proof;
	char *text = malloc(size + 3);
	const char *authorization = text, *date, *token;
	struct reason reason;
	enum outcome outcome;

	must(text != NULL);
	memcpy(text, data, size);
	memset(text + size, 0, 3);
	date = authorization + strlen(authorization) + 1;
	token = date <= text + size ? date + strlen(date) + 1 : text + size;
	if (date > text + size)
		date = text + size;
	if (token > text + size)
		token = text + size;
	outcome = caller_proof_parse(authorization, date, token, "us-east-1", NOW, &proof, &reason);
	must(outcome == OK || (outcome == REFUSED && strcmp(reason.code, REASON_CALLER) == 0));
	if (outcome == OK) {
		must(strcmp(proof.authorization, authorization) == 0 && strcmp(proof.amz_date, date) == 0 &&
			strcmp(proof.security_token, token) == 0);
		must(strspn(token, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=") ==
			strlen(token));
		authorization_same(&proof);
	}
	free(text);
	return 0;
}
