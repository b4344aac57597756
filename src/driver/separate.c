// SPDX-License-Identifier: Apache-2.0
// Implementation of separate.h: units, a compile for each distinct one, names, linking.
#include "driver/separate.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "cut/cut.h"
#include "driver/pipeline.h"
#include "lower/row.h"
#include "unit/equal.h"

// A unit that was compiled, for others to be like.
typedef struct compiled_s {
  uint32_t unit;
  leat_pef_t *pef;
} compiled_t;

typedef struct separate_s {
  const leat_graph_t *g;
  const leat_compile_options_t *options;
  const leat_map_options_t *map_options;
  leat_pef_writer_t *writer;
  leat_units_t units;
  leat_unit_names_t names;
  leat_unit_kinds_t kinds;
  LEAT_ARRAY(compiled_t) compiled;  // one a kind
  LEAT_ARRAY(leat_link_unit_t) linked;
  LEAT_ARRAY(leat_link_target_t *) targets;  // to be freed
} separate_t;

static leat_status_t out_of_memory(void) { return leat_status_make(LEAT_OUT_OF_MEMORY, "out of memory"); }

// --- one unit -------------------------------------------------------------------------------------------------------

static leat_status_t map_unit(separate_t *s, const leat_graph_t *settled, leat_pef_t **out_pef) {
  leat_cut_options_t cut = {.arch = s->map_options->arch,
                            .shares = s->options->scaling,
                            .greedy = s->options->greedy_cutter != 0,
                            .why_first = "a group of its own"};
  leat_plan_t plan;
  LEAT_TRY(leat_cut(settled, &cut, &plan));
  leat_pef_writer_t *writer = leat_pef_writer_create();
  uint8_t *data = NULL;
  size_t bytes = 0;
  leat_status_t status = writer == NULL ? out_of_memory() : NULL;
  if (writer != NULL) leat_pef_share_bodies(writer, s->options->separate_bodies == 0);
  if (status == NULL) status = leat_map_native(settled, &plan, s->map_options, writer);
  if (status == NULL) status = leat_pef_write_memory(writer, &data, &bytes);
  if (status == NULL) status = leat_pef_open_memory(data, bytes, "unit", out_pef);
  leat_free(data);
  leat_pef_writer_destroy(writer);
  leat_plan_deinit(&plan);
  return status;
}

static leat_status_t compile_graph(separate_t *s, const leat_graph_t *graph, leat_pipeline_t part,
                                   leat_pef_t **out_pef) {
  leat_graph_t *settled = NULL;
  LEAT_TRY(leat_pipeline_run(graph, s->options, part, &settled));
  leat_status_t status = map_unit(s, settled, out_pef);
  leat_graph_destroy(settled);
  return status;
}

static leat_status_t explain(const separate_t *s, uint32_t index, leat_status_t status) {
  const leat_unit_t *unit = &s->units.all.data[index];
  if (status == NULL || unit->role != LEAT_UNIT_GROUP) return status;
  const leat_group_t *group = leat_graph_group(s->g, unit->group);
  const leat_op_t *op = leat_graph_op(s->g, s->units.order[unit->op_first]);
  const char *name = group == NULL ? "" : group->name;
  return leat_status_annotate(status, "group %" PRIu32 "%s%s (%s)", unit->group, *name != '\0' ? " " : "", name,
                              s->g->origins.data[op->origin].module);
}

// --- equal units ----------------------------------------------------------------------------------------------------

// Takes `graph`.
static leat_status_t compile_kind(separate_t *s, uint32_t unit, leat_graph_t *graph, leat_pipeline_t part) {
  LEAT_TRY(leat_unit_kinds_add(&s->kinds, graph));
  compiled_t *c = leat_array_push(&s->compiled);
  if (c == NULL) return out_of_memory();
  c->unit = unit;
  return compile_graph(s, graph, part, &c->pef);
}

