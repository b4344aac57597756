// SPDX-License-Identifier: Apache-2.0
// pad: constant is a primitive; the others join pieces of the operand, one dim after the other.
#include "lower/row.h"

static leat_value_id_t part(leat_builder_t *b, leat_value_id_t x, uint32_t dim, int64_t start, int64_t count) {
  return leat_b_slice_dim(b, x, dim, start, start + count, 1);
}

// What goes on a side of `dim` (`high`: the end), `count` > 0 elements thick, where the padding is not constant.
static leat_value_id_t border(leat_builder_t *b, leat_value_id_t x, uint32_t dim, bool high, int64_t count,
                              leat_padding_t mode) {
  leat_value_t v = *leat_b_value(b, x);
  int64_t n = v.dims[dim];
  if (mode == LEAT_PADDING_REFLECT) {
    if (count >= n)
      return leat_b_fail(b, LEAT_INVALID_ARGUMENT, "reflection by %d needs more than %d elements", (int)count, (int)n);
    return leat_b_flip(b, part(b, x, dim, high ? n - 1 - count : 1, count), 1u << dim);
  }
  if (mode == LEAT_PADDING_CIRCULAR) {
    if (count > n)
      return leat_b_fail(b, LEAT_INVALID_ARGUMENT, "wrapping by %d needs at least as many elements", (int)count);
    return part(b, x, dim, high ? 0 : n - count, count);
  }
  if (n == 0) return leat_b_fail(b, LEAT_INVALID_ARGUMENT, "dim %u has no element to be repeated", dim);
  v.dims[dim] = count;
  return leat_b_broadcast_to(b, part(b, x, dim, high ? n - 1 : 0, 1), v.rank, v.dims);
}

static leat_value_id_t pad_dim(leat_builder_t *b, leat_value_id_t x, uint32_t dim, int64_t low, int64_t high,
                               leat_padding_t mode) {
  int64_t n = leat_b_value(b, x)->dims[dim], cut_low = low < 0 ? -low : 0, cut_high = high < 0 ? -high : 0;
  leat_value_id_t parts[3];
  uint32_t count = 0;
  if (low > 0) parts[count++] = border(b, x, dim, false, low, mode);
  parts[count++] = cut_low + cut_high == 0 ? x : part(b, x, dim, cut_low, n - cut_low - cut_high);
  if (high > 0) parts[count++] = border(b, x, dim, true, high, mode);
  return count == 1 ? parts[0] : leat_b_concat(b, parts, count, dim);
}

LOWER(PAD) {
  const leat_padding_t mode = leat_lower_word(c, LEAT_ATTR_MODE, LEAT_PADDING_CONSTANT);
  uint32_t lows, highs, rank = leat_b_value(c->b, c->in[0])->rank;
  const int64_t *low = leat_lower_list(c, LEAT_ATTR_LOW, &lows);
  const int64_t *high = leat_lower_list(c, LEAT_ATTR_HIGH, &highs);
  if (lows != rank || highs != rank)
    return leat_b_fail(c->b, LEAT_INVALID_ARGUMENT, "low and high need %u entries", rank);
  if (mode == LEAT_PADDING_CONSTANT)
    return leat_b_pad(c->b, c->in[0], low, high, NULL, leat_lower_float(c, LEAT_ATTR_VALUE, 0.0));
  leat_value_id_t x = c->in[0];
  for (uint32_t d = 0; d < rank; d++) x = pad_dim(c->b, x, d, low[d], high[d], mode);
  return x;
}
