// SPDX-License-Identifier: Apache-2.0
#include "driver/compiled.h"

#include "map/target.h"

// What the calls will be called, and what that is made of.
static leat_status_t note_names(leat_compiled_t *c, const leat_plan_t *plan) {
  for (uint32_t i = 0; i < plan->sections.count; ++i) {
    char name[LEAT_MAP_NAME_MAX];
    leat_map_ends_t *ends = leat_array_push(&c->ends);
    if (ends == NULL) return leat_out_of_memory();
    *ends = leat_map_section_ends(c->settled, &plan->sections.data[i]);
    leat_map_name_ends(*ends, name);
    const char *kept = leat_arena_strdup(&c->names, name, strlen(name));
    if (kept == NULL || !leat_names_add(&c->call_names, kept, i)) return leat_out_of_memory();
  }
  return NULL;
}

leat_status_t leat_compiled_open(leat_pef_writer_t *writer, const char *name, leat_pef_t **out_pef) {
  uint8_t *data = NULL;
  size_t bytes = 0;
  LEAT_TRY(leat_pef_write_memory(writer, &data, &bytes));
  leat_status_t status = leat_pef_open_memory(data, bytes, name, out_pef);
  leat_free(data);
  return status;
}

leat_status_t leat_compiled_link(const leat_link_program_t *program, const leat_map_options_t *options,
                                 leat_pef_writer_t *writer) {
  pef_info_t info = {.optim_level = options->optim_level,
                     .inference = options->inference,
                     .fingerprint_version = options->fingerprint_version,
                     .arch = leat_pef_add_string(writer, options->arch_text),
                     .compiler = leat_pef_add_string(writer, LEAT_VERSION)};
  memcpy(info.fingerprint, options->fingerprint, sizeof info.fingerprint);
  LEAT_TRY(leat_link(program, writer, &info));
  leat_pef_set_info(writer, &info);
  return NULL;
}

static leat_status_t write_unit(leat_compiled_t *c, const leat_plan_t *plan, const leat_compile_options_t *options,
                                const leat_map_options_t *map_options) {
  leat_pef_writer_t *writer = leat_pef_writer_create();
  if (writer == NULL) return leat_out_of_memory();
  leat_pef_share_bodies(writer, options->separate_bodies == 0);
  leat_status_t status = leat_target_map(c->settled, plan, map_options, writer);
  if (status == NULL) status = leat_compiled_open(writer, "unit", &c->pef);
  leat_pef_writer_destroy(writer);
  return status;
}

leat_status_t leat_compiled_map(leat_compiled_t *c, const leat_compile_options_t *options,
                                const leat_map_options_t *map_options, const char *why_first) {
  leat_cut_options_t cut = {.arch = map_options->arch,
                            .shares = options->scaling,
                            .greedy = options->greedy_cutter != 0,
                            .why_first = why_first};
  leat_plan_t plan;
  leat_arena_init(&c->names);
  LEAT_TRY(leat_cut(c->settled, &cut, &plan));
  leat_status_t status = note_names(c, &plan);
  if (status == NULL) status = write_unit(c, &plan, options, map_options);
  leat_plan_deinit(&plan);
  return status;
}

void leat_compiled_deinit(leat_compiled_t *c) {
  leat_graph_destroy(c->settled);
  leat_pef_close(c->pef);
  leat_names_deinit(&c->call_names);
  leat_array_free(&c->ends);
  leat_arena_deinit(&c->names);
}
