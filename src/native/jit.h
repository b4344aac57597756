// SPDX-License-Identifier: Apache-2.0
// Matrix kernels generated for this CPU at load, by libxsmm. jit.c is the only file that knows it; its process-wide
// state (code cache, found CPU) is the one exception from "no globals", and it locks by itself.
//
// A kernel is only handed out after its result on random data was equal, bit for bit, to that of the kernel body in
// src/kern; so whether one is used never changes a result. Thread rule: externally locked.
#ifndef LEAT_NATIVE_JIT_H_
#define LEAT_NATIVE_JIT_H_

#include "base/base.h"
#include "kern/kern.h"

typedef struct leat_native_jit_s leat_native_jit_t;

// C (+)= A B in f32; sizes and strides are in the code.
typedef void (*leat_native_jit_gemm_t)(const void *b, const void *a, void *c);

// Kernels of level `isa`, compared with `kern`. All generated kernels of a process are of one level, that of the first
// program that got some. *out_jit is NULL, and that is no failure, where this build or this CPU has no generator, at
// the level portable, and where the process generates for another level.
leat_status_t leat_native_jit_create(const leat_kern_t *kern, enum leat_isa isa,
                                     leat_native_jit_t **out_jit) LEAT_MUST_USE;
void leat_native_jit_destroy(leat_native_jit_t *jit);

// The kernel for this product; NULL if there is none (strides that it cannot walk, executable memory denied, other
// bits). Equal requests are answered from memory.
leat_native_jit_gemm_t leat_native_jit_gemm(leat_native_jit_t *jit, const leat_kern_gemm_t *request);

// Runs it. It leaves the upper parts of vector registers in use: the next instruction of those without VEX would wait
// for all that it computes.
static inline void leat_native_jit_run(leat_native_jit_gemm_t kernel, const void *b, const void *a, void *c) {
  kernel(b, a, c);
#ifdef __x86_64__
  __asm__ volatile("vzeroupper");
#endif
}

// Kernels are quick where n is a multiple of this: below AVX-512 a part of a vector takes as long as three whole ones.
int64_t leat_native_jit_step(const leat_native_jit_t *jit);

typedef struct leat_native_jit_counts_s {
  uint32_t requested, unavailable, unequal;
} leat_native_jit_counts_t;
leat_native_jit_counts_t leat_native_jit_counts(const leat_native_jit_t *jit);

#endif
