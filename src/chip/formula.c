// SPDX-License-Identifier: Apache-2.0
// See cost.h: cycles of work on so many PCUs, and the fewest PCUs for so many cycles.
#include <math.h>

#include "chip/cost.h"

static int64_t ceil_div(int64_t a, int64_t b) { return a / b + (a % b != 0); }
static int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }
static int64_t blocks_m(const leat_chip_work_t *work) { return ceil_div(work->m, work->lanes); }
static int64_t blocks_n(const leat_chip_work_t *work) { return ceil_div(work->n, work->stages); }

double leat_chip_product_cycles(const leat_chip_work_t *work, leat_chip_shares_t shares) {
  return (double)ceil_div(work->batch, shares.batch) * (double)ceil_div(work->m, work->lanes * shares.m) *
         (double)ceil_div(work->n, work->stages * shares.n) * (double)work->k;
}

double leat_chip_simd_cycles(int64_t m, int64_t n, int64_t operations, int64_t lanes, int64_t stages, int64_t pcus) {
  return (double)ceil_div(m, lanes * pcus) * (double)n * (double)most(1, ceil_div(operations, stages));
}

// Lines that are cut along lanes: a vector a cycle, and what the tree takes for a line.
static double tree_cycles(const leat_chip_work_t *work, int64_t pcus) {
  const double vectors = work->latency > 0
                             ? (double)work->lines * (double)(ceil_div(work->length, work->lanes) + work->latency)
                             : ceil((double)work->lines * (double)work->length / (double)work->lanes);
  return ceil(vectors / (double)pcus);
}

static double scan_cycles(const leat_chip_work_t *work, int64_t pcus) {
  const double side_by_side = (double)ceil_div(work->lines, work->lanes * pcus) * (double)work->length;
  const double steps = ceil(log2((double)most(2, work->lanes)));
  const double in_turn = (double)ceil_div(work->lines, pcus) * (double)ceil_div(work->length, work->lanes) * steps;
  return fmin(side_by_side, in_turn);
}

static double sort_cycles(const leat_chip_work_t *work, int64_t pcus) {
  const double steps = ceil(log2((double)most(2, work->length)));
  const double passes = fmax(1, ceil(steps * (steps + 1) / 2 / (double)work->stages));
  return ceil((double)work->lines * (double)work->length / (double)(work->lanes * pcus)) * passes;
}

// Each line is a run that lies together.
static double lookup_cycles(const leat_chip_work_t *work, int64_t pcus) {
  const double vectors = (double)work->lines * (double)ceil_div(work->length, work->lanes);
  return ceil(vectors * (double)work->passes / (double)pcus);
}

// A product's blocks among so many PCUs, whatever their shape.
static double block_cycles(const leat_chip_work_t *work, int64_t pcus) {
  const double blocks = (double)work->batch * (double)blocks_m(work) * (double)blocks_n(work);
  return ceil(blocks / (double)pcus) * (double)work->k;
}

double leat_chip_work_cycles(const leat_chip_work_t *work, int64_t pcus) {
  switch (work->way) {
    case LEAT_CHIP_SYSTOLIC:
      return block_cycles(work, pcus);
    case LEAT_CHIP_TREE:
      return tree_cycles(work, pcus);
    case LEAT_CHIP_SCAN:
      return scan_cycles(work, pcus);
    case LEAT_CHIP_SORT:
      return sort_cycles(work, pcus);
    case LEAT_CHIP_LOOKUP:
      return lookup_cycles(work, pcus);
    default:
      return ceil((double)work->lines * (double)work->length / (double)(work->lanes * pcus)) * (double)work->passes;
  }
}

double leat_chip_cost_cycles(const leat_chip_cost_t *cost, int64_t pcus) {
  double cycles = 0;
  for (uint32_t i = 0; i < cost->work_count; ++i) cycles += leat_chip_work_cycles(&cost->works[i], pcus);
  return cycles;
}

// --- the fewest PCUs of a product
// --------------------------------------------------------------------------------------

typedef struct search_s {
  int64_t blocks_m, blocks_n;
  leat_chip_shares_t best;
  double pcus;
} search_t;

// PCUs along m and n, where `batch` PCUs share the batches and each has room for `steps` blocks of a batch.
static void search_sides(search_t *search, int64_t batch, int64_t steps) {
  for (int64_t along = 1; along <= search->blocks_m;) {
    const int64_t each = ceil_div(search->blocks_m, along);
    if (each <= steps) {
      const int64_t other = ceil_div(search->blocks_n, steps / each);
      const double pcus = (double)batch * (double)along * (double)other;
      if (pcus < search->pcus) {
        search->pcus = pcus;
        search->best = (leat_chip_shares_t){batch, along, other};
      }
    }
    if (each == 1) break;
    along = ceil_div(search->blocks_m, each - 1);  // the fewest that leave each of them less
  }
}

int64_t leat_chip_product_shares(const leat_chip_work_t *work, double interval, leat_chip_shares_t *out_shares) {
  search_t search = {blocks_m(work), blocks_n(work), {1, 1, 1}, INFINITY};
  *out_shares = search.best;
  if (work->k == 0 || work->batch == 0 || search.blocks_m == 0 || search.blocks_n == 0) return 1;
  const double room = floor(interval / (double)work->k);  // blocks that a PCU has time for
  const int64_t steps = room < 0x1p62 ? (int64_t)room : INT64_C(1) << 62;
  for (int64_t batch = 1; batch <= work->batch;) {
    const int64_t each = ceil_div(work->batch, batch);
    if (each <= steps) search_sides(&search, batch, steps / each);
    if (each == 1) break;
    batch = ceil_div(work->batch, each - 1);
  }
  if (search.pcus >= 0x1p62) return 0;
  *out_shares = search.best;
  return (int64_t)search.pcus;
}