static leat_status_t link_unit(separate_t *s, uint32_t unit, const compiled_t *c) {
  leat_link_unit_t *linked = leat_array_push(&s->linked);
  leat_link_target_t **kept = leat_array_push(&s->targets);
  if (linked == NULL || kept == NULL) return out_of_memory();
  *kept = leat_alloc_zero(c->pef->symbol_count + 1u, sizeof **kept);
  if (*kept == NULL) return out_of_memory();
  *linked = (leat_link_unit_t){.pef = c->pef, .like = c->unit, .targets = *kept};
  linked->stream = unit == LEAT_NONE ? 0 : (uint32_t)s->units.all.data[unit].stream;
  linked->late = unit == LEAT_NONE || s->units.all.data[unit].role == LEAT_UNIT_LATE;
  for (uint32_t i = 0; i < c->pef->symbol_count; ++i)
    LEAT_TRY(leat_unit_name_target(&s->names, unit, c->pef, i, &(*kept)[i]));
  return NULL;
}

static leat_status_t add_unit(separate_t *s, uint32_t unit, double dropout_rate, leat_value_id_t *map) {
  leat_graph_t *graph = NULL;
  LEAT_TRY(leat_unit_graph(&s->units, unit, dropout_rate, map, &graph));
  uint32_t kind = s->options->separate_bodies != 0 ? LEAT_NONE : leat_unit_kinds_find(&s->kinds, graph);
  if (kind != LEAT_NONE) {
    leat_graph_destroy(graph);
    return link_unit(s, unit, &s->compiled.data[kind]);
  }
  LEAT_TRY(explain(s, unit, compile_kind(s, unit, graph, LEAT_PIPELINE_UNIT)));
  return link_unit(s, unit, &s->compiled.data[s->compiled.count - 1]);
}

// --- counters -------------------------------------------------------------------------------------------------------

// Draws and steps are counted when everything that reads the counters has run.
static leat_status_t add_counters(separate_t *s) {
  bool draws = false;
  uint32_t *steps = leat_alloc_zero(s->units.optimizers.count + 1u, sizeof *steps), count = 0;
  if (steps == NULL) return out_of_memory();
  draws = leat_names_find(&s->names.index, "random__state", strlen("random__state")) != LEAT_NAME_ABSENT;
  for (uint32_t i = 0; i < s->units.optimizers.count; ++i) {
    char name[64];
    (void)snprintf(name, sizeof name, "optimizer_%" PRIu32 "__step", i);
    if (leat_names_find(&s->names.index, name, strlen(name)) != LEAT_NAME_ABSENT) steps[count++] = i;
  }
  leat_graph_t *graph = NULL;
  leat_status_t status = NULL;
  if (draws || count != 0) status = leat_unit_counter_graph(draws, steps, count, &graph);
  leat_free(steps);
  if (graph == NULL) return status;
  LEAT_TRY(compile_kind(s, s->linked.count, graph, LEAT_PIPELINE_WHOLE));
  return link_unit(s, LEAT_NONE, &s->compiled.data[s->compiled.count - 1]);
}

// --- names of calls -------------------------------------------------------------------------------------------------

static const char *module_of(const separate_t *s, leat_op_id_t id) {
  return s->g->origins.data[leat_graph_op(s->g, id)->origin].module;
}

// A module of the unit that was compiled, as this unit has it.
static const char *own_word(const separate_t *s, uint32_t unit_index, const char *word, size_t length) {
  const leat_unit_t *unit = &s->units.all.data[unit_index];
  const leat_unit_t *like = &s->units.all.data[s->linked.data[unit_index].like];
  for (uint32_t i = 0; i < unit->op_count; ++i) {
    const char *module = module_of(s, s->units.order[like->op_first + i]);
    if (strlen(module) == length && strncmp(module, word, length) == 0)
      return module_of(s, s->units.order[unit->op_first + i]);
  }
  return NULL;
}

static const char *call_name(void *user, uint32_t unit, const char *name, char *buffer, size_t buffer_bytes) {
  const separate_t *s = user;
  static const char between[] = " .. ";
  if (unit >= s->units.all.count || s->linked.data[unit].like == unit) return name;
  const char *second = strstr(name, between);
  size_t length = second == NULL ? strlen(name) : (size_t)(second - name);
  const char *a = own_word(s, unit, name, length), *b = NULL;
  if (second != NULL) b = own_word(s, unit, second + 4, strlen(second + 4));
  (void)snprintf(buffer, buffer_bytes, "%.*s%s%s", a != NULL ? (int)strlen(a) : (int)length, a != NULL ? a : name,
                 second != NULL ? between : "",
                 second == NULL ? ""
                 : b != NULL    ? b
                                : second + 4);
  return buffer;
}

