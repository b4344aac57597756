// SPDX-License-Identifier: Apache-2.0
// See anneal.h. The cost of a net is its bandwidth times half of what is around its units; ports pay for what their
// AGCU is asked beyond its bandwidth.
#include "chip/anneal.h"

enum { UNITS_OF_TEMPERATURE = 256, TEMPERATURES_MAX = 400, NEAR = 2, FEW = 200, ONE = 256 };  // of a window, too

typedef struct box_s {
  int32_t x0, x1, y0, y1;
} box_t;

typedef struct annealer_s {
  const leat_chip_grid_t *grid;
  const leat_chip_netlist_t *netlist;
  uint32_t *cells;
  leat_chip_point_t *at;       // of units
  uint32_t *unit_on[2];        // of cells of PCUs and PMUs, of AGs; PEF_NONE: free
  uint32_t *first_net, *nets;  // of units: those that it is an end of
  uint32_t *seen;              // of a net: the move that looked at it
  uint64_t *cost, *new_cost;   // of nets
  uint64_t (*agcus)[2];        // bandwidth of an AGCU: out of it, into it
  uint64_t (*ports)[2];        // of units that are AGs
  uint32_t touched_count, *touched, move;
  uint64_t random;
} annealer_t;

// xorshift64*
static uint32_t draw(annealer_t *annealer) {
  uint64_t x = annealer->random;
  x ^= x >> 12;
  x ^= x << 25;
  x ^= x >> 27;
  annealer->random = x;
  return (uint32_t)((x * UINT64_C(2685821657736338717)) >> 32);
}

static uint32_t draw_below(annealer_t *annealer, uint32_t limit) {
  return (uint32_t)(((uint64_t)draw(annealer) * limit) >> 32);
}

// -ln of a number that is uniform in (0, 1), in 65536ths: from the place of its first bit and a parabola through what
// follows, 0.3 % off at most.
static int64_t draw_exponential(annealer_t *annealer) {
  const uint32_t bits = draw(annealer) | 1;
  const uint32_t top = 31u - (uint32_t)__builtin_clz(bits);
  const int64_t rest = (int64_t)(((uint64_t)bits << (32 - top)) & UINT32_MAX) >> 16;
  const int64_t log2 = ((int64_t)top << 16) + rest + ((22550 * rest >> 16) * (65536 - rest) >> 16);
  return ((INT64_C(32) << 16) - log2) * 45426 >> 16;
}

// --- nets -----------------------------------------------------------------------------------------------------------

static void extend(box_t *box, leat_chip_point_t at) {
  if (at.x < box->x0) box->x0 = at.x;
  if (at.x > box->x1) box->x1 = at.x;
  if (at.y < box->y0) box->y0 = at.y;
  if (at.y > box->y1) box->y1 = at.y;
}

static uint64_t cost_of_net(const leat_chip_netlist_t *netlist, const leat_chip_point_t *at, uint32_t index) {
  const leat_chip_net_t *net = &netlist->nets.data[index];
  const leat_chip_point_t source = at[net->source];
  box_t box = {source.x, source.x, source.y, source.y};
  const uint32_t *sinks = netlist->sinks.data + net->sink_first;
  for (uint32_t i = 0; i < net->sink_count; ++i) extend(&box, at[sinks[i]]);
  return (uint64_t)net->bandwidth * (uint32_t)(box.x1 - box.x0 + box.y1 - box.y0);
}

leat_status_t leat_chip_find_wire(const leat_chip_grid_t *grid, const leat_chip_netlist_t *netlist,
                                  const uint32_t *cells, uint64_t *out_wire) {
  leat_chip_point_t *at = leat_alloc_zero(netlist->units.count + 1u, sizeof *at);
  if (at == NULL) return leat_out_of_memory();
  for (uint32_t u = 0; u < netlist->units.count; ++u) {
    at[u] = leat_chip_cell_point(grid, netlist->units.data[u].type, cells[u]);
  }
  uint64_t sum = 0;
  for (uint32_t n = 0; n < netlist->nets.count; ++n) sum += cost_of_net(netlist, at, n);
  leat_free(at);
  *out_wire = sum / 2;  // points count halves of hops
  return NULL;
}

