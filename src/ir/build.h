// SPDX-License-Identifier: Apache-2.0
// Builder of primitive graphs: what lowering, gradients, optimizers and rewrites write with.
//
// Errors are sticky: after the first one every call returns LEAT_NONE and the builder keeps the status, so that rows
// stay short; the driver of the pass looks at `b->status` once per op. LEAT_NONE as an operand poisons the result
// (with LEAT_INTERNAL if there was no error before). Shapes come from ir/shape.c.
#ifndef LEAT_IR_BUILD_H_
#define LEAT_IR_BUILD_H_

#include "ir/graph.h"

typedef struct leat_builder_s {
  leat_graph_t *graph;   // where ops go
  leat_status_t status;  // first error; taken by leat_builder_take_status
  uint8_t type;          // section type, detached, group and origin given to new ops
  uint8_t detached;
  uint32_t group, origin;
} leat_builder_t;

void leat_builder_init(leat_builder_t *b, leat_graph_t *graph);
leat_status_t leat_builder_take_status(leat_builder_t *b) LEAT_MUST_USE;
// Sets the sticky error (keeps the first). Returns LEAT_NONE, so that rows can `return leat_b_fail(...)`.
leat_value_id_t leat_b_fail(leat_builder_t *b, int code, const char *format, ...) LEAT_PRINTF(3, 4);
const leat_value_t *leat_b_value(const leat_builder_t *b, leat_value_id_t v);  // a dummy f32[] for LEAT_NONE

// Any primitive with explicit attributes; result 0 is returned, further results are consecutive ids.
leat_value_id_t leat_b_op(leat_builder_t *b, uint32_t kind, const leat_value_id_t *inputs, uint32_t input_count,
                          const leat_attr_t *attrs, uint32_t attr_count, const leat_value_t *results);

// leaves
// Ids of symbols, by name and by role (graph.h), LEAT_NONE after an error.
leat_symbol_id_t leat_b_named(leat_builder_t *b, const char *name);
leat_symbol_id_t leat_b_role(leat_builder_t *b, leat_symbol_role_t role, uint32_t of);
leat_value_id_t leat_b_symbol(leat_builder_t *b, leat_symbol_id_t symbol, leat_symbol_kind_t kind, leat_dtype_t dtype,
                              uint32_t rank, const int64_t *dims);
void leat_b_store(leat_builder_t *b, leat_symbol_id_t symbol, leat_store_kind_t kind, leat_value_id_t v);
leat_value_id_t leat_b_scalar(leat_builder_t *b, leat_dtype_t dtype, double value);  // 0-d splat
leat_value_id_t leat_b_splat(leat_builder_t *b, leat_dtype_t dtype, uint32_t rank, const int64_t *dims, double value);
// `data`: the bytes, row-major; copied into a blob
leat_value_id_t leat_b_constant(leat_builder_t *b, leat_dtype_t dtype, uint32_t rank, const int64_t *dims,
                                const void *data);
leat_value_id_t leat_b_iota(leat_builder_t *b, leat_dtype_t dtype, uint32_t rank, const int64_t *dims, uint32_t dim);
leat_value_id_t leat_b_random(leat_builder_t *b, leat_draw_t fn, int64_t stream, leat_value_id_t state,
                              leat_dtype_t dtype, uint32_t rank, const int64_t *dims);

// elementwise; operands broadcast as in torch (ranks are equalised by leading 1s; nothing is materialised)
leat_value_id_t leat_b_map1(leat_builder_t *b, leat_scalar_t fn, leat_value_id_t x);
leat_value_id_t leat_b_map2(leat_builder_t *b, leat_scalar_t fn, leat_value_id_t x, leat_value_id_t y);
leat_value_id_t leat_b_map3(leat_builder_t *b, leat_scalar_t fn, leat_value_id_t x, leat_value_id_t y,
                            leat_value_id_t z);
leat_value_id_t leat_b_cast(leat_builder_t *b, leat_value_id_t x, leat_dtype_t dtype);  // x itself if equal
// x fn number, the number rounded once to x's dtype
leat_value_id_t leat_b_map2s(leat_builder_t *b, leat_scalar_t fn, leat_value_id_t x, double number);
leat_value_id_t leat_b_sub_from(leat_builder_t *b, double number, leat_value_id_t x);  // number - x
static inline leat_value_id_t leat_b_add(leat_builder_t *b, leat_value_id_t x, leat_value_id_t y) {
  return leat_b_map2(b, LEAT_SCALAR_ADD, x, y);
}
static inline leat_value_id_t leat_b_sub(leat_builder_t *b, leat_value_id_t x, leat_value_id_t y) {
  return leat_b_map2(b, LEAT_SCALAR_SUB, x, y);
}
static inline leat_value_id_t leat_b_mul(leat_builder_t *b, leat_value_id_t x, leat_value_id_t y) {
  return leat_b_map2(b, LEAT_SCALAR_MUL, x, y);
}
static inline leat_value_id_t leat_b_div(leat_builder_t *b, leat_value_id_t x, leat_value_id_t y) {
  return leat_b_map2(b, LEAT_SCALAR_DIV, x, y);
}
static inline leat_value_id_t leat_b_muls(leat_builder_t *b, leat_value_id_t x, double s) {
  return leat_b_map2s(b, LEAT_SCALAR_MUL, x, s);
}
static inline leat_value_id_t leat_b_adds(leat_builder_t *b, leat_value_id_t x, double s) {
  return leat_b_map2s(b, LEAT_SCALAR_ADD, x, s);
}
static inline leat_value_id_t leat_b_select(leat_builder_t *b, leat_value_id_t c, leat_value_id_t x,
                                            leat_value_id_t y) {
  return leat_b_map3(b, LEAT_SCALAR_SELECT, c, x, y);
}

