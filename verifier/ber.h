#ifndef VERIFIER_BER_H
#define VERIFIER_BER_H
/* The outermost look at BER (ITU-T X.690) from outside, before a library builds anything from it: bounded in
 * depth, and in one spelling where OpenSSL would take several. */
#include "verifier/outcome.h"

enum { BER_DEPTH_MAX = 16, BER_BYTES_MAX = 16 * 1024 };

/* Is it one value, to the last byte? Tags of one byte; lengths in at most 3 bytes, or indefinite with their
 * end; sequences, sets and all that is context-specific constructed, octet strings in one piece or in pieces
 * that are octet strings themselves, everything else primitive; nested at most BER_DEPTH_MAX deep. Says
 * nothing of what the values mean. Linear in the length. */
bool ber_plain(struct bytes);

#endif