// --- moves ----------------------------------------------------------------------------------------------------------

static void look_at_nets(annealer_t *annealer, uint32_t unit) {
  if (unit == PEF_NONE) return;
  for (uint32_t i = annealer->first_net[unit]; i < annealer->first_net[unit + 1]; ++i) {
    const uint32_t net = annealer->nets[i];
    if (annealer->seen[net] == annealer->move) continue;
    annealer->seen[net] = annealer->move;
    annealer->touched[annealer->touched_count++] = net;
  }
}

static bool is_port(const annealer_t *annealer, uint32_t unit) {
  return annealer->netlist->units.data[unit].type == PEF_CHIP_AG;
}

static int64_t over(uint64_t bandwidth) {
  return bandwidth > PEF_CHIP_ONE_VECTOR ? (int64_t)(bandwidth - PEF_CHIP_ONE_VECTOR) : 0;
}

// What a port that goes from one AGCU to another costs more there, and less here.
static void move_port(annealer_t *annealer, uint32_t unit, uint32_t from, uint32_t to) {
  if (unit == PEF_NONE || !is_port(annealer, unit)) return;
  for (uint32_t i = 0; i < 2; ++i) {
    annealer->agcus[from / annealer->grid->chip.ports][i] -= annealer->ports[unit][i];
    annealer->agcus[to / annealer->grid->chip.ports][i] += annealer->ports[unit][i];
  }
}

static int64_t cost_of_agcus(const annealer_t *annealer, uint32_t unit, uint32_t a, uint32_t b) {
  if (!is_port(annealer, unit)) return 0;
  const uint32_t ports = annealer->grid->chip.ports;
  int64_t sum = 0;
  for (uint32_t i = 0; i < 2; ++i) {
    sum += over(annealer->agcus[a / ports][i]);
    if (a / ports != b / ports) sum += over(annealer->agcus[b / ports][i]);
  }
  return sum * 2 * (annealer->grid->width + annealer->grid->height);
}

static void sit(annealer_t *annealer, uint32_t unit, uint32_t type, uint32_t cell) {
  annealer->unit_on[type == PEF_CHIP_AG][cell] = unit;
  if (unit == PEF_NONE) return;
  annealer->cells[unit] = cell;
  annealer->at[unit] =
      type == PEF_CHIP_AG ? leat_chip_cell_point(annealer->grid, type, cell) : annealer->grid->cells[cell].at;
}

// The unit goes to the cell, whoever is there to the unit's.
static uint32_t exchange(annealer_t *annealer, uint32_t unit, uint32_t cell) {
  const uint32_t type = annealer->netlist->units.data[unit].type, from = annealer->cells[unit];
  const uint32_t other = annealer->unit_on[type == PEF_CHIP_AG][cell];
  move_port(annealer, unit, from, cell);
  move_port(annealer, other, cell, from);
  sit(annealer, unit, type, cell);
  sit(annealer, other, type, from);
  return other;
}

// What the cost changes by; the exchange is made.
static int64_t try_exchange(annealer_t *annealer, uint32_t unit, uint32_t cell) {
  const uint32_t from = annealer->cells[unit];
  int64_t delta = -cost_of_agcus(annealer, unit, from, cell);
  const uint32_t other = exchange(annealer, unit, cell);
  delta += cost_of_agcus(annealer, unit, from, cell);
  ++annealer->move;
  annealer->touched_count = 0;
  look_at_nets(annealer, unit);
  look_at_nets(annealer, other);
  for (uint32_t i = 0; i < annealer->touched_count; ++i) {
    const uint32_t net = annealer->touched[i];
    annealer->new_cost[i] = cost_of_net(annealer->netlist, annealer->at, net);
    delta += (int64_t)annealer->new_cost[i] - (int64_t)annealer->cost[net];
  }
  return delta;
}

