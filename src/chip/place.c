// SPDX-License-Identifier: Apache-2.0
// See place.h: what fits, strips, banks.
#include "chip/place.h"

#include "chip/anneal.h"

static const char *const type_names[PEF_CHIP_TYPE_COUNT] = {"PCU", "PMU", "AG"};

const char *leat_chip_type_name(uint32_t type) { return type < PEF_CHIP_TYPE_COUNT ? type_names[type] : "?"; }

// Cells of a type in the tiles that are used.
static uint32_t count_cells(const pef_chip_t *chip, uint32_t type) {
  const uint32_t of_tile = type == PEF_CHIP_PCU   ? chip->pcus
                           : type == PEF_CHIP_PMU ? chip->pmus
                                                  : (uint32_t)chip->agcus * chip->ports;
  return chip->tiles_used * of_tile;
}

static leat_status_t check_fit(const leat_chip_grid_t *grid, const leat_chip_netlist_t *netlist) {
  for (uint32_t type = 0; type < PEF_CHIP_TYPE_COUNT; ++type) {
    const uint32_t needed = leat_chip_count_units(netlist, type), there = count_cells(&grid->chip, type);
    if (needed > there) {
      LEAT_FAIL(LEAT_UNSUPPORTED, "it takes %u %ss, %u tiles of %s have %u: %u are short", needed,
                leat_chip_type_name(type), grid->chip.tiles_used, grid->chip.name, there, needed - there);
    }
  }
  return NULL;
}

// --- banks ----------------------------------------------------------------------------------------------------------

// Copies that lie in one set of banks.
static uint32_t copies_in(uint32_t copies, uint32_t set) {
  const uint32_t last = copies > 1 && copies % 2 == 1;
  if (set == 2) return last;
  return copies == 1 ? set == 0 : (copies - last) / 2;
}

static leat_status_t assign_banks(const pef_chip_t *chip, const leat_chip_unit_t *unit, leat_chip_banks_t *out) {
  const uint64_t bank_bytes = chip->pmu_bytes / chip->banks;
  uint64_t next = 0;
  for (uint32_t set = 0; set < LEAT_CHIP_COPIES; ++set) {
    const uint64_t copies = copies_in(unit->copies, set);
    const bool fits = bank_bytes != 0 && unit->bytes <= chip->pmu_bytes && copies <= PEF_CHIP_ONE_VECTOR;
    const uint64_t count = fits ? (copies * unit->bytes + bank_bytes - 1) / bank_bytes : chip->banks + UINT64_C(1);
    if (next + count > chip->banks) {
      LEAT_FAIL(LEAT_UNSUPPORTED, "a PMU of edge %u holds %u copies of %llu bytes, it has %u banks of %llu", unit->of,
                unit->copies, (unsigned long long)unit->bytes, chip->banks, (unsigned long long)bank_bytes);
    }
    out->of[set] = (uint32_t)(((UINT64_C(1) << count) - 1) << next);
    next += count;
  }
  return NULL;
}

static leat_status_t assign_all_banks(const leat_chip_grid_t *grid, const leat_chip_netlist_t *netlist,
                                      leat_chip_banks_t *banks) {
  for (uint32_t u = 0; u < netlist->units.count; ++u) {
    const leat_chip_unit_t *unit = &netlist->units.data[u];
    if (unit->type == PEF_CHIP_PMU) LEAT_TRY(assign_banks(&grid->chip, unit, &banks[u]));
  }
  return NULL;
}

// --- strips ---------------------------------------------------------------------------------------------------------

// Cells of the tiles that are used, column by column, up one and down the next: rows of tiles to the right and to the
// left in turn, so that what follows each other lies beside each other.
typedef struct snake_s {
  uint32_t *cells;
  uint32_t count;
  uint32_t next[2];  // of PCUs, of PMUs: before it all is taken
  uint32_t left[2];  // cells of the type from there on
} snake_t;

static void add_column(const leat_chip_grid_t *grid, uint32_t tile_row, uint32_t x, bool up, snake_t *snake) {
  const uint32_t rows = grid->chip.rows;
  for (uint32_t i = 0; i < rows; ++i) {
    const uint32_t y = tile_row * rows + (up ? rows - 1 - i : i);
    const uint32_t cell = grid->cell_at[y * grid->width + x];
    if (cell != PEF_NONE) snake->cells[snake->count++] = cell;
  }
}

