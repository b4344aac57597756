// SPDX-License-Identifier: Apache-2.0
// See ranges.h. One short rule a kind of op; kinds without a rule take what their dtype can hold.
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
  if (op->kind != LEAT_TRACED_TO || !leat_dtype_is_float((leat_dtype_t)value_in(r, op, 0)->dtype)) return x;
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
  const bool less = c->kind == LEAT_TRACED_LT || c->kind == LEAT_TRACED_LE;
  const bool strict = c->kind == LEAT_TRACED_LT || c->kind == LEAT_TRACED_GT;
  const bool below = (less == left) == truth;
  if (below)
    keep_below(range, other.high, strict == truth);
  else
    keep_above(range, other.low, strict == truth);
}

// The range of x where the condition is `truth`.
static void narrow_by(const ranges_t *r, leat_value_id_t condition, leat_value_id_t x, bool truth, uint32_t depth,
                      leat_range_t *range) {
  const leat_op_t *c = leat_graph_op(r->g, leat_graph_value(r->g, condition)->op);
  const bool both = c->kind == LEAT_TRACED_LOGICAL_AND || c->kind == LEAT_TRACED_BITWISE_AND;
  const bool either = c->kind == LEAT_TRACED_LOGICAL_OR || c->kind == LEAT_TRACED_BITWISE_OR;
  if (depth == 0 || leat_graph_value(r->g, condition)->dtype != LEAT_BOOL) return;
  if (c->kind == LEAT_TRACED_LT || c->kind == LEAT_TRACED_LE || c->kind == LEAT_TRACED_GT ||
      c->kind == LEAT_TRACED_GE) {
    narrow_by_comparison(r, c, x, truth, range);
  } else if (c->kind == LEAT_TRACED_LOGICAL_NOT || c->kind == LEAT_TRACED_BITWISE_NOT) {
    narrow_by(r, leat_op_input(r->g, c, 0), x, !truth, depth - 1, range);
  } else if (truth ? both : either) {
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
  if (strcmp(leat_op_string(r->g, op, LEAT_ATTR_FN, "set"), "set") != 0) return (leat_range_t){-INFINITY, INFINITY};
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

RULE(found) {
  const int64_t dim = leat_op_int(r->g, op, LEAT_ATTR_DIM, 0);
  const bool is_place = result == 1 || op->kind == LEAT_TRACED_ARGSORT;
  return is_place ? place(r, op, &dim, 1) : in(r, op, 0);
}

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

RULE(added) {
  (void)result;
  const leat_range_t x = in(r, op, 0), y = in(r, op, 1);
  const double alpha = leat_op_float(r->g, op, LEAT_ATTR_ALPHA, 1.0);
  const double a = op->kind == LEAT_TRACED_RSUB ? -alpha : 1.0, b = op->kind == LEAT_TRACED_SUB ? -alpha : 1.0;
  const double scale_y = op->kind == LEAT_TRACED_ADD ? alpha : b;
  const leat_range_t p = of_corners(a * x.low, a * x.high, a * x.low, a * x.high);
  const leat_range_t q = of_corners(scale_y * y.low, scale_y * y.high, scale_y * y.low, scale_y * y.high);
  return of_corners(p.low + q.low, p.high + q.high, p.low + q.low, p.high + q.high);
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
  const char *rounding = leat_op_string(r->g, op, LEAT_ATTR_ROUNDING, "none");
  if (strcmp(rounding, "floor") == 0) return (leat_range_t){floor(q.low), floor(q.high)};
  if (strcmp(rounding, "trunc") == 0) return (leat_range_t){trunc(q.low), trunc(q.high)};
  return q;
}

// Of integers below the divisor; of floats rounding may reach it.
RULE(remainder_of) {
  const leat_value_t *v = leat_graph_value(r->g, op->result_first + result);
  const leat_range_t x = in(r, op, 0), y = in(r, op, 1);
  if (y.low <= 0) return (leat_range_t){-INFINITY, INFINITY};
  const double most = leat_dtype_is_float((leat_dtype_t)v->dtype) ? y.high : y.high - 1;
  return (leat_range_t){op->kind == LEAT_TRACED_FMOD && x.low < 0 ? -most : 0, most};
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

typedef leat_range_t (*rule_t)(const ranges_t *r, const leat_op_t *op, uint32_t result);
static const rule_t rules[LEAT_OP_KIND_COUNT] = {
    [LEAT_TRACED_CONST] = constant,
    [LEAT_TRACED_FULL] = full,
    [LEAT_TRACED_ARANGE] = arange,
    [LEAT_TRACED_RAND] = unit,
    [LEAT_TRACED_TO] = converted,
    [LEAT_TRACED_CLONE] = same,
    [LEAT_TRACED_CONTIGUOUS] = same,
    [LEAT_TRACED_DETACH] = same,
    [LEAT_TRACED_RESHAPE] = same,
    [LEAT_TRACED_VIEW] = same,
    [LEAT_TRACED_FLATTEN] = same,
    [LEAT_TRACED_PERMUTE] = same,
    [LEAT_TRACED_TRANSPOSE] = same,
    [LEAT_TRACED_EXPAND] = same,
    [LEAT_TRACED_SQUEEZE] = same,
    [LEAT_TRACED_UNSQUEEZE] = same,
    [LEAT_TRACED_GETITEM] = same,
    [LEAT_TRACED_SELECT] = same,
    [LEAT_TRACED_NARROW] = same,
    [LEAT_TRACED_SPLIT] = same,
    [LEAT_TRACED_FLIP] = same,
    [LEAT_TRACED_REPEAT] = same,
    [LEAT_TRACED_ROLL] = same,
    [LEAT_TRACED_DIAGONAL] = same,
    [LEAT_TRACED_UNFOLD] = same,
    [LEAT_TRACED_REPEAT_INTERLEAVE] = same,
    [LEAT_TRACED_EMBEDDING] = same,
    [LEAT_TRACED_INDEX_SELECT] = same,
    [LEAT_TRACED_GATHER] = same,
    [LEAT_TRACED_INDEX] = same,
    [LEAT_TRACED_AMAX] = same,
    [LEAT_TRACED_AMIN] = same,
    [LEAT_TRACED_CAT] = any_of,
    [LEAT_TRACED_STACK] = any_of,
    [LEAT_TRACED_SLICE_SCATTER] = any_of,
    [LEAT_TRACED_WHERE] = chosen,
    [LEAT_TRACED_MASKED_FILL] = filled,
    [LEAT_TRACED_TRIL] = or_zero,
    [LEAT_TRACED_TRIU] = or_zero,
    [LEAT_TRACED_PAD] = padded,
    [LEAT_TRACED_SCATTER] = scattered,
    [LEAT_TRACED_INDEX_PUT] = index_put,
    [LEAT_TRACED_ARGMAX] = arg,
    [LEAT_TRACED_ARGMIN] = arg,
    [LEAT_TRACED_MAX] = found,
    [LEAT_TRACED_MIN] = found,
    [LEAT_TRACED_SORT] = found,
    [LEAT_TRACED_TOPK] = found,
    [LEAT_TRACED_ARGSORT] = found,
    [LEAT_TRACED_ONE_HOT] = unit,
    [LEAT_TRACED_ANY] = unit,
    [LEAT_TRACED_ALL] = unit,
    [LEAT_TRACED_SUM] = summed,
    [LEAT_TRACED_CUMSUM] = prefix_sum,
    [LEAT_TRACED_ADD] = added,
    [LEAT_TRACED_SUB] = added,
    [LEAT_TRACED_RSUB] = added,
    [LEAT_TRACED_MUL] = multiplied,
    [LEAT_TRACED_DIV] = divided,
    [LEAT_TRACED_REMAINDER] = remainder_of,
    [LEAT_TRACED_FMOD] = remainder_of,
    [LEAT_TRACED_MAXIMUM] = greater,
    [LEAT_TRACED_MINIMUM] = lesser,
    [LEAT_TRACED_CLAMP] = clamped,
    [LEAT_TRACED_ABS] = absolute,
    [LEAT_TRACED_NEG] = negative,
    [LEAT_TRACED_FLOOR] = rounded,
    [LEAT_TRACED_CEIL] = rounded,
    [LEAT_TRACED_ROUND] = rounded,
    [LEAT_TRACED_TRUNC] = rounded,
    [LEAT_TRACED_BITWISE_AND] = masked,
};

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
      const rule_t rule = rules[op->kind];
      out_ranges[op->result_first + i] = rule == NULL ? leat_range_of_dtype(dtype) : fitted(rule(&r, op, i), dtype);
    }
  }
}
