// SPDX-License-Identifier: Apache-2.0
// Matrix products: everything becomes `contract`. A right operand without batch dims makes one large product of the
// flattened left operand.
#include <math.h>

#include "lower/attention.h"
#include "lower/row.h"

// x[.., k] as [rows, k]
static leat_value_id_t flatten_rows(leat_builder_t *b, leat_value_id_t x) {
  leat_value_t v = *leat_b_value(b, x);
  int64_t rows = 1;
  for (uint32_t d = 0; d + 1 < v.rank; d++) rows *= v.dims[d];
  return leat_b_reshape(b, x, 2, (const int64_t[]){rows, v.dims[v.rank - 1]});
}

// x[.., k] times y[k,n] or y[n,k] by `spec`: [.., n]
leat_value_id_t leat_row_times(leat_builder_t *b, leat_value_id_t x, leat_value_id_t y, bool transposed,
                               leat_value_id_t bias) {
  leat_value_t v = *leat_b_value(b, x), w = *leat_b_value(b, y);
  if (v.rank == 0 || w.rank != 2) return leat_b_fail(b, LEAT_INVALID_ARGUMENT, "needs a matrix on the right");
  leat_value_id_t z = leat_b_product(b, transposed ? "mk,nk->mn" : "mk,kn->mn", flatten_rows(b, x), y);
  if (bias != LEAT_NONE) z = leat_b_add(b, z, bias);
  v.dims[v.rank - 1] = w.dims[transposed ? 0 : 1];
  return leat_b_reshape(b, z, v.rank, v.dims);
}

static leat_value_id_t matmul(leat_builder_t *b, leat_value_id_t x, leat_value_id_t y) {
  uint32_t x_rank = leat_b_value(b, x)->rank, y_rank = leat_b_value(b, y)->rank;
  if (x_rank == 0 || y_rank == 0)
    return leat_b_fail(b, LEAT_INVALID_ARGUMENT, "needs operands of at least one dimension");
  const bool lines = x_rank == 1 && y_rank == 1 && leat_b_value(b, x)->dims[0] == leat_b_value(b, y)->dims[0];
  if (lines && leat_row_sums_in_lanes(b, x)) return leat_row_sum_behind(b, leat_b_mul(b, x, y), 0);
  if (x_rank == 1) x = leat_b_unsqueeze(b, x, 1u);
  if (y_rank == 1) y = leat_b_unsqueeze(b, y, 2u);
  leat_value_id_t z =
      y_rank <= 2 ? leat_row_times(b, x, y, false, LEAT_NONE) : leat_row_batched(b, x, "mk", y, "kn", "mn");
  uint32_t rank = leat_b_value(b, z)->rank, drop = 0;
  if (rank < 2) return LEAT_NONE;
  if (x_rank == 1) drop |= 1u << (rank - 2);
  if (y_rank == 1) drop |= 1u << (rank - 1);
  return drop == 0 ? z : leat_b_squeeze(b, z, drop);
}

LOWER(MATMUL) { return matmul(c->b, c->in[0], c->in[1]); }
LOWER(BMM) { return leat_b_product(c->b, "bmk,bkn->bmn", c->in[0], c->in[1]); }
LOWER(OUTER) { return leat_b_mul(c->b, leat_b_unsqueeze(c->b, c->in[0], 2u), leat_b_unsqueeze(c->b, c->in[1], 1u)); }

// The weight keeps torch's layout [out, in]; a 1-D weight is one row, whose result dim torch drops.
LOWER(LINEAR) {
  leat_builder_t *b = c->b;
  if (leat_b_value(b, c->in[1])->rank != 1) return leat_row_times(b, c->in[0], c->in[1], true, leat_lower_in(c, 2));
  leat_value_id_t y = leat_row_times(b, c->in[0], leat_b_unsqueeze(b, c->in[1], 1u), true, leat_lower_in(c, 2));
  return y == LEAT_NONE ? y : leat_b_squeeze(b, y, 1u << (leat_b_value(b, y)->rank - 1u));
}

static leat_value_id_t scaled(leat_lower_t *c, leat_value_id_t x, leat_attr_key_t key) {
  double factor = leat_lower_float(c, key, 1.0);
  return factor == 1.0 ? x : leat_b_muls(c->b, x, factor);
}

// beta*input + alpha*product; with beta 0 the input does not count, not even its NaNs, but it has zeros as gradient.
static leat_value_id_t add_product(leat_lower_t *c, leat_value_id_t product) {
  leat_value_id_t y = scaled(c, product, LEAT_ATTR_ALPHA);
  if (leat_lower_float(c, LEAT_ATTR_BETA, 1.0) != 0.0) return leat_b_add(c->b, scaled(c, c->in[0], LEAT_ATTR_BETA), y);
  const leat_value_id_t never = leat_b_splat(c->b, LEAT_BOOL, 0, NULL, 0.0);
  return leat_b_add(c->b, leat_b_select_or(c->b, never, c->in[0], -0.0), y);
}

LOWER(ADDMM) {
  if (leat_lower_int(c, LEAT_ATTR_TRANSPOSED, 0))
    return add_product(c, leat_row_times(c->b, c->in[1], c->in[2], true, LEAT_NONE));
  return add_product(c, matmul(c->b, c->in[1], c->in[2]));
}
LOWER(BADDBMM) { return add_product(c, leat_b_product(c->b, "bmk,bkn->bmn", c->in[1], c->in[2])); }

// scores = scale * q k^T (+ mask) -> softmax -> dropout -> times v
LOWER(SDPA) {
  leat_builder_t *b = c->b;
  const leat_sdpa_t a = leat_row_sdpa(b, c->from, c->op, c->in, c->in_count, c->dropout_rate);
  leat_value_id_t y;
  if (leat_row_in_blocks(b, &a)) {
    const leat_attention_t blocks = leat_row_attention(b, &a);
    y = leat_b_attention(b, &blocks, &(leat_value_id_t){0});
  } else {
    const leat_sdpa_t wide = leat_row_wide_sdpa(b, &a);
    const leat_stored_scores_t s = leat_row_stored_scores(b, &wide);
    const leat_value_id_t weights = s.drop == LEAT_NONE ? s.weights : leat_b_mul(b, s.weights, s.drop);
    y = leat_row_batched(b, weights, "mk", wide.v, "kn", "mn");
  }
  const leat_value_t *declared = leat_lower_declared(c, 0);
  return leat_b_cast(b, leat_b_reshape(b, y, declared->rank, declared->dims), (leat_dtype_t)declared->dtype);
}
