// SPDX-License-Identifier: Apache-2.0
// What a chip has where, in a file: written, read back, proved again, drawn; and refused where it is damaged.
//
// LEAT_MUTATIONS: how many mutated files (400).
#include <stdio.h>
#include <stdlib.h>

#include "check.h"
#include "chip/floorplan.h"
#include "chip/proof.h"
#include "draws.h"
#include "floorplan_text.h"
#include "mutate.h"
#include "net_maker.h"
#include "pef/flow.h"
#include "pef_demo.h"
#include "report/report.h"

enum { STAGES = 4, FILE_MAX = 1 << 18 };

static leat_chip_t chip;
static chip_section_t section;
static leat_chip_floorplan_t plan;
static uint8_t *file;  // with the segments
static size_t file_bytes, plain_bytes;

static int make_file(void **state) {
  (void)state;
  assert_true(leat_chip_built_in("tiny", &chip));
  leat_pef_writer_t *writer = leat_pef_writer_create();
  pef_demo_build(writer, &(pef_demo_t){.rows = 64, .in = 8, .out = 8, .tile_rows_max = 16});
  uint8_t *plain = NULL;
  leat_pef_t *pef = NULL;
  assert_ok(leat_pef_write_memory(writer, &plain, &plain_bytes));
  leat_pef_writer_destroy(writer);
  assert_ok(leat_pef_open_memory(plain, plain_bytes, "plain.pef", &pef));
  const pef_chip_t record = leat_chip_record_of(&chip, 1);
  chip_fill_section(&record, STAGES, 1, &section);
  for (uint32_t s = 0; s < STAGES; ++s) section.stages[s].stage = pef->bodies[0].stage_first + s % 2;
  assert_ok(leat_chip_lay_out(&chip, &section.allocation, (leat_chip_effort_t){1, 4}, &plan));
  assert_ok(leat_chip_attach(pef, &chip, 1, &section.allocation, &plan, 1, &file, &file_bytes));
  leat_pef_close(pef);
  leat_free(plain);
  return 0;
}

static int free_file(void **state) {
  (void)state;
  leat_chip_floorplan_deinit(&plan);
  leat_free(file);
  return 0;
}

static leat_pef_t *open_file(void) {
  leat_pef_t *pef = NULL;
  assert_ok(leat_pef_open_memory(file, file_bytes, "chip.pef", &pef));
  return pef;
}

// --- what is written is read ----------------------------------------------------------------------------------------

static void a_plan_is_read_as_it_was_written(void **state) {
  (void)state;
  leat_pef_t *pef = open_file();
  assert_int_equal(pef->chip_count, 1);
  assert_string_equal(pef->chips->name, "tiny");
  assert_int_equal(pef->chips->rows, chip.rows);
  assert_int_equal(pef->chip_body_count, 1);
  const pef_chip_body_t *body = pef->chip_bodies;
  assert_int_equal(body->stage_count, STAGES);
  assert_int_equal(body->edge_count, section.allocation.edge_count);
  assert_int_equal(body->unit_count, plan.netlist.units.count);
  assert_int_equal(body->net_count, plan.netlist.nets.count);
  assert_int_equal(body->parts, 1);
  assert_int_equal(body->load, plan.routes.load);
  assert_true(body->interval == section.allocation.interval && body->routed_interval >= body->interval);
  assert_int_equal(pef->chip_hop_count, plan.routes.hops.count);
  for (uint32_t u = 0; u < body->unit_count; ++u) {
    assert_int_equal(pef->chip_units[u].cell, plan.placement.cells[u]);
    assert_memory_equal(pef->chip_units[u].banks, plan.placement.banks[u].of, sizeof pef->chip_units[u].banks);
  }
  for (uint32_t e = 0; e < body->edge_count; ++e) {
    assert_int_equal(pef->chip_edges[e].pmus, section.edges[e].pmus);
    assert_int_equal(pef->chip_edges[e].from == PEF_NONE, section.edges[e].from == LEAT_CHIP_MEMORY);
  }
  leat_pef_close(pef);
}

