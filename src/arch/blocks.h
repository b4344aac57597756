// SPDX-License-Identifier: Apache-2.0
// The blocks that the engine native works in, and from where on a copy pays: constants, since kernels and plans are
// built for them, and fit to the smallest caches of the machines that it is for. None of them shows in a result's bits.
// What depends on the machine at hand is in its record (arch.h).
#ifndef LEAT_ARCH_BLOCKS_H_
#define LEAT_ARCH_BLOCKS_H_

#include <stdbool.h>
#include <stdint.h>

enum { BLOCKS_L1 = 32 * 1024, BLOCKS_L2 = 1024 * 1024, BLOCKS_LINE = 64, BLOCKS_F32 = 4 };  // bytes

// --- CONTRACT

// A block of C; rows that go together through a chunk; columns of C that are worked on in the workspace beside so many
// rows (fewer columns leave room for more rows).
enum { CONTRACT_M = 64, CONTRACT_N = 64, CONTRACT_ROWS = 128, CONTRACT_COLUMNS = 256 };
// A chunk of k, as long as a panel of A still fits half of L2: C is read and written once a chunk.
enum { CONTRACT_K = BLOCKS_L2 / 2 / BLOCKS_F32 / CONTRACT_ROWS };
// One row reads B once, so its chunks are as long as the panels of B: these stream by from end to end.
enum { CONTRACT_K_ONE_ROW = 16 * 1024 };
// Columns of a row-major B that one row of A goes through at a time: their sums stay in half of L1.
enum { CONTRACT_ROW_COLUMNS = BLOCKS_L1 / 2 / BLOCKS_F32 };
// B is copied chunk by chunk although it could be read in place when its rows are far apart (the cache and the page
// table suffer) and there are enough rows of A to pay for it: from this product of both on, and this stride.
enum { CONTRACT_FAR_STRIDE = 128, CONTRACT_FAR_PRODUCT = 24 * 1024 };
// A whose columns are adjacent is copied for the same reason, block by block, when this many columns of C share it.
enum { CONTRACT_FAR_COLUMNS = 64 };
// Rows that share a chunk of B that has been copied: A then streams by from further away.
enum { CONTRACT_COPIED_ROWS = 512 };
// Fewer rows of A than this do not fill vectors when they become the columns; they read B as it lies.
enum { CONTRACT_SWAP_ROWS = 8 };
// Rows of A, at most, that widen a narrow B in registers: more share a copy of it.
enum { CONTRACT_NARROW_ROWS = 16 };
// Elements of C in work where k goes in blocks: their sums lie in the workspace, one such part a level. A smaller part
// would have A copied again and again.
enum { CONTRACT_SUMS = 2 * BLOCKS_L2 / BLOCKS_F32 };

// --- ATTENTION

// Queries of a table of scores, and tables that share a block of keys: the table of a block and what it is made of stay
// in L1 and what all of them keep in L2.
enum { ATTENTION_LANES = 64, ATTENTION_GROUP = 4 };
enum { ATTENTION_STEP = 16 };  // queries of a table are a multiple of it, and parts of the workspace begin at one

// --- parameters that wait

// In which run after a change they are paged out, since programs that only compare some runs never come so far, and
// from how many bytes on.
enum { PAGED_RUN = 3, PAGED_BYTES = 1 << 20 };

// --- CONCAT

enum { CONCAT_LINES = 64 };  // of what is made within a concatenation, at least

// --- GATHER, SCATTER

// Of a table whose lines lie side by side, each with indices of its own, as many lines at a time as stay in half of L2,
// but no fewer than two cache lines of indices.
enum { INDEXED_BYTES = BLOCKS_L2 / 2, INDEXED_LINES = 16 };

// --- POOL

enum { POOL_TURNED_BYTES = BLOCKS_L2 };  // of planes that are turned to be pooled side by side

// --- CONV and its weight gradient

