// SPDX-License-Identifier: Apache-2.0
// Code that is written at load, in memory that may be executed and no longer written. Where the system gives no such
// memory there is no code, and what would have been written runs by kernels of src/kern: with the same bits.
// Thread rule: externally locked; what was kept runs on any thread.
#ifndef LEAT_NATIVE_CODE_H_
#define LEAT_NATIVE_CODE_H_

#include "base/base.h"
#include "kern/kern.h"

typedef struct leat_native_code_s leat_native_code_t;

// A store of code for level `isa`. *out_code is NULL, and that is no failure, where none is written: at the level
// portable, and on other machines than x86-64. LEAT_OUT_OF_MEMORY.
leat_status_t leat_native_code_create(enum leat_isa isa, leat_native_code_t **out_code) LEAT_MUST_USE;
void leat_native_code_destroy(leat_native_code_t *code);  // and what it keeps
enum leat_isa leat_native_code_isa(const leat_native_code_t *code);

// The function that these bytes are, which must not depend on where they lie; equal bytes are one function. NULL: no
// memory that may be executed.
const void *leat_native_code_keep(leat_native_code_t *code, const uint8_t *bytes, size_t count);

typedef struct leat_native_code_counts_s {
  uint32_t kept, refused;
} leat_native_code_counts_t;
leat_native_code_counts_t leat_native_code_counts(const leat_native_code_t *code);

#endif
