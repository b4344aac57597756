// SPDX-License-Identifier: Apache-2.0
// The fabric of a chip as place and route walk it: cells with their places, and a graph of nodes and links. What is
// where follows from the record that the file has, too (pef_format.h); of the tiles, only those that are used.
#ifndef LEAT_CHIP_GRID_H_
#define LEAT_CHIP_GRID_H_

#include "arch/chip.h"
#include "pef/pef_chip.h"

// Twice the columns and rows of switches: so that cells, between switches, have whole numbers.
typedef struct leat_chip_point_s {
  int32_t x, y;
} leat_chip_point_t;

typedef struct leat_chip_link_s {
  uint32_t from, to;
  uint32_t capacity;  // in 1024ths of a vector a cycle: as bandwidths of nets
} leat_chip_link_t;

typedef struct leat_chip_cell_s {
  leat_chip_point_t at;
  uint16_t x, y;  // in cells, over the borders of tiles
  uint32_t type;  // PEF_CHIP_TYPE_COUNT: it is empty
} leat_chip_cell_t;

typedef struct leat_chip_grid_s {
  pef_chip_t chip;
  uint32_t node_count, link_count;  // nodes of the whole chip, links between those of tiles that are used
  leat_chip_link_t *links;          // by `from`, ascending
  uint32_t *first_link;             // of a node: the first of its links; node_count + 1 of them
  leat_chip_point_t *nodes;         // where they are
  leat_chip_cell_t *cells;          // of PCUs, PMUs and none, in the tiles that are used
  uint32_t width, height;           // in cells, over the borders of tiles
  uint32_t *cell_at;                // of y * width + x: its PCU or PMU cell; PEF_NONE: that of a tile that is not used
} leat_chip_grid_t;

// Tiles in a column of a chip that has so many: as square as it gets.
uint32_t leat_chip_stack_of(uint32_t tiles);
// What the file says of a chip of which it uses so many tiles.
pef_chip_t leat_chip_record_of(const leat_chip_t *chip, uint32_t tiles_used);
// Ports of AGCUs in the tiles that are used.
static inline uint32_t leat_chip_ports(const pef_chip_t *chip) {
  return (uint32_t)chip->tiles_used * chip->agcus * chip->ports;
}
// LEAT_CORRUPT for a record that is none, LEAT_OUT_OF_MEMORY.
leat_status_t leat_chip_grid_make(const pef_chip_t *chip, leat_chip_grid_t *out_grid) LEAT_MUST_USE;
void leat_chip_grid_deinit(leat_chip_grid_t *grid);

leat_chip_point_t leat_chip_cell_point(const leat_chip_grid_t *grid, uint32_t type, uint32_t cell);
// "tile 2, switch (3, 7)", "tile 0, AGCU 1".
void leat_chip_put_node(const pef_chip_t *chip, uint32_t node, leat_text_t *out);

#endif