static void keep(annealer_t *annealer) {
  for (uint32_t i = 0; i < annealer->touched_count; ++i) {
    annealer->cost[annealer->touched[i]] = annealer->new_cost[i];
  }
}

// A unit that some net joins with it; itself, maybe.
static uint32_t draw_partner(annealer_t *annealer, uint32_t unit) {
  const uint32_t first = annealer->first_net[unit], count = annealer->first_net[unit + 1] - first;
  if (count == 0) return unit;
  const leat_chip_net_t *net = &annealer->netlist->nets.data[annealer->nets[first + draw_below(annealer, count)]];
  const uint32_t end = draw_below(annealer, net->sink_count + 1);
  return end == net->sink_count ? net->source : annealer->netlist->sinks.data[net->sink_first + end];
}

// The cell that is `dx`, `dy` away from a unit's, or one to the right of it, if that is of the type.
static uint32_t find_cell(const annealer_t *annealer, uint32_t type, uint32_t from, int32_t dx, int32_t dy) {
  const leat_chip_grid_t *grid = annealer->grid;
  const int32_t x = grid->cells[from].x + dx, y = grid->cells[from].y + dy;
  for (int32_t i = x; i < x + 2; ++i) {
    if (i < 0 || y < 0 || i >= (int32_t)grid->width || y >= (int32_t)grid->height) continue;
    const uint32_t cell = grid->cell_at[(uint32_t)y * grid->width + (uint32_t)i];
    if (cell != PEF_NONE && grid->cells[cell].type == type) return cell;
  }
  return PEF_NONE;
}

// A cell at most `window` away in both directions that may have the unit, or in every second draw one near a unit that
// it has a net with; PEF_NONE: this time there is none.
static uint32_t draw_cell(annealer_t *annealer, uint32_t unit, uint32_t window) {
  const pef_chip_t *chip = &annealer->grid->chip;
  const uint32_t type = annealer->netlist->units.data[unit].type;
  if (type == PEF_CHIP_AG) return draw_below(annealer, leat_chip_ports(chip));
  const bool joins = (draw(annealer) >> 31) != 0;
  const uint32_t partner = joins ? draw_partner(annealer, unit) : unit;
  if (is_port(annealer, partner)) return PEF_NONE;
  if (joins) window = NEAR;
  const int32_t dx = (int32_t)draw_below(annealer, 2 * window + 1) - (int32_t)window;
  const int32_t dy = (int32_t)draw_below(annealer, 2 * window + 1) - (int32_t)window;
  return find_cell(annealer, type, annealer->cells[partner], dx, dy);
}

// --- temperatures ---------------------------------------------------------------------------------------------------

// Moves at one temperature; yields how many of 1024 were taken.
static uint32_t sweep(annealer_t *annealer, uint64_t moves, uint32_t window, int64_t temperature) {
  uint64_t taken = 0;
  for (uint64_t i = 0; i < moves; ++i) {
    const uint32_t unit = draw_below(annealer, annealer->netlist->units.count);
    const uint32_t cell = draw_cell(annealer, unit, window), from = annealer->cells[unit];
    if (cell == PEF_NONE || cell == from) continue;
    const int64_t delta = try_exchange(annealer, unit, cell);
    if (delta <= 0 || delta * UNITS_OF_TEMPERATURE < temperature * draw_exponential(annealer) >> 16) {
      keep(annealer);
      ++taken;
    } else {
      (void)exchange(annealer, unit, from);
    }
  }
  return (uint32_t)(taken * 1024 / moves);
}

