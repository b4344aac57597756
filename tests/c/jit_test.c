// SPDX-License-Identifier: Apache-2.0
// The ISA level of generated kernels, which is one a process: this one asks for AVX2 first.
#include "native/jit.h"

#include "check.h"
#include "native/cpu.h"

static const leat_kern_gemm_t product = {.m = 4, .n = 64, .k = 40, .a_m = 40, .a_k = 1, .b_k = 64, .c_m = 64};

static void a_cap_holds_for_generated_kernels(void **state) {
  (void)state;
  enum leat_isa best;
  assert_ok(leat_native_cpu_isa(NULL, &best));
  leat_native_jit_t *jit = NULL, *other = NULL;
  assert_ok(leat_native_jit_create(leat_native_cpu_kernels(LEAT_ISA_PORTABLE), LEAT_ISA_PORTABLE, &jit));
  assert_null(jit);  // nothing is generated for this level
  if (best == LEAT_ISA_PORTABLE) return;
  assert_ok(leat_native_jit_create(leat_native_cpu_kernels(LEAT_ISA_AVX2), LEAT_ISA_AVX2, &jit));
  if (jit == NULL) return;  // a build without a generator
  leat_native_jit_gemm_t kernel = leat_native_jit_gemm(jit, &product);
  assert_int_equal(leat_native_jit_counts(jit).unequal, 0);
  if (kernel != NULL && best > LEAT_ISA_AVX2) {  // the process generates for AVX2 now
    assert_ok(leat_native_jit_create(leat_native_cpu_kernels(best), best, &other));
    assert_null(other);
  }
  leat_native_jit_destroy(jit);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(a_cap_holds_for_generated_kernels)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
