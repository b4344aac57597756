// SPDX-License-Identifier: Apache-2.0
// Which units of a chip a body of a PEF gets: rows of a tile, PCUs of its stages, PMUs of what flows between them. The
// interval, cycles from one tile of rows to the next, is as short as units, buffers and memory allow.
#ifndef LEAT_CHIP_ALLOCATE_H_
#define LEAT_CHIP_ALLOCATE_H_

#include "arch/chip.h"
#include "pef/pef_read.h"

#define LEAT_CHIP_MEMORY UINT32_MAX  // an end of an edge: DDR

typedef struct leat_chip_stage_s {
  uint32_t stage;  // index in the PEF
  uint32_t pcus, along_m, along_n;
  double cycles;                   // of one tile
  double vectors_in, vectors_out;  // of 64 bytes, one tile; in: as often as a product reads it
} leat_chip_stage_t;

typedef struct leat_chip_edge_s {
  uint32_t from, to;  // indices in stages; LEAT_CHIP_MEMORY: DDR
  uint32_t pmus;
  uint32_t depth;  // buffers: 2 or more; 1: resident, loaded once before the first tile; 0: DDR stream
  uint64_t bytes;  // of one tile
  double vectors;  // of one tile
} leat_chip_edge_t;

typedef struct leat_chip_allocation_s {
  uint32_t body, tiles_used;
  int64_t tile_rows, tile_count;
  double interval;  // cycles between tiles
  uint32_t stage_count, edge_count;
  leat_chip_stage_t *stages;  // as the pipeline goes: an edge leads to a later one
  leat_chip_edge_t *edges;    // by `to`, memory last; of a product's what runs along m first, then along n
  uint64_t resident_bytes;    // of tensors that are loaded before the first tile

  uint32_t parts;                     // groups of tiles: each takes a part of the rows, all at a time
  uint32_t pcus, pmus;                // of a part
  uint32_t levels;                    // stages on the longest way through the pipeline
  double compute;                     // cycles of the slowest stage
  double memory_bytes, random_bytes;  // that a tile loads and stores in streams, and here and there
  uint32_t *node_of;                  // stage of the body: in whose units it is, an index in stages; UINT32_MAX: idle
  int64_t axes[PEF_MAX_AXES];         // places of the body's axes that a tile has
} leat_chip_allocation_t;

// Allocates for `tiles` tiles of the chip, whose pipelines spread over chip->tiles_together of them at most. Fails with
// LEAT_UNSUPPORTED, which names the section, the unit and how many are short; LEAT_OUT_OF_MEMORY.
leat_status_t leat_chip_allocate(const leat_chip_t *chip, const leat_pef_t *pef, uint32_t body, uint32_t tiles,
                                 leat_chip_allocation_t *out_allocation) LEAT_MUST_USE;
void leat_chip_allocation_deinit(leat_chip_allocation_t *allocation);

// Cycles that memory takes for what a tile of rows of all parts loads and stores.
double leat_chip_memory_cycles(const leat_chip_t *chip, const leat_chip_allocation_t *allocation);

#endif
