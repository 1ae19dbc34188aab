/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The number type of the numeric core. The library is built for float; the tests build the same
 * sources a second time with STG_DOUBLE, so that derivatives can be checked to many digits. Types
 * have no linkage and keep their names; functions get the suffix _d, which lets both builds live in
 * one program.
 */
#ifndef STG_REAL_H
#define STG_REAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef STG_DOUBLE
typedef double real;
#define STG_REAL(name) name##_d
#else
typedef float real;
#define STG_REAL(name) name
#endif

#endif
