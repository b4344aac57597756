// SPDX-License-Identifier: Apache-2.0
// What a chip has where: the records of pef_format.h's chapter on chips. After it every index of these tables stays
// within its table, units sit on cells of their types, each on its own, and the hops of a net are a tree along links
// that touches all sinks. Whether it is a good plan, or even one that keeps to the capacities of links, is not asked.
#include <math.h>

#include "pef/pef_check.h"
#include "pef/pef_chip.h"

typedef struct chip_checker_s {
  const leat_pef_t *pef;
  const pef_chip_t *chip;
  uint32_t *unit_on[2];                        // of PCUs and PMUs, and of AGs: the body that has a unit on a cell, + 1
  uint32_t *entered;                           // of a node: the net that has entered it, + 1
  uint32_t *depth;                             // hops from the source to it
  uint32_t edge, stage, unit, net, sink, hop;  // the next that nobody owns
  uint32_t tiles;                              // of the first part of the body under check
} chip_checker_t;

// --- the chip -------------------------------------------------------------------------------------------------------

static bool in_range(uint64_t value, uint64_t low, uint64_t high) { return value >= low && value <= high; }

static bool is_a_name(const char *name, size_t bytes) {
  const size_t length = strnlen(name, bytes);
  if (length == 0 || length == bytes) return false;
  for (size_t i = length; i < bytes; ++i) {
    if (name[i] != 0) return false;
  }
  for (size_t i = 0; i < length;) {
    const uint32_t width = leat_utf8_length(name + i);
    if (width == 0 || (unsigned char)name[i] < ' ' || name[i] == 0x7f) return false;
    i += width;
  }
  return true;
}

leat_status_t leat_pef_check_chip_record(const pef_chip_t *chip) {
  if (!is_a_name(chip->name, sizeof chip->name)) return leat_pef_corrupt("its name is not a line of text");
  if (!in_range(chip->tiles, 1, PEF_CHIP_MAX_TILES) || !in_range(chip->tiles_used, 1, chip->tiles) ||
      !in_range(chip->stack, 1, chip->tiles) || chip->tiles % chip->stack != 0) {
    return leat_pef_corrupt("%u of %u tiles, %u in a column", chip->tiles_used, chip->tiles, chip->stack);
  }
  if (!in_range(chip->rows, 1, PEF_CHIP_MAX_SIDE) || !in_range(chip->columns, 1, PEF_CHIP_MAX_SIDE) ||
      chip->pcus > leat_pef_chip_tile_cells(chip) || chip->pmus > leat_pef_chip_tile_cells(chip) - chip->pcus) {
    return leat_pef_corrupt("%u PCUs and %u PMUs do not fit tiles of %u x %u", chip->pcus, chip->pmus, chip->rows,
                            chip->columns);
  }
  if (!in_range(chip->agcus, 1, PEF_CHIP_MAX_AGCUS) || !in_range(chip->ports, 1, PEF_CHIP_MAX_PORTS) ||
      !in_range(chip->banks, 1, PEF_CHIP_MAX_BANKS) || !in_range(chip->vector_links, 1, PEF_CHIP_MAX_LINKS) ||
      !in_range(chip->border_links, 1, PEF_CHIP_MAX_LINKS) || chip->reserved0 != 0) {
    return leat_pef_corrupt("%u AGCUs of %u ports, %u banks, %u and %u links", chip->agcus, chip->ports, chip->banks,
                            chip->vector_links, chip->border_links);
  }
  return NULL;
}

// --- units ----------------------------------------------------------------------------------------------------------

static leat_status_t check_banks(const pef_chip_t *chip, const pef_chip_unit_t *unit) {
  const uint32_t *banks = unit->banks;
  const uint32_t all = banks[0] | banks[1] | banks[2];
  if (unit->type != PEF_CHIP_PMU && all != 0) return leat_pef_corrupt("it has banks and is no PMU");
  if (((uint64_t)all >> chip->banks) != 0 || (banks[0] & banks[1]) != 0 || (banks[0] & banks[2]) != 0 ||
      (banks[1] & banks[2]) != 0) {
    return leat_pef_corrupt("its banks %x, %x and %x of %u are no banks of its own", banks[0], banks[1], banks[2],
                            chip->banks);
  }
  return NULL;
}

