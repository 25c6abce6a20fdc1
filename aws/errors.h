#ifndef AWS_ERRORS_H
#define AWS_ERRORS_H
/* AWS's error answers: their code, and what it means for trying again. */
#include "aws/xml.h"

enum { AWS_CODE_SIZE = 64, AWS_ERROR_BYTES_MAX = 64 * 1024 };

/* Finds the code in <Response><Errors><Error><Code>, without namespace, or <ErrorResponse><Error><Code>, with
 * the service's or without. False, and code "": it is no such answer, or the code is not 1..63 of
 * [A-Za-z0-9.]. Nothing else of the answer is taken, for it may repeat what the request said. */
bool aws_error_read(struct bytes answer, const char *namespace, char code[AWS_CODE_SIZE]);

/* We ask more often than AWS grants. */
bool aws_error_throttles(const char *code);
/* Will the same request be good a moment later: throttled, or a trouble of AWS's own? */
bool aws_error_passes(const char *code);
/* Does AWS refuse the keys that the request is signed with, as ended? */
bool aws_error_of_keys(const char *code);

#endif