// An eighth of what moves that make it worse cost on average: strips are no bad beginning, which heat would undo.
static int64_t first_temperature(annealer_t *annealer, uint32_t window) {
  int64_t sum = 0, count = 0;
  for (uint32_t i = 0; i < annealer->netlist->units.count; ++i) {
    const uint32_t cell = draw_cell(annealer, i, window), from = annealer->cells[i];
    if (cell == PEF_NONE || cell == from) continue;
    const int64_t delta = try_exchange(annealer, i, cell);
    (void)exchange(annealer, i, from);
    sum += delta > 0 ? delta : 0;
    count += delta > 0;
  }
  return count == 0 ? 0 : sum / count * UNITS_OF_TEMPERATURE / 8;
}

static uint64_t cost_of_all(const annealer_t *annealer) {
  uint64_t sum = 0;
  for (uint32_t n = 0; n < annealer->netlist->nets.count; ++n) sum += annealer->cost[n];
  return sum;
}

// Slowly while about half of the moves are taken, where most is won; faster at both ends. In 1024ths.
static int64_t cooling(uint32_t taken) {
  if (taken > 983) return 512;
  if (taken > 819) return 922;
  return taken > 102 ? 998 : 870;
}

static void cool(annealer_t *annealer, uint32_t effort) {
  const uint32_t side = annealer->grid->width > annealer->grid->height ? annealer->grid->width : annealer->grid->height;
  const uint64_t moves = ((uint64_t)annealer->netlist->units.count + FEW) * effort;
  uint32_t window = side * ONE / 4 + ONE;
  int64_t temperature = first_temperature(annealer, window / ONE);
  for (uint32_t i = 0; i < TEMPERATURES_MAX; ++i) {
    const uint64_t average = cost_of_all(annealer) / annealer->netlist->nets.count;
    if (temperature * 200 < (int64_t)average * UNITS_OF_TEMPERATURE) break;
    const uint32_t taken = sweep(annealer, moves, window / ONE, temperature);
    temperature = temperature * cooling(taken) / 1024;
    window = (uint32_t)((uint64_t)window * (1024 - 450 + taken) / 1024);  // towards 44 % that are taken
    if (window > side * ONE) window = side * ONE;
    if (window < 2 * ONE) window = 2 * ONE;
  }
  (void)sweep(annealer, moves, 2, 0);
}

// --- the whole ------------------------------------------------------------------------------------------------------

static void list_nets(annealer_t *annealer) {
  const leat_chip_netlist_t *netlist = annealer->netlist;
  uint32_t *first = annealer->first_net;
  for (uint32_t fill = 0; fill < 2; ++fill) {  // counts first, then lists from the back
    for (uint32_t n = 0; n < netlist->nets.count; ++n) {
      const leat_chip_net_t *net = &netlist->nets.data[n];
      for (uint32_t i = 0; i <= net->sink_count; ++i) {
        const uint32_t unit = i == net->sink_count ? net->source : netlist->sinks.data[net->sink_first + i];
        if (fill == 0) {
          ++first[unit];
        } else {
          annealer->nets[--first[unit]] = n;
        }
      }
    }
    for (uint32_t u = 0; fill == 0 && u < netlist->units.count; ++u) first[u + 1] += first[u];
  }
}

static void find_bandwidths(annealer_t *annealer) {
  const leat_chip_netlist_t *netlist = annealer->netlist;
  for (uint32_t n = 0; n < netlist->nets.count; ++n) {
    const leat_chip_net_t *net = &netlist->nets.data[n];
    if (is_port(annealer, net->source)) annealer->ports[net->source][0] += net->bandwidth;
    for (uint32_t i = 0; i < net->sink_count; ++i) {
      const uint32_t sink = netlist->sinks.data[net->sink_first + i];
      if (is_port(annealer, sink)) annealer->ports[sink][1] += net->bandwidth;
    }
  }
  for (uint32_t u = 0; u < netlist->units.count; ++u) {
    if (!is_port(annealer, u)) continue;
    for (uint32_t i = 0; i < 2; ++i) {
      annealer->agcus[annealer->cells[u] / annealer->grid->chip.ports][i] += annealer->ports[u][i];
    }
  }
}