static void fill_snake(const leat_chip_grid_t *grid, snake_t *snake) {
  for (uint32_t row = 0; row < grid->chip.stack; ++row) {
    for (uint32_t i = 0; i < grid->width; ++i) {
      const uint32_t x = row % 2 == 0 ? i : grid->width - 1 - i;
      add_column(grid, row, x, i % 2 == 1, snake);
    }
  }
  for (uint32_t type = 0; type < 2; ++type) snake->left[type] = count_cells(&grid->chip, type);
}

static uint32_t take_cell(const leat_chip_grid_t *grid, uint32_t type, snake_t *snake) {
  while (leat_pef_chip_type_of(&grid->chip, snake->cells[snake->next[type]]) != type) ++snake->next[type];
  --snake->left[type];
  return snake->cells[snake->next[type]++];
}

// Both types go on from where the further one is, as long as enough cells of the other one are left behind it.
static void catch_up(const leat_chip_grid_t *grid, const uint32_t needed[2], snake_t *snake) {
  const uint32_t behind = snake->next[0] < snake->next[1] ? 0 : 1;
  while (snake->next[behind] < snake->next[1 - behind]) {
    const bool is_one = leat_pef_chip_type_of(&grid->chip, snake->cells[snake->next[behind]]) == behind;
    if (is_one && snake->left[behind] == needed[behind]) return;
    snake->left[behind] -= is_one;
    ++snake->next[behind];
  }
}

static void place_strips(const leat_chip_grid_t *grid, const leat_chip_netlist_t *netlist, snake_t *snake,
                         uint32_t *cells) {
  uint32_t needed[2] = {leat_chip_count_units(netlist, PEF_CHIP_PCU), leat_chip_count_units(netlist, PEF_CHIP_PMU)};
  const leat_chip_unit_t *units = netlist->units.data;
  for (uint32_t u = 0; u < netlist->units.count; ++u) {
    if (u > 0 && units[u].strip != units[u - 1].strip) catch_up(grid, needed, snake);
    if (units[u].type == PEF_CHIP_AG) continue;
    cells[u] = take_cell(grid, units[u].type, snake);
    --needed[units[u].type];
  }
}

// --- ports of AGCUs: near what they feed, where the AGCU still has bandwidth ----------------------------------------

typedef struct port_s {
  int64_t x, y, pins;     // sums over what hangs on it
  uint64_t bandwidth[2];  // that it sends, that it takes
} port_t;

static void add_pin(const leat_chip_grid_t *grid, const leat_chip_netlist_t *netlist, const uint32_t *cells,
                    uint32_t other, port_t *port) {
  const uint32_t type = netlist->units.data[other].type;
  if (type == PEF_CHIP_AG) return;
  const leat_chip_point_t at = leat_chip_cell_point(grid, type, cells[other]);
  port->x += at.x;
  port->y += at.y;
  ++port->pins;
}

static void find_ports(const leat_chip_grid_t *grid, const leat_chip_netlist_t *netlist, const uint32_t *cells,
                       port_t *ports) {
  for (uint32_t n = 0; n < netlist->nets.count; ++n) {
    const leat_chip_net_t *net = &netlist->nets.data[n];
    const bool sends = netlist->units.data[net->source].type == PEF_CHIP_AG;
    if (sends) ports[net->source].bandwidth[0] += net->bandwidth;
    for (uint32_t i = 0; i < net->sink_count; ++i) {
      const uint32_t sink = netlist->sinks.data[net->sink_first + i];
      if (sends) add_pin(grid, netlist, cells, sink, &ports[net->source]);
      if (netlist->units.data[sink].type != PEF_CHIP_AG) continue;
      ports[sink].bandwidth[1] += net->bandwidth;
      add_pin(grid, netlist, cells, net->source, &ports[sink]);
    }
  }
}

typedef struct agcu_s {
  uint64_t bandwidth[2];
  uint32_t taken;
} agcu_t;