static leat_status_t check_unit(const chip_checker_t *checker, const pef_chip_body_t *body,
                                const pef_chip_unit_t *unit) {
  const pef_chip_t *chip = checker->chip;
  if (unit->type >= PEF_CHIP_TYPE_COUNT || (unit->reserved0[0] | unit->reserved0[1] | unit->reserved0[2]) != 0) {
    return leat_pef_corrupt("type %u does not exist", unit->type);
  }
  if (unit->of >= (unit->type == PEF_CHIP_PCU ? body->stage_count : body->edge_count)) {
    return leat_pef_corrupt("it is of %s %u, which the body does not have",
                            unit->type == PEF_CHIP_PCU ? "stage" : "edge", unit->of);
  }
  const bool is_ag = unit->type == PEF_CHIP_AG;
  if (unit->cell >= leat_pef_chip_cells(chip, unit->type) ||
      leat_pef_chip_tile_of(chip, unit->type, unit->cell) >= checker->tiles ||
      (!is_ag && leat_pef_chip_type_of(chip, unit->cell) != unit->type)) {
    return leat_pef_corrupt("cell %u is none of type %u in the tiles that are used", unit->cell, unit->type);
  }
  uint32_t *on = &checker->unit_on[is_ag][unit->cell];
  if (*on == body->body + 1) return leat_pef_corrupt("cell %u has another unit", unit->cell);
  *on = body->body + 1;
  return check_banks(chip, unit);
}

// --- nets -----------------------------------------------------------------------------------------------------------

static void enter(const chip_checker_t *checker, uint32_t node, uint32_t net, uint32_t depth) {
  checker->entered[node] = net + 1;
  checker->depth[node] = depth;
}

static leat_status_t check_hop(const chip_checker_t *checker, uint32_t net, const pef_chip_hop_t *hop) {
  const pef_chip_t *chip = checker->chip;
  const uint32_t nodes = leat_pef_chip_nodes(chip);
  if (hop->from >= nodes || hop->to >= nodes || leat_pef_chip_links(chip, hop->from, hop->to) == 0 ||
      leat_pef_chip_node_tile(chip, hop->from) >= checker->tiles ||
      leat_pef_chip_node_tile(chip, hop->to) >= checker->tiles) {
    return leat_pef_corrupt("no link goes from node %u to node %u", hop->from, hop->to);
  }
  if (checker->entered[hop->from] != net + 1 || checker->entered[hop->to] == net + 1) {
    return leat_pef_corrupt("from node %u to node %u it is no tree", hop->from, hop->to);
  }
  enter(checker, hop->to, net, checker->depth[hop->from] + 1);
  return NULL;
}

static leat_status_t check_sink(const chip_checker_t *checker, const pef_chip_body_t *body, uint32_t net,
                                const pef_chip_sink_t *sink) {
  if (sink->unit >= body->unit_count) return leat_pef_corrupt("unit %u is none of the body", sink->unit);
  const pef_chip_unit_t *unit = &checker->pef->chip_units[body->unit_first + sink->unit];
  uint32_t nodes[PEF_CHIP_CORNERS], least = PEF_NONE;
  const uint32_t count = leat_pef_chip_touches(checker->chip, unit->type, unit->cell, nodes);
  for (uint32_t i = 0; i < count; ++i) {
    if (checker->entered[nodes[i]] == net + 1 && checker->depth[nodes[i]] < least) least = checker->depth[nodes[i]];
  }
  if (least == PEF_NONE) return leat_pef_corrupt("unit %u is not reached", sink->unit);
  if (least == sink->hops) return NULL;
  return leat_pef_corrupt("unit %u is %u hops away, not %u", sink->unit, least, sink->hops);
}

static leat_status_t own(const char *what, uint32_t first, uint32_t count, uint32_t all, uint32_t *next) {
  if (first != *next || count > all - *next) {
    return leat_pef_corrupt("%s %u + %u of %u are not its own", what, first, count, all);
  }
  *next += count;
  return NULL;
}

