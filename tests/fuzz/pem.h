#ifndef TESTS_FUZZ_PEM_H
#define TESTS_FUZZ_PEM_H
/* DER in its PEM block, so that a fuzzer need not get base64 right. */
#include "tests/fuzz/fuzz.h"

#include <openssl/evp.h>

/* The caller frees. */
static inline char *pem_of(const char *label, const uint8_t *der, size_t length, size_t *used)
{
	char *base64 = malloc(length / 3 * 4 + 5);
	size_t size = length * 2 + 200;
	char *pem = malloc(size);
	size_t n, i;

	MUST_HOLD(base64 && pem);
	n = (size_t)EVP_EncodeBlock((unsigned char *)base64, der, (int)length);
	*used = (size_t)snprintf(pem, size, "-----BEGIN %s-----\n", label);
	for (i = 0; i < n; i += 64)
		*used += (size_t)snprintf(pem + *used, size - *used, "%.64s\n", base64 + i);
	*used += (size_t)snprintf(pem + *used, size - *used, "-----END %s-----\n", label);
	MUST_HOLD(*used < size);
	free(base64);
	return pem;
}

#endif
