// SPDX-License-Identifier: Apache-2.0
// CONTRACT and CONTRACT_SCALED at load: dims by role, the matrix product inside, what must be packed.
#include "native/contract_plan.h"

#include "native/cpu.h"
#include "pef/pef_read.h"

enum { ROLE_BATCH = 0, ROLE_M = 1, ROLE_N = 2, ROLE_K = 3, ROLE_COUNT };

static int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }

typedef struct contract_roles_s {
  uint32_t count[ROLE_COUNT];
  contract_dim_t dims[ROLE_COUNT][8];
} contract_roles_t;

static const leat_native_operand_t *c_of(const leat_native_stage_t *stage) {
  return &stage->operands[stage->operand_count - 1];
}
// Of B; NULL: it has none.
static const leat_native_operand_t *scale_of(const leat_native_stage_t *stage) {
  return stage->operand_count > 3 ? &stage->operands[PEF_CONTRACT_SCALED_scale] : NULL;
}

// By role, in the order of the file, whose writer has merged what goes in equal steps.
static void sort_dims(contract_roles_t *roles, const leat_native_stage_t *stage) {
  const leat_native_operand_t *a = &stage->operands[0], *b = &stage->operands[1], *c = c_of(stage),
                              *scale = scale_of(stage);
  for (uint32_t d = 0; d < c->rank; d++) {
    uint32_t role = (uint32_t)stage->params->product.roles[d];
    const leat_native_operand_t *owner = role == ROLE_N || role == ROLE_K ? b : a;  // has the dim's true extent
    bool is_rows = a->row_dim == d || b->row_dim == d || c->row_dim == d;
    int64_t mult = a->row_dim == d ? a->row_mult : b->row_dim == d ? b->row_mult : c->row_mult;
    contract_dim_t dim = {is_rows ? mult : owner->dims[d],       a->strides[d], b->strides[d], c->strides[d],
                          scale == NULL ? 0 : scale->strides[d], is_rows};
    if (dim.extent != 1 || is_rows) roles->dims[role][roles->count[role]++] = dim;
  }
}

// Takes the dim of a role that makes the matrix product; the rest become outer loops.
static contract_dim_t take_dim(contract_roles_t *roles, contract_plan_t *plan, uint32_t role, uint32_t which) {
  contract_dim_t taken = {.extent = 1};
  for (uint32_t d = 0; d < roles->count[role]; d++) {
    if (d == which) {
      taken = roles->dims[role][d];
    } else {
      plan->outer[plan->outer_count++] = roles->dims[role][d];
    }
  }
  return taken;
}

static uint32_t best_m(const contract_roles_t *roles) {
  uint32_t best = 0;
  for (uint32_t d = 0; d < roles->count[ROLE_M]; d++) {
    const contract_dim_t *dim = &roles->dims[ROLE_M][d];
    if (dim->is_rows) return d;
    if (dim->extent > roles->dims[ROLE_M][best].extent) best = d;
  }
  return best;
}
static uint32_t best_n(const contract_roles_t *roles) {
  for (uint32_t d = 0; d < roles->count[ROLE_N]; d++) {
    if (roles->dims[ROLE_N][d].c == 1) return d;
  }
  return roles->count[ROLE_N] > 0 ? roles->count[ROLE_N] - 1 : 0;
}

// C^T = B^T A^T: every element is the same chain of the same products.
static void swap_operands(contract_roles_t *roles) {
  contract_roles_t old = *roles;
  for (uint32_t role = 0; role < ROLE_COUNT; role++) {
    uint32_t to = role == ROLE_M ? ROLE_N : role == ROLE_N ? ROLE_M : role;
    roles->count[to] = old.count[role];
    for (uint32_t d = 0; d < old.count[role]; d++) {
      contract_dim_t dim = old.dims[role][d];
      roles->dims[to][d] = (contract_dim_t){dim.extent, dim.b, dim.a, dim.c, dim.s, dim.is_rows};
    }
  }
}

static int64_t most(const contract_dim_t *dim, const leat_native_prepare_t *context) {
  return dim->extent * (dim->is_rows ? context->tile_rows_max : 1);
}

