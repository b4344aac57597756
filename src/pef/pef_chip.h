// SPDX-License-Identifier: Apache-2.0
// Where things are on a chip, as pef_format.h numbers them. For a chip that leat_pef_check_chip_record has passed.
#ifndef LEAT_PEF_PEF_CHIP_H_
#define LEAT_PEF_PEF_CHIP_H_

#include <stdbool.h>

#include "pef/pef_format.h"

static inline uint32_t leat_pef_chip_tile_cells(const pef_chip_t *chip) { return (uint32_t)chip->rows * chip->columns; }
static inline uint32_t leat_pef_chip_tile_switches(const pef_chip_t *chip) {
  return (chip->rows + 1u) * (chip->columns + 1u);
}
static inline uint32_t leat_pef_chip_switches(const pef_chip_t *chip) {
  return chip->tiles * leat_pef_chip_tile_switches(chip);
}
static inline uint32_t leat_pef_chip_nodes(const pef_chip_t *chip) {
  return leat_pef_chip_switches(chip) + (uint32_t)chip->tiles * chip->agcus;
}
// Cells that units of a type are numbered by: PCUs and PMUs share numbers, and some are of neither.
static inline uint32_t leat_pef_chip_cells(const pef_chip_t *chip, uint32_t type) {
  return type == PEF_CHIP_AG ? (uint32_t)chip->tiles * chip->agcus * chip->ports
                             : chip->tiles * leat_pef_chip_tile_cells(chip);
}

// PEF_CHIP_PCU, PEF_CHIP_PMU, or PEF_CHIP_TYPE_COUNT of a cell that is empty.
static inline uint32_t leat_pef_chip_type_of(const pef_chip_t *chip, uint32_t cell) {
  const uint32_t n = leat_pef_chip_tile_cells(chip), in_tile = cell % n;
  const uint32_t r = in_tile / chip->columns, c = in_tile % chip->columns;
  const uint64_t i = r * chip->columns + (r + c) % chip->columns, p = i * chip->pcus / n;
  if ((i + 1) * chip->pcus / n > p) return PEF_CHIP_PCU;
  const uint64_t j = i - p, m = n - chip->pcus;
  return (j + 1) * chip->pmus / m > j * chip->pmus / m ? PEF_CHIP_PMU : PEF_CHIP_TYPE_COUNT;
}

static inline uint32_t leat_pef_chip_tile_of(const pef_chip_t *chip, uint32_t type, uint32_t cell) {
  return cell / (type == PEF_CHIP_AG ? (uint32_t)chip->agcus * chip->ports : leat_pef_chip_tile_cells(chip));
}

static inline uint32_t leat_pef_chip_switch(const pef_chip_t *chip, uint32_t tile, uint32_t row, uint32_t column) {
  return tile * leat_pef_chip_tile_switches(chip) + row * (chip->columns + 1u) + column;
}

// The switch that AGCU `agcu`, counted over all tiles, hangs on.
static inline uint32_t leat_pef_chip_agcu_switch(const pef_chip_t *chip, uint32_t agcu) {
  const uint32_t tile = agcu / chip->agcus, k = agcu % chip->agcus, side = (chip->agcus + 1u) / 2;
  const uint32_t row = (2 * (k / 2) + 1) * (chip->rows + 1u) / (2 * side);
  return leat_pef_chip_switch(chip, tile, row, k % 2 == 0 ? 0 : chip->columns);
}

// Nodes that a unit of a type on a cell touches; their number.
static inline uint32_t leat_pef_chip_touches(const pef_chip_t *chip, uint32_t type, uint32_t cell,
                                             uint32_t out_nodes[PEF_CHIP_CORNERS]) {
  if (type == PEF_CHIP_AG) {
    out_nodes[0] = leat_pef_chip_switches(chip) + cell / chip->ports;
    return 1;
  }
  const uint32_t n = leat_pef_chip_tile_cells(chip), in_tile = cell % n;
  const uint32_t first = leat_pef_chip_switch(chip, cell / n, in_tile / chip->columns, in_tile % chip->columns);
  out_nodes[0] = first;
  out_nodes[1] = first + 1;
  out_nodes[2] = first + chip->columns + 1;
  out_nodes[3] = first + chip->columns + 2;
  return PEF_CHIP_CORNERS;
}

typedef struct leat_pef_chip_place_s {
  uint32_t x, y;  // in columns and rows of switches of the whole chip
} leat_pef_chip_place_t;

// Where a node is; an AGCU is where its switch is.
static inline leat_pef_chip_place_t leat_pef_chip_place(const pef_chip_t *chip, uint32_t node) {
  const uint32_t switches = leat_pef_chip_switches(chip), n = leat_pef_chip_tile_switches(chip);
  if (node >= switches) node = leat_pef_chip_agcu_switch(chip, node - switches);
  const uint32_t tile = node / n, in_tile = node % n;
  return (leat_pef_chip_place_t){tile / chip->stack * (chip->columns + 1u) + in_tile % (chip->columns + 1u),
                                 tile % chip->stack * (chip->rows + 1u) + in_tile / (chip->columns + 1u)};
}

static inline uint32_t leat_pef_chip_node_tile(const pef_chip_t *chip, uint32_t node) {
  const uint32_t switches = leat_pef_chip_switches(chip);
  return node < switches ? node / leat_pef_chip_tile_switches(chip) : (node - switches) / chip->agcus;
}

// Links from one node to another; 0: none.
static inline uint32_t leat_pef_chip_links(const pef_chip_t *chip, uint32_t from, uint32_t to) {
  const uint32_t switches = leat_pef_chip_switches(chip);
  if (from >= switches) return to < switches && leat_pef_chip_agcu_switch(chip, from - switches) == to;
  if (to >= switches) return leat_pef_chip_agcu_switch(chip, to - switches) == from;
  const leat_pef_chip_place_t a = leat_pef_chip_place(chip, from), b = leat_pef_chip_place(chip, to);
  const uint32_t dx = a.x < b.x ? b.x - a.x : a.x - b.x, dy = a.y < b.y ? b.y - a.y : a.y - b.y;
  if (dx + dy != 1) return 0;
  const uint32_t n = leat_pef_chip_tile_switches(chip);
  return from / n == to / n ? chip->vector_links : chip->border_links;
}

#endif
