#ifndef AWS_SIM_IDENTITY_H
#define AWS_SIM_IDENTITY_H
/* The instance identity document, plain and signed. */
#include "tests/aws-sim/buffer.h"
#include "tests/aws-sim/state.h"

/* Adds the document. */
void identity_write(struct buffer *out, const json_t *instance);
/* Adds the document signed by the instance's region (rsa2048): base64 in lines of 76, no line break behind
 * the last, as the metadata service gives it. False: no memory. */
bool identity_sign(struct buffer *out, struct state *, const json_t *instance);

#endif