// B lies [n, k], so its columns would have to be packed: with few rows it is cheaper to make these the columns, that
// is, to transpose A and C instead, which is M(K + N) elements in place of NK.
static bool swap_saves(const contract_roles_t *roles, const leat_native_stage_t *stage,
                       const leat_native_prepare_t *context) {
  for (uint32_t i = 0; i < 3; i++) {
    const bool fits = stage->params->product.pairs != 0 || stage->operands[i].dtype == PEF_F32;
    if (!fits) return false;
  }
  if (roles->count[ROLE_M] != 1 || roles->count[ROLE_N] != 1 || roles->count[ROLE_K] != 1) return false;
  const contract_dim_t *m = &roles->dims[ROLE_M][0], *n = &roles->dims[ROLE_N][0], *k = &roles->dims[ROLE_K][0];
  if (n->b == 1 || k->b != 1 || k->a != 1 || n->c != 1) return false;
  int64_t rows = most(m, context), columns = most(n, context);
  return rows >= CONTRACT_SWAP_ROWS && rows * (k->extent + columns) < k->extent * columns;
}

// The terms of k that share a scale: all, each its own, or those of the inner one of two dims of k, which are then one.
static void choose_scales(contract_plan_t *plan, contract_roles_t *roles) {
  const uint32_t count = roles->count[ROLE_K];
  contract_dim_t *inner = count > 0 ? &roles->dims[ROLE_K][count - 1] : NULL;
  const contract_dim_t *outer = count > 1 ? inner - 1 : NULL;
  plan->scale_group = INT64_MAX;
  if (inner == NULL || inner->extent == 0) return;
  if (inner->s != 0) plan->scale_group = 1;
  plan->scale_step = inner->s;
  if (outer == NULL || inner->s != 0 || outer->a != inner->extent * inner->a) return;
  if (plan->n_block == 0 && outer->b != inner->extent * inner->b) return;
  int64_t extent;
  if (__builtin_mul_overflow(outer->extent, inner->extent, &extent)) return;
  plan->scale_group = inner->extent;
  plan->scale_step = outer->s;
  inner->extent = extent;
  roles->dims[ROLE_K][count - 2] = *inner;
  roles->count[ROLE_K]--;
}

static void choose_dims(contract_plan_t *plan, const leat_native_stage_t *stage, const leat_native_prepare_t *context) {
  contract_roles_t roles = {0};
  sort_dims(&roles, stage);
  if (plan->scaled) choose_scales(plan, &roles);
  plan->swapped = stage->params->product.n_block == 0 && swap_saves(&roles, stage, context);
  if (plan->swapped) swap_operands(&roles);
  for (uint32_t d = 0; d < roles.count[ROLE_BATCH]; d++) plan->outer[plan->outer_count++] = roles.dims[ROLE_BATCH][d];
  plan->m = take_dim(&roles, plan, ROLE_M, best_m(&roles));
  plan->n = take_dim(&roles, plan, ROLE_N, best_n(&roles));
  plan->k = (contract_dim_t){.extent = 1};
  for (uint32_t d = 0; d < roles.count[ROLE_K]; d++) {  // the last is the innermost: order of summation
    if (d + 1 == roles.count[ROLE_K]) {
      plan->k = roles.dims[ROLE_K][d];
    } else {
      plan->k_outer[plan->k_count++] = roles.dims[ROLE_K][d];
    }
  }
  for (uint32_t d = 0; d < roles.count[ROLE_K]; d++) {
    if (roles.dims[ROLE_K][d].extent > 0) continue;
    plan->k = (contract_dim_t){0};  // nothing to add up
    plan->k_count = 0;
  }
}