// Hops to it; what goes beyond its bandwidth costs as much as the way across the chip.
static int64_t cost_of(const leat_chip_grid_t *grid, uint32_t number, const agcu_t *agcu, const port_t *port) {
  const leat_chip_point_t at = leat_chip_cell_point(grid, PEF_CHIP_AG, number * grid->chip.ports);
  const int64_t pins = port->pins == 0 ? 1 : port->pins;
  const int64_t x = at.x - port->x / pins, y = at.y - port->y / pins;
  int64_t over = 0;
  for (uint32_t i = 0; i < 2; ++i) {
    const uint64_t sum = agcu->bandwidth[i] + port->bandwidth[i];
    if (sum > PEF_CHIP_ONE_VECTOR) over += (int64_t)(sum - PEF_CHIP_ONE_VECTOR);
  }
  return (x < 0 ? -x : x) + (y < 0 ? -y : y) + over * 2 * (grid->width + grid->height) / PEF_CHIP_ONE_VECTOR;
}

static uint32_t choose_agcu(const leat_chip_grid_t *grid, const agcu_t *agcus, const port_t *port) {
  uint32_t best = PEF_NONE;
  int64_t best_cost = 0;
  for (uint32_t k = 0; k < (uint32_t)grid->chip.tiles_used * grid->chip.agcus; ++k) {
    if (agcus[k].taken == grid->chip.ports) continue;
    const int64_t cost = cost_of(grid, k, &agcus[k], port);
    if (best != PEF_NONE && cost >= best_cost) continue;
    best = k;
    best_cost = cost;
  }
  return best;
}

static leat_status_t place_ports(const leat_chip_grid_t *grid, const leat_chip_netlist_t *netlist, uint32_t *cells) {
  port_t *ports = leat_alloc_zero(netlist->units.count + 1u, sizeof *ports);
  agcu_t *agcus = leat_alloc_zero((size_t)grid->chip.tiles * grid->chip.agcus, sizeof *agcus);
  const bool has_room = ports != NULL && agcus != NULL;
  if (has_room) find_ports(grid, netlist, cells, ports);
  for (uint32_t u = 0; has_room && u < netlist->units.count; ++u) {
    if (netlist->units.data[u].type != PEF_CHIP_AG) continue;
    const uint32_t k = choose_agcu(grid, agcus, &ports[u]);
    cells[u] = k * grid->chip.ports + agcus[k].taken++;
    for (uint32_t i = 0; i < 2; ++i) agcus[k].bandwidth[i] += ports[u].bandwidth[i];
  }
  leat_free(ports);
  leat_free(agcus);
  return has_room ? NULL : leat_out_of_memory();
}

// --- the whole ------------------------------------------------------------------------------------------------------

static leat_status_t place_units(const leat_chip_grid_t *grid, const leat_chip_netlist_t *netlist, uint32_t *cells) {
  snake_t snake = {.cells = leat_alloc_zero((size_t)grid->width * grid->height, sizeof *snake.cells)};
  if (snake.cells == NULL) return leat_out_of_memory();
  fill_snake(grid, &snake);
  place_strips(grid, netlist, &snake, cells);
  leat_free(snake.cells);
  return place_ports(grid, netlist, cells);
}

static leat_status_t place_all(const leat_chip_grid_t *grid, const leat_chip_netlist_t *netlist,
                               leat_chip_effort_t effort, leat_chip_placement_t *out) {
  LEAT_TRY(check_fit(grid, netlist));
  LEAT_TRY(assign_all_banks(grid, netlist, out->banks));
  LEAT_TRY(place_units(grid, netlist, out->cells));
  if (effort.moves != 0) LEAT_TRY(leat_chip_anneal(grid, netlist, effort, out->cells));
  return leat_chip_find_wire(grid, netlist, out->cells, &out->wire);
}

leat_status_t leat_chip_place(const leat_chip_grid_t *grid, const leat_chip_netlist_t *netlist,
                              leat_chip_effort_t effort, leat_chip_placement_t *out) {
  *out = (leat_chip_placement_t){.cells = leat_alloc_zero(netlist->units.count + 1u, sizeof *out->cells),
                                 .banks = leat_alloc_zero(netlist->units.count + 1u, sizeof *out->banks)};
  leat_status_t status =
      out->cells != NULL && out->banks != NULL ? place_all(grid, netlist, effort, out) : leat_out_of_memory();
  if (status != NULL) leat_chip_placement_deinit(out);
  return status;
}

void leat_chip_placement_deinit(leat_chip_placement_t *placement) {
  leat_free(placement->cells);
  leat_free(placement->banks);
  memset(placement, 0, sizeof *placement);
}