static leat_status_t check_net(chip_checker_t *checker, const pef_chip_body_t *body, uint32_t index) {
  const leat_pef_t *pef = checker->pef;
  const pef_chip_net_t *net = &pef->chip_nets[index];
  LEAT_TRY(own("sinks", net->sink_first, net->sink_count, pef->chip_sink_count, &checker->sink));
  LEAT_TRY(own("hops", net->hop_first, net->hop_count, pef->chip_hop_count, &checker->hop));
  if (net->source >= body->unit_count) return leat_pef_corrupt("its source %u is none of the body", net->source);
  if (net->bandwidth == 0) return leat_pef_corrupt("it carries nothing");
  const pef_chip_unit_t *source = &pef->chip_units[body->unit_first + net->source];
  uint32_t nodes[PEF_CHIP_CORNERS];
  const uint32_t count = leat_pef_chip_touches(checker->chip, source->type, source->cell, nodes);
  for (uint32_t i = 0; i < count; ++i) enter(checker, nodes[i], index, 0);
  for (uint32_t i = 0; i < net->hop_count; ++i) {
    LEAT_TRY(check_hop(checker, index, &pef->chip_hops[net->hop_first + i]));
  }
  for (uint32_t i = 0; i < net->sink_count; ++i) {
    LEAT_TRY(check_sink(checker, body, index, &pef->chip_sinks[net->sink_first + i]));
  }
  return NULL;
}

// --- bodies ---------------------------------------------------------------------------------------------------------

static bool is_amount(double value) { return isfinite(value) && value >= 0; }

static leat_status_t check_stage(const leat_pef_t *pef, const pef_chip_body_t *body, const pef_chip_stage_t *stage) {
  const pef_body_t *of = &pef->bodies[body->body];
  if (stage->stage < of->stage_first || stage->stage - of->stage_first >= of->stage_count) {
    return leat_pef_corrupt("stage %u is none of body %u", stage->stage, body->body);
  }
  if ((uint64_t)stage->along_m * stage->along_n != stage->pcus || !is_amount(stage->cycles) ||
      !is_amount(stage->vectors_in) || !is_amount(stage->vectors_out)) {
    return leat_pef_corrupt("%u PCUs, %u x %u, or its cycles or vectors are none", stage->pcus, stage->along_m,
                            stage->along_n);
  }
  return NULL;
}

static leat_status_t check_edge(const pef_chip_body_t *body, const pef_chip_edge_t *edge) {
  if ((edge->from >= body->stage_count && edge->from != PEF_NONE) ||
      (edge->to >= body->stage_count && edge->to != PEF_NONE)) {
    return leat_pef_corrupt("it goes from stage %u to stage %u of %u", edge->from, edge->to, body->stage_count);
  }
  if (!is_amount(edge->vectors) || (edge->pmus == 0) != (edge->copies == 0)) {
    return leat_pef_corrupt("%u copies in %u PMUs", edge->copies, edge->pmus);
  }
  return NULL;
}

#define CHECK_EACH(count, first, call, kind, what)                                         \
  for (uint32_t i_ = (first); i_ < (first) + (count); ++i_) {                              \
    LEAT_TRY(leat_status_annotate(call, what " %u (at byte %llu)", i_ - (first),           \
                                  (unsigned long long)leat_pef_byte_of(pef, (kind), i_))); \
  }

static leat_status_t check_owned(chip_checker_t *checker, const pef_chip_body_t *body) {
  const leat_pef_t *pef = checker->pef;
  LEAT_TRY(own("stages", body->stage_first, body->stage_count, pef->chip_stage_count, &checker->stage));
  LEAT_TRY(own("edges", body->edge_first, body->edge_count, pef->chip_edge_count, &checker->edge));
  LEAT_TRY(own("units", body->unit_first, body->unit_count, pef->chip_unit_count, &checker->unit));
  LEAT_TRY(own("nets", body->net_first, body->net_count, pef->chip_net_count, &checker->net));
  CHECK_EACH(body->stage_count, body->stage_first, check_stage(pef, body, &pef->chip_stages[i_]),
             PEF_SEGMENT_CHIP_STAGES, "stage")
  CHECK_EACH(body->edge_count, body->edge_first, check_edge(body, &pef->chip_edges[i_]), PEF_SEGMENT_CHIP_EDGES, "edge")
  CHECK_EACH(body->unit_count, body->unit_first, check_unit(checker, body, &pef->chip_units[i_]),
             PEF_SEGMENT_CHIP_UNITS, "unit")
  CHECK_EACH(body->net_count, body->net_first, check_net(checker, body, i_), PEF_SEGMENT_CHIP_NETS, "net")
  return NULL;
}

