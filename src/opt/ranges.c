// SPDX-License-Identifier: Apache-2.0
// See ranges.h. One short rule a word of the column `range` of traced.def.
#include "opt/ranges.h"

#include <math.h>

#include "ir/element.h"

typedef struct ranges_s {
  const leat_graph_t *g;
  const leat_range_t *known;
} ranges_t;

leat_range_t leat_range_of_dtype(leat_dtype_t dtype) {
  static const leat_range_t integers[LEAT_DTYPE_COUNT] = {
      [LEAT_I8] = {-128, 127},
      [LEAT_U8] = {0, 255},
      [LEAT_I16] = {-32768, 32767},
      [LEAT_I32] = {-2147483648.0, 2147483647.0},
      [LEAT_I64] = {-9223372036854775808.0, 9223372036854775808.0},
      [LEAT_BOOL] = {0, 1},
  };
  return leat_dtype_is_float(dtype) ? (leat_range_t){-INFINITY, INFINITY} : integers[dtype];
}

static leat_range_t hull(leat_range_t a, leat_range_t b) {
  return (leat_range_t){fmin(a.low, b.low), fmax(a.high, b.high)};
}

static leat_range_t of_corners(double a, double b, double c, double d) {
  const leat_range_t r = {fmin(fmin(a, b), fmin(c, d)), fmax(fmax(a, b), fmax(c, d))};
  return isnan(a + b + c + d) ? (leat_range_t){-INFINITY, INFINITY} : r;
}

static leat_range_t in(const ranges_t *r, const leat_op_t *op, uint32_t i) {
  const leat_value_id_t v = leat_op_input(r->g, op, i);
  return v == LEAT_NONE ? (leat_range_t){-INFINITY, INFINITY} : r->known[v];
}

static const leat_value_t *value_in(const ranges_t *r, const leat_op_t *op, uint32_t i) {
  return leat_graph_value(r->g, leat_op_input(r->g, op, i));
}

static leat_range_t number(const leat_element_t element, leat_dtype_t dtype) {
  const double x = leat_dtype_is_float(dtype) ? element.f : (double)element.i;
  return isnan(x) ? (leat_range_t){-INFINITY, INFINITY} : (leat_range_t){x, x};
}

// --- the column `range` of traced.def -------------------------------------------------------------------------------

typedef leat_range_t (*rule_t)(const ranges_t *r, const leat_op_t *op, uint32_t result);

// What it says that the op, a condition, is true.
typedef enum truth_e { NOTHING, ORDERS, NEGATES, BOTH, EITHER } truth_t;

typedef struct range_rule_s {
  rule_t rule;  // NULL: all that the dtype can hold
  truth_t truth;
  bool less, strict;  // of ORDERS: operand 0 is less than operand 1 (else greater), and not equal
} range_rule_t;

static const range_rule_t *range_rule(uint32_t kind);

// --- rules: the range of result `result` of `op` -------------------------------------------------------------------

#define RULE(name) static leat_range_t name(const ranges_t *r, const leat_op_t *op, uint32_t result)

RULE(constant) {
  const leat_value_t *v = leat_graph_value(r->g, op->result_first + result);
  const leat_range_t all = leat_range_of_dtype((leat_dtype_t)v->dtype);
  const int64_t index = leat_op_int(r->g, op, LEAT_ATTR_INDEX, -1), count = leat_value_elements(v);
  if (index < 0 || index >= (int64_t)r->g->blobs.count || count == 0) return all;
  const leat_blob_t *blob = &r->g->blobs.data[index];
  if (blob->data == NULL || leat_dtype_is_float((leat_dtype_t)v->dtype)) return all;
  leat_range_t range = number(leat_element_load((leat_dtype_t)v->dtype, blob->data, 0), (leat_dtype_t)v->dtype);
  for (int64_t i = 1; i < count; i++)
    range = hull(range, number(leat_element_load((leat_dtype_t)v->dtype, blob->data, i), (leat_dtype_t)v->dtype));
  return range;
}

RULE(full) {
  (void)result;
  const double x = leat_op_float(r->g, op, LEAT_ATTR_VALUE, 0.0);
  return (leat_range_t){x, x};
}

