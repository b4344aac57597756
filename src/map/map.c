// SPDX-License-Identifier: Apache-2.0
// The mapper as a list of steps over one state.
#include "map/map.h"

#include "map/mapper.h"

static leat_status_t collect_uses(leat_mapper_t *m) { return leat_uses_collect(m->g, &m->uses); }

static leat_status_t allocate(leat_mapper_t *m) {
  const leat_graph_t *g = m->g;
  m->stage_of = leat_arena_alloc(&m->arena, (g->ops.count + 1) * sizeof *m->stage_of);
  m->homes = leat_arena_alloc(&m->arena, (g->values.count + 1) * sizeof *m->homes);
  m->store_direct = leat_arena_alloc(&m->arena, g->ops.count + 1);
  m->symbol_of = leat_arena_alloc(&m->arena, (g->symbols.count + 1) * sizeof *m->symbol_of);
  m->sections = leat_arena_alloc(&m->arena, (m->plan->sections.count + 1) * sizeof *m->sections);
  if (m->stage_of == NULL || m->homes == NULL || m->store_direct == NULL || m->symbol_of == NULL ||
      m->sections == NULL) {
    LEAT_FAIL(LEAT_OUT_OF_MEMORY, "out of memory");
  }
  return NULL;
}

static void set_info(leat_mapper_t *m) {
  pef_info_t info = {.arena_bytes = m->arena_bytes,
                     .scratch_bytes = m->scratch_bytes,
                     .optim_level = m->options->optim_level,
                     .inference = m->options->inference};
  memcpy(info.fingerprint, m->options->fingerprint, sizeof info.fingerprint);
  info.peak_bytes = m->arena_bytes + m->symbol_bytes + leat_pef_constant_bytes(m->writer);
  info.arch = leat_pef_add_string(m->writer, m->options->arch->text);
  info.compiler = leat_pef_add_string(m->writer, LEAT_VERSION);
  for (uint32_t s = 0; s < m->plan->sections.count; ++s) {
    info.run_flops += m->plan->sections.data[s].flops;
    info.run_bytes += m->plan->sections.data[s].bytes;
  }
  leat_pef_set_info(m->writer, &info);
}

typedef leat_status_t (*step_t)(leat_mapper_t *m);
static const step_t steps[] = {allocate,       collect_uses,    leat_map_symbols, leat_map_stages,
                               leat_map_homes, leat_map_memory, leat_map_emit};

static void deinit(leat_mapper_t *m) {
  for (uint32_t s = 0; m->sections != NULL && s < m->plan->sections.count; ++s) {
    leat_section_map_t *section = &m->sections[s];
    for (uint32_t i = 0; i < section->stages.count; ++i) leat_array_free(&section->stages.data[i].ops);
    leat_array_free(&section->stages);
  }
  leat_uses_deinit(&m->uses);
  leat_array_free(&m->symbols);
  leat_array_free(&m->packs);
  leat_flight_deinit(&m->flight);
  leat_arena_deinit(&m->arena);
}

leat_status_t leat_map_native(const leat_graph_t *g, const leat_plan_t *plan, const leat_map_options_t *options,
                              leat_pef_writer_t *writer) {
  leat_mapper_t m = {.g = g, .plan = plan, .options = options, .writer = writer};
  leat_arena_init(&m.arena);
  leat_status_t status = NULL;
  for (size_t i = 0; i < sizeof steps / sizeof steps[0] && status == NULL; ++i) status = steps[i](&m);
  if (status == NULL) set_info(&m);
  deinit(&m);
  return leat_status_annotate(status, "mapping");
}
