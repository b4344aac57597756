// SPDX-License-Identifier: Apache-2.0
// Generated kernels at the ISA level of the process: they are made, their bits are those of src/kern, and the level
// stays that of the process. Products find them, also those of more terms than an accumulator takes.
#include "native/jit.h"

#include "check.h"
#include "level.h"
#include "native/contract_plan.h"
#include "stage_rig.h"

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

static void few_columns_beside_wide_blocks_are_the_bodys(void **state) {
  (void)state;
  leat_native_jit_t *jit = create(level_isa());
  leat_kern_gemm_t g = {.m = 64, .k = 40, .a_m = 40, .a_k = 1, .b_k = 64, .c_m = 64};
  for (g.n = 8; jit != NULL && g.n <= 64; g.n += 8) {
    const bool left = level_isa() == LEAT_ISA_AVX2 && g.n % 32 != 0 && g.n % 32 <= 16;
    assert_int_equal(leat_native_jit_gemm(jit, &g) == NULL, left);
  }
  leat_native_jit_destroy(jit);
}

// C[8, 64] = A[8, terms] B[terms, 64], of which no accumulator takes more than `chain` terms.
static void prepare_product(rig_t *rig, leat_native_jit_t *jit, int64_t terms, int64_t chain) {
  rig_init(rig, PEF_STAGE_CONTRACT, 0, leat_native_cpu_kernels(level_isa()));
  leat_native_operand_t *a = rig_operand(rig, PEF_F32, NULL, 3, (const int64_t[]){8, 1, terms});
  leat_native_operand_t *b = rig_operand(rig, PEF_F32, NULL, 3, (const int64_t[]){1, 64, terms});
  leat_native_operand_t *c = rig_operand(rig, PEF_F32, NULL, 3, (const int64_t[]){8, 64, 1});
  a->strides[1] = b->strides[0] = c->strides[2] = 0;
  b->strides[1] = 1, b->strides[2] = 64;
  c->dims[2] = terms;
  rig->params.product.roles[0] = 1, rig->params.product.roles[1] = 2, rig->params.product.roles[2] = 3;
  rig->params.product.chain = chain;
  const leat_native_prepare_t context = {
      .arena = &rig->arena, .kern = rig->stage.kern, .jit = jit, .row_count = 1, .tile_rows_max = 1};
  assert_ok(rig->stage.kind->prepare(&rig->stage, &context));
}

// The terms that go through a kernel at a time are those that one was asked for.
static void long_sums_find_kernels(void **state) {
  (void)state;
  static const int64_t chains[] = {0, 512, 4096};
  leat_native_jit_t *jit = create(level_isa());
  for (size_t i = 0; jit != NULL && i < sizeof chains / sizeof *chains; i++) {
    rig_t rig;
    prepare_product(&rig, jit, 5000, chains[i]);
    const contract_plan_t *plan = rig.stage.plan;
    const int64_t most = chains[i] == 512 ? 512 : CONTRACT_K;
    assert_int_equal(plan->k_sizes[0], most);
    assert_int_equal(plan->k_sizes[1], 5000 % most);
    for (uint32_t k = 0; k < 2; k++) assert_non_null(plan->block[0][0][k][1]);
    rig_deinit(&rig);
  }
  leat_native_jit_destroy(jit);
}

int main(void) {
  if (!level_begin()) return LEVEL_MISSING;
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(kernels_are_of_the_level_of_the_process),
      cmocka_unit_test(few_columns_beside_wide_blocks_are_the_bodys),
      cmocka_unit_test(long_sums_find_kernels),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