RULE(arange) {
  const int64_t count = leat_graph_value(r->g, op->result_first + result)->dims[0];
  const double first = leat_op_float(r->g, op, LEAT_ATTR_VALUE, 0.0),
               step = leat_op_float(r->g, op, LEAT_ATTR_SCALE, 1);
  const double last = first + step * (double)(count > 0 ? count - 1 : 0);
  return (leat_range_t){fmin(first, last), fmax(first, last)};
}

RULE(unit) {
  (void)r, (void)op, (void)result;
  return (leat_range_t){0, 1};
}

RULE(same) {
  (void)result;
  return in(r, op, 0);
}

// Of all operands together.
RULE(any_of) {
  (void)result;
  leat_range_t range = in(r, op, 0);
  for (uint32_t i = 1; i < op->input_count; i++) range = hull(range, in(r, op, i));
  return range;
}

// x as compared: the value itself, or the float that was truncated to it.
static leat_value_id_t before_truncation(const ranges_t *r, leat_value_id_t x) {
  const leat_op_t *op = leat_graph_op(r->g, leat_graph_value(r->g, x)->op);
  if (leat_op_role(op->kind) != LEAT_ROLE_SAME || !leat_dtype_is_float((leat_dtype_t)value_in(r, op, 0)->dtype))
    return x;
  return leat_op_input(r->g, op, 0);
}

// What is left of the range of an integer x where `x < limit` holds (x <= limit: not `strict`); the same for >.
static void keep_below(leat_range_t *range, double limit, bool strict) {
  range->high = fmin(range->high, strict && limit > 0 ? ceil(limit) - 1 : floor(limit < 0 ? trunc(limit) : limit));
}
static void keep_above(leat_range_t *range, double limit, bool strict) {
  range->low = fmax(range->low, strict && limit < 0 ? floor(limit) + 1 : ceil(limit > 0 ? trunc(limit) : limit));
}

static void narrow_by_comparison(const ranges_t *r, const leat_op_t *c, leat_value_id_t x, bool truth,
                                 leat_range_t *range) {
  const leat_value_id_t a = leat_op_input(r->g, c, 0), b = leat_op_input(r->g, c, 1), base = before_truncation(r, x);
  const bool left = a == x || a == base, right = b == x || b == base;
  if (left == right) return;
  const leat_range_t other = r->known[left ? b : a];
  // Not below is at least, unless there is a NaN: only what holds is used of floats.
  if (!truth && leat_dtype_is_float((leat_dtype_t)leat_graph_value(r->g, left ? a : b)->dtype)) return;
  const range_rule_t *rule = range_rule(c->kind);
  const bool below = (rule->less == left) == truth;
  if (below)
    keep_below(range, other.high, rule->strict == truth);
  else
    keep_above(range, other.low, rule->strict == truth);
}

// The range of x where the condition is `truth`.
static void narrow_by(const ranges_t *r, leat_value_id_t condition, leat_value_id_t x, bool truth, uint32_t depth,
                      leat_range_t *range) {
  const leat_op_t *c = leat_graph_op(r->g, leat_graph_value(r->g, condition)->op);
  const truth_t says = range_rule(c->kind)->truth;
  if (depth == 0 || leat_graph_value(r->g, condition)->dtype != LEAT_BOOL) return;
  if (says == ORDERS) {
    narrow_by_comparison(r, c, x, truth, range);
  } else if (says == NEGATES) {
    narrow_by(r, leat_op_input(r->g, c, 0), x, !truth, depth - 1, range);
  } else if (says == (truth ? BOTH : EITHER)) {
    narrow_by(r, leat_op_input(r->g, c, 0), x, truth, depth - 1, range);
    narrow_by(r, leat_op_input(r->g, c, 1), x, truth, depth - 1, range);
  }
}

enum { CONDITION_DEPTH = 8 };

RULE(chosen) {  // where(c, x, y)
  const leat_dtype_t dtype = (leat_dtype_t)leat_graph_value(r->g, op->result_first + result)->dtype;
  leat_range_t x = in(r, op, 1), y = in(r, op, 2);
  if (!leat_dtype_is_float(dtype)) {
    narrow_by(r, leat_op_input(r->g, op, 0), leat_op_input(r->g, op, 1), true, CONDITION_DEPTH, &x);
    narrow_by(r, leat_op_input(r->g, op, 0), leat_op_input(r->g, op, 2), false, CONDITION_DEPTH, &y);
  }
  return hull(x, y);
}