static void choose_kernels(contract_plan_t *plan, const leat_native_stage_t *stage, const leat_kern_t *kern) {
  const leat_native_operand_t *a = &stage->operands[plan->swapped ? 1 : 0],
                              *b = &stage->operands[plan->swapped ? 0 : 1];
  const leat_native_operand_t *c = c_of(stage);
  static const uint8_t native[] = {PEF_F32, PEF_F64, PEF_I64};
  plan->class_ = (uint8_t)leat_pef_dtype_class(c->dtype);
  if (leat_pef_dtype_class(a->dtype) == PEF_CLASS_F64) plan->class_ = PEF_CLASS_F64;
  uint8_t dtype = native[plan->class_];
  plan->value_bytes = plan->class_ == PEF_CLASS_F32 ? 4 : 8;
  plan->gemm = plan->class_ == PEF_CLASS_F32   ? kern->gemm_f32
               : plan->class_ == PEF_CLASS_F64 ? kern->gemm_f64
                                               : kern->gemm_i64;
  plan->a_bytes = a->element_bytes, plan->b_bytes = b->element_bytes, plan->c_bytes = c->element_bytes;
  plan->load_a = kern->load[plan->class_][a->dtype];
  plan->load_b = kern->load[plan->class_][b->dtype];
  plan->load_c = kern->load[plan->class_][c->dtype];
  plan->store_c = kern->store[plan->class_][c->dtype];
  plan->pack_a = a->dtype != dtype;
  plan->b_native = b->dtype == dtype;
  plan->pack_b = !plan->b_native || (plan->n_block == 0 && plan->n.b != 1 && plan->n_total > 1);
  plan->pack_c = c->dtype != dtype || (plan->n.c != 1 && plan->n_total > 1);
}

// --- pairs -------------------------------------------------------------------------------------------------------

// Dims of k whose pairs cross their borders are walked as one dim, piece by piece.
static void join_k(contract_plan_t *plan) {
  if (plan->k_count == 0 || plan->k.extent % 2 == 0) return;
  for (uint32_t d = 0; d < plan->k_count; d++) plan->joined[plan->joined_count++] = plan->k_outer[d];
  plan->joined[plan->joined_count++] = plan->k;
  for (uint32_t d = 0; d < plan->k_count; d++) plan->k.extent *= plan->k_outer[d].extent;
  plan->k.a = plan->k.b = 0;
  plan->k_count = 0;
}

// A is read as it lies where pairs are words there, B where the file has it so.
static void choose_pairs(contract_plan_t *plan, const leat_native_prepare_t *context) {
  join_k(plan);
  plan->gemm = leat_native_cpu_gemm_bf16(context->kern);
  const bool one_row = most(&plan->m, context) <= 1;
  plan->pack_a =
      plan->joined_count > 0 || plan->k.a != 1 || plan->k.extent % 2 != 0 || (plan->m.a % 2 != 0 && !one_row);
  plan->a_columns = plan->joined_count == 0 && plan->k.a != 1 && plan->m.a == 1;
  plan->pack_b = plan->n_block == 0;
  plan->n_step = 1;
}

// -----------------------------------------------------------------------------------------------------------------

// Whether B's rows lie so far apart that a copy of a chunk pays. One row of A reads all of B once: nothing pays.
static bool is_far(const contract_plan_t *plan, const leat_native_prepare_t *context) {
  int64_t rows = most(&plan->m, context);
  return plan->n_block == 0 && plan->k.b >= CONTRACT_FAR_STRIDE && plan->k.extent > 1 && rows > 1 &&
         (double)plan->k.b * (double)rows >= CONTRACT_FAR_PRODUCT;
}

// Few rows of A read lines of B as they lie: a copy would take longer than the product.
static bool reads_lines(const contract_plan_t *plan, const leat_native_stage_t *stage,
                        const leat_native_prepare_t *context) {
  for (uint32_t i = 0; i < 3; i++) {
    if (stage->operands[i].dtype != PEF_F32) return false;
  }
  return plan->pack_b && plan->n_block == 0 && plan->k.b == 1 && plan->k.extent > 1 &&
         most(&plan->m, context) < CONTRACT_SWAP_ROWS;
}

// One row of A goes through B in the order of memory, line by line as far as its sums stay in L1.
static bool reads_once(const contract_plan_t *plan, const leat_native_stage_t *stage,
                       const leat_native_prepare_t *context) {
  for (uint32_t i = 0; i < 3; i++) {
    if (stage->operands[i].dtype != PEF_F32) return false;
  }
  return plan->n_block == 0 && plan->n.b == 1 && plan->n_total > 1 && most(&plan->m, context) <= 1;
}

// Few columns, of which one block is no multiple of what generated kernels go in: it is computed wider.
static int64_t step_of_columns(const contract_plan_t *plan, const leat_native_prepare_t *context) {
  enum { MOST = 4 * CONTRACT_N };
  const bool generated = context->jit != NULL && plan->class_ == PEF_CLASS_F32 && !plan->b_lines && !plan->b_narrow;
  if (!generated || plan->n_total >= MOST) return 1;
  const int64_t step = leat_native_jit_step(context->jit);
  return plan->n_total % step == 0 || most(&plan->m, context) < CONTRACT_SWAP_ROWS ? 1 : step;
}

