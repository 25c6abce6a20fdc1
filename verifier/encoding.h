#ifndef VERIFIER_ENCODING_H
#define VERIFIER_ENCODING_H
/* base64 and base64url (RFC 4648), hexadecimal, RFC 3339 times, durations, dotted quads: strict in what they
 * take, one spelling each. */
#include "verifier/outcome.h"

#include <netinet/in.h>
#include <time.h>

/* Characters needed for `length` bytes, NUL included. */
#define BASE64_SIZE(length) (((length) + 2) / 3 * 4 + 1)
#define HEX_SIZE(length) (2 * (length) + 1)

/* base64 with padding. `text` has BASE64_SIZE(length) characters. */
void base64_encode(struct bytes data, char *text);
/* Canonical only: padding present, unused bits zero, no white space. *length: in the space, out the bytes. */
MUST_USE bool base64_decode(const char *text, size_t text_length, unsigned char *data, size_t *length);
/* base64url without padding; as strict. */
void base64url_encode(struct bytes data, char *text);
MUST_USE bool base64url_decode(const char *text, size_t text_length, unsigned char *data, size_t *length);

/* Lower case. `text` has HEX_SIZE(length) characters. */
void hex_encode(struct bytes data, char *text);
/* Exactly 2 * length digits, lower case only. */
MUST_USE bool hex_decode(const char *text, unsigned char *data, size_t length);

enum { TIMESTAMP_SIZE = 28 }; /* "2026-01-02T03:04:05.678901Z" and NUL */
/* RFC 3339 in UTC with microseconds. `microseconds` since 1970, years 1970 to 9999: what is before or behind
 * them, as a database may hold it, comes out as their first or last moment. */
void timestamp_encode(long long microseconds, char text[TIMESTAMP_SIZE]);
/* "YYYY-MM-DDTHH:MM:SS", optionally a fraction of 1 to 9 digits, then "Z". Nothing else: no offset, no
 * blanks, no leap second, no day that does not exist. Digits beyond microseconds are cut. */
MUST_USE bool timestamp_decode(const char *text, long long *microseconds);

/* A number and a unit: "500ms", "90s", "10m", "2h", "7d"; at most 366 days. */
MUST_USE bool duration_decode(const char *text, long long *milliseconds);

/* IPv4 in its one canonical spelling: "10.0.0.1", never "010.0.0.1" or "0xa000001". */
MUST_USE bool address_decode(const char *text, struct in_addr *);

/* Takes a UTF-8 sequence that was cut short off the end of a text, so that what was valid stays valid. */
void utf8_trim(char *text);

/* A UUIDv7 (RFC 9562, section 5.7) of a time and 10 random bytes; lower case. */
enum { UUID_SIZE = 37 };
void uuid7_encode(long long milliseconds, const unsigned char random[10], char text[UUID_SIZE]);
bool uuid_valid(const char *text);

#endif
