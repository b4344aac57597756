// SPDX-License-Identifier: Apache-2.0
// See grid.h.
#include "chip/grid.h"

#include <stdio.h>

#include "pef/pef_read.h"

enum { NEIGHBOURS = 4 };  // of a switch

uint32_t leat_chip_stack_of(uint32_t tiles) {
  uint32_t stack = 1;
  for (uint32_t i = 1; i * i <= tiles; ++i) {
    if (tiles % i == 0) stack = i;
  }
  return stack;
}

// Records hold no more than fits (arch/chip.def).
pef_chip_t leat_chip_record_of(const leat_chip_t *chip, uint32_t tiles_used) {
  pef_chip_t out = {.tiles = (uint16_t)chip->tiles,
                    .tiles_used = (uint16_t)tiles_used,
                    .stack = (uint16_t)leat_chip_stack_of((uint32_t)chip->tiles),
                    .rows = (uint16_t)chip->rows,
                    .columns = (uint16_t)chip->columns,
                    .agcus = (uint16_t)chip->agcus,
                    .ports = (uint16_t)chip->agcu_ports,
                    .banks = (uint16_t)chip->banks,
                    .pcus = (uint32_t)chip->pcus,
                    .pmus = (uint32_t)chip->pmus,
                    .vector_links = (uint16_t)chip->vector_links,
                    .border_links = (uint16_t)chip->border_links,
                    .hop = (uint16_t)chip->hop_cycles,
                    .pmu_bytes = chip->pmu_bytes};
  _Static_assert(sizeof out.name == sizeof chip->name, "names are as long as those of records");
  snprintf(out.name, sizeof out.name, "%s", chip->name);
  return out;
}

// The switch beside one, in the direction (dx, dy); PEF_NONE: it is at the end of the chip.
static uint32_t beside(const pef_chip_t *chip, uint32_t node, int32_t dx, int32_t dy) {
  const leat_pef_chip_place_t at = leat_pef_chip_place(chip, node);
  const uint32_t pitch_x = chip->columns + 1u, pitch_y = chip->rows + 1u;
  const int64_t x = (int64_t)at.x + dx, y = (int64_t)at.y + dy;
  if (x < 0 || y < 0 || x >= (int64_t)pitch_x * (chip->tiles / chip->stack) || y >= (int64_t)pitch_y * chip->stack) {
    return PEF_NONE;
  }
  const uint32_t tile = (uint32_t)(x / pitch_x) * chip->stack + (uint32_t)(y / pitch_y);
  return leat_pef_chip_switch(chip, tile, (uint32_t)(y % pitch_y), (uint32_t)(x % pitch_x));
}

static void add_link(leat_chip_grid_t *grid, uint32_t from, uint32_t to) {
  const pef_chip_t *chip = &grid->chip;
  if (to == PEF_NONE || leat_pef_chip_node_tile(chip, to) >= chip->tiles_used) return;
  const uint32_t capacity = leat_pef_chip_links(chip, from, to) * PEF_CHIP_ONE_VECTOR;
  grid->links[grid->link_count++] = (leat_chip_link_t){from, to, capacity};
}

static void link_switch(leat_chip_grid_t *grid, uint32_t node) {
  static const int32_t steps[NEIGHBOURS][2] = {{1, 0}, {0, 1}, {-1, 0}, {0, -1}};
  for (uint32_t i = 0; i < NEIGHBOURS; ++i) {
    add_link(grid, node, beside(&grid->chip, node, steps[i][0], steps[i][1]));
  }
  const uint32_t switches = leat_pef_chip_switches(&grid->chip);
  const uint32_t agcus = grid->chip.agcus, first = leat_pef_chip_node_tile(&grid->chip, node) * agcus;
  for (uint32_t k = first; k < first + agcus; ++k) {
    if (leat_pef_chip_agcu_switch(&grid->chip, k) == node) add_link(grid, node, switches + k);
  }
}

