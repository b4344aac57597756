// SPDX-License-Identifier: Apache-2.0
// Chips and allocations for tests of place and route.
#ifndef LEAT_TESTS_NET_MAKER_H_
#define LEAT_TESTS_NET_MAKER_H_

#include <stdint.h>

#include "chip/allocate.h"
#include "pef/pef_format.h"

// As docs/chips.md has them; the tiny one has a tile of 4 x 6 cells.
extern const pef_chip_t chip_sn10, chip_sn30, chip_tiny;

enum { CHIP_STAGES_MAX = 64, CHIP_EDGES_MAX = 160 };

typedef struct chip_section_s {
  leat_chip_allocation_t allocation;
  leat_chip_stage_t stages[CHIP_STAGES_MAX];
  leat_chip_edge_t edges[CHIP_EDGES_MAX];
} chip_section_t;

// Below `limit`, from a state that it steps on.
uint32_t chip_below(uint64_t *random, uint32_t limit);

// A pipeline that takes all PCUs and PMUs of the tiles that are used: products, whose weights come from DDR, and
// elementwise stages between them, some with a skip edge from further back. Everything follows from the seed.
void chip_fill_section(const pef_chip_t *chip, uint32_t stage_count, uint64_t seed, chip_section_t *out);

#endif
