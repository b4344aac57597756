// SPDX-License-Identifier: Apache-2.0
// Two-dimensional copies with any source strides: rows, broadcasts, and transposes in blocks that fit L1.
#include "kern/isa.h"

enum { BLOCK = 16 };

#define DEFINE_COPY2(suffix, T)                                                                                        \
  static inline void block_##suffix(T *restrict out, int64_t ld_out, const T *restrict in, int64_t in_i, int64_t in_j, \
                                    int64_t rows, int64_t cols) {                                                      \
    for (int64_t i = 0; i < rows; i++) {                                                                               \
      for (int64_t j = 0; j < cols; j++) out[i * ld_out + j] = in[i * in_i + j * in_j];                                \
    }                                                                                                                  \
  }                                                                                                                    \
  static void transpose_##suffix(T *restrict out, int64_t ld_out, const T *restrict in, int64_t in_j, int64_t rows,    \
                                 int64_t cols) {                                                                       \
    for (int64_t j = 0; j < cols; j += BLOCK) {                                                                        \
      int64_t width = cols - j < BLOCK ? cols - j : BLOCK;                                                             \
      for (int64_t i = 0; i < rows; i += BLOCK) {                                                                      \
        int64_t height = rows - i < BLOCK ? rows - i : BLOCK;                                                          \
        T *to = out + i * ld_out + j;                                                                                  \
        const T *from = in + i + j * in_j;                                                                             \
        if (width == BLOCK && height == BLOCK) {                                                                       \
          block_##suffix(to, ld_out, from, 1, in_j, BLOCK, BLOCK);                                                     \
        } else {                                                                                                       \
          block_##suffix(to, ld_out, from, 1, in_j, height, width);                                                    \
        }                                                                                                              \
      }                                                                                                                \
    }                                                                                                                  \
  }                                                                                                                    \
  void KERN(copy2_##suffix)(T * out, int64_t ld_out, const T *in, int64_t in_i, int64_t in_j, int64_t rows,            \
                            int64_t cols) {                                                                            \
    if (in_j == 1) {                                                                                                   \
      for (int64_t i = 0; i < rows; i++) __builtin_memmove(out + i * ld_out, in + i * in_i, (size_t)cols * sizeof(T)); \
    } else if (in_i == 1 && in_j != 0) {                                                                               \
      transpose_##suffix(out, ld_out, in, in_j, rows, cols);                                                           \
    } else {                                                                                                           \
      block_##suffix(out, ld_out, in, in_i, in_j, rows, cols);                                                         \
    }                                                                                                                  \
  }

DEFINE_COPY2(b1, uint8_t)
DEFINE_COPY2(b2, uint16_t)
DEFINE_COPY2(b4, uint32_t)
DEFINE_COPY2(b8, uint64_t)
