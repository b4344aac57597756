// SPDX-License-Identifier: Apache-2.0
// A PEF written by hand, as the compiler would: y = relu(x W + b), in bodies that tile the rows of x. Shared by the
// tests of the format and of the engine.
#ifndef LEAT_TESTS_PEF_DEMO_H_
#define LEAT_TESTS_PEF_DEMO_H_

#include "pef/pef_write.h"

typedef struct pef_demo_s {
  int64_t rows, in, out;  // x [rows, in], w [in, out], b [out], y [rows, out]; all f32
  int64_t tile_rows_max;
  int64_t n_block;  // 0: w is row-major; else packed in blocks of n_block columns (symbol w_packed)
} pef_demo_t;

enum { PEF_DEMO_X = 0, PEF_DEMO_W = 1, PEF_DEMO_B = 2, PEF_DEMO_Y = 3 };  // symbols, in this order

// Adds symbols, one body of two stages (CONTRACT into tile scratch, MAP to y) and its call of type FWD; with n_block,
// before it, a body that packs w into the arena (a MAP copy a block) and its call of type PREPARE.
void pef_demo_build(leat_pef_writer_t *writer, const pef_demo_t *demo);

#endif
