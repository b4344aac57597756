// SPDX-License-Identifier: Apache-2.0
// See floorplan.h.
#include "chip/floorplan.h"

#include "chip/connect.h"
#include "chip/proof.h"
#include "pef/pef_write.h"

// --- one body -------------------------------------------------------------------------------------------------------

static uint32_t parts_of(const leat_chip_allocation_t *allocation) {
  return allocation->parts == 0 ? 1 : allocation->parts;
}

static leat_status_t place_and_route(const leat_chip_grid_t *grid, const leat_chip_allocation_t *allocation,
                                     leat_chip_effort_t effort, leat_chip_floorplan_t *out) {
  LEAT_TRY(leat_chip_connect(allocation, leat_chip_ports(&grid->chip), &out->netlist));
  LEAT_TRY(leat_chip_place(grid, &out->netlist, effort, &out->placement));
  LEAT_TRY(leat_chip_route(grid, &out->netlist, out->placement.cells, &out->routes));
  out->interval = leat_chip_routed_interval(allocation->interval, out->routes.load);
  return leat_chip_prove(&grid->chip, &out->netlist, &out->placement, &out->routes, NULL);
}

leat_status_t leat_chip_lay_out(const leat_chip_t *chip, const leat_chip_allocation_t *allocation,
                                leat_chip_effort_t effort, leat_chip_floorplan_t *out) {
  *out = (leat_chip_floorplan_t){0};
  const pef_chip_t record = leat_chip_record_of(chip, allocation->tiles_used / parts_of(allocation));
  leat_chip_grid_t grid;
  LEAT_TRY(leat_chip_grid_make(&record, &grid));
  leat_status_t status = place_and_route(&grid, allocation, effort, out);
  leat_chip_grid_deinit(&grid);
  if (status != NULL) leat_chip_floorplan_deinit(out);
  return status;
}

void leat_chip_floorplan_deinit(leat_chip_floorplan_t *plan) {
  leat_chip_netlist_deinit(&plan->netlist);
  leat_chip_placement_deinit(&plan->placement);
  leat_chip_routes_deinit(&plan->routes);
}

// --- hops of an edge ------------------------------------------------------------------------------------------------

static bool holds(const leat_chip_unit_t *unit, uint32_t edge) {
  return unit->type != PEF_CHIP_PCU && unit->of == edge;
}

uint32_t leat_chip_edge_hops(const leat_chip_floorplan_t *plan, const leat_chip_allocation_t *allocation,
                             uint32_t edge) {
  const leat_chip_netlist_t *netlist = &plan->netlist;
  const leat_chip_edge_t *of = &allocation->edges[edge];
  uint32_t into = 0, out = 0;
  for (uint32_t n = 0; n < netlist->nets.count; ++n) {
    const leat_chip_net_t *net = &netlist->nets.data[n];
    const leat_chip_unit_t *source = &netlist->units.data[net->source];
    for (uint32_t i = net->sink_first; i < net->sink_first + net->sink_count; ++i) {
      const leat_chip_unit_t *sink = &netlist->units.data[netlist->sinks.data[i]];
      const bool is_direct =
          source->type == PEF_CHIP_PCU && source->of == of->from && sink->type == PEF_CHIP_PCU && sink->of == of->to;
      const uint32_t hops = plan->routes.depths[i];
      if ((holds(sink, edge) || is_direct) && hops > into) into = hops;
      if (holds(source, edge) && !holds(sink, edge) && hops > out) out = hops;
    }
  }
  return into + out;
}

// --- segments -------------------------------------------------------------------------------------------------------

typedef struct tables_s {
  LEAT_ARRAY(pef_chip_body_t) bodies;
  LEAT_ARRAY(pef_chip_stage_t) stages;
  LEAT_ARRAY(pef_chip_edge_t) edges;
  LEAT_ARRAY(pef_chip_unit_t) units;
  LEAT_ARRAY(pef_chip_net_t) nets;
  LEAT_ARRAY(pef_chip_sink_t) sinks;
  LEAT_ARRAY(pef_chip_hop_t) hops;
} tables_t;

static void free_tables(tables_t *tables) {
  leat_array_free(&tables->bodies);
  leat_array_free(&tables->stages);
  leat_array_free(&tables->edges);
  leat_array_free(&tables->units);
  leat_array_free(&tables->nets);
  leat_array_free(&tables->sinks);
  leat_array_free(&tables->hops);
}

static bool add_allocation(tables_t *tables, const leat_chip_allocation_t *allocation) {
  pef_chip_stage_t *stages = leat_array_push_n(&tables->stages, allocation->stage_count);
  pef_chip_edge_t *edges = leat_array_push_n(&tables->edges, allocation->edge_count);
  if (stages == NULL || edges == NULL) return false;
  for (uint32_t i = 0; i < allocation->stage_count; ++i) {
    const leat_chip_stage_t *stage = &allocation->stages[i];
    stages[i] = (pef_chip_stage_t){.stage = stage->stage,
                                   .pcus = stage->pcus,
                                   .along_m = stage->along_m,
                                   .along_n = stage->along_n,
                                   .cycles = stage->cycles,
                                   .vectors_in = stage->vectors_in,
                                   .vectors_out = stage->vectors_out};
  }
  for (uint32_t i = 0; i < allocation->edge_count; ++i) {
    const leat_chip_edge_t *edge = &allocation->edges[i];
    edges[i] = (pef_chip_edge_t){.from = edge->from,
                                 .to = edge->to,
                                 .pmus = edge->pmus,
                                 .copies = edge->pmus == 0 ? 0 : leat_chip_copies(edge),
                                 .bytes = edge->bytes,
                                 .vectors = edge->vectors};
  }
  return true;
}

