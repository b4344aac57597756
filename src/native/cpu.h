// SPDX-License-Identifier: Apache-2.0
// What the machine offers: the ISA level of the kernels, and whether memory may hold code.
#ifndef LEAT_NATIVE_CPU_H_
#define LEAT_NATIVE_CPU_H_

#include "base/base.h"
#include "kern/kern.h"

// The best level that this CPU and the operating system run, but not above `cap` ("portable", "avx2", "avx512"; NULL:
// no cap). LEAT_INVALID_ARGUMENT for another word.
leat_status_t leat_native_cpu_isa(const char *cap, enum leat_isa *out_isa) LEAT_MUST_USE;
const char *leat_native_cpu_isa_name(enum leat_isa isa);
const leat_kern_t *leat_native_cpu_kernels(enum leat_isa isa);
// gemm_bf16 of that level, as quick as this CPU has it.
void (*leat_native_cpu_gemm_bf16(const leat_kern_t *kern))(const leat_kern_gemm_t *g, const void *a, const void *b,
                                                           void *c);

// Whether `code` lies in executable memory; true where the system does not tell.
bool leat_native_cpu_may_execute(const void *code);

#endif