RULE(filled) {  // masked_fill(x, mask, value)
  (void)result;
  return hull(in(r, op, 0), in(r, op, 2));
}

RULE(or_zero) {
  (void)result;
  return hull(in(r, op, 0), (leat_range_t){0, 0});
}

RULE(padded) {
  (void)result;
  const double x = leat_op_float(r->g, op, LEAT_ATTR_VALUE, 0.0);
  return hull(in(r, op, 0), (leat_range_t){x, x});
}

// scatter and the like: what is put in, where it takes the place of what was there.
static leat_range_t put(const ranges_t *r, const leat_op_t *op, uint32_t values) {
  if (leat_op_word(r->g, op, LEAT_ATTR_FN, LEAT_FOLD_SET) != LEAT_FOLD_SET) return (leat_range_t){-INFINITY, INFINITY};
  return hull(in(r, op, 0), in(r, op, values));
}
RULE(scattered) {
  (void)result;
  return put(r, op, 2);
}
RULE(index_put) {
  (void)result;
  return put(r, op, 1);
}

// A place along the dims that are searched: argmax, and the second result of max, sort and topk.
static leat_range_t place(const ranges_t *r, const leat_op_t *op, const int64_t *dims, uint32_t count) {
  const leat_value_t *x = value_in(r, op, 0);
  int64_t extent = count == 0 ? leat_value_elements(x) : 1;
  for (uint32_t i = 0; i < count; i++) extent *= dims[i] >= 0 && dims[i] < x->rank ? x->dims[dims[i]] : 1;
  return (leat_range_t){0, (double)(extent > 0 ? extent - 1 : 0)};
}

RULE(arg) {
  (void)result;
  uint32_t count;
  const int64_t *dims = leat_op_list(r->g, op, LEAT_ATTR_DIMS, &count);
  return place(r, op, dims, count);
}

RULE(arg_dim) {
  (void)result;
  const int64_t dim = leat_op_int(r->g, op, LEAT_ATTR_DIM, 0);
  return place(r, op, &dim, 1);
}

RULE(found) { return result == 1 ? arg_dim(r, op, result) : in(r, op, 0); }

// A sum of n elements; of a prefix of them.
RULE(summed) {
  const leat_value_t *y = leat_graph_value(r->g, op->result_first + result), *x = value_in(r, op, 0);
  const leat_range_t range = in(r, op, 0);
  const double n = (double)leat_value_elements(x) / (double)(leat_value_elements(y) > 0 ? leat_value_elements(y) : 1);
  return n < 1 ? (leat_range_t){0, 0} : of_corners(n * range.low, n * range.high, n * range.low, n * range.high);
}

RULE(prefix_sum) {
  (void)result;
  const leat_value_t *x = value_in(r, op, 0);
  const int64_t dim = leat_op_int(r->g, op, LEAT_ATTR_DIM, 0);
  const double n = dim >= 0 && dim < x->rank ? (double)x->dims[dim] : 1;
  const leat_range_t range = in(r, op, 0);
  return of_corners(range.low, range.high, n * range.low, n * range.high);
}

// a * x + b * y.
static leat_range_t combined(const ranges_t *r, const leat_op_t *op, double a, double b) {
  const leat_range_t x = in(r, op, 0), y = in(r, op, 1);
  const leat_range_t p = of_corners(a * x.low, a * x.high, a * x.low, a * x.high);
  const leat_range_t q = of_corners(b * y.low, b * y.high, b * y.low, b * y.high);
  return of_corners(p.low + q.low, p.high + q.high, p.low + q.low, p.high + q.high);
}

RULE(added) {
  (void)result;
  return combined(r, op, 1.0, leat_op_float(r->g, op, LEAT_ATTR_ALPHA, 1.0));
}

RULE(subtracted) {
  (void)result;
  return combined(r, op, 1.0, -leat_op_float(r->g, op, LEAT_ATTR_ALPHA, 1.0));
}

RULE(subtracted_from) {
  (void)result;
  return combined(r, op, -leat_op_float(r->g, op, LEAT_ATTR_ALPHA, 1.0), 1.0);
}