static bool add_units(tables_t *tables, const leat_chip_floorplan_t *plan) {
  const uint32_t count = plan->netlist.units.count;
  pef_chip_unit_t *units = leat_array_push_n(&tables->units, count);
  for (uint32_t i = 0; units != NULL && i < count; ++i) {
    const leat_chip_unit_t *unit = &plan->netlist.units.data[i];
    units[i] = (pef_chip_unit_t){.type = (uint8_t)unit->type, .of = unit->of, .cell = plan->placement.cells[i]};
    memcpy(units[i].banks, plan->placement.banks[i].of, sizeof units[i].banks);
  }
  return units != NULL;
}

static bool add_nets(tables_t *tables, const leat_chip_floorplan_t *plan) {
  const leat_chip_netlist_t *netlist = &plan->netlist;
  const uint32_t first_sink = tables->sinks.count, first_hop = tables->hops.count;
  pef_chip_net_t *nets = leat_array_push_n(&tables->nets, netlist->nets.count);
  pef_chip_sink_t *sinks = leat_array_push_n(&tables->sinks, netlist->sinks.count);
  pef_chip_hop_t *hops = leat_array_push_n(&tables->hops, plan->routes.hops.count);
  if (nets == NULL || sinks == NULL || hops == NULL) return false;
  for (uint32_t i = 0; i < netlist->nets.count; ++i) {
    const leat_chip_net_t *net = &netlist->nets.data[i];
    const uint32_t *hop = &plan->routes.first_hop[i];
    nets[i] = (pef_chip_net_t){.source = net->source,
                               .sink_first = first_sink + net->sink_first,
                               .sink_count = net->sink_count,
                               .hop_first = first_hop + hop[0],
                               .hop_count = hop[1] - hop[0],
                               .bandwidth = net->bandwidth};
  }
  for (uint32_t i = 0; i < netlist->sinks.count; ++i) {
    sinks[i] = (pef_chip_sink_t){.unit = netlist->sinks.data[i], .hops = plan->routes.depths[i]};
  }
  if (plan->routes.hops.count != 0) memcpy(hops, plan->routes.hops.data, plan->routes.hops.count * sizeof *hops);
  return true;
}

static bool add_body(tables_t *tables, const leat_chip_allocation_t *allocation, const leat_chip_floorplan_t *plan) {
  pef_chip_body_t *body = leat_array_push(&tables->bodies);
  if (body == NULL) return false;
  *body = (pef_chip_body_t){.body = allocation->body,
                            .load = plan->routes.load,
                            .stage_first = tables->stages.count,
                            .stage_count = allocation->stage_count,
                            .edge_first = tables->edges.count,
                            .edge_count = allocation->edge_count,
                            .unit_first = tables->units.count,
                            .unit_count = plan->netlist.units.count,
                            .net_first = tables->nets.count,
                            .net_count = plan->netlist.nets.count,
                            .tile_rows = allocation->tile_rows,
                            .tile_count = allocation->tile_count,
                            .parts = parts_of(allocation),
                            .interval = allocation->interval,
                            .routed_interval = plan->interval};
  return add_allocation(tables, allocation) && add_units(tables, plan) && add_nets(tables, plan);
}

// The file's tables, and these in place of whatever it says of a chip.
static leat_pef_t join(const leat_pef_t *pef, const pef_chip_t *chip, const tables_t *tables) {
  leat_pef_t out = *pef;
  out.chips = chip;
  out.chip_count = 1;
#define TAKE(one, table, from)   \
  out.table = tables->from.data; \
  out.one##_count = tables->from.count
  TAKE(chip_body, chip_bodies, bodies);
  TAKE(chip_stage, chip_stages, stages);
  TAKE(chip_edge, chip_edges, edges);
  TAKE(chip_unit, chip_units, units);
  TAKE(chip_net, chip_nets, nets);
  TAKE(chip_sink, chip_sinks, sinks);
  TAKE(chip_hop, chip_hops, hops);
#undef TAKE
  return out;
}

leat_status_t leat_chip_attach(const leat_pef_t *pef, const leat_chip_t *chip, uint32_t tiles,
                               const leat_chip_allocation_t *allocations, const leat_chip_floorplan_t *plans,
                               uint32_t count, uint8_t **out_data, size_t *out_bytes) {
  tables_t tables = {0};
  bool has_room = true;
  for (uint32_t i = 0; i < count && has_room; ++i) has_room = add_body(&tables, &allocations[i], &plans[i]);
  const pef_chip_t record = leat_chip_record_of(chip, tiles);
  const leat_pef_t joined = join(pef, &record, &tables);
  leat_status_t status = has_room ? leat_pef_encode_folded(&joined, out_data, out_bytes) : leat_out_of_memory();
  free_tables(&tables);
  return status;
}