static void link_nodes(leat_chip_grid_t *grid) {
  const uint32_t switches = leat_pef_chip_switches(&grid->chip);
  for (uint32_t node = 0; node < grid->node_count; ++node) {
    const leat_pef_chip_place_t at = leat_pef_chip_place(&grid->chip, node);
    grid->nodes[node] = (leat_chip_point_t){2 * (int32_t)at.x, 2 * (int32_t)at.y};
    grid->first_link[node] = grid->link_count;
    if (leat_pef_chip_node_tile(&grid->chip, node) >= grid->chip.tiles_used) continue;
    if (node < switches) {
      link_switch(grid, node);
    } else {
      add_link(grid, node, leat_pef_chip_agcu_switch(&grid->chip, node - switches));
    }
  }
  grid->first_link[grid->node_count] = grid->link_count;
}

static void find_cells(leat_chip_grid_t *grid) {
  const pef_chip_t *chip = &grid->chip;
  const uint32_t cells = leat_pef_chip_tile_cells(chip);
  for (uint32_t i = 0; i < grid->width * grid->height; ++i) grid->cell_at[i] = PEF_NONE;
  for (uint32_t cell = 0; cell < chip->tiles_used * cells; ++cell) {
    const uint32_t tile = cell / cells, in_tile = cell % cells;
    const uint32_t x = tile / chip->stack * chip->columns + in_tile % chip->columns;
    const uint32_t y = tile % chip->stack * chip->rows + in_tile / chip->columns;
    grid->cell_at[y * grid->width + x] = cell;
    const uint32_t type = leat_pef_chip_type_of(chip, cell);
    const leat_chip_point_t at = leat_chip_cell_point(grid, PEF_CHIP_PCU, cell);
    grid->cells[cell] = (leat_chip_cell_t){at, (uint16_t)x, (uint16_t)y, type};
  }
}

leat_status_t leat_chip_grid_make(const pef_chip_t *chip, leat_chip_grid_t *out) {
  *out = (leat_chip_grid_t){.chip = *chip};
  LEAT_TRY(leat_pef_check_chip_record(chip));
  out->node_count = leat_pef_chip_nodes(chip);
  out->width = chip->tiles / chip->stack * chip->columns;
  out->height = (uint32_t)chip->stack * chip->rows;
  const uint32_t agcus = (uint32_t)chip->tiles * chip->agcus;
  const size_t links_max = (size_t)leat_pef_chip_switches(chip) * NEIGHBOURS + 2 * (size_t)agcus;
  out->links = leat_alloc_zero(links_max, sizeof *out->links);
  out->first_link = leat_alloc_zero(out->node_count + 1u, sizeof *out->first_link);
  out->nodes = leat_alloc_zero(out->node_count, sizeof *out->nodes);
  out->cell_at = leat_alloc_zero((size_t)out->width * out->height, sizeof *out->cell_at);
  out->cells = leat_alloc_zero((size_t)chip->tiles_used * leat_pef_chip_tile_cells(chip), sizeof *out->cells);
  if (out->cells == NULL || out->links == NULL || out->first_link == NULL || out->nodes == NULL ||
      out->cell_at == NULL) {
    leat_chip_grid_deinit(out);
    return leat_out_of_memory();
  }
  link_nodes(out);
  find_cells(out);
  return NULL;
}

void leat_chip_grid_deinit(leat_chip_grid_t *grid) {
  leat_free(grid->links);
  leat_free(grid->first_link);
  leat_free(grid->nodes);
  leat_free(grid->cell_at);
  leat_free(grid->cells);
  memset(grid, 0, sizeof *grid);
}

leat_chip_point_t leat_chip_cell_point(const leat_chip_grid_t *grid, uint32_t type, uint32_t cell) {
  uint32_t nodes[PEF_CHIP_CORNERS];
  (void)leat_pef_chip_touches(&grid->chip, type, cell, nodes);
  const leat_chip_point_t corner = grid->nodes[nodes[0]];
  return type == PEF_CHIP_AG ? corner : (leat_chip_point_t){corner.x + 1, corner.y + 1};
}

void leat_chip_put_node(const pef_chip_t *chip, uint32_t node, leat_text_t *out) {
  const uint32_t tile = leat_pef_chip_node_tile(chip, node), switches = leat_pef_chip_switches(chip);
  if (node >= switches) {
    leat_text_put(out, "tile %u, AGCU %u", tile, (node - switches) % chip->agcus);
    return;
  }
  const uint32_t in_tile = node % leat_pef_chip_tile_switches(chip);
  leat_text_put(out, "tile %u, switch (%u, %u)", tile, in_tile / (chip->columns + 1u), in_tile % (chip->columns + 1u));
}
