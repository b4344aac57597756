// SPDX-License-Identifier: Apache-2.0
// The micro kernel of fast convolutions: a matrix product whose second operand is never stored as a matrix, since row k
// of it is the input, shifted by offsets[k].
//
// A tile of ROWS x VECTORS registers accumulates over all taps before it touches memory. Tile shapes fill the registers
// of the ISA level; an element is one fma chain in any of them, so that the shape of the tile does not show in the
// bits.
#include "kern/finish.h"
#include "kern/isa.h"

enum {
  ROWS_MAX = 8,
  VECTORS_MAX = REG_COUNT >= 32 ? 4 : 2,
  // Leaves room for the input vectors and a broadcast.
  ACCUMULATORS_MAX = REG_COUNT >= 32 ? 24 : 12,
  LINE = 16,  // floats of a cache line, and taps for which one asks at a time
};

// One tile as named variables: GCC keeps an array of accumulators in memory as well. rows, vectors, and `whole`, where
// the last vector has all its lanes, are constants wherever tile() is inlined: masks cost the units that multiply.
#define EACH_ROW(M) M(0) M(1) M(2) M(3) M(4) M(5) M(6) M(7)
#define EACH_VECTOR(M, m) M(m, 0) M(m, 1) M(m, 2) M(m, 3)
#define LOAD(from, v) (v == vectors - 1 && !whole ? reg_load_lanes(from, mask) : reg_load(from))
#define START_ONE(m, v) \
  reg_t a##m##v =       \
      t->accumulate != 0 && m < rows && v < vectors ? LOAD(out + m * out_row + v * REG_LANES, v) : reg_zero();
#define START(m) EACH_VECTOR(START_ONE, m)
#define STEP_ONE(m, v) \
  if (v < vectors) a##m##v = reg_fma(factor, x##v, a##m##v);
#define STEP(m)                                   \
  if (m < rows) {                                 \
    reg_t factor = reg_splat(factors[m * w_row]); \
    EACH_VECTOR(STEP_ONE, m)                      \
  }
