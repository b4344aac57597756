// SPDX-License-Identifier: Apache-2.0
// What a stage costs on a chip, for one tile of rows: how it is mapped, and the cycles on so many PCUs. The formulas
// are those of DFModel; cost.def has a row a stage kind. Network and memory are no part of it.
#ifndef LEAT_CHIP_COST_H_
#define LEAT_CHIP_COST_H_

#include "arch/chip.h"
#include "pef/pef_read.h"

#define LEAT_CHIP_NONE UINT32_MAX

// --- formulas --------------------------------------------------------------------------------------------------------

// How many PCUs share a product: along the lanes' side m of the result, along the stages' side n, and batches.
typedef struct leat_chip_shares_s {
  int64_t batch, m, n;
} leat_chip_shares_t;

enum leat_chip_way {
  LEAT_CHIP_SYSTOLIC,
  LEAT_CHIP_SIMD,
  LEAT_CHIP_TREE,
  LEAT_CHIP_SCAN,
  LEAT_CHIP_SORT,
  LEAT_CHIP_LOOKUP
};

// Work of one kind on units of one kind.
typedef struct leat_chip_work_s {
  uint32_t way;  // enum leat_chip_way
  int64_t lanes, stages;
  int64_t batch, m, n, k;  // SYSTOLIC: `batch` products of m x k by k x n, lanes along m
  int64_t lines, length;   // of others: so many lines of so many elements
  int64_t passes;          // of SIMD: how often a vector goes through a PCU; of LOOKUP: accesses of an element
  int64_t latency;         // of TREE: cycles a line that the tree takes
} leat_chip_work_t;

// DFModel's formula: ceil(m / (lanes shares.m)) ceil(n / (stages shares.n)) k, for each batch of a PCU.
double leat_chip_product_cycles(const leat_chip_work_t *work, leat_chip_shares_t shares);
// And its other one, for m x n elements with `operations` in a chain on `pcus` PCUs.
double leat_chip_simd_cycles(int64_t m, int64_t n, int64_t operations, int64_t lanes, int64_t stages, int64_t pcus);
double leat_chip_work_cycles(const leat_chip_work_t *work, int64_t pcus);
// The fewest PCUs with which a product takes no more than `interval` cycles; 0: none do.
int64_t leat_chip_product_shares(const leat_chip_work_t *work, double interval, leat_chip_shares_t *out_shares);

// --- stages ----------------------------------------------------------------------------------------------------------

// What of a body passes through the chip at a time: so many rows, and so many places of each of its axes.
typedef struct leat_chip_tile_s {
  int64_t rows;
  int64_t axes[PEF_MAX_AXES];
} leat_chip_tile_t;

enum { LEAT_CHIP_WORKS = 6 };

typedef struct leat_chip_cost_s {
  leat_chip_work_t works[LEAT_CHIP_WORKS];  // on the same units, one after the other
  uint32_t work_count;
  uint32_t m_operand, n_operand;  // of a product: what runs along its sides, others are read once; LEAT_CHIP_NONE
  uint32_t table;                 // operand that is looked up; LEAT_CHIP_NONE
  double looked_up;               // bytes of it, of a tile
  bool is_spread;                 // operands without rows are divided among tiles: updates find their tile
  bool is_updated;                // the table is read and written
  bool can_ride;                  // elements of one result after the other, as the tail of a PCU takes them
  bool is_streamed;               // elements come and go in order: what comes from memory needs no buffer
} leat_chip_cost_t;

// What a kind of stage is mapped to.
typedef struct leat_chip_cost_row_s {
  uint32_t way;
  const char *source;
  leat_confidence_t confidence;
} leat_chip_cost_row_t;
const leat_chip_cost_row_t *leat_chip_cost_row(uint32_t kind);

// The cost of a stage of a valid file that is not idle.
void leat_chip_cost_of(const leat_chip_t *chip, const leat_pef_t *pef, const pef_body_t *body, const pef_stage_t *stage,
                       const leat_chip_tile_t *tile, leat_chip_cost_t *out_cost);
double leat_chip_cost_cycles(const leat_chip_cost_t *cost, int64_t pcus);

// Extent of a dim of an operand, and elements that it touches, in a tile.
int64_t leat_chip_extent(const leat_pef_t *pef, const pef_body_t *body, const pef_operand_t *operand, uint32_t dim,
                         const leat_chip_tile_t *tile);
double leat_chip_tile_elements(const leat_pef_t *pef, const pef_body_t *body, const pef_stage_t *stage, uint32_t index,
                               const leat_chip_tile_t *tile);

#endif