RULE(multiplied) {
  (void)result;
  const leat_range_t x = in(r, op, 0), y = in(r, op, 1);
  return of_corners(x.low * y.low, x.low * y.high, x.high * y.low, x.high * y.high);
}

RULE(divided) {
  (void)result;
  const leat_range_t x = in(r, op, 0), y = in(r, op, 1);
  if (y.low <= 0) return (leat_range_t){-INFINITY, INFINITY};
  const leat_range_t q = of_corners(x.low / y.low, x.low / y.high, x.high / y.low, x.high / y.high);
  const leat_rounding_t rounding = leat_op_word(r->g, op, LEAT_ATTR_ROUNDING, LEAT_ROUNDING_NONE);
  if (rounding == LEAT_ROUNDING_FLOOR) return (leat_range_t){floor(q.low), floor(q.high)};
  if (rounding == LEAT_ROUNDING_TRUNC) return (leat_range_t){trunc(q.low), trunc(q.high)};
  return q;
}

// Of integers below the divisor; of floats rounding may reach it.
RULE(remainder_of) {
  const leat_value_t *v = leat_graph_value(r->g, op->result_first + result);
  const leat_range_t y = in(r, op, 1);
  if (y.low <= 0) return (leat_range_t){-INFINITY, INFINITY};
  return (leat_range_t){0, leat_dtype_is_float((leat_dtype_t)v->dtype) ? y.high : y.high - 1};
}

// With the sign of x.
RULE(fmod_of) {
  const leat_range_t range = remainder_of(r, op, result);
  return (leat_range_t){in(r, op, 0).low < 0 ? -range.high : range.low, range.high};
}

RULE(greater) {
  (void)result;
  const leat_range_t x = in(r, op, 0), y = in(r, op, 1);
  return (leat_range_t){fmax(x.low, y.low), fmax(x.high, y.high)};
}

RULE(lesser) {
  (void)result;
  const leat_range_t x = in(r, op, 0), y = in(r, op, 1);
  return (leat_range_t){fmin(x.low, y.low), fmin(x.high, y.high)};
}

RULE(clamped) {
  (void)result;
  leat_range_t x = in(r, op, 0);
  const leat_range_t all = {-INFINITY, INFINITY};
  const bool has_low = leat_op_input(r->g, op, 1) != LEAT_NONE, has_high = leat_op_input(r->g, op, 2) != LEAT_NONE;
  const leat_attr_t *min = leat_op_attr(r->g, op, LEAT_ATTR_MIN), *max = leat_op_attr(r->g, op, LEAT_ATTR_MAX);
  leat_range_t low = has_low ? in(r, op, 1) : all, high = has_high ? in(r, op, 2) : all;
  if (min != NULL) low = (leat_range_t){min->v.f, min->v.f};
  if (max != NULL) high = (leat_range_t){max->v.f, max->v.f};
  if (min != NULL || has_low) x = (leat_range_t){fmax(x.low, low.low), fmax(x.high, low.high)};
  if (max != NULL || has_high) x = (leat_range_t){fmin(x.low, high.low), fmin(x.high, high.high)};
  return x;
}

RULE(absolute) {
  (void)result;
  const leat_range_t x = in(r, op, 0);
  const double most = fmax(fabs(x.low), fabs(x.high));
  return (leat_range_t){x.low > 0 ? x.low : x.high < 0 ? -x.high : 0, most};
}

RULE(negative) {
  (void)result;
  const leat_range_t x = in(r, op, 0);
  return (leat_range_t){-x.high, -x.low};
}

RULE(rounded) {
  (void)result;
  const leat_range_t x = in(r, op, 0);
  return (leat_range_t){floor(x.low), ceil(x.high)};
}

RULE(masked) {  // x & y, where one of them is not negative
  (void)result;
  const leat_range_t x = in(r, op, 0), y = in(r, op, 1);
  if (x.low < 0 && y.low < 0) return (leat_range_t){-INFINITY, INFINITY};
  return (leat_range_t){0, x.low < 0 ? y.high : y.low < 0 ? x.high : fmin(x.high, y.high)};
}

