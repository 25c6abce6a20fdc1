#ifndef TESTS_UNIT_UNIT_H
#define TESTS_UNIT_UNIT_H
/* cmocka wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#undef check_expected /* a word of claims.h, and of a part of cmocka that is not used here */
#endif
