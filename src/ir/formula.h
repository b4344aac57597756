// SPDX-License-Identifier: Apache-2.0
// Shorthand for writing formulas with the builder: what lowering, gradients and optimizers share beyond build.h.
#ifndef LEAT_IR_FORMULA_H_
#define LEAT_IR_FORMULA_H_

#include "ir/build.h"

// leat_b_fn1(b, EXP, x), leat_b_fn2(b, MAX, x, y): scalar functions by the name of their row in scalar.def.
#define leat_b_fn1(b, FN, x) leat_b_map1((b), LEAT_SCALAR_##FN, (x))
#define leat_b_fn2(b, FN, x, y) leat_b_map2((b), LEAT_SCALAR_##FN, (x), (y))
#define leat_b_fn2s(b, FN, x, number) leat_b_map2s((b), LEAT_SCALAR_##FN, (x), (number))

static inline leat_value_id_t leat_b_square(leat_builder_t *b, leat_value_id_t x) { return leat_b_mul(b, x, x); }
static inline leat_dtype_t leat_b_dtype(const leat_builder_t *b, leat_value_id_t x) {
  return (leat_dtype_t)leat_b_value(b, x)->dtype;
}
// 0-d number of x's dtype
static inline leat_value_id_t leat_b_number_like(leat_builder_t *b, leat_value_id_t x, double number) {
  return leat_b_scalar(b, leat_b_dtype(b, x), number);
}
// c ? x : number and c ? number : y
static inline leat_value_id_t leat_b_select_or(leat_builder_t *b, leat_value_id_t c, leat_value_id_t x, double number) {
  return leat_b_select(b, c, x, leat_b_number_like(b, x, number));
}
static inline leat_value_id_t leat_b_number_or(leat_builder_t *b, leat_value_id_t c, double number, leat_value_id_t y) {
  return leat_b_select(b, c, leat_b_number_like(b, y, number), y);
}
// The shape of `x` filled with `number`.
leat_value_id_t leat_b_full_like(leat_builder_t *b, leat_value_id_t x, double number);
// bf16 and f16 are computed in f32, as torch does inside softmax, norms and losses; others are returned as they are.
leat_value_id_t leat_b_widen(leat_builder_t *b, leat_value_id_t x);

static inline uint32_t leat_b_all_dims(const leat_builder_t *b, leat_value_id_t x) {
  return (1u << leat_b_value(b, x)->rank) - 1u;
}
// Number of elements that a reduction over `dims` of x combines.
int64_t leat_b_extent(const leat_builder_t *b, leat_value_id_t x, uint32_t dims);
// Sum and mean over `dims`, which stay with extent 1.
static inline leat_value_id_t leat_b_sum(leat_builder_t *b, leat_value_id_t x, uint32_t dims) {
  return leat_b_reduce(b, LEAT_FOLD_SUM, x, dims, true);
}
static inline leat_value_id_t leat_b_mean(leat_builder_t *b, leat_value_id_t x, uint32_t dims) {
  return leat_b_fn2s(b, DIV, leat_b_sum(b, x, dims), (double)leat_b_extent(b, x, dims));
}
// Inserts dims of extent 1, so that those in the mask `dims` of the result are new.
leat_value_id_t leat_b_unsqueeze(leat_builder_t *b, leat_value_id_t x, uint32_t dims);
// Drops the dims of the mask; they have extent 1.
leat_value_id_t leat_b_squeeze(leat_builder_t *b, leat_value_id_t x, uint32_t dims);
// Python's floor division: the remainder is taken off first, so that 0.6 // 0.2 is 2, as torch has it.
leat_value_id_t leat_b_floor_div(leat_builder_t *b, leat_value_id_t x, leat_value_id_t y);
// x reshaped to the dims of `like` (same element count).
leat_value_id_t leat_b_reshape_like(leat_builder_t *b, leat_value_id_t x, leat_value_id_t like);
// i64 index along `dim` of x, of extent 1 in every other dim: broadcasts against x.
leat_value_id_t leat_b_index_along(leat_builder_t *b, leat_value_id_t x, uint32_t dim);
// bool, of the shape of x: is the index along `dim` that of i64 `index`, which has extent 1 there?
leat_value_id_t leat_b_is_at(leat_builder_t *b, leat_value_id_t x, uint32_t dim, leat_value_id_t index);
// x with dim `from` moved to place `to`.
leat_value_id_t leat_b_move_dim(leat_builder_t *b, leat_value_id_t x, uint32_t from, uint32_t to);

// Weights w[A, B/groups, k..] as [B, A/groups, k..]: what a convolution's gradient and a transposed one read.
leat_value_id_t leat_b_swap_channels(leat_builder_t *b, leat_value_id_t w, int64_t groups);

// torch.gather along `dim` where x and indices agree in all other dims, and its transpose: adds updates into zeros
// of the shape of `like`.
leat_value_id_t leat_b_take_along(leat_builder_t *b, leat_value_id_t x, leat_value_id_t indices, uint32_t dim);
leat_value_id_t leat_b_put_along(leat_builder_t *b, leat_value_id_t like, leat_value_id_t indices,
                                 leat_value_id_t updates, uint32_t dim);

// The value of a symbol, LEAT_NONE if no op has read it yet.
leat_value_id_t leat_b_symbol_value(const leat_builder_t *b, leat_symbol_id_t symbol);
// The same, read on first use. Later uses must agree in dtype and shape.
leat_value_id_t leat_b_symbol_once(leat_builder_t *b, leat_symbol_id_t symbol, leat_symbol_kind_t kind,
                                   leat_dtype_t dtype, uint32_t rank, const int64_t *dims);
// Hyperparameter: 0-d f64 symbol. `shared` is the default every user of the name agrees on, or NaN where they
// differ; then `own` holds until the host sets a value.
leat_value_id_t leat_b_hyper(leat_builder_t *b, leat_symbol_id_t symbol, double shared, double own);
// The symbol random__state (i64[2]: seed, step).
leat_value_id_t leat_b_random_state(leat_builder_t *b);

#endif