// The plan of a body as the file has it.
static void read_plan(const leat_pef_t *pef, leat_chip_netlist_t *netlist, leat_chip_placement_t *placement,
                      leat_chip_routes_t *routes) {
  const pef_chip_body_t *body = pef->chip_bodies;
  placement->cells = leat_alloc_zero(body->unit_count, sizeof *placement->cells);
  placement->banks = leat_alloc_zero(body->unit_count, sizeof *placement->banks);
  for (uint32_t u = 0; u < body->unit_count; ++u) {
    const pef_chip_unit_t *unit = &pef->chip_units[u];
    leat_chip_unit_t made = {.type = unit->type, .of = unit->of};
    if (unit->type == PEF_CHIP_PMU) {
      const pef_chip_edge_t *edge = &pef->chip_edges[unit->of];
      made.copies = edge->copies;
      made.bytes = (edge->bytes + edge->pmus - 1) / edge->pmus;
    }
    assert_non_null(leat_chip_add_unit(netlist, &made));
    placement->cells[u] = unit->cell;
    memcpy(placement->banks[u].of, unit->banks, sizeof unit->banks);
  }
  routes->first_hop = leat_alloc_zero(body->net_count + 1u, sizeof *routes->first_hop);
  routes->depths = leat_alloc_zero(pef->chip_sink_count + 1u, sizeof *routes->depths);
  for (uint32_t n = 0; n < body->net_count; ++n) {
    const pef_chip_net_t *net = &pef->chip_nets[n];
    assert_true(leat_chip_add_net(netlist, net->source, net->bandwidth));
    for (uint32_t i = net->sink_first; i < net->sink_first + net->sink_count; ++i) {
      assert_true(leat_chip_add_sink(netlist, pef->chip_sinks[i].unit));
      routes->depths[i] = pef->chip_sinks[i].hops;
    }
    routes->first_hop[n + 1] = net->hop_first + net->hop_count;
  }
  memcpy(leat_array_push_n(&routes->hops, pef->chip_hop_count), pef->chip_hops,
         pef->chip_hop_count * sizeof(pef_chip_hop_t));
  routes->load = body->load;
  routes->busiest = plan.routes.busiest;
}

static void what_is_read_is_proved_again(void **state) {
  (void)state;
  leat_pef_t *pef = open_file();
  leat_chip_netlist_t netlist = {0};
  leat_chip_placement_t placement = {0};
  leat_chip_routes_t routes = {0};
  read_plan(pef, &netlist, &placement, &routes);
  assert_ok(leat_chip_prove(pef->chips, &netlist, &placement, &routes, NULL));
  leat_chip_netlist_deinit(&netlist);
  leat_chip_placement_deinit(&placement);
  leat_chip_routes_deinit(&routes);
  leat_pef_close(pef);
}

static void hops_of_an_edge_are_those_of_its_nets(void **state) {
  (void)state;
  uint32_t most = 0, all = 0;
  for (uint32_t s = 0; s < plan.netlist.sinks.count; ++s) {
    if (plan.routes.depths[s] > most) most = plan.routes.depths[s];
  }
  for (uint32_t e = 0; e < section.allocation.edge_count; ++e) {
    const uint32_t hops = leat_chip_edge_hops(&plan, &section.allocation, e);
    assert_true(hops <= 2 * most);
    if (hops > all) all = hops;
  }
  assert_true(all >= most);
}

// A reader that does not know a segment ignores it: the program is the same without.
static void the_program_is_the_same_without(void **state) {
  (void)state;
  leat_pef_t *pef = open_file();
  leat_pef_t bare = *pef;
#define DROP(one, table) (bare.table = NULL, bare.one##_count = 0)
  DROP(chip, chips);
  DROP(chip_body, chip_bodies);
  DROP(chip_stage, chip_stages);
  DROP(chip_edge, chip_edges);
  DROP(chip_unit, chip_units);
  DROP(chip_net, chip_nets);
  DROP(chip_sink, chip_sinks);
  DROP(chip_hop, chip_hops);
  uint8_t *data = NULL;
  size_t bytes = 0;
  assert_ok(leat_pef_encode(&bare, &data, &bytes));
  assert_int_equal(bytes, plain_bytes);
  leat_free(data);
  leat_pef_close(pef);
}

// --- two halves of a chip -------------------------------------------------------------------------------------------

