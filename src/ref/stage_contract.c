// SPDX-License-Identifier: Apache-2.0
// CONTRACT and CONTRACT_SCALED: every element of C is one chain of fused multiply-adds over k, or a pairwise sum of
// such chains.
#include "ref/stage.h"
#include "ref/sum.h"

// One element of C.
typedef struct contract_s {
  const pef_product_t *params;
  ref_operand_t a, b, c;
  const ref_operand_t *scale;  // of B; NULL: it has none
  uint32_t class_;
  int64_t at[PEF_MAX_RANK];      // of the element: 0 in the dims of k
  int64_t k_dims[PEF_MAX_RANK];  // extents of the dims of k, 1 of others
  int64_t k_count;
} contract_t;

// Of a packed B: element (k, n) lies in its block of columns, row by row of the block.
static ref_value_t read_packed(const contract_t *s, int64_t k) {
  const int64_t block = s->params->n_block;
  int64_t rest[PEF_MAX_RANK], n = 0, n_count = 1, n_first = 0;
  for (uint32_t d = 0; d < PEF_MAX_RANK; d++) {
    rest[d] = s->params->roles[d] == PEF_ROLE_BATCH ? s->at[d] : 0;
    if (d >= s->b.rank || s->params->roles[d] != PEF_ROLE_N) continue;
    n_first = s->b.first[d];
    n = n_first + s->at[d];
    n_count = s->b.file->dims[d];
  }
  const int64_t before = n / block * block, width = n_count - before < block ? n_count - before : block;
  // A tile's columns begin n_first elements further on: the operand says so by its stride of 1.
  const int64_t in_panel = s->params->pairs != 0 ? k / 2 * 2 * width + n % block * 2 + k % 2 : k * width + n % block;
  const int64_t elements = n / block * s->params->n_block_step + in_panel - n_first;
  const char *whole = leat_ref_at(&s->b, rest);
  return leat_ref_load(s->class_, s->b.dtype, whole + elements * (int64_t)leat_pef_dtype_bytes(s->b.dtype));
}

// The factors of term k.
static void read_term(const contract_t *s, int64_t k, ref_value_t *out_a, ref_value_t *out_b) {
  int64_t index[PEF_MAX_RANK];
  leat_ref_nth(k, s->k_dims, index);
  for (uint32_t d = 0; d < PEF_MAX_RANK; d++) index[d] += s->at[d];
  *out_a = leat_ref_read(&s->a, s->class_, index);
  *out_b = s->params->n_block > 0 ? read_packed(s, k) : leat_ref_read(&s->b, s->class_, index);
  if (s->scale != NULL) *out_b = leat_ref_multiply(s->class_, *out_b, leat_ref_read(s->scale, s->class_, index));
}

static ref_value_t add_term(const contract_t *s, int64_t k, ref_value_t sum) {
  ref_value_t a, b;
  read_term(s, k, &a, &b);
  return leat_ref_multiply_add(s->class_, a, b, sum);
}

// Terms k and k + 1, of which the second may lie beyond `end`.
static ref_value_t add_pair(const contract_t *s, int64_t k, int64_t end, ref_value_t sum) {
  ref_value_t a = {.f32 = 0}, b = {.f32 = 0};
  if (k + 1 < end) read_term(s, k + 1, &a, &b);
  sum = leat_ref_pair_term(a, b, sum);
  read_term(s, k, &a, &b);
  return leat_ref_pair_term(a, b, sum);
}

static ref_value_t block_of_k(const void *sum, int64_t block) {
  const contract_t *s = sum;
  const int64_t length = s->params->chain > 0 ? s->params->chain : s->k_count;
  const bool from_c = block == 0 && s->params->add != 0;
  ref_value_t value = from_c ? leat_ref_read(&s->c, s->class_, s->at) : leat_ref_of_int(s->class_, 0);
  const int64_t end = s->k_count - block * length < length ? s->k_count : (block + 1) * length;
  const int64_t step = s->params->pairs != 0 ? 2 : 1;
  for (int64_t k = block * length; k < end; k += step)
    value = step == 2 ? add_pair(s, k, end, value) : add_term(s, k, value);
  return value;
}

static void multiply(const ref_stage_t *stage, const leat_run_tile_t *tile, uint32_t c, const ref_operand_t *scale) {
  contract_t s = {.params = &stage->file->params.product,
                  .a = leat_ref_operand(stage, PEF_CONTRACT_a, tile),
                  .b = leat_ref_operand(stage, PEF_CONTRACT_b, tile),
                  .c = leat_ref_operand(stage, c, tile),
                  .scale = scale};
  int64_t kept[PEF_MAX_RANK];
  s.class_ = leat_pef_dtype_class(s.c.dtype);
  for (uint32_t d = 0; d < PEF_MAX_RANK; d++) {
    const bool is_k = d < s.c.rank && s.params->roles[d] == PEF_ROLE_K;
    s.k_dims[d] = is_k ? s.c.dims[d] : 1;
    kept[d] = is_k ? 1 : s.c.dims[d];
  }
  s.k_count = leat_ref_count(s.k_dims);
  const int64_t chain = s.params->chain, blocks = chain > 0 ? (s.k_count + chain - 1) / chain : 1;
  do {
    const ref_value_t value = leat_ref_pairwise(s.class_, block_of_k, &s, 0, blocks > 0 ? blocks : 1);
    leat_ref_write(&s.c, s.class_, s.at, value);
  } while (leat_ref_next(s.at, kept));
}

void leat_ref_contract(const ref_stage_t *stage, const leat_run_tile_t *tile) {
  multiply(stage, tile, PEF_CONTRACT_c, NULL);
}

void leat_ref_contract_scaled(const ref_stage_t *stage, const leat_run_tile_t *tile) {
  const ref_operand_t scale = leat_ref_operand(stage, PEF_CONTRACT_SCALED_scale, tile);
  multiply(stage, tile, PEF_CONTRACT_SCALED_c, &scale);
}