// Few rows of A read a narrow B as it lies, and widen it in registers.
static bool reads_narrow(const contract_plan_t *plan, const leat_native_stage_t *stage,
                         const leat_native_prepare_t *context) {
  const bool is_bf16 = stage->operands[PEF_CONTRACT_a].dtype == PEF_F32 &&
                       stage->operands[PEF_CONTRACT_b].dtype == PEF_BF16 && !plan->swapped;
  if (plan->scaled ? plan->n.s != 1 && plan->n_total > 1 : !is_bf16) return false;
  const bool side_by_side = plan->n_block > 0 || plan->n.b == 1 || plan->n_total == 1;
  return side_by_side && most(&plan->m, context) <= CONTRACT_NARROW_ROWS;
}

static bool is_far_a(const contract_plan_t *plan, const leat_native_prepare_t *context) {
  return !plan->pack_a && plan->a_bytes == 4 && plan->class_ == PEF_CLASS_F32 && plan->m.a == 1 &&
         plan->k.a >= CONTRACT_FAR_STRIDE && plan->k.extent > 1 && most(&plan->m, context) > 1 &&
         most(&plan->n, context) >= CONTRACT_FAR_COLUMNS;
}

// How A and B are read, where they are of the class.
static void choose_copies(contract_plan_t *plan, const leat_native_stage_t *stage,
                          const leat_native_prepare_t *context) {
  plan->b_lines = reads_lines(plan, stage, context);
  if (plan->b_lines) {
    plan->pack_b = false;
    plan->gemm = context->kern->gemm_lines_f32;
  }
  plan->b_once = reads_once(plan, stage, context);
  if (plan->b_once) plan->gemm = context->kern->gemm_row_f32;
  plan->b_narrow = reads_narrow(plan, stage, context);
  if (plan->b_narrow) {
    plan->pack_b = false;
    plan->gemm_narrow = plan->scaled ? context->kern->gemm_i8_f32 : context->kern->gemm_bf16_f32;
  }
  plan->pack_b |= !plan->b_narrow && is_far(plan, context);
  plan->n_step = step_of_columns(plan, context);
  plan->pack_b |= plan->n_step > 1;
  plan->pack_c |= plan->n_step > 1;
  // Block kernels walk A along one of its dims.
  plan->pack_a |= plan->k.a != 1 && plan->m.a != 1 && plan->k.extent > 1 && plan->m.extent > 1;
  plan->a_columns = is_far_a(plan, context);
  plan->pack_a |= plan->a_columns;
}

// Blocks of k, from the shape and the chain of the file alone.
static void choose_k_block(contract_plan_t *plan, int64_t chain, const leat_kern_t *kern) {
  int64_t terms = plan->k.extent;
  for (uint32_t d = 0; d < plan->k_count; d++) {
    if (__builtin_mul_overflow(terms, plan->k_outer[d].extent, &terms)) terms = INT64_MAX;
  }
  if (chain == 0 || terms <= chain) return;
  const bool wide = plan->class_ == PEF_CLASS_F64;
  plan->k_block = chain;
  plan->k_chunk = min64(plan->k_chunk, chain);  // the sizes that kernels are generated for
  plan->close = wide ? kern->pairs_close_f64 : kern->pairs_close_f32;
  plan->end = wide ? kern->pairs_end_f64 : kern->pairs_end_f32;
  plan->pair_rows = 2;
  while (((terms - 1) / chain + 1) >> (plan->pair_rows - 1) != 0) plan->pair_rows++;
}

// As many rows as without blocks, and columns as far as they fit.
static void choose_part_of_sums(contract_plan_t *plan, const leat_native_prepare_t *context) {
  int64_t rows = most(&plan->m, context),
          columns = (most(&plan->n, context) + CONTRACT_N - 1) / CONTRACT_N * CONTRACT_N;
  if (plan->part_rows > rows && rows > 0) plan->part_rows = rows;
  int64_t room = CONTRACT_SUMS / plan->part_rows / CONTRACT_N * CONTRACT_N;
  plan->part_columns = columns < CONTRACT_N ? CONTRACT_N : columns < room ? columns : room;
  plan->pair_width = plan->part_rows * plan->part_columns;
  plan->pack_c = true;
}