RULE(converted) {
  const leat_value_t *y = leat_graph_value(r->g, op->result_first + result), *x = value_in(r, op, 0);
  const leat_range_t range = in(r, op, 0);
  if (y->dtype == LEAT_BOOL) return (leat_range_t){0, 1};
  const bool to_integer = !leat_dtype_is_float((leat_dtype_t)y->dtype) && leat_dtype_is_float((leat_dtype_t)x->dtype);
  return to_integer ? (leat_range_t){trunc(range.low), trunc(range.high)} : range;
}

// The words.
#define RANGE_any \
  { .rule = NULL }
#define RANGE_constant \
  { .rule = constant }
#define RANGE_full \
  { .rule = full }
#define RANGE_arange \
  { .rule = arange }
#define RANGE_unit \
  { .rule = unit }
#define RANGE_converted \
  { .rule = converted }
#define RANGE_same \
  { .rule = same }
#define RANGE_negative \
  { .rule = negative }
#define RANGE_absolute \
  { .rule = absolute }
#define RANGE_rounded \
  { .rule = rounded }
#define RANGE_negates \
  { .truth = NEGATES }
#define RANGE_added \
  { .rule = added }
#define RANGE_subtracted \
  { .rule = subtracted }
#define RANGE_subtracted_from \
  { .rule = subtracted_from }
#define RANGE_multiplied \
  { .rule = multiplied }
#define RANGE_divided \
  { .rule = divided }
#define RANGE_greater \
  { .rule = greater }
#define RANGE_lesser \
  { .rule = lesser }
#define RANGE_remainder_of \
  { .rule = remainder_of }
#define RANGE_fmod_of \
  { .rule = fmod_of }
#define RANGE_lt \
  { .truth = ORDERS, .less = true, .strict = true }
#define RANGE_le \
  { .truth = ORDERS, .less = true }
#define RANGE_gt \
  { .truth = ORDERS, .strict = true }
#define RANGE_ge \
  { .truth = ORDERS }
#define RANGE_both \
  { .truth = BOTH }
#define RANGE_either \
  { .truth = EITHER }
#define RANGE_bitwise_and \
  { .rule = masked, .truth = BOTH }
#define RANGE_chosen \
  { .rule = chosen }
#define RANGE_clamped \
  { .rule = clamped }
#define RANGE_filled \
  { .rule = filled }
#define RANGE_summed \
  { .rule = summed }
#define RANGE_found \
  { .rule = found }
#define RANGE_arg \
  { .rule = arg }
#define RANGE_prefix_sum \
  { .rule = prefix_sum }
#define RANGE_any_of \
  { .rule = any_of }
#define RANGE_padded \
  { .rule = padded }
#define RANGE_or_zero \
  { .rule = or_zero }
#define RANGE_scattered \
  { .rule = scattered }
#define RANGE_index_put \
  { .rule = index_put }
#define RANGE_arg_dim \
  { .rule = arg_dim }

static const range_rule_t *range_rule(uint32_t kind) {
  static const range_rule_t none = RANGE_any, rules[] = {
#define TRACED(e, n, lo, hi, r, a, own, lowering, role, products, batch, range, ...) RANGE_##range,
#include "ir/traced.def"
#undef TRACED
                                              };
  return leat_op_is_traced(kind) ? &rules[kind - LEAT_TRACED_FIRST] : &none;
}

// What does not fit the dtype has wrapped.
static leat_range_t fitted(leat_range_t range, leat_dtype_t dtype) {
  const leat_range_t all = leat_range_of_dtype(dtype);
  const bool fits = range.low >= all.low && range.high <= all.high && range.low <= range.high;
  return fits ? range : all;
}

void leat_opt_ranges(const leat_graph_t *g, leat_range_t *out_ranges) {
  const ranges_t r = {.g = g, .known = out_ranges};
  for (leat_op_id_t id = 0; id < g->ops.count; id++) {
    const leat_op_t *op = leat_graph_op(g, id);
    for (uint32_t i = 0; i < op->result_count; i++) {
      const leat_dtype_t dtype = (leat_dtype_t)leat_graph_value(g, op->result_first + i)->dtype;
      const rule_t rule = range_rule(op->kind)->rule;
      out_ranges[op->result_first + i] = rule == NULL ? leat_range_of_dtype(dtype) : fitted(rule(&r, op, i), dtype);
    }
  }
}
