#ifndef AWS_SIM_IDS_H
#define AWS_SIM_IDS_H
/* Names that AWS makes up, and values that only the simulation can have made. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ID_SIZE = 40, TOKEN_SIZE = 57, SECRET_SIZE = 41, SESSION_TOKEN_SIZE = 1201 };

/* `prefix` and that many lower-case hexadecimal digits: "i-", 17. False: no random bytes. */
bool id_hex(char id[ID_SIZE], const char *prefix, unsigned digits);
/* `prefix` and that many of A-Z2-7, as IAM's ids and access keys have: "AROA", 17. */
bool id_capitals(char id[ID_SIZE], const char *prefix, unsigned letters);
/* A UUID, as request ids are. */
bool id_uuid(char id[ID_SIZE]);
/* A locally administered hardware address, as interfaces have. */
bool id_mac(char id[ID_SIZE]);

/* 40 characters of base64, as secret access keys are. */
bool secret_make(char secret[SECRET_SIZE]);
/* 800 to 1,200 characters of base64 that begin as the session tokens of AWS do. */
bool session_token_make(char token[SESSION_TOKEN_SIZE]);

/* An opaque token for `number` that holds for `kind` and `subject` alone, during this process. 56
 * characters of base64, the length that the metadata service's tokens have. */
bool token_make(char token[TOKEN_SIZE], const char *kind, const char *subject, uint64_t number);
/* False: not one that token_make made for these. */
bool token_open(const char *token, const char *kind, const char *subject, uint64_t *number);

#endif
