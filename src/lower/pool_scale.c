// SPDX-License-Identifier: Apache-2.0
#include "lower/row.h"

// Does every window lie within the padding that the user asked for?
static bool fits_padding(const leat_graph_t *g, const leat_op_t *op, const leat_window_t *w) {
  uint32_t count;
  const int64_t *padding = leat_op_list(g, op, LEAT_ATTR_PADDING, &count);
  for (uint32_t i = 0; i < w->rank; i++) {
    int64_t asked = count == 0 ? 0 : padding[i < count ? i : count - 1];
    if (w->high[i] > asked) return false;
  }
  return true;
}

// Counts, for each window, the elements of a field of ones: the operand, with its padding if that counts too. Windows
// that ceil mode lets reach beyond the padding do not count what lies there.
static leat_value_id_t counts(leat_builder_t *b, const leat_value_t *x, const leat_window_t *w, bool with_padding) {
  leat_value_t field = {.rank = x->rank};
  leat_window_t window = *w;
  for (uint32_t d = 0; d < x->rank; d++) {
    field.dims[d] = 1;
    if (d + w->rank < x->rank) continue;
    uint32_t i = d + w->rank - x->rank;
    field.dims[d] = x->dims[d];
    if (!with_padding) continue;
    field.dims[d] += 2 * w->low[i];  // torch pads both sides alike
    window.low[i] = 0;
    window.high[i] = w->high[i] - w->low[i];
  }
  leat_value_id_t ones = leat_b_splat(b, LEAT_F32, field.rank, field.dims, 1.0);
  return leat_b_pool(b, LEAT_FOLD_SUM, ones, &window);
}

leat_value_id_t leat_row_pool_scale(leat_builder_t *b, const leat_graph_t *g, const leat_op_t *op,
                                    const leat_value_t *x, const leat_window_t *w) {
  leat_dtype_t dtype = (leat_dtype_t)x->dtype;
  bool with_padding = leat_op_int(g, op, LEAT_ATTR_COUNT_INCLUDE_PAD, 1) != 0;
  double size = (double)leat_op_int(g, op, LEAT_ATTR_DIVISOR, 0);
  bool padded = false;
  for (uint32_t i = 0; i < w->rank; i++) padded = padded || w->low[i] != 0 || w->high[i] != 0;
  if (size == 0.0 && (!padded || (with_padding && fits_padding(g, op, w)))) {
    size = 1.0;
    for (uint32_t i = 0; i < w->rank; i++) size *= (double)w->window[i];
  }
  if (size != 0.0) return leat_b_scalar(b, dtype, 1.0 / size);
  return leat_b_cast(b, leat_b_fn1(b, RECIP, leat_b_cast(b, counts(b, x, w, with_padding), LEAT_F64)), dtype);
}