static void begin(annealer_t *annealer) {
  const leat_chip_netlist_t *netlist = annealer->netlist;
  const pef_chip_t *chip = &annealer->grid->chip;
  for (uint32_t i = 0; i < leat_pef_chip_cells(chip, PEF_CHIP_PCU); ++i) annealer->unit_on[0][i] = PEF_NONE;
  for (uint32_t i = 0; i < leat_pef_chip_cells(chip, PEF_CHIP_AG); ++i) annealer->unit_on[1][i] = PEF_NONE;
  for (uint32_t u = 0; u < netlist->units.count; ++u) sit(annealer, u, netlist->units.data[u].type, annealer->cells[u]);
  for (uint32_t n = 0; n < netlist->nets.count; ++n) annealer->cost[n] = cost_of_net(netlist, annealer->at, n);
  list_nets(annealer);
  find_bandwidths(annealer);
}

static bool make_room(annealer_t *annealer) {
  const leat_chip_netlist_t *netlist = annealer->netlist;
  const pef_chip_t *chip = &annealer->grid->chip;
  const size_t units = netlist->units.count, nets = netlist->nets.count, ends = nets + netlist->sinks.count;
  annealer->at = leat_alloc_zero(units + 1, sizeof *annealer->at);
  annealer->unit_on[0] = leat_alloc_zero(leat_pef_chip_cells(chip, PEF_CHIP_PCU), sizeof(uint32_t));
  annealer->unit_on[1] = leat_alloc_zero(leat_pef_chip_cells(chip, PEF_CHIP_AG), sizeof(uint32_t));
  annealer->first_net = leat_alloc_zero(units + 2, sizeof(uint32_t));
  annealer->nets = leat_alloc_zero(ends + 1, sizeof(uint32_t));
  annealer->seen = leat_alloc_zero(nets + 1, sizeof(uint32_t));
  annealer->touched = leat_alloc_zero(nets + 1, sizeof(uint32_t));
  annealer->cost = leat_alloc_zero(nets + 1, sizeof(uint64_t));
  annealer->new_cost = leat_alloc_zero(nets + 1, sizeof(uint64_t));
  annealer->agcus = leat_alloc_zero((size_t)chip->tiles * chip->agcus, sizeof *annealer->agcus);
  annealer->ports = leat_alloc_zero(units + 1, sizeof *annealer->ports);
  return annealer->at != NULL && annealer->unit_on[0] != NULL && annealer->unit_on[1] != NULL &&
         annealer->first_net != NULL && annealer->nets != NULL && annealer->seen != NULL && annealer->touched != NULL &&
         annealer->cost != NULL && annealer->new_cost != NULL && annealer->agcus != NULL && annealer->ports != NULL;
}

leat_status_t leat_chip_anneal(const leat_chip_grid_t *grid, const leat_chip_netlist_t *netlist,
                               leat_chip_effort_t effort, uint32_t *cells) {
  if (netlist->nets.count == 0) return NULL;
  annealer_t annealer = {.grid = grid, .netlist = netlist, .cells = cells};
  annealer.random = effort.seed * UINT64_C(0x9e3779b97f4a7c15) | 1;
  const bool has_room = make_room(&annealer);
  if (has_room) {
    begin(&annealer);
    cool(&annealer, effort.moves);
  }
  leat_free(annealer.at);
  for (uint32_t i = 0; i < 2; ++i) leat_free(annealer.unit_on[i]);
  leat_free(annealer.first_net);
  leat_free(annealer.nets);
  leat_free(annealer.seen);
  leat_free(annealer.touched);
  leat_free(annealer.cost);
  leat_free(annealer.new_cost);
  leat_free(annealer.agcus);
  leat_free(annealer.ports);
  return has_room ? NULL : leat_out_of_memory();
}
