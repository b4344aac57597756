// SPDX-License-Identifier: Apache-2.0
// Two-dimensional copies: rows, rows backwards, broadcasts, strided rows, and transposes. Elements of four bytes are
// transposed in registers, a square of cache lines at a time, so that each line is read and written once.
#define VEC_NATIVE

#include "kern/isa.h"
#include "kern/reg.h"
#include "kern/vec.h"

enum { SQUARE = 16 };  // elements a side: a cache line of four bytes each

// --- one by one ----------------------------------------------------------------------------------------------------

#define DEFINE_WALK(suffix, T)                                                                                       \
  static inline void walk_##suffix(T *restrict out, int64_t out_i, const T *restrict in, int64_t in_i, int64_t in_j, \
                                   int64_t rows, int64_t cols) {                                                     \
    for (int64_t i = 0; i < rows; i++) {                                                                             \
      for (int64_t j = 0; j < cols; j++) out[i * out_i + j] = in[i * in_i + j * in_j];                               \
    }                                                                                                                \
  }
DEFINE_WALK(b1, uint8_t)
DEFINE_WALK(b2, uint16_t)
DEFINE_WALK(b4, uint32_t)
DEFINE_WALK(b8, uint64_t)

// --- rows of bytes -------------------------------------------------------------------------------------------------

enum { SHORT_ROW = 2048 };  // bytes up to which a loop is quicker than a call

typedef uint8_t bytes_t __attribute__((vector_size(VEC_BYTES), aligned(1), may_alias));

// Rows are side by side, or one that is copied many times: that stays in a cache, which a call does not know and takes
// a quarter longer. What is left of a row is copied with some of what comes before it.
static void copy_rows(char *out, int64_t out_step, const char *in, int64_t in_step, int64_t rows, int64_t bytes) {
  const int by_call = bytes < VEC_BYTES || (bytes > SHORT_ROW && in_step != 0);
  for (int64_t i = 0; i < rows; i++, out += out_step, in += in_step) {
    if (by_call) {
      __builtin_memmove(out, in, (size_t)bytes);
      continue;
    }
    const bytes_t last = *(const bytes_t *)(in + bytes - VEC_BYTES);
    for (int64_t b = 0; b + VEC_BYTES < bytes; b += VEC_BYTES) *(bytes_t *)(out + b) = *(const bytes_t *)(in + b);
    *(bytes_t *)(out + bytes - VEC_BYTES) = last;
  }
}

// --- four bytes, in registers --------------------------------------------------------------------------------------

// The columns of a block, a register each, become its rows; up to REG_LANES of both. The first `whole` rows are stored
// as whole registers, since what comes behind them is written later.
VEC_INLINE void turn_block(float *out, int64_t out_i, const float *in, int64_t in_j, int64_t rows, int64_t cols,
                           int64_t whole) {
  reg_t r[REG_LANES];
  if (rows == REG_LANES && cols == REG_LANES) {
    for (int j = 0; j < REG_LANES; j++) r[j] = reg_load(in + j * in_j);
    reg_transpose(r);
    for (int i = 0; i < REG_LANES; i++) reg_store(out + i * out_i, r[i]);
    return;
  }
  const reg_mask_t high = reg_lanes(0, rows), wide = reg_lanes(0, cols), none = reg_lanes(0, 0);
#pragma GCC unroll 16
  for (int j = 0; j < REG_LANES; j++) r[j] = reg_load_lanes(in + (j < cols ? j * in_j : 0), j < cols ? high : none);
  reg_transpose(r);
#pragma GCC unroll 16
  for (int i = 0; i < REG_LANES; i++) {
    if (i < whole)
      reg_store(out + i * out_i, r[i]);
    else if (i < rows)
      reg_store_lanes(out + i * out_i, r[i], wide);
  }
}

// A step of two or four columns whose rows lie side by side: columns are interleaved. Returns the rows that are done.
VEC_INLINE int64_t interleave(float *out, const float *in, int64_t in_j, int64_t rows, const int cols) {
  int64_t i = 0;
  for (; i + REG_LANES <= rows; i += REG_LANES) {
    reg_t a = reg_load(in + i), b = reg_load(in + i + in_j), a_high, b_high;
    float *to = out + i * cols;
    if (cols == 2) {
      a = reg_interleave(a, b, &a_high);
      reg_store(to, a);
      reg_store(to + REG_LANES, a_high);
      continue;
    }
    a = reg_interleave(a, reg_load(in + i + 2 * in_j), &a_high);
    b = reg_interleave(b, reg_load(in + i + 3 * in_j), &b_high);
    reg_t next;
    reg_store(to, reg_interleave(a, b, &next));
    reg_store(to + REG_LANES, next);
    reg_store(to + 2 * REG_LANES, reg_interleave(a_high, b_high, &next));
    reg_store(to + 3 * REG_LANES, next);
  }
  return i;
}

// The reverse, for two rows: even and odd elements of one line. Returns the columns that are done.
VEC_INLINE int64_t separate(float *out, int64_t out_i, const float *in, int64_t cols) {
  int64_t j = 0;
  for (; j + REG_LANES <= cols; j += REG_LANES) {
    const float *from = in + 2 * j;
    reg_store(out + j, reg_evens(reg_load(from), reg_load(from + REG_LANES - 1)));
    reg_store(out + out_i + j, reg_evens(reg_load(from + 1), reg_load(from + REG_LANES)));
  }
  return j;
}