static void choose_part(contract_plan_t *plan, const leat_native_prepare_t *context) {
  plan->part_rows = plan->pack_b && !plan->pack_c ? CONTRACT_COPIED_ROWS : CONTRACT_ROWS;
  plan->part_columns = CONTRACT_COLUMNS;
  if (plan->k_block > 0) {
    choose_part_of_sums(plan, context);
    return;
  }
  if (!plan->pack_c || plan->pack_a) return;
  int64_t columns = (most(&plan->n, context) + 15) / 16 * 16;
  if (columns >= CONTRACT_COLUMNS) return;
  plan->part_columns = columns;
  plan->part_rows = CONTRACT_ROWS * CONTRACT_COLUMNS / columns;
}

static void layout_workspace(contract_plan_t *plan, leat_native_stage_t *stage) {
  size_t bytes = plan->value_bytes;
  size_t a = plan->pack_a ? (size_t)plan->part_rows * CONTRACT_K * bytes : 0;
  size_t b = plan->pack_b ? CONTRACT_K * CONTRACT_N * bytes : 0;
  size_t c = plan->pack_c ? CONTRACT_ROWS * CONTRACT_COLUMNS * bytes : 0;
  if (plan->k_block > 0) c = (size_t)(plan->pair_rows * plan->pair_width) * bytes;
  plan->b_offset = a;
  plan->c_offset = a + b;
  stage->workspace_bytes = a + b + c;
}

leat_kern_gemm_t leat_native_contract_gemm(const contract_plan_t *plan, int64_t m, int64_t n, int64_t k, int64_t b_k,
                                           int add) {
  const int64_t word = plan->pairs ? 2 : 1;  // elements that the kernel sees as one
  return (leat_kern_gemm_t){.m = m,
                            .n = n,
                            .k = (k + word - 1) / word,
                            .a_m = plan->a_columns ? 1
                                   : plan->pack_a  ? CONTRACT_K
                                                   : plan->m.a / word,
                            .a_k = plan->a_columns ? CONTRACT_M
                                   : plan->pack_a  ? 1
                                                   : plan->k.a,
                            .b_k = b_k,
                            .c_m = plan->pack_c ? plan->part_columns : plan->m.c,
                            .add = add};
}

// As wide as the kernels like, within one packed block of the file.
contract_columns_t leat_native_contract_columns(const contract_plan_t *plan, const char *b, int64_t first,
                                                int64_t end) {
  contract_columns_t columns = {.first = first,
                                .width = min64(plan->b_once ? CONTRACT_ROW_COLUMNS : CONTRACT_N, end - first)};
  columns.b = b + first * plan->n.b * plan->b_bytes;
  columns.memory_b_k = plan->k.b;
  if (plan->n_block > 0) {
    int64_t block = first / plan->n_block, inside = first % plan->n_block;
    columns.memory_b_k = min64(plan->n_block, plan->n_total - block * plan->n_block);
    columns.width = min64(columns.width, columns.memory_b_k - inside);
    columns.b = b + (block * plan->n_block_step + inside * (plan->pairs ? 2 : 1)) * plan->b_bytes;
  }
  columns.wide = (columns.width + plan->n_step - 1) / plan->n_step * plan->n_step;
  columns.b_k = plan->b_lines ? plan->n.b : plan->pack_b ? columns.wide : columns.memory_b_k;
  return columns;
}

// --- generated kernels -------------------------------------------------------------------------------------------

// Full blocks and the rest of `extent`.
static void add_sizes(int64_t *sizes, int64_t block, int64_t extent) {
  const int64_t wanted[2] = {extent >= block ? block : 0, extent % block};
  for (int w = 0; w < 2; w++) {
    uint32_t i = 0;
    while (i < CONTRACT_SIZES && sizes[i] != 0 && sizes[i] != wanted[w]) i++;
    if (i < CONTRACT_SIZES) sizes[i] = wanted[w];
  }
}

