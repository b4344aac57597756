// SPDX-License-Identifier: Apache-2.0
// Matrix products under batch dims that broadcast: a batch dim in which an operand has extent 1 is dropped from it, so
// that nothing is repeated in memory.
#include "lower/row.h"

// Letters of batch dims: away from m, k, n.
static char batch_letter(uint32_t dim) { return "abcdefgh"[dim]; }

static void put_letter(leat_spec_t *spec, uint32_t which, char letter) {
  spec->letters[which][spec->rank[which]++] = letter;
}

static void put_tail(leat_spec_t *spec, uint32_t which, const char *tail) {
  for (uint32_t i = 0; i < 2; i++) put_letter(spec, which, tail[i]);
}

// Writes the letters of operand `which` (batch dims that count, then `tail`) and returns the operand without the
// others.
static leat_value_id_t drop_ones(leat_builder_t *b, leat_value_id_t x, const char *tail, uint32_t batch_rank,
                                 uint32_t which, leat_spec_t *spec) {
  leat_value_t v = *leat_b_value(b, x);
  uint32_t own = v.rank - 2u, drop = 0;
  for (uint32_t d = 0; d < own; d++) {
    if (v.dims[d] == 1)
      drop |= 1u << d;
    else
      put_letter(spec, which, batch_letter(batch_rank - own + d));
  }
  put_tail(spec, which, tail);
  return drop == 0 ? x : leat_b_squeeze(b, x, drop);
}

static int64_t batch_extent(const leat_value_t *v, uint32_t batch_rank, uint32_t dim) {
  uint32_t missing = batch_rank - (v->rank - 2u);
  return dim < missing ? 1 : v->dims[dim - missing];
}

static int64_t extent_of(char letter, const leat_value_t *v, const char *tail) {
  if (tail[0] == letter) return v->dims[v->rank - 2];
  return tail[1] == letter ? v->dims[v->rank - 1] : -1;
}

leat_value_id_t leat_row_batched(leat_builder_t *b, leat_value_id_t x, const char *x_spec, leat_value_id_t y,
                                 const char *y_spec, const char *z_spec) {
  leat_value_t xv = *leat_b_value(b, x), yv = *leat_b_value(b, y);
  if (x == LEAT_NONE || y == LEAT_NONE) return LEAT_NONE;
  if (xv.rank < 2 || yv.rank < 2)
    return leat_b_fail(b, LEAT_INVALID_ARGUMENT, "needs operands of at least two dimensions");
  leat_value_t z = {.rank = xv.rank > yv.rank ? xv.rank : yv.rank};
  uint32_t batch_rank = z.rank - 2u;
  leat_spec_t spec = {.operands = 2};
  for (uint32_t d = 0; d < batch_rank; d++) {
    int64_t n = batch_extent(&xv, batch_rank, d), m = batch_extent(&yv, batch_rank, d);
    z.dims[d] = n == 1 ? m : n;
    if (z.dims[d] != 1) put_letter(&spec, 2, batch_letter(d));
  }
  for (uint32_t i = 0; i < 2; i++) {
    int64_t n = extent_of(z_spec[i], &xv, x_spec);
    z.dims[batch_rank + i] = n >= 0 ? n : extent_of(z_spec[i], &yv, y_spec);
  }
  put_tail(&spec, 2, z_spec);
  x = drop_ones(b, x, x_spec, batch_rank, 0, &spec);
  y = drop_ones(b, y, y_spec, batch_rank, 1, &spec);
  return leat_b_reshape(b, leat_b_contract(b, &spec, x, y), z.rank, z.dims);
}