// A corner is too small for registers to pay.
static int is_small(int64_t rows, int64_t cols) { return rows * cols <= 2 * REG_LANES; }
static void turn_b4(uint32_t *to, int64_t out_i, const uint32_t *from, int64_t in_j, int64_t rows, int64_t cols) {
  float *out = (float *)(void *)to;
  const float *in = (const float *)(const void *)from;
  int64_t first_row = 0, first_col = 0;
  if (out_i == cols && (cols == 2 || cols == 4))
    first_row = cols == 2 ? interleave(out, in, in_j, rows, 2) : interleave(out, in, in_j, rows, 4);
  else if (rows == 2 && in_j == 2)
    first_col = separate(out, out_i, in, cols);
  for (int64_t j = first_col; j < cols; j += SQUARE) {
    for (int64_t i = first_row; i < rows; i += SQUARE) {
      for (int64_t a = i; a < i + SQUARE && a < rows; a += REG_LANES) {
        const int64_t high = rows - a < REG_LANES ? rows - a : REG_LANES;
        for (int64_t b = j; b < j + SQUARE && b < cols; b += REG_LANES) {
          const int64_t wide = cols - b < REG_LANES ? cols - b : REG_LANES;
          if (is_small(high, wide)) {
            walk_b4(to + a * out_i + b, out_i, from + a + b * in_j, 1, in_j, high, wide);
            continue;
          }
          const int64_t whole = out_i == cols && cols < REG_LANES ? rows - a - REG_LANES / cols : 0;
          turn_block(out + a * out_i + b, out_i, in + a + b * in_j, in_j, high, wide, whole);
        }
      }
    }
  }
}

// --- any width -----------------------------------------------------------------------------------------------------

#define DEFINE_TURN(suffix, T)                                                                                \
  static void turn_##suffix(T *restrict out, int64_t out_i, const T *restrict in, int64_t in_j, int64_t rows, \
                            int64_t cols) {                                                                   \
    for (int64_t j = 0; j < cols; j += SQUARE) {                                                              \
      const int64_t width = cols - j < SQUARE ? cols - j : SQUARE;                                            \
      for (int64_t i = 0; i < rows; i += SQUARE) {                                                            \
        const int64_t height = rows - i < SQUARE ? rows - i : SQUARE;                                         \
        walk_##suffix(out + i * out_i + j, out_i, in + i + j * in_j, 1, in_j, height, width);                 \
      }                                                                                                       \
    }                                                                                                         \
  }

// Rows of a few elements are moved by loops, since a call takes longer. A stride that is a constant makes vectors.
#define DEFINE_COPY2(suffix, T)                                                                            \
  static void rows_##suffix(T *out, int64_t out_i, const T *in, int64_t in_i, int64_t in_j, int64_t rows,  \
                            int64_t cols) {                                                                \
    switch (in_j) {                                                                                        \
      case 1:                                                                                              \
        walk_##suffix(out, out_i, in, in_i, 1, rows, cols);                                                \
        break;                                                                                             \
      case -1:                                                                                             \
        walk_##suffix(out, out_i, in, in_i, -1, rows, cols);                                               \
        break;                                                                                             \
      case 0:                                                                                              \
        walk_##suffix(out, out_i, in, in_i, 0, rows, cols);                                                \
        break;                                                                                             \
      case 2:                                                                                              \
        walk_##suffix(out, out_i, in, in_i, 2, rows, cols);                                                \
        break;                                                                                             \
      default:                                                                                             \
        walk_##suffix(out, out_i, in, in_i, in_j, rows, cols);                                             \
    }                                                                                                      \
  }                                                                                                        \
  void KERN(copy2_##suffix)(T * out, int64_t out_i, const T *in, int64_t in_i, int64_t in_j, int64_t rows, \
                            int64_t cols) {                                                                \
    if (in_i == -1) { /* rows from the last to the first */                                                \
      out += (rows - 1) * out_i;                                                                           \
      in -= rows - 1;                                                                                      \
      out_i = -out_i;                                                                                      \
      in_i = 1;                                                                                            \
    }                                                                                                      \
    if (in_j == 1 && cols >= SQUARE) {                                                                     \
      const int64_t bytes = sizeof(T);                                                                     \
      copy_rows((char *)out, out_i *bytes, (const char *)in, in_i *bytes, rows, cols *bytes);              \
    } else if (in_i == 1 && in_j != 1 && (in_j != 0 || cols < SQUARE)) {                                   \
      turn_##suffix(out, out_i, in, in_j, rows, cols);                                                     \
    } else {                                                                                               \
      rows_##suffix(out, out_i, in, in_i, in_j, rows, cols);                                               \
    }                                                                                                      \
  }

DEFINE_TURN(b1, uint8_t)
DEFINE_TURN(b2, uint16_t)
DEFINE_TURN(b8, uint64_t)
DEFINE_COPY2(b1, uint8_t)
DEFINE_COPY2(b2, uint16_t)
DEFINE_COPY2(b4, uint32_t)
DEFINE_COPY2(b8, uint64_t)