static void halves_of_a_chip_share_a_plan(void **state) {
  (void)state;
  leat_chip_t sn30;
  assert_true(leat_chip_built_in("sn30", &sn30));
  leat_pef_t *pef = open_file();
  leat_chip_allocation_t allocation = section.allocation;
  allocation.tiles_used = 8;
  allocation.parts = 2;
  leat_chip_floorplan_t half;
  uint8_t *data = NULL;
  size_t bytes = 0;
  leat_pef_t *read = NULL;
  assert_ok(leat_chip_lay_out(&sn30, &allocation, (leat_chip_effort_t){1, 1}, &half));
  assert_ok(leat_chip_attach(pef, &sn30, 8, &allocation, &half, 1, &data, &bytes));
  assert_ok(leat_pef_open_memory(data, bytes, "half.pef", &read));
  assert_int_equal(read->chip_bodies->parts, 2);
  for (uint32_t u = 0; u < read->chip_unit_count; ++u) {
    assert_true(leat_pef_chip_tile_of(read->chips, read->chip_units[u].type, read->chip_units[u].cell) < 4);
  }
  leat_pef_close(read);
  leat_free(data);
  leat_chip_floorplan_deinit(&half);
  leat_pef_close(pef);
}

// --- damage ---------------------------------------------------------------------------------------------------------

typedef struct tables_s {  // of the file, to be changed
  pef_chip_t chip;
  pef_chip_body_t body;
  pef_chip_stage_t stages[STAGES];
  pef_chip_edge_t edges[CHIP_EDGES_MAX];
  pef_chip_unit_t units[512];
  pef_chip_net_t nets[1024];
  pef_chip_sink_t sinks[2048];
  pef_chip_hop_t hops[8192];
  uint32_t pmu;       // the first unit of that type
  uint32_t far_sink;  // a sink that is not where its source is, and its net
  uint32_t far_net;
} tables_t;

static void copy_tables(const leat_pef_t *pef, tables_t *out) {
  out->chip = *pef->chips;
  out->body = *pef->chip_bodies;
  memcpy(out->stages, pef->chip_stages, pef->chip_stage_count * sizeof *out->stages);
  memcpy(out->edges, pef->chip_edges, pef->chip_edge_count * sizeof *out->edges);
  assert_true(pef->chip_unit_count <= 512 && pef->chip_net_count <= 1024 && pef->chip_sink_count <= 2048 &&
              pef->chip_hop_count <= 8192);
  memcpy(out->units, pef->chip_units, pef->chip_unit_count * sizeof *out->units);
  memcpy(out->nets, pef->chip_nets, pef->chip_net_count * sizeof *out->nets);
  memcpy(out->sinks, pef->chip_sinks, pef->chip_sink_count * sizeof *out->sinks);
  memcpy(out->hops, pef->chip_hops, pef->chip_hop_count * sizeof *out->hops);
  while (out->units[out->pmu].type != PEF_CHIP_PMU) ++out->pmu;
  while (out->sinks[out->far_sink].hops == 0) ++out->far_sink;
  while (out->nets[out->far_net].sink_first + out->nets[out->far_net].sink_count <= out->far_sink) ++out->far_net;
}

static void refuses(void (*damage)(tables_t *tables), const char *message) {
  leat_pef_t *pef = open_file(), *read = NULL;
  tables_t *tables = leat_alloc_zero(1, sizeof *tables);
  copy_tables(pef, tables);
  damage(tables);
  leat_pef_t damaged = *pef;
  damaged.chips = &tables->chip;
  damaged.chip_bodies = &tables->body;
  damaged.chip_stages = tables->stages;
  damaged.chip_edges = tables->edges;
  damaged.chip_units = tables->units;
  damaged.chip_nets = tables->nets;
  damaged.chip_sinks = tables->sinks;
  damaged.chip_hops = tables->hops;
  uint8_t *data = NULL;
  size_t bytes = 0;
  assert_ok(leat_pef_encode(&damaged, &data, &bytes));
  assert_fails(leat_pef_open_memory(data, bytes, "damaged.pef", &read), LEAT_CORRUPT, message);
  leat_free(data);
  leat_free(tables);
  leat_pef_close(pef);
}

#define DAMAGE(name, statement) \
  static void name(tables_t *t) { statement; }
