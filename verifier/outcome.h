#ifndef VERIFIER_OUTCOME_H
#define VERIFIER_OUTCOME_H
/* The words that every folder shares: what a step can come to, and why. */
#include <stdbool.h>
#include <stddef.h>

/* A step starts as FAULT and becomes OK on its last line; so a path that nobody thought of is never a yes. */
enum outcome {
	FAULT, /* we are wrong */
	REFUSED, /* the caller is wrong; final */
	UNAVAILABLE, /* neither is known; ask again */
	OK
};

#define MUST_USE __attribute__((warn_unused_result))
#define PRINTF_LIKE(f, a) __attribute__((format(printf, f, a)))

/* Borrowed bytes. Never NUL-terminated unless said. */
struct bytes {
	const unsigned char *data;
	size_t length;
};

enum { REASON_TEXT_MAX = 240 };

/* Where a thing was found out, filled in there: a code from reasons.h (or the name of the check that failed),
 * static storage, and a sentence for people. The text may hold asserted values: it is for the trail and the
 * log, never for the caller, except with MALFORMED, whose texts name a field and never repeat the input. */
struct reason {
	const char *code;
	char text[REASON_TEXT_MAX];
};

/* Fills in *reason; a text that is too long is cut. Each returns the outcome of its name, so that the place
 * where something is found out is one line: return refused(reason, REASON_MALFORMED, "role: ..."); */
enum outcome refused(struct reason *, const char *code, const char *format, ...) PRINTF_LIKE(3, 4);
enum outcome unavailable(struct reason *, const char *code, const char *format, ...) PRINTF_LIKE(3, 4);
enum outcome fault(struct reason *, const char *code, const char *format, ...) PRINTF_LIKE(3, 4);

/* "fault", "refused", "unavailable", "ok". */
const char *outcome_name(enum outcome);

/* What is wrong with something that a person wrote or set up, with the mend, on one line; for programs'
 * starts and the command line. */
struct complaint {
	char text[600];
};

/* Fills in *complaint (cut if too long); returns false. */
bool complain(struct complaint *, const char *format, ...) PRINTF_LIKE(2, 3);

#endif
