// SPDX-License-Identifier: Apache-2.0
// Generated kernels at the ISA level of the process: they are made, their bits are those of src/kern, and the level
// stays that of the process.
#include "native/jit.h"

#include "check.h"
#include "level.h"

static leat_native_jit_t *create(enum leat_isa isa) {
  leat_native_jit_t *jit = NULL;
  assert_ok(leat_native_jit_create(leat_native_cpu_kernels(isa), isa, &jit));
  return jit;
}

static void kernels_are_of_the_level_of_the_process(void **state) {
  (void)state;
  static const leat_kern_gemm_t products[] = {
      {.m = 4, .n = 64, .k = 40, .a_m = 40, .a_k = 1, .b_k = 64, .c_m = 64},
      {.m = 17, .n = 10, .k = 33, .a_m = 40, .a_k = 1, .b_k = 12, .c_m = 11, .add = 1},
  };
  leat_native_jit_t *jit = create(level_isa());
  if (level_isa() == LEAT_ISA_PORTABLE) assert_null(jit);  // nothing is generated for this level
  if (jit == NULL) return;                                 // nor in a build without a generator
  uint32_t made = 0;
  for (size_t i = 0; i < sizeof products / sizeof *products; i++)
    made += leat_native_jit_gemm(jit, &products[i]) != NULL;
  assert_int_equal(leat_native_jit_counts(jit).unequal, 0);
  for (enum leat_isa other = LEAT_ISA_PORTABLE; made > 0 && other < LEAT_ISA_COUNT; other++) {
    if (other == level_isa()) continue;
    assert_null(create(other));  // the process generates for its level alone
  }
  leat_native_jit_destroy(jit);
}

int main(void) {
  if (!level_begin()) return LEVEL_MISSING;
  const struct CMUnitTest tests[] = {cmocka_unit_test(kernels_are_of_the_level_of_the_process)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