DAMAGE(no_name, t->chip.name[0] = 0)
DAMAGE(text_behind_the_name, t->chip.name[50] = 'x')
DAMAGE(more_tiles_used, t->chip.tiles_used = 2)
DAMAGE(no_stack, t->chip.stack = 0)
DAMAGE(wide, t->chip.columns = 129)
DAMAGE(crowded, t->chip.pcus = 60)
DAMAGE(no_agcus, t->chip.agcus = 0)
DAMAGE(no_banks, t->chip.banks = 0)
DAMAGE(no_links, t->chip.vector_links = 0)
DAMAGE(no_such_body, t->body.body = 9)
DAMAGE(no_parts, t->body.parts = 0)
DAMAGE(three_parts, t->body.parts = 3)
DAMAGE(no_interval, t->body.interval = -1)
DAMAGE(interval_nan, t->body.routed_interval = 0.0 / 0.0)
DAMAGE(less_rows, t->body.tile_rows = -1)
DAMAGE(fewer_units, --t->body.unit_count)
DAMAGE(more_nets, ++t->body.net_count)
DAMAGE(nets_from_elsewhere, t->body.net_first = 1)
DAMAGE(no_such_stage, t->stages[1].stage = 77)
DAMAGE(uneven_stage, ++t->stages[0].along_m)
DAMAGE(edge_to_nowhere, t->edges[0].to = STAGES)
DAMAGE(copies_without_pmus, t->edges[0].pmus = 0)
DAMAGE(no_such_type, t->units[0].type = 3)
DAMAGE(reserved, t->units[0].reserved0[1] = 1)
DAMAGE(no_such_edge, t->units[t->pmu].of = t->body.edge_count)
DAMAGE(cell_outside, t->units[0].cell = 4096)
DAMAGE(cell_of_another_type, t->units[t->pmu].type = PEF_CHIP_PCU; memset(t->units[t->pmu].banks, 0, 12);
       t->units[t->pmu].of = 0)
DAMAGE(cell_twice, t->units[t->pmu + 1] = t->units[t->pmu])
DAMAGE(bank_twice, t->units[t->pmu].banks[1] = t->units[t->pmu].banks[0])
DAMAGE(bank_outside, t->units[t->pmu].banks[2] = 1u << 16)
DAMAGE(no_such_source, t->nets[3].source = t->body.unit_count)
DAMAGE(no_bandwidth, t->nets[3].bandwidth = 0)
DAMAGE(sinks_of_another, ++t->nets[3].sink_count)
DAMAGE(no_such_sink, t->sinks[5].unit = PEF_NONE)
DAMAGE(sink_elsewhere, ++t->sinks[5].hops)
DAMAGE(sink_not_reached, --t->nets[t->far_net].hop_count; ++t->nets[t->far_net + 1].hop_count;
       --t->nets[t->far_net + 1].hop_first)
DAMAGE(hop_nowhere, t->hops[2].to = PEF_NONE)
DAMAGE(hop_far, t->hops[2].to = (t->hops[2].from + 5) % 81)
DAMAGE(hop_again, t->hops[t->nets[t->far_net].hop_first].to = t->hops[t->nets[t->far_net].hop_first].from)

static void damage_is_refused(void **state) {
  (void)state;
  refuses(no_name, "chip (at byte");
  refuses(text_behind_the_name, "its name is not a line of text");
  refuses(more_tiles_used, "2 of 1 tiles");
  refuses(no_stack, "0 in a column");
  refuses(wide, "do not fit tiles of 8 x 129");
  refuses(crowded, "60 PCUs and 32 PMUs do not fit");
  refuses(no_agcus, "0 AGCUs");
  refuses(no_banks, "0 banks");
  refuses(no_links, "0 and 1 links");
  refuses(no_such_body, "plan 0 of a chip");
  refuses(no_parts, "1 tiles do not make 0 parts");
  refuses(three_parts, "1 tiles do not make 3 parts");
  refuses(no_interval, "its tiles or its intervals are none");
  refuses(interval_nan, "its tiles or its intervals are none");
  refuses(less_rows, "its tiles or its intervals are none");
  refuses(fewer_units, "none of the body");
  refuses(more_nets, "are not its own");
  refuses(nets_from_elsewhere, "are not its own");
  refuses(no_such_stage, "stage 77 is none of body 0");
  refuses(uneven_stage, "stage 0 (at byte");
  refuses(edge_to_nowhere, "edge 0 (at byte");
  refuses(copies_without_pmus, "copies in 0 PMUs");
  refuses(no_such_type, "type 3 does not exist");
  refuses(reserved, "unit 0 (at byte");
  refuses(no_such_edge, "which the body does not have");
  refuses(cell_outside, "cell 4096 is none of type");
  refuses(cell_of_another_type, "is none of type 0");
  refuses(cell_twice, "has another unit");
  refuses(bank_twice, "are no banks of its own");
  refuses(bank_outside, "are no banks of its own");
  refuses(no_such_source, "its source");
  refuses(no_bandwidth, "it carries nothing");
  refuses(sinks_of_another, ": net ");
  refuses(no_such_sink, "is none of the body");
  refuses(sink_elsewhere, "hops away, not");
  refuses(sink_not_reached, "is not reached");
  refuses(hop_nowhere, "no link goes from node");
  refuses(hop_far, "no link goes from node");
  refuses(hop_again, "no link goes from node");
}

