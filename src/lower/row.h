// SPDX-License-Identifier: Apache-2.0
// What a row of the lowering table sees, and steps that several rows share.
//
// A row is one short function: LOWER(SOFTMAX) { ... } returns result 0 and puts further results into c->out.
// Mistakes are sticky in the builder; a combination that is legal in torch but not lowered calls leat_b_fail with
// LEAT_UNSUPPORTED and says what to do; where (op, module, source) is added by the driver.
#ifndef LEAT_LOWER_ROW_H_
#define LEAT_LOWER_ROW_H_

#include "ir/formula.h"
#include "ir/vjp.h"

typedef struct leat_lower_s {
  leat_builder_t *b;
  const leat_graph_t *from;   // the graph that is being lowered
  const leat_op_t *op;        // the op, in `from`
  const leat_value_id_t *in;  // its operands in the new graph; LEAT_NONE: absent
  uint32_t in_count;
  double dropout_rate;  // shared by every dropout of the graph, or NaN
  leat_value_id_t out[LEAT_VJP_RESULT_MAX];
} leat_lower_t;

#define LOWER(row)                                   \
  leat_value_id_t leat_lower_##row(leat_lower_t *c); \
  leat_value_id_t leat_lower_##row(leat_lower_t *c)
#define VJP(row)                      \
  void leat_vjp_##row(leat_vjp_t *v); \
  void leat_vjp_##row(leat_vjp_t *v)

static inline leat_value_id_t leat_lower_in(const leat_lower_t *c, uint32_t i) {
  return i < c->in_count ? c->in[i] : LEAT_NONE;
}
static inline int64_t leat_lower_int(const leat_lower_t *c, leat_attr_key_t key, int64_t otherwise) {
  return leat_op_int(c->from, c->op, key, otherwise);
}
static inline double leat_lower_float(const leat_lower_t *c, leat_attr_key_t key, double otherwise) {
  return leat_op_float(c->from, c->op, key, otherwise);
}
static inline int leat_lower_word(const leat_lower_t *c, leat_attr_key_t key, int otherwise) {
  return leat_op_word(c->from, c->op, key, otherwise);
}
static inline const int64_t *leat_lower_list(const leat_lower_t *c, leat_attr_key_t key, uint32_t *out_count) {
  return leat_op_list(c->from, c->op, key, out_count);
}
// What the tracer declared for a result.
static inline const leat_value_t *leat_lower_declared(const leat_lower_t *c, uint32_t result) {
  return leat_graph_value(c->from, c->op->result_first + result);
}
static inline leat_dtype_t leat_lower_dtype(const leat_lower_t *c, uint32_t result) {
  return (leat_dtype_t)leat_lower_declared(c, result)->dtype;
}

// Has no result of the op an element? Then leat_lower_empty stands for its row; `for_grad`: as something that hangs on
// the operands (lower_empty.c).
bool leat_lower_is_empty(const leat_graph_t *g, const leat_op_t *op);
leat_value_id_t leat_lower_empty(leat_lower_t *c, bool for_grad);

// --- shared by rows and their gradients -----------------------------------------------------------------------
// The dims attribute as a mask; absent or empty: all dims of a value of this rank.
uint32_t leat_row_dims(const leat_graph_t *g, const leat_op_t *op, uint32_t rank);
// Value of a loss from its elements.
leat_value_id_t leat_row_reduce_loss(leat_builder_t *b, leat_value_id_t elements, leat_reduction_t reduction);
// Cotangent of each element of such a loss: broadcasts against the elements.
leat_value_id_t leat_row_spread_loss(leat_builder_t *b, leat_value_id_t dy, leat_value_id_t elements,
                                     leat_reduction_t reduction);

// Rows x[.., k] times y[k,n], or y[n,k] if `transposed`, plus `bias` if there is one: [.., n].
leat_value_id_t leat_row_times(leat_builder_t *b, leat_value_id_t x, leat_value_id_t y, bool transposed,
                               leat_value_id_t bias);
// Product of the last two dims under batch dims that broadcast: specs over letters m, k, n, as
// leat_row_batched(b, x, "mk", y, "nk", "mn").
leat_value_id_t leat_row_batched(leat_builder_t *b, leat_value_id_t x, const char *x_spec, leat_value_id_t y,
                                 const char *y_spec, const char *z_spec);

// The pieces of a softmax over `dims`: x minus the maximum, its exp, the sum. As in torch, a row without a finite
// maximum gives NaN; the safe form shifts such a row by zero, so that its exp and sum are 0 or inf.
typedef struct leat_softmax_s {
  leat_value_id_t shift, shifted, exp, sum;
} leat_softmax_t;
leat_softmax_t leat_row_softmax(leat_builder_t *b, leat_value_id_t x, uint32_t dims);
leat_softmax_t leat_row_safe_softmax(leat_builder_t *b, leat_value_id_t x, uint32_t dims);