// --- all of it ------------------------------------------------------------------------------------------------------

static leat_status_t add_units(separate_t *s) {
  double rate = leat_row_shared_rate(s->g);
  leat_value_id_t *map = leat_alloc((s->g->values.count + 1u) * sizeof *map);
  leat_status_t status = map == NULL ? out_of_memory() : leat_unit_kinds_init(&s->kinds, s->units.all.count);
  for (uint32_t v = 0; v <= s->g->values.count && status == NULL; ++v) map[v] = LEAT_NONE;
  for (uint32_t i = 0; i < s->units.all.count && status == NULL; ++i) status = add_unit(s, i, rate, map);
  leat_free(map);
  return status == NULL ? add_counters(s) : status;
}

static void report(const separate_t *s) {
  char line[160];
  uint32_t groups = 0, compiled = 0;
  if (s->options->log == NULL) return;
  for (uint32_t i = 0; i < s->units.all.count; ++i) {
    if (s->units.all.data[i].role != LEAT_UNIT_GROUP) continue;
    groups++;
    compiled += s->linked.data[i].like == i;
  }
  (void)snprintf(line, sizeof line, "hypersections: %" PRIu32 " groups, %" PRIu32 " compiled, %" PRIu32 " replayed",
                 groups, compiled, groups - compiled);
  s->options->log(s->options->log_user, LEAT_LOG_INFO, "mac", line);
}

static leat_status_t link_all(separate_t *s) {
  leat_unit_names_link_owners(&s->names);
  for (uint32_t i = 0; i < s->names.symbols.count; ++i) leat_pef_add_symbol(s->writer, &s->names.symbols.data[i]);
  const leat_link_program_t program = {.units = s->linked.data,
                                       .unit_count = s->linked.count,
                                       .symbols = s->names.symbols.data,
                                       .symbol_count = s->names.symbols.count,
                                       .value_bytes = s->names.value_bytes,
                                       .value_count = s->names.value_count,
                                       .call_name = call_name,
                                       .user = s};
  pef_info_t info = {.optim_level = s->map_options->optim_level, .inference = s->map_options->inference};
  memcpy(info.fingerprint, s->map_options->fingerprint, sizeof info.fingerprint);
  info.arch = leat_pef_add_string(s->writer, s->map_options->arch->text);
  info.compiler = leat_pef_add_string(s->writer, LEAT_VERSION);
  LEAT_TRY(leat_link(&program, s->writer, &info));
  leat_pef_set_info(s->writer, &info);
  return NULL;
}

static void deinit(separate_t *s) {
  for (uint32_t i = 0; i < s->compiled.count; ++i) leat_pef_close(s->compiled.data[i].pef);
  for (uint32_t i = 0; i < s->targets.count; ++i) leat_free(s->targets.data[i]);
  leat_array_free(&s->compiled);
  leat_array_free(&s->targets);
  leat_array_free(&s->linked);
  leat_unit_kinds_deinit(&s->kinds);
  leat_unit_names_deinit(&s->names);
  leat_units_deinit(&s->units);
}

leat_status_t leat_compile_separately(const leat_graph_t *grouped, const leat_compile_options_t *options,
                                      const leat_map_options_t *map_options, leat_pef_writer_t *writer) {
  separate_t s = {.g = grouped, .options = options, .map_options = map_options, .writer = writer};
  leat_status_t status = leat_units_make(grouped, leat_pipeline_trains(grouped, options), &s.units);
  if (status == NULL) status = leat_unit_names_init(&s.names, &s.units, writer);
  if (status == NULL) status = add_units(&s);
  if (status == NULL) status = link_all(&s);
  if (status == NULL) report(&s);
  deinit(&s);
  return status;
}