// --- hostile files --------------------------------------------------------------------------------------------------

// One of the chip's segments is changed, more often than not.
static void mutate_plan(mutant_t *mutant) {
  const pef_header_t *header = (const pef_header_t *)(void *)mutant->data;
  const pef_segment_t *table = (const pef_segment_t *)(void *)(mutant->data + sizeof *header);
  const pef_segment_t *segment = &table[mutate_below(mutant, header->segment_count)];
  if (segment->kind < PEF_SEGMENT_CHIPS || segment->bytes == 0) {
    mutate_pef(mutant);
    return;
  }
  const uint64_t field = mutate_below(mutant, segment->bytes / 4) * 4;
  uint32_t value = 0;
  memcpy(&value, mutant->data + segment->offset + field, sizeof value);
  const uint64_t kind = mutate_below(mutant, 3);
  value = kind == 0 ? (uint32_t)mutate_boundary(mutant) : value + (uint32_t)mutate_below(mutant, 9) - 4;
  memcpy(mutant->data + segment->offset + field, &value, sizeof value);
}

static void hostile_plans_are_refused_or_drawn(void **state) {
  (void)state;
  mutant_t mutant = {.data = leat_alloc(FILE_MAX), .capacity = FILE_MAX};
  assert_true(file_bytes < FILE_MAX);
  uint64_t refused = 0, drawn = 0;
  const uint64_t count = mutation_count(draws(400));
  for (uint64_t round = 0; round < count; ++round) {
    mutant.random = 7000003 + round;
    memcpy(mutant.data, file, file_bytes);
    mutant.bytes = file_bytes;
    mutate_plan(&mutant);
    mend_pef(&mutant);
    leat_pef_t *pef = NULL;
    leat_status_t status = leat_pef_open_memory(mutant.data, mutant.bytes, "hostile.pef", &pef);
    if (status != NULL) {
      const int code = leat_status_code(status);
      assert_true(code == LEAT_CORRUPT || code == LEAT_UNSUPPORTED || code == LEAT_OUT_OF_MEMORY);
      leat_status_free(status);
      ++refused;
      continue;
    }
    leat_text_t text = {0};
    put_floorplan(pef, &text);
    drawn += text.length != 0;
    leat_text_deinit(&text);
    leat_pef_close(pef);
  }
  assert_true(refused > count / 3 && drawn > count / 20);
  leat_free(mutant.data);
}

// --- the picture ----------------------------------------------------------------------------------------------------

static void a_floorplan_shows_stages_and_links(void **state) {
  (void)state;
  leat_pef_t *pef = open_file();
  leat_text_t text = {0};
  put_floorplan(pef, &text);
  assert_non_null(strstr(text.data, "<svg xmlns"));
  assert_non_null(strstr(text.data, "tiny, 1 of 1 tiles"));
  assert_non_null(strstr(text.data, "body 0"));
  assert_non_null(strstr(text.data, "contract: "));
  assert_non_null(strstr(text.data, "busiest link: "));
  assert_non_null(strstr(text.data, " copies in "));
  assert_string_equal(text.data + text.length - 7, "</svg>\n");
  uint32_t opened = 0, closed = 0;
  for (size_t i = 0; i + 1 < text.length; ++i) {
    opened += text.data[i] == '<' && text.data[i + 1] != '/';
    closed += (text.data[i] == '<' && text.data[i + 1] == '/') || (text.data[i] == '/' && text.data[i + 1] == '>');
  }
  assert_int_equal(opened, closed);
  if (getenv("LEAT_FLOORPLAN") != NULL)
    assert_ok(leat_file_write_report(getenv("LEAT_FLOORPLAN"), text.data, text.length));
  leat_text_deinit(&text);
  leat_pef_close(pef);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_plan_is_read_as_it_was_written),      cmocka_unit_test(what_is_read_is_proved_again),
      cmocka_unit_test(hops_of_an_edge_are_those_of_its_nets), cmocka_unit_test(the_program_is_the_same_without),
      cmocka_unit_test(halves_of_a_chip_share_a_plan),         cmocka_unit_test(damage_is_refused),
      cmocka_unit_test(hostile_plans_are_refused_or_drawn),    cmocka_unit_test(a_floorplan_shows_stages_and_links),
  };
  return cmocka_run_group_tests_name("chip_segment", tests, make_file, free_file);
}
