// SPDX-License-Identifier: Apache-2.0
// The micro kernel of fast convolutions, turned: outputs are the lanes and positions the rows. Weights come in panels
// of [tap][output], and what a position reads is broadcast from where it lies. So no position needs a neighbour: small
// pictures waste no lanes, and strided ones no copy.
//
// A tile of ROWS x VECTORS registers accumulates over all taps before it touches memory, as in conv_taps.c.
#include "kern/isa.h"
#include "kern/reg.h"

enum {
  ROWS_MAX = 12,
  VECTORS_MAX = REG_COUNT >= 32 ? 4 : 2,
  // Leaves room for the weights and a broadcast.
  ACCUMULATORS_MAX = REG_COUNT >= 32 ? 24 : 12,
  LINE = 16,
  LINES = REG_LANES / LINE > 0 ? REG_LANES / LINE : 1,  // floats of a cache line; lines of a vector
};
_Static_assert((int)VECTORS_MAX *(int)REG_LANES <= (int)LEAT_KERN_TURNED_LANES,
               "a register tile is no wider than a panel");

#define EACH_ROW(M) M(0) M(1) M(2) M(3) M(4) M(5) M(6) M(7) M(8) M(9) M(10) M(11)
#define EACH_VECTOR(M, m) M(m, 0) M(m, 1) M(m, 2) M(m, 3)
#define LOAD(from, v) (v == vectors - 1 && !whole ? reg_load_lanes(from, mask) : reg_load(from))
#define PLACE(m) const int64_t at##m = m < rows && jumps ? places[m] : first + m;
#define START_ONE(m, v) \
  reg_t a##m##v = t->accumulate != 0 && m < rows && v < vectors ? LOAD(out + m * width + v * REG_LANES, v) : reg_zero();
#define START(m) EACH_VECTOR(START_ONE, m)
#define STEP_ONE(m, v) \
  if (v < vectors) a##m##v = reg_fma(x, w##v, a##m##v);
#define STEP(m)                             \
  if (m < rows) {                           \
    const reg_t x = reg_splat(from[at##m]); \
    EACH_VECTOR(STEP_ONE, m)                \
  }
#define FINISH_ONE(m, v)                                                    \
  if (v < vectors - 1) reg_store(out + m * width + v * REG_LANES, a##m##v); \
  if (v == vectors - 1) reg_store_lanes(out + m * width + v * REG_LANES, a##m##v, mask);
#define FINISH(m)              \
  if (m < rows) {              \
    EACH_VECTOR(FINISH_ONE, m) \
  }

// rows, vectors, whether the last vector has all its lanes, not only `last` (masks cost the units that multiply), and
// whether places are anywhere or follow each other, are constants wherever this is inlined.
VEC_INLINE void tile(const int rows, const int vectors, const int whole, const int jumps, const leat_kern_turned_t *t,
                     const int32_t *places, const float *w, int64_t ahead, float *out, int64_t last) {
  if (rows * vectors > ACCUMULATORS_MAX || vectors > VECTORS_MAX) return;  // a shape that this level never asks for
  const reg_mask_t mask = reg_lanes(0, last);
  const int32_t *offsets = t->offsets;
  const int64_t taps = t->taps, first = places[0], width = LEAT_KERN_TURNED_LANES, step = t->w_step;
  const float *base = t->base;
  EACH_ROW(PLACE)
  EACH_ROW(START)
  for (int64_t k = 0; k < taps; k++, w += step) {
    const float *from = base + offsets[k];
    __builtin_prefetch(w + ahead, 0, 2);
    reg_t w0 = LOAD(w, 0), w1 = reg_zero(), w2 = w1, w3 = w1;
    if (vectors > 1) w1 = LOAD(w + REG_LANES, 1);
    if (vectors > 2) w2 = LOAD(w + 2 * REG_LANES, 2);
    if (vectors > 3) w3 = LOAD(w + 3 * REG_LANES, 3);
    EACH_ROW(STEP)
  }
  EACH_ROW(FINISH)
}

typedef void tile_t(const leat_kern_turned_t *t, const int32_t *places, const float *w, int64_t ahead, float *out,
                    int64_t last);
enum { PART, WHOLE, JUMPS, KINDS };
#define KIND(name, rows, vectors, whole, jumps)                                                             \
  static void name##_##rows##_##vectors(const leat_kern_turned_t *t, const int32_t *places, const float *w, \
                                        int64_t ahead, float *out, int64_t last) {                          \
    tile(rows, vectors, whole, jumps, t, places, w, ahead, out, last);                                      \
  }
#define TILE(rows, vectors) \
  KIND(part, rows, vectors, 0, 1) KIND(whole, rows, vectors, 1, 0) KIND(jumps, rows, vectors, 1, 1)
#define EACH_VECTORS(M, rows) M(rows, 1) M(rows, 2) M(rows, 3) M(rows, 4)
#define EACH_TILE(M) \
  EACH_VECTORS(M, 1) \
  EACH_VECTORS(M, 2) \
  EACH_VECTORS(M, 3) \
  EACH_VECTORS(M, 4) \
  EACH_VECTORS(M, 5) \
  EACH_VECTORS(M, 6) \
  EACH_VECTORS(M, 7) EACH_VECTORS(M, 8) EACH_VECTORS(M, 9) EACH_VECTORS(M, 10) EACH_VECTORS(M, 11) EACH_VECTORS(M, 12)
EACH_TILE(TILE)

#define ENTRY(rows, vectors) {part_##rows##_##vectors, whole_##rows##_##vectors, jumps_##rows##_##vectors},
static tile_t *const tiles[ROWS_MAX * 4][KINDS] = {EACH_TILE(ENTRY)};

static int follow_each_other(const int32_t *places, int64_t count) {
  int64_t i = 1;
  while (i < count && places[i] == places[0] + i) i++;
  return i >= count;
}

void KERN(conv_turned)(const leat_kern_turned_t *t) {
  int64_t vectors_left = (t->lanes + REG_LANES - 1) / REG_LANES;
  for (int64_t lane = 0; vectors_left > 0;) {
    const int64_t vectors = leat_kern_next_piece(vectors_left, VECTORS_MAX);
    const int64_t most = ACCUMULATORS_MAX / vectors < ROWS_MAX ? ACCUMULATORS_MAX / vectors : ROWS_MAX;
    const int64_t end = t->lanes - lane - (vectors - 1) * REG_LANES, last = end < REG_LANES ? end : REG_LANES;
    for (int64_t n = 0, line = t->ahead != 0 ? 0 : INT64_MAX / 2; n < t->count;) {
      const int64_t rows = leat_kern_next_piece(t->count - n, most);
      const int kind = last < REG_LANES ? PART : follow_each_other(t->places + n, rows) ? WHOLE : JUMPS;
      tiles[(rows - 1) * 4 + vectors - 1][kind](t, t->places + n, t->w + lane,
                                                line < vectors * LINES ? t->ahead + line * LINE : 0,
                                                t->out + n * LEAT_KERN_TURNED_LANES + lane, last);
      n += rows;
      line++;
    }
    lane += vectors * REG_LANES;
    vectors_left -= vectors;
  }
}