static void add_widths(contract_plan_t *plan, int64_t extent) {
  for (int64_t j = 0; j < extent && j < CONTRACT_WIDTHS_COLUMNS;) {
    contract_columns_t columns = leat_native_contract_columns(plan, NULL, j, extent);
    uint32_t i = 0;
    while (i < CONTRACT_SIZES && plan->widths[i].wide != 0 &&
           (plan->widths[i].wide != columns.wide || plan->widths[i].b_k != columns.b_k)) {
      i++;
    }
    if (i < CONTRACT_SIZES) plan->widths[i] = (contract_width_t){columns.wide, columns.b_k};
    j += columns.width;
  }
}

static void request_blocks(contract_plan_t *plan, leat_native_jit_t *jit, uint32_t m, uint32_t n, uint32_t k) {
  if (plan->m_sizes[m] == 0 || plan->widths[n].wide == 0 || plan->k_sizes[k] == 0) return;
  bool one_chunk = plan->k.extent <= plan->k_chunk && plan->k_count == 0;
  for (int add = 0; add < 2; add++) {
    if ((add == 0 && plan->add && plan->k_block == 0) || (add == 1 && one_chunk && !plan->add)) continue;
    leat_kern_gemm_t g = leat_native_contract_gemm(plan, plan->m_sizes[m], plan->widths[n].wide, plan->k_sizes[k],
                                                   plan->widths[n].b_k, add);
    plan->block[m][n][k][add] = leat_native_jit_gemm(jit, &g);
  }
}

static void generate(contract_plan_t *plan, const leat_native_prepare_t *context) {
  const bool own = plan->b_lines || plan->b_once || plan->b_narrow || plan->pairs;
  if (context->jit == NULL || plan->class_ != PEF_CLASS_F32 || own) return;
  int64_t tile = context->tile_rows_max, last = context->row_count % tile;
  add_sizes(plan->m_sizes, CONTRACT_M, plan->m.extent * (plan->m.is_rows ? tile : 1));
  if (plan->m.is_rows && last > 0) add_sizes(plan->m_sizes, CONTRACT_M, plan->m.extent * last);
  add_sizes(plan->k_sizes, plan->k_chunk, plan->k.extent);
  add_widths(plan, plan->n.extent * (plan->n.is_rows ? tile : 1));
  if (plan->n.is_rows && last > 0) add_widths(plan, plan->n.extent * last);
  for (uint32_t m = 0; m < CONTRACT_SIZES; m++) {
    for (uint32_t n = 0; n < CONTRACT_SIZES; n++) {
      for (uint32_t k = 0; k < CONTRACT_SIZES; k++) request_blocks(plan, context->jit, m, n, k);
    }
  }
}

leat_status_t leat_native_contract_scaled_prepare(leat_native_stage_t *stage, const leat_native_prepare_t *context) {
  return leat_native_contract_prepare(stage, context);
}

leat_status_t leat_native_contract_prepare(leat_native_stage_t *stage, const leat_native_prepare_t *context) {
  contract_plan_t *plan = leat_arena_alloc(context->arena, sizeof *plan);
  if (plan == NULL) LEAT_FAIL(LEAT_OUT_OF_MEMORY, "no memory for the plan of a CONTRACT");
  plan->n_block = stage->params->product.n_block;
  plan->n_block_step = stage->params->product.n_block_step;
  plan->add = stage->params->product.add != 0;
  plan->scaled = scale_of(stage) != NULL;
  choose_dims(plan, stage, context);
  plan->n_total = plan->n.extent * (plan->n.is_rows ? context->row_count : 1);
  choose_kernels(plan, stage, context->kern);
  plan->pairs = stage->params->product.pairs != 0;
  if (plan->pairs)
    choose_pairs(plan, context);
  else
    choose_copies(plan, stage, context);
  bool streams =
      (most(&plan->m, context) == 1 || plan->b_narrow) && plan->n_block > 0 && !plan->pack_a && !plan->pack_b;
  plan->k_chunk = (streams ? CONTRACT_K_ONE_ROW : CONTRACT_K) * (plan->pairs ? 2 : 1);
  choose_k_block(plan, stage->params->product.chain, context->kern);
  choose_part(plan, context);
  layout_workspace(plan, stage);
  generate(plan, context);
  stage->plan = plan;
  return NULL;
}