// Mean-centred and scaled to unit variance over `dims`. What is as large as x is made of x by ops of its own each time,
// so that no pass merges them and has one wait for sums of another: the variance has its own difference, `normal` and
// `again` are the same numbers.
typedef struct leat_standard_s {
  leat_value_id_t mean, variance, rstd, normal, again;
} leat_standard_t;
leat_standard_t leat_row_standardize(leat_builder_t *b, leat_value_id_t x, uint32_t dims, double eps);

// Is x a splat (or a cast of one)? Its number then.
bool leat_row_splat(const leat_builder_t *b, leat_value_id_t x, double *out_number);
// Whether products of these numbers add up in lanes as well as one by one: narrow ones would be rounded, whole ones are
// no matter of speed.
static inline bool leat_row_sums_in_lanes(const leat_builder_t *b, leat_value_id_t x) {
  return leat_b_dtype(b, x) == LEAT_F32 || leat_b_dtype(b, x) == LEAT_F64;
}
// The sum over the dims of x from `kept` on, which go.
leat_value_id_t leat_row_sum_behind(leat_builder_t *b, leat_value_id_t x, uint32_t kept);
// The diagonal of two dims, which go: it is the last dim. offset: columns to the right of the main one.
leat_value_id_t leat_row_diagonal(leat_builder_t *b, leat_value_id_t x, uint32_t row, uint32_t column, int64_t offset);
// x^exponent, by products and roots where torch does so (never in f16).
leat_value_id_t leat_row_power(leat_builder_t *b, leat_value_id_t x, double exponent);
// log(1 + exp(x)) without overflow, and the tanh of gelu's approximation.
leat_value_id_t leat_row_softplus(leat_builder_t *b, leat_value_id_t x);
leat_value_id_t leat_row_gelu_tanh(leat_builder_t *b, leat_value_id_t x);
// x log y, zero where x is unless y is NaN.
leat_value_id_t leat_row_xlogy(leat_builder_t *b, leat_value_id_t x, leat_value_id_t y);
// 1 / sqrt(mean(x^2) + eps) over `dims`.
leat_value_id_t leat_row_rms(leat_builder_t *b, leat_value_id_t x, uint32_t dims, double eps);
// One number a channel, shaped and cast to broadcast against x[N,C,..]; LEAT_NONE stays.
leat_value_id_t leat_row_channel(leat_builder_t *b, leat_value_id_t v, leat_value_id_t x);
// The weight of a prelu, one for all or one a channel, shaped to broadcast against x[N,C,..].
leat_value_id_t leat_row_slopes(leat_builder_t *b, leat_value_id_t v, leat_value_id_t x);
// x[N,C,..] standardised over the rest of each of `groups` groups of channels: results as [N, groups, rest], `normal`
// as [N, groups, channels of a group, positions], so that what is a channel's own broadcasts against it.
leat_standard_t leat_row_standardize_groups(leat_builder_t *b, leat_value_id_t x, int64_t groups, double eps);
// x[N,C,..], or one number a channel [C], as [N or 1, groups, channels of a group, positions or 1].
leat_value_id_t leat_row_group_channels(leat_builder_t *b, leat_value_id_t x, int64_t groups);

// Windows of conv and pool from window, stride, padding, dilation (and groups); x: [.., spatial], declared result size
// decides how far a last window may reach out (ceil mode).
leat_window_t leat_row_pool_window(const leat_graph_t *g, const leat_op_t *op, const leat_value_t *x,
                                   const leat_value_t *y);

// What avg_pool multiplies its sums with: 1/window, or the number of elements that count, per position.
leat_value_id_t leat_row_pool_scale(leat_builder_t *b, const leat_graph_t *g, const leat_op_t *op,
                                    const leat_value_t *x, const leat_window_t *window);
// Each element of axis `dim` `times` times in a row.
leat_value_id_t leat_row_repeat_elements(leat_builder_t *b, leat_value_id_t x, uint32_t dim, int64_t times);

// The dropout rate that all rows of the graph share, NaN when they differ; read from the symbol `p` once it exists.
double leat_row_shared_rate(const leat_graph_t *g);
// The rate of a dropout as it is when the program runs (f64), and what it multiplies with where it keeps something.
leat_value_id_t leat_row_dropout_rate(leat_builder_t *b, double shared_rate, double rate, leat_value_id_t *out_scale);
// Mask of a dropout: 1/(1-p) where kept, else 0, in x's dtype.
leat_value_id_t leat_row_dropout_scale(leat_builder_t *b, leat_value_id_t x, double shared_rate, double rate,
                                       int64_t stream);

#endif