static leat_status_t check_body(chip_checker_t *checker, uint32_t index) {
  const leat_pef_t *pef = checker->pef;
  const pef_chip_body_t *body = &pef->chip_bodies[index];
  if (body->body >= pef->body_count || (index > 0 && body[-1].body >= body->body)) {
    return leat_pef_corrupt("it is of body %u, which is out of order", body->body);
  }
  if (body->tile_rows < 0 || body->tile_count < 0 || !is_amount(body->interval) || !is_amount(body->routed_interval)) {
    return leat_pef_corrupt("its tiles or its intervals are none");
  }
  if (body->parts == 0 || checker->chip->tiles_used % body->parts != 0 || body->reserved0 != 0) {
    return leat_pef_corrupt("%u tiles do not make %u parts", checker->chip->tiles_used, body->parts);
  }
  checker->tiles = checker->chip->tiles_used / body->parts;
  return check_owned(checker, body);
}

static leat_status_t check_bodies(chip_checker_t *checker) {
  const leat_pef_t *pef = checker->pef;
  for (uint32_t i = 0; i < pef->chip_body_count; ++i) {
    LEAT_TRY(leat_status_annotate(check_body(checker, i), "plan %u of a chip (at byte %llu)", i,
                                  (unsigned long long)leat_pef_byte_of(pef, PEF_SEGMENT_CHIP_BODIES, i)));
  }
  if (checker->stage != pef->chip_stage_count || checker->edge != pef->chip_edge_count ||
      checker->unit != pef->chip_unit_count || checker->net != pef->chip_net_count ||
      checker->sink != pef->chip_sink_count || checker->hop != pef->chip_hop_count) {
    return leat_pef_corrupt("a chip has stages, edges, units, nets, sinks or hops that nobody owns");
  }
  return NULL;
}

static leat_status_t check_with_memory(chip_checker_t *checker) {
  const pef_chip_t *chip = checker->chip;
  const uint32_t nodes = leat_pef_chip_nodes(chip);
  checker->unit_on[0] = leat_alloc_zero(leat_pef_chip_cells(chip, PEF_CHIP_PCU), sizeof(uint32_t));
  checker->unit_on[1] = leat_alloc_zero(leat_pef_chip_cells(chip, PEF_CHIP_AG), sizeof(uint32_t));
  checker->entered = leat_alloc_zero(nodes, sizeof(uint32_t));
  checker->depth = leat_alloc_zero(nodes, sizeof(uint32_t));
  const bool has_room =
      checker->unit_on[0] != NULL && checker->unit_on[1] != NULL && checker->entered != NULL && checker->depth != NULL;
  return has_room ? check_bodies(checker) : leat_out_of_memory();
}

leat_status_t leat_pef_check_chips(const leat_pef_t *pef) {
  const bool has_plans = (pef->chip_body_count | pef->chip_stage_count | pef->chip_edge_count | pef->chip_unit_count |
                          pef->chip_net_count | pef->chip_sink_count | pef->chip_hop_count) != 0;
  if (pef->chip_count > 1 || (pef->chip_count == 0 && has_plans)) {
    return leat_pef_corrupt("segment 'chips' must hold one record, it holds %u", pef->chip_count);
  }
  if (pef->chip_count == 0) return NULL;
  LEAT_TRY(leat_status_annotate(leat_pef_check_chip_record(pef->chips), "chip (at byte %llu)",
                                (unsigned long long)leat_pef_byte_of(pef, PEF_SEGMENT_CHIPS, 0)));
  chip_checker_t checker = {.pef = pef, .chip = pef->chips};
  leat_status_t status = check_with_memory(&checker);
  for (uint32_t i = 0; i < 2; ++i) leat_free(checker.unit_on[i]);
  leat_free(checker.entered);
  leat_free(checker.depth);
  return status;
}