#define FINISH_ONE(m, v)                                                      \
  if (v < vectors - 1) reg_store(out + m * out_row + v * REG_LANES, a##m##v); \
  if (v == vectors - 1) reg_store_lanes(out + m * out_row + v * REG_LANES, a##m##v, mask);
#define FINISH(m)              \
  if (m < rows) {              \
    EACH_VECTOR(FINISH_ONE, m) \
  }

#define BIAS_ONE(m, v) \
  if (v < vectors) a##m##v = reg_add(a##m##v, bias);
#define BIAS(m)                                                    \
  if (m < rows) {                                                  \
    reg_t bias = reg_splat(t->bias[(at->row + m) * f->bias_step]); \
    EACH_VECTOR(BIAS_ONE, m)                                       \
  }
#define SIDE_ONE(m, v) \
  if (m < rows && v < vectors) a##m##v = reg_add(a##m##v, LOAD(side + m * side_row + v * REG_LANES, v));
#define SIDE(m) EACH_VECTOR(SIDE_ONE, m)
#define BOUND_ONE(m, v) \
  if (m < rows && v < vectors) a##m##v = finish_bound(f, a##m##v);
#define BOUND(m) EACH_VECTOR(BOUND_ONE, m)

// Asks for what is far: where a tile's sums go and what is added to them; a line of the weights of each of the rows
// that come next; and x of the lanes that come next.
#define ASK_OUT_ONE(m, v) \
  if (m < rows && v < vectors) __builtin_prefetch(out + m * out_row + v * REG_LANES, 1, 3);
#define ASK_OUT(m) EACH_VECTOR(ASK_OUT_ONE, m)
#define ASK_SIDE_ONE(m, v) \
  if (m < rows && v < vectors) __builtin_prefetch(side + m * side_row + v * REG_LANES, 0, 3);
#define ASK_SIDE(m) EACH_VECTOR(ASK_SIDE_ONE, m)
#define ASK_ROW(m) \
  if (m < rows) __builtin_prefetch(w_next + m * w_row + k, 0, 2);
VEC_INLINE void ask_lanes(const float *x, const int32_t *offsets, int64_t count) {
  for (int64_t k = 0; k < count; k++) __builtin_prefetch(x + offsets[k], 0, 2);
}

// What a tile works on: rows from `row` on, lanes from `first` on, `last` of them in the last vector. base and x_at say
// where the vectors of the first tap lie, x_next where lanes lie that come next; NULL: nothing is asked for.
typedef struct tile_s {
  const float *base, *x_next;
  int64_t x_at[4];
  int64_t row, first, last;
} tile_t;

// jumps: x_at says where the vectors lie, which else follow each other.
VEC_INLINE void tile(const int rows, const int vectors, const int whole, const int jumps, const leat_kern_taps_t *t,
                     const tile_t *at) {
  if (rows * vectors > ACCUMULATORS_MAX) return;  // a shape that this level never asks for
  const reg_mask_t mask = reg_lanes(0, at->last);
  const leat_kern_finish_t *f = t->finish;
  const int64_t taps = t->taps, w_row = t->w_row, out_row = t->out_row, side_row = f ? f->side_step[1] : 0;
  const int64_t at1 = jumps ? at->x_at[1] : REG_LANES, at2 = jumps ? at->x_at[2] : 2 * REG_LANES;
  const int64_t at3 = jumps ? at->x_at[3] : 3 * REG_LANES;
  const float *base = at->base, *x_next = at->x_next, *w = t->w + at->row * w_row;
  const float *w_next = t->w_flat != 0 ? w + rows * w_row : NULL;
  const float *side = f && f->side ? t->side + at->row * side_row + at->first : NULL;
  const int32_t *offsets = t->offsets, *w_offsets = t->w_offsets;
  float *out = t->out + at->row * out_row + at->first;
  if (t->accumulate == 0) {
    EACH_ROW(ASK_OUT)
  }
  if (side) {
    EACH_ROW(ASK_SIDE)
  }
  EACH_ROW(START)
  for (int64_t k = 0, stop; k < taps;) {
    stop = taps - k < LINE ? taps : k + LINE;
    if (w_next) {
      EACH_ROW(ASK_ROW)
    }
    if (x_next) ask_lanes(x_next, offsets + k, stop - k);
    for (; k < stop; k++) {
      const float *from = base + offsets[k], *factors = w + w_offsets[k];
      reg_t x0 = LOAD(from, 0), x1 = reg_zero(), x2 = x1, x3 = x1;
      if (vectors > 1) x1 = LOAD(from + at1, 1);
      if (vectors > 2) x2 = LOAD(from + at2, 2);
      if (vectors > 3) x3 = LOAD(from + at3, 3);
      EACH_ROW(STEP)
    }
  }
  if (f && f->bias) {
    EACH_ROW(BIAS)
  }
  if (side) {
    EACH_ROW(SIDE)
  }
  if (f && f->bounded != 0) {
    EACH_ROW(BOUND)
  }
  EACH_ROW(FINISH)
}

typedef void run_tile_t(const leat_kern_taps_t *t, const tile_t *at);
enum { PART, WHOLE, JUMPS, KINDS };  // lanes of jumps are whole registers
#define KIND(name, rows, vectors, whole, jumps)                                        \
  static void name##_##rows##_##vectors(const leat_kern_taps_t *t, const tile_t *at) { \
    tile(rows, vectors, whole, jumps, t, at);                                          \
  }
#define TILE(rows, vectors)        \
  KIND(part, rows, vectors, 0, 0)  \
  KIND(whole, rows, vectors, 1, 0) \
  KIND(jumps, rows, vectors, 1, 1)
#define EACH_VECTORS(M, rows) M(rows, 1) M(rows, 2) M(rows, 3) M(rows, 4)
#define EACH_TILE(M) \
  EACH_VECTORS(M, 1) \
  EACH_VECTORS(M, 2) \
  EACH_VECTORS(M, 3) EACH_VECTORS(M, 4) EACH_VECTORS(M, 5) EACH_VECTORS(M, 6) EACH_VECTORS(M, 7) EACH_VECTORS(M, 8)
EACH_TILE(TILE)

#define ENTRY(rows, vectors) {part_##rows##_##vectors, whole_##rows##_##vectors, jumps_##rows##_##vectors},
static run_tile_t *const tiles[ROWS_MAX * 4][KINDS] = {EACH_TILE(ENTRY)};

// Where lane n lies behind `base`.
static int64_t place_of(const leat_kern_taps_t *t, int64_t n) {
  return t->run > 0 ? n / t->run * t->run_step + n % t->run : n;
}

static int64_t most_rows(int64_t vectors) {
  return ACCUMULATORS_MAX / vectors < ROWS_MAX ? ACCUMULATORS_MAX / vectors : ROWS_MAX;
}

// Vectors of tiles that have the most accumulators, when rows are cut evenly: fewer of them wait for what they load.
// Tiles of one vector less have ROWS_MAX rows already, so that none of fewer vectors has more.
static int64_t best_vectors(int64_t rows) {
  enum { ROWS_OF_WIDEST = ACCUMULATORS_MAX / VECTORS_MAX };
  _Static_assert((VECTORS_MAX - 1) * ROWS_MAX <= ACCUMULATORS_MAX, "as the comment says");
  const int64_t count = (rows + ROWS_MAX - 1) / ROWS_MAX, of_widest = (rows + ROWS_OF_WIDEST - 1) / ROWS_OF_WIDEST;
  return (VECTORS_MAX - 1) * of_widest > VECTORS_MAX * count ? VECTORS_MAX - 1 : VECTORS_MAX;
}

// Line `number` of x of the lanes that come behind `vectors` vectors: each tile of these asks for one.
static const float *next_line(const leat_kern_taps_t *t, const float *base, int64_t vectors, int64_t number) {
  const int64_t lanes = vectors * REG_LANES;
  return t->far != 0 && number * LINE <= lanes ? base + lanes + number * LINE : NULL;
}

// Rows `row` up to `row + rows` of the lanes before `lanes`.
static void add_vectors(const leat_kern_taps_t *t, int64_t row, int64_t rows, int64_t lanes) {
  const int64_t vectors_most = best_vectors(rows);
  int64_t vectors_left = (lanes + REG_LANES - 1) / REG_LANES;
  tile_t at = {.first = 0};
  while (vectors_left > 0) {
    int64_t vectors = leat_kern_next_piece(vectors_left, vectors_most);
    int64_t most = most_rows(vectors), end = lanes - at.first - (vectors - 1) * REG_LANES;
    at.base = t->base + place_of(t, at.first);
    at.last = end < REG_LANES ? end : REG_LANES;
    for (int64_t v = 0; v < vectors; v++) at.x_at[v] = place_of(t, at.first + v * REG_LANES) - place_of(t, at.first);
    const int kind = t->run > 0 ? JUMPS : at.last == REG_LANES ? WHOLE : PART;
    at.row = row;
    for (int64_t count, number = 0; at.row < row + rows; at.row += count, number++) {
      count = leat_kern_next_piece(row + rows - at.row, most);
      at.x_next = next_line(t, at.base, vectors, number);
      tiles[(count - 1) * 4 + vectors - 1][kind](t, &at);
    }
    at.first += vectors * REG_LANES;
    vectors_left -= vectors;
  }
}

// --- few lanes beyond whole vectors: there, rows are the lanes -----------------------------------------------------

// A vector of so few lanes costs more than it does to transpose the weights on the way, which shows beside so few whole
// ones; rows that go through both while their weights are in a cache; taps that are gathered at a time.
enum { REST_MAX = (REG_LANES + 7) / 8, REST_VECTORS = 6, REST_ROWS = 48, REST_TAPS = 512 };

static void gather_taps(const float *base, const int32_t *offsets, int64_t taps, int64_t lanes, float *out) {
  for (int64_t i = 0; i < lanes; i++) {
    for (int64_t k = 0; k < taps; k++) out[i * REST_TAPS + k] = base[offsets[k] + i];
  }
}

static float finish_rest(const leat_kern_taps_t *t, float sum, int64_t row, int64_t lane) {
  const leat_kern_finish_t *f = t->finish;
  if (!f) return sum;
  return finish_one(f, sum, f->bias ? t->bias + row * f->bias_step : NULL,
                    f->side ? t->side + row * f->side_step[1] + lane : NULL);
}

// The same of the lanes from `first` on.
static void add_rest(const leat_kern_taps_t *t, int64_t row, int64_t rows, int64_t first) {
  const int64_t lanes = t->lanes - first;
  float x[REST_MAX * REST_TAPS], sums[REST_MAX * REST_ROWS], *out = t->out + row * t->out_row + first;
  for (int64_t r = 0; t->accumulate != 0 && r < rows; r++) {
    for (int64_t i = 0; i < lanes; i++) sums[i * REST_ROWS + r] = out[r * t->out_row + i];
  }
  for (int64_t k = 0; k == 0 || k < t->taps; k += REST_TAPS) {
    const int64_t taps = t->taps - k < REST_TAPS ? t->taps - k : REST_TAPS;
    gather_taps(t->base + first, t->offsets + k, taps, lanes, x);
    const leat_kern_gemm_t g = {.m = lanes,
                                .n = rows,
                                .k = taps,
                                .a_m = REST_TAPS,
                                .a_k = 1,
                                .b_k = t->w_row,
                                .c_m = REST_ROWS,
                                .add = t->accumulate != 0 || k > 0};
    KERN(gemm_lines_f32)(&g, x, t->w + row * t->w_row + k, sums);
  }
  for (int64_t r = 0; r < rows; r++) {
    for (int64_t i = 0; i < lanes; i++)
      out[r * t->out_row + i] = finish_rest(t, sums[i * REST_ROWS + r], row + r, first + i);
  }
}

void KERN(conv_taps)(const leat_kern_taps_t *t) {
  const int64_t vectors = t->lanes / REG_LANES, rest = t->lanes % REG_LANES;
  if (t->w_flat == 0 || rest == 0 || rest > REST_MAX || vectors == 0 || vectors > REST_VECTORS || t->rows < REG_LANES) {
    add_vectors(t, 0, t->rows, t->lanes);
    return;
  }
  for (int64_t row = 0; row < t->rows;) {
    const int64_t rows = leat_kern_next_piece(t->rows - row, REST_ROWS);
    add_vectors(t, row, rows, t->lanes - rest);
    add_rest(t, row, rows, t->lanes - rest);
    row += rows;
  }
}
