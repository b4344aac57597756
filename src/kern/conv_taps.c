// SPDX-License-Identifier: Apache-2.0
// The micro kernel of fast convolutions: a matrix product whose second operand is never stored as a matrix, since row k
// of it is the input, shifted by offsets[k].
//
// A tile of ROWS x VECTORS registers accumulates over all taps before it touches memory. Tile shapes fill the registers
// of the ISA level; an element is one fma chain in any of them, so that the shape of the tile does not show in the bits.
#include "kern/isa.h"
#include "kern/reg.h"

#define ROWS_MAX 8
#define VECTORS_MAX (REG_COUNT >= 32 ? 4 : 2)
// Accumulators that leave room for the input vectors and a broadcast.
#define ACCUMULATORS_MAX (REG_COUNT >= 32 ? 24 : 12)

// `last`: lanes of the last vector.
VEC_INLINE void tile(const int rows, const int vectors, const leat_kern_taps_t *t, const float *base, const float *w,
                     float *out, int64_t last) {
  reg_t acc[ROWS_MAX][4], x[4];
  const reg_mask_t mask = reg_lanes(0, last);
  const int32_t *offsets = t->offsets;
  const int64_t taps = t->taps, w_row = t->w_row, out_row = t->out_row;
  for (int m = 0; m < rows; m++) {
    for (int v = 0; v < vectors; v++) acc[m][v] = reg_zero();
  }
  if (t->accumulate != 0) {
    for (int m = 0; m < rows; m++) {
      for (int v = 0; v < vectors - 1; v++) acc[m][v] = reg_load(out + m * out_row + v * REG_LANES);
      acc[m][vectors - 1] = reg_load_lanes(out + m * out_row + (vectors - 1) * REG_LANES, mask);
    }
  }
  for (int64_t k = 0; k < taps; k++) {
    const float *from = base + offsets[k];
    for (int v = 0; v < vectors - 1; v++) x[v] = reg_load(from + v * REG_LANES);
    x[vectors - 1] = reg_load_lanes(from + (vectors - 1) * REG_LANES, mask);
    for (int m = 0; m < rows; m++) {
      reg_t factor = reg_splat(w[m * w_row + k]);
      for (int v = 0; v < vectors; v++) acc[m][v] = reg_fma(factor, x[v], acc[m][v]);
    }
  }
  for (int m = 0; m < rows; m++) {
    for (int v = 0; v < vectors - 1; v++) reg_store(out + m * out_row + v * REG_LANES, acc[m][v]);
    reg_store_lanes(out + m * out_row + (vectors - 1) * REG_LANES, acc[m][vectors - 1], mask);
  }
}

#define TILE(rows, vectors)                                                                                       \
  static void tile_##rows##_##vectors(const leat_kern_taps_t *t, const float *base, const float *w, float *out, \
                                      int64_t last) {                                                             \
    tile(rows, vectors, t, base, w, out, last);                                                                   \
  }
#define TILES(vectors) \
  TILE(1, vectors) TILE(2, vectors) TILE(3, vectors) TILE(4, vectors) TILE(5, vectors) TILE(6, vectors)
#define NAMES(vectors) \
  tile_1_##vectors, tile_2_##vectors, tile_3_##vectors, tile_4_##vectors, tile_5_##vectors, tile_6_##vectors
typedef void tile_t(const leat_kern_taps_t *t, const float *base, const float *w, float *out, int64_t last);
TILES(1)
TILE(7, 1)
TILE(8, 1)
TILES(2)
#if REG_COUNT_IS_32
#endif
