#ifndef POLICY_TESTS_H
#define POLICY_TESTS_H
/* Tests that live in the policy file: an assertion, what AWS says of it, the verdict that is expected. Run at
 * every load, so that a rule cannot come to mean something else unnoticed. */
#include "policy/rule.h"
#include "verifier/jsonfile.h"

enum { POLICY_TESTS_MAX = 1000 };

/* One test and what came of it. */
struct policy_test {
	const char *name; /* of the test; borrowed from the file */
	const char *expected;
	const char *verdict; /* "released", or the reason */
	const char *why; /* the reason's text; "" where it was released */
	bool passed;
};

/* Runs the tests of a policy file, all of them, and calls `told` for each. False: a test is not well-formed
 * (the complaint says where), or one failed (the complaint names the first). */
MUST_USE bool policy_tests_run(const struct policy *, const struct member *root,
	void (*told)(void *context, const struct policy_test *), void *context, struct complaint *);

#endif