enum {
  CONV_IMAGE_FLOATS = BLOCKS_L2 * 3 / 16 / BLOCKS_F32,  // the copied part of the input: one band, one block of channels
  CONV_SUM_FLOATS = BLOCKS_L2 / 2 / BLOCKS_F32,         // of the outputs of a band, where channels go in blocks
  CONV_STORED_FLOATS = BLOCKS_L2 / 16 / BLOCKS_F32,     // of a band that is moved to where phases lie
  CONV_STORED_LANES = 192,                              // of such a band, if half of L2 holds its sums
  CONV_FAR_WEIGHTS = BLOCKS_L2 / 2 / BLOCKS_F32,        // so many weights are copied where the kernel would jump
  CONV_PANEL_ROWS = 48,                                 // outputs whose weights are copied at a time
  CONV_PACKED_FLOATS = 1 << 23,                         // of weights that are copied at once, at most
  WGRAD_IMAGE_FLOATS = BLOCKS_L2 / 4 / BLOCKS_F32,      // the copied input of a band
  WGRAD_POSITIONS_MIN = 256,  // in one call of the micro kernel: they make its stores of dw cheap
  WGRAD_CHANNELS_MIN = 64,    // a block of channels has no fewer
  CONV_ALIGN_FLOATS = BLOCKS_LINE / BLOCKS_F32,
  CONV_TURNED_TAPS = BLOCKS_L2 / 4 / BLOCKS_F32 / 64,  // of a panel of weights
  CONV_TURNED_POSITIONS = 256,  // of a picture for which outputs are the lanes, and of a band there
  CONV_TURNED_MOST = 4096,      // of a larger one, and outputs that it takes
  CONV_TURNED_OUTPUTS = 64,
  CONV_COPIED_FLOATS = 4,  // that are copied in a cycle
  CONV_READ_FLOATS = 2,    // that are read in a cycle from beyond L2
  CONV_BLOCK_CYCLES = 3,   // of a vector of sums that leaves registers and comes back
  CONV_DEPTH_OUTPUTS = 4,  // of a channel: more share a copy of it
  CONV_LANES = 16          // of the widest level
};

// Whether outputs are the lanes of a convolution whose result has so many positions, in rows of `width`: where pictures
// are small, and where rows are no whole registers, so that each of several columns of a window would read a copy of
// its own.
static inline bool leat_blocks_is_turned(int64_t positions, int64_t width, int64_t window_columns, int64_t outputs) {
  if (positions <= CONV_TURNED_POSITIONS) return outputs >= CONV_LANES;
  return positions <= CONV_TURNED_MOST && outputs >= CONV_TURNED_OUTPUTS && width > 1 && width % CONV_LANES != 0 &&
         window_columns > 1;
}

// Whether turned weights may lie at this step from tap to tap: whole lines, an odd number of them, since by an even one
// taps would meet in few sets of a cache.
static inline bool leat_blocks_is_turned_step(int64_t floats) {
  return floats % (2 * CONV_ALIGN_FLOATS) == CONV_ALIGN_FLOATS;
}

// --- MAP, REDUCE, SCATTER

// Elements of a strip, and rows that are long enough for strips of their own. A call of a kernel costs as much as a
// hundred elements, which is more than L2 costs over L1: strips become shorter only where those of a program leave L2.
// Code that goes through rows by itself has no strips: it takes rows of a vector.
enum { MAP_STRIP_MAX = 512, MAP_STRIP_MIN = 64, MAP_STRIPS_BYTES = BLOCKS_L2 };
enum { MAP_ROW_MIN = 48, MAP_CODE_ROW_MIN = 16 };
enum { MAP_STRIP_LONG = 1 << 20 };  // of a program that needs no strips, since its values pass in registers
enum { MAP_STRIP_STEP = 16 };       // strips are whole vectors of the widest level
enum { REDUCE_STRIP = 512 };
// Of sums that a MAP makes: accumulators of a row, as the order of summation has them, and rows that go together.
enum { MAP_SUM_LANES = 64, MAP_SUM_ROWS = 16 };
// Elements that one index moves: half a line, so that a walk along the table is one along memory.
enum { SCATTER_RUN_MIN = BLOCKS_LINE / 2 / BLOCKS_F32 };

// --- SORT

enum { SORT_TURNED_BYTES = BLOCKS_LINE };  // of an element of lines that are turned together

#endif