// across elements. `dims` is a bit mask (0: x itself); reduced dims stay with extent 1 unless keepdim is false.
leat_value_id_t leat_b_reduce(leat_builder_t *b, leat_fold_t fn, leat_value_id_t x, uint32_t dims, bool keepdim);
leat_value_id_t leat_b_scan(leat_builder_t *b, leat_fold_t fn, leat_value_id_t x, uint32_t dim, bool reverse);
leat_value_id_t leat_b_contract(leat_builder_t *b, const leat_spec_t *spec, leat_value_id_t x, leat_value_id_t y);
// y: i8, its elements times those of `scale`; LEAT_NONE: y as it is
leat_value_id_t leat_b_contract_scaled(leat_builder_t *b, const leat_spec_t *spec, leat_value_id_t x, leat_value_id_t y,
                                       leat_value_id_t scale);
leat_value_id_t leat_b_product(leat_builder_t *b, const char *spec, leat_value_id_t x,
                               leat_value_id_t y);  // "mk,kn->mn"

// moving elements; each returns x itself when it would do nothing
leat_value_id_t leat_b_reshape(leat_builder_t *b, leat_value_id_t x, uint32_t rank, const int64_t *dims);
leat_value_id_t leat_b_transpose(leat_builder_t *b, leat_value_id_t x, const int64_t *perm);
leat_value_id_t leat_b_swap(leat_builder_t *b, leat_value_id_t x, uint32_t dim_a, uint32_t dim_b);
leat_value_id_t leat_b_slice(leat_builder_t *b, leat_value_id_t x, const int64_t *start, const int64_t *stop,
                             const int64_t *step);
leat_value_id_t leat_b_slice_dim(leat_builder_t *b, leat_value_id_t x, uint32_t dim, int64_t start, int64_t stop,
                                 int64_t step);
leat_value_id_t leat_b_concat(leat_builder_t *b, const leat_value_id_t *xs, uint32_t count, uint32_t dim);
// The `k` elements of dim from every `step`-th on, last.
leat_value_id_t leat_b_unfold(leat_builder_t *b, leat_value_id_t x, uint32_t dim, int64_t k, int64_t step);
leat_value_id_t leat_b_pad(leat_builder_t *b, leat_value_id_t x, const int64_t *low, const int64_t *high,
                           const int64_t *interior, double value);  // interior may be NULL
// torch's broadcast to a shape of equal or greater rank
leat_value_id_t leat_b_broadcast_to(leat_builder_t *b, leat_value_id_t x, uint32_t rank, const int64_t *dims);
// the reverse: sums x down to `dims`
leat_value_id_t leat_b_sum_to(leat_builder_t *b, leat_value_id_t x, uint32_t rank, const int64_t *dims);
leat_value_id_t leat_b_flip(leat_builder_t *b, leat_value_id_t x, uint32_t dims);
leat_value_id_t leat_b_gather(leat_builder_t *b, leat_value_id_t x, leat_value_id_t indices, uint32_t dim,
                              uint32_t batch);
leat_value_id_t leat_b_scatter(leat_builder_t *b, leat_fold_t fn, leat_value_id_t x, leat_value_id_t indices,
                               leat_value_id_t updates, uint32_t dim, uint32_t batch);
// stable sort; *out_indices is i64
leat_value_id_t leat_b_sort(leat_builder_t *b, leat_value_id_t x, uint32_t dim, bool descending,
                            leat_value_id_t *out_indices);

// softmax(q k^T) v: op.def says what ATTENTION and its gradient read
typedef struct leat_attention_s {
  leat_value_id_t q, k, v;
  leat_value_id_t mask;         // or LEAT_NONE
  leat_value_id_t state, drop;  // or LEAT_NONE both
  int64_t low, high, stream;
  double scale;  // of the scores
  bool bare;
} leat_attention_t;
leat_value_id_t leat_b_attention(leat_builder_t *b, const leat_attention_t *a, leat_value_id_t *out_lse);
// dq; dk and dv are the next two values
leat_value_id_t leat_b_attention_grad(leat_builder_t *b, const leat_attention_t *a, leat_value_id_t lse,
                                      leat_value_id_t delta, leat_value_id_t dout);

// convolution and pooling over n spatial dims
typedef struct leat_window_s {
  uint32_t rank;
  int64_t window[3], stride[3], low[3], high[3], dilation[3], base_dilation[3];
  int64_t groups;
} leat_window_t;
// The window of a CONV, CONV_WGRAD, POOL or POOL_GRAD op; what the op does not have is 1 (base_dilation, groups).
void leat_window_of(const leat_graph_t *g, const leat_op_t *op, leat_window_t *out_window);
leat_value_id_t leat_b_conv(leat_builder_t *b, leat_value_id_t x, leat_value_id_t w, const leat_window_t *window);
// `batch` leading dims of x, dy and the result are convolutions of their own.
leat_value_id_t leat_b_conv_wgrad(leat_builder_t *b, leat_value_id_t x, leat_value_id_t dy, const leat_window_t *window,
                                  uint32_t batch);
leat_value_id_t leat_b_pool(leat_builder_t *b, leat_fold_t fn, leat_value_id_t x, const leat_window_t *window);
leat_value_id_t leat_b_pool_grad(leat_builder_t *b, leat_fold_t fn, leat_value_id_t x, leat_value_id_t dy,
                                 const leat_window_t *window);

#endif
