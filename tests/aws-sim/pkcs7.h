#ifndef AWS_SIM_PKCS7_H
#define AWS_SIM_PKCS7_H
/* Signed content in the very form in which AWS gives identity documents. */
#include "tests/aws-sim/buffer.h"

#include <openssl/x509.h>
#include <time.h>

/* Adds PKCS#7 SignedData over the content, in BER with the lengths left open where AWS leaves them: no
 * certificate, one signer named by issuer and serial number, SHA-256, the content attached, the signed
 * attributes content type, signing time, algorithm protection (RFC 6211) and message digest. False: no
 * memory. */
bool pkcs7_sign(struct buffer *out, const struct buffer *content, time_t signed_at, const X509 *, EVP_PKEY *);

#endif
